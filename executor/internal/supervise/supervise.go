// Package supervise starts programs that run on the host as it is and ends them, with
// all that they started, when they end, when nobody wants them any more, or when gorules
// does, however that ended.
//
// Such a program has no pid namespace that ends with gorules. It is the child of a
// supervisor, this program started under another name, which adopts what the program
// leaves behind (a subreaper) and kills all of it when the program ends, or when the
// pipe that it holds is closed, as the kernel does when gorules is killed.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisorName is argv[0] of a supervisor; its arguments are the
// program and its argv.
const supervisorName = "gorules-supervisor"

// The descriptors that a supervisor is started with.
const (
	lifelineFD = 3 // ends when gorules does
	statusFD   = 4 // gets the wait status in decimal, or why there is none
)

// Main turns this process into a supervisor if it was started as one, and then
// never returns. It has to be called at the begin of main, and in TestMain.
func Main() {
	if os.Args[0] != supervisorName || len(os.Args) < 3 {
		return
	}
	status := os.NewFile(statusFD, "status")
	syscall.CloseOnExec(lifelineFD)
	syscall.CloseOnExec(statusFD)
	ws, err := supervise(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintf(status, "%v", err)
	} else {
		fmt.Fprintf(status, "%d", uint32(ws))
	}
	os.Exit(0)
}

func supervise(program string, argv []string) (syscall.WaitStatus, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("adopting what it leaves behind: %w", err)
	}
	// The group takes what is sent to gorules' own group, Ctrl-C, to neither.
	cmd := exec.Command(program)
	cmd.Args = argv
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(lifelineFD, "lifeline"))
		killDescendants()
		os.Exit(1)
	}()
	err := cmd.Wait()
	killDescendants()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), nil
}

// killDescendants kills this process's children until none is left. Those of a
// killed child become children of this process, and are next.
func killDescendants() {
	for range 1000 {
		ids := children()
		if len(ids) == 0 {
			return
		}
		for _, id := range ids {
			_ = syscall.Kill(id, syscall.SIGKILL)
		}
		for _, id := range ids { // also the one that cmd.Wait waits for: who comes first gets it
			_, _ = syscall.Wait4(id, nil, syscall.WNOHANG, nil)
		}
		time.Sleep(time.Millisecond)
	}
}

// children lists the processes whose parent this one is, the dead ones that were
// not waited for included.
func children() []int {
	es, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	me := strconv.Itoa(os.Getpid())
	var out []int
	for _, e := range es {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// "id (name) state parent ...", and a name may hold anything.
		if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 1 && f[1] == me {
			out = append(out, id)
		}
	}
	return out
}

// A Command is a program to run.
type Command struct {
	Program        string // a path, or a name that is looked for in PATH of Env
	Argv           []string
	Env            []string
	Dir            string
	Stdout, Stderr io.Writer
}

// Run runs the command. When ctx ends, it and all that it started are killed. Its
// own failure to start is notStarted.
func (c *Command) Run(ctx context.Context) (ws syscall.WaitStatus, notStarted, err error) {
	lifelineEnd, lifeline, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer lifeline.Close()
	status, statusEnd, err := os.Pipe()
	if err != nil {
		lifelineEnd.Close()
		return 0, nil, err
	}
	defer status.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{supervisorName, c.Program}, c.Argv...), Env: c.Env, Dir: c.Dir,
		Stdout: c.Stdout, Stderr: c.Stderr, ExtraFiles: []*os.File{lifelineEnd, statusEnd},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = cmd.Start()
	lifelineEnd.Close()
	statusEnd.Close()
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, func() { lifeline.Close() })
	text, readErr := io.ReadAll(status)
	stop()
	if err := errors.Join(readErr, ignoreExit(cmd.Wait())); err != nil {
		return 0, nil, err
	}
	if n, err := strconv.ParseUint(string(text), 10, 32); err == nil {
		return syscall.WaitStatus(n), nil, nil
	}
	if len(text) == 0 && ctx.Err() == nil {
		return 0, nil, errors.New("the supervisor of a program was killed")
	}
	return 0, errors.New(string(text)), nil
}

// ignoreExit drops the error of a command that merely exited with another code.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}
