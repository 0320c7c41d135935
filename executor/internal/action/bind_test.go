package action_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
	"gorules/executor/label"
)

// world knows the content of the artifacts of one test.
type world struct {
	content map[*action.Artifact]action.Content
	files   map[*action.Artifact][]string
}

func (w *world) Content(a *action.Artifact) (action.Content, error) {
	c, ok := w.content[a]
	if !ok {
		return c, errors.New("no content for " + a.Path)
	}
	return c, nil
}

func (w *world) Expand(a *action.Artifact) ([]string, error) { return w.files[a], nil }

// files is an Arg whose words come from a directory.
type files struct{ dir *action.Artifact }

func (f files) Append(argv []string, ex action.Expander) ([]string, error) {
	names, err := ex.Expand(f.dir)
	return append(argv, names...), err
}

// fixture is a Spec with something in every field that reaches the key.
type fixture struct {
	spec   *action.Spec
	world  *world
	src    *action.Artifact
	dir    *action.Artifact
	link   *action.Artifact
	out    *action.Artifact
	outDir *action.Artifact
}

func file(text string, exec bool) action.Content {
	return action.Content{File: digest.Of([]byte(text)), Executable: exec}
}

func dir(t testing.TB, text string) action.Content {
	t.Helper()
	var b tree.Builder
	if err := b.AddFile("f", digest.Of([]byte(text)), false); err != nil {
		t.Fatal(err)
	}
	tr, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return action.Content{Tree: tr}
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{
		src:    &action.Artifact{Path: "a/x.rs"},
		dir:    &action.Artifact{Path: "/unit", Dir: true},
		link:   &action.Artifact{Path: "a/l"},
		out:    &action.Artifact{Path: "bazel-out/k8-fastbuild/bin/a/x"},
		outDir: &action.Artifact{Path: "/out/dir", Dir: true},
	}
	f.world = &world{
		content: map[*action.Artifact]action.Content{f.src: file("fn main() {}", false), f.dir: dir(t, "1"), f.link: {Symlink: "x.rs"}},
		files:   map[*action.Artifact][]string{f.dir: {"f"}},
	}
	f.spec = &action.Spec{
		Owner: label.Label{Package: "a", Name: "x"}, Position: diag.Position{File: "a/BUILD", Line: 1, Column: 1}, Mnemonic: "Rustc", Progress: "Compiling x",
		Argv:     []action.Arg{action.Lit("/rust/bin/rustc"), action.Lit("a/x.rs"), files{f.dir}},
		Env:      map[string]string{"A": "1", "B": "2", "C": "3", "D": "4"},
		Outputs:  []*action.Artifact{f.out, f.outDir},
		Optional: map[*action.Artifact]bool{},
		Inputs:   action.InputList{{Path: "/w/a/x.rs", Artifact: f.src}, {Path: "/unit", Artifact: f.dir}, {Path: "/w/a/l", Artifact: f.link}},
		Platform: map[string]string{"OSFamily": "Linux", "Arch": "x86_64", "pool": "default"},
		Writable: []string{"/w/a", "/w/b"},
	}
	return f
}

