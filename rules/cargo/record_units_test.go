package cargo_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// assignUnits finds out which unit of the graph each call is of, and sorts the
// calls by it. cargo does not say: a call is compared with what the graph says
// of a unit, and where that leaves several (a crate that is compiled for the
// host and the target alike), by what it depends on and what depends on it.
func assignUnits(calls []call, metadata, graph []byte) error {
	a := assignment{calls: calls}
	if err := a.read(metadata, graph); err != nil {
		return err
	}
	a.link()
	for i := range calls {
		if len(a.may[i]) == 0 {
			return fmt.Errorf("no unit of the graph is %s", calls[i].who())
		}
	}
	for a.narrow() {
	}
	for i := range calls {
		if len(a.may[i]) != 1 {
			return fmt.Errorf("%d units of the graph may be %s", len(a.may[i]), calls[i].who())
		}
		calls[i].Unit = a.may[i][0]
	}
	slices.SortFunc(calls, func(a, b call) int { return a.Unit - b.Unit })
	for i := 1; i < len(calls); i++ {
		if calls[i].Unit == calls[i-1].Unit {
			return fmt.Errorf("two calls are of one unit: %s, %s", calls[i-1].who(), calls[i].who())
		}
	}
	return nil
}

func (c call) who() string {
	return fmt.Sprintf("%s of %s %s: %q", c.Kind, c.Env["CARGO_PKG_NAME"], c.Env["CARGO_PKG_VERSION"], c.Argv)
}

// An assignment is under way: may holds the units that each call may still be of.
type assignment struct {
	calls  []call
	units  []unit
	needed map[int]bool // units that another depends on
	may    [][]int
	needs  [][]int // the calls whose outputs a call is given
}

// A unit is what is looked at of a unit in cargo's graph.
type unit struct {
	Package string `json:"pkg_id"`
	Target  struct {
		Name   string
		Kind   []string
		Source string `json:"src_path"`
	}
	Profile struct {
		OptLevel  string `json:"opt_level"`
		Panic     string
		DebugInfo any
	}
	Mode         string
	Features     []string
	Dependencies []struct{ Index int }
	name         string // the package's, with its version
}

func (a *assignment) read(metadata, graph []byte) error {
	var packages struct {
		Packages []struct{ ID, Name, Version string }
	}
	var units struct{ Units []unit }
	if err := json.Unmarshal(metadata, &packages); err != nil {
		return fmt.Errorf("cargo metadata: %w", err)
	}
	if err := json.Unmarshal(graph, &units); err != nil {
		return fmt.Errorf("cargo's unit graph: %w", err)
	}
	names := map[string]string{}
	for _, p := range packages.Packages {
		names[p.ID] = p.Name + " " + p.Version
	}
	a.units, a.needed = units.Units, map[int]bool{}
	for i, u := range a.units {
		a.units[i].name = names[u.Package]
		for _, d := range u.Dependencies {
			a.needed[d.Index] = true
		}
	}
	for _, c := range a.calls {
		var may []int
		for i, u := range a.units {
			if u.is(c) && !(c.test() && a.needed[i]) { // nothing uses what has a test harness
				may = append(may, i)
			}
		}
		a.may = append(a.may, may)
	}
	return nil
}

func (c call) test() bool { return c.Kind == "rustc" && slices.Contains(c.Argv, "--test") }

// is reports whether nothing that the graph says of u contradicts c.
func (u unit) is(c call) bool {
	if u.name != c.Env["CARGO_PKG_NAME"]+" "+c.Env["CARGO_PKG_VERSION"] {
		return false
	}
	switch c.Kind {
	case "build-script":
		return u.Mode == "run-custom-build" && u.Profile.OptLevel == c.Env["OPT_LEVEL"]
	case "rustdoc":
		return u.Mode == "doctest"
	}
	modes := []string{"check"} // of both forms of a library
	if slices.ContainsFunc(c.Argv, func(w string) bool { return strings.HasPrefix(w, "--emit=") && strings.Contains(w, "link") }) {
		modes = []string{"build"}
		if c.test() {
			modes = []string{"test"}
		}
	}
	source := slices.ContainsFunc(c.Argv, func(w string) bool {
		return strings.HasSuffix(w, ".rs") && strings.HasSuffix(u.Target.Source, strings.TrimPrefix(w, "{VENDOR}"))
	})
	features := map[string]bool{}
	level, unwinding, info := "0", "unwind", "0"
	for i, w := range c.Argv[1:] {
		switch c.Argv[i] {
		case "--cfg":
			if name, ok := strings.CutPrefix(w, "feature="); ok {
				features[strings.Trim(name, `"`)] = true
			}
		case "-C":
			name, value, _ := strings.Cut(w, "=")
			switch name {
			case "opt-level":
				level = value
			case "panic":
				unwinding = value
			case "debuginfo":
				info = value
			}
		}
	}
	all := len(features) == len(u.Features)
	for _, f := range u.Features {
		all = all && features[f]
	}
	return all && source && slices.Contains(modes, u.Mode) && strings.ReplaceAll(u.Target.Name, "-", "_") == after(c.Argv, "--crate-name") &&
		u.Profile.OptLevel == level && u.Profile.Panic == unwinding && u.debugInfo() == info
}

