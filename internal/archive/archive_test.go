package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/purserhq/purser/internal/po"
)

// keys lists what lies under a prefix.
func keys(t *testing.T, a *Archive, prefix string) []string {
	t.Helper()
	var all []string
	for o, err := range a.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Key)
	}
	return all
}

func read(t *testing.T, a *Archive, key string) []byte {
	t.Helper()
	body, size, err := a.Open(t.Context(), key, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	if err != nil || int64(len(all)) != size {
		t.Fatalf("%d of %d bytes, %v", len(all), size, err)
	}
	return all
}

func TestAFileIsStoredUnderItsKeyAndType(t *testing.T) {
	a := newArchive(t)
	path := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(path, []byte("%PDF-1.7"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := Folder("j", nil, "Société & Co", "PO16900004", po.Completed) + "/Angebot März (1).pdf"
	for range 2 { // a repeated upload is the same object
		if err := a.PutFile(t.Context(), key, path, "application/pdf"); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, a, key); string(got) != "%PDF-1.7" {
		t.Fatalf("%q", got)
	}
	head, err := a.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(a.bucket), Key: aws.String(key)})
	if err != nil || aws.ToString(head.ContentType) != "application/pdf" {
		t.Fatalf("%v, %v", aws.ToString(head.ContentType), err)
	}
	if got := keys(t, a, "download/j/"); !slices.Equal(got, []string{key}) {
		t.Fatalf("%v", got)
	}
}

func TestAWriterStoresAllOrNothing(t *testing.T) {
	a := newArchive(t)
	ctx := t.Context()
	for name, size := range map[string]int{"small": 10, "empty": 0, "several parts": 2*partBytes + 12345} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		w, err := a.Writer(ctx, "results/j/"+name, "text/plain")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := read(t, a, "results/j/"+name); !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes came back of %d", name, len(got), len(body))
		}

		w, err = a.Writer(ctx, "results/k/"+name, "text/plain")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		if err := w.CloseWithError(errors.New("the rows could not be read")); err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, a, "results/k/"); len(got) != 0 {
		t.Errorf("uploads that were given up left %v", got)
	}
}

func TestAWriterTellsOfAnUploadThatFails(t *testing.T) {
	a := newArchive(t)
	nowhere := New(a.client, "no-such-bucket")
	w, err := nowhere.Writer(t.Context(), "results/j/a", "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(w, bytes.NewReader(make([]byte, 3*partBytes))) // may fail, or be buffered
	if err := w.Close(); err == nil {
		t.Fatal("a bucket that does not exist took the object")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w, err = a.Writer(ctx, "results/j/b", "text/plain"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Fatal("an upload whose context had ended succeeded")
	}
}

func TestASheetThatWasReplacedOrDeletedIsGone(t *testing.T) {
	a := newArchive(t)
	ctx := t.Context()
	put := func(body string) string {
		t.Helper()
		out, err := a.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(a.bucket), Key: aws.String("input/pos.csv"), Body: strings.NewReader(body),
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(aws.ToString(out.ETag), `"`) // as events give it
	}
	first := put("PO_NUMBER\nPO16900004\n")
	body, size, err := a.Open(ctx, "input/pos.csv", "", first)
	if err != nil || size != 21 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	put("PO_NUMBER\nPO16900005\n")
	if _, _, err := a.Open(ctx, "input/pos.csv", "", first); !errors.Is(err, ErrGone) {
		t.Fatalf("replaced: %v", err)
	}
	if _, err := a.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(a.bucket), Key: aws.String("input/pos.csv")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Open(ctx, "input/pos.csv", "", first); !errors.Is(err, ErrGone) {
		t.Fatalf("deleted: %v", err)
	}
	if _, _, err := New(a.client, "no-such-bucket").Open(ctx, "input/pos.csv", "", ""); err == nil || errors.Is(err, ErrGone) {
		t.Fatalf("no bucket is no deleted sheet: %v", err)
	}
}

func TestSettlingLeavesOneFolderForEachPO(t *testing.T) {
	a := newArchive(t)
	ctx := t.Context()
	folder := func(n po.Number, st po.Status) string { return Folder("j", []string{"Acme", "2026"}, "", n, st) }
	kept := []string{
		folder("PO16900004", po.Completed) + "/a.pdf",
		folder("PO16900004", po.Completed) + "/b.pdf",
	}
	others := []string{
		folder("PO169000041", po.Failed) + "/a.pdf", // begins the same
		folder("PO16900005", po.Partial) + "/a.pdf",
		Folder("j", []string{"Acme"}, "", "PO16900004", po.Partial) + "/a.pdf", // another level
		Folder("k", []string{"Acme", "2026"}, "", "PO16900004", po.Partial) + "/a.pdf",
		"download/j/Acme/2026/PO16900004_NOTES/a.pdf", // somebody's own
	}
	stale := []string{
		folder("PO16900004", po.Completed) + "/old.pdf",
		folder("PO16900004", po.Partial) + "/a.pdf",
		folder("PO16900004", po.NotFound) + "/x.html",
		folder("PO16900004", po.PRNotAccessible) + "/a.pdf",
	}
	for _, k := range slices.Concat(kept, others, stale) {
		if err := a.Put(ctx, k, "", []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := a.Settle(ctx, folder("PO16900004", po.Completed), kept); err != nil {
			t.Fatal(err)
		}
	}
	want := slices.Concat(kept, others)
	slices.Sort(want)
	got := keys(t, a, "download/")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, bad := range []string{"download/j/Acme", "results/j/PO1_COMPLETED", "", "download/j/_COMPLETED/x"} {
		if err := a.Settle(ctx, bad, nil); err == nil {
			t.Errorf("%q was settled, though it is no PO's folder", bad)
		}
	}
}

func TestSettlingRemovesAnyNumberOfFiles(t *testing.T) {
	a := newArchive(t)
	folder := Folder("j", nil, "Acme", "PO16900004", po.Partial)
	for n := range maxDeletes + 5 {
		if err := a.Put(t.Context(), folder+"/"+strings.Repeat("x", n%7)+string(rune('a'+n%26))+"_"+strings.Repeat("y", n/26)+".pdf", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Settle(t.Context(), Folder("j", nil, "Acme", "PO16900004", po.Completed), nil); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, a, "download/"); len(got) != 0 {
		t.Fatalf("%d objects are left", len(got))
	}
}
