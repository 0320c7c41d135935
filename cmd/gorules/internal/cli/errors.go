package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorules/cmd/gorules/internal/flags"
	"gorules/cmd/gorules/internal/rc"
	"gorules/cmd/gorules/internal/workspace"
	"gorules/executor"
	"gorules/executor/event"
)

// badLine is an error of the command line: exit code 2.
func badLine(format string, args ...any) error {
	return &flags.Error{Err: fmt.Errorf(format, args...)}
}

// hinted adds what to do to an error.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }
func (e *hinted) Hint() string  { return e.hint }

func withHint(err error, hint string) error { return &hinted{err, hint} }

// exitCode gives the process's exit code for what a verb returned. It is the
// only place that does; `gorules help exit-codes` documents it.
func exitCode(err error) int {
	var ours *executor.Error
	var line *flags.Error
	var file *rc.Error
	var nowhere *workspace.NotFound
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ours):
		return int(ours.Kind)
	case errors.Is(err, context.Canceled):
		return int(executor.Interrupted)
	case errors.As(err, &line), errors.As(err, &file), errors.As(err, &nowhere):
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
	d = event.Diagnostic{Severity: event.Error, Text: err.Error()}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		d.Hint = h.Hint()
	}
	var line *flags.Error
	var file *rc.Error
	switch {
	case errors.As(err, &file):
		d.File, d.Line, d.Text = file.File, file.Line, file.Text
	case errors.As(err, &line) && line.Origin != "":
		name, number, _ := cutLast(line.Origin, ":")
		d.File, d.Text = name, line.Err.Error()
		d.Line, _ = strconv.Atoi(number)
	}
	return d, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
