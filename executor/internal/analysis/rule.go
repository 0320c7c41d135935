package analysis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// rule analyses a target of a rule.
func (a *Analyzer) rule(ctx context.Context, t *loading.Target, k key) (*Configured, error) {
	if tr, ok := t.Class.Cfg.(*bzl.Transition); ok && !k.entered {
		return a.enter(ctx, t, k, tr)
	}
	r := &resolver{a: a, ctx: ctx, t: t, cfg: k.cfg}
	attrs, err := r.attributes()
	if err != nil {
		return nil, err
	}
	reason, err := r.incompatible(attrs)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		c := a.fileless(t, k.cfg, nil)
		c.Incompatible, c.Attrs = reason, attrs
		return c, nil
	}
	if t.Class.Impl == nil {
		return a.native(ctx, r, attrs)
	}
	if t.Class.BuildSetting != nil {
		r.setting, err = a.settingValue(t, k.cfg, attrs["build_setting_default"])
		if err != nil {
			return nil, err
		}
	}
	deps, err := r.dependencies(attrs)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(deps) {
		for _, d := range deps[name] {
			if d.Incompatible != "" && !t.Class.Attrs[name].IsPrivate() {
				c := a.fileless(t, k.cfg, nil)
				c.Incompatible, c.Attrs = fmt.Sprintf("dependency %s: %s", d.Label, d.Incompatible), attrs
				return c, nil
			}
		}
	}
	chains, err := a.toolchains(ctx, toolchainRefs(t.Class), t, k.cfg)
	if err != nil {
		return nil, err
	}
	return a.run(ctx, r, attrs, deps, chains)
}

// toolchainRefs are the types that a rule and its exec groups want.
func toolchainRefs(class *bzl.RuleClass) []bzl.ToolchainRef {
	refs := append([]bzl.ToolchainRef(nil), class.Toolchains...)
	for _, name := range sortedKeys(class.ExecGroups) {
		refs = append(refs, class.ExecGroups[name].Toolchains...)
	}
	return refs
}

// enter applies a rule's own transition.
func (a *Analyzer) enter(ctx context.Context, t *loading.Target, k key, tr *bzl.Transition) (*Configured, error) {
	r := &resolver{a: a, ctx: ctx, t: t, cfg: k.cfg}
	attrs, err := r.attributes()
	if err != nil {
		return nil, err
	}
	cfgs, _, err := r.transition(tr, attrs)
	if err != nil {
		return nil, err
	}
	if len(cfgs) != 1 {
		return nil, fmt.Errorf("the transition of rule %s gives %d configurations; a rule's own transition must give one", t.Class.Name, len(cfgs))
	}
	return a.targets.Get(ctx, key{label: t.Label, cfg: cfgs[0].cfg, entered: true})
}

