package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
)

// Order is the traversal order of a depset.
type Order string

// The orders, with Bazel's names.
const (
	DefaultOrder Order = "default"
	Postorder    Order = "postorder"
	Preorder     Order = "preorder"
	Topological  Order = "topological"
)

// A Depset is an immutable set kept as a graph: elements of its own and other
// depsets. Making one costs nothing that depends on what is below it.
type Depset struct {
	order      Order
	direct     []starlark.Value
	transitive []*Depset
	kind       string // Type() of the elements; "" when empty
	depth      int    // of the graph below it
}

var _ starlark.HasAttrs = (*Depset)(nil)

// NewDepset returns a depset in the default order. The elements must be hashable.
func NewDepset(direct []starlark.Value, transitive ...*Depset) (*Depset, error) {
	return newDepset(DefaultOrder, direct, transitive)
}

// EmptyDepset returns a depset without elements.
func EmptyDepset() *Depset { return &Depset{order: DefaultOrder} }

// FileDepset returns a depset of files in the default order.
func FileDepset(files []*File, transitive ...*Depset) *Depset {
	d := &Depset{order: DefaultOrder, direct: make([]starlark.Value, len(files))}
	for i, f := range files {
		d.direct[i], d.kind = f, "File"
	}
	for _, t := range transitive {
		if t.Truth() {
			d.transitive = append(d.transitive, t)
			d.depth = max(d.depth, t.depth+1)
			d.kind = "File"
		}
	}
	return d
}

func newDepset(order Order, direct []starlark.Value, transitive []*Depset) (*Depset, error) {
	d := &Depset{order: order}
	for _, v := range direct {
		if _, err := v.Hash(); err != nil {
			return nil, fmt.Errorf("depset elements must be immutable and hashable: %w", err)
		}
		if d.kind == "" {
			d.kind = v.Type()
		}
		if d.kind != v.Type() {
			return nil, fmt.Errorf("cannot add an item of type '%s' to a depset of '%s'", v.Type(), d.kind)
		}
	}
	d.direct = direct
	for _, t := range transitive {
		if !t.Truth() {
			continue
		}
		if order != DefaultOrder && t.order != DefaultOrder && t.order != order {
			return nil, fmt.Errorf("order '%s' is incompatible with order '%s'", order, t.order)
		}
		if d.kind == "" {
			d.kind = t.kind
		}
		if d.kind != t.kind {
			return nil, fmt.Errorf("cannot merge a depset of '%s' into a depset of '%s'", t.kind, d.kind)
		}
		d.transitive = append(d.transitive, t)
		if d.depth = max(d.depth, t.depth+1); d.depth > maxGraph {
			return nil, fmt.Errorf("the depset is made of others more than %d deep", maxGraph)
		}
	}
	if len(d.direct) == 0 && len(d.transitive) == 1 && (d.transitive[0].order == order) {
		return d.transitive[0], nil
	}
	return d, nil
}

func depsetFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var direct, transitive starlark.Value
	order := string(DefaultOrder)
	if err := starlark.UnpackArgs("depset", args, kwargs, "direct?", &direct, "order?", &order, "transitive?", &transitive); err != nil {
		return nil, err
	}
	switch Order(order) {
	case DefaultOrder, Postorder, Preorder, Topological:
	default:
		return nil, fmt.Errorf("depset: invalid order %q: expected default, postorder, preorder or topological", order)
	}
	var elems []starlark.Value
	if direct != nil && direct != starlark.None {
		var ok bool
		if elems, ok = sequence(direct); !ok {
			return nil, fmt.Errorf("depset: expected a sequence for direct, got %s", Describe(direct))
		}
	}
	var subs []*Depset
	if transitive != nil && transitive != starlark.None {
		ts, ok := sequence(transitive)
		if !ok {
			return nil, fmt.Errorf("depset: expected a sequence of depsets for transitive, got %s", Describe(transitive))
		}
		for i, t := range ts {
			sub, ok := t.(*Depset)
			if !ok {
				return nil, fmt.Errorf("depset: expected a depset at index %d of transitive, got %s", i, Describe(t))
			}
			subs = append(subs, sub)
		}
	}
	d, err := newDepset(Order(order), append([]starlark.Value(nil), elems...), subs)
	if err != nil {
		return nil, fmt.Errorf("depset: %w", err)
	}
	return d, nil
}

