package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// traceMain is the command `exectrace FILE COMMAND ARG...`: it runs COMMAND and
// writes what it and all its descendants executed to FILE, as JSON. It is a
// process of its own because it waits for whatever child there is.
func traceMain() int {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: exectrace FILE COMMAND ARG...")
		return 2
	}
	tr := tracer{parent: map[int]int{}, image: map[int]int{}, born: map[int]bool{}, held: map[int]bool{}}
	code, err := tr.run(os.Args[2:])
	if err == nil {
		var data []byte
		if data, err = json.Marshal(tr.out); err == nil {
			err = os.WriteFile(os.Args[1], data, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "exectrace:", err)
		return 2
	}
	return code
}

type tracer struct {
	parent map[int]int  // thread or process -> who made it
	image  map[int]int  // process -> the index in out of what it executes
	born   map[int]bool // traced, and past its first stop
	held   map[int]bool // stopped until its maker's event tells whose child it is
	out    []execed
}

// run starts argv under ptrace, which follows every fork and stops at every
// execve, and returns argv's exit code after the last descendant is gone.
func (tr *tracer) run(argv []string) (int, error) {
	runtime.LockOSThread() // ptrace's rule: one thread makes all calls
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(path, argv, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, err
	}
	code := -1
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return code, nil
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case ws.Exited() || ws.Signaled():
			if pid == p.Pid {
				code = ws.ExitStatus()
			}
			tr.forget(pid)
			continue
		case !ws.Stopped():
			continue
		}
		signal, err := tr.stopped(pid, ws, pid == p.Pid)
		if err == nil && !tr.held[pid] {
			err = unix.PtraceCont(pid, signal)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: killed meanwhile; its end comes next
			return 0, fmt.Errorf("process %d: %w", pid, err)
		}
	}
}

// stopped notes why pid stopped and returns the signal to go on with.
func (tr *tracer) stopped(pid int, ws unix.WaitStatus, root bool) (int, error) {
	if root && !tr.born[pid] {
		tr.born[pid] = true
		tr.executed(pid)
		return 0, unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|
			unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL)
	}
	switch signal := ws.StopSignal(); {
	case signal == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
		tr.executed(pid)
		return 0, nil
	case signal == unix.SIGTRAP && ws.TrapCause() > 0:
		child, err := unix.PtraceGetEventMsg(pid)
		if err != nil {
			return 0, err
		}
		return 0, tr.made(pid, int(child))
	case signal == unix.SIGSTOP && !tr.born[pid]: // every traced process begins so
		_, known := tr.parent[pid]
		tr.born[pid], tr.held[pid] = true, !known
		return 0, nil
	default:
		return int(signal), nil
	}
}

// made notes that pid made child, which may have come to its first stop before.
func (tr *tracer) made(pid, child int) error {
	tr.parent[child] = pid
	if !tr.held[child] {
		return nil
	}
	delete(tr.held, child)
	return unix.PtraceCont(child, 0)
}

// forget makes the id free for another process. Its children keep their place:
// what it executed is theirs from then on.
func (tr *tracer) forget(pid int) {
	for child, p := range tr.parent {
		if p == pid {
			if i, ok := tr.image[pid]; ok {
				if _, own := tr.image[child]; !own {
					tr.image[child] = i
				}
				delete(tr.parent, child)
			} else if up, ok := tr.parent[pid]; ok {
				tr.parent[child] = up
			}
		}
	}
	delete(tr.born, pid)
	delete(tr.held, pid)
	delete(tr.image, pid)
	delete(tr.parent, pid)
}

// executed notes what pid executes now, and what executed it.
func (tr *tracer) executed(pid int) {
	by := -1
	for p, ok := pid, true; ok; p, ok = tr.parent[p] {
		if i, found := tr.image[p]; found {
			by = i
			break
		}
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		line = []byte("unknown")
	}
	tr.image[pid] = len(tr.out)
	tr.out = append(tr.out, execed{Argv: strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"), By: by})
}
