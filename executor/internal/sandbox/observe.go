//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An action with scopes has a second seccomp filter: the kernel tells the helper of
// each call that names a path, lets the caller wait, and goes on when the helper has
// noted it. What is noted is for keys. It is never a wall: another thread may change
// a path between the helper's look and the kernel's.
//
// The action dies with its helper, which is pid 1 of the namespace around it: no
// call of it is ever answered by nobody.

// maxLooks bounds what one action may look at.
const maxLooks = 1 << 20

// Kinds of answer of the child that tries whether this host lets actions be observed.
const (
	exitObserves  = 10
	exitKillable  = 11 // and calls that wait for the helper are ended by fatal signals alone
	observeOption = "observe"
)

// CanObserve reports whether this host lets a process be told of another's system
// calls. It is tried once.
func CanObserve() bool { return listenerFlags() != 0 }

// listenerFlags are those with which the second filter is installed; 0 where that is
// refused.
var listenerFlags = sync.OnceValue(func() int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{helperName, observeOption}
	cmd.Env = []string{helperEnv}
	cmd.Dir = "/"
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		return 0
	}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	switch exit.ExitCode() {
	case exitObserves:
		return flags
	case exitKillable:
		return flags | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	return 0
})

// tryObserve is that child.
func tryObserve() {
	f := listenerFilter()
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	code := 1
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
		const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		for flags, ok := range map[uintptr]int{flags: exitObserves, flags | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: exitKillable} {
			// One that stays cannot be followed by another: the kernel allows one listener.
			if flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV == 0 {
				continue
			}
			if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog))); e == 0 {
				code = ok
			}
		}
		if code == 1 {
			if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog))); e == 0 {
				code = exitObserves
			}
		}
	}
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}

// listenerFilter tells of the seenCalls and allows the rest. The first filter goes
// before it: what that denies is denied.
func listenerFilter() []unix.SockFilter {
	leaf := map[int]block{}
	for _, calls := range []map[int]seenCall{seenCalls, archSeenCalls} {
		for nr := range calls {
			leaf[nr] = block{ret(unix.SECCOMP_RET_USER_NOTIF)}
		}
	}
	return filterOf(leaf, retAllow, retAllow)
}

var listenerBytes = sync.OnceValue(func() []byte { return bytesOfFilter(listenerFilter()) })

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32 // of the thread, in the helper's namespace
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// watched is what of a request the observer needs: scopes and writable places, each
// followed by NUL, the lists apart by another.
func (p *program) watched(scopes, writable []string) {
	text := strings.Join(scopes, "\x00") + "\x00\x00" + strings.Join(writable, "\x00")
	p.watch, p.watchLen = p.raw([]byte(text)).val, len(text)
}

// observed lets the waiting pid 1 go on and notes what its action looks at.
func (h *helper) observed(a *arena, watch string) (extra []byte, err error) {
	if e := h.mountProc(); e != 0 {
		return nil, e
	}
	h.release(a)
	fd := h.takeListener(a)
	if fd < 0 { // it ended before it had one, and says why
		h.watch()
		return nil, nil
	}
	defer unix.Close(fd)
	root, err := unix.Open(procPath(h.pid, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	scopes, writable, _ := strings.Cut(watch, "\x00\x00")
	o := &observer{w: newWalker(root, strings.Split(scopes, "\x00"), strings.Split(writable, "\x00"))}
	h.listen(fd, o)
	if o.w.full {
		return nil, unix.E2BIG
	}
	return encodeLooks(o.w.looks), nil
}

// takeListener returns a descriptor of the listener that pid 1 was given; -1 if it
// ends without one.
func (h *helper) takeListener(a *arena) int {
	for {
		if n := atomic.LoadUint32(&a.listener); n != 0 {
			fd, _, e := unix.RawSyscall(unix.SYS_PIDFD_GETFD, uintptr(h.pidfd), uintptr(n-1), 0)
			if e != 0 {
				return -1
			}
			return int(fd)
		}
		timeout := unix.NsecToTimespec(2e6)
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&a.listener)), futexWait, 0, uintptr(unsafe.Pointer(&timeout)), 0, 0)
		pfds := []unix.PollFd{{Fd: h.pidfd, Events: unix.POLLIN}, {Fd: sockFD, Events: unix.POLLIN}}
		if n, err := unix.Poll(pfds, 0); err != nil || n == 0 {
			continue
		}
		if pfds[0].Revents != 0 {
			return -1
		}
		h.obey()
	}
}

