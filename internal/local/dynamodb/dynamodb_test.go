package dynamodb

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is an item as the client writes it.
type record = map[string]types.AttributeValue

func text(s string) types.AttributeValue    { return &types.AttributeValueMemberS{Value: s} }
func num(n any) types.AttributeValue        { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
func octets(b ...byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
func texts(s ...string) types.AttributeValue {
	return &types.AttributeValueMemberSS{Value: s}
}

func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}

func fields(r record) types.AttributeValue { return &types.AttributeValueMemberM{Value: r} }

// clock is the server's time, moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a server with a real client and the table "table", whose key is pk and sk, both text, and which has the index "by-n"
// over gpk (text) and n (number).
type bench struct {
	*client.Client
	t      *testing.T
	path   string
	clock  *clock
	server *Server
	http   *httptest.Server
}

func start(t *testing.T) *bench {
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "dynamodb.db"), clock: &clock{t: time.Now()}}
	b.open()
	t.Cleanup(b.close)
	b.create("table", types.ScalarAttributeTypeS)
	return b
}

func (b *bench) open() {
	var err error
	b.server, err = Open(Options{Path: b.path, Region: "eu-central-1", Now: b.clock.now})
	require.NoError(b.t, err)
	b.http = httptest.NewServer(b.server)
	b.Client = client.New(client.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(b.http.URL), HTTPClient: b.http.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

func (b *bench) close() {
	b.http.Close()
	require.NoError(b.t, b.server.Close())
}

func (b *bench) restart() {
	b.close()
	b.open()
}

func (b *bench) create(table string, sortKey types.ScalarAttributeType) {
	_, err := b.CreateTable(b.t.Context(), &client.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: "S"},
			{AttributeName: aws.String("sk"), AttributeType: sortKey},
			{AttributeName: aws.String("gpk"), AttributeType: "S"},
			{AttributeName: aws.String("n"), AttributeType: "N"},
		},
		KeySchema: schema("pk", "sk"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-n"), KeySchema: schema("gpk", "n"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"note"}},
		}},
	})
	require.NoError(b.t, err)
}

func schema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

func key(pk, sk string) record { return record{"pk": text(pk), "sk": text(sk)} }

func (b *bench) put(r record) {
	_, err := b.PutItem(b.t.Context(), &client.PutItemInput{TableName: aws.String("table"), Item: r})
	require.NoError(b.t, err)
}

