package report

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jsonNames are the names of a struct's fields in JSON.
func jsonNames(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			all = append(all, jsonNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}

func TestEveryNameOfTheResultsIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/results.md")
	require.NoError(t, err)
	for _, name := range slices.Concat(jsonNames(reflect.TypeFor[Summary]()), jsonNames(reflect.TypeFor[Entry]())) {
		assert.True(t, strings.Contains(string(text), "| `"+name+"` |"), name)
	}
	for _, name := range []string{ReportName, SummaryName, ManifestName, ManifestLinesName, ResultName("<sheet>.csv")} {
		assert.True(t, strings.Contains(string(text), name), name)
	}
}
