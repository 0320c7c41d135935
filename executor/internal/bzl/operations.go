package bzl

import (
	"fmt"
	"math/bits"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The operations that make much of little at one stroke have no hook in the
// interpreter. Where a file is compiled they are made calls of these functions,
// under names that no file can write.
const (
	Repeat = "*"  // (x, y): x * y
	Format = "%"  // (x, y): x % y
	Method = "."  // (x, name): x.name
	Add    = "+"  // (x, y): x + y
	Extend = "+=" // (x, y): what x is after x += y
	Little = "<"  // (y): y, to be added to something by +=
)

// Methods are the names of attributes that are looked up by Method.
var Methods = map[string]bool{"extend": true, "format": true, "join": true, "replace": true, "rsplit": true, "split": true, "splitlines": true}

type operation = func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

var operations = map[string]operation{Repeat: repeat, Format: format, Method: attribute, Add: add, Extend: extend, Little: little, "getattr": getattr}

func repeat(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	charge(thread, operatorSteps)
	x, y := args[0], args[1]
	if i, ok := x.(starlark.Int); ok {
		if j, ok := y.(starlark.Int); ok {
			if err := notTooBig(i, j); err != nil {
				return nil, err
			}
			return i.Mul(j), nil
		}
		x, y = y, x
	}
	if i, ok := y.(starlark.Int); ok {
		limit, what := lengthLimit(x)
		if n, size := starlark.Len(x), 0; limit > 0 && n > 0 && i.Sign() > 0 {
			err := starlark.AsInt(i, &size)
			over, product := bits.Mul64(uint64(n), uint64(size))
			if err != nil || over > 0 || product > uint64(limit) {
				return nil, fmt.Errorf("excessive repeat: %d %s times %s is too long: at most %d are made", n, what, shortInt(i), limit)
			}
		}
	}
	return starlark.Binary(syntax.STAR, args[0], args[1])
}

// lengthLimit is how long what one operation makes may be, in the unit of Len(x);
// 0 where it is for x to say.
func lengthLimit(x starlark.Value) (limit int, unit string) {
	switch x.(type) {
	case starlark.String, starlark.Bytes:
		return maxText, "bytes"
	case *starlark.List, starlark.Tuple:
		return maxElements, "elements"
	}
	return 0, ""
}

func notTooMuch(x, y starlark.Value) error {
	limit, unit := lengthLimit(x)
	if limit == 0 {
		return nil
	}
	if n := starlark.Len(x) + max(starlark.Len(y), 0); n > limit || n < 0 {
		return fmt.Errorf("a %s of %d %s is too long: at most %d are made by one operation", x.Type(), n, unit, limit)
	}
	return nil
}

func add(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	charge(thread, operatorSteps)
	if err := notTooMuch(args[0], args[1]); err != nil {
		return nil, err
	}
	return starlark.Binary(syntax.PLUS, args[0], args[1])
}

// extend is what the interpreter does for x += y: a list gets more elements.
func extend(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	charge(thread, operatorSteps)
	x, y := args[0], args[1]
	if err := notTooMuch(x, y); err != nil {
		return nil, err
	}
	list, ok := x.(*starlark.List)
	if !ok || !iterable(y) {
		return starlark.Binary(syntax.PLUS, x, y)
	}
	m, err := list.Attr("extend")
	if err != nil {
		return nil, err
	}
	if _, err := m.(*starlark.Builtin).CallInternal(thread, args[1:], nil); err != nil {
		return nil, fmt.Errorf("%s", strings.Replace(err.Error(), "extend: cannot extend", "cannot apply += to", 1))
	}
	return list, nil
}

func iterable(v starlark.Value) bool {
	_, ok := v.(starlark.Iterable)
	return ok
}

func little(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return args[0], notTooMuch(args[0], starlark.None)
}

// shortInt is an integer for a message.
func shortInt(i starlark.Int) string {
	if _, ok := i.Int64(); ok {
		return i.String()
	}
	return "more than that"
}

func notTooBig(x, y starlark.Int) error {
	if _, ok := x.Int64(); ok {
		if _, ok := y.Int64(); ok {
			return nil
		}
	}
	if n := x.BigInt().BitLen() + y.BigInt().BitLen(); n > maxBits {
		return fmt.Errorf("an integer of %d bits is too large: at most %d are kept", n, maxBits)
	}
	return nil
}

func format(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	charge(thread, operatorSteps)
	if f, ok := args[0].(starlark.String); ok {
		// A tuple's elements are each taken once, those of a dict as often as they are named.
		times := 1
		if _, ok := args[1].(*starlark.Dict); ok {
			times = strings.Count(string(f), "%(")
		}
		if err := checkFormat(thread, string(f), args[1:], times); err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
	}
	return starlark.Binary(syntax.PERCENT, args[0], args[1])
}

// checkFormat refuses values that are too much to be written into a format, each
// of them so many times.
func checkFormat(thread *starlark.Thread, format string, values starlark.Tuple, times int) error {
	size := 0
	for _, v := range values {
		if err := onePrintable(thread, v); err != nil {
			return err
		}
		switch v := v.(type) {
		case starlark.String:
			size += len(v)
		case starlark.Tuple, *starlark.Dict:
			size += ownSize(v)
		}
	}
	if size > 0 && times > 0 && size > (maxText-min(len(format), maxText))/times {
		return fmt.Errorf("the text is too long: at most %d bytes are made", maxText)
	}
	return nil
}

// attribute is a method of a string or a list behind a check; other values have what they have.
func attribute(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	x, name := args[0], string(args[1].(starlark.String))
	v, err := attributeOf(x, name)
	if err != nil {
		return nil, err
	}
	var check func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Tuple, error)
	switch x := x.(type) {
	case starlark.String:
		check = func(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Tuple, error) {
			return methodArgs(thread, string(x), name, args, kwargs)
		}
	case *starlark.List:
		check = func(thread *starlark.Thread, args starlark.Tuple, _ []starlark.Tuple) (starlark.Tuple, error) {
			if len(args) == 1 {
				return args, notTooMuch(x, args[0])
			}
			return args, nil
		}
	default:
		return v, nil
	}
	m := v.(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		args, err := check(thread, args, kwargs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return m.CallInternal(thread, args, kwargs)
	}).BindReceiver(x), nil
}

