package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
)

// FailError is what fail() raises.
type FailError struct{ Text string }

func (e *FailError) Error() string { return e.Text }

// failFn is fail() with Bazel's keywords.
func failFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var msg, attr, stack starlark.Value
	sep := " "
	if err := starlark.UnpackArgs("fail", nil, kwargs, "msg?", &msg, "attr?", &attr, "sep?", &sep, "stack_trace?", &stack); err != nil {
		return nil, err
	}
	for _, v := range append(starlark.Tuple{msg, attr}, args...) {
		if err := printable(v); err != nil {
			return nil, fmt.Errorf("fail: %w", err)
		}
	}
	var parts []string
	if msg != nil && msg != starlark.None {
		parts = append(parts, Str(msg))
	}
	for _, a := range args {
		parts = append(parts, Str(a))
	}
	text := strings.Join(parts, sep)
	if attr != nil && attr != starlark.None {
		text = fmt.Sprintf("attribute %s: %s", Str(attr), text)
	}
	return nil, &FailError{text}
}

// enumerateFn is enumerate() that takes start by name.
func enumerateFn(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var list starlark.Iterable
	start := 0
	if err := starlark.UnpackArgs("enumerate", args, kwargs, "list", &list, "start?", &start); err != nil {
		return nil, err
	}
	if err := notTooLong(thread, "enumerate", list); err != nil {
		return nil, err
	}
	var out []starlark.Value
	for v := range starlark.Elements(list) {
		out = append(out, starlark.Tuple{starlark.MakeInt(start + len(out)), v})
	}
	return starlark.NewList(out), nil
}

// Printer returns a Thread.Print that hands sink the position of the call of
// print() and the text; a nil sink drops them.
func Printer(sink func(at diag.Position, text string)) func(*starlark.Thread, string) {
	return func(thread *starlark.Thread, text string) {
		if sink != nil {
			sink(CallerPosition(thread), text)
		}
	}
}
