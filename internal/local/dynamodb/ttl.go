package dynamodb

import (
	"bytes"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

func (c *call) updateTimeToLive(in *struct {
	TableName               string
	TimeToLiveSpecification struct {
		AttributeName string
		Enabled       bool
	}
},
) (answer, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	t.TimeToLive = ""
	if in.TimeToLiveSpecification.Enabled {
		t.TimeToLive = in.TimeToLiveSpecification.AttributeName
	}
	return answer{"TimeToLiveSpecification": in.TimeToLiveSpecification}, c.save(t)
}

func (c *call) describeTimeToLive(in *struct{ TableName string }) (answer, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	described := answer{"TimeToLiveStatus": "DISABLED"}
	if t.TimeToLive != "" {
		described = answer{"TimeToLiveStatus": "ENABLED", "AttributeName": t.TimeToLive}
	}
	return answer{"TimeToLiveDescription": described}, nil
}

// sweepNowAndThen deletes, until the server is closed, what is past its time to live.
func (s *Server) sweepNowAndThen() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
		}
		if err := s.sweep(); err != nil && s.log != nil {
			s.log.WithError(err).Warn("local DynamoDB could not delete expired items")
		}
	}
}

// sweep deletes the items that are past their time to live, and the tokens that no longer count.
func (s *Server) sweep() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		c := &call{Server: s, tx: tx, tables: map[string]*table{}}
		err := tx.Bucket(tablesBucket).ForEach(func(name, _ []byte) error {
			t, err := c.table(string(name))
			if err != nil || t.TimeToLive == "" {
				return err
			}
			return c.sweepTable(t)
		})
		if err != nil {
			return err
		}
		return s.dropOldTokens(tx)
	})
}

func (c *call) sweepTable(t *table) error {
	now := numberOf(strconv.FormatInt(c.now().Unix(), 10))
	expired := map[string]item{}
	err := c.tx.Bucket(itemsBucket(t.TableName)).ForEach(func(key, encoded []byte) error {
		it, err := readItem(encoded)
		if order, ok := compare(it[t.TimeToLive], now); ok && order < 0 {
			expired[string(bytes.Clone(key))] = it
		}
		return err
	})
	for key, it := range expired {
		if err := c.store(t, []byte(key), it, nil); err != nil {
			return err
		}
	}
	return err
}
