package analysis

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// argsValue is the value of ctx.actions.args(). Words go into a parameter file
// only where the rule always wants one: no command line is too long for a sandbox.
type argsValue struct {
	a         *Analyzer
	items     []action.Arg
	format    string // of a parameter file: "shell", "multiline", "flag_per_line"
	paramFile string // what names the file in argv, with one %s; "" for none
	frozen    bool
}

func (x *actions) args(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("args", args, kwargs); err != nil {
		return nil, err
	}
	return &argsValue{a: x.a, format: "shell"}, nil
}

func (v *argsValue) String() string        { return "<Args>" }
func (v *argsValue) Type() string          { return "Args" }
func (v *argsValue) Truth() starlark.Bool  { return true }
func (v *argsValue) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: Args") }

// Freeze forbids further additions.
func (v *argsValue) Freeze() {
	if !v.frozen {
		v.frozen = true
	}
}

// AttrNames lists the methods.
func (v *argsValue) AttrNames() []string {
	return []string{"add", "add_all", "add_joined", "set_param_file_format", "use_param_file"}
}

// Attr returns a method; all return v.
func (v *argsValue) Attr(name string) (starlark.Value, error) {
	var f func(starlark.Tuple, []starlark.Tuple) error
	switch name {
	case "add":
		f = v.add
	case "add_all":
		f = v.addAll
	case "add_joined":
		f = v.addJoined
	case "use_param_file":
		f = func(args starlark.Tuple, kwargs []starlark.Tuple) error {
			var arg string
			var always bool
			if err := starlark.UnpackArgs(name, args, kwargs, "param_file_arg", &arg, "use_always?", &always); err != nil {
				return err
			}
			if strings.Count(arg, "%s") != 1 {
				return fmt.Errorf("%s: param_file_arg: expected a string with one %%s, got %q", name, arg)
			}
			if v.paramFile = ""; always {
				v.paramFile = arg
			}
			return nil
		}
	case "set_param_file_format":
		f = func(args starlark.Tuple, kwargs []starlark.Tuple) error {
			var format string
			if err := starlark.UnpackArgs(name, args, kwargs, "format", &format); err != nil {
				return err
			}
			if format != "shell" && format != "multiline" && format != "flag_per_line" {
				return fmt.Errorf("%s: expected \"shell\", \"multiline\" or \"flag_per_line\", got %q", name, format)
			}
			v.format = format
			return nil
		}
	default:
		return nil, nil
	}
	return builtin(name, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if v.frozen {
			return nil, fmt.Errorf("%s: cannot modify frozen Args", name)
		}
		return v, f(args, kwargs)
	}), nil
}

// words returns the items, as they are now.
func (v *argsValue) words() []action.Arg { return slices.Clone(v.items) }

func argText(v starlark.Value) string {
	if f, ok := v.(*bzl.File); ok {
		return f.Path
	}
	return textOf(v)
}

// formatArg puts s into a format such as "--x=%s".
func formatArg(format, s string) string {
	if format == "" {
		return s
	}
	const mark = "\x00"
	f := strings.ReplaceAll(format, "%%", mark)
	f = strings.ReplaceAll(f, "%s", s)
	return strings.ReplaceAll(f, mark, "%")
}

func checkFormat(name, format string) error {
	if format != "" && strings.Count(strings.ReplaceAll(format, "%%", ""), "%s") != 1 {
		return fmt.Errorf("%s: expected a string with one %%s, got %q", name, format)
	}
	return nil
}

func (v *argsValue) add(args starlark.Tuple, kwargs []starlark.Tuple) error {
	var first, second starlark.Value
	var format string
	if err := starlark.UnpackArgs("add", args, kwargs, "arg_name_or_value", &first, "value?", &second, "format??", &format); err != nil {
		return err
	}
	if err := checkFormat("add: format", format); err != nil {
		return err
	}
	for _, x := range []starlark.Value{first, second} {
		switch x.(type) {
		case *starlark.List, starlark.Tuple, *bzl.Depset:
			return fmt.Errorf("add: got a %s: use add_all or add_joined", x.Type())
		}
	}
	value := first
	if second != nil {
		v.items = append(v.items, action.Lit(argText(first)))
		value = second
	}
	if f, ok := value.(*bzl.File); ok && f.Artifact.Dir && format == "" {
		v.items = append(v.items, action.Lit(f.Path))
		return nil
	}
	v.items = append(v.items, action.Lit(formatArg(format, argText(value))))
	return nil
}

