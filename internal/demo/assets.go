package demo

import (
	"embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed web/portal.js web/portal.css
var assetFiles embed.FS

// asset is a file that pages load.
type asset struct {
	contentType string
	data        []byte
}

// newAssets makes script, style sheet and pictures, as heavy as load says.
func newAssets(load Load) map[string]asset {
	script, style := embedded("web/portal.js"), embedded("web/portal.css")
	script += bundle(load.ScriptBytes-len(script), load.ScriptWork)
	style += rules(load.StyleBytes - len(style))
	assets := map[string]asset{
		"portal.js":  {"text/javascript; charset=utf-8", []byte(script)},
		"portal.css": {"text/css; charset=utf-8", []byte(style)},
	}
	for i := range load.Images {
		name := fmt.Sprintf("picture-%d.png", i+1)
		assets[name] = asset{"image/png", content(pngs, name)}
	}
	return assets
}

func embedded(name string) string {
	data, err := assetFiles.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(data)
}

// bundle is script of some size in bytes, and work that it does on each page: the work is counted in rounds, not in time, so that it
// costs the same CPU however busy the machine is.
func bundle(size, work int) string {
	if size <= 0 && work <= 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nconst modules = {};\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "modules.m%[1]d = function (state, action) { switch (action.type) { case 'load%[1]d': return { ...state, loading: true, key: '%[2]s' };"+
			" case 'done%[1]d': return { ...state, loading: false, data: action.data }; default: return state; } };\n", i, noise(strconv.Itoa(i), 40))
	}
	fmt.Fprintf(&b, "modules.state = (() => { let state = 1; for (let i = 0; i < %d; i++) { state = Math.imul(state ^ i, 16777619); } return state; })();\n", work)
	return b.String()
}

// rules are style rules that match nothing, of some size in bytes.
func rules(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, ".module-%d > .row:nth-child(%d) .cell { padding: %dpx; color: #%06x; }\n", i, i%9+1, i%17, i*7919%0xffffff)
	}
	return b.String()
}

// filler is a table of some size in bytes, as a long history makes a real page: few elements with many attributes.
func filler(size int) string {
	if size <= 0 {
		return ""
	}
	draw := random("history")
	var b strings.Builder
	b.WriteString(`<table class="grid">`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `<tr class="history-row s-historyRow js-historyRow" data-index="%d" data-key="%s"><td class="s-date">2026-%02d-%02d</td>`+
			`<td class="s-field" data-field="custom_field_%d">Field %d changed</td><td class="s-value" data-old="%s" data-new="%s">%s</td></tr>`+"\n",
			i, noise(strconv.Itoa(i), 64), i%12+1, i%28+1, i, draw.IntN(200), noise(strconv.Itoa(i)+" old", 96), noise(strconv.Itoa(i)+" new", 96), noise(strconv.Itoa(i)+" text", 64))
	}
	b.WriteString(`</table>`)
	return b.String()
}

// asset serves a file that pages load. Browsers may keep it.
func (p *Portal) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.data)))
	_, _ = w.Write(a.data)
}
