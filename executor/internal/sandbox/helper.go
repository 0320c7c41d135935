//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	helperName = "gorules-sandbox"
	helperEnv  = "GORULES_SANDBOX_HELPER=1"
	sockFD     = 3

	minProgram = 256 << 10
	ctlSize    = 64 << 10 // arena and stacks
)

// Main turns this process into a sandbox helper if it was started as one, and
// then never returns. It has to be called before anything else in main, and in
// TestMain.
func Main() {
	if os.Args[0] != helperName || os.Getenv("GORULES_SANDBOX_HELPER") == "" {
		return
	}
	if len(os.Args) > 1 && os.Args[1] == observeOption {
		tryObserve()
	}
	if len(os.Args) > 1 {
		exitNow() // only meant to show that it can be started
	}
	// The thread that clones must live as long as the helper: a tracer is a
	// thread, not a process.
	runtime.LockOSThread()
	h := &helper{}
	if err := h.setup(); err != nil {
		h.answerSetup(err)
		os.Exit(1)
	}
	h.answerSetup(nil)
	h.serve()
	exitNow()
}

// exitNow ends the helper. It is pid 1 of its namespace and takes every action
// along.
func exitNow() {
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// helper is the process behind one slot.
type helper struct {
	pre   *program
	ctl   []byte // arena and stacks
	mem   []byte // program of one action
	fds   []int
	seq   uint32
	pid   int   // of the pid 1 that waits for an action or runs it; 0 if none
	pidfd int32 // of the same
	proc  bool  // /hproc is mounted
}

// answerSetup tells the slot that the helper is ready or which step failed.
func (h *helper) answerSetup(err error) {
	rep := reply{state: stateEnded}
	var extra []byte
	if err != nil {
		rep.state = stateFailed
		extra = []byte("helper: " + err.Error())
		var se *StepError
		if errors.As(err, &se) {
			rep.errno = uint32(se.Errno)
			extra = []byte(se.Step)
		}
	}
	rep.extra = uint32(len(extra))
	writeAll(append(bytesOf(&rep), extra...))
}

// setup builds the world that every action starts from.
func (h *helper) setup() error {
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"set no_new_privs", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		// Not dumpable comes second: it takes /proc/self away from us.
		{"raise oom_score_adj", raiseOOMScore},
		{"close memory to other processes", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }},
		{"name the task", func() error {
			return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&[]byte("gorules-init\x00")[0])), 0, 0, 0)
		}},
		{"set host name", func() error { return unix.Sethostname([]byte(HostName)) }},
		{"set domain name", func() error { return unix.Setdomainname([]byte("(none)")) }},
		{"join a new session keyring", joinKeyring},
		{"create cgroup namespace", newCgroupNamespace},
		{"reset personality", resetPersonality},
		{"forbid nested user namespaces", func() error { return writeFile("/proc/sys/user/max_user_namespaces", "0") }},
		{"build the helper's root", buildHelperRoot},
		{"empty the bounding set", dropBounding},
	} {
		if err := s.do(); err != nil {
			return stepOf(s.name, err)
		}
	}
	unix.Umask(0)
	unignoreSignals()
	h.pre = prelude()
	var err error
	if h.ctl, err = anonymous(ctlSize); err != nil {
		return stepOf("map memory", err)
	}
	return h.grow(minProgram)
}

// unignoreSignals undoes what gorules was started with, say by nohup: an
// ignored signal would stay ignored in every action. Handlers need no such
// care, exec removes them.
func unignoreSignals() {
	for sig := uintptr(1); sig <= 64; sig++ {
		var act [4]uint64 // struct sigaction; the handler comes first
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&act)), sigSetSize, 0, 0)
		if e == 0 && act[0] == 1 { // SIG_IGN
			act = [4]uint64{}
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&act)), 0, sigSetSize, 0, 0)
		}
	}
}

func stepOf(name string, err error) error {
	var se *StepError
	if errors.As(err, &se) {
		return err
	}
	return &StepError{Step: name, Errno: errnoOf(err), Reason: err.Error()}
}

