//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// TestMain also serves as the command of most tests: this executable is shown
// to the action as /probe, and its first argument names what to try.
func TestMain(m *testing.M) {
	sandbox.Main()
	if os.Args[0] == "/probe" {
		f := probes[os.Args[1]]
		if f == nil {
			fmt.Println("no such probe")
			os.Exit(99)
		}
		fmt.Print(f(os.Args[2:]))
		// os.Exit sleeps for a second in a race build.
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	if os.Getenv("SANDBOX_TEST_PARENT") != "" {
		parentMain()
		return
	}
	os.Exit(m.Run())
}

// hostMounts shows the host's programs and libraries, enough for /bin/sh and
// a dynamically linked test binary.
func hostMounts() []sandbox.Mount {
	var ms []sandbox.Mount
	for _, d := range []string{"/bin", "/lib", "/lib64", "/usr"} {
		if _, err := os.Stat(d); err == nil {
			ms = append(ms, sandbox.Mount{Target: d, Source: d, Kind: sandbox.BindRO})
		}
	}
	return ms
}

// newPool skips the test where the host refuses namespaces.
func newPool(t testing.TB, n int, opts sandbox.Options) *sandbox.Pool {
	t.Helper()
	if _, err := sandbox.Probe(context.Background()); err != nil {
		t.Skipf("this host refuses the sandbox: %v", err)
	}
	p := sandbox.NewPool(n, opts)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func shell(script string) *sandbox.Process {
	return &sandbox.Process{Mounts: hostMounts(), Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func probe(args ...string) *sandbox.Process {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	p := &sandbox.Process{Mounts: hostMounts(), Argv: append([]string{"/probe"}, args...)}
	p.Mounts = append(p.Mounts, sandbox.Mount{Target: "/probe", Source: exe, Kind: sandbox.BindRO})
	return p
}

// run returns the result and what the action wrote.
func run(t testing.TB, p *sandbox.Pool, plan *sandbox.Process) (sandbox.Result, string) {
	t.Helper()
	var out bytes.Buffer
	plan.Stdout, plan.Stderr = &out, &out
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res, err := p.Run(ctx, plan)
	if err != nil {
		t.Fatalf("Run(%q): %v\n%s", plan.Argv, err, out.String())
	}
	return res, out.String()
}

// want runs plan and compares its output.
func want(t testing.TB, p *sandbox.Pool, plan *sandbox.Process, text string) {
	t.Helper()
	res, out := run(t, p, plan)
	if got := strings.TrimSpace(out); got != text {
		t.Errorf("%q: got %q (exit %d), want %q", plan.Argv, got, res.ExitCode, text)
	}
}
