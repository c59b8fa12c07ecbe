package ledger

import (
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// item is one item of the table, or the values of an expression.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue  { return &types.AttributeValueMemberS{Value: s} }
func boolean(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
func bytesOf(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// instant is a time as the table keeps it: a number of milliseconds, so that conditions can compare it.
func instant(t time.Time) types.AttributeValue { return number(t.UnixMilli()) }

func textOf(it item, name string) string {
	v, _ := it[name].(*types.AttributeValueMemberS)
	if v == nil {
		return ""
	}
	return v.Value
}

func numberOf(it item, name string) int64 {
	v, _ := it[name].(*types.AttributeValueMemberN)
	if v == nil {
		return 0
	}
	n, _ := strconv.ParseInt(v.Value, 10, 64)
	return n
}

func booleanOf(it item, name string) bool {
	v, _ := it[name].(*types.AttributeValueMemberBOOL)
	return v != nil && v.Value
}

func instantOf(it item, name string) time.Time {
	if _, ok := it[name]; !ok {
		return time.Time{}
	}
	return time.UnixMilli(numberOf(it, name)).UTC()
}

func key(pk, sk string) item { return item{"PK": text(pk), "SK": text(sk)} }

var placeholder = regexp.MustCompile(`#(\w+)`)

// names is the name behind every placeholder of the expressions: "#status" stands for "status". Attributes are always written
// with a placeholder, for many of their names are reserved words.
func names(expressions ...string) map[string]string {
	found := map[string]string{}
	for _, e := range expressions {
		for _, m := range placeholder.FindAllStringSubmatch(e, -1) {
			found[m[0]] = m[1]
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
