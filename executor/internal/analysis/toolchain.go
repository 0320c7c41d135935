package analysis

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// platformKey is the configuration that registered toolchains are looked at in.
type platformKey struct{ cfg *configuration }

// String is what a cycle shows.
func (k platformKey) String() string { return "registered toolchains" }

// registered is one registered toolchain.
type registered struct {
	label    label.Label
	kind     label.Label // the toolchain_type, aliases followed
	impl     label.Label
	exec     []constraint
	target   []constraint
	settings []label.Label
}

// loadToolchains reads the registered toolchains, in order.
func (a *Analyzer) loadToolchains(ctx context.Context, k platformKey) ([]*registered, error) {
	var out []*registered
	for _, l := range a.opts.Toolchains {
		c, _, err := a.must(ctx, l, k.cfg, bzl.DeclaredToolchainInfo, "toolchain")
		if err != nil {
			return nil, fmt.Errorf("register_toolchains: %w", err)
		}
		reg := &registered{label: c.Label, settings: labelsOf(c.Attrs["target_settings"])}
		kind, _, err := a.must(ctx, c.Attrs["toolchain_type"].(bzl.Label).Label, k.cfg, bzl.ToolchainTypeInfo, "toolchain_type")
		if err != nil {
			return nil, err
		}
		reg.kind = kind.Label
		reg.impl = c.Attrs["toolchain"].(bzl.Label).Label
		for _, side := range []struct {
			attr string
			to   *[]constraint
		}{{"exec_compatible_with", &reg.exec}, {"target_compatible_with", &reg.target}} {
			for _, cl := range labelsOf(c.Attrs[side.attr]) {
				cv, err := a.constraintValue(ctx, cl, k.cfg)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", l, side.attr, err)
				}
				*side.to = append(*side.to, cv)
			}
		}
		out = append(out, reg)
	}
	return out, nil
}

// toolchainSet is ctx.toolchains.
type toolchainSet struct {
	scope bzl.Scope
	info  map[label.Label]starlark.Value // None for an optional one that was not found
	real  map[label.Label]label.Label    // type as named -> aliases followed
	vars  map[string]string              // make variables of the toolchains
}

// toolchains resolves the types that a target wants on the first execution
// platform that has all mandatory ones.
func (a *Analyzer) toolchains(ctx context.Context, refs []bzl.ToolchainRef, t *loading.Target, cfg *configuration) (*toolchainSet, error) {
	set := &toolchainSet{info: map[label.Label]starlark.Value{}, real: map[label.Label]label.Label{}, vars: map[string]string{}}
	set.scope = bzl.Scope{Package: t.Class.File.Pkg()}
	if m, err := a.opts.Repos.Mapping(ctx, t.Class.File.Repo); err == nil {
		set.scope.Repo = m
	}
	if len(refs) == 0 {
		return set, nil
	}
	regs, err := a.chains.Get(ctx, platformKey{cfg})
	if err != nil {
		return nil, err
	}
	target, err := a.platform(ctx, cfg.platform)
	if err != nil {
		return nil, err
	}
	execs, err := a.execPlatforms(ctx)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		c, _, err := a.must(ctx, ref.Type, cfg, bzl.ToolchainTypeInfo, "toolchain_type")
		if err != nil {
			return nil, err
		}
		set.real[ref.Type] = c.Label
	}
	var missing []string
	for _, exec := range execs {
		chosen := map[label.Label]*registered{}
		missing = nil
		for _, ref := range refs {
			reg, err := a.choose(ctx, regs, set.real[ref.Type], exec, target, cfg)
			if err != nil {
				return nil, err
			}
			if reg != nil {
				chosen[ref.Type] = reg
			} else if !ref.Optional {
				missing = append(missing, ref.Type.String())
			}
		}
		if missing != nil {
			continue
		}
		return set, a.fillToolchains(ctx, set, refs, chosen, cfg)
	}
	return nil, errorf("no matching toolchains found for types %s (target platform %s)", strings.Join(missing, ", "), target.label).
		WithHint("declare one with toolchain() and name it in register_toolchains() in the WORKSPACE file")
}

