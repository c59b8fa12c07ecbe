package telemetry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// Redactor takes secrets out of log lines: the values it was told of, and whatever looks like a credential: a URL's query,
// its user part, an Authorization or Cookie header. It is a logrus hook.
type Redactor struct {
	mu      sync.RWMutex
	secrets []string
}

const redacted = "[redacted]"

// Secret tells the redactor a value that no line may show. Values shorter than six bytes are left alone: they would stand in
// innocent words.
func (r *Redactor) Secret(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if len(v) >= 6 && !slices.Contains(r.secrets, v) { // the same session comes with each new browser
			r.secrets = append(r.secrets, v)
		}
	}
}

var (
	urlQuery  = regexp.MustCompile(`(https?://[^\s"'<>?#]+)[?#][^\s"'<>]*`)
	urlUser   = regexp.MustCompile(`(https?://)[^\s/"'<>@]+@`)
	headers   = regexp.MustCompile(`(?i)\b((?:set-)?cookie|authorization|x-amz-security-token)(["']?\s*[:=]\s*["']?)[^\r\n"']+`)
	parameter = regexp.MustCompile(`(?i)\b(x-amz-signature|x-amz-credential|x-amz-security-token|password|passwd|token|_coupa_session)=[^\s&"';]+`)
)

// Redact is the text without secrets.
func (r *Redactor) Redact(text string) string {
	r.mu.RLock()
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, redacted)
	}
	r.mu.RUnlock()
	text = urlUser.ReplaceAllString(text, "${1}")
	text = urlQuery.ReplaceAllString(text, "${1}")
	text = headers.ReplaceAllString(text, "${1}${2}"+redacted)
	return parameter.ReplaceAllString(text, "${1}="+redacted)
}

// Levels makes the Redactor a logrus hook for every level.
func (r *Redactor) Levels() []logrus.Level { return logrus.AllLevels }

// Fire cleans the message and every field that is text or an error.
func (r *Redactor) Fire(e *logrus.Entry) error {
	e.Message = r.Redact(e.Message)
	for key, value := range e.Data {
		switch v := value.(type) {
		case string:
			e.Data[key] = r.Redact(v)
		case error:
			e.Data[key] = r.Redact(v.Error())
		case fmt.Stringer:
			e.Data[key] = r.Redact(v.String())
		case []string:
			clean := make([]string, len(v))
			for i, s := range v {
				clean[i] = r.Redact(s)
			}
			e.Data[key] = clean
		}
	}
	return nil
}
