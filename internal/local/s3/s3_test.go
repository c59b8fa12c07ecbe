package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // ETags are MD5
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the store's time, moved by hand. It ticks by itself a little, so that no two files have the same.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Millisecond)
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a store with a real client and the bucket "box".
type bench struct {
	*client.Client
	t     *testing.T
	dir   string
	clock *clock
	store *Store
	http  *httptest.Server

	mu      sync.Mutex
	created []Created
}

var box = aws.String("box")

func start(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), clock: &clock{t: time.Now()}}
	b.open()
	t.Cleanup(b.close)
	_, err := b.CreateBucket(t.Context(), &client.CreateBucketInput{Bucket: box})
	require.NoError(t, err)
	return b
}

func (b *bench) open() {
	var err error
	b.store, err = Open(Options{
		Dir: b.dir, State: filepath.Join(b.dir, ".state"), Inbox: "input/", AccessKey: "key", SecretKey: "secret", Now: b.clock.now,
		Created: func(c Created) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.created = append(b.created, c)
		},
	})
	require.NoError(b.t, err)
	b.http = httptest.NewServer(b.store.Handler())
	b.Client = b.client(b.http, "secret")
}

func (b *bench) client(server *httptest.Server, secret string) *client.Client {
	return client.New(client.Options{
		Region: "eu-central-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", secret, ""),
		// what a client made from the environment's settings does
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

func (b *bench) close() {
	b.http.Close()
	require.NoError(b.t, b.store.Close())
}

func (b *bench) restart() {
	b.close()
	b.open()
}

func (b *bench) put(key, content string) {
	_, err := b.PutObject(b.t.Context(), &client.PutObjectInput{Bucket: box, Key: &key, Body: strings.NewReader(content)})
	require.NoError(b.t, err, key)
}

func (b *bench) get(key string) string {
	out, err := b.GetObject(b.t.Context(), &client.GetObjectInput{Bucket: box, Key: &key})
	require.NoError(b.t, err, key)
	content, err := io.ReadAll(out.Body)
	require.NoError(b.t, errors.Join(err, out.Body.Close()))
	return string(content)
}

func (b *bench) missing(key string) bool {
	_, err := b.GetObject(b.t.Context(), &client.GetObjectInput{Bucket: box, Key: &key})
	var none *types.NoSuchKey
	return errors.As(err, &none)
}

// list is all keys, and behind them the common prefixes, page by page.
func (b *bench) list(prefix, delimiter string, page int32) (keys, folders []string) {
	in := &client.ListObjectsV2Input{Bucket: box, Prefix: &prefix, MaxKeys: &page}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	p := client.NewListObjectsV2Paginator(b.Client, in)
	for p.HasMorePages() {
		out, err := p.NextPage(b.t.Context())
		require.NoError(b.t, err)
		require.LessOrEqual(b.t, len(out.Contents)+len(out.CommonPrefixes), int(page))
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		for _, f := range out.CommonPrefixes {
			folders = append(folders, *f.Prefix)
		}
	}
	return keys, folders
}

func (b *bench) events() []Created {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.created
	b.created = nil
	return out
}

// drop writes a file as a person's program does, not as a client.
func (b *bench) drop(path, content string) {
	path = filepath.Join(b.dir, "box", path)
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(b.t, os.WriteFile(path, []byte(content), 0o644))
	now := b.clock.now()
	require.NoError(b.t, os.Chtimes(path, now, now))
}

func (b *bench) file(path string) string {
	content, err := os.ReadFile(filepath.Join(b.dir, "box", path))
	require.NoError(b.t, err)
	return string(content)
}

func (b *bench) leftovers() []string {
	files, err := filepath.Glob(filepath.Join(b.store.temporary(), "*"))
	require.NoError(b.t, err)
	return files
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestAnObjectIsAnOrdinaryFileAndKeepsItsMetadata(t *testing.T) {
	b := start(t)
	_, err := b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("download/Ümlaut & Co/a.pdf"), Body: strings.NewReader("%PDF"),
		ContentType: aws.String("application/pdf"), Metadata: map[string]string{"po": "PO1"}, Tagging: aws.String("team=ap"),
	})
	require.NoError(t, err)
	require.Equal(t, "%PDF", b.file("download/Ümlaut & Co/a.pdf"))
	b.restart()
	head, err := b.HeadObject(t.Context(), &client.HeadObjectInput{
		Bucket: box, Key: aws.String("download/Ümlaut & Co/a.pdf"), ChecksumMode: types.ChecksumModeEnabled,
	})
	require.NoError(t, err)
	require.Equal(t, "application/pdf", *head.ContentType)
	require.Equal(t, map[string]string{"po": "PO1"}, head.Metadata)
	require.Equal(t, `"`+md5Of("%PDF")+`"`, *head.ETag)
	require.NotEmpty(t, *head.ChecksumCRC32)
	tags, err := b.GetObjectTagging(t.Context(), &client.GetObjectTaggingInput{Bucket: box, Key: aws.String("download/Ümlaut & Co/a.pdf")})
	require.NoError(t, err)
	require.Equal(t, "ap", *tags.TagSet[0].Value)
}

func TestKeysThatNoFileSystemHoldsAreObjectsAllTheSame(t *testing.T) {
	b := start(t)
	keys := []string{
		"a", "a/b", "a/b/c", "a/", "a//b", "a//", "b/c", "b", "../x", "./x", "x/..", "x/.", "%(empty)", "c%(file)", "d%(more)", "50%(net)",
		"my file.csv", "a+b.csv", "übung 100%.csv", "q?x=1&y=2.csv", "tab\there", ".hidden/.file", "A", strings.Repeat("ü", 300) + "/x",
		strings.Repeat("y", 255), strings.Repeat("y", 256),
	}
	for _, key := range keys {
		b.put(key, "content of "+key)
	}
	for _, key := range keys {
		require.Equal(t, "content of "+key, b.get(key))
	}
	listed, _ := b.list("", "", 7)
	require.ElementsMatch(t, keys, listed)
	require.IsIncreasing(t, listed)

	// The index is not needed to read the keys back.
	require.NoError(t, b.store.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(objectsBucket("box")); err != nil {
			return err
		}
		_, err := tx.CreateBucket(objectsBucket("box"))
		return err
	}))
	listed, _ = b.list("", "", 1000)
	for _, key := range keys {
		if !strings.HasPrefix(key, ".hidden") { // hidden files are objects for those who know their key
			require.Contains(t, listed, key)
		}
		require.Equal(t, "content of "+key, b.get(key))
	}

	for _, key := range keys {
		_, err := b.DeleteObject(t.Context(), &client.DeleteObjectInput{Bucket: box, Key: &key})
		require.NoError(t, err)
		require.True(t, b.missing(key), key)
	}
	_, err := b.DeleteBucket(t.Context(), &client.DeleteBucketInput{Bucket: box})
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(b.dir, "box"))
}

