package main_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The gate compiles each third-party unit that cargo has, once, over deps,
// package, clippy, test and coverage; none of them with coverage counters.
func TestThirdPartyUnitsOnce(t *testing.T) {
	log := gateLog(t, warm(t))
	third := log.ran().where(spawn.thirdParty)

	for _, s := range third {
		if slices.Contains(s.CommandArgs, "instrument-coverage") {
			t.Errorf("instrumented: %s of %s", s, s.pkg())
		}
		if s.Mnemonic == "Clippy" || s.Mnemonic == "Rustfmt" {
			t.Errorf("linted: %s of %s", s, s.pkg())
		}
	}
	seen := make(map[string]spawn)
	ids := identities(third)
	for _, s := range third {
		if s.Mnemonic != "Rustc" {
			continue
		}
		id := ids[s.metadata()]
		if other, twice := seen[id]; twice {
			t.Errorf("one unit compiled twice: %s of %s (%s and %s)", s, s.pkg(), s.metadata(), other.metadata())
		}
		seen[id] = s
	}

	// Cargo's own count of them. The coverage tool's crates are not in its lock.
	want := cargoUnits(t, copyFor(t, "cargo"))
	got := make(map[string]int)
	for _, s := range third {
		if s.TargetLabel == "//:deps" && (s.Mnemonic == "Rustc" || s.Mnemonic == "CargoBuildScriptRun") {
			got[unitName(s)]++
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("third-party units compiled or run (-), and cargo's (+):\n%s", diffCounts(got, want))
	}
	if len(want) < 40 {
		t.Errorf("cargo names %d third-party units, want at least 40", len(want))
	}
}

// Asked for one after another, the targets come to the very actions of the one
// command, each once; what deps does no later one does.
func TestTargetsOneByOne(t *testing.T) {
	g := warm(t)
	dir := shareable(t)
	space, home, disk := filepath.Join(dir, "there"), filepath.Join(dir, "home"), filepath.Join(dir, "disk")
	if err := copyExample(space); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for i, command := range []string{"build //:deps", "build //:hello", "test //:clippy", "test //:test", "test //:fmt", "test //:coverage", "test //..."} {
		name := filepath.Join(dir, fmt.Sprintf("%d.json", i))
		args := append(strings.Fields(command), "--disk_cache="+disk, "--execution_log_json_file="+name)
		if out, err := runGorules(space, realEnv(home), "", args...); err != nil {
			t.Fatalf("gorules %s: %v\n%s", command, err, out)
		}
		log, err := readLog(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range log.ran() {
			got[actionName(s)]++
			if i > 0 && s.thirdParty() && s.TargetLabel == "//:deps" {
				t.Errorf("gorules %s: %s of %s ran, which //:deps should have left", command, s, s.pkg())
			}
		}
	}
	want := make(map[string]int)
	for _, s := range gateLog(t, g).ran() {
		want[actionName(s)]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("actions one by one (-), and of one command (+):\n%s", diffCounts(got, want))
	}
	sameTree(t, filepath.Join(g.Space, "gorules-bin"), filepath.Join(space, "gorules-bin"))
}

// actionName is an action and its key. Reading the raw counters that tests left
// has a key of its own each time: they tell in which order threads ran.
func actionName(s spawn) string {
	if s.Mnemonic == "CoverageReport" {
		return s.String()
	}
	return s.String() + " " + s.Digest.Hash
}

// The comparison that finds one unit compiled twice is not fooled by names.
func TestIdentities(t *testing.T) {
	rustc := func(hash, features, dep string) spawn {
		return spawn{Mnemonic: "Rustc", CommandArgs: []string{"rustc", "-C", "metadata=" + hash, "--cfg", features, "--extern", "dep=/unit/libdep-" + dep + ".rmeta"}}
	}
	const leaf, twin, other, above, aboveTwin, aboveOther = "1111111111111111", "2222222222222222", "3333333333333333", "4444444444444444", "5555555555555555", "6666666666666666"
	ids := identities(execLog{
		rustc(leaf, "std", "none"), rustc(twin, "std", "none"), rustc(other, "alloc", "none"),
		rustc(above, "std", leaf), rustc(aboveTwin, "std", twin), rustc(aboveOther, "std", other),
	})
	if ids[leaf] != ids[twin] || ids[above] != ids[aboveTwin] {
		t.Error("units that differ in nothing but hashes have two identities")
	}
	if ids[leaf] == ids[other] || ids[above] == ids[aboveOther] || ids[leaf] == ids[above] {
		t.Error("units that differ have one identity")
	}
}

func gateLog(t *testing.T, g *gate) execLog {
	t.Helper()
	log, err := readLog(g.Log)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// metadata is the hash that names the unit's files.
func (s spawn) metadata() string {
	for _, arg := range s.CommandArgs {
		if hash, ok := strings.CutPrefix(arg, "metadata="); ok {
			return hash
		}
	}
	return ""
}

var hashPattern = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// identities tells which rustc calls are the same but for the hash in their
// names: the whole command line of a unit and, in place of the hashes of
// others, theirs.
func identities(log execLog) map[string]string {
	byHash := make(map[string]spawn)
	for _, s := range log {
		if s.Mnemonic == "Rustc" {
			byHash[s.metadata()] = s
		}
	}
	ids := make(map[string]string)
	var identity func(hash string) string
	identity = func(hash string) string {
		if id, ok := ids[hash]; ok {
			return id
		}
		s, ok := byHash[hash]
		if !ok {
			return hash
		}
		ids[hash] = fmt.Sprintf("%q", hashPattern.ReplaceAllStringFunc(strings.Join(s.CommandArgs, "\x00"), func(h string) string {
			if h == hash {
				return "its own"
			}
			return identity(h)
		}))
		return ids[hash]
	}
	for hash := range byHash {
		identity(hash)
	}
	return ids
}

// unitName is "serde-1.0.0 serde", or "serde-1.0.0 run" of a build script's run.
func unitName(s spawn) string {
	name := s.after("--crate-name")
	if s.Mnemonic == "CargoBuildScriptRun" {
		name = "run"
	}
	return filepath.Base(s.pkg()) + " " + name
}

func diffCounts(got, want map[string]int) string {
	names := maps.Clone(got)
	maps.Copy(names, want)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if got[name] != want[name] {
			fmt.Fprintf(&b, "  -%d +%d %s\n", got[name], want[name], name)
		}
	}
	return b.String()
}