func (a *Analyzer) execPlatforms(ctx context.Context) ([]*platformInfo, error) {
	var out []*platformInfo
	for _, l := range a.opts.ExecutionPlatforms {
		p, err := a.platform(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("register_execution_platforms: %w", err)
		}
		out = append(out, p)
	}
	return append(out, hostPlatform()), nil
}

// choose returns the first toolchain of a type that fits, nil if none does.
func (a *Analyzer) choose(ctx context.Context, regs []*registered, kind label.Label, exec, target *platformInfo, cfg *configuration) (*registered, error) {
	all := func(p *platformInfo, cs []constraint) bool {
		for _, c := range cs {
			if !p.has(c) {
				return false
			}
		}
		return true
	}
next:
	for _, reg := range regs {
		if reg.kind != kind || !all(exec, reg.exec) || !all(target, reg.target) {
			continue
		}
		for _, s := range reg.settings {
			c, err := a.condition(ctx, s, cfg)
			if err != nil {
				return nil, fmt.Errorf("%s: target_settings: %w", reg.label, err)
			}
			if !c.matches {
				continue next
			}
		}
		return reg, nil
	}
	return nil, nil
}

func (a *Analyzer) fillToolchains(ctx context.Context, set *toolchainSet, refs []bzl.ToolchainRef, chosen map[label.Label]*registered, cfg *configuration) error {
	for _, ref := range refs {
		kind := set.real[ref.Type]
		reg := chosen[ref.Type]
		if reg == nil {
			set.info[kind] = starlark.None
			continue
		}
		c, err := a.targets.Get(ctx, key{label: reg.impl, cfg: cfg})
		if err != nil {
			return err
		}
		v, ok := c.Providers[bzl.ToolchainInfo]
		if !ok {
			return fmt.Errorf("toolchain %s: %s does not give platform_common.ToolchainInfo", reg.label, reg.impl)
		}
		set.info[kind] = v
		addVariables(set.vars, c)
	}
	return nil
}

// addVariables adds the make variables that c gives.
func addVariables(vars map[string]string, c *Configured) {
	s, _ := bzl.Instance(c.Providers[bzl.TemplateVariableInfo])
	if s == nil {
		return
	}
	if d, ok := bzl.Field(s, "variables").(*starlark.Dict); ok {
		for _, item := range d.Items() {
			vars[textOf(item[0])] = textOf(item[1])
		}
	}
}

var _ starlark.Mapping = (*toolchainSet)(nil)

func (s *toolchainSet) String() string        { return "<toolchains>" }
func (s *toolchainSet) Type() string          { return "ToolchainContext" }
func (s *toolchainSet) Freeze()               {}
func (s *toolchainSet) Truth() starlark.Bool  { return true }
func (s *toolchainSet) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: toolchains") }

func (s *toolchainSet) find(k starlark.Value) (label.Label, starlark.Value, error) {
	l, err := s.scope.ToLabel(k)
	if err != nil {
		return l, nil, err
	}
	if real, ok := s.real[l]; ok {
		return l, s.info[real], nil
	}
	return l, s.info[l], nil
}

// Get returns the ToolchainInfo of a type, given as a string or a Label.
func (s *toolchainSet) Get(k starlark.Value) (starlark.Value, bool, error) {
	l, v, err := s.find(k)
	if err != nil {
		return nil, false, err
	}
	if v == nil {
		return nil, false, fmt.Errorf("toolchain type %s was not requested: add it to toolchains in rule()", l)
	}
	return v, true, nil
}

// Has implements in.
func (s *toolchainSet) Has(k starlark.Value) (bool, error) {
	_, v, err := s.find(k)
	return v != nil, err
}

// execGroups is ctx.exec_groups: every group has the rule's own toolchains,
// since there is one execution platform.
func (c *ruleContext) execGroups() starlark.Value {
	d := starlark.NewDict(len(c.t.Class.ExecGroups) + 1)
	group := newStruct(starlark.StringDict{"toolchains": c.toolchains})
	for _, name := range append(sortedKeys(c.t.Class.ExecGroups), "test") {
		_ = d.SetKey(starlark.String(name), group) // string keys cannot fail
	}
	return d
}