func TestAListingHasPrefixesFoldersAndPages(t *testing.T) {
	b := start(t)
	var keys []string
	for i := range 9 {
		keys = append(keys, fmt.Sprintf("list/%d/f.txt", i), fmt.Sprintf("list/%d/g.txt", i), fmt.Sprintf("list/p%d", i))
	}
	for _, key := range append(keys, "lis", "list", "list-", "lisu") {
		b.put(key, "x")
	}
	for _, page := range []int32{1, 2, 5, 1000} {
		got, folders := b.list("list/", "", page)
		require.ElementsMatch(t, keys, got)
		require.Empty(t, folders)
		got, folders = b.list("list/", "/", page)
		require.Len(t, got, 9)
		require.Len(t, folders, 9)
		got, folders = b.list("list", "/", page)
		require.Equal(t, []string{"list", "list-"}, got)
		require.Equal(t, []string{"list/"}, folders)
		_, folders = b.list("list/3", "/", page)
		require.Equal(t, []string{"list/3/"}, folders)
	}
	after, err := b.ListObjectsV2(t.Context(), &client.ListObjectsV2Input{Bucket: box, Prefix: aws.String("list/p"), StartAfter: aws.String("list/p5")})
	require.NoError(t, err)
	require.Len(t, after.Contents, 3)
	none, folders := b.list("nothing/here/", "/", 10)
	require.Empty(t, none)
	require.Empty(t, folders)
}

