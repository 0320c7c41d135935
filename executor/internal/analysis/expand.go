package analysis

import (
	"fmt"
	"sort"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// expandLocation is ctx.expand_location: $(location x), $(locations x) and the
// forms execpath, rootpath and rlocationpath, singular and plural.
func (c *ruleContext) expandLocation(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var input string
	var targets starlark.Value
	var short bool
	if err := starlark.UnpackArgs("expand_location", args, kwargs, "input", &input, "targets?", &targets, "short_paths?", &short); err != nil {
		return nil, err
	}
	list, err := elements("expand_location: targets", targets)
	if err != nil {
		return nil, err
	}
	var more []*Configured
	for _, v := range list {
		t, ok := v.(*targetValue)
		if !ok {
			return nil, fmt.Errorf("expand_location: targets: expected targets, got %s", v.Type())
		}
		more = append(more, t.Configured)
	}
	text, err := c.expandLocations(input, c.locationMap(more), short)
	if err != nil {
		return nil, err
	}
	return starlark.String(text), nil
}

// locationMap gives the files of every label that $(location) may name: those
// in srcs, deps, tools and data, the target's outputs, and more. A label that
// names an alias leads to what that stands for.
func (c *ruleContext) locationMap(more []*Configured) map[label.Label][]*bzl.File {
	files := map[label.Label][]*bzl.File{}
	for l, f := range c.outputs.byLabel {
		files[l] = []*bzl.File{f}
	}
	for _, t := range more {
		files[t.Label] = locationFiles(t)
	}
	for name, ds := range c.deps {
		always := name == "srcs" || name == "deps" || name == "tools" || name == "data"
		seen := map[label.Label]bool{}
		i := 0
		bzl.Labels(c.attrs[name], func(l label.Label, _ bool) {
			if seen[l] || i >= len(ds) {
				return
			}
			seen[l] = true
			d := ds[i].Configured
			i++
			if _, known := files[d.Label]; known || always {
				files[l], files[d.Label] = locationFiles(d), locationFiles(d)
			}
		})
	}
	return files
}

// locationFiles are the files that $(location) means: the executable of a
// target that makes none or several files, else its files.
func locationFiles(t *Configured) []*bzl.File {
	files := t.Files.Files()
	if t.Executable != nil && len(files) != 1 {
		return []*bzl.File{t.Executable}
	}
	return files
}

func (c *ruleContext) expandLocations(s string, files map[label.Label][]*bzl.File, short bool) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "$(")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		j := strings.IndexByte(s[i:], ')')
		if j < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		inner := s[i+2 : i+j]
		verb, text, ok := strings.Cut(inner, " ")
		form, many := strings.CutSuffix(verb, "s")
		switch form {
		case "location", "execpath", "rootpath", "rlocationpath":
		default:
			ok = false
		}
		if !ok || i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		out, err := c.locations(form, many, strings.TrimSpace(text), files, short)
		if err != nil {
			return "", err
		}
		b.WriteString(out)
		s = s[i+j+1:]
	}
}

func (c *ruleContext) locations(form string, many bool, text string, files map[label.Label][]*bzl.File, short bool) (string, error) {
	l, err := c.scope.Label(text)
	if err != nil {
		return "", fmt.Errorf("in $(%s): %w", form, err)
	}
	list, ok := files[l]
	if !ok {
		return "", errorf("label '%s' in $(%s) expression is not a declared prerequisite of this rule", l, form).
			WithHint("name it in srcs, data, deps or tools")
	}
	if len(list) == 0 {
		return "", fmt.Errorf("label '%s' in $(%s) expression expands to no files", l, form)
	}
	if !many && len(list) > 1 {
		return "", fmt.Errorf("label '%s' in $(%s) expression expands to more than one file, please use $(%ss %s) instead", l, form, form, l)
	}
	var paths []string
	for _, f := range list {
		switch {
		case form == "rlocationpath":
			paths = append(paths, f.RunfilesPath(c.a.opts.Workspace))
		case form == "rootpath", form == "location" && short:
			paths = append(paths, f.ShortPath())
		default:
			paths = append(paths, f.Path)
		}
		// As in Bazel, a path can be called: a shell would look for a plain name on PATH.
		if last := len(paths) - 1; !strings.Contains(paths[last], "/") {
			paths[last] = "./" + paths[last]
		}
	}
	sort.Strings(paths)
	return strings.Join(paths, " "), nil
}

