package local

import (
	"encoding/json"
	"time"
)

// newScheduledEvent is what EventBridge sends on a schedule.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
func newScheduledEvent(id string, at time.Time, region, account string) []byte {
	return mustMarshal(map[string]any{
		"version":     "0",
		"id":          id,
		"detail-type": "Scheduled Event",
		"source":      "aws.events",
		"account":     account,
		"time":        at.UTC().Format(time.RFC3339),
		"region":      region,
		"resources":   []string{"arn:aws:events:" + region + ":" + account + ":rule/purser-sweep"},
		"detail":      map[string]any{},
	})
}

// mustMarshal encodes what cannot fail to be encoded: strings and numbers.
func mustMarshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
