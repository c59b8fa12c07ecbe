package sqs

import (
	"fmt"
	"net/http"
)

// apiError is an error as SQS tells it.
type apiError struct {
	code, text string
	status     int
}

func (e *apiError) Error() string { return e.code + ": " + e.text }

func fail(code, format string, args ...any) *apiError {
	return &apiError{code: code, text: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

func notFound(format string, args ...any) *apiError {
	e := fail("ResourceNotFoundException", format, args...)
	e.status = http.StatusNotFound
	return e
}

// queryCodes are the codes that the older protocol had, where they differ; clients still show them.
var queryCodes = map[string]string{
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"QueueDoesNotExist":            "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":              "QueueAlreadyExists",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
}

func (e *apiError) queryCode() string {
	if c, ok := queryCodes[e.code]; ok {
		return c
	}
	return e.code
}

func (e *apiError) fault() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}
