package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/po"
)

//go:embed web
var web embed.FS

var (
	pageTemplate = template.Must(template.New("").Funcs(template.FuncMap{
		"count": count, "size": size, "took": took, "escape": url.PathEscape, "stamp": stamp,
	}).ParseFS(web, "web/report.html"))
	pageStyle  = asset("report.css")
	pageScript = asset("report.js")
	// pagePolicy lets the page run its own script and nothing else, and load nothing: foreign text that got through all the
	// escaping would still do nothing.
	pagePolicy = fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'none'; script-src '%s'; style-src '%s'", digest(pageScript), digest(pageStyle))
)

func asset(name string) string {
	data, err := web.ReadFile("web/" + name)
	if err != nil { // it is compiled in
		panic(err)
	}
	return string(data)
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

const (
	// rowsPerBlock is how many rows one block of data holds. A browser parses one block at a time, and none is longer than the
	// longest string that it can hold.
	rowsPerBlock = 1000
	// reportTime is how times are shown, as in the sheet.
	reportTime = "2006-01-02 15:04:05"
)

// page writes report.html in one pass: the head, the rows as blocks of JSON, which nobody sees, and then what is seen, for only
// then the totals are known. The script in it makes the table of the rows.
type page struct {
	w        *bufio.Writer
	job      ledger.Job
	location *time.Location
	rows     int
}

func newPage(w io.Writer, job ledger.Job, location *time.Location) (*page, error) {
	p := &page{w: bufio.NewWriterSize(w, 64<<10), job: job, location: location}
	err := pageTemplate.ExecuteTemplate(p.w, "head", map[string]any{
		"Title": job.Name, "Policy": pagePolicy, "Style": template.CSS(pageStyle), //nolint:gosec // our own file
	})
	return p, err
}

// pageRow is a row as the page's script gets it.
type pageRow struct {
	Row       int        `json:"row"`
	PO        po.Number  `json:"po"`
	Status    po.Status  `json:"status"`
	Supplier  string     `json:"supplier,omitempty"`
	Found     int        `json:"found,omitempty"`
	Files     []pageFile `json:"files,omitempty"`
	Code      string     `json:"code,omitempty"`
	Message   string     `json:"message,omitempty"`
	Folder    string     `json:"folder,omitempty"`
	URL       string     `json:"url,omitempty"`
	At        string     `json:"at,omitempty"` // RFC 3339, in the report's time zone
	Attempt   int        `json:"attempt,omitempty"`
	Duplicate int        `json:"duplicate,omitempty"` // the line that it repeats
	Rejected  bool       `json:"rejected,omitempty"`
	Skipped   bool       `json:"skipped,omitempty"`
	InDLQ     bool       `json:"dlq,omitempty"`
	Evidence  []string   `json:"evidence,omitempty"` // keys
}

type pageFile struct {
	Name        string `json:"name"`
	Key         string `json:"key,omitempty"` // when it is not the folder and the name
	Bytes       int64  `json:"bytes"`
	Requisition string `json:"requisition,omitempty"` // where it comes from, if not from the PO
	Note        string `json:"note,omitempty"`
}

func (p *page) add(r ledger.Row) error {
	row := pageRow{
		Row: r.Row, PO: r.PO, Status: r.Status, Supplier: r.Supplier, Found: r.Found, Code: string(r.Code), Message: r.Message,
		Folder: r.Folder, URL: r.URL, Attempt: r.Attempt, Duplicate: r.DuplicateOf, Rejected: r.Code == po.CodeInput,
		Skipped: r.Skipped, InDLQ: r.InDLQ, Evidence: r.Evidence,
	}
	if !r.ProcessedAt.IsZero() {
		row.At = r.ProcessedAt.In(p.location).Format(time.RFC3339)
	}
	for _, f := range r.Files {
		file := pageFile{Name: f.Name, Bytes: f.Bytes, Note: f.Note}
		if f.Key != r.Folder+"/"+f.Name {
			file.Key = f.Key
		}
		if f.Source == po.FromRequisition {
			file.Requisition = cmp.Or(f.SourceID, "?")
		}
		row.Files = append(row.Files, file)
	}
	// Marshal escapes what a browser could take for the end of the block, or for a comment: "<", ">", "&", U+2028 and U+2029.
	data, err := json.Marshal(row)
	if err != nil {
		return err
	}
	before := ",\n"
	if p.rows%rowsPerBlock == 0 {
		p.endBlock()
		before = "<script type=\"application/json\" class=\"rows\">[\n"
	}
	p.rows++
	p.w.WriteString(before)
	_, err = p.w.Write(data)
	return err
}

// endBlock ends the block of data that is open. The writer remembers errors.
func (p *page) endBlock() {
	if p.rows > 0 {
		p.w.WriteString("\n]</script>\n")
	}
}

// outcome is one status in the chart of outcomes.
type outcome struct {
	Status        po.Status
	Words         string
	Count         int64
	Start, Share  string // of the bar, in percent of its length
	SharePercents string // for people
}

// pageReason is one error code, how often it occurred, and what it means.
type pageReason struct {
	reason
	Code  po.ErrorCode
	Count int64
}

func (p *page) finish(s Summary) error {
	p.endBlock()
	words, err := json.Marshal(map[string]any{"statuses": statusWords, "reasons": reasons, "order": po.Statuses})
	if err != nil { // strings only: cannot happen
		return err
	}
	err = pageTemplate.ExecuteTemplate(p.w, "body", map[string]any{
		"Job": p.job, "S": s, "Zone": p.location.String(),
		"Started": s.Started.In(p.location), "Finished": s.Finished.In(p.location),
		"Outcomes": outcomes(s), "Partial": s.ByStatus[po.Partial], "Redrivable": s.redrivable(),
		"Reasons": reasonsOf(s), "Lines": int64(p.rows),
		"Files":  []string{SummaryName, ManifestName, ManifestLinesName},
		"Words":  template.JS(words),      //nolint:gosec // our own text, marshalled
		"Script": template.JS(pageScript), //nolint:gosec // our own file
	})
	if err != nil {
		return err
	}
	return p.w.Flush()
}

// outcomes are the statuses that occurred, good news first.
func outcomes(s Summary) []outcome {
	var all []outcome
	before := int64(0)
	for _, status := range append(slices.Clone(po.Statuses), po.Pending) {
		n := s.ByStatus[status]
		if n == 0 {
			continue
		}
		part := func(n int64) float64 { return 100 * float64(n) / float64(s.TotalPOs) }
		people := fmt.Sprintf("%.0f %%", part(n))
		switch { // neither none nor all
		case part(n) < 1:
			people = "< 1 %"
		case part(n) > 99 && n < s.TotalPOs:
			people = "> 99 %"
		}
		all = append(all, outcome{
			Status: status, Words: statusWords[status], Count: n, Start: fmt.Sprintf("%.3f%%", part(before)),
			Share: fmt.Sprintf("%.3f%%", part(n)), SharePercents: people,
		})
		before += n
	}
	return all
}

// reasonsOf are the error codes that occurred, the most frequent first.
func reasonsOf(s Summary) []pageReason {
	var all []pageReason
	for _, code := range byFrequency(s.ByErrorCode) {
		all = append(all, pageReason{reason: reasons[code], Code: code, Count: s.ByErrorCode[code]})
	}
	return all
}

// byFrequency are the codes, the most frequent first.
func byFrequency(counts map[po.ErrorCode]int64) []po.ErrorCode {
	return slices.SortedFunc(maps.Keys(counts), func(x, y po.ErrorCode) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
}

// count is a number with its thousands marked off.
func count(n int64) string { return message.NewPrinter(language.English).Sprintf("%d", n) }

// size is a number of bytes for a person.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.5 && unit < len("kMGTPE")-1 {
		value, unit = value/1000, unit+1
	}
	digits := 0
	if value < 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %cB", digits, value, "kMGTPE"[unit])
}

// took is a number of seconds for a person: "1 h 2 min".
func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case seconds > 0 && d < time.Second:
		return "less than 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second), " 0 s")
	}
	d = d.Round(time.Minute)
	return strings.TrimSuffix(fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute), " 0 min")
}

func stamp(t time.Time) string { return t.Format(reportTime) }
