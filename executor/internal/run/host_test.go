package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

func TestRunOnHost(t *testing.T) {
	w := newWorld(t)
	b := w.shell("cat src/a > bin/out; pwd >&2", map[string]string{"/w/src/a": "alpha"}, "/w/bin/out")
	b.NoSandbox = true
	res := w.run(b)
	if !res.OK(b) || res.Runner != run.HostRunner || w.text(res.Outputs["/w/bin/out"].File) != "alpha" {
		t.Errorf("%+v %s", res, res.StderrBytes)
	}
	b = w.shell("sleep 60 & sleep 60", nil)
	b.NoSandbox, b.Timeout = true, 50*time.Millisecond
	if res := w.run(b); !res.TimedOut || res.Wall > 5*time.Second {
		t.Errorf("timeout: %+v", res)
	}
	b = w.shell("true", nil, "/out/x")
	b.NoSandbox = true
	if res := w.run(b); !strings.Contains(run.Judge(b, res), "/out/x") {
		t.Errorf("an output outside: %+v", res)
	}
}

// Paths of the root in words and variables become those of the copy, and nothing
// else that looks like one.
func TestHostPaths(t *testing.T) {
	w := newWorld(t)
	b := w.shell(`cat "$1"; echo; for v in "$@" "$PLAIN" "$LIST"; do echo "$v"; done; pwd`, map[string]string{"/w/src/a": "alpha"})
	b.NoSandbox = true
	b.Argv = append(b.Argv, "sh", "/w/src/a", "--file=/w/src/a", "/w", "/www/w/x", "a/w/b", "x=/w:/w/bin:/usr/w")
	b.Env = map[string]string{"PLAIN": "/w/src", "LIST": "/bin:/w/bin:/usr/bin", "PATH": os.Getenv("PATH")}
	res := w.run(b)
	lines := strings.Split(strings.TrimSpace(string(res.StdoutBytes)), "\n")
	root := strings.TrimSpace(lines[len(lines)-1])
	want := []string{"alpha", root + "/src/a", "--file=" + root + "/src/a", root, "/www/w/x", "a/w/b", "x=" + root + ":" + root + "/bin:/usr/w",
		root + "/src", "/bin:" + root + "/bin:/usr/bin", root}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") || !strings.HasSuffix(root, "/w") {
		t.Errorf("got\n%s\nwant\n%s\n%s", got, strings.Join(want, "\n"), res.StderrBytes)
	}
}

// running lists the processes whose command line has the given text.
func running(t *testing.T, text string) (ids []string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && bytes.Contains(b, []byte(text)) && !bytes.Contains(b, []byte("sh\x00-c")) {
			ids = append(ids, n)
		}
	}
	return ids
}

func gone(t *testing.T, text string) {
	t.Helper()
	for begin := time.Now(); len(running(t, text)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("still running: %v", running(t, text))
		}
	}
}

// leaves starts children of all kinds that outlive a plain kill of its process.
func leaves(seconds string) string {
	s := "sleep " + seconds
	return s + " & setsid " + s + " & (setsid sh -c '" + s + " & " + s + " &' &) ; nohup " + s + " >/dev/null 2>&1 & "
}

// What an action on the host started ends with it, with its time, with its
// command, and with this process.
func TestHostLeavesNothing(t *testing.T) {
	w := newWorld(t)
	unique := fmt.Sprintf("%d.125", 100000+os.Getpid())
	for name, script := range map[string]string{"ends": "sleep 0.2", "times out": "sleep 60", "is cancelled": "sleep 60"} {
		b := w.shell(leaves(unique)+script, nil)
		b.NoSandbox = true
		ctx, cancel := context.WithCancel(t.Context())
		switch name {
		case "times out":
			b.Timeout = 300 * time.Millisecond
		case "is cancelled":
			time.AfterFunc(300*time.Millisecond, cancel)
		}
		res, err := w.local.Run(ctx, b, run.Hints{})
		cancel()
		if name == "is cancelled" != errors.Is(err, context.Canceled) || name == "times out" != res.TimedOut {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
		gone(t, unique)
	}

	// A process of ours that is killed while such an action runs.
	if os.Getenv("GORULES_TEST_HOST_VICTIM") != "" {
		t.Fatal("not reached: the victim's test is another")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHostVictim$")
	cmd.Env = append(os.Environ(), "GORULES_TEST_HOST_VICTIM="+unique)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); len(running(t, unique)) < 5; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("running: %v", running(t, unique))
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	gone(t, unique)
}

// TestHostVictim is what TestHostLeavesNothing kills.
func TestHostVictim(t *testing.T) {
	unique := os.Getenv("GORULES_TEST_HOST_VICTIM")
	if unique == "" {
		return // nothing to do for nobody
	}
	w := newWorld(t)
	b := w.shell(leaves(unique)+"sleep 60", nil)
	b.NoSandbox = true
	w.run(b)
}

func TestHostNotStarted(t *testing.T) {
	w := newWorld(t)
	b := runtest.Bound([]string{"/no/such/program"}, tree.Empty)
	b.NoSandbox = true
	if res := w.run(b); !strings.Contains(res.NotStarted, "cannot run /no/such/program") || res.ExitCode != 127 {
		t.Errorf("%+v", res)
	}
	b = w.shell("kill -9 $$", nil)
	b.NoSandbox, b.AnyExit = true, true
	if res := w.run(b); res.Signal != 9 || res.ExitCode != 137 || run.Cacheable(b, res) {
		t.Errorf("%+v", res)
	}
}