func (b *bench) get(pk, sk string) record {
	out, err := b.GetItem(b.t.Context(), &client.GetItemInput{TableName: aws.String("table"), Key: key(pk, sk)})
	require.NoError(b.t, err)
	return out.Item
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestAnItemKeepsEveryTypeOfValue(t *testing.T) {
	b := start(t)
	r := record{
		"pk": text("a"), "sk": text("1"), "empty": text(""), "html": text("<ü&>"),
		"n": num("12345678901234567890.123456789"), "b": octets(0, 1, 255),
		"yes": &types.AttributeValueMemberBOOL{Value: true}, "null": &types.AttributeValueMemberNULL{Value: true},
		"l": list(text("x"), num(1), list([]types.AttributeValue{}...)), "m": fields(record{"k": text("v"), "deep": fields(record{})}),
		"ss": texts("a", "b"), "ns": &types.AttributeValueMemberNS{Value: []string{"1", "2.5"}},
		"bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}, {2, 0}}},
	}
	b.put(r)
	require.Equal(t, r, b.get("a", "1"))
}

func TestAFailedConditionLeavesTheItemAndTellsTheOldOne(t *testing.T) {
	b := start(t)
	b.put(record{"pk": text("a"), "sk": text("1"), "v": num(1)})
	_, err := b.PutItem(t.Context(), &client.PutItemInput{
		TableName: aws.String("table"), Item: record{"pk": text("a"), "sk": text("1"), "v": num(2)},
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	require.Equal(t, num(1), failed.Item["v"])
	require.Equal(t, num(1), b.get("a", "1")["v"])
}

func TestConditions(t *testing.T) {
	b := start(t)
	b.put(record{
		"pk": text("a"), "sk": text("1"), "n": num(5), "s": text("hello"), "bin": octets(1, 2), "ss": texts("x", "y"),
		"l": list(num(1), num(2)), "m": fields(record{"a": num(7)}), "note": text("status"),
	})
	values := record{
		":1": num(1), ":2": num(2), ":5": num("5.0"), ":7": num(7), ":10": num(10), ":he": text("he"), ":ell": text("ell"), ":x": text("x"),
		":S": text("S"), ":bin": octets(1), ":text5": text("5"), ":ss": texts("y", "x"),
	}
	for expression, want := range map[string]bool{
		"n = :5":                           true,
		"n = :text5":                       false,
		"n <> :10 AND n >= :5 AND n <= :5": true,
		"n < :5 OR n > :5":                 false,
		"n BETWEEN :1 AND :10":             true,
		"n BETWEEN :7 AND :10":             false,
		"n IN (:1, :5, :10)":               true,
		"NOT n = :10":                      true,
		"NOT n = :10 AND n = :10":          false,
		"n = :5 OR n = :10 AND n = :1":     true,
		"(n = :5 OR n = :10) AND n = :1":   false,
		"begins_with(s, :he)":              true,
		"begins_with (s, :ell)":            false,
		"begins_with(bin, :bin)":           true,
		"contains(s, :ell)":                true,
		"contains(ss, :x)":                 true,
		"contains(ss, :ell)":               false,
		"contains(l, :2)":                  true,
		"ss = :ss":                         true,
		"size(l) = :2":                     true,
		"size(s) = :5":                     true,
		"size(n) = :1":                     false,
		"attribute_type(s, :S)":            true,
		"m.a = :7 and l[1] = :2":           true,
		"l[2] = :2":                        false,
		"attribute_exists(m.a) AND attribute_not_exists(m.b)": true,
		"absent = :1":  false,
		"absent <> :1": true,
	} {
		used := record{}
		for name, v := range values {
			for _, token := range strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" (),", r) }) {
				if token == name {
					used[name] = v
				}
			}
		}
		if len(used) == 0 {
			used = nil
		}
		_, err := b.TransactWriteItems(t.Context(), &client.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{
			ConditionCheck: &types.ConditionCheck{
				TableName: aws.String("table"), Key: key("a", "1"), ConditionExpression: &expression, ExpressionAttributeValues: used,
			},
		}}})
		if want {
			require.NoError(t, err, expression)
		} else {
			require.Equal(t, "TransactionCanceledException", code(err), "%s: %v", expression, err)
		}
	}
}

func TestUpdates(t *testing.T) {
	b := start(t)
	before := record{
		"pk": text("a"), "sk": text("1"), "n": num(5), "l": list(num(0), num(1), num(2), num(3)), "m": fields(record{"a": num(7), "b": num(8)}),
		"ss": texts("x", "y"),
	}
	for _, c := range []struct {
		expression string
		values     record
		changed    record // nil value: gone
	}{
		{"SET s = :v, n = n + :one", record{":v": text("new"), ":one": num("0.1")}, record{"s": text("new"), "n": num("5.1")}},
		{"SET n = :one - n", record{":one": num(1)}, record{"n": num(-4)}},
		{"SET n = m.a, m.a = n", nil, record{"n": num(7), "m": fields(record{"a": num(5), "b": num(8)})}},
		{"SET x = if_not_exists(x, :one) + :one, n = if_not_exists(n, :one)", record{":one": num(1)}, record{"x": num(2)}},
		{"SET l = list_append(:l, l)", record{":l": list(num(9))}, record{"l": list(num(9), num(0), num(1), num(2), num(3))}},
		{"SET l[1] = :v, l[99] = :v", record{":v": num(9)}, record{"l": list(num(0), num(9), num(2), num(3), num(9))}},
		{"REMOVE l[2], l[0], m.b, absent", nil, record{"l": list(num(1), num(3)), "m": fields(record{"a": num(7)})}},
		{"REMOVE l[0], l[2] SET l[1] = :v", record{":v": num(9)}, record{"l": list(num(9), num(3))}},
		{
			"ADD n :one, fresh :one, ss :s, more :s",
			record{":one": num(2), ":s": texts("y", "z")},
			record{"n": num(7), "fresh": num(2), "ss": texts("x", "y", "z"), "more": texts("y", "z")},
		},
		{"DELETE ss :s", record{":s": texts("x", "z")}, record{"ss": texts("y")}},
		{"DELETE ss :s, absent :s", record{":s": texts("x", "y")}, record{"ss": nil}},
	} {
		t.Run(c.expression, func(t *testing.T) {
			b.put(before)
			out, err := b.UpdateItem(t.Context(), &client.UpdateItemInput{
				TableName: aws.String("table"), Key: key("a", "1"), UpdateExpression: &c.expression, ExpressionAttributeValues: c.values,
				ReturnValues: types.ReturnValueAllNew,
			})
			require.NoError(t, err)
			want := record{}
			for name, v := range before {
				want[name] = v
			}
			for name, v := range c.changed {
				if want[name] = v; v == nil {
					delete(want, name)
				}
			}
			require.Equal(t, want, out.Attributes)
			require.Equal(t, want, b.get("a", "1"))
		})
	}
}