// joinKeyring leaves the session keyring shared with the host. A kernel
// without keyrings has none to leave.
func joinKeyring() error {
	_, _, e := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if e != 0 && e != unix.ENOSYS {
		return e
	}
	return nil
}

// newCgroupNamespace makes "/" of the cgroup that gorules runs in. A kernel without
// them shows none.
func newCgroupNamespace() error {
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != unix.EINVAL {
		return err
	}
	return nil
}

// resetPersonality undoes what gorules was started with, say by setarch -R.
func resetPersonality() error {
	if _, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, 0, 0, 0); e != 0 {
		return e
	}
	return nil
}

// raiseOOMScore makes the kernel sacrifice an action before gorules.
func raiseOOMScore() error {
	const file, want = "/proc/self/oom_score_adj", 500
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if v, err := strconv.Atoi(string(trimNL(b))); err == nil && v >= want {
		return nil
	}
	return writeFile(file, strconv.Itoa(want))
}

func trimNL(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

func writeFile(name, data string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	return errors.Join(err, f.Close())
}

func dropBounding() error {
	for c := 0; ; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			if c > 0 && errors.Is(err, unix.EINVAL) {
				return nil // beyond the kernel's last capability
			}
			return err
		}
	}
}

// buildHelperRoot replaces the root by a tmpfs that shows the host below
// hostDir and holds mount points and the /dev of all actions.
func buildHelperRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &StepError{Step: "make mounts private", Errno: errnoOf(err)}
	}
	base := ""
	for _, d := range []string{"/tmp", "/mnt", "/var", "/proc"} {
		if fi, err := os.Stat(d); err == nil && fi.IsDir() {
			base = d
			break
		}
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return &StepError{Step: "mount tmpfs", Errno: errnoOf(err)}
	}
	for _, d := range []string{hostDir, newDir, scratchDir, procDir, hprocDir, lowDir, emptyDir, ovlDir, devDir} {
		if err := os.Mkdir(base+d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(base, base+hostDir); err != nil {
		return &StepError{Step: "pivot_root", Errno: errnoOf(err)}
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return buildDev()
}

// buildDev makes the minimal /dev. Device nodes cannot be created in a user
// namespace, so the host's are bound.
func buildDev() error {
	if err := unix.Mount("tmpfs", devDir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755"); err != nil {
		return &StepError{Step: "mount tmpfs", Detail: "/dev", Errno: errnoOf(err)}
	}
	for _, n := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := os.WriteFile(devDir+"/"+n, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(hostDir+"/dev/"+n, devDir+"/"+n, "", unix.MS_BIND, ""); err != nil {
			return &StepError{Step: "bind device", Detail: "/dev/" + n, Errno: errnoOf(err)}
		}
	}
	for _, l := range [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
		{"ptmx", "pts/ptmx"}} {
		if err := os.Symlink(l[1], devDir+"/"+l[0]); err != nil {
			return err
		}
	}
	for _, d := range []string{"/shm", "/pts"} {
		if err := os.Mkdir(devDir+d, 0o755); err != nil {
			return err
		}
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(unix.AT_FDCWD, devDir, unix.AT_RECURSIVE, &attr); err != nil {
		return &StepError{Step: "make /dev read-only", Errno: errnoOf(err)}
	}
	return nil
}

// grow makes room for n bytes of program.
func (h *helper) grow(n int) error {
	if len(h.mem) >= n {
		return nil
	}
	if h.mem != nil {
		if err := unix.Munmap(h.mem); err != nil {
			return err
		}
	}
	var err error
	h.mem, err = anonymous((n + 4095) &^ 4095)
	return err
}

// anonymous maps memory that the garbage collector does not know.
func anonymous(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

// serve runs actions until the slot closes its end.
func (h *helper) serve() {
	for {
		// The next action's pid 1 makes its namespaces while gorules is
		// still busy with the result of the last one.
		errno := h.warm()
		soon([]unix.PollFd{{Fd: sockFD, Events: unix.POLLIN}})
		var req request
		if !h.read(bytesOf(&req)) {
			return
		}
		if req.kind != msgRun {
			continue // ended meanwhile
		}
		h.seq = req.seq
		n := int(req.codeLen + req.blobLen)
		if err := h.grow(n); err != nil {
			h.closeFDs()
			h.answer(reply{state: stateCloneError, errno: uint32(errnoOf(err))}, nil)
			continue
		}
		if !h.read(h.mem[:n]) {
			return
		}
		if errno != 0 {
			h.closeFDs()
			h.answer(reply{state: stateCloneError, errno: uint32(errno)}, nil)
			continue
		}
		rep, extra := h.run(&req)
		h.answer(rep, extra)
	}
}

// read fills b from the socket and keeps descriptors that come along. It is
// false when the other end is gone.
func (h *helper) read(b []byte) bool {
	var oob [4096]byte
	for len(b) > 0 {
		n, oobn, _, _, err := unix.Recvmsg(sockFD, b, oob[:], unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return false
		}
		if oobn > 0 {
			msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil {
				return false
			}
			for i := range msgs {
				if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
					h.fds = append(h.fds, fds...)
				}
			}
		}
		b = b[n:]
	}
	return true
}

func (h *helper) closeFDs() {
	for _, fd := range h.fds {
		_ = unix.Close(fd)
	}
	h.fds = h.fds[:0]
}

func (h *helper) answer(rep reply, extra []byte) {
	rep.seq, rep.extra = h.seq, uint32(len(extra))
	writeAll(append(bytesOf(&rep), extra...))
}

func writeAll(b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(sockFD, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			exitNow() // gorules is gone
		}
		b = b[n:]
	}
}

// run carries out one action and returns when all its processes are dead.
func (h *helper) run(req *request) (reply, []byte) {
	var begin unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &begin)
	a := h.load(req)
	var extra []byte
	switch {
	case req.trace != 0:
		extra = h.traced(a)
	case req.watch != 0:
		var err error
		if extra, err = h.observed(a, string(h.mem[uint64(req.codeLen)+req.watchAt:][:req.watch])); err != nil {
			_ = unix.Kill(h.pid, unix.SIGKILL)
		}
		h.reap()
		if err != nil {
			a.state, a.errno = stateTraceError, uint32(errnoOf(err))
		}
	default:
		h.release(a)
		h.watch()
		h.reap()
	}
	h.closeFDs()
	_ = unix.Close(int(h.pidfd))
	h.pid = 0
	rep := reply{state: a.state, failPC: a.failPC, errno: a.errno, status: a.status}
	if a.state == stateEnded {
		rep.setupNS = a.start.Nano() - begin.Nano()
		rep.wallNS = a.end.Nano() - a.start.Nano()
		rep.userUS = a.usage.Utime.Nano() / 1000
		rep.sysUS = a.usage.Stime.Nano() / 1000
		rep.maxRSS = a.usage.Maxrss
	}
	return rep, extra
}

// warm makes the pid 1 of the next action, unless it is there.
func (h *helper) warm() syscall.Errno {
	if h.pid != 0 {
		return 0
	}
	clear(h.ctl[:unsafe.Sizeof(arena{})])
	a := (*arena)(unsafe.Pointer(&h.ctl[0]))
	a.preCode, a.preNCode, a.preBlob = unsafe.Pointer(&h.pre.code[0]), uintptr(len(h.pre.code)), unsafe.Pointer(&h.pre.blob[0])
	a.stack2 = uintptr(unsafe.Pointer(&h.ctl[ctlSize/2-64]))
	a.execPC = entry(execMain)
	a.sigSet = 1<<(uint(unix.SIGCHLD)-1) | 1<<(uint(unix.SIGTERM)-1)
	// The host name cannot be changed without capabilities, so the helper's uts
	// namespace serves every action; its net namespace too, since loopback is
	// down and a slot runs one action at a time. System V objects and message
	// queues outlive processes, so ipc has to be new. Descriptors are shared
	// until the action's own have come.
	const flags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC |
		unix.CLONE_VM | unix.CLONE_FILES | unix.CLONE_PIDFD | uintptr(unix.SIGCHLD)
	// All signals are blocked in it: no handler of this process can run there.
	all, old := ^uint64(0), uint64(0)
	stack := uintptr(unsafe.Pointer(&h.ctl[ctlSize-64]))
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), sigSetSize, 0, 0)
	r := cloneRun(flags, stack, &h.pidfd, entry(initMain), uintptr(unsafe.Pointer(a)))
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, sigSetSize, 0, 0)
	if r >= maxErrno {
		return syscall.Errno(-r)
	}
	h.pid = int(r)
	return 0
}

