package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// PoolStatus is what one environment's pool of tabs does at the moment.
type PoolStatus struct {
	Environment string          `json:"environment"`
	At          time.Time       `json:"at"`
	Status      string          `json:"pool_status"` // INITIALIZING, READY, PROCESSING, SHUTTING_DOWN, TERMINATED
	Workers     []WorkerStatus  `json:"workers"`
	Pending     int             `json:"pending_tasks"`
	TotalMemory int64           `json:"total_memory_usage"` // bytes
	Stats       ProcessingStats `json:"processing_stats"`
}

// WorkerStatus is what one tab does at the moment.
type WorkerStatus struct {
	ID        int    `json:"worker_id"`
	Status    string `json:"status"`       // STARTING, READY, PROCESSING, IDLE, CRASHED, RESTARTING, TERMINATED
	Memory    int64  `json:"memory_usage"` // bytes
	Processed int    `json:"processed_count"`
	Task      string `json:"current_task"` // the PO, "" when idle
}

// ProcessingStats adds up an environment's work since it started.
type ProcessingStats struct {
	Processed     int64   `json:"processed"`
	Succeeded     int64   `json:"succeeded"`
	Failed        int64   `json:"failed"`
	Launches      int64   `json:"browser_launches"`
	Restarts      int64   `json:"worker_restarts"`
	MemoryPeak    int64   `json:"memory_peak_usage"` // bytes
	AveragePOTime float64 `json:"average_po_time"`   // seconds
}

// Pool adds up what the downloaders spent on a job.
type Pool struct {
	Launches    int64         `json:"launches"`    // browsers started
	Restarts    int64         `json:"restarts"`    // browsers started again since the one before died or was recycled
	Invocations int64         `json:"invocations"` //
	POs         int64         `json:"pos"`         // tries, not rows
	MemoryPeak  int64         `json:"memory_peak"` // bytes, the largest of any environment
	POTime      time.Duration `json:"po_time_ns"`  // the sum over the POs
}

// workersLife is how long an environment's last word is kept.
const workersLife = time.Hour

// AddPool adds to what the job cost. The sums are written in a transaction, for its client token keeps a repeated call from
// counting twice; they have an item of their own, so that the job's stays free for commits.
func (l *Ledger) AddPool(ctx context.Context, job string, p Pool) error {
	k := key(jobPK(job), poolSK)
	const sums = "ADD #launches :launches, #restarts :restarts, #invocations :invocations, #pos :pos, #po_time :po_time"
	_, err := l.transact(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Update: &types.Update{
		TableName: &l.table, Key: k,
		UpdateExpression: aws.String(sums), ExpressionAttributeNames: names(sums),
		ExpressionAttributeValues: item{
			":launches": number(p.Launches), ":restarts": number(p.Restarts), ":invocations": number(p.Invocations),
			":pos": number(p.POs), ":po_time": number(p.POTime.Milliseconds()),
		},
	}}}})
	if err == nil && p.MemoryPeak > 0 {
		_, _, err = l.update(
			ctx, k, "SET #memory_peak = :peak", "attribute_not_exists(#memory_peak) OR #memory_peak < :peak",
			item{":peak": number(p.MemoryPeak)},
		)
	}
	if err != nil {
		return fmt.Errorf("adding to the pool's sums of job %s: %w", job, err)
	}
	return nil
}

func poolOf(it item) Pool {
	return Pool{
		Launches: numberOf(it, "launches"), Restarts: numberOf(it, "restarts"), Invocations: numberOf(it, "invocations"),
		POs: numberOf(it, "pos"), MemoryPeak: numberOf(it, "memory_peak"),
		POTime: time.Duration(numberOf(it, "po_time")) * time.Millisecond,
	}
}

// PutWorkers records what an environment does for a job; it is forgotten after an hour.
func (l *Ledger) PutWorkers(ctx context.Context, job, environment string, status PoolStatus) error {
	status.Environment = environment
	if status.At.IsZero() {
		status.At = l.now()
	}
	body, err := json.Marshal(status)
	if err == nil {
		it := key(jobPK(job), workersPrefix+environment)
		it["pool"] = text(string(body))
		it["expires"] = number(l.now().Add(workersLife).Unix())
		err = l.retry(ctx, func() error {
			_, err := l.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &l.table, Item: it})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("recording the workers of %s: %w", environment, err)
	}
	return nil
}

// Workers reads what the environments last said.
func (l *Ledger) Workers(ctx context.Context, job string) ([]PoolStatus, error) {
	var all []PoolStatus
	for it, err := range l.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("PK = :pk AND begins_with(SK, :workers)"),
		ExpressionAttributeValues: item{":pk": text(jobPK(job)), ":workers": text(workersPrefix)},
	}) {
		if err == nil && numberOf(it, "expires") <= l.now().Unix() { // DynamoDB may keep it for days
			continue
		}
		var status PoolStatus
		if err == nil {
			err = json.Unmarshal([]byte(textOf(it, "pool")), &status)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the workers of job %s: %w", job, err)
		}
		all = append(all, status)
	}
	return all, nil
}