func TestAnUpdateReturnsWhatItWasAskedFor(t *testing.T) {
	b := start(t)
	for _, c := range []struct {
		which types.ReturnValue
		want  record
	}{
		{types.ReturnValueNone, nil},
		{types.ReturnValueUpdatedOld, record{"v": num(1)}},
		{types.ReturnValueUpdatedNew, record{"v": num(2)}},
		{types.ReturnValueAllOld, record{"pk": text("a"), "sk": text("1"), "v": num(1), "w": num(1)}},
		{types.ReturnValueAllNew, record{"pk": text("a"), "sk": text("1"), "v": num(2), "w": num(1)}},
	} {
		b.put(record{"pk": text("a"), "sk": text("1"), "v": num(1), "w": num(1)})
		out, err := b.UpdateItem(t.Context(), &client.UpdateItemInput{
			TableName: aws.String("table"), Key: key("a", "1"), UpdateExpression: aws.String("ADD v :one"),
			ExpressionAttributeValues: record{":one": num(1)}, ReturnValues: c.which,
		})
		require.NoError(t, err)
		require.Equal(t, c.want, out.Attributes, c.which)
	}
}

func TestWhatDynamoDBRefusesIsRefused(t *testing.T) {
	b := start(t)
	b.put(record{"pk": text("a"), "sk": text("1"), "s": text("x"), "m": fields(record{})})
	update := func(expression string, names map[string]string, values record) error {
		_, err := b.UpdateItem(t.Context(), &client.UpdateItemInput{
			TableName: aws.String("table"), Key: key("a", "1"), UpdateExpression: &expression, ExpressionAttributeNames: names,
			ExpressionAttributeValues: values,
		})
		return err
	}
	one := record{":v": num(1)}
	put := func(r record) error {
		_, err := b.PutItem(t.Context(), &client.PutItemInput{TableName: aws.String("table"), Item: r})
		return err
	}
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"a reserved word":              {update("SET Status = :v", nil, one), "reserved keyword: Status"},
		"an unused alias":              {update("SET x = :v", map[string]string{"#y": "y"}, one), "unused in expressions: keys: {#y}"},
		"an unused value":              {update("REMOVE x", nil, one), "unused in expressions: keys: {:v}"},
		"an undefined alias":           {update("SET #x = :v", nil, one), "not defined; attribute name: #x"},
		"an undefined value":           {update("SET x = :w", nil, one), "not defined; attribute value: :w"},
		"a key attribute":              {update("SET sk = :v", nil, one), "This attribute is part of the key"},
		"overlapping paths":            {update("SET m.a = :v REMOVE m", nil, one), "overlap"},
		"a section twice":              {update("SET x = :v SET y = :v", nil, one), "can only be used once"},
		"an unknown function":          {update("SET x = upper(s)", nil, nil), "Invalid function name; function: upper"},
		"arithmetic on text":           {update("SET x = s + :v", nil, one), "incorrect data type"},
		"a value that is not there":    {update("SET x = y", nil, nil), "does not exist in the item"},
		"a path into nothing":          {update("SET y.z = :v", nil, one), "invalid for update"},
		"ADD of text":                  {update("ADD x :v", nil, record{":v": text("x")}), "operand type: S"},
		"a syntax error":               {update("SET x = ", nil, nil), `token: "<EOF>"`},
		"an empty key":                 {put(key("", "1")), "empty string value. Key: pk"},
		"a key of another type":        {put(record{"pk": text("a"), "sk": num(1)}), "Type mismatch for key sk expected: S actual: N"},
		"a missing key":                {put(record{"pk": text("a")}), "Missing the key sk"},
		"an item over 400 KB":          {put(record{"pk": text("a"), "sk": text("1"), "x": text(strings.Repeat("x", 400<<10))}), "Item size"},
		"a number of 39 digits":        {put(record{"pk": text("a"), "sk": text("1"), "x": num(strings.Repeat("1", 39))}), "38 digits"},
		"a set with a member twice":    {put(record{"pk": text("a"), "sk": text("1"), "x": texts("a", "a")}), "duplicates"},
		"an empty set":                 {put(record{"pk": text("a"), "sk": text("1"), "x": texts()}), "may not be empty"},
		"a number beyond the smallest": {put(record{"pk": text("a"), "sk": text("1"), "x": num("1E-131")}), "numeric"},
	} {
		require.Equal(t, "ValidationException", code(c.err), "%s: %v", name, c.err)
		require.ErrorContains(t, c.err, c.text, name)
	}
	var missing *types.ResourceNotFoundException
	_, err := b.GetItem(t.Context(), &client.GetItemInput{TableName: aws.String("none"), Key: key("a", "1")})
	require.ErrorAs(t, err, &missing)
	_, err = b.Scan(t.Context(), &client.ScanInput{TableName: aws.String("table"), AttributesToGet: []string{"x"}})
	require.ErrorContains(t, err, "AttributesToGet", "a parameter that would do nothing is refused by name")
}

