package analysis

import (
	"context"
	"fmt"
	"runtime"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// hostPlatformLabel is the platform that stands for this machine. Its
// constraints are found out here, so @platforms need not be loaded for it.
var hostPlatformLabel = label.Label{Repo: "platforms", Package: "host", Name: "host"}

// platformInfo is a platform with what it inherits. It is read-only.
type platformInfo struct {
	label       label.Label
	constraints map[label.Label]label.Label // setting -> value
	properties  map[string]string
}

// constraint is a constraint_value.
type constraint struct {
	value, setting label.Label
	fallback       label.Label // the setting's default value
}

// has reports whether the platform has c, as its own or as the setting's default.
func (p *platformInfo) has(c constraint) bool {
	v, ok := p.constraints[c.setting]
	if !ok {
		v = c.fallback
	}
	return v == c.value
}

func hostPlatform() *platformInfo {
	value := func(pkg, name string) label.Label {
		return label.Label{Repo: "platforms", Package: pkg, Name: name}
	}
	osName := runtime.GOOS
	if osName == "darwin" {
		osName = "osx"
	}
	cpu := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "x86_32"}[runtime.GOARCH]
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return &platformInfo{label: hostPlatformLabel, constraints: map[label.Label]label.Label{
		value("os", "os"):   value("os", osName),
		value("cpu", "cpu"): value("cpu", cpu),
	}}
}

// platform returns a platform; the zero label and @platforms//host mean this machine.
func (a *Analyzer) platform(ctx context.Context, l label.Label) (*platformInfo, error) {
	if l.IsZero() || l == hostPlatformLabel {
		return hostPlatform(), nil
	}
	_, v, err := a.must(ctx, l, a.base, bzl.PlatformInfo, "platform")
	if err != nil {
		return nil, err
	}
	s, _ := bzl.Instance(v)
	p, ok := bzl.Field(s, "constraints").(*platformValue)
	if !ok {
		return nil, fmt.Errorf("%s: PlatformInfo was not made by the rule platform", l)
	}
	return p.info, nil
}

// platformValue carries a platformInfo inside PlatformInfo.
type platformValue struct{ info *platformInfo }

func (p *platformValue) String() string        { return "<constraints of " + p.info.label.String() + ">" }
func (p *platformValue) Type() string          { return "ConstraintCollection" }
func (p *platformValue) Freeze()               {}
func (p *platformValue) Truth() starlark.Bool  { return true }
func (p *platformValue) Hash() (uint32, error) { return bzl.Label{Label: p.info.label}.Hash() }

// constraintValue returns the constraint_value l.
func (a *Analyzer) constraintValue(ctx context.Context, l label.Label, cfg *configuration) (constraint, error) {
	_, v, err := a.must(ctx, l, cfg, bzl.ConstraintValueInfo, "constraint_value")
	if err != nil {
		return constraint{}, err
	}
	c, ok := constraintOf(v)
	if !ok {
		return constraint{}, fmt.Errorf("%s: ConstraintValueInfo was not made by the rule constraint_value", l)
	}
	return c, nil
}

// constraintOf reads a ConstraintValueInfo instance.
func constraintOf(v starlark.Value) (constraint, bool) {
	s, p := bzl.Instance(v)
	if p != bzl.ConstraintValueInfo {
		return constraint{}, false
	}
	value, ok := bzl.Field(s, "label").(bzl.Label)
	setting, _ := bzl.Instance(bzl.Field(s, "constraint"))
	if !ok || setting == nil {
		return constraint{}, false
	}
	sl, ok := bzl.Field(setting, "label").(bzl.Label)
	if !ok {
		return constraint{}, false
	}
	c := constraint{value: value.Label, setting: sl.Label}
	if d, ok := bzl.Field(setting, "default_constraint_value").(bzl.Label); ok {
		c.fallback = d.Label
	}
	return c, true
}

// labelsOf returns the labels of an attribute.
func labelsOf(v starlark.Value) []label.Label {
	var out []label.Label
	bzl.Labels(v, func(l label.Label, _ bool) { out = append(out, l) })
	return out
}

// provide returns a target that only gives instances.
func (a *Analyzer) provide(r *resolver, attrs map[string]starlark.Value, instances ...starlark.Value) *Configured {
	m := map[*bzl.Provider]starlark.Value{}
	for _, v := range instances {
		v.Freeze()
		_, p := bzl.Instance(v)
		m[p] = v
	}
	c := a.fileless(r.t, r.cfg, m)
	c.Attrs = attrs
	return c
}

func (a *Analyzer) constraintSettingRule(r *resolver, attrs map[string]starlark.Value) (*Configured, error) {
	fields := starlark.StringDict{"label": bzl.Label{Label: r.t.Label}, "default_constraint_value": starlark.None, "has_default_constraint_value": starlark.False}
	if name := textOf(attrs["default_constraint_value"]); name != "" {
		l, err := bzl.Scope{Package: r.t.Label.Pkg()}.Label(name)
		if err != nil {
			return nil, err
		}
		fields["default_constraint_value"], fields["has_default_constraint_value"] = bzl.Label{Label: l}, starlark.True
	}
	return a.provide(r, attrs, bzl.ConstraintSettingInfo.New(fields)), nil
}