func TestOfRacingFirstWritersOneWins(t *testing.T) {
	b := start(t)
	var wins, refused atomic.Int32
	var writers sync.WaitGroup
	for i := range 10 {
		writers.Go(func() {
			_, err := b.PutObject(t.Context(), &client.PutObjectInput{
				Bucket: box, Key: aws.String("once"), Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: aws.String("*"),
			})
			switch {
			case err == nil:
				wins.Add(1)
			case code(err) == "PreconditionFailed":
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	writers.Wait()
	require.Equal(t, []int32{1, 9}, []int32{wins.Load(), refused.Load()})
	require.Empty(t, b.leftovers())

	_, err := b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("once"), Body: strings.NewReader("x"), IfMatch: aws.String(`"` + md5Of("other") + `"`),
	})
	require.Equal(t, "PreconditionFailed", code(err))
	_, err = b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("once"), Body: strings.NewReader("x"), IfMatch: aws.String(`"` + md5Of(b.get("once")) + `"`),
	})
	require.NoError(t, err)
}

func (b *bench) presignedPut(key string) string {
	r, err := client.NewPresignClient(b.Client).PresignPutObject(b.t.Context(), &client.PutObjectInput{Bucket: box, Key: &key})
	require.NoError(b.t, err)
	return r.URL
}

func TestABrokenPutLeavesTheOldObjectAndNothingElse(t *testing.T) {
	b := start(t)
	b.put("x", "old")
	body, write := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.presignedPut("x"), body)
	require.NoError(t, err)
	r.ContentLength = 1 << 20
	go func() {
		_, _ = write.Write(bytes.Repeat([]byte("n"), 200<<10))
		write.CloseWithError(errors.New("the client died"))
	}()
	_, err = b.http.Client().Do(r) //nolint:bodyclose // there is none
	require.Error(t, err)
	require.Equal(t, "old", b.get("x"))
	require.Eventually(t, func() bool { return len(b.leftovers()) == 0 }, time.Minute, time.Millisecond)
	require.Len(t, b.events(), 1, "of the old object")
}

func TestPresignedURLsWorkAndWrongSecretsDoNot(t *testing.T) {
	b := start(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.presignedPut("x"), strings.NewReader("by URL"))
	require.NoError(t, err)
	response, err := b.http.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "by URL", b.get("x"))
	_, err = b.client(b.http, "wrong").ListBuckets(t.Context(), &client.ListBucketsInput{})
	require.Equal(t, "SignatureDoesNotMatch", code(err))
}

// unseekable is a body that can be read once, as a pipe's.
type unseekable struct{ io.Reader }

func TestAChunkedBodyIsStoredWithoutItsChunks(t *testing.T) {
	b := start(t)
	target, err := url.Parse(b.http.URL)
	require.NoError(t, err)
	// Over TLS the client sends bodies in chunks with the checksum behind them.
	tls := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}})
	defer tls.Close()
	content := strings.Repeat("chunked ", 40<<10)
	_, err = b.client(tls, "secret").PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("x"), Body: unseekable{strings.NewReader(content)}, ContentLength: aws.Int64(int64(len(content))),
	})
	require.NoError(t, err)
	require.Equal(t, content, b.get("x"))
}

func TestAWrongChecksumIsRefused(t *testing.T) {
	b := start(t)
	b.put("x", "old")
	_, err := b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("x"), Body: strings.NewReader("new"), ChecksumCRC32: aws.String("AAAAAA=="),
	})
	require.Equal(t, "BadDigest", code(err))
	require.Equal(t, "old", b.get("x"))
	require.Empty(t, b.leftovers())
}

