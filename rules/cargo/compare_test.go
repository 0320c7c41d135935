package cargo_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// A call is one process that cargo or these rules start.
type call struct {
	Unit   int               `json:"unit"` // in cargo's unit graph
	Kind   string            `json:"kind"` // rustc, build-script, rustdoc
	Argv   []string          `json:"argv"`
	Cwd    string            `json:"cwd"`
	Env    map[string]string `json:"env"`
	Stdout string            `json:"stdout,omitempty"`
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
		"{WORKSPACE}", "/w", "{VENDOR}", "/vendor", "{TOOLCHAIN}", "/rust",
	).Replace(s)
	return hashed.ReplaceAllStringFunc(s, func(m string) string {
		if id, ok := c.hashes[m[1:]]; ok {
			return "-" + id
		}
		return m
	})
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
