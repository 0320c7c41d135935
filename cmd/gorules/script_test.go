package main_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gorules/cmd/gorules/internal/cli"
	"gorules/executor"
	"gorules/rules"
)

// useEngine is the variable that makes the scripts' gorules use the real engine.
const useEngine = "GORULES_TEST_ENGINE"

// TestMain lets scripts call `gorules`: the whole command line over the fake
// or the real engine.
func TestMain(m *testing.M) {
	executor.Main()
	testscript.Main(cleaned{m}, map[string]func(){
		"gorules":   func() { os.Exit(scriptMain()) },
		"exectrace": func() { os.Exit(traceMain()) },
	})
}

func scriptMain() int {
	dir, dirErr := os.Getwd()
	newEngine, files := newFake, fs.FS(fstest.MapFS{"cargo/defs.bzl": {}, "cargo/repositories.bzl": {}})
	if os.Getenv(useEngine) != "" {
		files = rules.FS
		newEngine = func(_ context.Context, o executor.Options) (cli.Engine, error) {
			e, err := executor.New(o)
			if err != nil {
				return nil, err
			}
			return e, nil
		}
	}
	app := &cli.App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Dir: dir, DirErr: dirErr, Version: "1.2.3-test",
		Rules:     files,
		NewEngine: newEngine,
		Exec: func(argv, env []string, dir string) error {
			if err := os.Chdir(dir); err != nil {
				return err
			}
			return syscall.Exec(argv[0], argv, env)
		},
	}
	return app.Main(context.Background(), os.Args[1:])
}

// TestScript runs testdata/script/*.txtar over the fake engine. Commands of
// their own:
//
//	code N COMMAND ARG...                  runs it and wants exit code N
//	interrupt N FILE CODE COMMAND ARG...   see the function
func TestScript(t *testing.T) { runScripts(t, "script", nil) }

// TestEngine runs testdata/engine/*.txtar over the real engine: what a user
// sees of a build, where no language is involved.
func TestEngine(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this host refuses user namespaces: %v %s", err, out)
	}
	runScripts(t, "engine", func(e *testscript.Env) {
		e.Setenv(useEngine, "real")
		e.Setenv("OLDHOME", os.Getenv("HOME")) // where rustup keeps its toolchains
		e.Setenv("XDG_CACHE_HOME", filepath.Join(e.Getenv("HOME"), "cache"))
	})
}

func runScripts(t *testing.T, dir string, more func(*testscript.Env)) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(e *testscript.Env) error {
			// Not below the work folder, which is the scripts' workspace.
			home, err := os.MkdirTemp("", "gorules-home-")
			if err != nil {
				return err
			}
			e.Defer(func() { removeAll(t, home) })
			e.Setenv("HOME", home)
			e.Setenv("NO_COLOR", "")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a race build would otherwise take a second for each command
			if more != nil {
				more(e)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" { // only root can make files of others
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":      code,
			"interrupt": interrupt,
		},
	})
}

// removeAll removes a cache, whose folders are read-only.
func removeAll(t *testing.T, dir string) {
	if err := removeTree(dir); err != nil {
		t.Errorf("remove the scripts' home: %v", err)
	}
}

func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

// interrupt N FILE[=TEXT] CODE COMMAND...: starts COMMAND, waits until FILE
// exists (and holds TEXT), sends N times SIGINT, and wants exit code CODE.
// With HUP in place of N it sends one SIGHUP.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: interrupt N FILE CODE COMMAND ARG...")
	}
	n, sig := 1, syscall.SIGHUP
	if args[0] != "HUP" {
		var err error
		n, err = strconv.Atoi(args[0])
		ts.Check(err)
		sig = syscall.SIGINT
	}
	path, err := exec.LookPath(args[3])
	ts.Check(err)
	cmd := exec.Command(path, args[4:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"),
		useEngine+"="+ts.Getenv(useEngine), "GORACE="+ts.Getenv("GORACE"))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		file, text, _ := strings.Cut(args[1], "=")
		if data, err := os.ReadFile(ts.MkAbs(file)); err == nil && strings.Contains(string(data), text) {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			ts.Fatalf("%s did not appear: %s", args[1], out.String())
		}
	}
	for range n {
		ts.Check(cmd.Process.Signal(sig))
		time.Sleep(50 * time.Millisecond) // two equal pending signals would be one
	}
	got := strconv.Itoa(exitCode(ts, cmd.Wait()))
	ts.Logf("%s", out.String())
	if got != args[2] {
		ts.Fatalf("exit code %s, want %s", got, args[2])
	}
}
