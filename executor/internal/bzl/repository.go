package bzl

import (
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// A RepoRule is the value of repository_rule(): it is called in WORKSPACE files
// and hands what it got to the thread's RepoSink.
type RepoRule struct {
	Name  string // the global it was bound to; "" until Export
	File  label.Label
	Attrs map[string]*Attr // "name" and "repo_mapping" included
	Impl  starlark.Callable
	Doc   string

	Local     bool
	Configure bool
	Environ   []string

	// RootWins: in a workspace consumed by another, the root workspace's
	// repository of the same name takes the place of this one.
	RootWins bool

	Position diag.Position // of the call of repository_rule()
}

// RepoValue is a RepoRule as Starlark sees it.
type RepoValue struct{ *RepoRule }

var _ starlark.Callable = RepoValue{}

// Name returns the exported name.
func (r RepoValue) Name() string { return r.RepoRule.Name }

func (r RepoValue) String() string        { return "<repository_rule " + r.RepoRule.Name + ">" }
func (r RepoValue) Type() string          { return "repository_rule" }
func (r RepoValue) Freeze()               {}
func (r RepoValue) Truth() starlark.Bool  { return true }
func (r RepoValue) Hash() (uint32, error) { return pointerHash(r.RepoRule), nil }

// CallInternal declares a repository.
func (r RepoValue) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	sink := ContextOf(thread).Repos
	switch {
	case r.RepoRule.Name == "":
		return nil, fmt.Errorf("this repository rule has no name yet: assign the result of repository_rule() to a global variable of the .bzl file (%s)", r.Position)
	case sink == nil:
		return nil, fmt.Errorf("repository rule %s can only be called while a WORKSPACE file is evaluated: in it, or in a macro that it calls", r.RepoRule.Name)
	case len(args) > 0:
		return nil, fmt.Errorf("repository rule %s takes keyword arguments only: write name = %s", r.RepoRule.Name, args[0])
	}
	return starlark.None, sink.AddRepo(thread, r.RepoRule, kwargs)
}

// Coerce checks and converts the arguments of one call; see RuleClass.Coerce.
func (r *RepoRule) Coerce(kwargs []starlark.Tuple, scope Scope) (map[string]starlark.Value, error) {
	return coerceAll("repository rule", r.Name, r.Attrs, kwargs, scope)
}

func (r RepoValue) export(name string, file label.Label) error {
	if r.RepoRule.Name == "" {
		r.RepoRule.Name, r.File = name, file
	}
	return nil
}

func (e Env) repositoryRule(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	r := &RepoRule{Position: CallerPosition(thread)}
	var attrs *starlark.Dict
	var environ *starlark.List
	var doc starlark.Value
	var remotable bool
	err := starlark.UnpackArgs("repository_rule", args, kwargs,
		"implementation", &r.Impl, "attrs??", &attrs, "local?", &r.Local, "environ?", &environ,
		"configure?", &r.Configure, "remotable?", &remotable, "doc??", &doc, "root_wins?", &r.RootWins)
	if err != nil {
		return nil, err
	}
	r.Doc = docString(doc)
	if environ != nil {
		for v := range environ.Elements() {
			s, ok := starlark.AsString(v)
			if !ok {
				return nil, fmt.Errorf("repository_rule: environ: expected a list of strings, got %s", Describe(v))
			}
			r.Environ = append(r.Environ, s)
		}
	}
	base := map[string]*Attr{
		"name":         {Name: "name", Type: TypeString, Mandatory: true, Fixed: true, Default: starlark.String("")},
		"repo_mapping": {Name: "repo_mapping", Type: TypeStringDict, Fixed: true, Default: emptyDict()},
	}
	if r.Attrs, err = mergeAttrs(base, attrs); err != nil {
		return nil, fmt.Errorf("repository_rule: %w", err)
	}
	return RepoValue{r}, nil
}
