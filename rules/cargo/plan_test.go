package cargo_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

const hostTriple = "x86_64-unknown-linux-gnu"

// hostCfgs is what `rustc --print cfg` prints for the host.
var hostCfgs = strings.Fields(`debug_assertions panic="unwind" target_abi="" target_arch="x86_64" target_endian="little"
	target_env="gnu" target_family="unix" target_feature="fxsr" target_feature="sse" target_feature="sse2"
	target_has_atomic="16" target_has_atomic="32" target_has_atomic="64" target_has_atomic="8" target_has_atomic="ptr"
	target_os="linux" target_pointer_width="64" target_vendor="unknown" unix`)

// A workspace is recorded input of plan_units.
type workspace struct {
	name   string
	graphs []string
	config map[string]any
	cfgs   []string // beyond hostCfgs
}

var (
	example = workspace{name: "example", graphs: []string{"build", "test", "check"}, config: map[string]any{}}
	// variant is the example with every kind of link-arg, [env], rustflags, LTO,
	// panic = "abort", strip, split debuginfo and profile overrides.
	variant = workspace{
		name:   "variant",
		graphs: []string{"build", "test"},
		config: map[string]any{
			"build": map[string]any{"rustdocflags": []string{"--cfg", "docflag"}, "rustflags": []string{"--cfg", "slow_tests"}},
			"env":   map[string]any{"HELLO_ENV": "from config", "HELLO_REL": map[string]any{"relative": true, "value": "data"}},
		},
		cfgs: []string{"slow_tests"},
	}
)

// plan calls plan_units on what cargo printed, with texts in it replaced.
func (w workspace) plan(t testing.TB, l *loader, replace ...string) starlark.Value {
	t.Helper()
	return w.planAt(t, l, "/w", replace...)
}

func (w workspace) planAt(t testing.TB, l *loader, root string, replace ...string) starlark.Value {
	t.Helper()
	read := func(name string) starlark.Value {
		data := string(fixture(t, w.name+"-"+name+".json"))
		return decode(t, []byte(strings.NewReplacer(replace...).Replace(data)))
	}
	options := l.call(t, "plan.bzl", "plan_options",
		starlark.Tuple{starlark.String(root), starlark.String(hostTriple), toStarlark(t, append(slices.Clone(hostCfgs), w.cfgs...))},
		kwarg("config", toStarlark(t, w.config)))
	graphs := starlark.NewDict(3)
	for _, g := range w.graphs {
		if err := graphs.SetKey(starlark.String(g), read("graph-"+g)); err != nil {
			t.Fatal(err)
		}
	}
	return l.call(t, "plan.bzl", "plan_units",
		starlark.Tuple{read("metadata"), graphs, manifests(t, w.name+"-manifests.json"), options})
}

// A call is one process that cargo or these rules start.
type call struct {
	Unit   int
	Kind   string // rustc, build-script, rustdoc
	Argv   []string
	Cwd    string
	Env    map[string]string
	Stdout string
}