func (b *bench) begin(key string) *string {
	out, err := b.CreateMultipartUpload(b.t.Context(), &client.CreateMultipartUploadInput{
		Bucket: box, Key: &key, ContentType: aws.String("text/x"), Metadata: map[string]string{"k": "v"},
	})
	require.NoError(b.t, err)
	return out.UploadId
}

func (b *bench) part(key string, id *string, number int32, content string) types.CompletedPart {
	out, err := b.UploadPart(b.t.Context(), &client.UploadPartInput{
		Bucket: box, Key: &key, UploadId: id, PartNumber: &number, Body: strings.NewReader(content),
	})
	require.NoError(b.t, err)
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag}
}

func (b *bench) complete(key string, id *string, parts ...types.CompletedPart) error {
	_, err := b.CompleteMultipartUpload(b.t.Context(), &client.CompleteMultipartUploadInput{
		Bucket: box, Key: &key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

func TestAMultipartUploadBecomesOneFile(t *testing.T) {
	b := start(t)
	id := b.begin("big")
	two := b.part("big", id, 2, "two")
	b.part("big", id, 1, "wrong")
	one := b.part("big", id, 1, "one")
	require.True(t, b.missing("big"), "until it is complete")
	require.Equal(t, "InvalidPartOrder", code(b.complete("big", id, two, one)))
	require.Equal(t, "InvalidPart", code(b.complete("big", id, one, types.CompletedPart{PartNumber: aws.Int32(3), ETag: one.ETag})))
	require.NoError(t, b.complete("big", id, one, two))
	require.Equal(t, "onetwo", b.file("big"))
	head, err := b.HeadObject(t.Context(), &client.HeadObjectInput{Bucket: box, Key: aws.String("big")})
	require.NoError(t, err)
	require.Equal(t, []string{"text/x", "v", `"` + md5Of("onetwo") + `"`}, []string{*head.ContentType, head.Metadata["k"], *head.ETag})
	require.Empty(t, b.leftovers())
	require.NoError(t, b.complete("big", id, one, two), "a client that lost the answer asks again")
	require.Len(t, b.events(), 1)
}

func TestUploadsThatAreGivenUpLeaveNoParts(t *testing.T) {
	b := start(t)
	aborted, stale := b.begin("aborted"), b.begin("stale")
	b.part("aborted", aborted, 1, "x")
	b.part("stale", stale, 1, "x")
	require.Len(t, b.leftovers(), 2)
	_, err := b.AbortMultipartUpload(t.Context(), &client.AbortMultipartUploadInput{Bucket: box, Key: aws.String("aborted"), UploadId: aborted})
	require.NoError(t, err)
	require.Len(t, b.leftovers(), 1)

	// The store's clock runs ahead of the client's: its own limit is what is tested, so it is asked directly.
	b.clock.pass(uploadLife + time.Minute)
	b.store.dropStaleUploads(t.Context())
	require.Empty(t, b.leftovers())
	open, err := b.ListMultipartUploads(t.Context(), &client.ListMultipartUploadsInput{Bucket: box})
	require.NoError(t, err)
	require.Empty(t, open.Uploads)

	b.part("lost", b.begin("lost"), 1, "x")
	require.Len(t, b.leftovers(), 1)
	b.restart()
	require.Empty(t, b.leftovers(), "an upload does not outlive the process")
}

func TestACopyHasTheContentAndTheMetadata(t *testing.T) {
	b := start(t)
	_, err := b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("from"), Body: strings.NewReader("x"), Metadata: map[string]string{"k": "v"},
	})
	require.NoError(t, err)
	_, err = b.CopyObject(t.Context(), &client.CopyObjectInput{Bucket: box, Key: aws.String("a/to"), CopySource: aws.String("box/from")})
	require.NoError(t, err)
	head, err := b.HeadObject(t.Context(), &client.HeadObjectInput{Bucket: box, Key: aws.String("a/to")})
	require.NoError(t, err)
	require.Equal(t, "v", head.Metadata["k"])
	require.Equal(t, "x", b.get("a/to"))
}

func TestDeletingPrunesFoldersButKeepsTheOutermost(t *testing.T) {
	b := start(t)
	b.put("download/job/PO1/a.pdf", "x")
	b.put("download/job/PO1/b.pdf", "x")
	out, err := b.DeleteObjects(t.Context(), &client.DeleteObjectsInput{Bucket: box, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("download/job/PO1/a.pdf")}, {Key: aws.String("download/job/PO1/b.pdf")}, {Key: aws.String("never/there")},
	}}})
	require.NoError(t, err)
	require.Len(t, out.Deleted, 3)
	require.NoDirExists(t, filepath.Join(b.dir, "box", "download", "job"))
	require.DirExists(t, filepath.Join(b.dir, "box", "download"))
}

