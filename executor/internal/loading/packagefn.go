package loading

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
)

// packageArgs are the arguments of package() that only set the default of a
// rule's attribute, by the attribute.
var packageArgs = map[string]string{
	"default_testonly":            "testonly",
	"default_deprecation":         "deprecation",
	"default_applicable_licenses": "applicable_licenses",
	"default_package_metadata":    "package_metadata",
	"default_compatible_with":     "compatible_with",
	"default_restricted_to":       "restricted_to",
}

func packageFn(b *builder, thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("package() takes keyword arguments only")
	}
	if b.hasConfig {
		return nil, errorf("'package' can only be used once per BUILD file").WithHint("put everything into one call")
	}
	b.hasConfig = true
	if len(b.pkg.Targets) > 0 {
		return nil, errorf("'package' must be called before the first target").
			WithHint("move it up: its defaults hold for the targets below it")
	}
	for _, kw := range kwargs {
		name := string(kw[0].(starlark.String))
		switch name {
		case "default_visibility":
			labels, err := labelList("package: default_visibility", kw[1], b.scope)
			if err != nil {
				return nil, err
			}
			if b.pkg.DefaultVisibility, err = visibilityOf(labels); err != nil {
				return nil, fmt.Errorf("package: default_visibility: %w", err)
			}
		case "features":
			features, err := stringList("package: features", kw[1])
			if err != nil {
				return nil, err
			}
			b.pkg.Features = features
		case "licenses", "distribs", "default_hdrs_check", "default_copts":
		default:
			attr := packageArgs[name]
			if attr == "" {
				known := append(sortedKeys(packageArgs), "default_visibility", "features", "licenses")
				slices.Sort(known)
				return nil, errorf("unexpected keyword argument: '%s'%s", name, Suggest(name, known)).
					WithHint("package() takes " + strings.Join(known, ", "))
			}
			a := &bzl.Attr{Name: attr, Type: bzl.TypeNodepLabels, AllowEmpty: true, Fixed: true, Default: starlark.NewList(nil)}
			switch attr {
			case "testonly":
				a.Type, a.Default = bzl.TypeBool, starlark.False
			case "deprecation":
				a.Type, a.Default = bzl.TypeString, starlark.String("")
			}
			v, err := a.Coerce(kw[1], b.scope)
			if err != nil {
				return nil, fmt.Errorf("package: %s: %w", name, err)
			}
			b.defaults[attr] = v
		}
	}
	return starlark.None, nil
}

func existingRule(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackArgs("existing_rule", args, kwargs, "name", &name); err != nil {
		return nil, err
	}
	t := b.pkg.Targets[strings.TrimPrefix(name, ":")]
	if t == nil || t.Kind != Rule {
		return starlark.None, nil
	}
	return b.ruleDict(t)
}

func existingRules(b *builder, _ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("existing_rules", args, kwargs); err != nil {
		return nil, err
	}
	out := new(starlark.Dict)
	for _, name := range b.pkg.Names() {
		if t := b.pkg.Targets[name]; t.Kind == Rule {
			d, err := b.ruleDict(t)
			if err != nil {
				return nil, err
			}
			if err := out.SetKey(starlark.String(name), d); err != nil {
				return nil, err
			}
		}
	}
	out.Freeze()
	return out, nil
}

// ruleDict is what existing_rule() tells of a target: kind, name and the
// attributes that macros can set, labels as text.
func (b *builder) ruleDict(t *Target) (starlark.Value, error) {
	d := new(starlark.Dict)
	if err := d.SetKey(starlark.String("kind"), starlark.String(t.Class.Name)); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(t.Attrs) {
		if strings.HasPrefix(name, "_") || t.Attrs[name] == nil || t.Attrs[name] == starlark.None {
			continue
		}
		v, err := b.plain(t.Attrs[name])
		if err != nil {
			return nil, err
		}
		if err := d.SetKey(starlark.String(name), v); err != nil {
			return nil, err
		}
	}
	d.Freeze()
	return d, nil
}

// plain turns labels into text, and lists into tuples as Bazel does.
func (b *builder) plain(v starlark.Value) (starlark.Value, error) {
	switch v := v.(type) {
	case bzl.Label:
		return starlark.String(showLabel(v.Label, b.pkg.ID)), nil
	case *starlark.List:
		out := make(starlark.Tuple, 0, v.Len())
		for e := range v.Elements() {
			p, err := b.plain(e)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	case *starlark.Dict:
		out := starlark.NewDict(v.Len())
		for _, item := range v.Items() {
			key, err := b.plain(item[0])
			if err != nil {
				return nil, err
			}
			value, err := b.plain(item[1])
			if err != nil {
				return nil, err
			}
			if err := out.SetKey(key, value); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// implicitOutputs evaluates the outputs= of a rule class: a dict of name
// templates by key, or a function of the attributes that returns one.
func implicitOutputs(thread *starlark.Thread, t *Target) (map[string]string, error) {
	templates := t.Class.Outputs
	if f, ok := templates.(*starlark.Function); ok {
		args := make(starlark.Tuple, f.NumParams())
		for i := range args {
			name, _ := f.Param(i)
			args[i] = t.Attrs[name]
			if args[i] == nil {
				return nil, fmt.Errorf("the function takes %s, which is no attribute", name)
			}
		}
		v, err := starlark.Call(thread, f, args, nil)
		if err != nil {
			return nil, err
		}
		templates = v
	}
	d, ok := templates.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf("expected a dict of file names, got %s", templates.Type())
	}
	out := map[string]string{}
	for _, item := range d.Items() {
		key, ok1 := starlark.AsString(item[0])
		template, ok2 := starlark.AsString(item[1])
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("expected a dict of file names, got the entry %s: %s", item[0], item[1])
		}
		name, err := t.expand(template)
		if err != nil {
			return nil, err
		}
		out[key] = name
	}
	return out, nil
}

// expand replaces %{attribute} by the attribute's text.
func (t *Target) expand(template string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "%{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, tail, ok := strings.Cut(rest, "}")
		if !ok {
			return "", fmt.Errorf("template %q has no closing brace", template)
		}
		switch v := t.Attrs[name].(type) {
		case starlark.String:
			b.WriteString(string(v))
		case bzl.Label:
			b.WriteString(v.Name)
		default:
			return "", fmt.Errorf("%%{%s} names no attribute with a text", name)
		}
		template = tail
	}
}