func TestEveryReservedWordNeedsAnAlias(t *testing.T) {
	require.Len(t, reservedWords, 573)
	b := start(t)
	_, err := b.UpdateItem(t.Context(), &client.UpdateItemInput{
		TableName: aws.String("table"), Key: key("a", "1"), UpdateExpression: aws.String("SET #s = :v"),
		ExpressionAttributeNames: map[string]string{"#s": "status"}, ExpressionAttributeValues: record{":v": num(1)},
	})
	require.NoError(t, err)
	require.Equal(t, num(1), b.get("a", "1")["status"])
}

// sortKeys pages through a query and returns the numbers in the attribute "at".
func (b *bench) sortKeys(in *client.QueryInput) (out []string, pages int) {
	p := client.NewQueryPaginator(b.Client, in)
	for p.HasMorePages() {
		page, err := p.NextPage(b.t.Context())
		require.NoError(b.t, err)
		pages++
		for _, r := range page.Items {
			out = append(out, r["at"].(*types.AttributeValueMemberN).Value)
		}
	}
	return out, pages
}

func TestAQueryComesInTheOrderOfTheSortKey(t *testing.T) {
	for kind, ordered := range map[types.ScalarAttributeType][]types.AttributeValue{
		types.ScalarAttributeTypeS: {text("A"), text("a"), text("a\x00"), text("a\x00b"), text("a\x01"), text("aa"), text("ä")},
		types.ScalarAttributeTypeN: {num("-1E125"), num(-10), num("-9.5"), num("-0.001"), num(0), num("1E-130"), num(9), num(10), num("10.5"), num(100)},
		types.ScalarAttributeTypeB: {octets(0), octets(0, 0), octets(0, 1), octets(1), octets(0x3e), octets(0x3f), octets(0x7f), octets(0x80), octets(0xff), octets(0xff, 0)},
	} {
		t.Run(string(kind), func(t *testing.T) {
			b := start(t)
			b.create("ordered", kind)
			var want []string
			for i := range ordered {
				i = (i + len(ordered)/2) % len(ordered)
				_, err := b.PutItem(t.Context(), &client.PutItemInput{
					TableName: aws.String("ordered"), Item: record{"pk": text("a"), "sk": ordered[i], "at": num(i)},
				})
				require.NoError(t, err)
			}
			for i := range ordered {
				want = append(want, fmt.Sprint(i))
			}
			in := &client.QueryInput{
				TableName: aws.String("ordered"), KeyConditionExpression: aws.String("pk = :a"), ExpressionAttributeValues: record{":a": text("a")},
			}
			got, _ := b.sortKeys(in)
			require.Equal(t, want, got)

			in.Limit = aws.Int32(3)
			got, pages := b.sortKeys(in)
			require.Equal(t, want, got)
			require.Equal(t, len(ordered)/3+1, pages)

			in.ScanIndexForward = aws.Bool(false)
			got, _ = b.sortKeys(in)
			require.Len(t, got, len(want))
			for i := range got {
				require.Equal(t, want[len(want)-1-i], got[i])
			}

			in.Limit, in.ScanIndexForward = nil, nil
			for condition, part := range map[string][]string{
				"sk < :m": want[:4], "sk <= :m": want[:5], "sk = :m": want[4:5], "sk >= :m": want[4:], "sk > :m": want[5:],
				"sk BETWEEN :m AND :m": want[4:5],
			} {
				in.KeyConditionExpression = aws.String("pk = :a AND " + condition)
				in.ExpressionAttributeValues = record{":a": text("a"), ":m": ordered[4]}
				got, _ := b.sortKeys(in)
				require.Equal(t, part, got, condition)
			}
		})
	}
}

