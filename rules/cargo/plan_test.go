package cargo_test

import (
	"maps"
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
	// panic = "abort", strip, split debuginfo and profile overrides:
	// testdata/variant.patch.
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

const lintedOnce = "proc macros are linted once"

func TestCallsAreCargos(t *testing.T) {
	used := map[string]int{}
	for _, tt := range []struct {
		workspace workspace
		graph     string
	}{
		{example, "build"},
		{example, "test"},
		{example, "check"},
		{variant, "build"},
		{variant, "test"},
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
				if !matched[text(item[1])] {
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
