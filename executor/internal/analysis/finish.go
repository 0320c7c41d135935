package analysis

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
)

// instances takes what an implementation returned: None, one provider or a list.
func (a *Analyzer) instances(result starlark.Value) (map[*bzl.Provider]starlark.Value, error) {
	var list []starlark.Value
	switch v := result.(type) {
	case starlark.NoneType:
	case *starlark.List, starlark.Tuple:
		var err error
		if list, err = elements("return value", v); err != nil {
			return nil, err
		}
	default:
		list = []starlark.Value{v}
	}
	out := map[*bzl.Provider]starlark.Value{}
	for _, v := range list {
		if inner, ok := v.(*starlark.List); ok {
			return nil, fmt.Errorf("the implementation function should return a list of providers, but got the list %s in it", bzl.Describe(inner))
		}
		_, p := bzl.Instance(v)
		if p == nil {
			return nil, fmt.Errorf("the implementation function should return a struct, a provider instance or a list of those, but got %s", bzl.Describe(v))
		}
		if _, dup := out[p]; dup {
			return nil, fmt.Errorf("multiple conflicting returned providers with key %s", p.Name())
		}
		if err := a.freezer.Freeze(v); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		out[p] = v
	}
	return out, nil
}

// finish checks what the implementation returned and declared.
func (c *ruleContext) finish(result starlark.Value) (*Configured, error) {
	providers, err := c.a.instances(result)
	if err != nil {
		return nil, err
	}
	t := c.t
	for _, p := range t.Class.Provides {
		if _, ok := providers[p]; !ok && p != bzl.DefaultInfo {
			return nil, fmt.Errorf("rule %s said that it provides '%s', but it did not return it", t.Class.Name, p.Name())
		}
	}
	out := &Configured{
		Label: t.Label, Target: t, Kind: t.KindString(), Providers: providers, cfg: c.cfg, Attrs: c.attrs,
		Runfiles: emptyRunfiles(), DataRunfiles: emptyRunfiles(), outputs: c.outputs.byLabel, setting: c.setting,
	}
	if err := c.takeDefaultInfo(out); err != nil {
		return nil, err
	}
	if out.Arguments, err = c.expandArgs(); err != nil {
		return nil, err
	}
	if err := takePlan(out, bzl.TestResultsInfo, "verdict", &out.Verdict); err != nil {
		return nil, err
	}
	if err := takePlan(out, bzl.SummaryInfo, "planned", &out.Summary); err != nil {
		return nil, err
	}
	if s, _ := bzl.Instance(providers[bzl.AnalysisTestResultInfo]); s != nil {
		if err := c.analysisTest(out, s); err != nil {
			return nil, err
		}
	}
	if t.Class.Executable && out.Executable == nil && out.Verdict == nil && t.Kind == loading.Rule {
		return nil, errorf("rule %s is executable (executable = True or test = True), but the implementation returned no executable", t.Class.Name).
			WithHint("return DefaultInfo(executable = file), or for a test TestResultsInfo(verdict = planned)")
	}
	if err := checkOutputGroups(providers[bzl.OutputGroupInfo]); err != nil {
		return nil, err
	}
	if err := c.actions.unmade(); err != nil {
		return nil, err
	}
	out.Specs = c.actions.specs
	out.setDefaultInfo()
	return out, nil
}

func checkOutputGroups(v starlark.Value) error {
	s, _ := bzl.Instance(v)
	if s == nil {
		return nil
	}
	for name, g := range s.Entries() {
		switch g := g.(type) {
		case *bzl.Depset:
			if g.Kind() == "" || g.Kind() == "File" {
				continue
			}
		case *starlark.List, starlark.Tuple:
			continue
		}
		return fmt.Errorf("OutputGroupInfo: group %q: expected a depset of files, got %s", name, g.Type())
	}
	return nil
}

