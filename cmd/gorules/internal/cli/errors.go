package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"gorules/cmd/gorules/internal/workspace"
	"gorules/executor"
	"gorules/executor/diag"
	"gorules/executor/event"
)

// badLine is an error of the command line: exit code 2.
func badLine(format string, args ...any) error {
	return &executor.Error{Kind: executor.BadCommandLine, Err: fmt.Errorf(format, args...)}
}

// withHint adds what to do to an error.
func withHint(err error, hint string) error {
	return diag.Wrap(diag.Position{}, err, err.Error()).WithHint(hint)
}

// brokenPipe is the exit code where nobody reads what gorules says any more: a
// shell gives the same one for a program that SIGPIPE ended, as it does git.
const brokenPipe = 128 + int(syscall.SIGPIPE)

// exitCode gives the process's exit code for what a verb returned, and report what
// a standard output that is gone makes of it; only a second Ctrl-C (interrupts) and
// the program of `run` end the process otherwise. `gorules help exit-codes` documents it.
func (c *command) exitCode(err error) int {
	var ours *executor.Error
	var system syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ours) && ours.Kind == executor.AnalysisFailed && slices.Contains(building, c.verb.name):
		return int(executor.BuildFailed) // as in Bazel, where 7 belongs to questions
	case errors.As(err, new(*partial)):
		return int(executor.TestsFailed) // Bazel's code for a partial success, too
	case errors.As(err, &ours):
		return int(ours.Kind)
	case errors.Is(err, context.Canceled):
		return int(executor.Interrupted)
	case errors.Is(err, workspace.ErrNotFound):
		return int(executor.BadCommandLine)
	case errors.As(err, &system):
		return int(executor.Environment)
	}
	return int(executor.Internal)
}

// exitCodes is the documentation of exitCode.
var exitCodes = []struct {
	code int
	text string
}{
	{0, "everything that was asked for succeeded"},
	{int(executor.BuildFailed), "the build failed; in build, test and run also: a BUILD file or a rule is wrong; in cache verify: something stored was wrong"},
	{int(executor.BadCommandLine), "the command line, an rc file or the current folder is wrong, or a file that a flag names cannot be written"},
	{int(executor.TestsFailed), "the build succeeded, and a test failed or timed out; query -k: not all could be loaded"},
	{int(executor.NoTests), "the build succeeded, and there were no tests"},
	{int(executor.RunFailed), "the program of `run` could not be started; otherwise its own code is passed on"},
	{int(executor.AnalysisFailed), "outside build, test and run: a query, a BUILD file or a rule is wrong"},
	{int(executor.Interrupted), "interrupted"},
	{int(executor.Environment), "something of this machine is missing or refused, or standard output or a file that a flag names could not be written to its end"},
	{int(executor.Internal), "a bug in gorules"},
	{brokenPipe, "nobody reads the output any more"},
}

// diagnosis renders err for the user; ok is false where there is nothing to show,
// or it was already shown.
func (c *command) diagnosis(err error) (d event.Diagnostic, ok bool) {
	var ours *executor.Error
	if err == nil || errors.As(err, &ours) && ours.Reported {
		return d, false
	}
	if c.exitCode(err) == int(executor.Internal) {
		return event.Diagnostic{Severity: event.Error, Text: c.bugReport(err)}, true
	}
	if errors.Is(err, context.Canceled) {
		return event.Diagnostic{Severity: event.Error, Text: "interrupted"}, true
	}
	return described(err), true
}

// described is err as it is shown.
func described(err error) event.Diagnostic {
	e := diag.Of(err)
	return event.Diagnostic{Severity: event.Error, Position: e.Position(), Text: e.Text(), Hint: e.Hint()}
}

// bugReport says that err should not be, and everything that is of use to whoever
// is to repair it. A panic tells by itself where it happened.
func (c *command) bugReport(err error) string {
	return fmt.Sprintf("this is a bug in gorules; please report it with the text below\n%v\n`gorules %s` of %s",
		err, c.verb.name, strings.Join(c.release(), ", "))
}