// listen answers notifications until pid 1 has ended.
func (h *helper) listen(fd int, o *observer) {
	wake := uint64(unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, uintptr(wake)) // Linux 6.6
	pfds := [3]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: h.pidfd, Events: unix.POLLIN}, {Fd: sockFD, Events: unix.POLLIN}}
	var n notification
	for {
		got, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&pfds[0])), uintptr(len(pfds)), 0, 0, 0, 0)
		if e != 0 || int(got) == 0 {
			continue
		}
		if pfds[0].Revents&unix.POLLIN != 0 {
			n = notification{}
			if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); e == 0 {
				o.told(&n)
				r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
				// It fails if the caller has died meanwhile.
				_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
			}
			continue
		}
		if pfds[1].Revents != 0 {
			return
		}
		if pfds[2].Revents != 0 {
			h.obey()
		}
		if pfds[0].Revents != 0 { // nobody is left who could call
			pfds[0].Fd = -1
		}
	}
}

// An observer turns calls into looks.
type observer struct {
	w *walker
}

// told notes what the call of n learns.
func (o *observer) told(n *notification) {
	c, ok := seenCallOf(int(n.nr))
	if !ok {
		return
	}
	tid := int(n.pid)
	switch {
	case c.list:
		if at := o.w.place(tid, "fd/"+itoa(int32(n.args[0]))); at.kind == magic {
			o.w.note(at.text, learnsNames)
		}
		return
	case c.addr > 0:
		o.address(tid, n.args[c.addr], n.args[c.addr+1])
		return
	case c.message:
		o.message(tid, n.args[1])
		return
	case c.messages:
		for i := range min(n.args[2], maxMessages) {
			o.message(tid, n.args[1]+64*i) // struct mmsghdr
		}
		return
	}
	for _, sp := range c.paths {
		o.path(tid, n, &c, &sp)
	}
}

// maxMessages is how many messages one call of sendmmsg sends (UIO_MAXIOV).
const maxMessages = 1024

// message notes the address of a struct msghdr.
func (o *observer) message(tid int, at uint64) {
	if b := readMem(tid, at, 16); len(b) == 16 {
		o.address(tid, binary.NativeEndian.Uint64(b), uint64(binary.NativeEndian.Uint32(b[8:])))
	}
}

// address notes the path that a socket's address may be.
func (o *observer) address(tid int, at, size uint64) {
	b := readMem(tid, at, int(min(size, 110)))
	if len(b) < 3 || binary.NativeEndian.Uint16(b) != unix.AF_UNIX || b[2] == 0 {
		return
	}
	name, _, _ := strings.Cut(string(b[2:]), "\x00")
	o.w.walk(tid, way{base: o.base(tid, name, "cwd"), path: name, what: learnsKind, follow: true})
}