// takeDefaultInfo fills files, runfiles and executable.
func (c *ruleContext) takeDefaultInfo(out *Configured) error {
	s, _ := bzl.Instance(out.Providers[bzl.DefaultInfo])
	if s == nil {
		s = bzl.DefaultInfo.New(nil)
	}
	if f := bzl.Field(s, "executable"); f != nil {
		exe, ok := f.(*bzl.File)
		if !ok {
			return fmt.Errorf("DefaultInfo: executable: expected a File, got %s", f.Type())
		}
		if c.actions.made[exe.Artifact] == nil {
			return errorf("DefaultInfo: executable %s is not made by an action of this rule", exe.Path).
				WithHint("declare a file and ctx.actions.symlink it to the other one")
		}
		out.Executable = exe
	} else if c.outputs.exe != nil && c.actions.made[c.outputs.exe.Artifact] != nil {
		out.Executable = c.outputs.exe
	}
	if err := c.takeFiles(out, s); err != nil {
		return err
	}
	def, err := runfilesField(s, "default_runfiles")
	if err != nil {
		return err
	}
	both, err := runfilesField(s, "runfiles")
	if err != nil {
		return err
	}
	data, err := runfilesField(s, "data_runfiles")
	if err != nil {
		return err
	}
	if both != nil {
		if def != nil || data != nil {
			return fmt.Errorf("DefaultInfo: give runfiles, or default_runfiles and data_runfiles, not both")
		}
		def, data = both, both
	}
	if def != nil {
		out.Runfiles = def
	}
	if data != nil {
		out.DataRunfiles = data
	}
	if out.Executable != nil {
		own := &Runfiles{files: bzl.FileDepset([]*bzl.File{out.Executable})}
		out.Runfiles = out.Runfiles.merge(own)
		out.DataRunfiles = out.DataRunfiles.merge(own)
	}
	return nil
}

func runfilesField(s *starlarkstruct.Struct, name string) (*Runfiles, error) {
	v := bzl.Field(s, name)
	if v == nil {
		return nil, nil
	}
	r, ok := v.(*Runfiles)
	if !ok {
		return nil, fmt.Errorf("DefaultInfo: %s: expected runfiles, got %s", name, v.Type())
	}
	return r, nil
}

// takeFiles sets the default outputs: what files says, else all predeclared
// outputs and the executable.
func (c *ruleContext) takeFiles(out *Configured, s *starlarkstruct.Struct) error {
	switch v := bzl.Field(s, "files").(type) {
	case nil:
		files := append([]*bzl.File(nil), c.outputs.files...)
		if out.Executable != nil {
			files = append(files, out.Executable)
		}
		out.Files = bzl.FileDepset(files)
	case *bzl.Depset:
		if v.Kind() != "" && v.Kind() != "File" {
			return fmt.Errorf("DefaultInfo: files: expected a depset of files, got a depset of %s", v.Kind())
		}
		out.Files = v
	default:
		return fmt.Errorf("DefaultInfo: files: expected a depset of files, got %s: write depset([...])", v.Type())
	}
	return nil
}

// takePlan takes the plan in a field of a provider, if the target gives that provider.
func takePlan(out *Configured, provider *bzl.Provider, field string, to **action.Spec) error {
	s, _ := bzl.Instance(out.Providers[provider])
	if s == nil {
		return nil
	}
	p, ok := bzl.Field(s, field).(*planned)
	if !ok {
		return fmt.Errorf("%s: %s: expected what ctx.actions.plan() returned", provider.Name(), field)
	}
	*to = p.spec
	return nil
}

// analysisTest makes the executable of a test that was decided in analysis.
func (c *ruleContext) analysisTest(out *Configured, s *starlarkstruct.Struct) error {
	if out.Executable != nil {
		return nil
	}
	v, err := c.outputs.Attr("executable")
	if err != nil || v == nil {
		return err
	}
	exe := v.(*bzl.File)
	status := "1"
	if ok := bzl.Field(s, "success"); ok != nil && bool(ok.Truth()) {
		status = "0"
	}
	message := ""
	if m := bzl.Field(s, "message"); m != nil {
		message = textOf(m)
	}
	script := "#!/bin/bash\ncat <<'GORULES_END'\n" + strings.TrimRight(message, "\n") + "\nGORULES_END\nexit " + status + "\n"
	spec := &action.Spec{
		Owner: c.t.Label, Position: c.t.Position, Mnemonic: "FileWrite", Progress: "Writing " + exe.Path,
		Write: &action.Write{Content: func(action.Expander) ([]byte, error) { return []byte(script), nil }},
	}
	if err := c.actions.register(spec, exe); err != nil {
		return err
	}
	out.Executable = exe
	out.Files = bzl.FileDepset([]*bzl.File{exe})
	out.Runfiles = out.Runfiles.merge(&Runfiles{files: out.Files})
	return nil
}
