package dynamodb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

const (
	maxTransaction = 100
	tokenLife      = 10 * time.Minute // for which a token makes a transaction happen once only
)

type transactWriteRequest struct {
	TransactItems []struct {
		Put, Update, Delete, ConditionCheck *writeRequest `json:",omitempty"`
	}
	ClientRequestToken                                  string `json:",omitempty"`
	ReturnConsumedCapacity, ReturnItemCollectionMetrics string `json:",omitempty"` // accepted, without effect
}

func (c *call) transactWriteItems(in *transactWriteRequest) (answer, error) {
	if n := len(in.TransactItems); n == 0 || n > maxTransaction {
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length"+
			" from 1 to %d, got %d", maxTransaction, n)
	}
	done, err := c.redeem(in)
	if done || err != nil {
		return answer{}, err
	}
	all, err := c.prepareAll(in)
	if err != nil {
		return nil, err
	}
	var reasons []answer
	var codes []string
	cancelled := false
	for _, w := range all {
		reason := answer{"Code": "None"}
		if err := c.apply(w); err != nil {
			var e *apiError
			if !errors.As(err, &e) {
				return nil, err
			}
			cancelled = true
			reason = answer{"Code": reasonCode(e.code), "Message": e.text}
			if it, ok := e.extra["Item"]; ok {
				reason["Item"] = it
			}
		}
		reasons, codes = append(reasons, reason), append(codes, reason["Code"].(string))
	}
	if cancelled { // and the error undoes what was applied
		return nil, &apiError{
			code: "TransactionCanceledException", extra: answer{"CancellationReasons": reasons},
			text: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		}
	}
	return answer{}, nil
}

func (c *call) prepareAll(in *transactWriteRequest) ([]*write, error) {
	var all []*write
	seen := map[string]bool{}
	for i := range in.TransactItems {
		entry := &in.TransactItems[i]
		requests := map[writeKind]*writeRequest{put: entry.Put, update: entry.Update, remover: entry.Delete, check: entry.ConditionCheck}
		n := 0
		for kind, request := range requests {
			if request == nil {
				continue
			}
			n++
			w, err := c.prepare(kind, request)
			if err != nil {
				return nil, err
			}
			id := w.table.TableName + "\x00" + string(w.key)
			if seen[id] {
				return nil, invalid("Transaction request cannot include multiple operations on one item")
			}
			seen[id] = true
			all = append(all, w)
		}
		if n != 1 {
			return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
	}
	return all, nil
}

// reasonCode is how a cancellation reason names an error.
func reasonCode(code string) string {
	switch code {
	case "ConditionalCheckFailedException":
		return "ConditionalCheckFailed"
	case "ValidationException":
		return "ValidationError"
	}
	return strings.TrimSuffix(code, "Exception")
}

// redeem tells whether a transaction with this token was done already, and remembers the token otherwise. It is remembered in
// the transaction itself: one that is cancelled leaves none.
func (c *call) redeem(in *transactWriteRequest) (done bool, err error) {
	if in.ClientRequestToken == "" {
		return false, nil
	}
	request, err := json.Marshal(in.TransactItems)
	if err != nil {
		return false, err
	}
	hash := sha256.Sum256(request)
	tokens := c.tx.Bucket(tokensBucket)
	if known := tokens.Get([]byte(in.ClientRequestToken)); known != nil && c.fresh(known) {
		if !bytes.Equal(known[8:], hash[:]) {
			return false, &apiError{
				code: "IdempotentParameterMismatchException",
				text: "The request was rejected because it was retried with the same token and different parameters",
			}
		}
		return true, nil
	}
	stamp := binary.BigEndian.AppendUint64(nil, uint64(c.now().Unix())) //nolint:gosec // after 1970
	return false, tokens.Put([]byte(in.ClientRequestToken), append(stamp, hash[:]...))
}

// fresh tells whether a remembered token still counts.
func (s *Server) fresh(token []byte) bool {
	at := time.Unix(int64(binary.BigEndian.Uint64(token)), 0) //nolint:gosec // written by redeem
	return s.now().Sub(at) < tokenLife
}

// dropOldTokens forgets the tokens that no longer count.
func (s *Server) dropOldTokens(tx *bbolt.Tx) error {
	tokens := tx.Bucket(tokensBucket)
	var old [][]byte
	err := tokens.ForEach(func(token, stamp []byte) error {
		if !s.fresh(stamp) {
			old = append(old, bytes.Clone(token))
		}
		return nil
	})
	for _, token := range old {
		err = errors.Join(err, tokens.Delete(token))
	}
	return err
}

func (c *call) transactGetItems(in *struct {
	TransactItems          []struct{ Get *readRequest }
	ReturnConsumedCapacity string // accepted, without effect
},
) (answer, error) {
	if n := len(in.TransactItems); n == 0 || n > maxTransaction {
		return nil, invalid("Member must have length from 1 to %d, got %d", maxTransaction, n)
	}
	responses := []answer{}
	for _, entry := range in.TransactItems {
		if entry.Get == nil {
			return nil, invalid("TransactItems can only contain Get")
		}
		out, err := c.getItem(entry.Get)
		if err != nil {
			return nil, err
		}
		responses = append(responses, out)
	}
	return answer{"Responses": responses}, nil
}
