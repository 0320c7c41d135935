package cli

import (
	"context"
	"errors"
	"fmt"

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

// exitCode gives the process's exit code for what a verb returned. It is the
// only place that does; `gorules help exit-codes` documents it.
func exitCode(err error) int {
	var ours *executor.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ours):
		return int(ours.Kind)
	case errors.Is(err, context.Canceled):
		return int(executor.Interrupted)
	case errors.Is(err, workspace.ErrNotFound):
		return int(executor.BadCommandLine)
	}
	return int(executor.Internal)
}

// exitCodes is the documentation of exitCode.
var exitCodes = []struct {
	code int
	text string
}{
	{0, "everything that was asked for succeeded"},
	{int(executor.BuildFailed), "the build failed"},
	{int(executor.BadCommandLine), "the command line, an rc file or the current folder is wrong"},
	{int(executor.TestsFailed), "the build succeeded, and a test failed or timed out"},
	{int(executor.NoTests), "the build succeeded, and there were no tests"},
	{int(executor.RunFailed), "the program of `run` could not be started; otherwise its own code is passed on"},
	{int(executor.AnalysisFailed), "a BUILD file, a rule or a query is wrong"},
	{int(executor.Interrupted), "interrupted"},
	{int(executor.Environment), "something of this machine is missing or refused"},
	{int(executor.Internal), "an error in gorules itself"},
}

// diagnosis renders err for the user; ok is false where it was already shown.
func diagnosis(err error) (d event.Diagnostic, ok bool) {
	var ours *executor.Error
	if errors.As(err, &ours) && ours.Reported {
		return d, false
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
