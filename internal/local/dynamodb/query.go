package dynamodb

import (
	"bytes"
	"hash/fnv"
	"strings"

	"go.etcd.io/bbolt"
)

// maxPage is how much one Query or Scan reads.
const maxPage = 1 << 20

// queryRequest is a Query or Scan.
type queryRequest struct {
	TableName, IndexName      string
	KeyConditionExpression    *string
	FilterExpression          *string
	ProjectionExpression      *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues item
	ExclusiveStartKey         item
	Limit                     *int
	ScanIndexForward          *bool
	Segment, TotalSegments    *int
	Select                    string
	ConsistentRead            bool // all reads are
	ReturnConsumedCapacity    string
}

// span is a range of encoded keys: from low up to, but without, high. nil is no bound.
type span struct{ low, high []byte }

func (c *call) query(in *queryRequest) (answer, error) {
	if in.KeyConditionExpression == nil {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	return c.page(in)
}

func (c *call) scan(in *queryRequest) (answer, error) {
	if in.KeyConditionExpression != nil || in.ScanIndexForward != nil {
		return nil, invalid("KeyConditionExpression and ScanIndexForward belong to Query, not to Scan")
	}
	if (in.Segment == nil) != (in.TotalSegments == nil) || in.Segment != nil && (*in.Segment < 0 || *in.Segment >= *in.TotalSegments) {
		return nil, invalid("Segment must be from 0 to TotalSegments-1, and both must be given")
	}
	return c.page(in)
}

// page reads one page of a Query or Scan.
func (c *call) page(in *queryRequest) (answer, error) {
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	r := &pageReader{call: c, in: in, table: t, schema: t.KeySchema, entries: c.tx.Bucket(itemsBucket(t.TableName))}
	if in.IndexName != "" {
		if r.index, err = t.index(in.IndexName); err != nil {
			return nil, err
		}
		r.schema, r.entries = r.index.KeySchema, c.tx.Bucket(indexBucket(t.TableName, in.IndexName))
	}
	if err := r.parse(); err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	out := answer{"Count": r.count, "ScannedCount": r.scanned}
	if in.Select != "COUNT" {
		out["Items"] = r.items
	}
	if r.last != nil {
		out["LastEvaluatedKey"] = r.keyOf(r.last)
	}
	addCapacity(out, in.ReturnConsumedCapacity, in.TableName, units(r.bytes, readUnit))
	return out, nil
}

// pageReader is one Query or Scan under way.
type pageReader struct {
	*call
	in      *queryRequest
	table   *table
	index   *index // nil when the table itself is read
	schema  keySchema
	entries *bbolt.Bucket

	span   span
	filter condition
	paths  []path
	start  []byte // key behind which to start

	items                 []item
	count, scanned, bytes int
	last                  item // where the page ended before all was read
}

func (r *pageReader) parse() (err error) {
	n := newNames(r.in.ExpressionAttributeNames, r.in.ExpressionAttributeValues)
	if r.in.KeyConditionExpression != nil {
		if r.span, err = keySpan(*r.in.KeyConditionExpression, r.table, r.schema, n); err != nil {
			return err
		}
	}
	if r.filter, err = parseCondition("FilterExpression", r.in.FilterExpression, n); err != nil {
		return err
	}
	if r.paths, err = parsePaths(r.in.ProjectionExpression, n); err != nil {
		return err
	}
	if err := n.unused(); err != nil {
		return err
	}
	r.start, err = r.startKey()
	return err
}

func (r *pageReader) startKey() ([]byte, error) {
	given := r.in.ExclusiveStartKey
	if given == nil {
		return nil, nil
	}
	key, err := r.table.key(given)
	if err == nil && r.index != nil {
		key = r.table.indexKey(r.index, given, key)
	}
	if err != nil || key == nil || len(given) != len(r.keyOf(given)) {
		return nil, invalid("The provided starting key is invalid")
	}
	return key, nil
}

// keyOf is the item's primary key and, in an index, the index's key.
func (r *pageReader) keyOf(it item) item {
	out := item{}
	for _, schema := range []keySchema{r.table.KeySchema, r.schema} {
		for _, name := range schema.names() {
			if v := it[name]; v != nil {
				out[name] = v
			}
		}
	}
	return out
}

func (r *pageReader) read() error {
	r.items = []item{}
	for key, entry := range r.each() {
		if !r.mine(key) {
			continue
		}
		if r.index != nil {
			entry = r.tx.Bucket(itemsBucket(r.table.TableName)).Get(entry)
		}
		it, err := readItem(entry)
		if err != nil {
			return err
		}
		if r.index != nil {
			it = r.table.projected(r.index, it)
		}
		r.scanned++
		r.bytes += len(entry)
		if r.filter(it) {
			r.count++
			if r.in.Select != "COUNT" {
				r.items = append(r.items, project(it, r.paths))
			}
		}
		if r.in.Limit != nil && r.scanned == *r.in.Limit || r.bytes >= maxPage {
			r.last = it // also when it happens to be the last one, as in AWS
			return nil
		}
	}
	return nil
}

// mine tells whether the entry lies in the segment that is asked for.
func (r *pageReader) mine(key []byte) bool {
	if r.in.Segment == nil {
		return true
	}
	h := fnv.New32a()
	h.Write(key)
	return int(h.Sum32())%*r.in.TotalSegments == *r.in.Segment
}

// each yields the entries of the span behind the start key, forwards or backwards.
func (r *pageReader) each() func(yield func(key, entry []byte) bool) {
	cursor := r.entries.Cursor()
	return func(yield func(key, entry []byte) bool) {
		if r.in.ScanIndexForward == nil || *r.in.ScanIndexForward {
			from := r.span.low
			if r.start != nil {
				from = append(bytes.Clone(r.start), 0)
			}
			for k, v := cursor.Seek(from); k != nil && (r.span.high == nil || bytes.Compare(k, r.span.high) < 0); k, v = cursor.Next() {
				if !yield(k, v) {
					return
				}
			}
			return
		}
		below := r.span.high
		if r.start != nil {
			below = r.start
		}
		for k, v := lastBelow(cursor, below); k != nil && bytes.Compare(k, r.span.low) >= 0; k, v = cursor.Prev() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// lastBelow moves the cursor to the last key below the bound, or to the very last when there is none.
func lastBelow(cursor *bbolt.Cursor, bound []byte) (key, entry []byte) {
	if bound == nil {
		return cursor.Last()
	}
	if k, _ := cursor.Seek(bound); k == nil {
		return cursor.Last() // all are below
	}
	return cursor.Prev()
}

// keyTerm is one comparison of a key condition.
type keyTerm struct {
	operator string
	a, b     *value // b of BETWEEN only
}

// keySpan turns a KeyConditionExpression into the span of keys that meet it.
func keySpan(expression string, t *table, schema keySchema, n *names) (span, error) {
	p, err := newParser("KeyConditionExpression", expression, n)
	if err != nil {
		return span{}, err
	}
	terms, err := p.keyTerms()
	if err != nil {
		return span{}, err
	}
	key := schema.names()
	hash, ok := terms[key[0]]
	if !ok || hash.operator != "=" {
		return span{}, invalid("Query condition missed key schema element: %s", key[0])
	}
	if err := t.checkKeyValue(key[0], hash.a, true); err != nil {
		return span{}, err
	}
	base := hash.a.appendOrdered(nil)
	if len(terms) == 1 {
		return span{base, after(base)}, nil
	}
	if len(key) < 2 {
		return span{}, invalid("Query key condition not supported")
	}
	term, ok := terms[key[1]]
	if !ok {
		return span{}, invalid("Query condition missed key schema element: %s", key[1])
	}
	return term.span(t, key[1], base)
}

func (p *parser) keyTerms() (map[string]keyTerm, error) {
	terms := map[string]keyTerm{}
	for {
		parenthesis := p.accept("(")
		at, term, err := p.keyTerm()
		if err != nil {
			return nil, err
		}
		if parenthesis {
			if err := p.expect(")"); err != nil {
				return nil, err
			}
		}
		if _, twice := terms[at.String()]; twice {
			return nil, invalid("KeyConditionExpressions must only contain one condition per key")
		}
		terms[at.String()] = term
		if !p.accept("AND") {
			return terms, p.done()
		}
	}
}

func (p *parser) keyTerm() (at path, term keyTerm, err error) {
	if strings.EqualFold(p.at(0), "begins_with") && p.at(1) == "(" {
		p.next += 2
		if at, err = p.path(); err != nil {
			return nil, term, err
		}
		if err = p.expect(","); err != nil {
			return nil, term, err
		}
		term.operator = "begins_with"
		if term.a, err = p.value(); err != nil {
			return nil, term, err
		}
		return at, term, p.expect(")")
	}
	if at, err = p.path(); err != nil {
		return nil, term, err
	}
	term.operator = strings.ToUpper(p.take())
	if term.a, err = p.value(); err != nil || term.operator != "BETWEEN" {
		return at, term, err
	}
	if err = p.expect("AND"); err != nil {
		return nil, term, err
	}
	term.b, err = p.value()
	return at, term, err
}

// span is where the range keys that meet the term lie, below the encoded hash key.
func (term keyTerm) span(t *table, name string, base []byte) (span, error) {
	if err := t.checkKeyValue(name, term.a, false); err != nil {
		return span{}, err
	}
	key := term.a.appendOrdered(bytes.Clone(base))
	switch term.operator {
	case "=":
		return span{key, after(key)}, nil
	case "<":
		return span{base, key}, nil
	case "<=":
		return span{base, after(key)}, nil
	case ">":
		return span{after(key), after(base)}, nil
	case ">=":
		return span{key, after(base)}, nil
	case "BETWEEN":
		if err := t.checkKeyValue(name, term.b, false); err != nil {
			return span{}, err
		}
		return span{key, after(term.b.appendOrdered(bytes.Clone(base)))}, nil
	case "begins_with":
		if term.a.kind == "N" {
			return span{}, invalid("Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function:" +
				" begins_with, operand type: N")
		}
		prefix := key[:len(key)-2] // without the end mark
		return span{prefix, after(prefix)}, nil
	}
	return span{}, invalid("Query key condition not supported: %s", term.operator)
}

// after is the first key behind all that begin with this one; nil when there is none.
func after(key []byte) []byte {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
