package report

import (
	"bytes"
	"encoding/json"
	"errors"
)

// SharedName is the name of a report that opens without the bucket's folders beside it.
const SharedName = "shared.html"

// Shared is a job's report in which the object of each key of links is opened by its link there, a presigned one, say.
func Shared(html []byte, links map[string]string) ([]byte, error) {
	mark := []byte(`<script type="application/json" id="words">`)
	at := bytes.Index(html, mark)
	if at < 0 {
		return nil, errors.New("this is no report of a job")
	}
	data, err := json.Marshal(links) // escapes <, > and &: no link ends the element
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(html[:at])
	b.WriteString(`<script type="application/json" id="links">`)
	b.Write(data)
	b.WriteString("</script>\n")
	b.Write(html[at:])
	return b.Bytes(), nil
}
