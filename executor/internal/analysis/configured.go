package analysis

import (
	"fmt"
	"hash/fnv"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// A Configured is a target in a configuration, analysed. It is read-only.
type Configured struct {
	Label  label.Label     // after following aliases
	Target *loading.Target // after following aliases
	Kind   string          // "cargo_test rule", "source file"

	// Providers holds the provider instances, DefaultInfo included.
	Providers map[*bzl.Provider]starlark.Value

	// Files are the default outputs.
	Files *bzl.Depset

	Runfiles     *Runfiles // default_runfiles
	DataRunfiles *Runfiles

	// Executable is what `run` and tests start; nil if there is none.
	Executable *bzl.File

	// Arguments are the words of the attribute args, for tests and `run`.
	Arguments []string

	// Summary is the plan of SummaryInfo; nil if the target gives none.
	Summary *action.Spec

	// Verdict is the plan of TestResultsInfo; nil if the target gives none.
	Verdict *action.Spec

	// Specs are all actions the target declared.
	Specs []*action.Spec

	// Incompatible says why the target cannot be built for the target platform
	// (target_compatible_with); "" if it can.
	Incompatible string

	// Attrs are the rule's attributes with select() resolved; nil for files.
	Attrs map[string]starlark.Value

	outputs   map[label.Label]*bzl.File // predeclared outputs
	condition *condition                // of config_setting
	cfg       *configuration
	setting   starlark.Value // of a build setting
}

// File returns the single file of a file target, else nil.
func (c *Configured) File() *bzl.File {
	if c.Target.Kind != loading.SourceFile && c.Target.Kind != loading.GeneratedFile {
		return nil
	}
	if files := c.Files.Files(); len(files) == 1 {
		return files[0]
	}
	return nil
}

// OutputGroup returns the files of an output group. "default" is Files.
func (c *Configured) OutputGroup(name string) (*bzl.Depset, bool) {
	if name == "default" {
		return c.Files, true
	}
	s, _ := bzl.Instance(c.Providers[bzl.OutputGroupInfo])
	if s == nil {
		return nil, false
	}
	d, ok := bzl.Field(s, name).(*bzl.Depset)
	return d, ok
}

// targetValue is a Configured as rules see a dependency: type "Target".
type targetValue struct {
	*Configured
	providers map[*bzl.Provider]starlark.Value // those of aspects included
}

var (
	_ starlark.Mapping  = (*targetValue)(nil)
	_ starlark.HasAttrs = (*targetValue)(nil)
)

func newTargetValue(c *Configured) *targetValue { return &targetValue{c, c.Providers} }

func (t *targetValue) String() string {
	if t.Target.Kind == loading.SourceFile {
		return "<input file target " + t.Label.String() + ">"
	}
	if t.Target.Kind == loading.GeneratedFile {
		return "<generated file target " + t.Label.String() + ">"
	}
	return "<target " + t.Label.String() + ">"
}

func (t *targetValue) Type() string         { return "Target" }
func (t *targetValue) Freeze()              {}
func (t *targetValue) Truth() starlark.Bool { return true }

func (t *targetValue) Hash() (uint32, error) {
	h := fnv.New32a()
	h.Write([]byte(t.Label.Canonical()))
	return h.Sum32(), nil
}

// Get returns the instance of a provider: target[FooInfo].
func (t *targetValue) Get(k starlark.Value) (starlark.Value, bool, error) {
	p, ok := k.(*bzl.Provider)
	if !ok {
		return nil, false, fmt.Errorf("type Target only supports indexing by providers, got %s", k.Type())
	}
	v, ok := t.providers[p]
	if !ok {
		return nil, false, fmt.Errorf("%s doesn't contain declared provider '%s'", t, p.Name())
	}
	return v, true, nil
}

// Has implements in.
func (t *targetValue) Has(k starlark.Value) (bool, error) {
	p, ok := k.(*bzl.Provider)
	if !ok {
		return false, fmt.Errorf("type Target only supports querying by providers, got %s", k.Type())
	}
	_, ok = t.providers[p]
	return ok, nil
}

// Attr returns a field.
func (t *targetValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "label":
		return bzl.Label{Label: t.Label}, nil
	case "files":
		return t.Files, nil
	case "files_to_run":
		return &filesToRun{t.Configured}, nil
	case "default_runfiles":
		return t.Runfiles, nil
	case "data_runfiles":
		return t.DataRunfiles, nil
	case "actions":
		out := make([]starlark.Value, len(t.Specs))
		for i, s := range t.Specs {
			out[i] = t.actionValue(s)
		}
		return starlark.NewList(out), nil
	}
	return nil, nil
}

// AttrNames lists the fields.
func (t *targetValue) AttrNames() []string {
	return []string{"actions", "data_runfiles", "default_runfiles", "files", "files_to_run", "label"}
}

// actionValue is what target.actions shows of an action.
func (c *Configured) actionValue(s *action.Spec) starlark.Value {
	argv := []starlark.Value{}
	for _, a := range s.Argv {
		if lit, ok := a.(action.Lit); ok {
			argv = append(argv, starlark.String(lit))
		}
	}
	env := starlark.NewDict(len(s.Env))
	for _, k := range sortedKeys(s.Env) {
		_ = env.SetKey(starlark.String(k), starlark.String(s.Env[k])) // string keys cannot fail
	}
	outputs := make([]*bzl.File, len(s.Outputs))
	for i, a := range s.Outputs {
		outputs[i] = &bzl.File{Artifact: a, Path: a.Path, Root: c.cfg.outDir(), Owner: c.Label}
	}
	var content starlark.Value = starlark.None
	if s.Write != nil && s.Write.Content != nil && noInputs(s.Inputs) {
		if text, err := s.Write.Content(nil); err == nil {
			content = starlark.String(text)
		}
	}
	v := starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"mnemonic": starlark.String(s.Mnemonic), "argv": starlark.NewList(argv), "env": env,
		"outputs": bzl.FileDepset(outputs), "content": content,
	})
	v.Freeze()
	return v
}

func noInputs(in action.Inputs) bool {
	return in.Each(func(action.Input) bool { return false })
}

// filesToRun is FilesToRunProvider.
type filesToRun struct{ c *Configured }

func (f *filesToRun) String() string        { return "<FilesToRunProvider " + f.c.Label.String() + ">" }
func (f *filesToRun) Type() string          { return "FilesToRunProvider" }
func (f *filesToRun) Freeze()               {}
func (f *filesToRun) Truth() starlark.Bool  { return true }
func (f *filesToRun) Hash() (uint32, error) { return bzl.Label{Label: f.c.Label}.Hash() }
func (f *filesToRun) AttrNames() []string {
	return []string{"executable", "repo_mapping_manifest", "runfiles_manifest"}
}

// Attr returns a field; there are no manifests.
func (f *filesToRun) Attr(name string) (starlark.Value, error) {
	switch name {
	case "executable":
		return fileOrNone(f.c.Executable), nil
	case "runfiles_manifest", "repo_mapping_manifest":
		return starlark.None, nil
	}
	return nil, nil
}

func fileOrNone(f *bzl.File) starlark.Value {
	if f == nil {
		return starlark.None
	}
	return f
}
