package analysis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// condition is a key of select(), decided in one configuration.
type condition struct {
	label   label.Label
	matches bool
	needs   map[string]string // what it asks for; a superset is more specific
}

// refines reports whether c asks for all that d asks for, and more.
func (c *condition) refines(d *condition) bool {
	if c == nil || d == nil || len(c.needs) <= len(d.needs) {
		return false
	}
	for k, v := range d.needs {
		if c.needs[k] != v {
			return false
		}
	}
	return true
}

func (a *Analyzer) condition(ctx context.Context, l label.Label, cfg *configuration) (*condition, error) {
	c, err := a.targets.Get(ctx, key{label: l, cfg: cfg})
	if err != nil {
		return nil, err
	}
	if v, ok := constraintOf(c.Providers[bzl.ConstraintValueInfo]); ok { // not kept in c: a platform needs its values first
		p, err := a.platform(ctx, cfg.platform)
		if err != nil {
			return nil, err
		}
		return &condition{label: l, matches: p.has(v), needs: map[string]string{"constraint " + v.setting.String(): v.value.String()}}, nil
	}
	if c.condition == nil {
		return nil, errorf("%s is a %s: a key of select() must be a config_setting or a constraint_value", l, c.Kind).
			WithHint("write a config_setting that tests it and name that")
	}
	return c.condition, nil
}

func (a *Analyzer) configSetting(ctx context.Context, r *resolver, attrs map[string]starlark.Value) (*Configured, error) {
	cond := &condition{label: r.t.Label, matches: true, needs: map[string]string{}}
	need := func(k, v string, ok bool) {
		cond.needs[k] = v
		cond.matches = cond.matches && ok
	}
	values, err := stringDict("values", attrs["values"])
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(values) {
		want := values[name]
		if name == "define" {
			k, v, _ := strings.Cut(want, "=")
			need("define "+k, v, r.cfg.define[k] == v)
			continue
		}
		need("option "+name, want, optionMatches(r.cfg, name, want))
	}
	defines, err := stringDict("define_values", attrs["define_values"])
	if err != nil {
		return nil, err
	}
	for k, v := range defines {
		got, ok := r.cfg.define[k]
		need("define "+k, v, ok && got == v)
	}
	if flags, ok := attrs["flag_values"].(*starlark.Dict); ok {
		for _, item := range flags.Items() {
			l, want := item[0].(bzl.Label).Label, textOf(item[1])
			ok, err := a.flagMatches(ctx, l, want, r.cfg)
			if err != nil {
				return nil, err
			}
			need("flag "+l.String(), want, ok)
		}
	}
	if list := labelsOf(attrs["constraint_values"]); len(list) > 0 {
		p, err := a.platform(ctx, r.cfg.platform)
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			c, err := a.constraintValue(ctx, l, r.cfg)
			if err != nil {
				return nil, err
			}
			need("constraint "+c.setting.String(), c.value.String(), p.has(c))
		}
	}
	if len(cond.needs) == 0 {
		return nil, errorf("config_setting tests nothing: values, define_values, flag_values and constraint_values are all empty").
			WithHint(`give it one of them, e.g. values = {"compilation_mode": "opt"}`)
	}
	c := a.fileless(r.t, r.cfg, nil)
	c.Attrs, c.condition = attrs, cond
	return c, nil
}

// optionMatches compares a command-line option; booleans may be written in any of Bazel's ways.
func optionMatches(cfg *configuration, name, want string) bool {
	got, ok := cfg.options[name]
	if !ok {
		got = "false"
		if _, err := parseBool(want); err != nil {
			return want == ""
		}
	}
	if g, err := parseBool(got); err == nil {
		w, err := parseBool(want)
		return err == nil && g == w
	}
	for v := range strings.SplitSeq(got, "\n") {
		if v == want {
			return true
		}
	}
	return false
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "y", "1":
		return true, nil
	case "false", "no", "n", "0":
		return false, nil
	}
	return false, fmt.Errorf("expected a boolean (true or false), got %q", s)
}

// flagMatches compares a build setting with the text of flag_values.
func (a *Analyzer) flagMatches(ctx context.Context, l label.Label, want string, cfg *configuration) (bool, error) {
	t, err := a.opts.Loader.Target(ctx, l)
	if err != nil {
		return false, err
	}
	if t.Kind == loading.Rule && (t.Class.Name == "label_flag" || t.Class.Name == "label_setting") {
		c, err := a.targets.Get(ctx, key{label: l, cfg: cfg})
		if err != nil {
			return false, err
		}
		w, err := bzl.Scope{Package: l.Pkg()}.Label(want)
		return err == nil && w == c.Label, err
	}
	c, err := a.targets.Get(ctx, key{label: l, cfg: cfg})
	if err != nil {
		return false, err
	}
	switch v := c.setting.(type) {
	case nil:
		if s, _ := bzl.Instance(c.Providers[bzl.FeatureFlagInfo]); s != nil {
			return textOf(bzl.Field(s, "value")) == want, nil
		}
		return false, fmt.Errorf("flag_values: %s is a %s, not a build setting", l, c.Kind)
	case starlark.Bool:
		w, err := parseBool(want)
		if err != nil {
			return false, fmt.Errorf("flag_values: %s: %w", l, err)
		}
		return bool(v) == w, nil
	case *starlark.List:
		for e := range v.Elements() {
			if textOf(e) == want {
				return true, nil
			}
		}
		return false, nil
	default:
		return textOf(v) == want, nil
	}
}

// settingValue returns the value of a build setting: what the command line or a
// transition says, else its default.
func (a *Analyzer) settingValue(t *loading.Target, cfg *configuration, def starlark.Value) (starlark.Value, error) {
	v := cfg.settings[t.Label]
	if v == nil {
		return def, nil
	}
	text, isText := starlark.AsString(v)
	if !isText {
		return v, nil
	}
	bad := func(what string) error {
		return fmt.Errorf("build setting %s: expected %s, got %q", t.Label, what, text)
	}
	switch t.Class.BuildSetting.Type {
	case "bool":
		b, err := parseBool(text)
		if err != nil {
			return nil, bad("a boolean")
		}
		return starlark.Bool(b), nil
	case "int":
		i, err := strconv.Atoi(text)
		if err != nil {
			return nil, bad("an integer")
		}
		return starlark.MakeInt(i), nil
	case "string_list", "string_set":
		var parts []string
		if text != "" {
			sep := ","
			if strings.Contains(text, "\n") {
				sep = "\n" // given several times
			}
			parts = strings.Split(text, sep)
		}
		return frozen(stringsValue(parts)), nil
	}
	if t.Class.BuildSetting.AllowMulti {
		return frozen(stringsValue(strings.Split(text, "\n"))), nil
	}
	return starlark.String(text), nil
}

// readSetting returns the value of a transition's input.
func (a *Analyzer) readSetting(ctx context.Context, name string, cfg *configuration, scope bzl.Scope) (starlark.Value, error) {
	if option, ok := strings.CutPrefix(name, optionPrefix); ok {
		return cfg.option(option), nil
	}
	l, err := scope.Label(name)
	if err != nil {
		return nil, err
	}
	t, err := a.opts.Loader.Target(ctx, l)
	if err != nil {
		return nil, err
	}
	if t.Kind != loading.Rule || t.Class.BuildSetting == nil {
		return nil, fmt.Errorf("%s is a %s, not a build setting", l, t.KindString())
	}
	return a.settingValue(t, cfg, t.Attrs["build_setting_default"])
}
