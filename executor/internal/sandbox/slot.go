//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slot is one helper and the socket to it. One Run at a time uses it.
type slot struct {
	seq  uint32
	conn *net.UnixConn

	// Of the action that runs, and their memory for the next one.
	prog program
	msg  []byte

	mu  sync.Mutex // guards cmd against kill
	cmd *exec.Cmd
	log bytes.Buffer // what a crashing helper wrote; read after Wait
}

// helperCaps is what the helper needs inside its own user namespace: mounts,
// loopback, limits of namespaces, the bounding set, tracing, and what overlayfs
// does in the name of whoever mounted it.
var helperCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SYS_RESOURCE, unix.CAP_SETPCAP, unix.CAP_SYS_PTRACE,
	unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN}

// mayLeaveGroups reports whether this process may change its supplementary groups:
// root may, unless it is one of a user namespace in which that is forbidden.
var mayLeaveGroups = sync.OnceValue(func() bool {
	b, err := os.ReadFile("/proc/self/setgroups")
	return os.Geteuid() == 0 && err == nil && bytes.HasPrefix(b, []byte("allow"))
})

// helperNamespaces are entered once a slot. The pid namespace makes one
// SIGKILL end the helper and all it ever started, in one step of the kernel.
const helperNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWPID

func helperCommand(flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{helperName}
	cmd.Env = []string{helperEnv}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: UID, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: GID, HostID: os.Getegid(), Size: 1}},
		AmbientCaps: helperCaps,
		// Only a privileged process may leave its supplementary groups behind.
		GidMappingsEnableSetgroups: mayLeaveGroups(),
		Credential:                 &syscall.Credential{Uid: UID, Gid: GID, NoSetGroups: !mayLeaveGroups()},
		// Out of the terminal's reach: Ctrl-C is for gorules alone.
		Setsid: true,
	}
	return cmd
}

// start brings the helper up.
func (s *slot) start(killed *atomic.Bool) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sandbox: socket to helper: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sandbox"), os.NewFile(uintptr(pair[1]), "sandbox")
	defer theirs.Close()
	c, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return fmt.Errorf("sandbox: socket to helper: %w", err)
	}
	conn := c.(*net.UnixConn)
	cmd := helperCommand(helperNamespaces)
	cmd.ExtraFiles = []*os.File{theirs}
	s.log.Reset()
	cmd.Stderr = &s.log
	s.mu.Lock()
	if killed.Load() {
		s.mu.Unlock()
		_ = conn.Close()
		return ErrKilled
	}
	if err = cmd.Start(); err == nil {
		s.cmd, s.conn = cmd, conn
	}
	s.mu.Unlock()
	if err != nil {
		_ = conn.Close()
		return refusedStart(err)
	}
	_ = theirs.Close() // so that the helper's end shows as end of file
	rep, extra, err := s.receive()
	if err != nil {
		return s.broken(err)
	}
	if rep.state != stateEnded {
		_ = s.stop()
		e := syscall.Errno(rep.errno)
		return &StepError{Step: string(extra), Errno: e, Fix: hostFacts().fix(string(extra), e)}
	}
	return nil
}

// refusedStart finds out which namespace the host refuses.
func refusedStart(err error) error {
	step := "create namespaces"
	for _, t := range []struct {
		name string
		flag uintptr
	}{
		{"user", 0}, {"mount", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS},
	} {
		cmd := helperCommand(unix.CLONE_NEWUSER | t.flag)
		cmd.Args = []string{helperName, "exit"}
		if e := cmd.Start(); e != nil {
			step, err = "create "+t.name+" namespace", e
			break
		}
		_ = cmd.Wait()
	}
	errno := errnoOf(err)
	return &StepError{Step: step, Errno: errno, Fix: hostFacts().fix(step, errno)}
}

// broken turns the end of the connection into an error and forgets the helper.
func (s *slot) broken(err error) error {
	_ = s.stop()
	if t := bytes.TrimSpace(s.log.Bytes()); len(t) > 0 {
		return fmt.Errorf("sandbox: helper ended: %w: %s", err, t)
	}
	return fmt.Errorf("sandbox: helper ended: %w", err)
}

// stop ends the helper and waits for it.
func (s *slot) stop() error {
	s.mu.Lock()
	cmd, conn := s.cmd, s.conn
	s.cmd, s.conn = nil, nil
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = conn.Close()
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func (s *slot) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
	}
}

// run carries out one plan.
func (s *slot) run(ctx context.Context, plan *Process, grace time.Duration, killed *atomic.Bool) (res Result, err error) {
	began := time.Now()
	st, err := openStreams(plan)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		st.closeFDs()
		if e := st.wait(); e != nil && err == nil {
			err = fmt.Errorf("sandbox: output of the action: %w", e)
		}
	}()
	if err := compile(&s.prog, plan, st.out, st.err); err != nil {
		return Result{}, err
	}
	if s.conn == nil {
		if err := s.start(killed); err != nil {
			return Result{}, err
		}
	}
	s.seq++
	if err := s.send(&s.prog, st.fds); err != nil {
		return Result{}, s.broken(err)
	}
	st.closeFDs() // the action's own copies alone keep a pipe open

	g := s.guard(ctx, plan.Timeout, grace)
	rep, extra, err := s.receive()
	timedOut := g.end()
	if err != nil {
		return Result{}, s.broken(err)
	}
	if err := ctx.Err(); err != nil && !timedOut {
		return Result{}, cancelled(err)
	}
	return s.result(rep, extra, &s.prog, plan, timedOut, time.Since(began))
}

