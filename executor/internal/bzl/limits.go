package bzl

import (
	"fmt"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
)

// What Go cannot recover from, a stack or a memory that is exhausted, is kept
// from files that users write and tools print, as far as a built-in function
// would cause it at one stroke.
const (
	// maxSteps bounds one evaluation of a file or a function: a minute and more
	// of computation, and an end to loops that have none.
	maxSteps = 2_000_000_000

	// maxElements bounds what a built-in function makes of a sequence, whose
	// length costs nothing: range(1 << 40).
	maxElements = 50_000_000

	// maxNesting bounds the JSON values that are read, which are read recursively.
	maxNesting = 10_000
)

// NewThread returns a thread for one evaluation.
func NewThread(name string, print func(*starlark.Thread, string)) *starlark.Thread {
	t := &starlark.Thread{Name: name, Print: print}
	t.SetMaxExecutionSteps(maxSteps)
	return t
}

// bounded is the universal function called name, refusing sequences that are too long.
func bounded(name string) *starlark.Builtin {
	f := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		for _, a := range args {
			if n := starlark.Len(a); n > maxElements {
				return nil, fmt.Errorf("%s: a sequence of %d elements is too long: at most %d are taken", name, n, maxElements)
			}
		}
		return f.CallInternal(thread, args, kwargs)
	})
}

// decodeJSON is json.decode.
func decodeJSON(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		if text, ok := starlark.AsString(args[0]); ok {
			if n := nesting(text); n > maxNesting {
				return nil, fmt.Errorf("%s: the text is nested %d deep: at most %d is read", b.Name(), n, maxNesting)
			}
		}
	}
	return starlarkjson.Module.Members["decode"].(*starlark.Builtin).CallInternal(thread, args, kwargs)
}

// nesting is how deep the brackets of a JSON text go, or what begins like one.
func nesting(text string) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}
