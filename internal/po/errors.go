package po

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrorCode is the word that stands before the text in ERROR_MESSAGE.
type ErrorCode string

// The error codes. The first four are the older tool's.
const (
	CodeProfile         ErrorCode = "PROFILE_ERROR"  // the session is missing, expired or refused
	CodeResource        ErrorCode = "RESOURCE_ERROR" // memory, disk, or the browser cannot start
	CodeNotFound        ErrorCode = "PO_NOT_FOUND"
	CodeNetwork         ErrorCode = "NETWORK_ERROR"
	CodeTimeout         ErrorCode = "TIMEOUT"
	CodeLayout          ErrorCode = "LAYOUT_UNKNOWN" // what the page says and what was found disagree
	CodeFileInvalid     ErrorCode = "FILE_INVALID"
	CodeFileTooLarge    ErrorCode = "FILE_TOO_LARGE"
	CodeInput           ErrorCode = "INPUT_INVALID"
	CodePRNotAccessible ErrorCode = "PR_NOT_ACCESSIBLE"
	CodeCancelled       ErrorCode = "CANCELLED"
)

// Error is a failure that knows how it is to be treated. Text is for a person: what failed, and what to do about it.
type Error struct {
	Code ErrorCode
	Text string
	Err  error // a cause that Text does not name yet

	cause error // a cause that Text names already

	// Retry says that another try may succeed.
	Retry bool
	// Wide says that the whole portal is concerned, not this PO: the batch stops, and no PO pays for it with a try.
	Wide bool
	// Ours says that the trouble is this environment's own (browser gone, disk full): no PO pays for it either.
	Ours bool
	// After is how long the portal asked to be left alone; 0 when it said nothing.
	After time.Duration
}

func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Text
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return e.cause
}

// Retryable tells whether another try may succeed.
func (e *Error) Retryable() bool { return e.Retry }

// PortalWide tells whether the whole portal is concerned.
func (e *Error) PortalWide() bool { return e.Wide }

// Errorf makes an Error of the code; %w keeps a cause for errors.Is.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Text: err.Error(), cause: errors.Unwrap(err), Retry: retryableByCode(code)}
}

// retryableByCode is the treatment an error of the code gets when nothing more is known.
func retryableByCode(code ErrorCode) bool {
	switch code {
	case CodeNotFound, CodeFileTooLarge, CodeInput, CodeCancelled:
		return false
	}
	return true
}

// AsError finds the Error in the chain, or makes one: a deadline is a TIMEOUT, anything else a NETWORK_ERROR, both worth a
// retry.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeTimeout, Text: "took too long", Err: err, Retry: true}
	}
	return &Error{Code: CodeNetwork, Text: "failed", Err: err, Retry: true}
}

// Retryable tells whether any error in the chain says that another try may succeed.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}

// PortalWide tells whether any error in the chain concerns the whole portal.
func PortalWide(err error) bool {
	var w interface{ PortalWide() bool }
	return errors.As(err, &w) && w.PortalWide()
}
