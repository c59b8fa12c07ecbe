package s3

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAKeyIsTheFileOfThatNameWhereItCanBe(t *testing.T) {
	for key, want := range map[string]string{
		"input/pos.csv":              "input/pos.csv",
		"download/übung 100% +a.csv": "download/übung 100% +a.csv",
		"q?x=1&y=%41":                "q?x=1&y=%41",
		"a//b":                       "a/%(empty)/b",
		"a/":                         "a/%(empty)",
		"/a":                         "%(empty)/a",
		"../etc/passwd":              "%(2E)%(2E)/etc/passwd",
		"a/./b":                      "a/%(2E)/b",
		"...":                        "...",
		"50%(net)":                   "50%(25)(net)",
		"tab\there":                  "tab%(09)here",
		"latin\xe9":                  "latin%(E9)",
		strings.Repeat("x", 450):     strings.Repeat("x", 200) + "%(more)/" + strings.Repeat("x", 200) + "%(more)/" + strings.Repeat("x", 50),
	} {
		require.Equal(t, want, pathOf(key), key)
	}
}

// keyOf reads a path back, as a walk through the folders does.
func keyOf(path string) (key string, ok bool) {
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		if key, ok = folderKey(key, name); !ok {
			return "", false
		}
	}
	return fileKey(key, names[len(names)-1])
}

func FuzzEveryKeyHasAFileOfItsOwn(f *testing.F) {
	for _, seed := range []string{
		"input/pos.csv", "a//b/", "/", "..", "./.", "%(empty)", "x%(file)", "x%(more)", "%(2E)", "%%((", strings.Repeat("%(", 300), "\x00\xff",
		strings.Repeat("ü", 300) + "/" + strings.Repeat("x", 255),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if len(key) == 0 || len(key) > 1024 { // S3's limit
			return
		}
		path := pathOf(key)
		require.True(t, filepath.IsLocal(path), "%q is %q, outside of the bucket", key, path)
		for name := range strings.SplitSeq(path, "/") {
			require.LessOrEqual(t, len(name)+len(fileSuffix), 255)
		}
		for _, p := range []string{path, path + fileSuffix} {
			back, ok := keyOf(p)
			require.True(t, ok, p)
			require.Equal(t, key, back)
		}
	})
}