// run calls the implementation and takes what it returns.
func (a *Analyzer) run(ctx context.Context, r *resolver, attrs map[string]starlark.Value, deps map[string][]*dep, chains *toolchainSet) (*Configured, error) {
	t := r.t
	c, err := newRuleContext(ctx, a, r, attrs, deps, chains)
	if err != nil {
		return nil, err
	}
	thread, done := a.thread(ctx, t.Label.String(), t.Position, &bzl.Context{Package: t.Label.Pkg(), File: t.Label, Scope: c.scope, Extra: c})
	defer done()
	result, err := starlark.Call(thread, t.Class.Impl, starlark.Tuple{c}, nil)
	c.actions.closed = true
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	out, err := c.finish(result)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// resolver finds the attribute values and dependencies of one target.
type resolver struct {
	a       *Analyzer
	ctx     context.Context
	t       *loading.Target
	cfg     *configuration
	setting starlark.Value
}

// attributes returns all attributes with select() resolved and defaults filled in.
func (r *resolver) attributes() (map[string]starlark.Value, error) {
	class := r.t.Class
	out := make(map[string]starlark.Value, len(class.Attrs))
	var computed []*bzl.Attr
	for _, name := range sortedKeys(class.Attrs) {
		at := class.Attrs[name]
		v := r.t.Attrs[name]
		if s, ok := v.(*bzl.Select); ok {
			var err error
			if v, err = r.resolveSelect(name, s); err != nil {
				return nil, err
			}
			if v != nil && !at.AllowEmpty && starlark.Len(v) == 0 {
				return nil, fmt.Errorf("attribute %q may not be empty", name)
			}
		}
		if v == nil {
			if at.Computed != nil {
				computed = append(computed, at)
				continue
			}
			v = at.Default
		}
		out[name] = v
	}
	for _, at := range computed {
		v, err := r.computedDefault(at, out)
		if err != nil {
			return nil, fmt.Errorf("default of attribute %q: %w", at.Name, err)
		}
		out[at.Name] = v
	}
	return out, nil
}

// computedDefault calls the function that gives an attribute's default with the
// attributes its parameters name.
func (r *resolver) computedDefault(at *bzl.Attr, attrs map[string]starlark.Value) (starlark.Value, error) {
	f, ok := at.Computed.(*starlark.Function)
	if !ok {
		return nil, fmt.Errorf("expected a Starlark function, got %s", at.Computed.Type())
	}
	var kwargs []starlark.Tuple
	for i := range f.NumParams() {
		name, _ := f.Param(i)
		v, ok := attrs[name]
		if !ok {
			return nil, fmt.Errorf("parameter %q names no attribute with a value known by then", name)
		}
		kwargs = append(kwargs, starlark.Tuple{starlark.String(name), v})
	}
	scope := bzl.Scope{Package: r.t.Class.File.Pkg()}
	thread, done := r.a.thread(r.ctx, r.t.Label.String(), r.t.Position, &bzl.Context{Package: r.t.Label.Pkg(), File: r.t.Class.File, Scope: scope})
	defer done()
	v, err := starlark.Call(thread, f, nil, kwargs)
	if err != nil {
		return nil, err
	}
	v, err = at.Coerce(v, scope)
	if v == nil && err == nil {
		v = at.Default
	}
	return v, err
}

func (r *resolver) resolveSelect(name string, s *bzl.Select) (starlark.Value, error) {
	return s.Resolve(func(p bzl.SelectPart) (int, error) {
		var conds []*condition
		var matched []int
		fallback := -1
		for i, b := range p.Branches {
			if b.Default {
				fallback = i
				conds = append(conds, nil)
				continue
			}
			c, err := r.a.condition(r.ctx, b.Key, r.cfg)
			if err != nil {
				return 0, fmt.Errorf("in select() of attribute %q: %w", name, err)
			}
			conds = append(conds, c)
			if c.matches {
				matched = append(matched, i)
			}
		}
		if best := mostSpecific(p, conds, matched); best >= 0 {
			return best, nil
		}
		if len(matched) > 0 {
			var names []string
			for _, i := range matched {
				names = append(names, p.Branches[i].Key.String())
			}
			return 0, fmt.Errorf("illegal ambiguous match on configurable attribute %q: %s all match and none is more specific than the others", name, strings.Join(names, ", "))
		}
		if fallback >= 0 {
			return fallback, nil
		}
		if p.NoMatch != "" {
			return 0, fmt.Errorf("configurable attribute %q doesn't match this configuration: %s", name, p.NoMatch)
		}
		var b strings.Builder
		for _, br := range p.Branches {
			fmt.Fprintf(&b, "\n    %s", br.Key)
		}
		return 0, errorf("configurable attribute %q doesn't match this configuration. Conditions checked:%s", name, b.String()).
			WithHint(`add a branch "//conditions:default": ... to the select()`)
	})
}

// mostSpecific returns the branch that matches and either is alone, has a
// condition that refines all others, or has the same value as the others.
func mostSpecific(p bzl.SelectPart, conds []*condition, matched []int) int {
	for _, i := range matched {
		best := true
		for _, j := range matched {
			if i == j || conds[i].refines(conds[j]) {
				continue
			}
			if eq, err := starlark.Equal(p.Branches[i].Value, p.Branches[j].Value); err != nil || !eq {
				best = false
			}
		}
		if best {
			return i
		}
	}
	return -1
}

// incompatible returns which constraint of target_compatible_with the target
// platform lacks, "" if none.
func (r *resolver) incompatible(attrs map[string]starlark.Value) (string, error) {
	list := labelsOf(attrs["target_compatible_with"])
	if len(list) == 0 || r.t.Class.Impl == nil && r.t.Class.Name == "toolchain" { // for it the attribute means another thing
		return "", nil
	}
	p, err := r.a.platform(r.ctx, r.cfg.platform)
	if err != nil {
		return "", err
	}
	for _, l := range list {
		cv, err := r.a.constraintValue(r.ctx, l, r.cfg)
		if err != nil {
			return "", fmt.Errorf("target_compatible_with: %w", err)
		}
		if !p.has(cv) {
			return fmt.Sprintf("the target platform %s does not have %s", p.label, l), nil
		}
	}
	return "", nil
}

var errNoProvider = errors.New("provider missing")

// must returns the instance of p that the target l gives.
func (a *Analyzer) must(ctx context.Context, l label.Label, cfg *configuration, p *bzl.Provider, what string) (*Configured, starlark.Value, error) {
	c, err := a.targets.Get(ctx, key{label: l, cfg: cfg})
	if err != nil {
		return nil, nil, err
	}
	v, ok := c.Providers[p]
	if !ok {
		return nil, nil, fmt.Errorf("%s is not a %s (it is a %s)%w", l, what, c.Kind, silent{errNoProvider})
	}
	return c, v, nil
}

// silent wraps an error for errors.Is without showing it.
type silent struct{ err error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.err }
