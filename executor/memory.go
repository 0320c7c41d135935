package executor

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// memoryOfProcess is how many bytes of memory this process may use: what the
// machine has, its control groups allow and ulimit -v leaves. Where nothing is
// known it is a gibibyte.
func memoryOfProcess() uint64 {
	most := uint64(1 << 30)
	if n, ok := totalMemory(); ok {
		most = n
	}
	if text, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(text)) {
			most = min(most, cgroupMemory(strings.TrimSpace(line), most))
		}
	}
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &l) == nil {
		most = min(most, l.Cur-min(l.Cur, addressSpace()))
	}
	return most
}

// addressSpace is how many bytes of addresses are taken, of which Go reserves far
// more than it uses.
func addressSpace() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	pages, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// totalMemory is MemTotal of /proc/meminfo, which counts in KiB.
func totalMemory() (uint64, bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "MemTotal:" {
			n, err := strconv.ParseUint(string(f[1]), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}

// cgroupMemory is the least limit of the group of a line of /proc/self/cgroup, and
// of those above it; most if there is none.
func cgroupMemory(line string, most uint64) uint64 {
	f := strings.SplitN(line, ":", 3)
	if len(f) != 3 {
		return most
	}
	root, file := "/sys/fs/cgroup", "memory.max"
	if f[1] != "" {
		if f[1] != "memory" {
			return most
		}
		root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	}
	for group := path.Join("/", f[2]); ; group = path.Dir(group) {
		if text, err := os.ReadFile(path.Join(root, group, file)); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
				most = min(most, n)
			}
		}
		if group == "/" {
			return most
		}
	}
}
