package bzl

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// attrValue is an Attr as Starlark sees it before rule() named it.
type attrValue struct{ *Attr }

func (a attrValue) String() string        { return "<attr." + string(a.Attr.Type) + ">" }
func (a attrValue) Type() string          { return "Attribute" }
func (a attrValue) Freeze()               {}
func (a attrValue) Truth() starlark.Bool  { return true }
func (a attrValue) Hash() (uint32, error) { return pointerHash(a.Attr), nil }

var attrTypes = []AttrType{
	TypeString, TypeInt, TypeBool, TypeLabel, TypeLabelList, TypeStringList, TypeStringDict, TypeIntList, TypeOutput,
	TypeOutputList, TypeLabelKeyedStringDict, TypeStringKeyedLabelDict, TypeStringListDict, TypeLabelListDict,
}

// attrModule is the module attr of one .bzl file: defaults resolve in its package.
func (e Env) attrModule() *starlarkstruct.Module {
	m := &starlarkstruct.Module{Name: "attr", Members: starlark.StringDict{}}
	for _, t := range attrTypes {
		m.Members[string(t)] = starlark.NewBuiltin("attr."+string(t), func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			a, err := e.newAttr(t, args, kwargs)
			if err != nil {
				return nil, fmt.Errorf("attr.%s: %w", t, err)
			}
			return attrValue{a}, nil
		})
	}
	return m
}

func zeroValue(t AttrType) starlark.Value {
	switch t {
	case TypeString:
		return starlark.String("")
	case TypeInt:
		return starlark.MakeInt(0)
	case TypeBool:
		return starlark.False
	case TypeLabel, TypeNodepLabel, TypeOutput:
		return starlark.None
	case TypeStringDict, TypeLabelKeyedStringDict, TypeStringKeyedLabelDict, TypeStringListDict, TypeLabelListDict:
		return emptyDict()
	}
	return emptyList()
}

// attrArgs are the keywords of attr.*, as written.
type attrArgs struct {
	def, doc, mandatory, values, allowEmpty                      starlark.Value
	allowFiles, allowSingle, allowRules, providers, aspects, cfg starlark.Value
	executable, flags, configurable                              starlark.Value
	materializer, skipValidations, forDependency, nonEmpty       starlark.Value
}

func (e Env) newAttr(t AttrType, args starlark.Tuple, kwargs []starlark.Tuple) (*Attr, error) {
	var in attrArgs
	if len(args) > 0 {
		return nil, fmt.Errorf("takes keyword arguments only")
	}
	err := starlark.UnpackArgs("attr."+string(t), nil, kwargs,
		"default?", &in.def, "doc?", &in.doc, "mandatory?", &in.mandatory, "values?", &in.values, "allow_empty?", &in.allowEmpty,
		"allow_files?", &in.allowFiles, "allow_single_file?", &in.allowSingle, "allow_rules?", &in.allowRules,
		"providers?", &in.providers, "aspects?", &in.aspects, "cfg?", &in.cfg, "executable?", &in.executable,
		"flags?", &in.flags, "configurable?", &in.configurable, "materializer?", &in.materializer,
		"skip_validations?", &in.skipValidations, "for_dependency_resolution?", &in.forDependency,
		"non_empty?", &in.nonEmpty)
	if err != nil {
		return nil, err
	}
	a := &Attr{Type: t, Default: zeroValue(t), Doc: docString(in.doc), AllowEmpty: true, Files: FileFilter{None: true}}
	for _, b := range []struct {
		name string
		v    starlark.Value
		to   *bool
	}{{"mandatory", in.mandatory, &a.Mandatory}, {"allow_empty", in.allowEmpty, &a.AllowEmpty}, {"executable", in.executable, &a.Executable}} {
		if b.v == nil || b.v == starlark.None {
			continue
		}
		v, ok := b.v.(starlark.Bool)
		if !ok {
			return nil, fmt.Errorf("%s: expected a bool, got %s", b.name, Describe(b.v))
		}
		*b.to = bool(v)
	}
	if in.configurable == starlark.False {
		a.Fixed = true
	}
	if t == TypeOutput || t == TypeOutputList {
		a.Fixed = true
	}
	if err := a.setFiles(in.allowFiles, in.allowSingle); err != nil {
		return nil, err
	}
	if in.values != nil && in.values != starlark.None {
		vs, ok := sequence(in.values)
		if !ok {
			return nil, fmt.Errorf("values: expected a list, got %s", Describe(in.values))
		}
		a.Values = vs
	}
	if a.Providers, err = providerSets(in.providers); err != nil {
		return nil, err
	}
	if a.Flags, err = stringsOf("flags", in.flags); err != nil {
		return nil, err
	}
	if a.Rules, err = stringsOf("allow_rules", in.allowRules); err != nil {
		return nil, err
	}
	if a.Aspects, err = aspectsOf(in.aspects); err != nil {
		return nil, err
	}
	if err := a.setCfg(in.cfg); err != nil {
		return nil, err
	}
	return a, e.setDefault(a, in.def)
}