// vector is the Arg of add_all and add_joined: it is expanded when the action is about to run.
type vector struct {
	a          *Analyzer
	values     []starlark.Value // used when set is nil
	set        *bzl.Depset
	argName    string
	mapEach    starlark.Callable
	formatEach string
	beforeEach string
	joined     bool
	joinWith   string
	formatJoin string
	terminate  string
	hasEnd     bool
	omitEmpty  bool
	uniquify   bool
	expandDirs bool
}

type vectorArgs struct {
	first, values, mapEach, formatEach, beforeEach, joinWith, formatJoined, terminate starlark.Value
	omitEmpty, uniquify, expandDirs, allowClosure                                     bool
}

func optionalText(v starlark.Value) string {
	if !isSet(v) {
		return ""
	}
	return textOf(v)
}

func (v *argsValue) addAll(args starlark.Tuple, kwargs []starlark.Tuple) error {
	in := vectorArgs{omitEmpty: true, expandDirs: true}
	err := starlark.UnpackArgs("add_all", args, kwargs, "arg_name_or_values", &in.first, "values?", &in.values,
		"map_each??", &in.mapEach, "format_each??", &in.formatEach, "before_each??", &in.beforeEach, "omit_if_empty?", &in.omitEmpty,
		"uniquify?", &in.uniquify, "expand_directories?", &in.expandDirs, "terminate_with??", &in.terminate, "allow_closure?", &in.allowClosure)
	if err != nil {
		return err
	}
	return v.addVector("add_all", in, false)
}

func (v *argsValue) addJoined(args starlark.Tuple, kwargs []starlark.Tuple) error {
	in := vectorArgs{omitEmpty: true, expandDirs: true}
	err := starlark.UnpackArgs("add_joined", args, kwargs, "arg_name_or_values", &in.first, "values?", &in.values,
		"join_with", &in.joinWith, "map_each??", &in.mapEach, "format_each??", &in.formatEach, "format_joined??", &in.formatJoined,
		"omit_if_empty?", &in.omitEmpty, "uniquify?", &in.uniquify, "expand_directories?", &in.expandDirs, "allow_closure?", &in.allowClosure)
	if err != nil {
		return err
	}
	return v.addVector("add_joined", in, true)
}

