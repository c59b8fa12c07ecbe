package local

import (
	"net/url"
	"strings"
)

// s3Event is the event notification message of S3, version 2.1, for one created object.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type s3Event struct {
	Records []s3Record `json:"Records"`
}

type s3Record struct {
	EventVersion string            `json:"eventVersion"`
	EventSource  string            `json:"eventSource"`
	AWSRegion    string            `json:"awsRegion"`
	EventTime    string            `json:"eventTime"`
	EventName    string            `json:"eventName"`
	UserIdentity s3Identity        `json:"userIdentity"`
	Request      map[string]string `json:"requestParameters"`
	Response     map[string]string `json:"responseElements"`
	S3           s3Entity          `json:"s3"`
}

type s3Identity struct {
	PrincipalID string `json:"principalId"`
}

type s3Entity struct {
	SchemaVersion   string   `json:"s3SchemaVersion"`
	ConfigurationID string   `json:"configurationId"`
	Bucket          s3Bucket `json:"bucket"`
	Object          s3Object `json:"object"`
}

type s3Bucket struct {
	Name          string     `json:"name"`
	OwnerIdentity s3Identity `json:"ownerIdentity"`
	ARN           string     `json:"arn"`
}

type s3Object struct {
	Key       string `json:"key"` // URL-encoded
	Size      int64  `json:"size"`
	ETag      string `json:"eTag"`
	VersionID string `json:"versionId,omitempty"`
	Sequencer string `json:"sequencer"`
}

// s3EventTime is ISO 8601 with milliseconds.
const s3EventTime = "2006-01-02T15:04:05.000Z"

// newS3Event is the event that S3 sends for the object.
func newS3Event(o ObjectCreated, region string) []byte {
	return mustMarshal(s3Event{Records: []s3Record{{
		EventVersion: "2.1",
		EventSource:  "aws:s3",
		AWSRegion:    region,
		EventTime:    o.Time.UTC().Format(s3EventTime),
		EventName:    "ObjectCreated:Put",
		UserIdentity: s3Identity{PrincipalID: "AWS:LOCAL"},
		Request:      map[string]string{"sourceIPAddress": "127.0.0.1"},
		Response:     map[string]string{"x-amz-request-id": strings.ToUpper(o.Sequencer)},
		S3: s3Entity{
			SchemaVersion:   "1.0",
			ConfigurationID: "purser-input",
			Bucket:          s3Bucket{Name: o.Bucket, OwnerIdentity: s3Identity{PrincipalID: "LOCAL"}, ARN: "arn:aws:s3:::" + o.Bucket},
			Object:          s3Object{Key: encodeKey(o.Key), Size: o.Size, ETag: o.ETag, VersionID: o.VersionID, Sequencer: o.Sequencer},
		},
	}}})
}

// encodeKey encodes a key as S3 does in its events: as in a query, a space being "+", but slashes stay.
func encodeKey(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}

// inputPrefix and inputSuffixes are those of the event notification in template.yaml. S3 compares case.
const inputPrefix = "input/"

var inputSuffixes = []string{".csv", ".CSV", ".tsv", ".txt", ".xlsx"}

// isInput tells whether the bucket's notification would send an event for the key.
func isInput(key string) bool {
	if !strings.HasPrefix(key, inputPrefix) {
		return false
	}
	for _, suffix := range inputSuffixes {
		if strings.HasSuffix(key, suffix) {
			return true
		}
	}
	return false
}
