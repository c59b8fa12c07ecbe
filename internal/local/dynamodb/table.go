package dynamodb

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// The file's buckets: the tables' descriptions, the tokens of transactions, and per table its items by key and, per index, their
// keys by index key.
var (
	tablesBucket = []byte("tables")
	tokensBucket = []byte("tokens")
)

func itemsBucket(table string) []byte { return []byte("items/" + table) }

func indexBucket(table, index string) []byte { return []byte("index/" + table + "/" + index) }

// Limits of keys, as AWS documents them.
const (
	maxHashKey  = 2048 // bytes
	maxRangeKey = 1024
)

type keyElement struct{ AttributeName, KeyType string }

type keySchema []keyElement

// names are the attributes of the key: the hash key and, when there is one, the range key.
func (k keySchema) names() []string {
	var names []string
	for _, kind := range []string{"HASH", "RANGE"} {
		for _, e := range k {
			if e.KeyType == kind {
				names = append(names, e.AttributeName)
			}
		}
	}
	return names
}

type attributeDefinition struct{ AttributeName, AttributeType string }

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

type index struct {
	IndexName  string
	KeySchema  keySchema
	Projection projection

	// accepted, without effect
	ProvisionedThroughput json.RawMessage `json:",omitempty"`
	OnDemandThroughput    json.RawMessage `json:",omitempty"`
	WarmThroughput        json.RawMessage `json:",omitempty"`
}

// table is a table's description, as CreateTable gives it and as the file keeps it.
type table struct {
	TableName              string
	AttributeDefinitions   []attributeDefinition
	KeySchema              keySchema
	GlobalSecondaryIndexes []index `json:",omitempty"`
	LocalSecondaryIndexes  []index `json:",omitempty"`
	BillingMode            string

	Created    float64 `json:",omitempty"` // Unix seconds
	TimeToLive string  `json:",omitempty"` // the attribute; "" when it is off

	// accepted, without effect
	ProvisionedThroughput     json.RawMessage `json:",omitempty"`
	OnDemandThroughput        json.RawMessage `json:",omitempty"`
	WarmThroughput            json.RawMessage `json:",omitempty"`
	SSESpecification          json.RawMessage `json:",omitempty"`
	StreamSpecification       json.RawMessage `json:",omitempty"`
	Tags                      json.RawMessage `json:",omitempty"`
	TableClass                string          `json:",omitempty"`
	DeletionProtectionEnabled bool            `json:",omitempty"`
	ResourcePolicy            string          `json:",omitempty"`
}

func (t *table) typeOf(attribute string) string {
	for _, a := range t.AttributeDefinitions {
		if a.AttributeName == attribute {
			return a.AttributeType
		}
	}
	return ""
}

func (t *table) indexes() []index {
	return slices.Concat(t.GlobalSecondaryIndexes, t.LocalSecondaryIndexes)
}

func (t *table) index(name string) (*index, error) {
	for _, ix := range t.indexes() {
		if ix.IndexName == name {
			return &ix, nil
		}
	}
	return nil, invalid("The table does not have the specified index: %s", name)
}

// key checks and encodes the primary key that the item holds.
func (t *table) key(it item) ([]byte, error) {
	var key []byte
	for i, name := range t.KeySchema.names() {
		v := it[name]
		if v == nil {
			return nil, invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		}
		if err := t.checkKeyValue(name, v, i == 0); err != nil {
			return nil, err
		}
		key = v.appendOrdered(key)
	}
	return key, nil
}

// exactKey is key for an item that must hold the key and nothing else.
func (t *table) exactKey(it item) ([]byte, error) {
	names := t.KeySchema.names()
	for _, name := range names {
		if it[name] == nil {
			return nil, invalid("The provided key element does not match the schema")
		}
	}
	if len(it) != len(names) {
		return nil, invalid("The provided key element does not match the schema")
	}
	return t.key(it)
}

