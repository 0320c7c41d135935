package bzl

import (
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// An Aspect is the value of aspect().
type Aspect struct {
	Name         string
	File         label.Label
	Impl         starlark.Callable
	AttrAspects  []string // attributes that the aspect follows; "*" means all
	Attrs        map[string]*Attr
	Required     [][]*Provider // required_providers
	Provides     []*Provider
	Requires     []*Aspect
	Toolchains   []ToolchainRef
	Doc          string
	ToGenerating bool // apply_to_generating_rules
	Position     diag.Position
}

func (a *Aspect) String() string        { return "<aspect " + a.Name + ">" }
func (a *Aspect) Type() string          { return "Aspect" }
func (a *Aspect) Freeze()               {}
func (a *Aspect) Truth() starlark.Bool  { return true }
func (a *Aspect) Hash() (uint32, error) { return pointerHash(a), nil }

func (a *Aspect) export(name string, file label.Label) error {
	if a.Name == "" {
		a.Name, a.File = name, file
	}
	return nil
}

func (e Env) aspect(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	a := &Aspect{Position: CallerPosition(thread)}
	var attrs *starlark.Dict
	var attrAspects, doc, toolchains, required, provides, requires starlark.Value
	var ignored [9]starlark.Value
	err := starlark.UnpackArgs("aspect", args, kwargs,
		"implementation", &a.Impl, "attr_aspects??", &attrAspects, "toolchains_aspects??", &ignored[0], "attrs??", &attrs,
		"required_providers??", &required, "required_aspect_providers??", &ignored[1], "provides??", &provides,
		"requires??", &requires, "propagation_predicate??", &ignored[2], "fragments??", &ignored[3], "host_fragments??", &ignored[4],
		"toolchains??", &toolchains, "incompatible_use_toolchain_transition??", &ignored[5], "doc??", &doc,
		"apply_to_generating_rules??", &a.ToGenerating, "exec_compatible_with??", &ignored[6], "exec_groups??", &ignored[7], "subrules??", &ignored[8])
	if err != nil {
		return nil, err
	}
	a.Doc = docString(doc)
	if a.AttrAspects, err = stringsOf("attr_aspects", attrAspects); err != nil {
		return nil, fmt.Errorf("aspect: %w", err)
	}
	if a.Required, err = providerSets(required); err != nil {
		return nil, fmt.Errorf("aspect: required_%w", err)
	}
	if a.Provides, err = providersOf(provides); err != nil {
		return nil, fmt.Errorf("aspect: %w", err)
	}
	if a.Requires, err = aspectsOf(requires); err != nil {
		return nil, fmt.Errorf("aspect: %w", err)
	}
	if a.Toolchains, err = e.toolchainRefs(toolchains); err != nil {
		return nil, fmt.Errorf("aspect: %w", err)
	}
	if a.Attrs, err = mergeAttrs(map[string]*Attr{}, attrs); err != nil {
		return nil, fmt.Errorf("aspect: %w", err)
	}
	return a, nil
}

func aspectsOf(v starlark.Value) ([]*Aspect, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	elems, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("aspects: expected a list of aspects, got %s", Describe(v))
	}
	var out []*Aspect
	for _, e := range elems {
		a, ok := e.(*Aspect)
		if !ok {
			return nil, fmt.Errorf("aspects: expected an aspect, got %s", Describe(e))
		}
		out = append(out, a)
	}
	return out, nil
}
