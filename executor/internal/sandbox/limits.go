//go:build linux && (amd64 || arm64)

package sandbox

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limit is a resource limit that every action runs under, whatever gorules was
// started with.
type limit struct {
	name       string
	resource   int
	soft, hard uint64
	// enough is the least hard limit under which an action's failure is taken for
	// its own. Some limits depend on the machine's memory and may be below hard.
	enough uint64
}

const unlimited = unix.RLIM_INFINITY

var actionLimits = []limit{
	{"RLIMIT_AS", unix.RLIMIT_AS, unlimited, unlimited, unlimited},
	{"RLIMIT_CORE", unix.RLIMIT_CORE, 0, 0, 0},
	{"RLIMIT_CPU", unix.RLIMIT_CPU, unlimited, unlimited, unlimited},
	{"RLIMIT_DATA", unix.RLIMIT_DATA, unlimited, unlimited, unlimited},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, unlimited, unlimited, unlimited},
	{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS, unlimited, unlimited, unlimited},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK, 8 << 20, 8 << 20, 64 << 10},
	{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE, 819200, 819200, 819200},
	{"RLIMIT_NICE", unix.RLIMIT_NICE, 0, 0, 0},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, 4096, 65536, 4096},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC, 32768, 32768, 2048},
	{"RLIMIT_RSS", unix.RLIMIT_RSS, unlimited, unlimited, unlimited},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO, 0, 0, 0},
	{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME, unlimited, unlimited, unlimited},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING, 4096, 4096, 512},
	{"RLIMIT_STACK", unix.RLIMIT_STACK, 8 << 20, unlimited, 8 << 20},
}

// hardLimits are those gorules was started with, by resource: a process without
// privilege cannot exceed them.
var hardLimits = sync.OnceValue(func() map[int]uint64 {
	m := map[int]uint64{}
	for _, l := range actionLimits {
		var have unix.Rlimit
		if err := unix.Getrlimit(l.resource, &have); err != nil {
			have.Max = unlimited
		}
		m[l.resource] = have.Max
	}
	return m
})

// Lowered names the limits of every action that whoever started gorules made
// lower than actions may need. What fails under them may succeed without.
func Lowered() (names []string) {
	for _, l := range actionLimits {
		if hardLimits()[l.resource] < l.enough {
			names = append(names, l.name)
		}
	}
	return names
}

func (c *compiler) limits() {
	for _, l := range actionLimits {
		c.step("set limit", l.name)
		have := hardLimits()[l.resource]
		c.call(unix.SYS_PRLIMIT64, noReg, imm(0), imm(l.resource), c.words(min(l.soft, have), min(l.hard, have)), imm(0))
	}
	c.call(unix.SYS_UMASK, noReg, imm(0o022))
	// All CPUs that there are; the kernel leaves those that are allowed here.
	c.step("use all CPUs", "")
	var all unix.CPUSet
	for i := range all {
		all[i] = ^all[i]
	}
	c.call(unix.SYS_SCHED_SETAFFINITY, noReg, imm(0), imm(int(unsafe.Sizeof(all))), c.raw(bytesOf(&all)))
}
