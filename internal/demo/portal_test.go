package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/purserhq/purser/internal/po"
)

// quick makes a portal without delays that a test would have to wait for.
func quick() Load {
	return Load{Comments: Range{Min: -1, Max: -1}, SlowPage: -1}
}

// visitor is a client of a running portal.
type visitor struct {
	t      *testing.T
	portal *Portal
	base   string
	http   *http.Client
}

func open(t *testing.T, o Options) *visitor {
	t.Helper()
	if o.Load == (Load{}) {
		o.Load = quick()
	}
	p := New(o)
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		p.SetFaults(Faults{}) // else Close waits for requests that hang
		server.Close()
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.Jar = jar
	client.Timeout = time.Minute
	return &visitor{t: t, portal: p, base: server.URL, http: client}
}

func signedIn(t *testing.T, o Options) *visitor {
	t.Helper()
	v := open(t, o)
	if status, _, _ := v.signIn(DefaultLogin, DefaultPassword); status != http.StatusOK {
		t.Fatalf("signing in: status %d", status)
	}
	return v
}

func (v *visitor) signIn(login, password string) (int, string, *url.URL) {
	v.t.Helper()
	answer, err := v.http.PostForm(v.base+"/sessions/create", url.Values{"user[login]": {login}, "user[password]": {password}, "return_to": {"/order_headers"}})
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Request.URL
}

// get asks for a path or an absolute URL, and gives the status, the body and where redirects led.
func (v *visitor) get(address string) (int, string, *url.URL) {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.base + address
	}
	answer, err := v.http.Get(address)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Request.URL
}

// fetch gets a file as a patient client would: it asks again after a 503, and for the rest after a cut.
func (v *visitor) fetch(address string) ([]byte, error) {
	var data []byte
	var failure error
	for range 3 {
		r, err := http.NewRequest(http.MethodGet, v.base+address, http.NoBody)
		if err != nil {
			return nil, err
		}
		if len(data) > 0 {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(data)))
		}
		answer, err := v.http.Do(r)
		if err != nil {
			return nil, err
		}
		if answer.ContentLength > 1<<20 {
			answer.Body.Close()
			return nil, errors.New("too large")
		}
		part, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		switch {
		case answer.StatusCode == http.StatusPartialContent:
			data = append(data, part...)
		case answer.StatusCode == http.StatusOK:
			data = part
		default:
			failure = errors.New(answer.Status)
			continue
		}
		if err == nil {
			return data, nil
		}
		failure = err
	}
	return nil, failure
}

func mustJSON(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}

