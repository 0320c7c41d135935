package analysis

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// dep is one dependency in one attribute, as ctx shows it.
type dep struct {
	*Configured
	value *targetValue
	split string // which branch of a 1:n transition gave it
}

// split is one configuration that a transition gave.
type splitConfig struct {
	name string
	cfg  *configuration
}

// dependencies analyses all dependencies, in parallel, and checks them.
func (r *resolver) dependencies(attrs map[string]starlark.Value) (map[string][]*dep, error) {
	type want struct {
		at    *bzl.Attr
		label label.Label
		split splitConfig
	}
	var wants []want
	for _, name := range sortedKeys(r.t.Class.Attrs) {
		at := r.t.Class.Attrs[name]
		if !at.IsLabels() || attrs[name] == starlark.None || name == "target_compatible_with" || name == "aspect_hints" {
			continue
		}
		cfgs := []splitConfig{{cfg: r.cfg}}
		if tr, ok := at.Cfg.(*bzl.Transition); ok {
			var err error
			if cfgs, _, err = r.transition(tr, attrs); err != nil {
				return nil, fmt.Errorf("in attribute %q: %w", name, err)
			}
		}
		seen := map[label.Label]bool{}
		bzl.Labels(attrs[name], func(l label.Label, _ bool) {
			if seen[l] {
				return
			}
			seen[l] = true
			for _, s := range cfgs {
				wants = append(wants, want{at, l, s})
			}
		})
	}
	got := make([]*dep, len(wants))
	errs := make([]error, len(wants))
	get := func(i int) {
		w := wants[i]
		c, err := r.a.targets.Get(r.ctx, key{label: w.label, cfg: w.split.cfg})
		if err == nil {
			got[i] = &dep{Configured: c, value: newTargetValue(c), split: w.split.name}
			if c.Incompatible == "" {
				err = r.check(w.at, w.label, c)
			}
		}
		if err == nil && len(w.at.Aspects) > 0 {
			got[i].value.providers, err = r.a.withAspects(r.ctx, w.at.Aspects, aspectParams(attrs), c)
		}
		errs[i] = err
	}
	var wg sync.WaitGroup
	for i := range wants {
		if i == len(wants)-1 {
			get(i)
			break
		}
		wg.Go(func() { get(i) })
	}
	wg.Wait()
	out := map[string][]*dep{}
	for i, w := range wants {
		if err := errs[i]; err != nil {
			if r.ctx.Err() != nil {
				return nil, context.Cause(r.ctx)
			}
			return nil, err
		}
		out[w.at.Name] = append(out[w.at.Name], got[i])
	}
	return out, nil
}

