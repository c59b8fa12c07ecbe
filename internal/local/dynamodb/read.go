package dynamodb

// readRequest is a GetItem, or one of a transaction or batch.
type readRequest struct {
	TableName                string
	Key                      item
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
	ConsistentRead           bool // all reads are
	ReturnConsumedCapacity   string
}

func (c *call) getItem(in *readRequest) (answer, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	n := newNames(in.ExpressionAttributeNames, nil)
	paths, err := parsePaths(in.ProjectionExpression, n)
	if err != nil {
		return nil, err
	}
	if err := n.unused(); err != nil {
		return nil, err
	}
	key, err := t.exactKey(in.Key)
	if err != nil {
		return nil, err
	}
	it, err := c.load(t, key)
	if err != nil {
		return nil, err
	}
	out := answer{}
	if it != nil {
		out["Item"] = project(it, paths)
	}
	addCapacity(out, in.ReturnConsumedCapacity, in.TableName, units(it.size(), readUnit))
	return out, nil
}

func (c *call) batchGetItem(in *struct {
	RequestItems map[string]struct {
		Keys                     []item
		ProjectionExpression     *string
		ExpressionAttributeNames map[string]string
		ConsistentRead           bool
	}
	ReturnConsumedCapacity string // accepted, without effect
},
) (answer, error) {
	responses, n := map[string][]any{}, 0
	for table, request := range in.RequestItems {
		responses[table] = []any{}
		for _, key := range request.Keys {
			if n++; n > maxBatchGets {
				return nil, invalid("Too many items requested for the BatchGetItem call: at most %d are allowed", maxBatchGets)
			}
			out, err := c.getItem(&readRequest{
				TableName: table, Key: key,
				ProjectionExpression: request.ProjectionExpression, ExpressionAttributeNames: request.ExpressionAttributeNames,
			})
			if err != nil {
				return nil, err
			}
			if it, ok := out["Item"]; ok {
				responses[table] = append(responses[table], it)
			}
		}
	}
	return answer{"Responses": responses, "UnprocessedKeys": answer{}}, nil
}