// path notes one path of a call.
func (o *observer) path(tid int, n *notification, c *seenCall, sp *seenPath) {
	p := readString(tid, n.args[sp.arg])
	what, follow := sp.what, !sp.nofollow
	if at := sp.at &^ followFlag; at != 0 {
		switch flags := n.args[at]; {
		case sp.at&followFlag != 0:
			follow = flags&unix.AT_SYMLINK_FOLLOW != 0
		case flags&unix.AT_SYMLINK_NOFOLLOW != 0:
			follow = false
		}
	}
	inRoot := false // what "/" is, and what is above, is the descriptor
	if c.open != 0 {
		var flags uint64
		if c.open == openHowArg {
			if b := readMem(tid, n.args[2], 24); len(b) == 24 { // struct open_how
				flags = binary.NativeEndian.Uint64(b)
				inRoot = binary.NativeEndian.Uint64(b[16:])&unix.RESOLVE_IN_ROOT != 0
			}
		} else {
			flags = n.args[c.open]
		}
		what, follow = opened(flags)
	}
	from := "cwd"
	if sp.dir >= 0 {
		if fd := int32(n.args[sp.dir]); fd != unix.AT_FDCWD {
			from = "fd/" + itoa(fd)
		}
	}
	if p == "" {
		// The descriptor itself: it was looked at when it was opened, but perhaps not
		// for this.
		if at := sp.at &^ followFlag; sp.empty && from != "cwd" || at != 0 && n.args[at]&unix.AT_EMPTY_PATH != 0 {
			o.itself(tid, from, what, c.exec)
		}
		return
	}
	w := way{path: p, what: what, follow: follow}
	if inRoot {
		w.top = o.w.place(tid, from)
		w.base = w.top
	} else {
		w.base = o.base(tid, p, from)
	}
	e := o.w.walk(tid, w)
	if c.exec && e.there {
		o.w.program(tid, e.path)
	}
}

// base is where the path p starts if from is what the call names as its folder.
func (o *observer) base(tid int, p, from string) spot {
	if path.IsAbs(p) {
		return spot{magic, "/"}
	}
	return o.w.place(tid, from)
}

// itself notes what stands behind the task's descriptor or folder from.
func (o *observer) itself(tid int, from string, what What, exec bool) {
	at := o.w.place(tid, from)
	if at.kind == magic {
		o.w.note(at.text, what)
	}
	if !exec {
		return
	}
	if at.kind == magic {
		o.w.program(tid, at.text)
		return
	}
	// A program that has no name still has an interpreter.
	if fd, err := unix.Open(procPath(tid, from), readHead, 0); err == nil {
		o.w.interpret(tid, interpreterOf(fd))
	}
}

// opened tells what an open with these flags learns, and whether it follows a link
// at the end.
func opened(flags uint64) (what What, follow bool) {
	follow = flags&unix.O_NOFOLLOW == 0 && flags&(unix.O_CREAT|unix.O_EXCL) != unix.O_CREAT|unix.O_EXCL
	write := flags&unix.O_ACCMODE != unix.O_RDONLY
	switch {
	case flags&unix.O_PATH != 0, flags&unix.O_TMPFILE == unix.O_TMPFILE, write && flags&unix.O_TRUNC != 0:
		return learnsKind, follow
	}
	return learnsBytes, follow
}

// loader is the PT_INTERP of an ELF program; "" where it has none.
func loader(f *os.File) string {
	e, err := elf.NewFile(f)
	if err != nil {
		return ""
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, min(p.Filesz, unix.PathMax))
			if _, err := io.ReadFull(p.Open(), b); err != nil {
				return ""
			}
			name, _, _ := strings.Cut(string(b), "\x00")
			return name
		}
	}
	return ""
}

func itoa(n int32) string {
	if n >= 0 && n < 10 {
		return "0123456789"[n : n+1]
	}
	return fmt.Sprint(n)
}

// encodeLooks writes looks by path: what was learned, the path, NUL.
func encodeLooks(looks map[string]What) []byte {
	var b []byte
	for _, p := range slices.Sorted(maps.Keys(looks)) {
		b = append(append(append(b, byte(looks[p])), p...), 0)
	}
	return b
}

func decodeLooks(b []byte) ([]Look, error) {
	out := make([]Look, 0, bytes.Count(b, []byte{0}))
	for len(b) > 0 {
		end := bytes.IndexByte(b[1:], 0)
		if end < 0 {
			return nil, errors.New("sandbox: damaged observation")
		}
		out = append(out, Look{Path: string(b[1 : 1+end]), What: What(b[0])})
		b = b[end+2:]
	}
	return out, nil
}