// check says whether c, named l in attribute at, may stand there.
func (r *resolver) check(at *bzl.Attr, l label.Label, c *Configured) error {
	named, err := r.a.opts.Loader.Target(r.ctx, l) // the alias, not what it stands for
	if err != nil {
		return err
	}
	from := r.t.Label.Pkg()
	if at.IsPrivate() || !r.t.Explicit[at.Name] {
		from = r.t.Class.File.Pkg()
	}
	ok, err := r.a.opts.Loader.Visible(r.ctx, named, from)
	if err == nil && !ok && from != r.t.Label.Pkg() {
		ok, err = r.a.opts.Loader.Visible(r.ctx, named, r.t.Label.Pkg())
	}
	if err != nil {
		return err
	}
	if !ok {
		return errorf("target %s is not visible from target %s (attribute %q)", l, r.t.Label, at.Name).
			WithHint(fmt.Sprintf("add %q to the visibility of %s (%s)", r.t.Label.Pkg().String()+":__pkg__", l, named.Position))
	}
	if isTestonly(c.Target) && !isTestonly(r.t) {
		return fmt.Errorf("non-test target %s depends on testonly target %s (attribute %q): set testonly = True, or drop the dependency", r.t.Label, l, at.Name)
	}
	if err := checkFiles(at, l, c); err != nil {
		return err
	}
	if at.Rules != nil && c.Target.Kind == loading.Rule && !contains(at.Rules, c.Target.Class.Name) {
		return fmt.Errorf("in attribute %q: %s %s is misplaced here (expected one of %s)", at.Name, c.Kind, l, strings.Join(at.Rules, ", "))
	}
	return checkProviders(at, l, c)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func isTestonly(t *loading.Target) bool {
	if t.Kind == loading.GeneratedFile {
		t = t.Generator
	}
	if t.Kind != loading.Rule {
		return false
	}
	return t.Class.Test || t.Attrs["testonly"] == starlark.True
}

func isFile(c *Configured) bool {
	return c.Target.Kind == loading.SourceFile || c.Target.Kind == loading.GeneratedFile
}

func checkFiles(at *bzl.Attr, l label.Label, c *Configured) error {
	if c.Target.Kind == loading.PackageGroup {
		return nil
	}
	if at.Executable {
		f := c.Executable
		if f == nil && isFile(c) {
			f = c.File()
		}
		if f == nil {
			return fmt.Errorf("in attribute %q: %s does not refer to a valid executable target (it is a %s)", at.Name, l, c.Kind)
		}
	}
	if isFile(c) {
		if at.Files.None && !at.Executable {
			return errorf("in attribute %q: %s %s is misplaced here: the attribute takes no files", at.Name, c.Kind, l).
				WithHint("name a target that a rule declares")
		}
		if !at.Files.None && !at.Files.Allows(l.Name) {
			return fmt.Errorf("in attribute %q: %s %s is misplaced here (expected %s)", at.Name, c.Kind, l, strings.Join(at.Files.Extensions, ", "))
		}
	}
	if at.SingleFile {
		files := c.Files.Files()
		if len(files) != 1 {
			return fmt.Errorf("in attribute %q: %s must produce a single file, but it produces %d", at.Name, l, len(files))
		}
	}
	if !isFile(c) && len(at.Files.Extensions) > 0 && len(at.Providers) == 0 && !at.SingleFile {
		for _, f := range c.Files.Files() {
			if at.Files.Allows(f.Path) || f.Artifact.Dir {
				return nil
			}
		}
		return fmt.Errorf("in attribute %q: %s does not produce any file of the kinds %s", at.Name, l, strings.Join(at.Files.Extensions, ", "))
	}
	return nil
}

func checkProviders(at *bzl.Attr, l label.Label, c *Configured) error {
	if len(at.Providers) == 0 || isFile(c) && !at.Files.None {
		return nil
	}
	var sets []string
	for _, set := range at.Providers {
		var missing, all []string
		for _, p := range set {
			all = append(all, "'"+p.Name()+"'")
			if _, ok := c.Providers[p]; !ok {
				missing = append(missing, "'"+p.Name()+"'")
			}
		}
		if len(missing) == 0 {
			return nil
		}
		sets = append(sets, strings.Join(all, ", "))
	}
	return fmt.Errorf("in attribute %q: %s %s does not have mandatory providers: %s", at.Name, c.Kind, l, strings.Join(sets, " or "))
}

// transition calls a transition; single says that it gave one unnamed configuration.
func (r *resolver) transition(tr *bzl.Transition, attrs map[string]starlark.Value) (cfgs []splitConfig, single bool, err error) {
	scope := bzl.Scope{Package: r.t.Class.File.Pkg()}
	if m, err := r.a.opts.Repos.Mapping(r.ctx, r.t.Class.File.Repo); err == nil {
		scope.Repo = m
	}
	if tr.Impl == nil {
		cfg, err := r.a.changed(r.cfg, tr.Settings, scope)
		return []splitConfig{{cfg: cfg}}, true, err
	}
	settings := starlark.NewDict(len(tr.Inputs))
	for _, in := range tr.Inputs {
		v, err := r.a.readSetting(r.ctx, in, r.cfg, scope)
		if err != nil {
			return nil, false, fmt.Errorf("transition input %s: %w", in, err)
		}
		if err := settings.SetKey(starlark.String(in), v); err != nil {
			return nil, false, err
		}
	}
	values := starlark.StringDict{}
	for name, v := range attrs {
		values[name] = v
	}
	thread, done := r.a.thread(r.ctx, r.t.Label.String(), r.t.Position, &bzl.Context{Package: r.t.Label.Pkg(), File: r.t.Class.File, Scope: scope})
	defer done()
	result, err := starlark.Call(thread, tr.Impl, starlark.Tuple{settings, newStruct(values)}, nil)
	if err != nil {
		return nil, false, err
	}
	switch result := result.(type) {
	case starlark.NoneType:
		return []splitConfig{{cfg: r.cfg}}, true, nil
	case *starlark.List:
		for i := range result.Len() {
			d, ok := result.Index(i).(*starlark.Dict)
			if !ok {
				return nil, false, fmt.Errorf("transition: expected a list of dicts, got %s in it", result.Index(i).Type())
			}
			cfg, err := r.a.changed(r.cfg, d, scope)
			if err != nil {
				return nil, false, err
			}
			cfgs = append(cfgs, splitConfig{fmt.Sprint(i), cfg})
		}
		return cfgs, false, nil
	case *starlark.Dict:
		for _, item := range result.Items() {
			d, ok := item[1].(*starlark.Dict)
			if !ok {
				cfg, err := r.a.changed(r.cfg, result, scope)
				return []splitConfig{{cfg: cfg}}, true, err
			}
			cfg, err := r.a.changed(r.cfg, d, scope)
			if err != nil {
				return nil, false, err
			}
			cfgs = append(cfgs, splitConfig{textOf(item[0]), cfg})
		}
		if len(cfgs) == 0 {
			return []splitConfig{{cfg: r.cfg}}, true, nil
		}
		return cfgs, false, nil
	}
	return nil, false, fmt.Errorf("transition: expected a dict, got %s", result.Type())
}

// changed returns cfg with the settings of d.
func (a *Analyzer) changed(cfg *configuration, d *starlark.Dict, scope bzl.Scope) (*configuration, error) {
	changes := make(map[string]starlark.Value, d.Len())
	for _, item := range d.Items() {
		if err := bzl.Freeze(item[1]); err != nil {
			return nil, fmt.Errorf("transition: %s: %w", textOf(item[0]), err)
		}
		changes[textOf(item[0])] = item[1]
	}
	return a.with(cfg, changes, scope.Label)
}
