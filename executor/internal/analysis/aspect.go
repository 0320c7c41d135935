package analysis

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
)

// aspectKey is an aspect applied to a target.
type aspectKey struct {
	target key
	aspect *bzl.Aspect
	params string // what its parameters are, see aspectParams
}

// aspectParams are the values of the public attributes of aspects: they come from
// the attributes of that name of the rule that names the aspect, and stay the
// same for all targets to which it propagates.
type aspectParams map[string]starlark.Value

// of encodes those that a has, as a part of its key.
func (p aspectParams) of(a *bzl.Aspect) string {
	var b strings.Builder
	for _, name := range sortedKeys(a.Attrs) {
		if v, ok := p[name]; ok && !a.Attrs[name].IsPrivate() && !a.Attrs[name].IsLabels() {
			fmt.Fprintf(&b, "%s=%s;", name, v)
		}
	}
	for _, r := range a.Requires {
		fmt.Fprintf(&b, "(%s)", p.of(r))
	}
	return b.String()
}

// paramsKey finds the parameters of an aspectKey.
type paramsKey struct {
	aspect *bzl.Aspect
	params string
}

// String is what a cycle shows.
func (k aspectKey) String() string { return fmt.Sprintf("%s (aspect %s)", k.target, k.aspect.Name) }

// aspectResult holds what an aspect gave for one target.
type aspectResult struct {
	providers map[*bzl.Provider]starlark.Value
	specs     []*action.Spec
}

// aspectCall is what ctx.rule shows in an aspect's implementation.
type aspectCall struct{ rule starlark.Value }

// withAspects returns c's providers and those that the aspects add.
func (a *Analyzer) withAspects(ctx context.Context, aspects []*bzl.Aspect, params aspectParams, c *Configured) (map[*bzl.Provider]starlark.Value, error) {
	if c.Incompatible != "" || c.Target.Kind != loading.Rule || c.Target.Class.Impl == nil || c.Attrs == nil {
		return c.Providers, nil
	}
	merged := maps.Clone(c.Providers)
	for _, as := range aspects {
		if !satisfies(c, as.Required) {
			continue
		}
		k := aspectKey{key{label: c.Label, cfg: c.cfg}, as, params.of(as)}
		a.params.LoadOrStore(paramsKey{as, k.params}, params)
		res, err := a.aspects.Get(ctx, k)
		if err != nil {
			return nil, err
		}
		for p, v := range res.providers {
			if _, dup := merged[p]; dup && p != bzl.OutputGroupInfo {
				return nil, fmt.Errorf("provider %s of %s is given by the rule and by aspect %s", p.Name(), c.Label, as.Name)
			}
			merged[p] = v
		}
	}
	return merged, nil
}

func satisfies(c *Configured, sets [][]*bzl.Provider) bool {
	if len(sets) == 0 {
		return true
	}
next:
	for _, set := range sets {
		for _, p := range set {
			if _, ok := c.Providers[p]; !ok {
				continue next
			}
		}
		return true
	}
	return false
}

// applyAspect calls an aspect's implementation for a target, after applying it
// to the targets that it propagates to.
func (a *Analyzer) applyAspect(ctx context.Context, k aspectKey) (*aspectResult, error) {
	c, err := a.targets.Get(ctx, k.target)
	if err != nil {
		return nil, err
	}
	res, err := a.callAspect(ctx, k, c)
	if err != nil {
		return nil, targetError(c.Target, fmt.Errorf("aspect %s: %w", k.aspect.Name, err))
	}
	return res, nil
}

func (a *Analyzer) callAspect(ctx context.Context, k aspectKey, c *Configured) (*aspectResult, error) {
	known, _ := a.params.Load(paramsKey{k.aspect, k.params})
	params := known.(aspectParams)
	r := &resolver{a: a, ctx: ctx, t: c.Target, cfg: c.cfg}
	deps, err := r.dependencies(c.Attrs)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(deps) {
		if !contains(k.aspect.AttrAspects, name) && !contains(k.aspect.AttrAspects, "*") {
			continue
		}
		for _, d := range deps[name] {
			if d.value.providers, err = a.withAspects(ctx, append(append([]*bzl.Aspect(nil), k.aspect.Requires...), k.aspect), params, d.Configured); err != nil {
				return nil, err
			}
		}
	}
	under := &ruleContext{ctx: ctx, a: a, t: c.Target, cfg: c.cfg, attrs: c.Attrs, class: c.Target.Class.Attrs, deps: deps}
	under.initAttrs()
	rule := newStruct(starlark.StringDict{
		"attr": under.attr, "file": under.file, "files": under.files, "executable": under.executable, "kind": starlark.String(c.Target.Class.Name),
	})
	own, attrs, err := a.aspectDependencies(ctx, k, params, c)
	if err != nil {
		return nil, err
	}
	chains, err := a.toolchains(ctx, k.aspect.Toolchains, c.Target, c.cfg)
	if err != nil {
		return nil, err
	}
	x := &ruleContext{
		ctx: ctx, a: a, t: c.Target, cfg: c.cfg, attrs: attrs, class: k.aspect.Attrs, deps: own, toolchains: chains,
		tools: map[*action.Artifact]*Configured{}, aspect: &aspectCall{frozen[*starlarkstruct.Struct](rule)},
	}
	if err := x.init(); err != nil {
		return nil, err
	}
	providers := c.Providers
	if len(k.aspect.Requires) > 0 {
		if providers, err = a.withAspects(ctx, k.aspect.Requires, params, c); err != nil {
			return nil, err
		}
	}
	thread, done := a.thread(ctx, k.String(), c.Target.Position, &bzl.Context{Package: c.Label.Pkg(), File: c.Label, Scope: x.scope, Extra: x})
	defer done()
	v, err := starlark.Call(thread, k.aspect.Impl, starlark.Tuple{&targetValue{c, providers}, x}, nil)
	x.actions.closed = true
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	res := &aspectResult{specs: x.actions.specs}
	if res.providers, err = a.instances(v); err != nil {
		return nil, err
	}
	return res, x.actions.unmade()
}

// aspectDependencies analyses the aspect's own attributes.
func (a *Analyzer) aspectDependencies(ctx context.Context, k aspectKey, params aspectParams, c *Configured) (map[string][]*dep, map[string]starlark.Value, error) {
	attrs := map[string]starlark.Value{}
	deps := map[string][]*dep{}
	for _, name := range sortedKeys(k.aspect.Attrs) {
		at := k.aspect.Attrs[name]
		attrs[name] = at.Default
		if v, ok := params[name]; ok && !at.IsPrivate() && !at.IsLabels() {
			attrs[name] = v
		}
		if !at.IsLabels() {
			continue
		}
		for _, l := range labelsOf(attrs[name]) {
			d, err := a.targets.Get(ctx, key{label: l, cfg: c.cfg})
			if err != nil {
				return nil, nil, err
			}
			deps[name] = append(deps[name], &dep{Configured: d, value: newTargetValue(d)})
		}
	}
	return deps, attrs, nil
}
