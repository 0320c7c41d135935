package bzl

import (
	"fmt"
	"sort"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/label"
)

// A Provider is the value of provider(): a constructor of provider instances
// and the key that they are found under. Identity is the pointer.
//
// Instances are *starlarkstruct.Struct with the provider as constructor.
type Provider struct {
	name   string
	file   label.Label
	fields map[string]string // name -> doc; nil means any field
	init   starlark.Callable
	Doc    string

	positional []string          // fields that may be given by position
	alias      map[string]string // other names of the constructor's keywords
}

var _ starlark.Callable = (*Provider)(nil)

// NewProvider returns a provider that Go code knows. Without fields any field is allowed.
func NewProvider(name string, fields ...string) *Provider {
	p := &Provider{name: name}
	if len(fields) > 0 {
		p.fields = map[string]string{}
		for _, f := range fields {
			p.fields[f] = ""
		}
	}
	return p
}

// Name returns the name the provider was exported under.
func (p *Provider) Name() string {
	if p.name == "" {
		return "unexported provider"
	}
	return p.name
}

// Fields returns the declared fields, sorted; nil if any is allowed.
func (p *Provider) Fields() []string {
	if p.fields == nil {
		return nil
	}
	return sortedNames(p.fields)
}

func (p *Provider) String() string        { return p.Name() }
func (p *Provider) Type() string          { return "Provider" }
func (p *Provider) Freeze()               {}
func (p *Provider) Truth() starlark.Bool  { return true }
func (p *Provider) Hash() (uint32, error) { return pointerHash(p), nil }

func (p *Provider) export(name string, file label.Label) error {
	if p.name == "" {
		p.name, p.file = name, file
	}
	return nil
}

// New makes an instance.
func (p *Provider) New(fields starlark.StringDict) *starlarkstruct.Struct {
	return starlarkstruct.FromStringDict(p, fields)
}

// CallInternal makes an instance, through init where there is one.
func (p *Provider) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if p.init == nil {
		return p.raw(args, kwargs)
	}
	v, err := starlark.Call(thread, p.init, args, kwargs)
	if err != nil {
		return nil, err
	}
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf("init of provider %s: expected a dict, got %s", p.Name(), Describe(v))
	}
	var kws []starlark.Tuple
	for _, item := range d.Items() {
		if _, ok := item[0].(starlark.String); !ok {
			return nil, fmt.Errorf("init of provider %s: expected names as keys, got %s", p.Name(), Describe(item[0]))
		}
		kws = append(kws, item)
	}
	return p.raw(nil, kws)
}

func (p *Provider) raw(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > len(p.positional) {
		return nil, fmt.Errorf("%s: expected keyword arguments only", p.Name())
	}
	for i, arg := range args {
		kwargs = append(kwargs, starlark.Tuple{starlark.String(p.positional[i]), arg})
	}
	for i, kw := range kwargs {
		if field, ok := p.alias[string(kw[0].(starlark.String))]; ok {
			kwargs[i] = starlark.Tuple{starlark.String(field), kw[1]}
		}
	}
	if p.fields != nil {
		var unknown []string
		for _, kw := range kwargs {
			name := string(kw[0].(starlark.String))
			if _, ok := p.fields[name]; !ok {
				unknown = append(unknown, name)
			}
		}
		if unknown != nil {
			sort.Strings(unknown)
			return nil, fmt.Errorf("%s: got unexpected field %q, expected one of: %s", p.Name(), strings.Join(unknown, ", "), strings.Join(p.Fields(), ", "))
		}
	}
	s := starlarkstruct.FromKeywords(p, kwargs)
	if p == OutputGroupInfo {
		return OutputGroups{s}, nil
	}
	return s, nil
}

// Field returns a field of a provider instance, nil if it is absent or None.
func Field(v *starlarkstruct.Struct, name string) starlark.Value {
	f, err := v.Attr(name)
	if err != nil || f == starlark.None {
		return nil
	}
	return f
}

func providerFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var doc, fields starlark.Value
	var init starlark.Callable
	if err := starlark.UnpackArgs("provider", args, kwargs, "doc?", &doc, "fields??", &fields, "init??", &init); err != nil {
		return nil, err
	}
	p := &Provider{init: init, Doc: docString(doc)}
	switch f := fields.(type) {
	case nil:
	case *starlark.Dict:
		p.fields = map[string]string{}
		for _, item := range f.Items() {
			name, ok := starlark.AsString(item[0])
			if !ok {
				return nil, fmt.Errorf("provider: fields: expected names, got %s", Describe(item[0]))
			}
			p.fields[name] = docString(item[1])
		}
	default:
		names, err := stringsOf("fields", fields)
		if err != nil {
			return nil, fmt.Errorf("provider: %w", err)
		}
		p.fields = map[string]string{}
		for _, n := range names {
			p.fields[n] = ""
		}
	}
	if init == nil {
		return p, nil
	}
	raw := &rawConstructor{p}
	return starlark.Tuple{p, raw}, nil
}

// rawConstructor is the second half of provider(init = ...): it skips init.
type rawConstructor struct{ p *Provider }

func (r *rawConstructor) Name() string          { return r.p.Name() }
func (r *rawConstructor) String() string        { return "<raw constructor for " + r.p.Name() + ">" }
func (r *rawConstructor) Type() string          { return "builtin_function_or_method" }
func (r *rawConstructor) Freeze()               {}
func (r *rawConstructor) Truth() starlark.Bool  { return true }
func (r *rawConstructor) Hash() (uint32, error) { return pointerHash(r), nil }
func (r *rawConstructor) CallInternal(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return r.p.raw(args, kwargs)
}
