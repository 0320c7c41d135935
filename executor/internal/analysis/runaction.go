package analysis

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// runArgs are the keywords that run and run_shell share.
type runArgs struct {
	outputs, inputs, tools, arguments, mnemonic, progress, env, requirements starlark.Value
	unused, manifests, execGroup, shadowed, resources, toolchain             starlark.Value
	stdout, stderr, exitCode, optional, workdir, writable, network           starlark.Value
	messages, explain, scope, changes                                        starlark.Value
	timeout                                                                  starlark.Value
	shellEnv, test, show, terminals                                          bool
}

func (r *runArgs) pairs() []any {
	return []any{
		"outputs?", &r.outputs, "inputs?", &r.inputs, "tools?", &r.tools, "arguments?", &r.arguments, "mnemonic?", &r.mnemonic,
		"progress_message?", &r.progress, "use_default_shell_env?", &r.shellEnv, "env?", &r.env, "execution_requirements?", &r.requirements,
		"input_manifests?", &r.manifests, "exec_group?", &r.execGroup, "shadowed_action?", &r.shadowed, "resource_set?", &r.resources,
		"toolchain?", &r.toolchain, "unused_inputs_list?", &r.unused,
		"stdout?", &r.stdout, "stderr?", &r.stderr, "exit_code?", &r.exitCode, "optional_outputs?", &r.optional, "workdir?", &r.workdir,
		"writable?", &r.writable, "network?", &r.network, "timeout?", &r.timeout, "test?", &r.test, "show?", &r.show,
		"messages?", &r.messages, "explain?", &r.explain, "scope?", &r.scope, "changes?", &r.changes, "terminals?", &r.terminals,
	}
}

// run is ctx.actions.run.
func (x *actions) run(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var r runArgs
	var executable starlark.Value
	if len(args) > 0 {
		return nil, fmt.Errorf("run: takes keyword arguments only")
	}
	if err := starlark.UnpackArgs("run", nil, kwargs, append(r.pairs(), "executable", &executable)...); err != nil {
		return nil, err
	}
	in := &inputSet{}
	var argv0 string
	switch e := executable.(type) {
	case *bzl.File:
		argv0 = e.Path
		in.addTool(x, e, nil)
	case *filesToRun:
		if e.c.Executable == nil {
			return nil, fmt.Errorf("run: executable: %s has no executable", e.c.Label)
		}
		argv0 = e.c.Executable.Path
		in.addTool(x, e.c.Executable, e.c)
	case starlark.String:
		argv0 = string(e)
	default:
		return nil, fmt.Errorf("run: executable: expected a File, FilesToRunProvider or string, got %s", executable.Type())
	}
	spec := x.newSpec(thread, "Action")
	spec.Argv = []action.Arg{action.Lit(argv0)}
	if !strings.Contains(argv0, "/") { // to be found on PATH, which only the process itself sees
		spec.Argv = []action.Arg{action.Lit("/usr/bin/env"), action.Lit(argv0)}
	}
	base := r.shellEnv || !path.IsAbs(argv0)
	return starlark.None, x.finishRun("run", spec, &r, in, base)
}

// runShell is ctx.actions.run_shell.
func (x *actions) runShell(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var r runArgs
	var command string
	if len(args) > 0 {
		return nil, fmt.Errorf("run_shell: takes keyword arguments only")
	}
	if err := starlark.UnpackArgs("run_shell", nil, kwargs, append(r.pairs(), "command", &command)...); err != nil {
		return nil, err
	}
	spec := x.newSpec(thread, "Action")
	spec.Argv = []action.Arg{action.Lit("/bin/bash"), action.Lit("-c"), action.Lit(command)}
	if isSet(r.arguments) {
		spec.Argv = append(spec.Argv, action.Lit(""))
	}
	return starlark.None, x.finishRun("run_shell", spec, &r, &inputSet{}, true)
}