func TestAQueryBeginsFiltersCountsAndProjects(t *testing.T) {
	b := start(t)
	for i := range 25 {
		b.put(record{"pk": text("q"), "sk": text(fmt.Sprintf("ROW#%03d", i)), "at": num(i), "m": fields(record{"a": num(i), "b": num(i)})})
	}
	b.put(record{"pk": text("q"), "sk": text("JOB"), "at": num(99)})
	b.put(record{"pk": text("qq"), "sk": text("ROW#1"), "at": num(99)})
	out, err := b.Query(t.Context(), &client.QueryInput{
		TableName: aws.String("table"), KeyConditionExpression: aws.String("(pk = :q) AND (begins_with(sk, :row))"),
		FilterExpression: aws.String("#at >= :n"), ProjectionExpression: aws.String("sk, m.a"),
		ExpressionAttributeNames:  map[string]string{"#at": "at"},
		ExpressionAttributeValues: record{":q": text("q"), ":row": text("ROW#"), ":n": num(20)},
	})
	require.NoError(t, err)
	require.Equal(t, []int32{5, 25}, []int32{out.Count, out.ScannedCount})
	require.Equal(t, record{"sk": text("ROW#020"), "m": fields(record{"a": num(20)})}, out.Items[0])

	out, err = b.Query(t.Context(), &client.QueryInput{
		TableName: aws.String("table"), KeyConditionExpression: aws.String("pk = :q"), ExpressionAttributeValues: record{":q": text("q")},
		Select: types.SelectCount,
	})
	require.NoError(t, err)
	require.Equal(t, int32(26), out.Count)
	require.Empty(t, out.Items)
	for _, condition := range []string{"sk = :q", "pk > :q", "pk = :q AND at = :q", "pk = :q AND sk <> :q"} {
		_, err := b.Query(t.Context(), &client.QueryInput{
			TableName: aws.String("table"), KeyConditionExpression: &condition, ExpressionAttributeValues: record{":q": text("q")},
		})
		require.Equal(t, "ValidationException", code(err), condition)
	}
}

func TestAnIndexFollowsItsItemsAndHoldsItsProjection(t *testing.T) {
	b := start(t)
	for i := range 5 {
		b.put(record{"pk": text(fmt.Sprint(i)), "sk": text("x"), "gpk": text("g"), "n": num(10 - i), "at": num(i), "note": text("kept")})
	}
	b.put(record{"pk": text("9"), "sk": text("x"), "n": num(1)}) // lacks gpk
	query := &client.QueryInput{
		TableName: aws.String("table"), IndexName: aws.String("by-n"), KeyConditionExpression: aws.String("gpk = :g AND n > :n"),
		ExpressionAttributeValues: record{":g": text("g"), ":n": num(7)}, Limit: aws.Int32(1),
	}
	var keys []string
	p := client.NewQueryPaginator(b.Client, query)
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		require.NoError(t, err)
		for _, r := range page.Items {
			require.Equal(t, text("kept"), r["note"])
			require.NotContains(t, r, "at", "which the index does not include")
			keys = append(keys, r["pk"].(*types.AttributeValueMemberS).Value)
		}
	}
	require.Equal(t, []string{"2", "1", "0"}, keys)

	_, err := b.UpdateItem(t.Context(), &client.UpdateItemInput{
		TableName: aws.String("table"), Key: key("2", "x"), UpdateExpression: aws.String("SET n = :n"), ExpressionAttributeValues: record{":n": num(1)},
	})
	require.NoError(t, err)
	_, err = b.DeleteItem(t.Context(), &client.DeleteItemInput{TableName: aws.String("table"), Key: key("1", "x")})
	require.NoError(t, err)
	query.Limit = nil
	out, err := b.Query(t.Context(), query)
	require.NoError(t, err)
	require.Equal(t, int32(1), out.Count)
}