// vars is ctx.var.
func (c *ruleContext) vars() (starlark.Value, error) {
	vars := c.variables()
	d := starlark.NewDict(len(vars))
	for _, k := range sortedKeys(vars) {
		if err := d.SetKey(starlark.String(k), starlark.String(vars[k])); err != nil {
			return nil, err
		}
	}
	d.Freeze()
	return d, nil
}

// variables are the make variables of the target.
func (c *ruleContext) variables() map[string]string {
	if c.makeVars != nil {
		return c.makeVars
	}
	vars := map[string]string{
		"COMPILATION_MODE": c.cfg.options["compilation_mode"], "TARGET_CPU": c.cfg.options["cpu"],
		"BINDIR": c.cfg.outDir(), "GENDIR": c.cfg.outDir(),
	}
	for k, v := range c.toolchains.vars {
		vars[k] = v
	}
	for _, d := range c.deps["toolchains"] {
		addVariables(vars, d.Configured)
	}
	for k, v := range c.cfg.define {
		vars[k] = v
	}
	c.makeVars = vars
	return vars
}

// expandMakeVariables is ctx.expand_make_variables: $(NAME), $x and $$.
func (c *ruleContext) expandMakeVariables(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var attr, s string
	more := new(starlark.Dict)
	if err := starlark.UnpackArgs("expand_make_variables", args, kwargs, "attribute_name", &attr, "command", &s, "additional_substitutions", &more); err != nil {
		return nil, err
	}
	extra, err := stringDict("additional_substitutions", more)
	if err != nil {
		return nil, err
	}
	text, err := c.expandMake(attr, s, extra)
	if err != nil {
		return nil, err
	}
	return starlark.String(text), nil
}

// expandMake replaces $(NAME), $x and $$ in the value of an attribute.
func (c *ruleContext) expandMake(attr, s string, extra map[string]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) {
			return "", fmt.Errorf("in attribute %q: unterminated $: write $$ for a dollar sign", attr)
		}
		i++
		name := s[i : i+1]
		switch s[i] {
		case '$':
			b.WriteByte('$')
			continue
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				return "", fmt.Errorf("in attribute %q: unterminated variable reference %q", attr, s[i-1:])
			}
			name = s[i+1 : i+end]
			i += end
		}
		v, ok := extra[name]
		if !ok {
			v, ok = c.variables()[name]
		}
		if !ok {
			return "", errorf("in attribute %q: $(%s) is not defined", attr, name).
				WithHint("write $$ for a dollar sign that the shell should see")
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// expandArgs returns the words of the attribute args: $(location) as paths in
// the runfiles, make variables replaced, each split as a shell would.
func (c *ruleContext) expandArgs() ([]string, error) {
	list, ok := c.attrs["args"].(*starlark.List)
	if !ok || list.Len() == 0 || !c.t.Class.Executable && !c.t.Class.Test { // where nobody runs it, it is the rule's own
		return nil, nil
	}
	files := c.locationMap(nil)
	var out []string
	for v := range list.Elements() {
		s, ok := starlark.AsString(v)
		if !ok {
			return nil, fmt.Errorf("in attribute \"args\": expected strings, got %s", v.Type())
		}
		s, err := c.expandLocations(s, files, true)
		if err != nil {
			return nil, err
		}
		if s, err = c.expandMake("args", s, nil); err != nil {
			return nil, err
		}
		words, err := shellSplit(s)
		if err != nil {
			return nil, fmt.Errorf("in attribute \"args\": %w", err)
		}
		out = append(out, words...)
	}
	return out, nil
}

// shellSplit splits s at blanks outside quotes.
func shellSplit(s string) ([]string, error) {
	var words []string
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; ch {
		case ' ', '\t', '\n':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		case '\'', '"':
			in = true
			end := i + 1
			for ; end < len(s) && s[end] != ch; end++ {
				if s[end] == '\\' && ch == '"' && end+1 < len(s) {
					end++
				}
				b.WriteByte(s[end])
			}
			if end == len(s) {
				return nil, fmt.Errorf("unterminated quotation in %q", s)
			}
			i = end
		case '\\':
			in = true
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			in = true
			b.WriteByte(ch)
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words, nil
}
