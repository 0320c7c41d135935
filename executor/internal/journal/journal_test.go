package journal_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/tree"
	"gorules/executor/label"
)

func of(text string) digest.Digest { return digest.Of([]byte(text)) }

func entry() *journal.Entry {
	return &journal.Entry{
		Owner: label.Label{Package: "a", Name: "x"}, Mnemonic: "Rustc", Progress: "Compiling x v0.1.0", Digest: of("action"),
		Argv:     []string{"/rust/bin/rustc", "a/x.rs", "--cap-lints", "allow"},
		Env:      []string{"A=1", "B=x=y"},
		Platform: []string{"OSFamily=Linux"},
		Workdir:  "/w",
		Inputs: []journal.File{
			{Path: "/rust", Digest: of("rust"), Tree: true},
			{Path: "/unit/dep.rmeta", Digest: of("dep")},
			{Path: "/w/a/tool.sh", Digest: of("tool"), Executable: true},
			{Path: "/w/a/x.rs", Digest: of("fn main() {}")},
			{Path: "/w/a/y.rs", Digest: of("x.rs"), Link: true},
			{Path: "/w/bazel-out/k8-fastbuild/bin/a/gen.rs", Digest: of("gen")},
		},
		Outputs:  []journal.File{{Path: "/w/bazel-out/k8-fastbuild/bin/a/x", Digest: of("bin"), Executable: true}},
		Expected: []string{"/w/bazel-out/k8-fastbuild/bin/a/x"},
		Runner:   "linux-sandbox", ExitCode: 0,
		Start: time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC), Wall: 1500 * time.Millisecond, Timeout: time.Hour,
	}
}

func TestEncodeDecode(t *testing.T) {
	a, b := entry(), entry()
	b.CacheHit, b.ExitCode, b.Runner, b.Owner.Repo = true, 101, "disk cache hit", "r"
	b.Argv = []string{"/rust/bin/rustc", "", "é\n"}
	b.Inputs, b.Outputs = []journal.File{}, []journal.File{}
	for name, want := range map[string][]*journal.Entry{"none": {}, "one": {a}, "two": {a, b}} {
		enc, err := journal.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := journal.Decode(enc)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: Decode = %v, %v", name, got, err)
		}
		for i := range want {
			if !got[i].Start.Equal(want[i].Start) {
				t.Errorf("%s: start %v, want %v", name, got[i].Start, want[i].Start)
			}
			got[i].Start = want[i].Start
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%s: entry %d:\n got %+v\nwant %+v", name, i, got[i], want[i])
			}
		}
	}
}