// offered lists what a document's page offers: addresses of files, and the bytes of blobs. Every address is listed once.
func (v *visitor) offered(path string) (addresses []string, blobs [][]byte) {
	v.t.Helper()
	_, body, _ := v.get(path)
	document, err := html.Parse(strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	add := func(address string) {
		address = strings.TrimPrefix(address, v.base)
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	for node := range document.Descendants() {
		a := attributes(node)
		switch {
		case strings.Contains(a["class"], "attachment-file"), node.Data == "template":
			add(a["data-url"])
		case a["data-bytes"] != "":
			data, err := base64.StdEncoding.DecodeString(a["data-bytes"])
			if err != nil {
				v.t.Fatal(err)
			}
			blobs = append(blobs, data)
		case a["data-target"] != "":
			add("/blobs/" + a["data-attachment"] + "/file")
		case a["data-attachment"] != "":
			answer, err := v.http.Post(v.base+"/tickets/"+a["data-attachment"], "", nil)
			if err != nil {
				v.t.Fatal(err)
			}
			var ticket struct{ URL string }
			err = json.NewDecoder(answer.Body).Decode(&ticket)
			answer.Body.Close()
			if err != nil {
				v.t.Fatal(err)
			}
			add(ticket.URL)
		case node.Data == "iframe":
			inner, _ := v.offered(a["src"])
			addresses = append(addresses, inner...)
		case node.Data == "a" && node.Parent.Data == "li":
			add(a["href"])
		case a["data-comments"] != "":
			status, body, _ := v.get(a["data-comments"])
			if status != http.StatusOK {
				status, body, _ = v.get(a["data-comments"])
			}
			if status != http.StatusOK {
				continue
			}
			var list struct{ Comments []commentJSON }
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				v.t.Fatalf("%s: %v", a["data-comments"], err)
			}
			for _, c := range list.Comments {
				for _, file := range c.Attachments {
					add(file.URL)
				}
			}
		}
	}
	return addresses, blobs
}

func attributes(node *html.Node) map[string]string {
	all := map[string]string{}
	for _, a := range node.Attr {
		all[a.Key] = a.Val
	}
	return all
}

func TestEveryPageOffersTheFilesOfTheTruthAndNoOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the late comments")
	}
	v := signedIn(t, Options{BulkPOs: true})
	truth := v.portal.Truth()
	bulk, ok := v.portal.Find("PO20000042")
	if !ok {
		t.Fatal("a bulk PO does not exist")
	}
	for _, want := range append(truth, bulk) {
		t.Run(string(want.Number), func(t *testing.T) {
			t.Parallel()
			v := *v
			v.t = t
			if want.Status == po.NotFound {
				_, body, at := v.get("/order_headers/" + want.Number.Digits())
				if strings.Contains(body, `data-id="`+want.Number.Digits()+`"`) {
					t.Errorf("%s shows the PO's page", at)
				}
				return
			}
			addresses, blobs := v.offered("/order_headers/" + want.Number.Digits())
			var digests []string
			for _, data := range blobs {
				digests = append(digests, sha256Hex(data))
			}
			if o := v.portal.order(want.Number.Digits()); o.requisition != nil && !o.requisition.closed && !o.hasPDF() {
				more, _ := v.offered("/requisition_headers/" + o.requisition.id)
				addresses = append(addresses, more...)
			}
			for _, address := range addresses {
				if u, err := url.Parse(address); err != nil || u.Host != "" || u.Scheme != "" {
					continue // must not be followed
				}
				data, err := v.fetch(address)
				if err == nil && !bytes.HasPrefix(data, []byte("<!DOCTYPE html>")) {
					digests = append(digests, sha256Hex(data))
				}
			}
			if found := len(addresses) + len(blobs); found != want.Found {
				t.Errorf("the page offers %d, the truth says %d: %q", found, want.Found, addresses)
			}
			for _, file := range want.Files {
				if !slices.Contains(digests, file.SHA256) {
					t.Errorf("%s cannot be had", file.Name)
				}
			}
		})
	}
}

