package main_test

import (
	"context"
	"errors"
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
)

// TestMain lets scripts call `gorules`: the whole command line over the fake engine.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gorules": func() { os.Exit(fakeMain()) }})
}

func fakeMain() int {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	app := &cli.App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Dir: dir, Version: "1.2.3-test",
		Rules:     fstest.MapFS{"cargo/defs.bzl": {}, "cargo/repositories.bzl": {}},
		NewEngine: newFake,
		Exec: func(argv, env []string, dir string) error {
			if err := os.Chdir(dir); err != nil {
				return err
			}
			return syscall.Exec(argv[0], argv, env)
		},
	}
	return app.Main(context.Background(), os.Args[1:])
}

// TestScript runs testdata/script/*.txtar. Commands of their own:
//
//	code N gorules ARG...     runs and wants exit code N
//	interrupt N SIG FILE gorules ARG...   waits for FILE, sends N signals, keeps output
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("NO_COLOR", "")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a race build would otherwise take a second for each command
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o777)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":      code,
			"interrupt": interrupt,
			"lines":     lines,
		},
	})
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

// interrupt N FILE CODE COMMAND...: starts COMMAND, waits until FILE exists,
// sends N times SIGINT, and wants exit code CODE.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: interrupt N FILE CODE COMMAND ARG...")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[3])
	ts.Check(err)
	cmd := exec.Command(path, args[4:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[1])); err == nil {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			ts.Fatalf("%s did not appear: %s", args[1], out.String())
		}
	}
	for range n {
		ts.Check(cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(50 * time.Millisecond) // two equal pending signals would be one
	}
	got := strconv.Itoa(exitCode(ts, cmd.Wait()))
	ts.Logf("%s", out.String())
	if got != args[2] {
		ts.Fatalf("exit code %s, want %s", got, args[2])
	}
}

// lines N FILE: FILE has N lines.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines N FILE")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}
