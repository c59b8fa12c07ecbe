//go:build faults

package download

import (
	"os"
	"strings"
	"sync"
	"syscall"
)

var faultOnce sync.Mutex

// fault kills this process, as a power cut would, when PURSER_FAULT is "point:id", "point:*" or, to die only once,
// "point:id:file" with a file that does not exist yet.
func fault(point, id string) {
	spec := strings.SplitN(os.Getenv("PURSER_FAULT"), ":", 3)
	if len(spec) < 2 || spec[0] != point || (spec[1] != "*" && spec[1] != id) {
		return
	}
	faultOnce.Lock()
	defer faultOnce.Unlock()
	if len(spec) == 3 {
		f, err := os.OpenFile(spec[2], os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return // it died here before
		}
		_ = f.Close()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
