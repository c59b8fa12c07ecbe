package dynamodb

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNumbersHaveOneNormalForm(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0.00": "0", "+5": "5", "5.0": "5", "007": "7", "1e3": "1000", "1.5E-3": "0.0015", "-12.340": "-12.34", ".5": "0.5",
		"1E125": "1" + string(bytes.Repeat([]byte("0"), 125)),
	} {
		d, ok := parseDecimal(in)
		require.True(t, ok, in)
		require.Equal(t, want, d.String(), in)
	}
	for _, in := range []string{"", "-", ".", "1e", "x", "1 ", "1E126", "1E-131", "0x1", "1e99999999999999999999", "--1"} {
		_, ok := parseDecimal(in)
		require.False(t, ok, in)
	}
}

func TestNumbersAddExactly(t *testing.T) {
	for _, c := range [][3]string{
		{"0.1", "0.2", "0.3"}, {"9999999999999999999999999999999999999", "1", "10000000000000000000000000000000000000"}, {"5", "-5", "0"},
	} {
		sum, err := addNumbers(c[0], c[1], false)
		require.NoError(t, err)
		require.Equal(t, c[2], sum)
	}
	_, err := addNumbers("1E100", "1", false)
	require.ErrorContains(t, err, "overflow", "it would need 101 digits")
}

func TestEncodedNumbersSortAsNumbersDo(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) decimal {
		s := fmt.Sprintf("%d.%dE%d", rapid.Int64().Draw(t, "whole"), rapid.Uint32().Draw(t, "fraction"), rapid.IntRange(-60, 60).Draw(t, "exponent"))
		d, ok := parseDecimal(s)
		if !ok {
			t.Fatalf("%s is a number", s)
		}
		return d
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, _ := new(big.Rat).SetString(a.String())
		y, _ := new(big.Rat).SetString(b.String())
		if got := bytes.Compare(a.appendOrdered(nil), b.appendOrdered(nil)); got != x.Cmp(y) {
			t.Fatalf("%s and %s compare as %d", a, b, got)
		}
	})
}

func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		"SET a = if_not_exists(b.c[1], :v) + :v REMOVE x[0] ADD n :v DELETE s :v", "a = :v AND NOT (b[1].c < size(d)) OR contains(e, :v)",
		"pk = :v AND begins_with(sk, :v)", "a, b.c, d[3]", "SET", "((", "#a = :v",
	} {
		f.Add(seed)
	}
	table := &table{
		AttributeDefinitions: []attributeDefinition{{"pk", "S"}, {"sk", "S"}},
		KeySchema:            keySchema{{"pk", "HASH"}, {"sk", "RANGE"}},
	}
	it := item{"a": numberOf("1"), "b": {kind: "L", list: []*value{{kind: "M", fields: item{}}, {kind: "S", text: "x"}}}}
	f.Fuzz(func(t *testing.T, expression string) {
		n := newNames(map[string]string{"#a": "a"}, item{":v": {kind: "S", text: "v"}})
		if c, err := parseCondition("ConditionExpression", &expression, n); err == nil {
			c(it)
			c(nil)
		}
		if actions, err := parseUpdate(&expression, n); err == nil {
			before := it.clone()
			_, _ = updated(it, actions)
			require.Equal(t, before, it, "an update changes a copy")
		}
		if paths, err := parsePaths(&expression, n); err == nil {
			project(it, paths)
		}
		_, _ = keySpan(expression, table, table.KeySchema, n)
	})
}
