package dynamodb

import (
	_ "embed"
	"strings"
)

// AWS's list: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html (two are misspelt there).
//
//go:embed reserved.txt
var reservedText string

// reservedWords must not stand bare in an expression; they need an ExpressionAttributeNames alias.
var reservedWords = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.Fields(reservedText) {
		words[word] = true
	}
	return words
}()

func reserved(name string) bool { return reservedWords[strings.ToUpper(name)] }