func TestSegmentsOfAScanTogetherSeeEachItemOnce(t *testing.T) {
	b := start(t)
	for i := range 40 {
		b.put(key("p", fmt.Sprint(i)))
	}
	seen := map[string]int{}
	for segment := range int32(3) {
		p := client.NewScanPaginator(b.Client, &client.ScanInput{
			TableName: aws.String("table"), Segment: &segment, TotalSegments: aws.Int32(3), Limit: aws.Int32(4),
		})
		for p.HasMorePages() {
			page, err := p.NextPage(t.Context())
			require.NoError(t, err)
			for _, r := range page.Items {
				seen[r["sk"].(*types.AttributeValueMemberS).Value]++
			}
		}
	}
	require.Len(t, seen, 40)
	for sk, n := range seen {
		require.Equal(t, 1, n, sk)
	}
}

func TestBatchesWriteAndRead(t *testing.T) {
	b := start(t)
	var writes []types.WriteRequest
	for i := range 25 {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: key("b", fmt.Sprint(i))}})
	}
	batch := func(w []types.WriteRequest) error {
		_, err := b.BatchWriteItem(t.Context(), &client.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"table": w}})
		return err
	}
	require.NoError(t, batch(writes))
	require.NoError(t, batch([]types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: key("b", "3")}}}))
	require.Equal(t, "ValidationException", code(batch(append(writes, writes[0]))), "26 are too many")
	require.Equal(t, "ValidationException", code(batch([]types.WriteRequest{writes[0], writes[0]})), "the same twice")
	out, err := b.BatchGetItem(t.Context(), &client.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		"table": {Keys: []map[string]types.AttributeValue{key("b", "2"), key("b", "3"), key("b", "4")}},
	}})
	require.NoError(t, err)
	require.Len(t, out.Responses["table"], 2)
}

// row and counter are the transaction that Purser lives by: a row becomes final, and the job's counter grows.
func rowAndCounter(row string, step int) []types.TransactWriteItem {
	return []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: aws.String("table"), Item: record{"pk": text("job"), "sk": text(row), "state": text("DONE")},
			ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		{Update: &types.Update{
			TableName: aws.String("table"), Key: key("job", "counter"), UpdateExpression: aws.String("ADD done :n"),
			ExpressionAttributeValues: record{":n": num(step)},
		}},
	}
}

func TestATransactionHappensWholeOrNotAndTellsWhy(t *testing.T) {
	b := start(t)
	transact := func(items []types.TransactWriteItem) error {
		_, err := b.TransactWriteItems(t.Context(), &client.TransactWriteItemsInput{TransactItems: items})
		return err
	}
	require.NoError(t, transact(rowAndCounter("row#1", 1)))
	err := transact(rowAndCounter("row#1", 1))
	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	require.Len(t, cancelled.CancellationReasons, 2)
	require.Equal(t, "ConditionalCheckFailed", *cancelled.CancellationReasons[0].Code)
	require.Equal(t, text("DONE"), cancelled.CancellationReasons[0].Item["state"])
	require.Equal(t, "None", *cancelled.CancellationReasons[1].Code)
	require.Equal(t, num(1), b.get("job", "counter")["done"], "nothing of it happened")

	b.put(record{"pk": text("job"), "sk": text("counter"), "done": text("not a number")})
	err = transact(rowAndCounter("row#2", 1))
	require.ErrorAs(t, err, &cancelled)
	require.Equal(t, "ValidationError", *cancelled.CancellationReasons[1].Code)
	require.Empty(t, b.get("job", "row#2"))

	same := rowAndCounter("row#3", 1)
	require.Equal(t, "ValidationException", code(transact(append(same, same[1]))), "the same item twice")
	got, err := b.TransactGetItems(t.Context(), &client.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String("table"), Key: key("job", "row#1")}},
		{Get: &types.Get{TableName: aws.String("table"), Key: key("job", "row#2")}},
	}})
	require.NoError(t, err)
	require.Equal(t, text("DONE"), got.Responses[0].Item["state"])
	require.Empty(t, got.Responses[1].Item)
}

func TestATokenMakesATransactionHappenOnceForTenMinutes(t *testing.T) {
	b := start(t)
	add := func(n int) error {
		_, err := b.TransactWriteItems(t.Context(), &client.TransactWriteItemsInput{
			ClientRequestToken: aws.String("token"), TransactItems: rowAndCounter("x", n)[1:],
		})
		return err
	}
	require.NoError(t, add(1))
	require.NoError(t, add(1))
	b.restart()
	require.NoError(t, add(1))
	require.Equal(t, num(1), b.get("job", "counter")["done"])
	var mismatch *types.IdempotentParameterMismatchException
	require.ErrorAs(t, add(2), &mismatch)
	b.clock.pass(10 * time.Minute)
	require.NoError(t, add(1))
	require.Equal(t, num(2), b.get("job", "counter")["done"])
}

