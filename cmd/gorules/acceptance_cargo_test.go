package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// graphCommands are the graphs whose units the gate needs: what is shipped, and
// what is tested. Those of lints compile nothing but the members.
var graphCommands = [][]string{{"build"}, {"test", "--workspace"}}

// cargoUnits counts the third-party units of the workspace at dir by name, as
// cargo plans them: each once, however many of the graphs have it.
func cargoUnits(t *testing.T, dir string) map[string]int {
	t.Helper()
	seen := make(map[string]bool)
	counts := make(map[string]int)
	for _, command := range graphCommands {
		units := unitGraph(t, dir, command...)
		ids := unitIdentities(t, units)
		for i, u := range units {
			if u.third() && !seen[ids[i]] {
				seen[ids[i]] = true
				counts[u.String()]++
			}
		}
	}
	return counts
}

// unitGraph is cargo's own plan.
func unitGraph(t *testing.T, dir string, command ...string) []unit {
	t.Helper()
	cmd := exec.Command("cargo", append(slices.Clone(command), "--unit-graph", "-Zunstable-options", "--locked")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUSTC_BOOTSTRAP=1") // the option is unstable, what it prints is not what is tested
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cargo %s --unit-graph: %v\n%s", strings.Join(command, " "), err, &stderr)
	}
	var graph struct {
		Units []unit `json:"units"`
	}
	if err := json.Unmarshal(out, &graph); err != nil {
		t.Fatalf("cargo %s --unit-graph: %v", strings.Join(command, " "), err)
	}
	return graph.Units
}

// unitIdentities tells units apart by everything that goes into them, those
// they depend on included, and by no name of a profile.
func unitIdentities(t *testing.T, units []unit) []string {
	t.Helper()
	ids := make([]string, len(units))
	var identity func(i int) string
	identity = func(i int) string {
		if ids[i] != "" {
			return ids[i]
		}
		u := units[i]
		var profile map[string]any
		if err := json.Unmarshal(u.Profile, &profile); err != nil {
			t.Fatalf("unit %s: %v", u, err)
		}
		delete(profile, "name")
		var deps []string
		for _, d := range u.Dependencies {
			deps = append(deps, d.Name+"="+identity(d.Index))
		}
		slices.Sort(deps)
		platform := ""
		if u.Platform != nil {
			platform = *u.Platform
		}
		ids[i] = fmt.Sprintf("%q", []any{u.PkgID, u.Target, u.Mode, u.Features, profile, platform, deps})
		return ids[i]
	}
	for i := range units {
		identity(i)
	}
	return ids
}

// A unit is one of cargo's unit graph, with the fields that make it what it is.
type unit struct {
	PkgID        string          `json:"pkg_id"`
	Target       unitTarget      `json:"target"`
	Profile      json.RawMessage `json:"profile"`
	Platform     *string         `json:"platform"`
	Mode         string          `json:"mode"`
	Features     []string        `json:"features"`
	Dependencies []struct {
		Index int    `json:"index"`
		Name  string `json:"extern_crate_name"`
	} `json:"dependencies"`
}

type unitTarget struct {
	Kind []string `json:"kind"`
	Name string   `json:"name"`
}

// third says whether the unit is of a crate of a registry.
func (u unit) third() bool { return strings.HasPrefix(u.PkgID, "registry+") }

// pkg is "serde-1.0.0".
func (u unit) pkg() string {
	_, name, _ := strings.Cut(u.PkgID, "#")
	return strings.Replace(name, "@", "-", 1)
}

// String is as unitName.
func (u unit) String() string {
	name := strings.ReplaceAll(u.Target.Name, "-", "_")
	if u.Mode == "run-custom-build" {
		name = "run"
	}
	return u.pkg() + " " + name
}