// attributeOf is x.name as the interpreter finds it.
func attributeOf(x starlark.Value, name string) (starlark.Value, error) {
	if has, ok := x.(starlark.HasAttrs); ok {
		if v, err := has.Attr(name); v != nil || err != nil {
			return v, err
		}
	}
	return nil, fmt.Errorf("%s has no .%s field or method", x.Type(), name)
}

// getattr is getattr() with the same methods of strings.
func getattr(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) >= 2 && len(kwargs) == 0 {
		if name, _ := starlark.AsString(args[1]); Methods[name] {
			if v, err := attribute(thread, b, args, nil); err == nil {
				return v, nil
			}
		}
	}
	return starlark.Universe["getattr"].(*starlark.Builtin).CallInternal(thread, args, kwargs)
}

// methodArgs returns the arguments with which a method of s is to be called.
func methodArgs(thread *starlark.Thread, s, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Tuple, error) {
	charge(thread, operatorSteps+len(s)/64)
	if len(s) > 1<<20 {
		noteCall(thread)
	}
	switch name {
	case "format":
		values := args
		for _, kw := range kwargs {
			values = append(values[:len(values):len(values)], kw[1])
		}
		times := 1
		if strings.Count(s, "{") > strings.Count(s, "{}") {
			times = strings.Count(s, "{") // those with a name or a number may be written many times
		}
		return args, checkFormat(thread, s, values, times)
	case "join":
		noteCall(thread)
		return args, checkJoin(s, args)
	case "replace":
		return args, checkReplace(s, args)
	case "split", "rsplit", "splitlines":
		return splitArgs(s, name, args)
	}
	return args, nil
}

func checkJoin(s string, args starlark.Tuple) error {
	if len(args) != 1 {
		return nil
	}
	list, ok := args[0].(starlark.Iterable)
	if !ok {
		return nil
	}
	if err := notTooMuch(starlark.Tuple(nil), list); err != nil {
		return err
	}
	size, n := 0, 0
	for v := range starlark.Elements(list) {
		word, _ := starlark.AsString(v)
		size += len(s) + len(word)
		if n++; size > maxText || n > maxElements {
			return fmt.Errorf("the text is too long: at most %d bytes are made", maxText)
		}
	}
	return nil
}

func checkReplace(s string, args starlark.Tuple) error {
	if len(args) < 2 {
		return nil
	}
	from, ok1 := starlark.AsString(args[0])
	to, ok2 := starlark.AsString(args[1])
	if !ok1 || !ok2 || len(to) <= len(from) {
		return nil
	}
	most := len(s) + 1
	if from != "" {
		most = len(s) / len(from)
	}
	count := most
	if len(args) > 2 {
		if err := starlark.AsInt(args[2], &count); err != nil || count < 0 {
			count = most
		}
	}
	size := func(n int) int { return len(s) + n*(len(to)-len(from)) } // no overflow: both texts are in memory
	if size(min(most, count)) > maxText {
		if n := size(min(count, strings.Count(s, from))); n > maxText {
			return fmt.Errorf("a text of %d bytes is too long: at most %d are made", n, maxText)
		}
	}
	return nil
}

// splitArgs also takes care of how many parts are asked for, which is what the
// list is made for, however few there are.
func splitArgs(s, name string, args starlark.Tuple) (starlark.Tuple, error) {
	var sep string // "" is white space
	most := len(s) + 1
	if name == "splitlines" {
		sep = "\n"
	} else {
		if len(args) > 0 {
			sep, _ = starlark.AsString(args[0])
		}
		if len(args) > 1 {
			if i, ok := args[1].(starlark.Int); ok && i.Sign() >= 0 {
				if n, exact := i.Int64(); exact && n < int64(most) {
					most = int(n) + 1
				} else {
					args = append(starlark.Tuple{args[0], starlark.MakeInt(most)}, args[2:]...)
				}
			}
		}
	}
	if name == "rsplit" && sep != "" {
		most = len(s) + 1 // all are made, and those put together again that are too many
	}
	if most <= maxElements {
		return args, nil
	}
	n := 0
	if sep == "" {
		for range strings.FieldsSeq(s) {
			n++
		}
	} else {
		n = strings.Count(s, sep) + 1
	}
	if n > maxElements {
		return nil, fmt.Errorf("a list of %d elements is too long: at most %d are made", n, maxElements)
	}
	return args, nil
}