// load gives the waiting pid 1 the program that was received.
func (h *helper) load(req *request) *arena {
	a := (*arena)(unsafe.Pointer(&h.ctl[0]))
	a.code = unsafe.Pointer(&h.mem[0])
	a.ncode = uintptr(req.codeLen) / unsafe.Sizeof(instr{})
	blob := h.mem[req.codeLen : req.codeLen+req.blobLen]
	a.blob = unsafe.Pointer(&blob[0])
	// Offsets become addresses.
	for _, t := range []struct {
		off uint64
		n   uint32
	}{{req.argv, req.argc}, {req.shArgv, req.shArgc}, {req.envp, req.envc}} {
		for i := range uint64(t.n) {
			p := (*uint64)(unsafe.Pointer(&blob[t.off+8*i]))
			*p += uint64(uintptr(a.blob))
		}
	}
	addr := func(off uint64) uintptr { return uintptr(a.blob) + uintptr(off) }
	a.path, a.argv, a.shArgv, a.envp = addr(req.path), addr(req.argv), addr(req.shArgv), addr(req.envp)
	a.shell = uintptr(*(*uint64)(unsafe.Pointer(&blob[req.shArgv])))
	for i, fd := range h.fds {
		a.regs[regFD+i] = uint64(fd)
	}
	return a
}