func (t *table) checkKeyValue(name string, v *value, hash bool) error {
	most := maxRangeKey
	if hash {
		most = maxHashKey
	}
	switch want := t.typeOf(name); {
	case v.kind != want:
		return invalid("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", name, want, v.kind)
	case v.text == "":
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty"+
			" string value. Key: %s", name)
	case len(v.text) > most:
		return invalid("One or more parameter values were invalid: Size of key %s has exceeded the maximum size limit of %d bytes", name, most)
	}
	return nil
}

// indexKey encodes the item's place in an index: the index's key, then the primary key. It is nil for an item that the index
// leaves out, since it lacks an attribute.
func (t *table) indexKey(ix *index, it item, primary []byte) []byte {
	var key []byte
	for _, name := range ix.KeySchema.names() {
		v := it[name]
		if v == nil || v.kind != t.typeOf(name) || v.text == "" {
			return nil
		}
		key = v.appendOrdered(key)
	}
	return append(key, primary...)
}

// projected is what the index holds of an item.
func (t *table) projected(ix *index, it item) item {
	if ix.Projection.ProjectionType == "ALL" || ix.Projection.ProjectionType == "" {
		return it
	}
	out := item{}
	for _, name := range slices.Concat(t.KeySchema.names(), ix.KeySchema.names(), ix.Projection.NonKeyAttributes) {
		if v := it[name]; v != nil {
			out[name] = v
		}
	}
	return out
}

// table reads the description of a table, given by name or by ARN.
func (c *call) table(name string) (*table, error) {
	if i := strings.LastIndex(name, ":table/"); i >= 0 {
		name = name[i+len(":table/"):]
	}
	if t := c.tables[name]; t != nil {
		return t, nil
	}
	encoded := c.tx.Bucket(tablesBucket).Get([]byte(name))
	if encoded == nil {
		return nil, missing(name)
	}
	t := &table{}
	if err := json.Unmarshal(encoded, t); err != nil {
		return nil, err
	}
	c.tables[name] = t
	return t, nil
}