func (v *argsValue) addVector(what string, in vectorArgs, joined bool) error {
	w := &vector{
		a: v.a, formatEach: optionalText(in.formatEach), beforeEach: optionalText(in.beforeEach), joined: joined,
		joinWith: optionalText(in.joinWith), formatJoin: optionalText(in.formatJoined), terminate: optionalText(in.terminate),
		hasEnd: isSet(in.terminate), omitEmpty: in.omitEmpty, uniquify: in.uniquify, expandDirs: in.expandDirs,
	}
	values := in.first
	if in.values != nil {
		name, ok := starlark.AsString(in.first)
		if !ok {
			return fmt.Errorf("%s: arg_name: expected a string, got %s", what, in.first.Type())
		}
		w.argName, values = name, in.values
	}
	if err := checkFormat(what+": format_each", w.formatEach); err != nil {
		return err
	}
	if isSet(in.mapEach) {
		f, ok := in.mapEach.(starlark.Callable)
		if !ok {
			return fmt.Errorf("%s: map_each: expected a function, got %s", what, in.mapEach.Type())
		}
		if fn, ok := f.(*starlark.Function); ok && !in.allowClosure && !topLevel(fn) {
			return fmt.Errorf("%s: map_each: %s is a closure: make it a top-level function, or set allow_closure = True", what, fn.Name())
		}
		if err := v.a.freezer.Freeze(f); err != nil {
			return fmt.Errorf("%s: map_each: %w", what, err)
		}
		w.mapEach = f
	}
	if d, ok := values.(*bzl.Depset); ok {
		w.set = d
	} else {
		elems, err := elements(what, values)
		if err != nil {
			return err
		}
		w.values = slices.Clone(elems)
		for _, e := range elems {
			if err := v.a.freezer.Freeze(e); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	v.items = append(v.items, w)
	return nil
}

// dirsOf returns the directories that v's items expand.
func (v *argsValue) dirsOf() []*bzl.File {
	var out []*bzl.File
	for _, it := range v.items {
		w, ok := it.(*vector)
		if !ok || !w.expandDirs {
			continue
		}
		for _, e := range w.elems() {
			if f, ok := e.(*bzl.File); ok && f.Artifact.Dir {
				out = append(out, f)
			}
		}
	}
	return out
}

func (w *vector) elems() []starlark.Value {
	if w.set != nil {
		return w.set.List()
	}
	return w.values
}

// Append adds the words to argv.
func (w *vector) Append(argv []string, ex action.Expander) ([]string, error) {
	var values []starlark.Value
	for _, v := range w.elems() {
		f, ok := v.(*bzl.File)
		if !ok || !f.Artifact.Dir || !w.expandDirs {
			values = append(values, v)
			continue
		}
		names, err := ex.Expand(f.Artifact)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			values = append(values, &bzl.File{Artifact: f.Artifact, Path: path.Join(f.Path, n), Root: f.Root, Owner: f.Owner, TreeRelative: n})
		}
	}
	words, err := w.mapped(values, ex)
	if err != nil {
		return nil, err
	}
	if w.uniquify {
		seen := map[string]bool{}
		words = slices.DeleteFunc(words, func(s string) bool {
			dup := seen[s]
			seen[s] = true
			return dup
		})
	}
	if len(words) == 0 && w.omitEmpty {
		return argv, nil
	}
	if w.argName != "" {
		argv = append(argv, w.argName)
	}
	if w.joined {
		for i, s := range words {
			words[i] = formatArg(w.formatEach, s)
		}
		return append(argv, formatArg(w.formatJoin, strings.Join(words, w.joinWith))), nil
	}
	for _, s := range words {
		if w.beforeEach != "" {
			argv = append(argv, w.beforeEach)
		}
		argv = append(argv, formatArg(w.formatEach, s))
	}
	if w.hasEnd {
		argv = append(argv, w.terminate)
	}
	return argv, nil
}

// mapped applies map_each, which gives a string, a list of strings or None.
func (w *vector) mapped(values []starlark.Value, ex action.Expander) ([]string, error) {
	var words []string
	if w.mapEach == nil {
		for _, v := range values {
			words = append(words, argText(v))
		}
		return words, nil
	}
	// As in Bazel print() is mute here: whoever looks at the arguments runs this again.
	at := diag.Position{}
	if f, ok := w.mapEach.(*starlark.Function); ok {
		at = bzl.Position(f.Position())
	}
	thread, done := bzl.NewThread(bzl.WithGuard(context.Background(), w.a.opts.Guard), "map_each", at, nil, &bzl.Context{})
	defer done()
	for _, v := range values {
		args := starlark.Tuple{v}
		if f, ok := w.mapEach.(*starlark.Function); ok && f.NumParams() > 1 {
			args = append(args, directoryExpander{ex})
		}
		r, err := starlark.Call(thread, w.mapEach, args, nil)
		if err != nil {
			return nil, fmt.Errorf("map_each: %w%s", err, traceback(err))
		}
		switch r := r.(type) {
		case starlark.NoneType:
		case starlark.String:
			words = append(words, string(r))
		default:
			list, err := elements("map_each: return value", r)
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				words = append(words, argText(e))
			}
		}
	}
	return words, nil
}

// directoryExpander is the second argument of map_each.
type directoryExpander struct{ ex action.Expander }

func (directoryExpander) String() string       { return "<DirectoryExpander>" }
func (directoryExpander) Type() string         { return "DirectoryExpander" }
func (directoryExpander) Freeze()              {}
func (directoryExpander) Truth() starlark.Bool { return true }
func (directoryExpander) Hash() (uint32, error) {
	return 0, fmt.Errorf("unhashable type: DirectoryExpander")
}
func (directoryExpander) AttrNames() []string { return []string{"expand"} }

// Attr returns the method expand.
func (d directoryExpander) Attr(name string) (starlark.Value, error) {
	if name != "expand" {
		return nil, nil
	}
	return builtin(name, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var f *bzl.File
		if err := starlark.UnpackArgs(name, args, kwargs, "file", &f); err != nil {
			return nil, err
		}
		if !f.Artifact.Dir {
			return starlark.NewList([]starlark.Value{f}), nil
		}
		names, err := d.ex.Expand(f.Artifact)
		if err != nil {
			return nil, err
		}
		var out []starlark.Value
		for _, n := range names {
			out = append(out, &bzl.File{Artifact: f.Artifact, Path: path.Join(f.Path, n), Root: f.Root, Owner: f.Owner, TreeRelative: n})
		}
		return starlark.NewList(out), nil
	}), nil
}
