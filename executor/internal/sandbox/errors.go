package sandbox

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrClosed is returned by Run after Close.
	ErrClosed = errors.New("sandbox: pool is closed")
	// ErrKilled is returned by Run when Kill ended the action, and after it.
	ErrKilled = errors.New("sandbox: pool was killed")
)

// StepError says that the host or the plan made one step of building a sandbox
// fail. The action's process has not run.
type StepError struct {
	Step   string        // what was refused, for example "mount proc" or "exec"
	Detail string        // the path or object, if any
	Errno  syscall.Errno // the kernel's answer; 0 if it was not the kernel
	Reason string        // more about the cause, if Errno does not say it
	Fix    string        // one command that would allow it, if the host is at fault
}

func (e *StepError) Error() string {
	s := "sandbox: " + e.Step
	if e.Detail != "" {
		s += " " + e.Detail
	}
	if e.Errno != 0 {
		s += ": " + e.Errno.Error()
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Fix != "" {
		s += fmt.Sprintf("\nto allow it: %s", e.Fix)
	}
	return s
}

// Unwrap gives the errno, so that errors.Is(err, fs.ErrNotExist) works.
func (e *StepError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}