func TestTheTruthIsConsistent(t *testing.T) {
	truth := New(Options{}).Truth()
	if len(truth) < 45 {
		t.Errorf("%d POs are too few", len(truth))
	}
	numbers, shapes, digests := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, o := range truth {
		if numbers[o.Number.Digits()] || shapes[o.Shape] {
			t.Errorf("%s stands in the table twice, or its shape does: %s", o.Number, o.Shape)
		}
		numbers[o.Number.Digits()], shapes[o.Shape] = true, true

		stored, found := len(o.Files), o.Found
		ok := false
		switch o.Status {
		case po.Completed:
			ok = o.Code == "" && found > 0 && stored == found
		case po.Partial:
			ok = o.Code != "" && stored > 0
		case po.NoAttachments:
			ok = o.Code == "" && found == 0
		case po.NotFound:
			ok = o.Code == po.CodeNotFound && found == 0 && o.Supplier == ""
		case po.Failed, po.PRNotAccessible:
			ok = o.Code != "" && stored == 0
		}
		if !ok {
			t.Errorf("%s is %s %q with %d of %d files", o.Number, o.Status, o.Code, stored, found)
		}

		names := map[string]bool{}
		for _, f := range o.Files {
			key := strings.ToLower(f.Name)
			if names[key] || len(f.Name) > 200 || strings.ContainsAny(f.Name, `/\`) {
				t.Errorf("%s: %q is no name for a file of its own", o.Number, f.Name)
			}
			names[key] = true
			if other := digests[f.SHA256]; other != "" && o.Number != "PO16900017" && f.Bytes > 0 {
				t.Errorf("%s and %s have the same bytes", other, o.Number)
			}
			digests[f.SHA256] = string(o.Number)
		}
	}
}

func TestTheTruthIsTheSameInEveryPortal(t *testing.T) {
	if a, b := mustJSON(New(Options{}).Truth()), mustJSON(New(Options{Weight: Heavy}).Truth()); !bytes.Equal(a, b) {
		t.Error("two portals differ")
	}
}

func TestWhoIsNotSignedInIsSentToTheForm(t *testing.T) {
	v := open(t, Options{})
	for _, path := range []string{"/", "/order_headers/16900001", "/comments?order_header_id=16900003", "/attachment/attachment_file/file/16900001001/x.pdf"} {
		_, body, at := v.get(path)
		if at.Path != "/sessions/new" || !strings.Contains(body, `name="user[login]"`) || strings.Contains(body, "user-menu") {
			t.Errorf("%s led to %s", path, at)
		}
	}
}

func TestSigningIn(t *testing.T) {
	v := open(t, Options{Users: []User{{Login: "a@b.example", Password: "secret", Name: "A B"}}})
	if _, body, at := v.signIn("a@b.example", "wrong"); at.Path != "/sessions/create" || !strings.Contains(body, "Invalid login") {
		t.Errorf("a wrong password led to %s", at)
	}
	if _, _, at := v.signIn("a@b.example", "secret"); at.Path != "/order_headers" {
		t.Errorf("the right password led to %s, not to where the visitor wanted to go", at)
	}
	_, body, _ := v.get("/")
	if !strings.Contains(body, `id="user-menu"`) || !strings.Contains(body, "A B") {
		t.Error("the landing page does not say who is signed in")
	}
	u, _ := url.Parse(v.base)
	cookies := v.http.Jar.Cookies(u)
	if len(cookies) != 1 || cookies[0].Name != SessionCookie {
		t.Errorf("cookies %v", cookies)
	}
	if got := v.portal.Stats().SignIns; got != 1 {
		t.Errorf("%d sign-ins were counted, want 1", got)
	}
}

func TestSigningOutNeedsTheFormsToken(t *testing.T) {
	v := signedIn(t, Options{})
	answer, err := v.http.PostForm(v.base+"/sessions/destroy", url.Values{"authenticity_token": {"forged"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a forged form got status %d", answer.StatusCode)
	}
	_, body, _ := v.get("/")
	_, after, _ := strings.Cut(body, `name="authenticity_token" value="`)
	token, _, _ := strings.Cut(after, `"`)
	answer, err = v.http.PostForm(v.base+"/sessions/destroy", url.Values{"authenticity_token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.Request.URL.Path != "/sessions/new" {
		t.Errorf("signing out led to %s", answer.Request.URL)
	}
}

func TestReturnToStaysOnThePortal(t *testing.T) {
	v := open(t, Options{})
	v.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, target := range []string{"https://elsewhere.example/", "//elsewhere.example/", `/\elsewhere.example/`} {
		answer, err := v.http.PostForm(v.base+"/sessions/create", url.Values{"user[login]": {DefaultLogin}, "user[password]": {DefaultPassword}, "return_to": {target}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("Location"); got != "/" {
			t.Errorf("return_to %s led to %s", target, got)
		}
	}
}

func TestAPOPageProvesWhichPOItShows(t *testing.T) {
	v := signedIn(t, Options{})
	_, body, _ := v.get("/order_headers/16900001")
	for _, want := range []string{
		`data-controller="order_headers" data-action="show" data-id="16900001"`,
		`<title>Purchase Order #PO16900001</title>`,
		`<span class="supplier-name">Alder Paper-0004700001</span>`,
		`<a href="/requisition_headers">`,
		`<div id="s-mountCommentsApp" data-comments="/comments?order_header_id=16900001"></div>`,
		`<li class="attachment" data-url="/attachments/16900001001"><span class="attachment-file" data-url="/attachment/attachment_file/type/16900001001/Signed%20order.pdf"><span role="button" tabindex="0" title="Signed order.pdf" aria-label="Signed order.pdf file attachment">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(strings.ToLower(body), "error"); n < 41 {
		t.Errorf(`"error" stands %d times on a good page, want at least 41`, n)
	}
	_, body, _ = v.get("/order_headers/16900034")
	if !strings.Contains(body, `data-id="16900001"`) {
		t.Error("PO16900034 does not show another PO's page")
	}
}

func TestPagesThatAreNotThePOs(t *testing.T) {
	v := signedIn(t, Options{})
	for digits, want := range map[string]struct {
		status int
		text   string
	}{
		"16900029": {200, "Oops! We couldn&#39;t find what you wanted"},
		"16900030": {200, "Desculpe, não encontramos o que você procurava"},
		"16900031": {404, "The page you were looking for doesn&#39;t exist"},
		"16900032": {403, "You are not authorized"},
		"16900033": {200, "You are not authorized"},
		"99999999": {404, "Oops!"},
		"20000001": {404, "Oops!"}, // no bulk POs here
	} {
		status, body, _ := v.get("/order_headers/" + digits)
		if status != want.status || !strings.Contains(body, want.text) {
			t.Errorf("%s: status %d, want %d and %q", digits, status, want.status, want.text)
		}
	}
}

func TestTheShowRouteOfAnAttachmentLeadsBackToItsPO(t *testing.T) {
	v := signedIn(t, Options{})
	if _, _, at := v.get("/attachments/16900001001"); at.Path != "/order_headers/16900001" {
		t.Errorf("it led to %s", at)
	}
}

func TestALinkThatIsFollowedToAnotherHostIsCounted(t *testing.T) {
	v := signedIn(t, Options{})
	o := v.portal.catalogue.byDigits["16900047"]
	_, _, at := v.get(o.attachments[1].url())
	if u, _ := url.Parse(v.base); at.Hostname() == u.Hostname() {
		t.Errorf("the file was at %s, on the portal's own host", at)
	}
	if got := v.portal.Stats().Leaks; got != 1 {
		t.Errorf("%d leaks were counted, want 1", got)
	}
}

func TestAOneTimeAddressWorksOnce(t *testing.T) {
	v := signedIn(t, Options{})
	o := v.portal.catalogue.byDigits["16900049"]
	status, _, at := v.get(o.attachments[0].url())
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if status, _, _ := v.get(at.String()); status != http.StatusNotFound {
		t.Errorf("the second time it got status %d", status)
	}
}

func TestABulkPOIsAlwaysTheSame(t *testing.T) {
	a, _ := New(Options{BulkPOs: true}).Find("PO20123456")
	b, _ := New(Options{BulkPOs: true}).Find("PO20123456")
	if !bytes.Equal(mustJSON(a), mustJSON(b)) || len(a.Files) != 2 || a.Number != "PO20123456" {
		t.Errorf("%v and %v", a, b)
	}
	for _, n := range []po.Number{"PO19999999", "PO21000000", "PO2000000x"} {
		if _, ok := New(Options{BulkPOs: true}).Find(n); ok {
			t.Errorf("%s exists", n)
		}
	}
}

func TestAHeavyPageWeighsWhatItShould(t *testing.T) {
	load := loads[Heavy]
	load.Latency, load.Comments = Range{-1, -1}, Range{-1, -1}
	v := signedIn(t, Options{Weight: Heavy, Load: load})
	near := func(what string, got, want int) {
		t.Helper()
		if got < want*97/100 || got > want*103/100 {
			t.Errorf("%s has %d bytes, want about %d", what, got, want)
		}
	}
	_, body, _ := v.get("/order_headers/20000001")
	near("the page", len(body), 170_000)
	if n := strings.Count(body, "<img "); n != 8 {
		t.Errorf("%d pictures", n)
	}
	_, body, _ = v.get("/assets/portal.js")
	near("the script", len(body), 1_500_000)
	_, body, _ = v.get("/assets/portal.css")
	near("the style sheet", len(body), 100_000)
	addresses, _ := v.offered("/order_headers/20000001")
	if len(addresses) != 2 {
		t.Fatalf("the page offers %q", addresses)
	}
	_, body, _ = v.get(addresses[0])
	near("a file", len(body), 150_000)
}

func TestDelaysStayInTheirRangeAndRepeat(t *testing.T) {
	r := Range{40 * time.Millisecond, 120 * time.Millisecond}
	different := map[time.Duration]bool{}
	for _, path := range []string{"/a", "/b", "/c", "/d", "/e"} {
		d := r.of(path)
		if d < r.Min || d > r.Max || d != r.of(path) {
			t.Errorf("%s takes %s", path, d)
		}
		different[d] = true
	}
	if len(different) < 4 {
		t.Errorf("all requests take equally long: %v", different)
	}
}

func TestADelayIsReadFromText(t *testing.T) {
	for text, want := range map[string]Range{
		"80ms":       {80 * time.Millisecond, 80 * time.Millisecond},
		"40ms-120ms": {40 * time.Millisecond, 120 * time.Millisecond},
	} {
		var got Range
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %v (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "80", "2s-1s", "1s-"} {
		var got Range
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestLoadOverridesTheWeightFieldByField(t *testing.T) {
	got := Load{PageBytes: 1000, Images: -1}.over(loads[Heavy])
	want := loads[Heavy]
	want.PageBytes, want.Images = 1000, 0
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAPauseEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if pause(ctx, time.Hour) || pause(ctx, 0) {
		t.Error("the client is gone, and still it was waited for")
	}
}
