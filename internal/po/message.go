package po

import (
	"encoding/json"
	"fmt"
	"strings"
)

// MessageVersion is the version of the queue's messages that this program writes and reads.
const MessageVersion = 1

// Kind says what a message asks for.
type Kind string

// The kinds of messages.
const (
	KindPO       Kind = "po"       // fetch one PO
	KindFinalize Kind = "finalize" // write the job's results
)

// Task is one message of the queue.
type Task struct {
	Version  int      `json:"v"`
	Kind     Kind     `json:"kind"`
	Job      string   `json:"job"`
	Row      int      `json:"row,omitempty"` // the physical line of the sheet, from 1
	PO       Number   `json:"po,omitempty"`
	Supplier string   `json:"supplier,omitempty"` // as the sheet has it
	Levels   []string `json:"levels,omitempty"`   // folder levels, left to right
}

// noncharacters are what a JSON text may hold and SQS takes in no message; they can stand in strings only.
var noncharacters = strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`)

// Encode is the task as a message body.
func (t Task) Encode() string {
	t.Version = MessageVersion
	body, err := json.Marshal(t)
	if err != nil { // strings and numbers only: cannot happen
		panic(err)
	}
	return noncharacters.Replace(string(body))
}

// DecodeTask reads a message body. An error means that no try will ever read it.
func DecodeTask(body string) (Task, error) {
	var t Task
	if err := json.Unmarshal([]byte(body), &t); err != nil {
		return Task{}, fmt.Errorf("message is not JSON: %w", err)
	}
	switch {
	case t.Version != MessageVersion:
		return Task{}, fmt.Errorf("message has version %d, this program reads version %d", t.Version, MessageVersion)
	case t.Job == "":
		return Task{}, fmt.Errorf("message names no job")
	case t.Kind == KindFinalize:
		return t, nil
	case t.Kind != KindPO:
		return Task{}, fmt.Errorf("message has the unknown kind %q", t.Kind)
	case t.PO == "" || t.Row < 1:
		return Task{}, fmt.Errorf("message names no PO or no row")
	}
	return t, nil
}
