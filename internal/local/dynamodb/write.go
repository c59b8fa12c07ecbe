package dynamodb

import "slices"

// writeRequest is a PutItem, UpdateItem, DeleteItem, or one write or check of a transaction.
type writeRequest struct {
	TableName                           string
	Item                                item              `json:",omitempty"`
	Key                                 item              `json:",omitempty"`
	UpdateExpression                    *string           `json:",omitempty"`
	ConditionExpression                 *string           `json:",omitempty"`
	ExpressionAttributeNames            map[string]string `json:",omitempty"`
	ExpressionAttributeValues           item              `json:",omitempty"`
	ReturnValues                        string            `json:",omitempty"`
	ReturnValuesOnConditionCheckFailure string            `json:",omitempty"`
	ReturnConsumedCapacity              string            `json:",omitempty"`
	ReturnItemCollectionMetrics         string            `json:",omitempty"` // accepted, without effect
}

// writeKind is what a write does.
type writeKind int

const (
	put writeKind = iota
	update
	remover
	check // of a transaction: only its condition counts
)

// write is a checked request, ready to be applied.
type write struct {
	kind      writeKind
	in        *writeRequest
	table     *table
	key       []byte
	condition condition
	actions   []action

	old, new item // set by apply
}

// prepare checks all that can be checked without the item.
func (c *call) prepare(kind writeKind, in *writeRequest) (*write, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	w := &write{kind: kind, in: in, table: t}
	n := newNames(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if w.condition, err = parseCondition("ConditionExpression", in.ConditionExpression, n); err != nil {
		return nil, err
	}
	if w.actions, err = parseUpdate(in.UpdateExpression, n); err != nil {
		return nil, err
	}
	if err := n.unused(); err != nil {
		return nil, err
	}
	if kind == put {
		w.key, err = t.key(in.Item)
	} else {
		w.key, err = t.exactKey(in.Key)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range w.actions {
		for _, name := range t.KeySchema.names() {
			if a.at[0].name == name {
				return nil, invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the"+
					" key", name)
			}
		}
	}
	return w, nil
}

// apply checks the condition against the item, and writes.
func (c *call) apply(w *write) error {
	var err error
	if w.old, err = c.load(w.table, w.key); err != nil {
		return err
	}
	if !w.condition(w.old) {
		e := &apiError{code: "ConditionalCheckFailedException", text: "The conditional request failed"}
		if w.in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && w.old != nil {
			e.extra = answer{"Item": w.old}
		}
		return e
	}
	switch w.kind {
	case check:
		return nil
	case put:
		w.new = w.in.Item
	case update:
		before := w.old
		if before == nil {
			before = w.in.Key
		}
		if w.new, err = updated(before, w.actions); err != nil {
			return err
		}
	}
	if w.new.size() > maxItem {
		return invalid("Item size has exceeded the maximum allowed size of %d bytes", maxItem)
	}
	return c.store(w.table, w.key, w.old, w.new)
}

// returnValues are those that an operation may ask for.
var returnValues = map[writeKind][]string{
	put:     {"", "NONE", "ALL_OLD"},
	remover: {"", "NONE", "ALL_OLD"},
	update:  {"", "NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"},
}

func (c *call) write(kind writeKind, in *writeRequest) (answer, error) {
	if !slices.Contains(returnValues[kind], in.ReturnValues) {
		return nil, invalid("Return values set to invalid value: %s", in.ReturnValues)
	}
	w, err := c.prepare(kind, in)
	if err != nil {
		return nil, err
	}
	if err := c.apply(w); err != nil {
		return nil, err
	}
	out := answer{}
	if attributes := w.returned(in.ReturnValues); len(attributes) > 0 {
		out["Attributes"] = attributes
	}
	addCapacity(out, in.ReturnConsumedCapacity, in.TableName, units(max(w.old.size(), w.new.size()), writeUnit))
	return out, nil
}

func (w *write) returned(which string) item {
	var paths []path
	for _, a := range w.actions {
		paths = append(paths, a.at)
	}
	switch {
	case which == "ALL_OLD":
		return w.old
	case which == "ALL_NEW":
		return w.new
	case paths == nil:
		return nil
	case which == "UPDATED_OLD":
		return project(w.old, paths)
	case which == "UPDATED_NEW":
		return project(w.new, paths)
	}
	return nil
}

func (c *call) putItem(in *writeRequest) (answer, error)    { return c.write(put, in) }
func (c *call) updateItem(in *writeRequest) (answer, error) { return c.write(update, in) }
func (c *call) deleteItem(in *writeRequest) (answer, error) { return c.write(remover, in) }

// Bytes a capacity unit.
const (
	readUnit  = 4096
	writeUnit = 1024
)

func units(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }

func addCapacity(out answer, mode, table string, units float64) {
	if mode == "TOTAL" || mode == "INDEXES" {
		out["ConsumedCapacity"] = answer{"TableName": table, "CapacityUnits": units}
	}
}

const (
	maxBatchWrites = 25
	maxBatchGets   = 100
)

func (c *call) batchWriteItem(in *struct {
	RequestItems map[string][]struct {
		PutRequest    *struct{ Item item }
		DeleteRequest *struct{ Key item }
	}
	ReturnConsumedCapacity, ReturnItemCollectionMetrics string // accepted, without effect
},
) (answer, error) {
	var all []*write
	seen := map[string]bool{}
	for table, requests := range in.RequestItems {
		for _, r := range requests {
			kind, request := put, &writeRequest{TableName: table}
			switch {
			case r.PutRequest != nil && r.DeleteRequest == nil:
				request.Item = r.PutRequest.Item
			case r.DeleteRequest != nil && r.PutRequest == nil:
				kind, request.Key = remover, r.DeleteRequest.Key
			default:
				return nil, invalid("Supplied AttributeValue has more than one datatypes set, or none: a request is one put or one delete")
			}
			w, err := c.prepare(kind, request)
			if err != nil {
				return nil, err
			}
			id := w.table.TableName + "\x00" + string(w.key)
			if seen[id] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[id] = true
			all = append(all, w)
		}
	}
	if len(all) == 0 || len(all) > maxBatchWrites {
		return nil, invalid("Too many items requested for the BatchWriteItem call, or none: 1 to %d are allowed, got %d", maxBatchWrites, len(all))
	}
	for _, w := range all {
		if err := c.apply(w); err != nil {
			return nil, err
		}
	}
	return answer{"UnprocessedItems": answer{}}, nil
}