func TestAReaderKeepsItsObjectWhileItIsReplaced(t *testing.T) {
	b := start(t)
	b.put("x", strings.Repeat("old", 1<<20))
	out, err := b.GetObject(t.Context(), &client.GetObjectInput{Bucket: box, Key: aws.String("x")})
	require.NoError(t, err)
	b.put("x", "new")
	content, err := io.ReadAll(out.Body)
	require.NoError(t, errors.Join(err, out.Body.Close()))
	require.Equal(t, strings.Repeat("old", 1<<20), string(content))
	require.Equal(t, "new", b.get("x"))
}

func TestEveryWriteIsAnnouncedOnceAndInOrder(t *testing.T) {
	b := start(t)
	b.put("input/a b.csv", "one")
	b.put("input/a b.csv", "two")
	b.restart()
	b.put("x", "three")
	events := b.events()
	require.Len(t, events, 3)
	require.Equal(t, Created{
		Bucket: "box", Key: "input/a b.csv", ETag: md5Of("two"), Size: 3, Sequencer: events[1].Sequencer, Time: events[1].Time,
	}, events[1])
	require.Less(t, events[0].Sequencer, events[1].Sequencer)
	require.Less(t, events[1].Sequencer, events[2].Sequencer, "also over a restart")
	b.drop("input/later.csv", "x")
	require.NoError(t, errors.Join(b.store.scan(), b.store.scan(), b.store.scan()))
	require.Len(t, b.events(), 1, "what a client wrote is not announced again")
}

func TestFilesChangedByHandAreSeenAsTheyAre(t *testing.T) {
	b := start(t)
	b.drop("input/by hand.csv", "PO_NUMBER\n1\n")
	keys, _ := b.list("input/", "", 10)
	require.Equal(t, []string{"input/by hand.csv"}, keys)
	head, err := b.HeadObject(t.Context(), &client.HeadObjectInput{Bucket: box, Key: aws.String("input/by hand.csv")})
	require.NoError(t, err)
	require.Equal(t, `"`+md5Of("PO_NUMBER\n1\n")+`"`, *head.ETag)
	require.Contains(t, *head.ContentType, "text/csv")
	require.Equal(t, "PO_NUMBER\n1\n", b.get("input/by hand.csv"))

	b.put("input/x", "by client")
	b.drop("input/x", "by hand")
	require.Equal(t, "by hand", b.get("input/x"))
	_, err = b.PutObject(t.Context(), &client.PutObjectInput{
		Bucket: box, Key: aws.String("input/x"), Body: strings.NewReader("y"), IfMatch: aws.String(`"` + md5Of("by client") + `"`),
	})
	require.Equal(t, "PreconditionFailed", code(err))

	require.NoError(t, os.RemoveAll(filepath.Join(b.dir, "box", "input")))
	require.True(t, b.missing("input/x"))
	keys, _ = b.list("", "", 10)
	require.Empty(t, keys)
	b.put("input/x", "again")
	require.Equal(t, "again", b.get("input/x"))
}

