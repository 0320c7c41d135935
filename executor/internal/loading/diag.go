package loading

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/memo"
)

// errorf is an error whose place is not known where it is found: whoever called
// the function, or named the target, gives it one.
func errorf(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, format, args...)
}

// At returns an error at a position of a parsed file.
func At(pos syntax.Position, format string, args ...any) *diag.Error {
	return diag.Errorf(bzl.Position(pos), format, args...)
}

// Diagnose turns what parsing or running a Starlark file gave into a *diag.Error
// with the position of the code that is to blame: the innermost Starlark frame.
// An error inside that has a position already, or a cycle, is returned instead:
// what wraps it on the way up tells nothing new.
func Diagnose(err error) error {
	if placed := diag.Placed(err); placed != nil {
		return placed
	}
	var cycle *memo.CycleError
	if errors.As(err, &cycle) {
		return cycle
	}
	var parse syntax.Error
	if errors.As(err, &parse) {
		return diag.Wrap(bzl.Position(parse.Pos), err, parse.Msg)
	}
	var names resolve.ErrorList
	if errors.As(err, &names) {
		text := names[0].Msg
		for _, more := range names[1:] {
			text += fmt.Sprintf("\n%s: %s", bzl.Position(more.Pos), more.Msg)
		}
		return diag.Wrap(bzl.Position(names[0].Pos), err, text)
	}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		return evalError(eval)
	}
	return err
}

func evalError(eval *starlark.EvalError) *diag.Error {
	var frames []starlark.CallFrame
	for _, f := range eval.CallStack {
		if f.Pos.Line > 0 {
			frames = append(frames, f)
		}
	}
	text, at := strings.TrimPrefix(eval.Msg, "Starlark computation cancelled: "), diag.Position{}
	slices.Reverse(frames)
	for i, f := range frames {
		if i == 0 {
			at = bzl.Position(f.Pos)
			continue
		}
		text += "\n    called from " + bzl.Position(f.Pos).String()
		if f.Name != "<toplevel>" {
			text += " in " + f.Name
		}
	}
	return diag.Wrap(at, eval, text).WithHint(diag.Hint(eval))
}
