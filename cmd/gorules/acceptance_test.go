package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestAcceptance runs testdata/acceptance/*.txtar: what must run again, and
// what must not, when the example's files and flags change. The scripts use the
// real engine and the real cargo, and share one disk cache that holds the
// example's whole gate, so that they compile only what they change. So a change
// whose actions are counted must be made by one test alone.
func TestAcceptance(t *testing.T) { runAcceptance(t, "acceptance", warm(t)) }

// example is the workspace that the acceptance tests build.
const example = "../../examples/cargo-hello"

// A gate is one run of `gorules test //...` on the example from empty caches,
// and what it left.
type gate struct {
	Dir   string // the folder of all of this; world-readable
	Disk  string // the --disk_cache it filled
	Space string // the copy of the example it ran in
	Home  string // its HOME and its XDG_CACHE_HOME
	Log   string // its execution log
	Trace string // what was executed meanwhile, as exectrace saw it
}

// env is the environment of a gorules of this gate.
func (g *gate) env() []string { return realEnv(g.Home) }

// sharedGate is the cold run that all acceptance tests of a process share.
var sharedGate = sync.OnceValues(func() (*gate, error) {
	dir, err := os.MkdirTemp("", "gorules-acceptance-")
	if err != nil {
		return nil, err
	}
	sharedDir = dir
	return coldGate(dir)
})

// sharedDir is sharedGate's folder, which cleaned removes.
var sharedDir string

// cleaned is a test run after which the shared gate is gone.
type cleaned struct{ testscript.TestingM }

func (c cleaned) Run() int {
	code := c.TestingM.Run()
	if sharedDir != "" {
		if err := removeTree(sharedDir); err != nil {
			fmt.Fprintln(os.Stderr, "remove the shared gate:", err)
			code = max(code, 1)
		}
	}
	return code
}

// warm is the shared gate. It skips the test where the host lacks what a gate needs.
func warm(t *testing.T) *gate {
	t.Helper()
	needGate(t)
	g, err := sharedGate()
	if err != nil {
		t.Fatalf("the gate from empty caches, which this test starts from: %v", err)
	}
	return g
}

// needGate skips the test where the example cannot be built.
func needGate(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: building the example takes a minute")
	}
	for _, tool := range []string{"cargo", "rustc", "cc", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this host has no %s, which building the example needs", tool)
		}
	}
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this host refuses user namespaces: %v %s", err, out)
	}
}

// coldGate runs the gate from empty caches below dir.
func coldGate(dir string) (*gate, error) {
	g := &gate{
		Dir: dir, Disk: filepath.Join(dir, "disk"), Space: filepath.Join(dir, "here"),
		Home: filepath.Join(dir, "home"), Log: filepath.Join(dir, "cold.json"), Trace: filepath.Join(dir, "cold.trace"),
	}
	if err := os.Chmod(dir, 0o755); err != nil { // another user reads the cache
		return nil, err
	}
	if err := errors.Join(os.Mkdir(g.Disk, 0o777), os.Chmod(g.Disk, 0o777)); err != nil { // and writes it
		return nil, err
	}
	if err := copyExample(g.Space); err != nil {
		return nil, err
	}
	if out, err := runGorules(g.Space, g.env(), g.Trace, "test", "//...", "--disk_cache="+g.Disk, "--execution_log_json_file="+g.Log); err != nil {
		return nil, fmt.Errorf("gorules test //...: %w\n%s", err, out)
	}
	return g, nil
}

// runGorules runs this test binary as gorules in folder dir and returns what it
// printed. With a trace, exectrace watches and writes there.
func runGorules(dir string, env []string, trace string, args ...string) (string, error) {
	argv := append([]string{"gorules"}, args...)
	if trace != "" {
		argv = append([]string{"exectrace", trace}, argv...)
	}
	path, err := exec.LookPath(argv[0]) // TestMain put it there
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// realEnv is a closed environment for a gorules over the real engine, whose
// home is home and which finds this user's toolchain and registry.
func realEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"RUSTUP_HOME=" + ofCargo("RUSTUP_HOME", ".rustup"), "CARGO_HOME=" + ofCargo("CARGO_HOME", ".cargo"),
		"TMPDIR=" + os.TempDir(), "NO_COLOR=1", "GORACE=atexit_sleep_ms=0", useEngine + "=real",
	}
}

// ofCargo is where this user's cargo or rustup keeps its files.
func ofCargo(variable, folder string) string {
	if dir := os.Getenv(variable); dir != "" {
		return dir
	}
	return filepath.Join(os.Getenv("HOME"), folder)
}

// copyExample copies the example without anything that a build left in it.
func copyExample(to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(example)); err != nil {
		return err
	}
	for _, left := range []string{"target", "gorules-bin", "gorules-testlogs", "gorules-out"} {
		if err := os.RemoveAll(filepath.Join(to, left)); err != nil {
			return err
		}
	}
	return nil
}

// runAcceptance runs testdata/dir/*.txtar over the real engine and cargo, with
// the commands of acceptanceCmds and `code`. HOME is empty but for a
// .gorulesrc that names g's disk cache; a later --disk_cache replaces it.
func runAcceptance(t *testing.T, dir string, g *gate) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(e *testscript.Env) error {
			home, err := os.MkdirTemp("", "gorules-home-")
			if err != nil {
				return err
			}
			e.Defer(func() { removeAll(t, home) })
			for _, v := range realEnv(home) {
				name, value, _ := strings.Cut(v, "=")
				e.Setenv(name, value)
			}
			e.Setenv("GATE", g.Dir)
			rc := fmt.Sprintf("build --disk_cache=%s\n", g.Disk)
			return os.WriteFile(filepath.Join(home, ".gorulesrc"), []byte(rc), 0o600)
		},
		Cmds: acceptanceCmds(),
	})
}
