package main_test

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The crate that TestBump brings to another version, and the versions.
const bumped, bumpedFrom, bumpedTo = "fastrand", "2.5.0", "2.3.0"

// Another version of one leaf crate in Cargo.lock: planning, that crate and
// what depends on it run, as cargo's own graph has it, and nothing else.
func TestBump(t *testing.T) {
	g := warm(t)
	dir := t.TempDir()
	space, home, logFile := filepath.Join(dir, "space"), filepath.Join(dir, "home"), filepath.Join(dir, "log.json")
	t.Cleanup(func() { removeAll(t, home) })
	if err := copyExample(space); err != nil {
		t.Fatal(err)
	}
	gate := func() {
		t.Helper()
		if out, err := runGorules(space, realEnv(home), "", "test", "//...", "--disk_cache="+g.Disk, "--execution_log_json_file="+logFile); err != nil {
			t.Fatalf("gorules test //...: %v\n%s", err, out)
		}
	}
	gate()
	noneRan(t, g, logFile)

	update := exec.Command("cargo", "update", "--package", bumped+"@"+bumpedFrom, "--precise", bumpedTo)
	update.Dir = space
	if out, err := update.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "did not match any packages") {
			t.Fatalf("the example's Cargo.lock has no %s %s any more: name another leaf crate", bumped, bumpedFrom)
		}
		t.Skipf("cargo cannot fetch another version of %s here: %v\n%s", bumped, err, out)
	}
	gate()
	log, err := readLog(logFile)
	if err != nil {
		t.Fatal(err)
	}

	want, got := closure(t, space, bumped), make(map[string]int)
	for _, s := range log.ran() {
		switch {
		case s.Mnemonic == "CargoUnitGraph":
		case s.TargetLabel != "//:deps" && s.thirdParty():
			t.Errorf("ran, and is not of //:deps: %s of %s", s, s.pkg())
		case s.thirdParty():
			got[unitName(s)]++
		case s.Mnemonic == "Rustc" && !strings.Contains(s.String(), "instrumented"):
			got[memberName(s)]++
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("compiled or run (-), and what depends on %s (+):\n%s", bumped, diffCounts(got, want))
	}
	if log.count("CargoUnitGraph", false) == 0 {
		t.Error("no planning ran")
	}
	if log.count("TestRunner", false) == 0 {
		t.Error("no test ran, though tests depend on the crate")
	}

	out, err := runGorules(space, realEnv(home), "", "why", "//:deps", "--disk_cache="+g.Disk)
	if err != nil {
		t.Fatalf("gorules why //:deps: %v\n%s", err, out)
	}
	if !strings.Contains(out, "Compiling "+bumped+" v"+bumpedTo) {
		t.Errorf("gorules why //:deps does not name the crate:\n%s", out)
	}
}

// closure counts by name the units of the gate that depend on a package, and
// those of the package. Members' units are marked where they are test harnesses.
func closure(t *testing.T, dir, pkg string) map[string]int {
	t.Helper()
	seen := make(map[string]bool)
	counts := make(map[string]int)
	for _, command := range graphCommands {
		units := unitGraph(t, dir, command...)
		ids := unitIdentities(t, units)
		reaches := make([]int, len(units)) // 0: not known, 1: no, 2: yes
		var reach func(i int) bool
		reach = func(i int) bool {
			if reaches[i] == 0 {
				reaches[i] = 1
				if strings.HasPrefix(units[i].pkg(), pkg+"-") {
					reaches[i] = 2
				}
				for _, d := range units[i].Dependencies {
					if reach(d.Index) {
						reaches[i] = 2
					}
				}
			}
			return reaches[i] == 2
		}
		for i, u := range units {
			if u.Mode == "doctest" || !reach(i) || seen[ids[i]] {
				continue
			}
			seen[ids[i]] = true
			name := u.String()
			if !u.third() {
				name = memberUnit(strings.ReplaceAll(u.Target.Name, "-", "_"), u.Mode == "test")
			}
			counts[name]++
		}
	}
	return counts
}

func memberName(s spawn) string {
	return memberUnit(s.after("--crate-name"), strings.Contains(s.String(), "--test"))
}

func memberUnit(crate string, harness bool) string {
	return fmt.Sprintf("member %s test=%v", crate, harness)
}