// guard ends an action when its context ends or its time is up. It costs no
// goroutine as long as neither happens.
type guard struct {
	slot     *slot
	grace    time.Duration
	stopCtx  func() bool
	timeout  *time.Timer
	mu       sync.Mutex
	ended    bool
	asked    bool // SIGTERM is sent
	timedOut bool
	kill     *time.Timer
}

func (s *slot) guard(ctx context.Context, timeout, grace time.Duration) *guard {
	g := &guard{slot: s, grace: grace}
	g.stopCtx = context.AfterFunc(ctx, func() { g.ask(false) })
	if timeout > 0 {
		g.timeout = time.AfterFunc(timeout, func() { g.ask(true) })
	}
	return g
}

// ask sends SIGTERM, and SIGKILL when the grace period has passed.
func (g *guard) ask(timedOut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended || g.asked {
		return
	}
	g.asked, g.timedOut = true, timedOut
	g.slot.command(msgTerm)
	g.kill = time.AfterFunc(g.grace, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.ended {
			g.slot.command(msgKill)
		}
	})
}

// end says that the action is over and reports whether its time was up.
func (g *guard) end() bool {
	g.stopCtx()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	for _, t := range []*time.Timer{g.timeout, g.kill} {
		if t != nil {
			t.Stop()
		}
	}
	return g.timedOut
}

// command sends a message without program. If the helper is gone, the reader
// of its answer notices.
func (s *slot) command(kind uint32) {
	req := request{kind: kind, seq: s.seq}
	_, _ = s.conn.Write(bytesOf(&req))
}

func (s *slot) send(p *program, fds []int) error {
	req := request{
		kind: msgRun, seq: s.seq, fds: uint32(len(fds)),
		path: p.path, argv: p.argv, shArgv: p.shArgv, envp: p.envp,
		argc: uint32(p.argc), shArgc: uint32(p.shArgc), envc: uint32(p.envc),
		codeLen: uint32(len(p.codeBytes())), blobLen: uint32(len(p.blob)),
	}
	if p.trace {
		req.trace = 1
	}
	req.watch, req.watchAt = uint32(p.watchLen), p.watch
	s.msg = append(append(append(s.msg[:0], bytesOf(&req)...), p.codeBytes()...), p.blob...)
	msg := s.msg
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	n, _, err := s.conn.WriteMsgUnix(msg, oob, nil)
	if err == nil && n < len(msg) {
		_, err = s.conn.Write(msg[n:])
	}
	return err
}

func (s *slot) receive() (rep reply, extra []byte, err error) {
	if _, err = io.ReadFull(s.conn, bytesOf(&rep)); err != nil {
		return rep, nil, err
	}
	if rep.extra > 0 {
		extra = make([]byte, rep.extra)
		_, err = io.ReadFull(s.conn, extra)
	}
	return rep, extra, err
}

// result judges the helper's answer.
func (s *slot) result(rep reply, extra []byte, prog *program, plan *Process, timedOut bool, took time.Duration) (Result, error) {
	errno := syscall.Errno(rep.errno)
	res := Result{TimedOut: timedOut}
	switch rep.state {
	case stateFailed:
		steps, pc := prog.steps, int(rep.failPC)
		if rep.failPC&preludePC != 0 {
			steps, pc = prelude().steps, int(rep.failPC&^preludePC)
		}
		at := step{name: "unknown step"}
		if pc < len(steps) {
			at = steps[pc]
		}
		return Result{}, &StepError{Step: at.name, Detail: at.detail, Errno: errno, Fix: hostFacts().fix(at.name, errno)}
	case stateCloneError:
		const name = "create namespaces of the action"
		return Result{}, &StepError{Step: name, Errno: errno, Fix: hostFacts().fix(name, errno)}
	case stateTraceError:
		name := "trace the action"
		if !plan.Trace {
			name = "observe the action"
		}
		if !plan.Trace && errno == syscall.E2BIG {
			return Result{}, &StepError{Step: name, Reason: fmt.Sprintf("it looked at more than %d paths; narrow its scopes", maxLooks)}
		}
		return Result{}, &StepError{Step: name, Errno: errno}
	case stateExecError:
		return Result{}, &StepError{Step: "exec", Detail: plan.Argv[0], Errno: errno}
	case stateKilled:
		if !timedOut {
			return Result{}, errors.New("sandbox: the action's pid 1 was killed from outside")
		}
		res.Signal, res.ExitCode = syscall.SIGKILL, 128+int(syscall.SIGKILL)
		res.Wall = took
		looks, err := decodeLooks(extra)
		if plan.observed() {
			res.Looks = looks
			return res, err
		}
		return res, nil
	}
	ws := syscall.WaitStatus(rep.status)
	if ws.Signaled() {
		res.Signal = ws.Signal()
		res.ExitCode = 128 + int(res.Signal)
	} else {
		res.ExitCode = ws.ExitStatus()
	}
	res.Wall = time.Duration(rep.wallNS)
	res.Setup = max(took-res.Wall, 0)
	res.User = time.Duration(rep.userUS) * time.Microsecond
	res.Sys = time.Duration(rep.sysUS) * time.Microsecond
	res.MaxRSS = rep.maxRSS << 10
	if plan.observed() {
		looks, err := decodeLooks(extra)
		res.Looks = looks
		return res, err
	}
	if len(extra) > 0 {
		if err := json.Unmarshal(extra, &res.Refused); err != nil {
			return Result{}, fmt.Errorf("sandbox: trace: %w", err)
		}
	}
	return res, nil
}
