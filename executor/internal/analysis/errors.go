package analysis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/label"
)

// Error is an error that analysing one target met. Targets that depend on it
// fail with the same *Error.
type Error struct {
	Label    label.Label
	Position string // of the target: file:line:column
	Text     string // "in foo_library rule //a:b: ..."; further lines are the Starlark calls
	Hint     string // what to do; may be empty
	Err      error  // the cause; may be nil
}

// Error returns position and text, and the hint on a line of its own.
func (e *Error) Error() string {
	s := e.Text
	if e.Position != "" {
		s = e.Position + ": " + s
	}
	if e.Hint != "" {
		s += "\n    " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// hinted is an error that knows what to do about it.
type hinted struct{ text, hint string }

func (h *hinted) Error() string { return h.text }

// targetError places err at t. Errors that are placed already are returned as they are.
func targetError(t *loading.Target, err error) error {
	var here *Error
	var file *loading.Error
	if errors.As(err, &here) || errors.As(err, &file) && file.File != "" || errors.Is(err, context.Canceled) {
		return err
	}
	what := t.KindString()
	e := &Error{Label: t.Label, Position: t.Position, Err: err}
	var cycle *memo.CycleError
	if errors.As(err, &cycle) {
		if !ours(cycle) { // of load() statements, which package loading words
			return err
		}
		e.Text = "in " + what + " " + t.Label.String() + ": " + cycleText(cycle)
		return e
	}
	text := err.Error()
	var h *hinted
	if errors.As(err, &h) {
		text, e.Hint = h.text, h.hint
	}
	e.Text = fmt.Sprintf("in %s %s: %s%s", what, t.Label, text, traceback(err))
	return e
}

// ours reports whether a cycle is one of targets.
func ours(c *memo.CycleError) bool {
	for _, k := range c.Path {
		switch k.(type) {
		case key, aspectKey, platformKey:
		default:
			return false
		}
	}
	return true
}

// cycleText words a cycle as Bazel does, the first target repeated at the end.
func cycleText(c *memo.CycleError) string {
	var b strings.Builder
	b.WriteString("cycle in dependency graph:")
	for i := range len(c.Path) + 1 {
		k := c.Path[i%len(c.Path)]
		mark := "    "
		if i == 0 || i == len(c.Path) {
			mark = ".-> "
			if i > 0 {
				mark = "`-- "
			}
		} else {
			mark = "|   "
		}
		fmt.Fprintf(&b, "\n%s%v", mark, k)
	}
	return b.String()
}

// traceback returns the Starlark calls that led to err, the innermost last.
func traceback(err error) string {
	var eval *starlark.EvalError
	if !errors.As(err, &eval) {
		return ""
	}
	var b strings.Builder
	for _, f := range eval.CallStack {
		if f.Pos.Line > 0 {
			fmt.Fprintf(&b, "\n    File \"%s\", line %d, column %d, in %s", f.Pos.Filename(), f.Pos.Line, f.Pos.Col, f.Name)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nTraceback (most recent call last):" + b.String()
}