// debugInfo is the profile's as rustc is told.
func (u unit) debugInfo() string {
	switch d := u.Profile.DebugInfo.(type) {
	case string:
		return d
	case float64:
		return strconv.Itoa(int(d))
	}
	return "0"
}

var externFile = regexp.MustCompile(`-([0-9a-f]{16})\.(rlib|rmeta|so)$`)

// link fills needs in.
func (a *assignment) link() {
	compiled, ran := map[string]int{}, map[string]int{}
	for i, c := range a.calls {
		if h := hashOf(c.Argv); h != "" {
			compiled[h] = i
		}
		if c.Kind == "build-script" {
			ran[c.Env["OUT_DIR"]] = i
		}
	}
	for _, c := range a.calls {
		var needs []int
		need := func(calls map[string]int, key string) {
			if i, ok := calls[key]; ok {
				needs = append(needs, i)
			}
		}
		if c.Kind == "build-script" {
			if m := hashed.FindStringSubmatch(c.Argv[0]); m != nil {
				need(compiled, m[1])
			}
		} else {
			need(ran, c.Env["OUT_DIR"])
			for i, w := range c.Argv[1:] {
				if m := externFile.FindStringSubmatch(w); m != nil && c.Argv[i] == "--extern" {
					need(compiled, m[1])
				}
			}
		}
		a.needs = append(a.needs, needs)
	}
}

// narrow strikes units that cannot be, and reports whether there were any. Where
// none is left to strike and calls are still of several, they are the two forms
// of a library that is checked, which cargo prints alike: the second is the one
// with the test harness (_mark_tests of graph.bzl).
func (a *assignment) narrow() bool {
	changed := false
	keep := func(i int, ok func(u int) bool) {
		n := len(a.may[i])
		a.may[i] = slices.DeleteFunc(a.may[i], func(u int) bool { return !ok(u) })
		changed = changed || len(a.may[i]) < n
	}
	needs := func(u, dep int) bool {
		return slices.ContainsFunc(a.units[u].Dependencies, func(d struct{ Index int }) bool { return d.Index == dep })
	}
	for i := range a.calls {
		if len(a.may[i]) == 1 {
			for j := range a.calls {
				if j != i {
					keep(j, func(u int) bool { return u != a.may[i][0] })
				}
			}
		}
		for _, n := range a.needs[i] {
			keep(i, func(u int) bool { return slices.ContainsFunc(a.may[n], func(dep int) bool { return needs(u, dep) }) })
			keep(n, func(dep int) bool { return slices.ContainsFunc(a.may[i], func(u int) bool { return needs(u, dep) }) })
		}
	}
	if changed {
		return true
	}
	for i, c := range a.calls {
		if len(a.may[i]) == 2 && a.units[a.may[i][0]].Mode == "check" {
			first, second := a.may[i][0], a.may[i][1]
			keep(i, func(u int) bool { return u == second == c.test() && (u == first || u == second) })
			return true
		}
	}
	return false
}

// TestUnitsAreFound takes the units away from recorded calls and finds them again.
func TestUnitsAreFound(t *testing.T) {
	for _, w := range []workspace{example, variant} {
		for _, g := range w.graphs {
			want := recorded(t, w.name+"-calls-"+g+".json")
			slices.SortFunc(want, func(a, b call) int { return a.Unit - b.Unit })
			calls := slices.Clone(want)
			slices.Reverse(calls)
			for i := range calls {
				calls[i].Unit = -1
			}
			if err := assignUnits(calls, fixture(t, w.name+"-metadata.json"), fixture(t, w.name+"-graph-"+g+".json")); err != nil {
				t.Errorf("%s: cargo %s: %v", w.name, g, err)
				continue
			}
			for i, c := range calls {
				if c.Unit != want[i].Unit || c.who() != want[i].who() {
					t.Errorf("%s: cargo %s: unit %d is taken for %s", w.name, g, c.Unit, want[i].who())
				}
			}
		}
	}
}