func recorded(t testing.TB, name string) []call {
	t.Helper()
	var doc struct{ Records []call }
	if err := json.Unmarshal(fixture(t, name), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Records
}

// A comparison holds cargo's calls of one command against planned ones.
type comparison struct {
	t       testing.TB
	l       *loader
	plan    starlark.Value
	graph   string // which of the plan's graphs cargo followed
	calls   []call
	hashes  map[string]string // cargo's extra-filename -> our id
	outDirs map[string]string // cargo's OUT_DIR -> ours
	printed map[string]starlark.Value
	used    map[string]int // permitted differences
	plant   func(*call)    // changes a planned call; nil for none
}

func (w workspace) compare(t testing.TB, l *loader, plan starlark.Value, graph string) *comparison {
	c := &comparison{
		t: t, l: l, plan: plan, graph: graph, calls: recorded(t, w.name+"-calls-"+graph+".json"),
		hashes: map[string]string{}, outDirs: map[string]string{}, printed: map[string]starlark.Value{}, used: map[string]int{},
	}
	// A command that found work done lacks the calls of an earlier one: learn its names too.
	for _, earlier := range w.graphs {
		for _, r := range recorded(t, w.name+"-calls-"+earlier+".json") {
			c.learn(earlier, r)
		}
	}
	c.parse()
	return c
}

var extraFilename = regexp.MustCompile(`^extra-filename=-([0-9a-f]{16})$`)

func (c *comparison) position(graph string, unit int) starlark.Value {
	positions := entry(field(c.t, c.plan, "positions"), starlark.String(graph))
	if positions == nil {
		return nil
	}
	return entry(positions, starlark.MakeInt(unit))
}

func (c *comparison) unit(graph string, unit int) starlark.Value {
	id := c.position(graph, unit)
	if id == nil {
		return nil
	}
	return entry(field(c.t, c.plan, "units"), id)
}

func (c *comparison) learn(graph string, r call) {
	u := c.unit(graph, r.Unit)
	if u == nil {
		return
	}
	id := text(field(c.t, u, "id"))
	for _, a := range r.Argv {
		if m := extraFilename.FindStringSubmatch(a); m != nil {
			c.hashes[m[1]] = id
		}
	}
	if r.Kind == "build-script" {
		out := text(c.l.call(c.t, "build_script.bzl", "script_out_dir", starlark.Tuple{u}))
		c.outDirs[r.Env["OUT_DIR"]] = out
		c.printed[id] = starlark.String(r.Stdout)
	}
}

// parse reads every recorded directive text, its paths replaced by ours.
func (c *comparison) parse() {
	for id, out := range c.printed {
		u := entry(field(c.t, c.plan, "units"), starlark.String(id))
		dir := c.l.call(c.t, "build_script.bzl", "script_out_dir", starlark.Tuple{u})
		c.printed[id] = c.l.call(c.t, "build_script.bzl", "parse_directives",
			starlark.Tuple{starlark.String(c.path(text(out))), dir, field(c.t, u, "package")})
	}
}

var hashed = regexp.MustCompile(`-([0-9a-f]{16})\b`)

// path translates cargo's places into those of the input root.
func (c *comparison) path(s string) string {
	for from, to := range c.outDirs {
		s = strings.ReplaceAll(s, from, to)
	}
	s = strings.NewReplacer(
		"{WORKSPACE}/target/debug/deps", "/unit",
		"{WORKSPACE}/target/debug/examples", "/unit",
		"{WORKSPACE}/target/debug", "/unit/debug",
		"{WORKSPACE}", "/w", "{REGISTRY}", "/vendor", "{VENDOR}", "/vendor", "{TOOLCHAIN}", "/rust",
	).Replace(s)
	return hashed.ReplaceAllStringFunc(s, func(m string) string {
		if id, ok := c.hashes[m[1:]]; ok {
			return "-" + id
		}
		return m
	})
}

// differences are the ways in which a call may differ from cargo's. Each changes
// cargo's call into ours and reports whether it had to; each must be needed.
var differences = []struct {
	name   string
	reason string
	apply  func(c *comparison, u starlark.Value, r *call) bool
}{
	{"incremental", "results are cached by content instead", func(_ *comparison, _ starlark.Value, r *call) bool {
		return dropFlag(r, "-C", "incremental=")
	}},
	{"names", "-C metadata and -C extra-filename are the identity of the unit, the same on every machine", func(c *comparison, u starlark.Value, r *call) bool {
		return replaceWords(r, func(w string) string {
			if strings.HasPrefix(w, "metadata=") {
				return "metadata=" + text(field(c.t, u, "id"))
			}
			if strings.HasPrefix(w, "extra-filename=-") {
				return "extra-filename=-" + text(field(c.t, u, "id"))
			}
			return w
		})
	}},
	{"out-dir", "a compile writes into a folder of its own", func(_ *comparison, _ starlark.Value, r *call) bool {
		return afterWord(r, "--out-dir", "/out")
	}},
	{"native search paths of libraries", "rustc reads them when it links; a library is given only those of its own build script", func(c *comparison, u starlark.Value, r *call) bool {
		if r.Kind != "rustc" || field(c.t, u, "links") == starlark.True {
			return false
		}
		own := map[string]bool{}
		if p := c.printed[text(field(c.t, u, "script"))]; p != nil {
			for _, s := range words(field(c.t, p, "search")) {
				own[s] = true
			}
		}
		changed := false
		for i := 0; i+1 < len(r.Argv); i++ {
			if r.Argv[i] == "-L" && !strings.HasPrefix(r.Argv[i+1], "dependency=") && !own[r.Argv[i+1]] {
				r.Argv = slices.Delete(r.Argv, i, i+2)
				i--
				changed = true
			}
		}
		return changed
	}},
	{"doctest search paths", "cargo gives rustdoc those of all packages it built; here only of what the library links", func(c *comparison, u starlark.Value, r *call) bool {
		if r.Kind != "rustdoc" {
			return false
		}
		linked := map[string]bool{}
		for _, s := range words(field(c.t, u, "scripts")) {
			for _, p := range words(field(c.t, c.printed[s], "search")) {
				linked[p] = true
			}
		}
		changed := false
		for i := 0; i+1 < len(r.Argv); i++ {
			if r.Argv[i] == "-L" && !strings.HasPrefix(r.Argv[i+1], "dependency=") && !linked[r.Argv[i+1]] {
				r.Argv = slices.Delete(r.Argv, i, i+2)
				i--
				changed = true
			}
		}
		return changed
	}},
	{"jobserver", "the engine decides how much runs at once", dropVars("CARGO_MAKEFLAGS")},
	{"number of jobs", "a constant: it is part of the key", setVar("NUM_JOBS", "4", "build-script")},
	{"home", "an empty folder that the sandbox names", dropVars("HOME")},
	{"certificates", "there is no network", dropVars("SSL_CERT_DIR", "SSL_CERT_FILE")},
	{"search path of programs", "a constant", func(_ *comparison, _ starlark.Value, r *call) bool {
		want := "/usr/bin:/bin"
		if r.Kind == "build-script" {
			want = "/rust/bin:/usr/bin:/bin"
		}
		return set(r, "PATH", want)
	}},
	{"search path of libraries", "the root holds each unit's dependencies at one place; nothing is found through it", dropVars("LD_LIBRARY_PATH")},
	{"absolute rustc", "a script's rustc is the toolchain's whatever its PATH", setVar("RUSTC", "/rust/bin/rustc", "build-script")},
	{"rustdoc", "cargo sets it; the recorder took it away", setVar("RUSTDOC", "/rust/bin/rustdoc", "build-script")},
	{"temporary folder of tests", "/tmp is private to each test", func(_ *comparison, _ starlark.Value, r *call) bool {
		if _, ok := r.Env["CARGO_TARGET_TMPDIR"]; !ok {
			return false
		}
		return set(r, "CARGO_TARGET_TMPDIR", "/tmp")
	}},
	{"clippy's variables", "added by cargo_clippy to the units it lints, and to no other", dropVars("CLIPPY_ARGS", "CLIPPY_TERMINAL_WIDTH", "RUSTC_WORKSPACE_WRAPPER")},
	{"linted build scripts", "cargo compiles them as it lints them; here a lint makes metadata only", func(c *comparison, u starlark.Value, r *call) bool {
		if text(field(c.t, u, "mode")) != "check" || text(field(c.t, u, "kind")) != "custom-build" {
			return false
		}
		return replaceWords(r, func(w string) string {
			if w == "--emit=dep-info,link" {
				return "--emit=dep-info,metadata"
			}
			return strings.Replace(w, ".rlib", ".rmeta", 1)
		})
	}},
	{"linted against compiled crates", "a lint reads the .rmeta that the build made: no crate is compiled for it", func(c *comparison, u starlark.Value, r *call) bool {
		if text(field(c.t, u, "mode")) != "check" {
			return false
		}
		ours := map[string]string{}
		for _, e := range slices.Collect(starlark.Elements(field(c.t, u, "externs").(starlark.Iterable))) {
			w := words(e)
			ours[w[1]] = w[2]
		}
		// The build script ran once, for the build.
		if script := text(field(c.t, u, "script")); script != "" {
			set(r, "OUT_DIR", "/unit/"+text(field(c.t, u, "package"))+"-"+script+"/out")
		}
		return replaceWords(r, func(w string) string {
			name, file, ok := strings.Cut(w, "=/unit/")
			if !ok || ours[name] == "" || crateOf(ours[name]) != crateOf(file) || path.Ext(ours[name]) != path.Ext(file) {
				return w
			}
			return name + "=/unit/" + ours[name]
		})
	}},
}

func crateOf(file string) string {
	i := strings.LastIndex(file, "-")
	return file[:max(i, 0)]
}

func replaceWords(r *call, f func(string) string) bool {
	changed := false
	for i, w := range r.Argv {
		if v := f(w); v != w {
			r.Argv[i] = v
			changed = true
		}
	}
	return changed
}

func dropFlag(r *call, flag, prefix string) bool {
	for i := 0; i+1 < len(r.Argv); i++ {
		if r.Argv[i] == flag && strings.HasPrefix(r.Argv[i+1], prefix) {
			r.Argv = slices.Delete(r.Argv, i, i+2)
			return true
		}
	}
	return false
}

func afterWord(r *call, flag, value string) bool {
	i := slices.Index(r.Argv, flag)
	if i < 0 || r.Argv[i+1] == value {
		return false
	}
	r.Argv[i+1] = value
	return true
}

func set(r *call, name, value string) bool {
	if r.Env[name] == value {
		return false
	}
	r.Env[name] = value
	return true
}

func setVar(name, value, kind string) func(*comparison, starlark.Value, *call) bool {
	return func(_ *comparison, _ starlark.Value, r *call) bool { return r.Kind == kind && set(r, name, value) }
}

func dropVars(names ...string) func(*comparison, starlark.Value, *call) bool {
	return func(_ *comparison, _ starlark.Value, r *call) bool {
		before := len(r.Env)
		for _, n := range names {
			delete(r.Env, n)
		}
		return len(r.Env) < before
	}
}

// ours completes a planned unit with what build scripts printed.
func (c *comparison) ours(u starlark.Value) call {
	out := call{Cwd: text(field(c.t, u, "cwd")), Env: vars(field(c.t, u, "env"))}
	var own starlark.Value = starlark.None
	if p := c.printed[text(field(c.t, u, "script"))]; p != nil {
		own = p
	}
	linked := starlark.NewList(nil)
	mode := text(field(c.t, u, "mode"))
	if mode == "doctest" || field(c.t, u, "links") == starlark.True {
		for _, id := range words(field(c.t, u, "scripts")) {
			p := c.printed[id]
			if p == nil {
				c.t.Fatalf("no record of the run %s", id)
			}
			if mode == "doctest" {
				linked.Append(p)
			} else {
				linked.Append(starlark.Tuple{starlark.String(id), p})
			}
		}
	}
	switch mode {
	case "run":
		for _, id := range words(field(c.t, u, "script_deps")) {
			dep := entry(field(c.t, c.plan, "units"), starlark.String(id))
			pkg := entry(field(c.t, c.plan, "packages"), field(c.t, dep, "pkg"))
			links := entry(pkg, starlark.String("links"))
			maps.Copy(out.Env, vars(c.l.call(c.t, "build_script.bzl", "dep_env", starlark.Tuple{links, field(c.t, c.printed[id], "metadata")})))
		}
		out.Env["OUT_DIR"] = text(c.l.call(c.t, "build_script.bzl", "script_out_dir", starlark.Tuple{u}))
		return out
	case "doctest":
		out.Argv = words(c.l.call(c.t, "doctest.bzl", "doctest_argv", starlark.Tuple{u, own, linked}))
	default:
		pkg := entry(field(c.t, c.plan, "packages"), field(c.t, u, "pkg"))
		hasLib := c.l.call(c.t, "package.bzl", "has_library", starlark.Tuple{pkg})
		out.Argv = append(words(field(c.t, u, "argv")), words(c.l.call(c.t, "build_script.bzl", "directive_args", starlark.Tuple{u, own, linked, hasLib}))...)
	}
	if text(field(c.t, u, "kind")) != "custom-build" {
		maps.Copy(out.Env, vars(c.l.call(c.t, "build_script.bzl", "directive_env", starlark.Tuple{u, own})))
	}
	return out
}

// theirs translates a recorded call into the input root and applies the
// permitted differences.
func (c *comparison) theirs(u starlark.Value, r call) call {
	out := call{Kind: r.Kind, Cwd: c.path(r.Cwd), Env: map[string]string{}}
	for k, v := range r.Env {
		out.Env[k] = c.path(v)
	}
	argv := r.Argv[1:]
	if r.Kind == "rustc" {
		argv = r.Argv[slices.Index(r.Argv, "--crate-name"):]
	}
	for _, w := range argv {
		out.Argv = append(out.Argv, c.path(w))
	}
	for _, d := range differences {
		if d.apply(c, u, &out) {
			c.used[d.name]++
		}
	}
	return out
}

// run compares every recorded call; it returns what differs and the units that were matched.
func (c *comparison) run() (problems []string, matched map[string]bool) {
	matched = map[string]bool{}
	for _, r := range c.calls {
		if c.graph == "check" && !strings.HasSuffix(r.Argv[0], "/clippy-driver") {
			continue // cargo checks dependencies; a lint here uses the compiled ones
		}
		u := c.unit(c.graph, r.Unit)
		if u == nil {
			if c.graph == "check" && strings.Contains(strings.Join(r.Argv, " "), "--crate-type proc-macro --emit=dep-info,link") {
				c.used[lintedOnce]++ // cargo lints them as it compiles them for use, and again as a root
				continue
			}
			problems = append(problems, fmt.Sprintf("cargo runs what is not planned: %s", strings.Join(r.Argv[:min(4, len(r.Argv))], " ")))
			continue
		}
		id := text(field(c.t, u, "id"))
		matched[id] = true
		want, got := c.theirs(u, r), c.ours(u)
		if c.plant != nil {
			c.plant(&got)
		}
		who := fmt.Sprintf("%s %s %s of %s", text(field(c.t, u, "mode")), text(field(c.t, u, "kind")), text(field(c.t, u, "crate")), text(field(c.t, u, "package")))
		if r.Kind != "build-script" && !slices.Equal(want.Argv, got.Argv) {
			problems = append(problems, fmt.Sprintf("%s: arguments\n  cargo: %q\n  ours:  %q", who, want.Argv, got.Argv))
		}
		if want.Cwd != got.Cwd {
			problems = append(problems, fmt.Sprintf("%s: folder %s, cargo's is %s", who, got.Cwd, want.Cwd))
		}
		names := map[string]bool{}
		for n := range want.Env {
			names[n] = true
		}
		for n := range got.Env {
			names[n] = true
		}
		for _, n := range slices.Sorted(maps.Keys(names)) {
			w, inCargo := want.Env[n]
			g, inOurs := got.Env[n]
			if w != g || inCargo != inOurs {
				problems = append(problems, fmt.Sprintf("%s: variable %s is %q (set: %v), cargo's %q (set: %v)", who, n, g, inOurs, w, inCargo))
			}
		}
	}
	return problems, matched
}

const lintedOnce = "proc macros are linted once"

func TestCallsAreCargos(t *testing.T) {
	used := map[string]int{}
	for _, tt := range []struct {
		workspace workspace
		graph     string
		complete  bool // cargo ran everything in the graph
	}{
		{example, "build", true},
		{example, "test", true},
		{example, "check", false},
		{variant, "build", true},
		{variant, "test", false}, // ran after the build: what that compiled is absent
	} {
		t.Run(tt.workspace.name+"/"+tt.graph, func(t *testing.T) {
			l := newLoader()
			plan := tt.workspace.plan(t, l)
			c := tt.workspace.compare(t, l, plan, tt.graph)
			problems, matched := c.run()
			for _, p := range problems[:min(len(problems), 12)] {
				t.Error(p)
			}
			if len(problems) > 12 {
				t.Errorf("and %d more", len(problems)-12)
			}
			for name, n := range c.used {
				used[name] += n
			}
			positions := entry(field(t, plan, "positions"), starlark.String(tt.graph)).(*starlark.Dict)
			for _, item := range positions.Items() {
				if (tt.complete || tt.graph == "check") && !matched[text(item[1])] {
					u := entry(field(t, plan, "units"), item[1])
					t.Errorf("planned but not run by cargo: %s %s %s of %s", field(t, u, "mode"), field(t, u, "kind"), field(t, u, "crate"), field(t, u, "package"))
				}
			}
			t.Logf("%d calls, %d units matched", len(c.calls), len(matched))
		})
	}
	for _, d := range differences {
		if used[d.name] == 0 {
			t.Errorf("permitted difference %q is never needed: take it out", d.name)
		}
	}
	if used[lintedOnce] == 0 {
		t.Errorf("permitted difference %q is never needed: take it out", lintedOnce)
	}
}

// TestPlantedChangeIsFound takes one word or variable out of a planned call and
// expects the comparison to say so.
func TestPlantedChangeIsFound(t *testing.T) {
	for _, tt := range []struct{ name, flag, prefix string }{
		{"cfg", "--cfg", "feature="},
		{"extern", "--extern", "serde="},
		{"codegen option", "-C", "debuginfo="},
		{"check-cfg", "--check-cfg", "cfg(feature"},
		{"emit", "", "--emit="},
		{"edition", "", "--edition="},
		{"variable", "env", "CARGO_PKG_NAME"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoader()
			c := example.compare(t, l, example.plan(t, l), "build")
			planted := false
			c.plant = func(ours *call) {
				if planted || len(ours.Argv) == 0 {
					return
				}
				switch tt.flag {
				case "env":
					delete(ours.Env, tt.prefix)
					planted = true
				case "":
					i := slices.IndexFunc(ours.Argv, func(w string) bool { return strings.HasPrefix(w, tt.prefix) })
					ours.Argv = slices.Delete(ours.Argv, i, i+1)
					planted = true
				default:
					planted = dropFlag(ours, tt.flag, tt.prefix)
				}
			}
			problems, _ := c.run()
			if !planted {
				t.Fatal("nothing to plant")
			}
			if len(problems) != 1 {
				t.Errorf("%d problems, want 1", len(problems))
			}
		})
	}
}

