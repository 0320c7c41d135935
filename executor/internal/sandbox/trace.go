//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hprocDir is a /proc of the helper's own pid namespace; only a trace needs it.
const hprocDir = "/hproc"

// maxRefused bounds what a trace reports.
const maxRefused = 10000

// traceOptions make every descendant traced from its first instruction on.
const traceOptions = unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE |
	unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

// syscallInfo is struct ptrace_syscall_info. On exit, nr holds the result and
// the first byte of args says whether it is an error.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64
	args [6]uint64
	_    [2]uint64
}

// tracer watches the system calls of one action by ptrace. It shows what the
// kernel really answered, unlike a filter that decides beforehand.
type tracer struct {
	pid1    int
	pending map[int][]Access // what a task is in the middle of asking
	seen    map[Access]bool
	out     []Access
}

// traced is watch and reap under a tracer, which attaches to pid 1 while it still
// waits. pid 1 itself is not followed, only its children are.
func (h *helper) traced(a *arena) []byte {
	errno := h.mountProc()
	if errno == 0 {
		errno = ptrace(unix.PTRACE_SEIZE, h.pid, 0, traceOptions)
	}
	if errno != 0 {
		_ = unix.Kill(h.pid, unix.SIGKILL)
		h.reap()
		a.state, a.errno = stateTraceError, uint32(errno)
		return nil
	}
	h.release(a)
	stop := h.obeyMeanwhile()
	t := &tracer{pid1: h.pid, pending: map[int][]Access{}, seen: map[Access]bool{}}
	t.loop()
	stop()
	b, err := json.Marshal(t.out)
	if err != nil {
		a.state, a.errno = stateTraceError, uint32(unix.EINVAL)
		return nil
	}
	return b
}

func (h *helper) mountProc() syscall.Errno {
	if h.proc {
		return 0
	}
	err := unix.Mount("proc", hprocDir, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	h.proc = err == nil
	return errnoOf(err)
}

// obeyMeanwhile obeys the slot while this thread waits for tracees. The
// returned function ends that; no message is read after it.
func (h *helper) obeyMeanwhile() (stop func()) {
	var wake [2]int
	if err := unix.Pipe2(wake[:], unix.O_CLOEXEC); err != nil {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		pfds := []unix.PollFd{{Fd: sockFD, Events: unix.POLLIN}, {Fd: int32(wake[0]), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(pfds, -1); err != nil {
				continue
			}
			if pfds[1].Revents != 0 {
				return
			}
			h.obey()
		}
	})
	return func() {
		_ = unix.Close(wake[1])
		wg.Wait()
		_ = unix.Close(wake[0])
	}
}

func ptrace(req, pid int, addr, data uintptr) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(pid), addr, data, 0, 0)
	return e
}

// loop serves tracees until pid 1 is dead, which it is last of all.
func (t *tracer) loop() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return
		case ws.Exited() || ws.Signaled():
			delete(t.pending, pid)
			if pid == t.pid1 {
				return
			}
		case ws.Stopped():
			t.stopped(pid, ws)
		}
	}
}

// stopped lets a tracee go on after it was looked at.
func (t *tracer) stopped(pid int, ws unix.WaitStatus) {
	resume, event, sig := unix.PTRACE_SYSCALL, int(ws)>>16, ws.StopSignal()
	if pid == t.pid1 {
		resume = unix.PTRACE_CONT
	}
	switch {
	case sig == unix.SIGTRAP|0x80:
		t.call(pid)
		sig = 0
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP:
		resume, sig = unix.PTRACE_LISTEN, 0 // stopped by a signal; stays so
	case event != 0:
		sig = 0
	}
	_ = ptrace(resume, pid, 0, uintptr(sig)) // fails if it died meanwhile
}

// call looks at a system call at its entry, where its arguments are, and at its
// exit, where its answer is.
func (t *tracer) call(pid int) {
	var in syscallInfo
	if e := ptrace(unix.PTRACE_GET_SYSCALL_INFO, pid, unsafe.Sizeof(in), uintptr(unsafe.Pointer(&in))); e != 0 {
		return
	}
	switch in.op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		t.pending[pid] = t.asked(pid, in.nr, in.args)
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		asked := t.pending[pid]
		delete(t.pending, pid)
		if len(asked) == 0 || in.args[0]&0xff == 0 {
			return
		}
		e := unix.Errno(-int64(in.nr))
		for _, a := range asked {
			t.record(pid, a, e)
		}
	}
}

