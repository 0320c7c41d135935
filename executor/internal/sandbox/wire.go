//go:build linux && (amd64 || arm64)

package sandbox

import "unsafe"

// Messages between a slot and its helper, over one stream socket. Both ends
// are the same executable, so structures travel as they lie in memory.
const (
	msgRun  = 1 // request with program and descriptors
	msgTerm = 2 // send SIGTERM to the action
	msgKill = 3 // kill the action
)

// request precedes the instructions and the blob of a msgRun.
type request struct {
	kind    uint32
	seq     uint32 // number of the action; a late msgTerm must not hit the next
	codeLen uint32 // bytes
	blobLen uint32 // bytes
	fds     uint32
	trace   uint32
	path    uint64
	argv    uint64
	shArgv  uint64
	envp    uint64
	argc    uint32
	shArgc  uint32
	envc    uint32
	watch   uint32 // bytes of the blob that the observer needs; 0 if there is none
	watchAt uint64
}

// reply answers a msgRun when every process of the action is dead. extra bytes
// of JSON follow it.
type reply struct {
	seq     uint32
	state   uint32 // a state* constant
	failPC  uint32 // instruction that failed, if state is stateFailed
	errno   uint32
	status  uint32 // wait status
	extra   uint32
	setupNS int64
	wallNS  int64
	userUS  int64
	sysUS   int64
	maxRSS  int64 // KiB
}

const (
	stateKilled     = iota // pid 1 ended without a report
	stateFailed            // an instruction failed
	stateCloneError        // pid 1 could not be made
	stateExecError         // the process could not be made or exec'd
	stateTraceError        // the tracer could not attach, or the observer not observe
	stateEnded             // status is valid
)

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
