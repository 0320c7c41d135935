// Package exit names the ways in which a command can end other than well. Each
// has one exit code, Bazel's.
package exit

import "fmt"

// Kind sorts the errors that end a command.
type Kind int

// The kinds, with Bazel's exit codes.
const (
	BuildFailed    Kind = 1
	BadCommandLine Kind = 2
	TestsFailed    Kind = 3
	NoTests        Kind = 4
	RunFailed      Kind = 6
	AnalysisFailed Kind = 7
	Interrupted    Kind = 8
	Environment    Kind = 36
	Internal       Kind = 37
)

// Error is an error with its kind. Where its text was already reported as an
// event, Reported is true and the command line prints nothing more.
type Error struct {
	Kind     Kind
	Err      error
	Reported bool
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of a kind that was not reported yet.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// OfMachine returns an error of the machine: something of it is missing or refused.
func OfMachine(format string, args ...any) *Error { return New(Environment, format, args...) }