func (t *tracer) record(pid int, a Access, e unix.Errno) {
	if !refused(a.Kind, e) || len(t.out) >= maxRefused {
		return
	}
	a.Err = e
	if t.seen[a] {
		return
	}
	t.seen[a] = true
	if b, err := os.ReadFile(procPath(pid, "cmdline")); err == nil {
		a.Program = string(b[:max(bytes.IndexByte(b, 0), 0)])
	}
	t.out = append(t.out, a)
}

// asked is what a system call wants, if that is a path or an address.
func (t *tracer) asked(pid int, nr uint64, args [6]uint64) []Access {
	switch nr {
	case unix.SYS_CONNECT:
		return addrAccess(pid, args[1], args[2])
	case unix.SYS_SENDTO:
		return addrAccess(pid, args[4], args[5])
	case unix.SYS_SENDMSG:
		hdr := readMem(pid, args[1], 16)
		if len(hdr) < 16 {
			return nil
		}
		return addrAccess(pid, binary.NativeEndian.Uint64(hdr), uint64(binary.NativeEndian.Uint32(hdr[8:])))
	}
	c, ok := callOf(nr)
	if !ok {
		return nil
	}
	kind := c.kind
	var flags uint64
	switch {
	case c.flags == openHowArg:
		if b := readMem(pid, args[2], 8); len(b) == 8 {
			flags = binary.NativeEndian.Uint64(b)
		}
	case c.flags > 0:
		flags = args[c.flags]
	}
	if flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) != 0 {
		kind = AccessWrite
	}
	var out []Access
	for _, pa := range c.args {
		dirfd := int32(unix.AT_FDCWD)
		if pa[0] >= 0 {
			dirfd = int32(args[pa[0]])
		}
		if p := resolve(pid, dirfd, readString(pid, args[pa[1]])); p != "" {
			out = append(out, Access{Kind: kind, Path: p})
		}
	}
	return out
}

// resolve makes p absolute as the kernel would for this task; "" if it names
// nothing but the descriptor itself.
func resolve(pid int, dirfd int32, p string) string {
	if p == "" {
		return ""
	}
	if !path.IsAbs(p) {
		link := "cwd"
		if dirfd != unix.AT_FDCWD {
			link = "fd/" + strconv.Itoa(int(dirfd))
		}
		base, err := os.Readlink(procPath(pid, link))
		if err != nil || !path.IsAbs(base) {
			return ""
		}
		p = base + "/" + p
	}
	return path.Clean(p)
}

func procPath(pid int, name string) string {
	return hprocDir + "/" + strconv.Itoa(pid) + "/" + name
}

// addrAccess decodes a socket address in a tracee.
func addrAccess(pid int, addr, n uint64) []Access {
	b := readMem(pid, addr, int(min(n, 128)))
	if len(b) < 2 {
		return nil
	}
	text := ""
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		if len(b) >= 8 {
			text = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
		}
	case unix.AF_INET6:
		if len(b) >= 24 {
			text = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])).String()
		}
	case unix.AF_UNIX:
		name := b[2:]
		if len(name) > 0 && name[0] == 0 {
			text = "@" + string(name[1:])
		} else if i := bytes.IndexByte(name, 0); i >= 0 {
			text = string(name[:i])
		} else {
			text = string(name)
		}
	default:
		text = fmt.Sprintf("address family %d", binary.NativeEndian.Uint16(b))
	}
	if text == "" {
		return nil
	}
	return []Access{{Kind: AccessConnect, Addr: text}}
}

// readMem reads up to n bytes of a tracee; fewer if the rest is not mapped.
func readMem(pid int, addr uint64, n int) []byte {
	if addr == 0 || n <= 0 {
		return nil
	}
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0], Len: uint64(n)}}
	got, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: n}}, 0)
	if err != nil {
		return nil
	}
	return b[:got]
}

// readString reads a path, page by page: the next page may not be mapped.
func readString(pid int, addr uint64) string {
	var s []byte
	for len(s) < unix.PathMax {
		b := readMem(pid, addr, 4096-int(addr%4096))
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(slices.Concat(s, b[:i]))
		}
		if len(b) == 0 {
			return ""
		}
		s = append(s, b...)
		addr += uint64(len(b))
	}
	return ""
}
