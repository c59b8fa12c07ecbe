package dynamodb

import "fmt"

// apiError is an error as DynamoDB tells it.
type apiError struct {
	code, text string
	extra      answer // further members of the error: Item, CancellationReasons
}

func (e *apiError) Error() string { return e.code + ": " + e.text }

// answer is the body of a response.
type answer = map[string]any

func invalid(format string, args ...any) *apiError {
	return &apiError{code: "ValidationException", text: fmt.Sprintf(format, args...)}
}

func missing(table string) *apiError {
	return &apiError{code: "ResourceNotFoundException", text: "Requested resource not found: Table: " + table + " not found"}
}

// body is the error as it goes over the wire.
func (e *apiError) body() answer {
	namespace := "com.amazonaws.dynamodb.v20120810#"
	if e.code == "ValidationException" {
		namespace = "com.amazon.coral.validate#"
	}
	out := answer{"__type": namespace + e.code, "message": e.text}
	if e.code == "TransactionCanceledException" { // which spells it so
		out["Message"] = e.text
	}
	for name, value := range e.extra {
		out[name] = value
	}
	return out
}