func TestAFileDroppedIntoTheInboxIsAnnouncedWhenItIsWhole(t *testing.T) {
	b := start(t)
	scan := func() []Created {
		require.NoError(t, b.store.scan())
		return b.events()
	}
	b.drop("input/pos.csv", "half")
	b.drop("input/.pos.csv.swp", "hidden")
	b.drop("input/~$pos.xlsx", "a lock")
	b.drop("input/pos.csv.crdownload", "under way")
	b.drop("elsewhere/pos.csv", "not the inbox")
	require.Empty(t, scan(), "it may be growing")
	b.list("", "", 10) // a listing in between changes nothing
	b.drop("input/pos.csv", "half and half")
	require.Empty(t, scan(), "it did grow")
	events := scan()
	require.Len(t, events, 1)
	require.Equal(t, []string{"box", "input/pos.csv", md5Of("half and half")}, []string{events[0].Bucket, events[0].Key, events[0].ETag})
	require.Empty(t, scan(), "once")

	b.restart()
	require.Empty(t, append(scan(), scan()...), "once, over a restart too")
	b.drop("input/pos.csv", "a new version")
	require.Len(t, append(scan(), scan()...), 1)

	require.NoError(t, os.Remove(filepath.Join(b.dir, "box", "input", "pos.csv")))
	require.Empty(t, scan())
	b.drop("input/pos.csv", "a new version")
	require.Len(t, append(scan(), scan()...), 1, "what was removed may come again")
}

func TestBucketsAreMadeListedAndRemovedWhenEmpty(t *testing.T) {
	b := start(t)
	_, err := b.CreateBucket(t.Context(), &client.CreateBucketInput{Bucket: box})
	require.Equal(t, "BucketAlreadyExists", code(err))
	b.drop("by-hand.txt", "x")
	_, err = b.DeleteBucket(t.Context(), &client.DeleteBucketInput{Bucket: box})
	require.Equal(t, "BucketNotEmpty", code(err))
	out, err := b.ListBuckets(t.Context(), &client.ListBucketsInput{})
	require.NoError(t, err)
	require.Len(t, out.Buckets, 1)
	_, err = b.GetObject(t.Context(), &client.GetObjectInput{Bucket: aws.String("none"), Key: aws.String("x")})
	require.Equal(t, "NoSuchBucket", code(err))
}

func TestRangesAreParts(t *testing.T) {
	b := start(t)
	b.put("x", "0123456789")
	for wanted, want := range map[string]string{"bytes=0-3": "0123", "bytes=-4": "6789", "bytes=8-": "89", "bytes=5-500": "56789"} {
		out, err := b.GetObject(t.Context(), &client.GetObjectInput{Bucket: box, Key: aws.String("x"), Range: &wanted})
		require.NoError(t, err)
		content, err := io.ReadAll(out.Body)
		require.NoError(t, errors.Join(err, out.Body.Close()))
		require.Equal(t, want, string(content), wanted)
	}
	_, err := b.GetObject(t.Context(), &client.GetObjectInput{Bucket: box, Key: aws.String("x"), Range: aws.String("bytes=10-")})
	require.Equal(t, "InvalidRange", code(err))
}

func TestTheWatcherFindsWhatIsDropped(t *testing.T) {
	dir, found := t.TempDir(), make(chan Created, 1)
	s, err := Open(Options{
		Dir: dir, State: filepath.Join(dir, ".state"), Inbox: "input/", AccessKey: "key", SecretKey: "secret",
		Created: func(c Created) { found <- c },
	})
	require.NoError(t, err)
	s.Watch()
	require.NoError(t, s.CreateBucket(context.Background(), "box"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "box", "input"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "box", "input", "pos.csv"), []byte("x"), 0o644))
	require.Equal(t, "input/pos.csv", (<-found).Key)
	require.NoError(t, s.Close())
}
