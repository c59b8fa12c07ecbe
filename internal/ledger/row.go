package ledger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/purserhq/purser/internal/po"
)

// Row is one row of a job as the ledger has it.
type Row struct {
	po.Result
	Task    po.Task   // what its message says; zero for rows that were final at once
	Lease   Lease     // who works on it, or did last
	Queued  time.Time // its message was sent at about this time; zero for rows that were final at once
	Updated time.Time
	Lost    bool // settled since no message for it was left anywhere
}

// Leased tells whether somebody works on the row at that time.
func (r Row) Leased(at time.Time) bool { return r.Status == po.Pending && r.Lease.Until.After(at) }

// statusDuplicate is the status of a row that repeats another one's PO, within the table only: Rows resolves it.
const statusDuplicate po.Status = "DUPLICATE"

const (
	// plainBytes is the size up to which a result is kept as text, which a person can read in the table.
	plainBytes = 4 << 10
	// maxResultBytes leaves room for the rest in an item, of which DynamoDB allows 400 KB. Packed, that is more than 3,000
	// files.
	maxResultBytes = 380_000
)

// newTaskItem is the item of a row that is to be worked.
func newTaskItem(job string, t po.Task, now time.Time) (item, int) {
	it := rowKey(job, t.Row)
	body := t.Encode()
	it["status"] = text(string(po.Pending))
	it["task"] = text(body)
	it["queued"] = instant(now)
	it["updated"] = instant(now)
	return it, len(body)
}

// newResultItem is the item of a row that is final at once, or a duplicate.
func newResultItem(r po.Result, now time.Time) (item, int) {
	packed, size := packResult(&r)
	it := rowKey(r.Job, r.Row)
	it["status"] = text(string(r.Status))
	it["result"] = packed
	it["updated"] = instant(now)
	return it, size
}

// packResult is the result as an attribute. One that is too large for an item is replaced: the row then says that its files
// could not be listed.
func packResult(r *po.Result) (types.AttributeValue, int) {
	body := encodeResult(*r)
	if len(body) <= plainBytes {
		return text(string(body)), len(body)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(body)
	if err == nil {
		err = z.Close()
	}
	if err != nil { // a buffer takes everything: cannot happen
		panic(err)
	}
	if packed.Len() > maxResultBytes {
		r.Message = fmt.Sprintf("%d files are more than the ledger can list for one PO; they are in the folder", len(r.Files))
		r.Status, r.Code, r.Files, r.Evidence = po.Failed, po.CodeResource, nil, nil
		return packResult(r)
	}
	return bytesOf(packed.Bytes()), packed.Len()
}

func encodeResult(r po.Result) []byte {
	body, err := json.Marshal(r)
	if err != nil { // a time beyond the year 9999: cannot happen
		panic(err)
	}
	return body
}

func unpackResult(v types.AttributeValue) (r po.Result, err error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		err = json.Unmarshal([]byte(v.Value), &r)
	case *types.AttributeValueMemberB:
		var (
			z    *gzip.Reader
			body []byte
		)
		if z, err = gzip.NewReader(bytes.NewReader(v.Value)); err == nil {
			body, err = io.ReadAll(z)
		}
		if err == nil {
			err = json.Unmarshal(body, &r)
		}
	}
	return r, err
}

// rowOf reads a row's item. A PENDING row gets a Result that says what its message says.
func rowOf(job string, it item) (Row, error) {
	var (
		r   Row
		err error
	)
	if body := textOf(it, "task"); body != "" {
		if r.Task, err = po.DecodeTask(body); err != nil {
			return Row{}, fmt.Errorf("row %s of job %s: %w", textOf(it, "SK"), job, err)
		}
		r.Job, r.Row, r.PO, r.Supplier = r.Task.Job, r.Task.Row, r.Task.PO, r.Task.Supplier
	}
	if v := it["result"]; v != nil {
		if r.Result, err = unpackResult(v); err != nil {
			return Row{}, fmt.Errorf("row %s of job %s: reading its result: %w", textOf(it, "SK"), job, err)
		}
	}
	r.Status = po.Status(textOf(it, "status"))
	r.InDLQ = booleanOf(it, "in_dlq")
	r.Lost = booleanOf(it, "lost")
	r.Queued, r.Updated = instantOf(it, "queued"), instantOf(it, "updated")
	r.Lease = Lease{
		Job: job, Row: r.Row, Owner: textOf(it, "owner"), Token: textOf(it, "token"),
		Until: instantOf(it, "until"), Attempt: int(numberOf(it, "attempt")),
		Claims: int(numberOf(it, "claims")),
	}
	if r.Status == po.Pending {
		r.Attempt = r.Lease.Attempt
	}
	return r, nil
}
