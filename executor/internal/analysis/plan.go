package analysis

import (
	"context"
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// planned is what ctx.actions.plan() returns: type "Planned". It may be kept in providers.
type planned struct{ spec *action.Spec }

func (p *planned) String() string        { return "<planned by " + p.spec.Owner.String() + ">" }
func (p *planned) Type() string          { return "Planned" }
func (p *planned) Freeze()               {}
func (p *planned) Truth() starlark.Bool  { return true }
func (p *planned) Hash() (uint32, error) { return starlark.String(p.spec.Position.String()).Hash() }

// plan is ctx.actions.plan.
func (x *actions) plan(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var inputs, waits, outputs, data, mnemonic, message, expects starlark.Value
	var f starlark.Callable
	if len(args) > 0 {
		return nil, fmt.Errorf("plan: takes keyword arguments only")
	}
	err := starlark.UnpackArgs("plan", nil, kwargs, "implementation", &f, "inputs?", &inputs, "waits?", &waits, "outputs?", &outputs,
		"data?", &data, "mnemonic?", &mnemonic, "progress_message?", &message, "expects?", &expects)
	if err != nil {
		return nil, err
	}
	if fn, ok := f.(*starlark.Function); ok && !topLevel(fn) {
		return nil, fmt.Errorf("plan: implementation: %s is a closure: make it a top-level function and pass what it needs in data", fn.Name())
	}
	if data == nil {
		data = starlark.None
	}
	for name, v := range map[string]starlark.Value{"implementation": f, "data": data} {
		if err := x.a.freezer.Freeze(v); err != nil {
			return nil, fmt.Errorf("plan: %s: %w", name, err)
		}
	}
	ins, err := fileList("plan: inputs", inputs)
	if err != nil {
		return nil, err
	}
	outs, err := fileList("plan: outputs", outputs)
	if err != nil {
		return nil, err
	}
	name, err := mnemonicOf(mnemonic, "Plan")
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	spec := x.newSpec(thread, name)
	spec.Progress = progress(message, x.owner, "", "")
	if spec.Progress == "" {
		spec.Progress = "Planning " + x.owner.String()
	}
	p := &action.Plan{}
	for _, i := range ins {
		p.Inputs = append(p.Inputs, i.Artifact)
	}
	waited, err := elements("plan: waits", waits)
	if err != nil {
		return nil, err
	}
	for _, w := range waited {
		other, ok := w.(*planned)
		if !ok {
			return nil, fmt.Errorf("plan: waits: expected what ctx.actions.plan() returned, got %s", w.Type())
		}
		p.Waits = append(p.Waits, other.spec)
	}
	call := &planCall{
		a: x.a, x: x, spec: spec, f: f, data: data, promised: outs,
		noSandbox: x.noSandbox, tools: x.tools, platform: x.platform,
	}
	p.F, p.Goal = call.run, call.verdict
	spec.Plan = p
	spec.Inputs = &inputSet{files: ins}
	if isSet(expects) {
		expected := &inputSet{}
		if err := expected.add("plan: expects", expects); err != nil {
			return nil, err
		}
		p.Expects = expected
	}
	if err := x.register(spec, outs...); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p.Outputs = spec.Outputs
	return &planned{spec}, nil
}

// planCall runs a plan's function.
type planCall struct {
	a         *Analyzer
	x         *actions // of who declared the plan: owner and configuration
	spec      *action.Spec
	f         starlark.Callable
	data      starlark.Value
	promised  []*bzl.File
	tools     map[*action.Artifact]*Configured
	platform  map[string]string
	noSandbox bool
}

// run calls the function once; it may run concurrently with other plans.
func (p *planCall) run(ctx context.Context, in action.PlanInput) (*action.PlanResult, error) {
	x := newActions(ctx, p.a, p.x.owner, p.x.cfg)
	x.tools, x.platform, x.noSandbox = p.tools, p.platform, p.noSandbox
	x.promised = map[*action.Artifact]bool{}
	for _, f := range p.promised {
		x.promised[f.Artifact] = true
	}
	c := &planContext{call: p, actions: x, in: in, bound: map[*action.Artifact]*action.Artifact{}}
	thread, done := p.a.thread(ctx, "plan of "+p.x.owner.String(), p.spec.Position, &bzl.Context{
		Package: p.x.owner.Pkg(), File: p.x.owner, Scope: bzl.Scope{Package: p.x.owner.Pkg()}, Extra: c})
	defer done()
	v, err := starlark.Call(thread, p.f, starlark.Tuple{c}, nil)
	x.closed = true
	if err == nil {
		err = c.check()
	}
	if err == nil {
		err = p.a.freezer.Freeze(v)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, p.error(err)
	}
	r := &action.PlanResult{Specs: x.specs, Bind: c.bound, Makers: map[*action.Artifact]*action.Spec{}, Value: v, Show: c.shown}
	for a := range x.promised {
		if maker := x.made[a]; maker != nil {
			r.Makers[a] = maker
		}
	}
	if next, ok := v.(*planned); ok {
		r.Value, r.Follow = nil, next.spec
	}
	if s, info := bzl.Instance(v); info == bzl.TestVerdictInfo {
		verdict, err := readVerdict(s)
		if err != nil {
			return nil, p.error(err)
		}
		r.Goals = verdict.Files()
	}
	return r, nil
}

// verdict says why value is none, although a command wants to know how a test
// ended: the function is wrong, so it is named with its place.
func (p *planCall) verdict(value any) error {
	v, _ := value.(starlark.Value)
	if isVerdict(v) {
		return nil
	}
	got := "None"
	if v != nil && v != starlark.None {
		got = "a value of type " + v.Type() // its text may be endless
	}
	name := p.f.Name()
	if fn, ok := p.f.(*starlark.Function); ok {
		name = fmt.Sprintf("%s (%s)", fn.Name(), fn.Position())
	}
	return p.error(errorf("the plan of TestResultsInfo must come to a verdict, and %s returned %s", name, got).
		WithHint("return TestVerdictInfo(status = ...), or the plan that does"))
}

// error places err at the plan's target and names the function.
func (p *planCall) error(err error) error {
	t, lookup := p.a.opts.Loader.Target(context.Background(), p.x.owner)
	if lookup != nil {
		return err
	}
	return targetError(t, err)
}

// planContext is plan_ctx.
type planContext struct {
	call    *planCall
	actions *actions
	in      action.PlanInput
	bound   map[*action.Artifact]*action.Artifact
	shown   []string
}

var _ starlark.HasAttrs = (*planContext)(nil)

func (c *planContext) String() string {
	return "<plan context for " + c.call.x.owner.String() + ">"
}
func (c *planContext) Type() string          { return "plan_ctx" }
func (c *planContext) Freeze()               {}
func (c *planContext) Truth() starlark.Bool  { return true }
func (c *planContext) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: plan_ctx") }

// AttrNames lists the fields and methods.
func (c *planContext) AttrNames() []string {
	return []string{"actions", "bind", "coverage", "data", "files", "host_tools", "label", "show", "test_options", "text", "value", "workspace_name"}
}

// Attr returns a field or method.
func (c *planContext) Attr(name string) (starlark.Value, error) {
	switch name {
	case "actions":
		return c.actions, nil
	case "label":
		return bzl.Label{Label: c.call.x.owner}, nil
	case "data":
		return c.call.data, nil
	case "coverage":
		return starlark.False, nil
	case "host_tools":
		return fileOrNone(c.call.a.hostTools()), nil
	case "workspace_name":
		return starlark.String(c.call.a.opts.Workspace), nil
	case "test_options":
		return c.testOptions(), nil
	}
	var f starlarkFunc
	switch name {
	case "text":
		f = c.text
	case "show":
		f = c.show
	case "files":
		f = c.files
	case "value":
		f = c.value
	case "bind":
		f = c.bind
	default:
		return nil, nil
	}
	return builtin(name, f), nil
}

func (c *planContext) testOptions() starlark.Value {
	o := c.call.a.opts.Config.Test
	env := starlark.NewDict(len(o.Env))
	for _, k := range sortedKeys(o.Env) {
		_ = env.SetKey(starlark.String(k), starlark.String(o.Env[k])) // string keys cannot fail
	}
	return frozen(newStruct(starlark.StringDict{
		"filter": starlark.String(o.Filter), "args": stringsValue(o.Args), "env": env, "timeout": starlark.MakeInt(o.Timeout),
	}))
}

// show tells the user something: a build script's warning.
func (c *planContext) show(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	if err := starlark.UnpackArgs("show", args, kwargs, "text", &text); err != nil {
		return nil, err
	}
	c.shown = append(c.shown, text)
	return starlark.None, nil
}

func (c *planContext) text(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f *bzl.File
	if err := starlark.UnpackArgs("text", args, kwargs, "file", &f); err != nil {
		return nil, err
	}
	text, ok := c.in.Text[f.Artifact]
	if !ok {
		return nil, fmt.Errorf("text: %s is not a file among the inputs of the plan", f.Path)
	}
	return starlark.String(text), nil
}

func (c *planContext) files(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f *bzl.File
	if err := starlark.UnpackArgs("files", args, kwargs, "dir", &f); err != nil {
		return nil, err
	}
	names, ok := c.in.Files[f.Artifact]
	if !ok {
		return nil, fmt.Errorf("files: %s is not a directory among the inputs of the plan", f.Path)
	}
	return stringsValue(names), nil
}

func (c *planContext) value(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var p *planned
	if err := starlark.UnpackArgs("value", args, kwargs, "planned", &p); err != nil {
		return nil, err
	}
	v, ok := c.in.Values[p.spec]
	if !ok {
		return nil, fmt.Errorf("value: the plan of %s is not among the waits of this plan", p.spec.Owner)
	}
	s, ok := v.(starlark.Value)
	if !ok {
		return starlark.None, nil
	}
	return s, nil
}

func (c *planContext) bind(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var promised, f *bzl.File
	if err := starlark.UnpackArgs("bind", args, kwargs, "promised", &promised, "file", &f); err != nil {
		return nil, err
	}
	found := false
	for _, o := range c.call.promised {
		found = found || o.Artifact == promised.Artifact
	}
	switch {
	case !found:
		return nil, fmt.Errorf("bind: %s is not an output of this plan", promised.Path)
	case c.bound[promised.Artifact] != nil:
		return nil, fmt.Errorf("bind: %s is bound already", promised.Path)
	case c.actions.made[promised.Artifact] != nil:
		return nil, fmt.Errorf("bind: %s is made by an action of this plan, at %s", promised.Path, c.actions.made[promised.Artifact].Position)
	case promised.Artifact == f.Artifact:
		return nil, fmt.Errorf("bind: %s is bound to itself; bind it to a file that an action of this plan makes", promised.Path)
	case promised.Artifact.Dir != f.Artifact.Dir:
		return nil, fmt.Errorf("bind: %s and %s must both be files or both directories", promised, f)
	}
	c.bound[promised.Artifact] = f.Artifact
	delete(c.actions.promised, promised.Artifact)
	return starlark.None, nil
}

// check finds outputs that the function forgot.
func (c *planContext) check() error {
	for _, o := range c.call.promised {
		if c.bound[o.Artifact] == nil && c.actions.made[o.Artifact] == nil {
			return errorf("the plan returned without anything that makes its output %s (declared at %s)", o.Path, c.call.spec.Position).
				WithHint("let an action or a plan of this function have it among its outputs, or call plan_ctx.bind(output, file)")
		}
	}
	return c.actions.unmade()
}