func (a *Analyzer) constraintValueRule(ctx context.Context, r *resolver, attrs map[string]starlark.Value) (*Configured, error) {
	setting := attrs["constraint_setting"].(bzl.Label).Label
	_, v, err := a.must(ctx, setting, r.cfg, bzl.ConstraintSettingInfo, "constraint_setting")
	if err != nil {
		return nil, err
	}
	return a.provide(r, attrs, bzl.ConstraintValueInfo.New(starlark.StringDict{"label": bzl.Label{Label: r.t.Label}, "constraint": v})), nil
}

func (a *Analyzer) platformRule(ctx context.Context, r *resolver, attrs map[string]starlark.Value) (*Configured, error) {
	p := &platformInfo{label: r.t.Label, constraints: map[label.Label]label.Label{}, properties: map[string]string{}}
	parents := labelsOf(attrs["parents"])
	if len(parents) > 1 {
		return nil, fmt.Errorf("parents: a platform has at most one parent, got %d", len(parents))
	}
	for _, l := range parents {
		parent, err := a.platform(ctx, l)
		if err != nil {
			return nil, err
		}
		for k, v := range parent.constraints {
			p.constraints[k] = v
		}
		for k, v := range parent.properties {
			p.properties[k] = v
		}
	}
	own := map[label.Label]label.Label{}
	for _, l := range labelsOf(attrs["constraint_values"]) {
		c, err := a.constraintValue(ctx, l, a.base)
		if err != nil {
			return nil, err
		}
		if old, ok := own[c.setting]; ok {
			return nil, fmt.Errorf("constraint_values: %s and %s are both values of %s", old, c.value, c.setting)
		}
		own[c.setting] = c.value
		p.constraints[c.setting] = c.value
	}
	props, err := stringDict("exec_properties", attrs["exec_properties"])
	if err != nil {
		return nil, err
	}
	for k, v := range props {
		p.properties[k] = v
	}
	return a.provide(r, attrs, bzl.PlatformInfo.New(starlark.StringDict{
		"label": bzl.Label{Label: r.t.Label}, "constraints": &platformValue{p}, "exec_properties": attrs["exec_properties"],
	})), nil
}

// platformHas is ctx.target_platform_has_constraint.
func (c *ruleContext) platformHas(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs("target_platform_has_constraint", args, kwargs, "constraintValue", &v); err != nil {
		return nil, err
	}
	want, ok := constraintOf(v)
	if !ok {
		return nil, fmt.Errorf("target_platform_has_constraint: expected a ConstraintValueInfo, got %s", v.Type())
	}
	p, err := c.a.platform(c.ctx, c.cfg.platform)
	if err != nil {
		return nil, err
	}
	return starlark.Bool(p.has(want)), nil
}

// native analyses a rule that is written in Go.
func (a *Analyzer) native(ctx context.Context, r *resolver, attrs map[string]starlark.Value) (*Configured, error) {
	switch r.t.Class.Name {
	case "alias":
		return a.follow(ctx, r, "actual", attrs["actual"])
	case "label_flag", "label_setting":
		v := attrs["build_setting_default"]
		if set := r.cfg.settings[r.t.Label]; set != nil {
			l, err := bzl.Scope{}.ToLabel(set)
			if err != nil {
				return nil, err
			}
			v = bzl.Label{Label: l}
		}
		return a.follow(ctx, r, "build_setting_default", v)
	case "config_setting":
		return a.configSetting(ctx, r, attrs)
	case "constraint_setting":
		return a.constraintSettingRule(r, attrs)
	case "constraint_value":
		return a.constraintValueRule(ctx, r, attrs)
	case "platform":
		return a.platformRule(ctx, r, attrs)
	case "toolchain_type":
		return a.provide(r, attrs, bzl.ToolchainTypeInfo.New(starlark.StringDict{"type_label": bzl.Label{Label: r.t.Label}})), nil
	case "toolchain":
		return a.provide(r, attrs, bzl.DeclaredToolchainInfo.New(nil)), nil
	case "test_suite":
		c := a.fileless(r.t, r.cfg, nil)
		c.Attrs = attrs
		return c, nil
	}
	return nil, fmt.Errorf("rule %s has no implementation", r.t.Class.Name)
}

// follow returns the target that an alias stands for.
func (a *Analyzer) follow(ctx context.Context, r *resolver, attr string, v starlark.Value) (*Configured, error) {
	l, ok := v.(bzl.Label)
	if !ok {
		return nil, fmt.Errorf("attribute %q: expected a label, got %s", attr, v)
	}
	c, err := a.targets.Get(ctx, key{label: l.Label, cfg: r.cfg})
	if err != nil {
		return nil, err
	}
	named, err := a.opts.Loader.Target(ctx, l.Label)
	if err != nil {
		return nil, err
	}
	visible, err := a.opts.Loader.Visible(ctx, named, r.t.Label.Pkg())
	if err == nil && !visible {
		err = errorf("target %s is not visible from target %s (attribute %q)", l.Label, r.t.Label, attr).
			WithHint(fmt.Sprintf("add %q to the visibility of %s (%s)", r.t.Label.Pkg().String()+":__pkg__", l.Label, named.Position))
	}
	return c, err
}