// Kind returns the Starlark type of the elements, "" for an empty depset.
func (d *Depset) Kind() string { return d.kind }

func (d *Depset) String() string {
	var parts []string
	for _, v := range d.List() {
		parts = append(parts, v.String())
	}
	s := "depset([" + strings.Join(parts, ", ") + "]"
	if d.order != DefaultOrder {
		s += fmt.Sprintf(", order = %q", string(d.order))
	}
	return s + ")"
}

// Type is "depset".
func (d *Depset) Type() string          { return "depset" }
func (d *Depset) Truth() starlark.Bool  { return len(d.direct) > 0 || len(d.transitive) > 0 }
func (d *Depset) Hash() (uint32, error) { return pointerHash(d), nil }

// Freeze does nothing: a depset and its elements cannot change.
func (d *Depset) Freeze() {}

// Attr returns the method to_list.
func (d *Depset) Attr(name string) (starlark.Value, error) {
	if name != "to_list" {
		return nil, nil
	}
	return method(name, d, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
			return nil, err
		}
		return starlark.NewList(d.List()), nil
	}), nil
}

// AttrNames lists the methods.
func (d *Depset) AttrNames() []string { return []string{"to_list"} }

// List flattens d in its order, each element once.
func (d *Depset) List() []starlark.Value {
	w := depsetWalk{seen: map[*Depset]bool{}, set: starlark.NewSet(len(d.direct))}
	switch d.order {
	case Topological:
		w.topological(d)
		for i, j := 0, len(w.out)-1; i < j; i, j = i+1, j-1 {
			w.out[i], w.out[j] = w.out[j], w.out[i]
		}
	default:
		w.walk(d, d.order == Preorder)
	}
	return w.out
}

type depsetWalk struct {
	seen map[*Depset]bool
	set  *starlark.Set
	out  []starlark.Value
}

func (w *depsetWalk) add(v starlark.Value) {
	if has, err := w.set.Has(v); err != nil || has {
		return // elements were checked to be hashable
	}
	if err := w.set.Insert(v); err == nil {
		w.out = append(w.out, v)
	}
}

func (w *depsetWalk) walk(d *Depset, pre bool) {
	if w.seen[d] {
		return
	}
	w.seen[d] = true
	if pre {
		for _, v := range d.direct {
			w.add(v)
		}
	}
	for _, t := range d.transitive {
		w.walk(t, pre)
	}
	if !pre {
		for _, v := range d.direct {
			w.add(v)
		}
	}
}

func (w *depsetWalk) topological(d *Depset) {
	if w.seen[d] {
		return
	}
	w.seen[d] = true
	for i := len(d.transitive) - 1; i >= 0; i-- {
		w.topological(d.transitive[i])
	}
	for i := len(d.direct) - 1; i >= 0; i-- {
		w.add(d.direct[i])
	}
}

// Files flattens a depset of files. Other elements are left out.
func (d *Depset) Files() []*File {
	var out []*File
	for _, v := range d.List() {
		if f, ok := v.(*File); ok {
			out = append(out, f)
		}
	}
	return out
}

// Inputs presents d, a depset of files, to an action without flattening it.
func (d *Depset) Inputs() action.Inputs { return depsetInputs{d} }

type depsetInputs struct{ d *Depset }

// Each calls yield for each file; every node of the graph is visited once.
func (in depsetInputs) Each(yield func(action.Input) bool) bool {
	return eachFile(in.d, map[*Depset]bool{}, yield)
}

func eachFile(d *Depset, seen map[*Depset]bool, yield func(action.Input) bool) bool {
	if seen[d] {
		return true
	}
	seen[d] = true
	for _, t := range d.transitive {
		if !eachFile(t, seen, yield) {
			return false
		}
	}
	for _, v := range d.direct {
		if f, ok := v.(*File); ok && !yield(f.Input()) {
			return false
		}
	}
	return true
}

// WalkFiles calls yield for the files of several depsets; a node that they
// share is visited once.
func WalkFiles(sets []*Depset, yield func(action.Input) bool) bool {
	seen := map[*Depset]bool{}
	for _, d := range sets {
		if !eachFile(d, seen, yield) {
			return false
		}
	}
	return true
}