// ids returns the identities of units, by whether they belong to a member.
func ids(t testing.TB, plan starlark.Value) map[bool][]string {
	out := map[bool][]string{}
	for _, item := range field(t, plan, "units").(*starlark.Dict).Items() {
		member := field(t, item[1], "member") == starlark.True
		out[member] = append(out[member], text(item[0]))
	}
	return out
}

func TestIdentity(t *testing.T) {
	l := newLoader()
	base := ids(t, example.plan(t, l))
	if len(base[false]) != 78 {
		t.Errorf("%d third-party units, want 78: one each for what build and tests need", len(base[false]))
	}
	t.Run("the place of the workspace", func(t *testing.T) {
		// The root stays /w/sub in the input root; the ids in cargo's output change.
		moved := example.planAt(t, l, "/w/sub", "/w/", "/w/sub/", `"/w"`, `"/w/sub"`)
		if got := ids(t, moved); !maps.EqualFunc(got, base, slices.Equal[[]string]) {
			t.Error("identities depend on where the workspace stands")
		}
	})
	t.Run("the version of the members", func(t *testing.T) {
		got := ids(t, example.plan(t, l, "@0.3.0", "@0.4.0", "#0.3.0", "#0.4.0", `"version":"0.3.0"`, `"version":"0.4.0"`))
		if !slices.Equal(got[false], base[false]) {
			t.Error("a member's version changes dependencies")
		}
		if slices.Equal(got[true], base[true]) {
			t.Error("a member's version changes no member")
		}
	})
	t.Run("one leaf crate", func(t *testing.T) {
		got := ids(t, example.plan(t, l, "#itoa@", "#itoa@9."))
		changed := 0
		for _, id := range base[false] {
			if !slices.Contains(got[false], id) {
				changed++
			}
		}
		// itoa itself and serde_json, in the forms of the build and of the tests.
		if changed != 3 {
			t.Errorf("%d third-party units changed, want 3", changed)
		}
	})
}

func BenchmarkPlanUnits(b *testing.B) {
	l := newLoader()
	for b.Loop() {
		example.plan(b, l)
	}
}