// finishRun fills spec from the common keywords and registers it.
func (x *actions) finishRun(what string, spec *action.Spec, r *runArgs, in *inputSet, base bool) error {
	err := x.fillRun(spec, r, in, base)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (x *actions) fillRun(spec *action.Spec, r *runArgs, in *inputSet, base bool) error {
	var err error
	if spec.Mnemonic, err = mnemonicOf(r.mnemonic, spec.Mnemonic); err != nil {
		return err
	}
	outputs, err := fileList("outputs", r.outputs)
	if err != nil {
		return err
	}
	optional, err := fileList("optional_outputs", r.optional)
	if err != nil {
		return err
	}
	if err := in.add("inputs", r.inputs); err != nil {
		return err
	}
	if err := in.addTools(x, r.tools); err != nil {
		return err
	}
	if err := x.addArguments(spec, r.arguments, in, append(slices.Clip(outputs), optional...)); err != nil {
		return err
	}
	env, err := stringDict("env", r.env)
	if err != nil {
		return err
	}
	spec.Env = map[string]string{}
	if base {
		maps.Copy(spec.Env, x.a.baseEnv())
		if tools := x.a.hostTools(); tools != nil {
			in.files = append(in.files, tools)
		}
	}
	maps.Copy(spec.Env, env)
	spec.Inputs = in
	if spec.Scopes, err = x.scopes(r.scope); err != nil {
		return err
	}
	if err := x.fillProcess(spec, r); err != nil {
		return err
	}
	out := ""
	if len(outputs) > 0 {
		out = outputs[0].Path
	}
	spec.Progress = progress(r.progress, x.owner, in.first(), out)
	if len(optional) > 0 {
		spec.Optional = map[*action.Artifact]bool{}
		for _, f := range optional {
			spec.Optional[f.Artifact] = true
		}
	}
	all := append(outputs, optional...)
	if isSet(r.changes) {
		f, ok := r.changes.(*bzl.File)
		if !ok || !f.Artifact.Dir {
			return fmt.Errorf("changes: expected a directory of declare_directory, got %s", r.changes)
		}
		if len(spec.Scopes) == 0 || spec.Scopes[0].Artifact.Source != nil && spec.Scopes[0].Artifact.Source.Host != nil {
			return fmt.Errorf("changes: the action needs a scope, the first of which is what it may change")
		}
		spec.Changes = f.Artifact
		spec.Writable = append(slices.Clip(spec.Writable), action.Abs(spec.Scopes[0].Path))
		all = append(slices.Clip(all), f)
	}
	for _, s := range []struct {
		name string
		v    starlark.Value
		to   **action.Artifact
	}{{"stdout", r.stdout, &spec.Stdout}, {"stderr", r.stderr, &spec.Stderr}, {"exit_code", r.exitCode, &spec.ExitCode}} {
		if !isSet(s.v) {
			continue
		}
		f, ok := s.v.(*bzl.File)
		if !ok {
			return fmt.Errorf("%s: expected a File, got %s", s.name, s.v.Type())
		}
		if err := x.capture(spec, f); err != nil {
			return err
		}
		*s.to = f.Artifact
	}
	if len(all) == 0 && spec.Stdout == nil && spec.Stderr == nil && spec.ExitCode == nil {
		return fmt.Errorf("outputs: an action must have an output")
	}
	if err := x.fillMessages(spec, r.messages); err != nil {
		return err
	}
	return x.register(spec, all...)
}

// scopes takes scope = [directories]: what the process may look into, and what of
// it counts is what it looked at.
func (x *actions) scopes(v starlark.Value) ([]action.Input, error) {
	files, err := fileList("scope", v)
	if err != nil {
		return nil, err
	}
	var out []action.Input
	for _, f := range files {
		a := f.Artifact
		if !a.Dir {
			return nil, fmt.Errorf("scope: %s is a file; give it in inputs, or the directory that it is in", f.Path)
		}
		if a.Source != nil {
			quiet := *a.Source
			quiet.Quiet = true
			a = x.a.sourceArtifact(f.Path, &quiet)
		}
		at := action.Abs(f.Path)
		for _, in := range out {
			if action.Abs(in.Path) == at {
				return nil, fmt.Errorf("scope: two directories at %s", at)
			}
		}
		out = append(out, action.Input{Path: f.Path, Artifact: a})
	}
	return out, nil
}

// capture makes spec the producer of f, which is not one of its Outputs.
func (x *actions) capture(spec *action.Spec, f *bzl.File) error {
	if err := x.produce(spec, f); err != nil {
		return err
	}
	if spec.Progress == "" {
		spec.Progress = spec.Mnemonic + " " + f.ShortPath()
	}
	return nil
}

// fillProcess takes what concerns the process rather than its files.
func (x *actions) fillProcess(spec *action.Spec, r *runArgs) error {
	if isSet(r.workdir) {
		dir, ok := starlark.AsString(r.workdir)
		if !ok || !path.IsAbs(dir) {
			return fmt.Errorf("workdir: expected an absolute path, got %s", r.workdir)
		}
		spec.Workdir = dir
	}
	writable, err := stringList("writable", r.writable)
	if err != nil {
		return err
	}
	for _, w := range writable {
		if !path.IsAbs(w) {
			return fmt.Errorf("writable: expected absolute paths, got %q", w)
		}
	}
	spec.Writable = writable
	if isSet(r.network) {
		switch r.network {
		case starlark.String("loopback"):
			spec.Loopback = true
		case starlark.String("none"):
		default:
			return fmt.Errorf(`network: expected "none" or "loopback", got %s`, r.network)
		}
	}
	if isSet(r.timeout) {
		var seconds int
		if err := starlark.AsInt(r.timeout, &seconds); err != nil || seconds < 0 {
			return fmt.Errorf("timeout: expected a number of seconds, got %s", r.timeout)
		}
		spec.Timeout = time.Duration(seconds) * time.Second
	}
	spec.Test, spec.Show, spec.Terminals = r.test, r.show, r.terminals
	if spec.Explain, err = stringDict("explain", r.explain); err != nil {
		return err
	}
	spec.NoSandbox = x.noSandbox
	if isSet(r.requirements) {
		req, err := stringDict("execution_requirements", r.requirements)
		if err != nil {
			return err
		}
		for _, k := range []string{"local", "no-sandbox"} {
			if _, ok := req[k]; ok {
				spec.NoSandbox = true
			}
		}
	}
	return nil
}

// fillMessages takes messages = struct(show = "field", hide = "regexp", early = [(file, {field: value})]).
func (x *actions) fillMessages(spec *action.Spec, v starlark.Value) error {
	if !isSet(v) {
		return nil
	}
	s, ok := v.(*starlarkstruct.Struct)
	if !ok {
		return fmt.Errorf("messages: expected a struct, got %s", v.Type())
	}
	m := &action.Messages{Early: map[*action.Artifact]map[string]string{}}
	if show := bzl.Field(s, "show"); show != nil {
		m.Show = textOf(show)
	}
	if hide := bzl.Field(s, "hide"); hide != nil {
		re, err := regexp.Compile(textOf(hide))
		if err != nil {
			return fmt.Errorf("messages.hide: %w", err)
		}
		m.Hide = re
	}
	early, err := elements("messages.early", bzl.Field(s, "early"))
	if err != nil {
		return err
	}
	for _, e := range early {
		pair, ok := e.(starlark.Indexable)
		if !ok || pair.Len() != 2 {
			return fmt.Errorf("messages.early: expected pairs of a File and a dict, got %s", e)
		}
		f, ok := pair.Index(0).(*bzl.File)
		if !ok {
			return fmt.Errorf("messages.early: expected a File, got %s", pair.Index(0).Type())
		}
		fields, err := stringDict("messages.early", pair.Index(1))
		if err != nil {
			return err
		}
		m.Early[f.Artifact] = fields
	}
	spec.Messages = m
	return nil
}

// addArguments takes arguments = [strings and Args].
// addArguments adds the words of arguments to spec's command, and to in what they
// need: a parameter file stands beside the first of outputs, as in Bazel.
func (x *actions) addArguments(spec *action.Spec, v starlark.Value, in *inputSet, outputs []*bzl.File) error {
	elems, err := elements("arguments", v)
	if err != nil {
		return err
	}
	files := 0
	for _, e := range elems {
		switch e := e.(type) {
		case starlark.String:
			spec.Argv = append(spec.Argv, action.Lit(e))
		case *argsValue:
			if e.paramFile == "" {
				spec.Argv = append(spec.Argv, e.words()...)
				continue
			}
			f, err := x.writeParamFile(spec, e, files, outputs)
			if err != nil {
				return err
			}
			files++
			in.files = append(in.files, f)
			spec.Argv = append(spec.Argv, action.Lit(strings.Replace(e.paramFile, "%s", f.Path, 1)))
		default:
			return fmt.Errorf("arguments: expected strings and Args, got %s (%s)%s", e, e.Type(), argHint(e))
		}
	}
	return nil
}

// writeParamFile declares the action that writes the n-th parameter file of spec.
func (x *actions) writeParamFile(spec *action.Spec, e *argsValue, n int, outputs []*bzl.File) (*bzl.File, error) {
	if len(outputs) == 0 {
		return nil, fmt.Errorf("arguments: use_param_file: an action without outputs has no place for the file")
	}
	p := fmt.Sprintf("%s-%d.params", outputs[0].Path, n)
	f := &bzl.File{Artifact: &action.Artifact{Path: p}, Path: p, Root: outputs[0].Root, Owner: x.owner}
	x.add(f)
	words, format := e.words(), e.format
	write := &action.Spec{Owner: x.owner, Position: spec.Position, Mnemonic: "ParameterFile", Progress: "Writing " + f.ShortPath(), Platform: x.platform,
		Write: &action.Write{Content: func(ex action.Expander) ([]byte, error) { return paramFile(words, format, ex) }}}
	if dirs := e.dirsOf(); dirs != nil {
		write.Inputs = &inputSet{files: dirs}
	}
	return f, x.register(write, f)
}

func argHint(v starlark.Value) string {
	if _, ok := v.(*bzl.File); ok {
		return ": write file.path"
	}
	return ""
}

// shellQuote quotes one word as Bazel does in parameter files.
func shellQuote(s string) string {
	if s == "" {
		return "''"
	}
	for _, r := range s {
		if !strings.ContainsRune("@%-_+:,./=", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}
