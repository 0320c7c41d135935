package front

import (
	"context"
	"errors"
	"strings"

	"gorules/executor/event"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/loading"
)

// Fail reports err as a diagnostic and returns it with its kind.
func (s *Session) Fail(ctx context.Context, err error) error { return Fail(ctx, s.opt.Sink, err) }

// Fail reports err as a diagnostic and returns it with its kind.
func Fail(ctx context.Context, sink event.Sink, err error) error {
	var known *exit.Error
	var fault *bug.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &fault):
		return &exit.Error{Kind: exit.Internal, Err: fault}
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		return exit.New(exit.Interrupted, "interrupted")
	}
	Report(sink, err)
	return &exit.Error{Kind: exit.AnalysisFailed, Err: err, Reported: true}
}

// IsUsers reports whether err is about the user's files.
func IsUsers(err error) bool {
	var file *loading.Error
	var target *analysis.Error
	return errors.As(err, &file) || errors.As(err, &target)
}

// Report shows an error of the user's files.
func Report(sink event.Sink, err error) {
	d := event.Diagnostic{Severity: event.Error, Text: err.Error()}
	var file *loading.Error
	var target *analysis.Error
	switch {
	case errors.As(err, &target):
		d.Text, d.Hint = withoutOwnFrames(target.Text), target.Hint
		d.File, d.Line, d.Column = splitPosition(target.Position)
	case errors.As(err, &file):
		d.File, d.Line, d.Column, d.Text, d.Hint = file.File, file.Line, file.Col, file.Text, file.Hint
	}
	sink(d)
}

// withoutOwnFrames drops a traceback that lies in gorules' own rules alone: a
// rule refused something in so many words, and where it did so helps nobody.
func withoutOwnFrames(text string) string {
	said, trace, ok := strings.Cut(text, "\nTraceback (most recent call last):\n")
	if !ok {
		return text
	}
	for line := range strings.Lines(trace) {
		if !strings.Contains(line, `File "@gorules//`) {
			return text
		}
	}
	return said
}

// splitPosition reads file:line:column.
func splitPosition(p string) (file string, line, col int) {
	rest, c, ok1 := cutLast(p)
	name, l, ok2 := cutLast(rest)
	if !ok1 || !ok2 {
		return p, 0, 0
	}
	return name, l, c
}

func cutLast(s string) (string, int, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n := 0
	for _, r := range s[i+1:] {
		if r < '0' || r > '9' {
			return s, 0, false
		}
		n = n*10 + int(r-'0')
	}
	return s[:i], n, true
}
