package bzl

import (
	"fmt"
	"math"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Freezing, printing and hashing a value are recursive in starlark-go, and a Go
// stack that is exhausted cannot be recovered from. So values that are about to
// be frozen or printed are measured first, by a walk that keeps its own stack.
const (
	// maxNesting bounds the values that are kept. It takes tens of megabytes of stack.
	maxNesting = 100_000

	// maxPrinted bounds the values that are printed: the time that takes grows
	// with the square of the depth.
	maxPrinted = 10_000
)

// Freeze freezes v unless it is nested too deep for that.
func Freeze(v starlark.Value) error { return new(Freezer).Freeze(v) }

// A Freezer freezes values that share parts, and measures no part twice. The zero
// value is ready; it is safe for concurrent use.
type Freezer struct {
	mu     sync.Mutex
	frozen map[any]bool // parts that a Freeze need not enter again
}

// large is how many elements a list or dict has that is worth remembering.
const large = 16

// Freeze freezes v unless it is nested too deep for that.
func (f *Freezer) Freeze(v starlark.Value) error {
	if isShallow(v, shallowDepth, &allowance{shallowParts, math.MaxInt}) {
		v.Freeze()
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := measure{limit: maxNesting, known: f.frozen}
	if err := m.walk(v); err != nil {
		return err
	}
	v.Freeze()
	if f.frozen == nil {
		f.frozen = map[any]bool{}
	}
	for id := range m.depth {
		switch x := id.(type) {
		case *starlarkstruct.Struct:
			f.frozen[id] = true
		case *starlark.List:
			if x.Len() >= large {
				f.frozen[id] = true
			}
		case *starlark.Dict:
			if x.Len() >= large {
				f.frozen[id] = true
			}
		}
	}
	return nil
}

// printable returns an error if printing v would be endless, or the end.
func printable(v starlark.Value) error {
	if isShallow(v, shallowDepth, &allowance{shallowParts, maxText}) {
		return nil
	}
	m := measure{limit: maxPrinted, size: map[any]int{}}
	return m.walk(v)
}

func isScalar(v starlark.Value) bool {
	switch v.(type) {
	case starlark.String, *File, Label, nil, starlark.NoneType, starlark.Bool, starlark.Int, starlark.Float, starlark.Bytes, *Provider:
		return true
	}
	return false
}

// tupleID is the identity of a tuple.
type tupleID struct {
	first *starlark.Value
	n     int
}

// identity is what a value is known by during a walk; nil for values without parts.
func identity(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.Tuple:
		if len(v) == 0 {
			return nil
		}
		return tupleID{&v[0], len(v)}
	case *starlark.List:
		if v.Len() == 0 {
			return nil
		}
		return v
	case *starlark.Dict, *starlark.Set, *starlark.Function, *starlarkstruct.Struct, *Select, *Depset:
		return v
	case *starlark.Builtin:
		if v.Receiver() == nil {
			return nil
		}
		return v
	}
	return nil
}

// eachPart calls yield for the values in v until it says false.
func eachPart(v starlark.Value, yield func(starlark.Value) bool) {
	switch v := v.(type) {
	case starlark.Tuple:
		for _, x := range v {
			if !yield(x) {
				return
			}
		}
	case *starlark.List:
		for i := range v.Len() {
			if !yield(v.Index(i)) {
				return
			}
		}
	case *starlark.Dict:
		for k, x := range v.Entries() {
			if !yield(k) || !yield(x) {
				return
			}
		}
	case *starlark.Set:
		for x := range v.Elements() {
			if !yield(x) {
				return
			}
		}
	case *starlark.Function:
		for i := range v.NumParams() {
			if !yield(v.ParamDefault(i)) {
				return
			}
		}
		for i := range v.NumFreeVars() {
			if _, x := v.FreeVar(i); !yield(x) {
				return
			}
		}
	case *starlark.Builtin:
		yield(v.Receiver())
	case *starlarkstruct.Struct:
		for _, x := range v.Entries() {
			if !yield(x) {
				return
			}
		}
	case *Select:
		for _, p := range v.Parts {
			if !yield(p.Value) {
				return
			}
			for _, b := range p.Branches {
				if !yield(b.Value) {
					return
				}
			}
		}
	case *Depset:
		for _, x := range v.direct {
			if !yield(x) {
				return
			}
		}
		for _, x := range v.transitive {
			if !yield(x) {
				return
			}
		}
	}
}

// parts returns the values in v that have parts of their own.
func parts(v starlark.Value) []starlark.Value {
	var out []starlark.Value
	eachPart(v, func(x starlark.Value) bool {
		if !isScalar(x) && identity(x) != nil {
			out = append(out, x)
		}
		return true
	})
	return out
}

const (
	// shallowDepth and shallowParts bound what is looked at recursively, which
	// costs least and is enough for most values.
	shallowDepth = 50
	shallowParts = 1000
)

// allowance is how many more parts are looked at, and how many more bytes of
// text they may hold.
type allowance struct{ parts, bytes int }

// isShallow reports whether v is nested no deeper than depth and within left.
func isShallow(v starlark.Value, depth int, left *allowance) bool {
	part := func(x starlark.Value) bool {
		left.parts--
		if s, ok := x.(starlark.String); ok {
			left.bytes -= len(s)
			return left.parts > 0 && left.bytes > 0
		}
		return left.parts > 0 && (isScalar(x) || depth > 0 && isShallow(x, depth-1, left))
	}
	switch v := v.(type) { // the most common ones without a function for each part
	case *starlark.List:
		for i := range v.Len() {
			if !part(v.Index(i)) {
				return false
			}
		}
		return true
	case starlark.Tuple:
		for _, x := range v {
			if !part(x) {
				return false
			}
		}
		return true
	}
	ok := true
	eachPart(v, func(x starlark.Value) bool {
		ok = part(x)
		return ok
	})
	return ok
}

// measure finds how deep a value is nested, the deepest way counting. Each part
// is entered once, so that values that share parts cost no more than others; a
// value that contains itself is not deep for that.
type measure struct {
	limit int
	known map[any]bool // not to be entered
	depth map[any]int  // of parts that were entered; 0 while that is not done
	size  map[any]int  // of the text of each, about; nil where nobody asks
}

type visit struct {
	id    any
	rest  []starlark.Value
	depth int // of the deepest part so far
	size  int // of the text so far
}

// ownSize is about how long the text of v is without its parts' parts.
func ownSize(v starlark.Value) int {
	n := 2
	eachPart(v, func(x starlark.Value) bool {
		n += 4
		switch x := x.(type) {
		case starlark.String:
			n += len(x)
		case starlark.Bytes:
			n += len(x)
		}
		return true
	})
	return n
}

func (m *measure) visit(id any, v starlark.Value, rest []starlark.Value) visit {
	n := visit{id: id, rest: rest}
	if m.size != nil {
		n.size = ownSize(v)
	}
	return n
}

func (m *measure) walk(v starlark.Value) error {
	id := identity(v)
	if id == nil || m.known[id] {
		return nil
	}
	m.depth = map[any]int{id: 0}
	stack := []visit{m.visit(id, v, parts(v))}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.size > maxText {
			return fmt.Errorf("the value (%s) is too long: more than %d bytes", v.Type(), maxText)
		}
		if len(top.rest) == 0 {
			depth := top.depth + 1
			done := *top
			m.depth[done.id] = depth
			if m.size != nil {
				m.size[done.id] = done.size
			}
			stack = stack[:len(stack)-1]
			if depth > m.limit {
				return fmt.Errorf("the value (%s) is nested more than %d deep", v.Type(), m.limit)
			}
			if len(stack) > 0 {
				top = &stack[len(stack)-1]
				top.depth = max(top.depth, depth)
				if m.size != nil {
					top.size += m.size[done.id]
				}
			}
			continue
		}
		next := top.rest[0]
		top.rest = top.rest[1:]
		id := identity(next)
		if m.known[id] {
			continue
		}
		if depth, entered := m.depth[id]; entered {
			top.depth = max(top.depth, depth)
			if _, ok := next.(*Depset); !ok { // whose elements are printed once
				top.size += m.size[id]
			}
			continue
		}
		if len(stack) > m.limit {
			return fmt.Errorf("the value (%s) is nested more than %d deep", v.Type(), m.limit)
		}
		rest := parts(next)
		if len(rest) == 0 && starlark.Len(next) < large { // most are like this
			top.depth = max(top.depth, 1)
			if m.size != nil {
				top.size += ownSize(next)
			}
			continue
		}
		m.depth[id] = 0
		stack = append(stack, m.visit(id, next, rest))
	}
	return nil
}
