package fetch

// Name is a safe file name, from the best source that has one: the Content-Disposition header, the page's labels (best first),
// the address.
func Name(contentDisposition string, labels []string, rawURL string) string { return Sanitise("") }

// Sanitise makes a file name that Windows, macOS, Linux and S3 take alike. It changes nothing about its own results.
func Sanitise(name string) string { return "attachment" }

// Names gives each file of a folder a name of its own. The zero value is ready for use, by one goroutine.
type Names struct{}

// Unique is the name, with _2, _3 … before the extension when the folder has it already in whatever case.
func (n *Names) Unique(name string) string { return name }
