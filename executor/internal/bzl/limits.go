package bzl

import (
	"fmt"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
)

// What Go cannot recover from, a stack or a memory that is exhausted, is kept
// from files that users write and tools print, as far as a built-in function
// would cause it at one stroke. What takes many strokes is for the Guard.
const (
	// maxSteps bounds one evaluation of a file or a function: several seconds of
	// computation, and an end to loops that have none.
	maxSteps = 200_000_000

	// maxElements bounds what a built-in function makes of a sequence, whose
	// length costs nothing: range(1 << 40).
	maxElements = 20_000_000

	// maxText bounds the strings that come of a few arguments.
	maxText = 256 << 20

	// maxDigits and maxBits bound integers: what is done with them takes the
	// square of their length.
	maxDigits = 1_000_000
	maxBits   = 4_000_000

	// maxRead bounds how deep the JSON values are nested that are read, which are
	// read recursively.
	maxRead = 10_000

	// maxParts bounds the parts of a select() concatenation, each of which copies
	// those before it.
	maxParts = 10_000

	// maxGraph bounds how deep depsets are made of others: they are walked recursively.
	maxGraph = 1_000_000
)

// A check refuses the arguments of a universal function.
type check func(thread *starlark.Thread, name string, args starlark.Tuple) error

// checks are the universal functions that take more than their arguments cost.
var checks = map[string]check{
	"all": eachNotTooLong, "any": eachNotTooLong, "bytes": eachNotTooLong, "dict": eachNotTooLong, "list": eachNotTooLong,
	"max": eachNotTooLong, "min": eachNotTooLong, "reversed": eachNotTooLong, "set": eachNotTooLong, "sorted": eachNotTooLong,
	"tuple": eachNotTooLong, "zip": zipNotTooLong,
	"print": eachPrintable, "repr": eachPrintable, "str": eachPrintable,
	"int": notTooManyDigits,
}

// checked is the universal function called name behind a check.
func checked(name string, ok check) *starlark.Builtin {
	f := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := ok(thread, name, args); err != nil {
			return nil, err
		}
		return f.CallInternal(thread, args, kwargs)
	})
}

// charge counts the steps that a call of a function in place of an operator, or
// one that goes through n elements, is worth, so that maxSteps bounds time.
func charge(thread *starlark.Thread, n int) { thread.Steps += uint64(max(n, 0)) }

// operatorSteps is what the call costs in place of an operator.
const operatorSteps = 20

// notTooLong refuses a sequence that is too long to be gone through.
func notTooLong(thread *starlark.Thread, name string, v starlark.Value) error {
	n := starlark.Len(v)
	if n > maxElements {
		return fmt.Errorf("%s: a sequence of %d elements is too long: at most %d are taken", name, n, maxElements)
	}
	if n > large || n < 0 {
		noteCall(thread)
	}
	charge(thread, n)
	return nil
}

func eachNotTooLong(thread *starlark.Thread, name string, args starlark.Tuple) error {
	for _, a := range args {
		if err := notTooLong(thread, name, a); err != nil {
			return err
		}
	}
	return nil
}

func zipNotTooLong(thread *starlark.Thread, name string, args starlark.Tuple) error {
	if err := eachNotTooLong(thread, name, args); err != nil {
		return err
	}
	rows := maxElements
	for _, a := range args {
		if n := starlark.Len(a); n >= 0 {
			rows = min(rows, n)
		}
	}
	if n := len(args) * rows; n > maxElements && rows < maxElements {
		return fmt.Errorf("%s: a list of %d elements is too long: at most %d are made", name, n, maxElements)
	}
	return nil
}

func eachPrintable(thread *starlark.Thread, name string, args starlark.Tuple) error {
	for _, a := range args {
		if err := onePrintable(thread, a); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func onePrintable(thread *starlark.Thread, v starlark.Value) error {
	if isScalar(v) {
		return nil
	}
	noteCall(thread)
	return printable(v)
}

func notTooManyDigits(_ *starlark.Thread, name string, args starlark.Tuple) error {
	if len(args) > 0 {
		if s, ok := args[0].(starlark.String); ok && len(s) > maxDigits {
			return fmt.Errorf("%s: a number of %d characters is too long: at most %d are taken", name, len(s), maxDigits)
		}
	}
	return nil
}

// decodeJSON is json.decode.
func decodeJSON(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	noteCall(thread)
	if len(args) > 0 {
		if text, ok := starlark.AsString(args[0]); ok {
			if n := nesting(text); n > maxRead {
				return nil, fmt.Errorf("%s: the text is nested %d deep: at most %d is read", b.Name(), n, maxRead)
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