func (e Env) setDefault(a *Attr, def starlark.Value) error {
	if def == nil || def == starlark.None {
		return nil
	}
	switch d := def.(type) {
	case *lateBound:
		a.LateBound = true
		return nil
	case starlark.Callable:
		a.Computed = d
		return nil
	}
	values := a.Values
	a.Values = nil // Bazel does not check defaults against values
	empty := a.AllowEmpty
	a.AllowEmpty = true
	v, err := a.Coerce(def, e.Scope)
	a.Values, a.AllowEmpty = values, empty
	if err != nil {
		return fmt.Errorf("default: %w", err)
	}
	a.Default = v
	return nil
}

func (a *Attr) setFiles(files, single starlark.Value) error {
	has := func(v starlark.Value) bool { return v != nil && v != starlark.None }
	if has(files) && has(single) {
		return fmt.Errorf("give allow_files or allow_single_file, not both")
	}
	v := files
	if has(single) {
		v, a.SingleFile = single, true
	}
	if !has(v) {
		return nil
	}
	switch v := v.(type) {
	case starlark.Bool:
		a.Files = FileFilter{None: !bool(v)}
		if !bool(v) {
			a.SingleFile = false
		}
	default:
		ext, err := stringsOf("allow_files", v)
		if err != nil {
			return err
		}
		a.Files = FileFilter{None: len(ext) == 0, Extensions: ext}
	}
	return nil
}

func (a *Attr) setCfg(cfg starlark.Value) error {
	switch c := cfg.(type) {
	case nil, starlark.NoneType, *Transition, *opaque:
		if cfg != starlark.None {
			a.Cfg = cfg
		}
		return nil
	case starlark.String:
		switch c {
		case "exec", "target", "host":
			a.Cfg = c
			return nil
		}
	}
	return fmt.Errorf(`cfg: expected "exec", "target", config.exec() or a transition, got %s`, Describe(cfg))
}

func stringsOf(what string, v starlark.Value) ([]string, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	elems, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("%s: expected a list of strings, got %s", what, Describe(v))
	}
	out := make([]string, 0, len(elems))
	for _, e := range elems {
		s, ok := starlark.AsString(e)
		if !ok {
			return nil, fmt.Errorf("%s: expected a list of strings, got %s in it", what, Describe(e))
		}
		out = append(out, s)
	}
	return out, nil
}

// providerSets reads providers = [A, B] or [[A, B], [C]].
func providerSets(v starlark.Value) ([][]*Provider, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	elems, ok := sequence(v)
	if !ok {
		return nil, fmt.Errorf("providers: expected a list of providers, got %s", Describe(v))
	}
	var flat []*Provider
	var sets [][]*Provider
	for _, e := range elems {
		if p, ok := e.(*Provider); ok {
			flat = append(flat, p)
			continue
		}
		inner, ok := sequence(e)
		if !ok {
			return nil, fmt.Errorf("providers: expected providers or lists of providers, got %s", Describe(e))
		}
		set := []*Provider{}
		for _, ie := range inner {
			p, ok := ie.(*Provider)
			if !ok {
				return nil, fmt.Errorf("providers: expected a provider, got %s", Describe(ie))
			}
			set = append(set, p)
		}
		sets = append(sets, set)
	}
	if len(flat) > 0 {
		if len(sets) > 0 {
			return nil, fmt.Errorf("providers: give providers or lists of providers, not both")
		}
		sets = [][]*Provider{flat}
	}
	return sets, nil
}

// mergeAttrs names the attributes of attrs and adds those of base that attrs does not have.
func mergeAttrs(base map[string]*Attr, attrs *starlark.Dict) (map[string]*Attr, error) {
	if attrs == nil {
		return base, nil
	}
	for _, item := range attrs.Items() {
		name, ok := starlark.AsString(item[0])
		if !ok {
			return nil, fmt.Errorf("attrs: expected names as keys, got %s", Describe(item[0]))
		}
		v, ok := item[1].(attrValue)
		if !ok {
			if item[1] == starlark.None {
				continue // a macro takes an inherited attribute away with None
			}
			return nil, fmt.Errorf("attrs: expected attr.string(), attr.label()... for %q, got %s", name, Describe(item[1]))
		}
		if name == "name" {
			return nil, fmt.Errorf("attrs: %q is there in every rule and cannot be declared again", name)
		}
		a := *v.Attr
		a.Name = name
		if a.IsPrivate() && a.Mandatory {
			return nil, fmt.Errorf("attrs: private attribute %q cannot be mandatory: nobody can set it", name)
		}
		base[name] = &a
	}
	return base, nil
}