func TestACancelledTransactionDoesNotUseUpItsToken(t *testing.T) {
	b := start(t)
	b.put(key("job", "row#1"))
	transact := func() error {
		_, err := b.TransactWriteItems(t.Context(), &client.TransactWriteItemsInput{
			ClientRequestToken: aws.String("token"), TransactItems: rowAndCounter("row#1", 1),
		})
		return err
	}
	require.Equal(t, "TransactionCanceledException", code(transact()))
	_, err := b.DeleteItem(t.Context(), &client.DeleteItemInput{TableName: aws.String("table"), Key: key("job", "row#1")})
	require.NoError(t, err)
	require.NoError(t, transact())
	require.Equal(t, num(1), b.get("job", "counter")["done"])
}

func TestRacingTransactionsKeepTheCounterEqualToTheRows(t *testing.T) {
	b := start(t)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range 20 {
				_, err := b.TransactWriteItems(t.Context(), &client.TransactWriteItemsInput{TransactItems: rowAndCounter(fmt.Sprint("row#", i), 1)})
				if err != nil && code(err) != "TransactionCanceledException" {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	require.Equal(t, num(20), b.get("job", "counter")["done"])
}

func TestExpiredItemsAreSweptAndOthersStay(t *testing.T) {
	b := start(t)
	_, err := b.UpdateTimeToLive(t.Context(), &client.UpdateTimeToLiveInput{
		TableName: aws.String("table"), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)},
	})
	require.NoError(t, err)
	until := b.clock.now().Add(time.Hour).Unix()
	b.put(record{"pk": text("a"), "sk": text("1"), "ttl": num(until), "gpk": text("g"), "n": num(1)})
	b.put(record{"pk": text("a"), "sk": text("2"), "ttl": num(until + 7200)})
	b.put(record{"pk": text("a"), "sk": text("3"), "ttl": text("never")})
	require.NoError(t, b.server.sweep())
	require.NotEmpty(t, b.get("a", "1"))
	b.clock.pass(2 * time.Hour)
	require.NoError(t, b.server.sweep())
	require.Empty(t, b.get("a", "1"))
	require.NotEmpty(t, b.get("a", "2"))
	require.NotEmpty(t, b.get("a", "3"))
	out, err := b.Scan(t.Context(), &client.ScanInput{TableName: aws.String("table"), IndexName: aws.String("by-n")})
	require.NoError(t, err)
	require.Empty(t, out.Items)
}

func TestARestartKeepsTablesAndItems(t *testing.T) {
	b := start(t)
	b.put(record{"pk": text("a"), "sk": text("1"), "gpk": text("g"), "n": num(1)})
	b.restart()
	require.Equal(t, num(1), b.get("a", "1")["n"])
	out, err := b.Scan(t.Context(), &client.ScanInput{TableName: aws.String("table"), IndexName: aws.String("by-n")})
	require.NoError(t, err)
	require.Len(t, out.Items, 1)
	var inUse *types.ResourceInUseException
	_, err = b.CreateTable(t.Context(), &client.CreateTableInput{TableName: aws.String("table"), KeySchema: schema("pk", "sk")})
	require.ErrorAs(t, err, &inUse)
	described, err := b.DescribeTable(t.Context(), &client.DescribeTableInput{TableName: aws.String("table")})
	require.NoError(t, err)
	require.Equal(t, types.TableStatusActive, described.Table.TableStatus)

	_, err = b.DeleteTable(t.Context(), &client.DeleteTableInput{TableName: aws.String("table")})
	require.NoError(t, err)
	b.create("table", types.ScalarAttributeTypeS)
	require.Empty(t, b.get("a", "1"), "a new table of an old name is empty")
	tables, err := b.ListTables(t.Context(), &client.ListTablesInput{})
	require.NoError(t, err)
	require.Equal(t, []string{"table"}, tables.TableNames)
}

func TestAnswersCarryTheirChecksum(t *testing.T) {
	b := start(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.http.URL, strings.NewReader(`{"TableName":"table"}`))
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.DescribeTable")
	response, err := b.http.Client().Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10), response.Header.Get("X-Amz-Crc32"))
}