// release lets the waiting pid 1 go on.
func (h *helper) release(a *arena) {
	atomic.StoreUint32(&a.run, 1)
	syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&a.run)), futexWake, 1, 0, 0, 0)
}

// watch waits for pid 1 to end and obeys the slot meanwhile.
func (h *helper) watch() {
	pfds := []unix.PollFd{{Fd: sockFD, Events: unix.POLLIN}, {Fd: h.pidfd, Events: unix.POLLIN}}
	soon(pfds)
	for {
		if _, err := unix.Poll(pfds, -1); err != nil {
			continue
		}
		if pfds[1].Revents != 0 {
			return
		}
		if pfds[0].Revents != 0 {
			h.obey()
		}
	}
}

// soon waits for one of pfds, and gives up after some milliseconds. Go's scheduler
// does not know of it: when a system call that it knows of takes longer than 20 µs,
// it takes the processor away and gives it back afterwards, which costs more than
// the call. It would interrupt what takes 10 ms.
func soon(pfds []unix.PollFd) {
	timeout := unix.NsecToTimespec(8e6)
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&pfds[0])), uintptr(len(pfds)), uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
}

// obey carries out one message of the slot.
func (h *helper) obey() {
	var req request
	if !h.read(bytesOf(&req)) {
		exitNow()
	}
	if req.seq != h.seq {
		return
	}
	switch req.kind {
	case msgTerm:
		_ = unix.Kill(h.pid, unix.SIGTERM)
	case msgKill:
		_ = unix.Kill(h.pid, unix.SIGKILL)
	}
}

// reap collects pid 1; its whole namespace is dead by then.
func (h *helper) reap() {
	for {
		_, err := unix.Wait4(h.pid, nil, unix.WALL, nil)
		if err != unix.EINTR {
			return
		}
	}
}
