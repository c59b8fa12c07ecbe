package browser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheErrorShowsTheLastLinesOfTheOutput(t *testing.T) {
	var out tail
	assert.Empty(t, out.forError())
	write := func(s string) {
		n, err := out.Write([]byte(s))
		assert.NoError(t, err)
		assert.Equal(t, len(s), n)
	}
	write("\n  \n")
	assert.Empty(t, out.forError())
	write("one\ntw")
	write("o\n")
	assert.Equal(t, "; it printed: one | two", out.forError())
	write(strings.Repeat("noise\n", 10_000) + "4\n5\n6\n7\nthe reason")
	assert.Equal(t, "; it printed: 4 | 5 | 6 | 7 | the reason", out.forError())
	assert.LessOrEqual(t, len(out.buf), tailBytes)
}
