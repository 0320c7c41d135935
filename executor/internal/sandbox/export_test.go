//go:build linux && (amd64 || arm64)

package sandbox

import (
	"strconv"
	"syscall"
)

// What tests of other packages must not reach, but this one's need.
var (
	BuildFilter   = buildFilter
	DeniedENOSYS  = deniedENOSYS
	DeniedEPERM   = deniedEPERM
	DeniedENOTSUP = deniedENOTSUP
)

const (
	AuditArch = auditArch
	LastKnown = lastKnown
	MaxLooks  = maxLooks
)

// Fix gives the advice for a host with these settings.
func Fix(euid int, sysctls map[string]string, container bool, step string, e syscall.Errno) string {
	return facts{euid: euid, sysctl: func(n string) string { return sysctls[n] }, container: container}.fix(step, e)
}

// SeenCalls are the numbers of the calls that the observer is told of.
func SeenCalls() map[int]bool {
	out := map[int]bool{}
	for _, calls := range []map[int]seenCall{seenCalls, archSeenCalls} {
		for nr := range calls {
			out[nr] = true
		}
	}
	return out
}

// NoteLooks notes n paths and tells how many looks there are, and whether that is all
// there may be.
func NoteLooks(n int) (looks int, full bool) {
	w := newWalker(-1, []string{"/"}, nil)
	for i := range n {
		w.note("/"+strconv.Itoa(i), LookKind)
	}
	return len(w.looks), w.full
}