func (c *call) save(t *table) error {
	encoded, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return c.tx.Bucket(tablesBucket).Put([]byte(t.TableName), encoded)
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

func (c *call) createTable(t *table) (answer, error) {
	if !tableName.MatchString(t.TableName) {
		return nil, invalid("TableName must be at least 3 characters long and at most 255 characters long, of a-z, A-Z, 0-9, '_', '-'" +
			" and '.'")
	}
	if _, err := c.table(t.TableName); err == nil {
		return nil, &apiError{code: "ResourceInUseException", text: "Table already exists: " + t.TableName}
	}
	if err := t.checkSchema(t.KeySchema); err != nil {
		return nil, err
	}
	if _, err := c.tx.CreateBucket(itemsBucket(t.TableName)); err != nil {
		return nil, err
	}
	for _, ix := range t.indexes() {
		if err := t.checkSchema(ix.KeySchema); err != nil {
			return nil, err
		}
		if _, err := c.tx.CreateBucket(indexBucket(t.TableName, ix.IndexName)); err != nil {
			return nil, invalid("One or more parameter values were invalid: index %q: %v", ix.IndexName, err)
		}
	}
	t.Created = float64(c.now().UnixMilli()) / 1000
	t.TimeToLive = ""
	if t.BillingMode == "" {
		t.BillingMode = "PROVISIONED"
	}
	return answer{"TableDescription": c.describe(t, "ACTIVE")}, c.save(t)
}

func (t *table) checkSchema(schema keySchema) error {
	names := schema.names()
	if len(names) == 0 || len(names) != len(schema) || schema[0].KeyType != "HASH" {
		return invalid("Invalid KeySchema: it needs a HASH key first, and may have a RANGE key")
	}
	for _, name := range names {
		if kind := t.typeOf(name); kind != "S" && kind != "N" && kind != "B" {
			return invalid("One or more parameter values were invalid: Some index key attributes are not defined in"+
				" AttributeDefinitions. Keys: [%s]", name)
		}
	}
	return nil
}

func (c *call) describe(t *table, status string) answer {
	arn := "arn:aws:dynamodb:" + c.region + ":" + account + ":table/" + t.TableName
	out := answer{
		"TableName": t.TableName, "TableArn": arn, "TableStatus": status, "CreationDateTime": t.Created,
		"AttributeDefinitions": t.AttributeDefinitions, "KeySchema": t.KeySchema,
		"ItemCount": 0, "TableSizeBytes": 0, // AWS, too, tells them hours late
		"BillingModeSummary":    answer{"BillingMode": t.BillingMode},
		"ProvisionedThroughput": answer{"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
	}
	for kind, indexes := range map[string][]index{
		"GlobalSecondaryIndexes": t.GlobalSecondaryIndexes, "LocalSecondaryIndexes": t.LocalSecondaryIndexes,
	} {
		var described []answer
		for _, ix := range indexes {
			described = append(described, answer{
				"IndexName": ix.IndexName, "IndexArn": arn + "/index/" + ix.IndexName, "IndexStatus": "ACTIVE",
				"KeySchema": ix.KeySchema, "Projection": ix.Projection, "ItemCount": 0, "IndexSizeBytes": 0,
			})
		}
		if described != nil {
			out[kind] = described
		}
	}
	return out
}

func (c *call) describeTable(in *struct{ TableName string }) (answer, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return answer{"Table": c.describe(t, "ACTIVE")}, nil
}

func (c *call) listTables(in *struct {
	ExclusiveStartTableName string
	Limit                   int
},
) (answer, error) {
	if in.Limit == 0 {
		in.Limit = 100
	}
	names, out := []string{}, answer{}
	cursor := c.tx.Bucket(tablesBucket).Cursor()
	for name, _ := cursor.Seek([]byte(in.ExclusiveStartTableName)); name != nil; name, _ = cursor.Next() {
		if string(name) == in.ExclusiveStartTableName {
			continue
		}
		if len(names) == in.Limit {
			out["LastEvaluatedTableName"] = names[len(names)-1]
			break
		}
		names = append(names, string(name))
	}
	out["TableNames"] = names
	return out, nil
}

func (c *call) deleteTable(in *struct{ TableName string }) (answer, error) {
	t, err := c.table(in.TableName)
	if err != nil {
		return nil, err
	}
	buckets := [][]byte{itemsBucket(t.TableName)}
	for _, ix := range t.indexes() {
		buckets = append(buckets, indexBucket(t.TableName, ix.IndexName))
	}
	for _, bucket := range buckets {
		if err := c.tx.DeleteBucket(bucket); err != nil {
			return nil, err
		}
	}
	return answer{"TableDescription": c.describe(t, "DELETING")}, c.tx.Bucket(tablesBucket).Delete([]byte(t.TableName))
}

// load reads an item; nil when there is none.
func (c *call) load(t *table, key []byte) (item, error) {
	encoded := c.tx.Bucket(itemsBucket(t.TableName)).Get(key)
	if encoded == nil {
		return nil, nil
	}
	return readItem(encoded)
}

func readItem(encoded []byte) (item, error) {
	it := item{}
	return it, json.Unmarshal(encoded, &it)
}

// store writes the item, or deletes it when it is nil, and keeps the indexes in step. old is what is there.
func (c *call) store(t *table, key []byte, old, it item) error {
	items := c.tx.Bucket(itemsBucket(t.TableName))
	if it == nil {
		if err := items.Delete(key); err != nil {
			return err
		}
	} else {
		encoded, err := json.Marshal(it)
		if err != nil {
			return err
		}
		if err := items.Put(key, encoded); err != nil {
			return err
		}
	}
	for _, ix := range t.indexes() {
		entries := c.tx.Bucket(indexBucket(t.TableName, ix.IndexName))
		if err := moveEntry(entries, t.indexKey(&ix, old, key), t.indexKey(&ix, it, key), key); err != nil {
			return err
		}
	}
	return nil
}

func moveEntry(entries *bbolt.Bucket, from, to, key []byte) error {
	if slices.Equal(from, to) {
		return nil
	}
	if from != nil {
		if err := entries.Delete(from); err != nil {
			return err
		}
	}
	if to == nil {
		return nil
	}
	return entries.Put(to, key)
}
