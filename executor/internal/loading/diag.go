package loading

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/memo"
)

// Error is an error in a file that the user wrote: where, what, what to do.
type Error struct {
	File string // as positions show it: relative to the workspace where it is inside
	Line int    // from 1; 0 if unknown
	Col  int
	Text string // the message; further lines are the Starlark calls that led there
	Hint string // what to do; may be empty
	Err  error  // the cause, if there is one
}

// Error returns "file:line:col: text" and the hint on a line of its own.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	if e.Hint != "" {
		b.WriteString("\n    " + e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// hinted is an error of a built-in function that knows what to do about it.
type hinted struct {
	text, hint string
	err        error
}

func (h *hinted) Error() string { return h.text }
func (h *hinted) Unwrap() error { return h.err }

// At returns an error at a position of a parsed file.
func At(pos syntax.Position, hint, format string, args ...any) *Error {
	return &Error{File: pos.Filename(), Line: int(pos.Line), Col: int(pos.Col), Text: fmt.Sprintf(format, args...), Hint: hint}
}

// Diagnose turns what parsing or running a Starlark file gave into an *Error
// with the position of the code that is to blame: the innermost Starlark frame.
// An error inside that has a position already, or a cycle, is returned instead:
// what wraps it on the way up tells nothing new.
func Diagnose(err error) error {
	var known *Error
	if errors.As(err, &known) && known.File != "" {
		return known
	}
	var cycle *memo.CycleError
	if errors.As(err, &cycle) {
		return cycle
	}
	var parse syntax.Error
	if errors.As(err, &parse) {
		e := At(parse.Pos, "", "%s", parse.Msg)
		e.Err = err
		return e
	}
	var names resolve.ErrorList
	if errors.As(err, &names) {
		e := At(names[0].Pos, "", "%s", names[0].Msg)
		for _, more := range names[1:] {
			e.Text += fmt.Sprintf("\n%s: %s", bzl.PositionString(more.Pos), more.Msg)
		}
		e.Err = err
		return e
	}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		return evalError(eval)
	}
	return err
}

func evalError(eval *starlark.EvalError) *Error {
	e := &Error{Text: eval.Msg, Err: eval}
	var h *hinted
	var known *Error
	if errors.As(eval, &known) {
		e.Hint = known.Hint
		e.Text = strings.TrimSuffix(e.Text, "\n    "+known.Hint)
	}
	if errors.As(eval, &h) {
		e.Text, e.Hint = h.text, h.hint
	}
	var frames []starlark.CallFrame
	for _, f := range eval.CallStack {
		if f.Pos.Line > 0 {
			frames = append(frames, f)
		}
	}
	if len(frames) == 0 {
		return e
	}
	last := frames[len(frames)-1]
	e.File, e.Line, e.Col = last.Pos.Filename(), int(last.Pos.Line), int(last.Pos.Col)
	slices.Reverse(frames)
	for _, f := range frames[1:] {
		e.Text += "\n    called from " + bzl.PositionString(f.Pos)
		if f.Name != "<toplevel>" {
			e.Text += " in " + f.Name
		}
	}
	return e
}