func (f *fixture) bind(t testing.TB) *action.Bound {
	t.Helper()
	b, err := action.Bind(f.spec, f.world)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKey: what changes the outcome changes the key; what does not, does not.
func TestKey(t *testing.T) {
	want := newFixture(t).bind(t).Digest
	for name, change := range map[string]func(*fixture){
		"argument":            func(f *fixture) { f.spec.Argv[1] = action.Lit("a/y.rs") },
		"argument added":      func(f *fixture) { f.spec.Argv = append(f.spec.Argv, action.Lit("")) },
		"argument removed":    func(f *fixture) { f.spec.Argv = f.spec.Argv[:2] },
		"arguments swapped":   func(f *fixture) { f.spec.Argv[1], f.spec.Argv[2] = f.spec.Argv[2], f.spec.Argv[1] },
		"argument's files":    func(f *fixture) { f.world.files[f.dir] = []string{"f", "g"} },
		"env value":           func(f *fixture) { f.spec.Env["A"] = "2" },
		"env added":           func(f *fixture) { f.spec.Env["E"] = "" },
		"env removed":         func(f *fixture) { delete(f.spec.Env, "D") },
		"env name":            func(f *fixture) { delete(f.spec.Env, "A"); f.spec.Env["AA"] = "1" },
		"workdir":             func(f *fixture) { f.spec.Workdir = "/vendor/x" },
		"input content":       func(f *fixture) { f.world.content[f.src] = file("fn main() { }", false) },
		"input executable":    func(f *fixture) { f.world.content[f.src] = file("fn main() {}", true) },
		"input becomes link":  func(f *fixture) { f.world.content[f.src] = action.Content{Symlink: "l"} },
		"input tree":          func(f *fixture) { f.world.content[f.dir] = dir(t, "2") },
		"input link":          func(f *fixture) { f.world.content[f.link] = action.Content{Symlink: "./x.rs"} },
		"input path":          func(f *fixture) { f.spec.Inputs.(action.InputList)[0].Path = "/w/a/y.rs" },
		"input removed":       func(f *fixture) { f.spec.Inputs = f.spec.Inputs.(action.InputList)[:2] },
		"no inputs":           func(f *fixture) { f.spec.Inputs = nil },
		"output path":         func(f *fixture) { f.out.Path += "2" },
		"output added":        func(f *fixture) { f.spec.Outputs = append(f.spec.Outputs, &action.Artifact{Path: "z"}) },
		"output removed":      func(f *fixture) { f.spec.Outputs = f.spec.Outputs[1:] },
		"output dir":          func(f *fixture) { f.out.Dir = true },
		"output no dir":       func(f *fixture) { f.outDir.Dir = false },
		"dir outputs swapped": func(f *fixture) { f.out.Dir, f.outDir.Dir = true, false },
		"timeout":             func(f *fixture) { f.spec.Timeout = time.Minute },
		"platform value":      func(f *fixture) { f.spec.Platform["pool"] = "large" },
		"platform added":      func(f *fixture) { f.spec.Platform["x"] = "" },
		"platform removed":    func(f *fixture) { delete(f.spec.Platform, "pool") },
		"writable":            func(f *fixture) { f.spec.Writable = []string{"/w/a"} },
		"writable joined":     func(f *fixture) { f.spec.Writable = []string{"/w/a:/w/b"} },
		"loopback":            func(f *fixture) { f.spec.Loopback = true },
		"sandbox":             func(f *fixture) { f.spec.NoSandbox = true },
	} {
		f := newFixture(t)
		change(f)
		if got := f.bind(t).Digest; got == want {
			t.Errorf("%s: the key did not change", name)
		}
	}

	// Lists in one property: another list is another text.
	var keys []digest.Digest
	for _, outs := range [][]*action.Artifact{{{Path: "/o/a:/o/b", Dir: true}, {Path: "/o/b"}}, {{Path: "/o/a:/o/b"}, {Path: "/o/b", Dir: true}}, {{Path: "/o/a:/o/b", Dir: true}, {Path: "/o/b", Dir: true}}} {
		f := newFixture(t)
		f.spec.Outputs = outs
		keys = append(keys, f.bind(t).Digest)
	}
	if keys[0] == keys[1] || keys[0] == keys[2] || keys[1] == keys[2] {
		t.Error("different output directories have one key")
	}

	late := &action.Artifact{Path: "log"}
	for name, change := range map[string]func(*fixture){
		"nothing":  func(*fixture) {},
		"owner":    func(f *fixture) { f.spec.Owner = label.Label{Repo: "r", Package: "b", Name: "y"} },
		"progress": func(f *fixture) { f.spec.Progress = "Checking x" },
		"position": func(f *fixture) { f.spec.Position = diag.Position{File: "b/BUILD", Line: 2, Column: 2} },
		"mnemonic": func(f *fixture) { f.spec.Mnemonic = "Clippy" },
		"show":     func(f *fixture) { f.spec.Show = true },
		"messages": func(f *fixture) {
			f.spec.Messages = &action.Messages{Show: "rendered", Early: map[*action.Artifact]map[string]string{f.out: {"a": "b"}}}
		},
		"explain":          func(f *fixture) { f.spec.Explain = map[string]string{"ENOENT": "{path}"} },
		"test":             func(f *fixture) { f.spec.Test = true },
		"stdout":           func(f *fixture) { f.spec.Stdout, f.spec.Stderr = late, late },
		"default timeout":  func(f *fixture) { f.spec.Timeout = action.DefaultTimeout },
		"default workdir":  func(f *fixture) { f.spec.Workdir = "/w/" },
		"relative workdir": func(f *fixture) { f.spec.Workdir = "." },
		"maps rebuilt": func(f *fixture) {
			f.spec.Env = maps.Collect(maps.All(f.spec.Env))
			f.spec.Platform = maps.Collect(maps.All(f.spec.Platform))
		},
		"order of inputs":      func(f *fixture) { slices.Reverse(f.spec.Inputs.(action.InputList)) },
		"input twice":          func(f *fixture) { l := f.spec.Inputs.(action.InputList); f.spec.Inputs = append(l, l...) },
		"order of outputs":     func(f *fixture) { slices.Reverse(f.spec.Outputs) },
		"order of writable":    func(f *fixture) { slices.Reverse(f.spec.Writable) },
		"another artifact":     func(f *fixture) { f.spec.Outputs[0] = &action.Artifact{Path: f.out.Path, Producer: f.spec} },
		"output absolute path": func(f *fixture) { f.out.Path = "/w/" + f.out.Path },
		"input from a tree": func(f *fixture) {
			var b tree.Builder
			if err := b.AddFile("a/x.rs", digest.Of([]byte("fn main() {}")), false); err != nil {
				t.Fatal(err)
			}
			tr, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			f.world.content[f.src] = action.Content{Tree: tr}
			f.spec.Inputs.(action.InputList)[0].Path = "/w"
		},
	} {
		for range 5 { // map order differs from walk to walk
			f := newFixture(t)
			change(f)
			if got := f.bind(t).Digest; got != want {
				t.Errorf("%s: the key changed", name)
				break
			}
		}
	}
}

// TestMessages: the two messages hold what runs, in the form the API demands.
func TestMessages(t *testing.T) {
	f := newFixture(t)
	f.spec.Workdir, f.spec.Timeout, f.spec.Loopback = "/vendor/x", 90*time.Second, true
	b := f.bind(t)
	act, cmd := &remote.Action{}, &remote.Command{}
	if err := errors.Join(proto.Unmarshal(b.Action, act), proto.Unmarshal(b.Command, cmd)); err != nil {
		t.Fatal(err)
	}
	if b.Digest != digest.Of(b.Action) || act.CommandDigest.Hash != digest.Of(b.Command).Hex() || act.InputRootDigest.Hash != b.Root.Digest().Hex() {
		t.Errorf("the digests do not fit: %v", act)
	}
	if want := []string{"/rust/bin/rustc", "a/x.rs", "f"}; !slices.Equal(cmd.Arguments, want) || !slices.Equal(b.Argv, want) {
		t.Errorf("arguments %q and %q, want %q", cmd.Arguments, b.Argv, want)
	}
	if cmd.WorkingDirectory != "vendor/x" || b.Workdir != "/vendor/x" || act.Timeout.AsDuration() != 90*time.Second || b.Timeout != 90*time.Second || act.DoNotCache {
		t.Errorf("workdir %q %q, timeout %v", cmd.WorkingDirectory, b.Workdir, act.Timeout)
	}
	if want := []string{"../../out/dir", "../../w/bazel-out/k8-fastbuild/bin/a/x"}; !slices.Equal(cmd.OutputPaths, want) {
		t.Errorf("outputs %q, want %q", cmd.OutputPaths, want)
	}
	var env, props []string
	for _, e := range cmd.EnvironmentVariables {
		env = append(env, e.Name+"="+e.Value)
	}
	for _, p := range act.Platform.Properties {
		props = append(props, p.Name)
		if b.Platform[p.Name] != p.Value {
			t.Errorf("property %s is %q in the message and %q in Bound", p.Name, p.Value, b.Platform[p.Name])
		}
	}
	if want := []string{"A=1", "B=2", "C=3", "D=4"}; !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
	//lint:ignore SA1019 both messages are to say the same
	if !slices.IsSorted(props) || len(props) != len(b.Platform) || !proto.Equal(act.Platform, cmd.Platform) {
		t.Errorf("properties %q, want them sorted and equal in both messages", props)
	}
	for p, kind := range map[string]tree.Kind{"w/a/x.rs": tree.File, "unit/f": tree.File, "w/a/l": tree.Link} {
		if e, ok := b.Root.Lookup(p); !ok || e.Kind != kind {
			t.Errorf("input root: %s = %+v, %v", p, e, ok)
		}
	}
	if len(f.spec.Platform) != 3 || len(f.spec.Env) != 4 {
		t.Error("Bind changed the Spec")
	}
}

func TestBoundOutputs(t *testing.T) {
	f := newFixture(t)
	f.out.Link = true
	f.spec.Optional[f.outDir] = true
	f.spec.ExitCode = &action.Artifact{Path: "code"}
	f.spec.Messages = &action.Messages{Early: map[*action.Artifact]map[string]string{f.out: {"$message_type": "artifact"}}}
	b := f.bind(t)
	if len(b.Outputs) != 2 || !b.AnyExit {
		t.Fatalf("%+v", b)
	}
	if o := b.Outputs[0]; o.Path != "/out/dir" || !o.Dir || !o.Optional || o.Link || o.Early != nil {
		t.Errorf("%+v", o)
	}
	if o := b.Outputs[1]; o.Path != "/w/bazel-out/k8-fastbuild/bin/a/x" || o.Dir || o.Optional || !o.Link || o.Early["$message_type"] != "artifact" {
		t.Errorf("%+v", o)
	}
}

func TestBindErrors(t *testing.T) {
	boom := errors.New("boom")
	other := &action.Artifact{Path: "other"}
	for name, tt := range map[string]struct {
		change func(*fixture)
		is     error
		words  []string
	}{
		"two contents at one path": {func(f *fixture) {
			f.world.content[other] = file("other", false)
			f.spec.Inputs = append(f.spec.Inputs.(action.InputList), action.Input{Path: "/w/a/x.rs", Artifact: other})
		}, tree.ErrConflict, []string{"/w/a/x.rs", "Rustc", "//a:x"}},
		"two trees at one path": {func(f *fixture) {
			f.world.content[other] = dir(t, "2")
			f.spec.Inputs = append(f.spec.Inputs.(action.InputList), action.Input{Path: "/unit", Artifact: other})
		}, tree.ErrConflict, []string{"/unit/f", "Rustc", "//a:x"}},
		"a file below a file": {func(f *fixture) {
			f.world.content[other] = file("other", false)
			f.spec.Inputs = append(f.spec.Inputs.(action.InputList), action.Input{Path: "/w/a/x.rs/y", Artifact: other})
		}, tree.ErrConflict, []string{"/w/a/x.rs/y", "Rustc", "//a:x"}},
		"an input without content": {func(f *fixture) { delete(f.world.content, f.src) }, nil, []string{"no content for a/x.rs", "Rustc", "//a:x"}},
		"an argument that fails":   {func(f *fixture) { f.spec.Argv = append(f.spec.Argv, failing{boom}) }, boom, []string{"boom", "Rustc", "//a:x"}},
		"an argument in Latin-1":   {func(f *fixture) { f.spec.Argv = append(f.spec.Argv, action.Lit("\xe9")) }, nil, []string{"UTF-8", "Rustc", "//a:x"}},
		"a reserved property":      {func(f *fixture) { f.spec.Platform["gorules-network"] = "loopback" }, nil, []string{"gorules-network", "Rustc", "//a:x"}},
	} {
		f := newFixture(t)
		tt.change(f)
		_, err := action.Bind(f.spec, f.world)
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want an error", name, err)
			continue
		}
		for _, w := range tt.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Append([]string, action.Expander) ([]string, error) { return nil, f.err }

func TestAbs(t *testing.T) {
	for p, want := range map[string]string{"": "/w", ".": "/w", "a/b": "/w/a/b", "./a": "/w/a", "/a": "/a", "/a/../b/": "/b", "/": "/"} {
		if got := action.Abs(p); got != want {
			t.Errorf("Abs(%q) = %q, want %q", p, got, want)
		}
	}
}

func TestInputListStops(t *testing.T) {
	l := action.InputList{{Path: "a"}, {Path: "b"}, {Path: "c"}}
	n := 0
	if l.Each(func(in action.Input) bool { n++; return in.Path != "b" }) || n != 2 {
		t.Errorf("Each went on after false: %d calls", n)
	}
	if !l.Each(func(action.Input) bool { return true }) {
		t.Error("Each reports that it was stopped")
	}
}

// BenchmarkBind binds an action with 300 inputs, about what a mid-sized rustc call has.
func BenchmarkBind(b *testing.B) {
	f := newFixture(b)
	var l action.InputList
	for i := range 300 {
		a := &action.Artifact{Path: "a/" + strings.Repeat("d/", i%5) + string(rune('a'+i%26)) + string(rune('a'+i/26))}
		f.world.content[a] = file(a.Path, false)
		l = append(l, action.Input{Path: action.Abs(a.Path), Artifact: a})
	}
	f.spec.Inputs = l
	for b.Loop() {
		if _, err := action.Bind(f.spec, f.world); err != nil {
			b.Fatal(err)
		}
	}
}
