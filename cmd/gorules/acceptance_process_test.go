package main_test

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the log says ran is what a tracer outside saw executed: on a cold run, on
// one with nothing to do, and after an edit.
func TestProcessesAreTheLogs(t *testing.T) {
	g := warm(t)
	t.Run("cold", func(t *testing.T) {
		trace, err := readTrace(g.Trace)
		if err != nil {
			t.Fatal(err)
		}
		compareTrace(t, trace, gateLog(t, g))
	})

	dir := t.TempDir()
	space, home := filepath.Join(dir, "space"), filepath.Join(dir, "home")
	t.Cleanup(func() { removeAll(t, home) })
	if err := copyExample(space); err != nil {
		t.Fatal(err)
	}
	gorules := func(t *testing.T, name string) ([]execed, execLog) {
		t.Helper()
		trace, logFile := filepath.Join(dir, name+".trace"), filepath.Join(dir, name+".json")
		if out, err := runGorules(space, realEnv(home), trace, "test", "//...", "--disk_cache="+g.Disk, "--execution_log_json_file="+logFile); err != nil {
			t.Fatalf("gorules test //...: %v\n%s", err, out)
		}
		seen, err := readTrace(trace)
		if err != nil {
			t.Fatal(err)
		}
		log, err := readLog(logFile)
		if err != nil {
			t.Fatal(err)
		}
		return seen, log
	}
	gorules(t, "first")
	t.Run("no-op", func(t *testing.T) {
		trace, log := gorules(t, "noop")
		compareTrace(t, trace, log)
		if len(trace) != 1 {
			t.Errorf("%d programs were executed, want gorules alone: %v", len(trace), trace)
		}
	})
	t.Run("edited", func(t *testing.T) {
		if err := editFile(filepath.Join(space, "crates/hello/src/main.rs"), "\nfn main", "\n// Traced.\nfn main"); err != nil {
			t.Fatal(err)
		}
		trace, log := gorules(t, "edited")
		compareTrace(t, trace, log)
		if log.count("Rustc", false) == 0 {
			t.Error("no Rustc ran after an edit")
		}
	})
}

// compareTrace wants the actions that ran to be the programs that the sandbox
// executed, argument by argument, and every rustc to be such an action or the
// child of one that may start rustc itself.
func compareTrace(t *testing.T, trace []execed, log execLog) {
	t.Helper()
	inSandbox := func(e execed) bool { return e.By >= 0 && trace[e.By].Argv[0] == "gorules-sandbox" }
	got, want := make(map[string]int), make(map[string]int)
	mnemonics := make(map[string]string)
	for _, s := range log.ran() {
		line := strings.Join(s.CommandArgs, " ")
		want[line]++
		mnemonics[line] = s.Mnemonic
	}
	compilers := make(map[string]int)
	for _, e := range trace {
		if inSandbox(e) {
			got[strings.Join(e.Argv, " ")]++
		}
		if path.Base(e.Argv[0]) != "rustc" {
			continue
		}
		// The action that this process belongs to.
		action := e
		for !inSandbox(action) && action.By >= 0 {
			action = trace[action.By]
		}
		if !inSandbox(action) {
			// The toolchain's repository asks the host's rustc for its version, and
			// `cargo fetch` its rustc for what it knows, with nothing to compile.
			asked := slices.Contains(e.Argv, "-vV") || len(e.Argv) > 4 && slices.Equal(e.Argv[1:5], []string{"-", "--crate-name", "___", "--print=file-names"})
			if strings.HasPrefix(e.Argv[0], "/rust/") || !asked {
				t.Errorf("a rustc outside of the sandbox: %q", e.Argv)
			}
			continue
		}
		mnemonic := mnemonics[strings.Join(action.Argv, " ")]
		if inSandbox(e) {
			compilers[mnemonic]++
			continue
		}
		compilers["started by "+mnemonic]++
		switch mnemonic {
		case "CargoBuildScriptRun": // probes of the compiler
		case "CargoUnitGraph": // cargo asks for its version and cfgs
		case "TestRunner": // rustdoc compiles doctests
		default:
			t.Errorf("a rustc that no action accounts for, started by %q: %q", action.Argv, e.Argv)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("what the sandbox executed (-), and the log's actions (+):\n%s", diffCounts(got, want))
	}
	// rustc is also an action of planning: `rustc --print cfg`.
	if got, want := compilers["Rustc"], log.count("Rustc", false); got != want {
		t.Errorf("%d rustc processes, the log has %d Rustc", got, want)
	}
	t.Logf("%d programs executed; %d actions; rustc processes: %v", len(trace), len(log.ran()), compilers)
}