// TestEncodeIsCompact: strings that recur are kept once.
func TestEncodeIsCompact(t *testing.T) {
	var es []*journal.Entry
	for range 500 {
		es = append(es, entry())
	}
	b, err := journal.Encode(es)
	if err != nil || len(b) > 100*len(es) {
		t.Errorf("%d entries take %d bytes, %v", len(es), len(b), err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	enc, err := journal.Encode([]*journal.Entry{entry()})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "text": []byte("hello"), "cut": enc[:len(enc)/2], "zeros": make([]byte, 100)} {
		if got, err := journal.Decode(b); err == nil {
			t.Errorf("%s: Decode = %v, want an error", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	enc, err := journal.Encode([]*journal.Entry{entry(), entry()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc)
	f.Add(enc[:len(enc)-3])
	f.Add([]byte{})
	for i := 20; i < len(enc); i += 97 {
		bad := bytes.Clone(enc)
		bad[i] ^= 0x55
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := journal.Decode(b)
		if err != nil {
			return
		}
		if _, err := journal.Encode(got); err != nil { // what was read can be written
			t.Errorf("Encode: %v", err)
		}
	})
}

func TestHistory(t *testing.T) {
	change := func(f func(e *journal.Entry)) *journal.Entry {
		e := entry()
		f(e)
		return e
	}
	old := entry()
	other := change(func(e *journal.Entry) { e.Expected = []string{"/out/libx-2.rlib"} })
	near := change(func(e *journal.Entry) {
		e.Expected, e.Argv = []string{"/out/libx-4.rlib"}, append(slices.Clone(e.Argv), "--cfg")
	})
	for _, tt := range []struct {
		name    string
		history []*journal.Entry
		e       *journal.Entry
		want    *journal.Entry
	}{
		{"same work", []*journal.Entry{old}, change(func(e *journal.Entry) { e.Argv, e.Digest, e.Inputs = nil, of("other"), nil }), old},
		{"other owner", []*journal.Entry{old}, change(func(e *journal.Entry) { e.Owner.Name = "y" }), nil},
		{"other mnemonic", []*journal.Entry{old}, change(func(e *journal.Entry) { e.Mnemonic = "Clippy" }), nil},
		{"other progress", []*journal.Entry{old}, change(func(e *journal.Entry) { e.Progress = "Compiling y v0.1.0" }), nil},
		{"new files of the only work", []*journal.Entry{old}, change(func(e *journal.Entry) { e.Expected = []string{"/out/libx-3.rlib"} }), old},
		{"a crate in two forms", []*journal.Entry{old, other}, other, other},
		{"a third form is compared with the one most like it", []*journal.Entry{old, other, near}, change(func(e *journal.Entry) {
			e.Expected, e.Argv = []string{"/out/libx-3.rlib"}, append(slices.Clone(e.Argv), "--cfg", "more")
		}), near},
		{"another version", []*journal.Entry{old}, change(func(e *journal.Entry) {
			e.Progress, e.Expected = strings.ReplaceAll(e.Progress, "0.1.0", "0.2.0"), nil
		}), old},
	} {
		if got := journal.NewHistory(tt.history).Before(tt.e); got != tt.want {
			t.Errorf("%s: Before = %v, want %v", tt.name, got, tt.want)
		}
	}
	newer := entry()
	if got := journal.NewHistory([]*journal.Entry{old, other}).With([]*journal.Entry{newer}); len(got) != 2 || got[0] != other || got[1] != newer {
		t.Errorf("With = %v, want the other form and the newer entry", got)
	}
}

func TestExplain(t *testing.T) {
	set := func(i int, s string) func(*journal.Entry) { return func(e *journal.Entry) { e.Argv[i] = s } }
	args := func(s ...string) func(*journal.Entry) { return func(e *journal.Entry) { e.Argv = s } }
	input := func(i int, text string) func(*journal.Entry) {
		return func(e *journal.Entry) { e.Inputs[i].Digest = of(text) }
	}
	both := func(fs ...func(*journal.Entry)) func(*journal.Entry) {
		return func(e *journal.Entry) {
			for _, f := range fs {
				f(e)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*journal.Entry)
		want   string
	}{
		{"other", func(*journal.Entry) {}, "gorules itself changed how actions run"},
		{"argument", set(1, "a/z.rs"), "argument a/z.rs, was a/x.rs"},
		{"value of a flag", set(3, "warn"), "argument --cap-lints warn, was --cap-lints allow"},
		{"flag at the end", args("/rust/bin/rustc", "a/x.rs", "--cap-lints", "allow", "-v"), "argument -v was added"},
		{"flag with value at the end", args("/rust/bin/rustc", "a/x.rs", "--cap-lints", "allow", "--cfg", "foo"), "argument --cfg foo was added"},
		{"flag with value in between", args("/rust/bin/rustc", "--deny", "warnings", "a/x.rs", "--cap-lints", "allow"), "argument --deny warnings was added"},
		{"flag=value added", args("/rust/bin/rustc", "--edition=2024", "a/x.rs", "--cap-lints", "allow"), "argument --edition=2024 was added"},
		{"removed at the end", args("/rust/bin/rustc", "a/x.rs"), "argument --cap-lints allow was removed"},
		{"removed in between", args("/rust/bin/rustc", "--cap-lints", "allow"), "argument a/x.rs was removed"},
		{"all removed", args(), "argument /rust/bin/rustc was removed"},
		{"argument before variable", both(set(1, "a/z.rs"), func(e *journal.Entry) { e.Env = nil }), "argument a/z.rs, was a/x.rs"},

		{"variable", func(e *journal.Entry) { e.Env[1] = "B=z" }, `variable B: "z", was "x=y"`},
		{"variable added", func(e *journal.Entry) { e.Env = append(e.Env, "C=3") }, `variable C was added: "3"`},
		{"variable removed", func(e *journal.Entry) { e.Env = e.Env[1:] }, "variable A was removed"},

		{"source", input(3, "edited"), "a/x.rs changed"},
		{"link", input(4, "z.rs"), "a/y.rs changed"},
		{"link becomes file", func(e *journal.Entry) { e.Inputs[4].Link = false }, "a/y.rs changed"},
		{"executable", func(e *journal.Entry) { e.Inputs[3].Executable = true }, "a/x.rs became executable"},
		{"no longer executable", func(e *journal.Entry) { e.Inputs[2].Executable = false }, "a/tool.sh is no longer executable"},
		{"source added", func(e *journal.Entry) { e.Inputs = append(e.Inputs, journal.File{Path: "/w/b/z.rs", Digest: of("z")}) }, "b/z.rs was added"},
		{"source removed", func(e *journal.Entry) { e.Inputs = slices.Delete(e.Inputs, 3, 4) }, "a/x.rs was removed"},
		{"toolchain", input(0, "rust 2"), "/rust changed"},
		{"dependency", input(1, "dep 2"), "/unit/dep.rmeta changed"},
		{"generated", input(5, "gen 2"), "bazel-out/k8-fastbuild/bin/a/gen.rs changed"},
		{"the user's file first", both(input(0, "rust 2"), input(1, "dep 2"), input(5, "gen 2"), input(3, "edited")), "a/x.rs changed"},
		{"the user's removed file first", both(input(0, "rust 2"), func(e *journal.Entry) { e.Inputs = slices.Delete(e.Inputs, 3, 4) }), "a/x.rs was removed"},
		{"dependency removed", func(e *journal.Entry) { e.Inputs = slices.Delete(e.Inputs, 1, 2) }, "/unit/dep.rmeta was removed"},

		{"platform", func(e *journal.Entry) { e.Platform[0] = "OSFamily=Darwin" }, `execution property OSFamily: "Darwin", was "Linux"`},
		{"workdir", func(e *journal.Entry) { e.Workdir = "/w/a" }, "working directory: a, was /w"},
		{"timeout", func(e *journal.Entry) { e.Timeout = time.Minute }, "timeout: 1m0s, was 1h0m0s"},
		{"outputs", func(e *journal.Entry) { e.Expected = append(e.Expected, "/out/y") }, "its list of outputs changed"},
	} {
		now := entry()
		tt.change(now)
		now.Digest = of("another")
		if got := journal.Explain(entry(), now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := journal.Explain(nil, entry()); got != "no earlier result to compare with" {
		t.Errorf("nothing before: %q", got)
	}
	if got := journal.Explain(entry(), entry()); got != "nothing changed: its result was not in the cache" {
		t.Errorf("nothing changed: %q", got)
	}
}

// TestExplainKnowsTheKey binds actions: whatever changes the key is named.
func TestExplainKnowsTheKey(t *testing.T) {
	bind := func(change func(*action.Spec, *content)) *action.Bound {
		t.Helper()
		src, gen := &action.Artifact{Path: "a/x.rs"}, &action.Artifact{Path: "gen", Dir: true}
		s := &action.Spec{
			Owner: label.Label{Package: "a", Name: "x"}, Mnemonic: "Rustc", Argv: []action.Arg{action.Lit("rustc")}, Env: map[string]string{"A": "1"},
			Inputs:  action.InputList{{Path: "/w/a/x.rs", Artifact: src}, {Path: "/gen", Artifact: gen}},
			Outputs: []*action.Artifact{{Path: "a/x"}},
		}
		c := &content{src: action.Content{File: of("1")}, gen: action.Content{Tree: tree.Empty}}
		change(s, c)
		b, err := action.Bind(s, c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := journal.New(bind(func(*action.Spec, *content) {}))
	one, err := tree.New([]tree.Entry{{Name: "f", File: of("1")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*action.Spec, *content)
		want   string
	}{
		"argv":       {func(s *action.Spec, _ *content) { s.Argv[0] = action.Lit("clippy") }, "argument"},
		"env":        {func(s *action.Spec, _ *content) { s.Env["A"] = "2" }, "variable A"},
		"workdir":    {func(s *action.Spec, _ *content) { s.Workdir = "/w/a" }, "working directory"},
		"content":    {func(_ *action.Spec, c *content) { c.src.File = of("2") }, "a/x.rs changed"},
		"executable": {func(_ *action.Spec, c *content) { c.src.Executable = true }, "a/x.rs became executable"},
		"link":       {func(_ *action.Spec, c *content) { c.src = action.Content{Symlink: "1"} }, "a/x.rs changed"},
		"folder":     {func(_ *action.Spec, c *content) { c.gen.Tree = one }, "/gen"},
		"no folder":  {func(s *action.Spec, _ *content) { s.Inputs = s.Inputs.(action.InputList)[:1] }, "/gen was removed"},
		"output":     {func(s *action.Spec, _ *content) { s.Outputs[0].Path = "a/y" }, "outputs"},
		"dir output": {func(s *action.Spec, _ *content) { s.Outputs[0].Dir = true }, "gorules-directories"},
		"timeout":    {func(s *action.Spec, _ *content) { s.Timeout = time.Second }, "timeout"},
		"platform":   {func(s *action.Spec, _ *content) { s.Platform = map[string]string{"p": "1"} }, "execution property p"},
		"writable":   {func(s *action.Spec, _ *content) { s.Writable = []string{"/w/a"} }, "gorules-writable"},
		"loopback":   {func(s *action.Spec, _ *content) { s.Loopback = true }, "gorules-network"},
		"no sandbox": {func(s *action.Spec, _ *content) { s.NoSandbox = true }, "gorules-sandbox"},
	} {
		if got := journal.Explain(old, journal.New(bind(tt.change))); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want it to say %q", name, got, tt.want)
		}
	}
}

// content resolves the two inputs of TestExplainKnowsTheKey.
type content struct{ src, gen action.Content }

func (c *content) Expand(*action.Artifact) ([]string, error) { return nil, nil }
func (c *content) Content(a *action.Artifact) (action.Content, error) {
	if a.Dir {
		return c.gen, nil
	}
	return c.src, nil
}

func TestNewListsLargeFoldersWhole(t *testing.T) {
	var sub tree.Builder
	for i := range 20 {
		if err := sub.AddFile(string(rune('a'+i)), of("x"), false); err != nil {
			t.Fatal(err)
		}
	}
	loose, err := sub.Build()
	if err != nil {
		t.Fatal(err)
	}
	var b tree.Builder
	for p, tr := range map[string]*tree.Tree{"/usr/lib": loose, "/vendor/serde": loose, "/w/src": loose} {
		if err := b.AddTree(p, tr); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var whole []string
	n := 0
	e := journal.New(&action.Bound{Root: root, Spec: &action.Spec{}})
	for _, f := range e.Inputs {
		if f.Tree {
			whole = append(whole, f.Path)
		} else if strings.HasPrefix(f.Path, "/w/src/") {
			n++
		}
	}
	if want := []string{"/usr", "/vendor/serde"}; !slices.Equal(whole, want) || n != 20 {
		t.Errorf("listed whole: %q, want %q; %d files of /w/src, want 20", whole, want, n)
	}
}

func TestSetOutputs(t *testing.T) {
	var b tree.Builder
	if err := b.AddFile("d/f", of("f"), true); err != nil {
		t.Fatal(err)
	}
	tr, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var e journal.Entry
	e.SetOutputs(map[string]action.Content{"/w/z": {File: of("z")}, "/w/dir": {Tree: tr}, "/w/l": {Symlink: "z"}, "/w/a": {File: of("a"), Executable: true}})
	want := []journal.File{
		{Path: "/w/a", Digest: of("a"), Executable: true}, {Path: "/w/dir/d/f", Digest: of("f"), Executable: true},
		{Path: "/w/l", Digest: of("z"), Link: true}, {Path: "/w/z", Digest: of("z")},
	}
	if !reflect.DeepEqual(e.Outputs, want) {
		t.Errorf("%+v, want %+v", e.Outputs, want)
	}
}

// TestWriteLog pins the JSON form of Bazel's SpawnExec.
func TestWriteLog(t *testing.T) {
	a, b := entry(), entry()
	a.Inputs = a.Inputs[2:4]
	b.Owner, b.CacheHit, b.Runner, b.ExitCode, b.Platform, b.Start, b.Wall = label.Label{Repo: "r", Package: "b", Name: "t"}, true, "disk cache hit", 101, nil, time.Time{}, 0
	b.Argv, b.Inputs, b.Outputs, b.Env, b.Expected = []string{"<&>"}, nil, nil, nil, nil
	var buf bytes.Buffer
	if err := journal.WriteLog(&buf, []*journal.Entry{a, b}); err != nil {
		t.Fatal(err)
	}
	hash := func(text string) string { return of(text).Hex() }
	want := `{"commandArgs":["/rust/bin/rustc","a/x.rs","--cap-lints","allow"],` +
		`"environmentVariables":[{"name":"A","value":"1"},{"name":"B","value":"x=y"}],` +
		`"platform":{"properties":[{"name":"OSFamily","value":"Linux"}]},` +
		`"inputs":[{"path":"a/tool.sh","digest":{"hash":"` + hash("tool") + `","sizeBytes":"4","hashFunctionName":"SHA-256"}},` +
		`{"path":"a/x.rs","digest":{"hash":"` + hash("fn main() {}") + `","sizeBytes":"12","hashFunctionName":"SHA-256"}}],` +
		`"listedOutputs":["bazel-out/k8-fastbuild/bin/a/x"],"remotable":true,"cacheable":true,"timeoutMillis":"3600000","mnemonic":"Rustc",` +
		`"actualOutputs":[{"path":"bazel-out/k8-fastbuild/bin/a/x","digest":{"hash":"` + hash("bin") + `","sizeBytes":"3","hashFunctionName":"SHA-256"}}],` +
		`"runner":"linux-sandbox","cacheHit":false,"status":"","exitCode":0,"remoteCacheable":true,"targetLabel":"//a:x",` +
		`"digest":{"hash":"` + hash("action") + `","sizeBytes":"6","hashFunctionName":"SHA-256"},` +
		`"metrics":{"totalTime":"1.5s","executionWallTime":"1.5s","startTime":"2026-01-02T03:04:05.006Z"}}` + "\n" +
		`{"commandArgs":["<&>"],"environmentVariables":[],"inputs":[],"listedOutputs":[],"remotable":true,"cacheable":true,"timeoutMillis":"3600000","mnemonic":"Rustc",` +
		`"actualOutputs":[],"runner":"disk cache hit","cacheHit":true,"status":"NON_ZERO_EXIT","exitCode":101,"remoteCacheable":true,"targetLabel":"@r//b:t",` +
		`"digest":{"hash":"` + hash("action") + `","sizeBytes":"6","hashFunctionName":"SHA-256"},` +
		`"metrics":{"totalTime":"0s","executionWallTime":"0s"}}` + "\n"
	if buf.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", buf.String(), want)
	}
	for line := range strings.Lines(buf.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"mnemonic", "targetLabel", "commandArgs", "environmentVariables", "inputs", "actualOutputs", "runner", "cacheHit", "exitCode", "digest", "metrics"} {
			if v, ok := m[field]; !ok || v == nil {
				t.Errorf("field %s is %v", field, v)
			}
		}
	}
}
