//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// k, c and n are what looks have learned: kind; kind and content; kind and names.
const (
	k = sandbox.LookKind
	c = sandbox.LookKind | sandbox.LookContent
	n = sandbox.LookKind | sandbox.LookNames
)

// scopeFiles is what stands in the scope /s of each case.
var scopeFiles = map[string]string{
	"a": "one", "b": "two", "d/e": "deep", "d/f/g": "deeper", "l": "->d/e", "dl": "->d", "up": "->../s/a", "abs": "->/s/d/f",
	"loop": "->loop", "out": "->/tmp/x", "empty": "/", "run.sh": "#!/bin/sh\ncat /s/a\n", "cfg.sh": "#!/s/run.sh arg\n", "lost.sh": "#!/s/none\n",
	"crlf.sh": "#!/s/b\r\n", "tabs.sh": "#! \t/s/b\targ \n",
	"big": strings.Repeat("x", 70000),
}

// layScope makes files below a new folder.
func layScope(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for p, text := range scopeFiles {
		q := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(q), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		to, isLink := strings.CutPrefix(text, "->")
		switch {
		case isLink:
			err = os.Symlink(to, q)
		case text == "/":
			err = os.Mkdir(q, 0o755)
		default:
			err = os.WriteFile(q, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// observe runs plan with the scope /s and returns its looks as text, a line each.
func observe(t testing.TB, p *sandbox.Pool, plan *sandbox.Process, kind sandbox.MountKind) (looks map[string]sandbox.What, said string) {
	t.Helper()
	if !sandbox.CanObserve() {
		t.Skip("this host lets nothing be observed")
	}
	dir := layScope(t)
	m := sandbox.Mount{Target: "/s", Source: dir, Kind: kind}
	if kind == sandbox.Apart {
		m.Root = filepath.Dir(dir)
	}
	plan.Mounts = append(plan.Mounts, m)
	plan.Scopes = []string{"/s"}
	var out strings.Builder
	plan.Stdout, plan.Stderr = &out, &out
	res, err := p.Run(context.Background(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if res.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", res.ExitCode, out.String())
	}
	looks = map[string]sandbox.What{}
	last := ""
	for _, l := range res.Looks {
		if l.Path <= last {
			t.Errorf("%s after %s", l.Path, last)
		}
		last = l.Path
		looks[l.Path] = l.What
	}
	return looks, out.String()
}

func wantLooks(t *testing.T, got, want map[string]sandbox.What) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p]&want[p] != want[p] {
			t.Errorf("missed: %s is %03b, want %03b", p, got[p], want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if got[p]&^want[p] != 0 {
			t.Errorf("too much: %s is %03b, want %03b", p, got[p], want[p])
		}
	}
}

// TestObserveShell: what programs of the host look at, from a shell without builtins
// that would look for themselves.
func TestObserveShell(t *testing.T) {
	p := newPool(t, 2, sandbox.Options{})
	s := sandbox.What(k)
	for _, tt := range []struct {
		name, script string
		want         map[string]sandbox.What
		writes       bool
	}{
		{"nothing", "true", nil, false},
		{"read", "/bin/cat /s/a", map[string]sandbox.What{"/s": s, "/s/a": c}, false},
		{"read relative", "cd /s/d; /bin/cat ../a", map[string]sandbox.What{"/s": s, "/s/d": s, "/s/a": c}, false},
		{"through a link", "/bin/cat /s/l", map[string]sandbox.What{"/s": s, "/s/l": c, "/s/d": s, "/s/d/e": c}, false},
		{"through a linked folder", "/bin/cat /s/dl/e", map[string]sandbox.What{"/s": s, "/s/dl": c, "/s/d": s, "/s/d/e": c}, false},
		{"up from a linked folder", "/bin/cat /s/abs/../e", map[string]sandbox.What{"/s": s, "/s/abs": c, "/s/d": s, "/s/d/f": s, "/s/d/e": c}, false},
		{"a link that leaves", "/bin/cat /s/up", map[string]sandbox.What{"/s": s, "/s/up": c, "/s/a": c}, false},
		{"a link to nothing", "/bin/cat /s/out 2>/tmp/y || echo", map[string]sandbox.What{"/s": s, "/s/out": c}, false},
		{"a link to itself", "/bin/cat /s/loop 2>/tmp/y || echo", map[string]sandbox.What{"/s": s, "/s/loop": c}, false},
		{"from outside by a link", "ln -s /s/d /tmp/to; /bin/cat /tmp/to/e", map[string]sandbox.What{"/s": s, "/s/d": s, "/s/d/e": c}, false},
		{"stat", "test -e /s/a", map[string]sandbox.What{"/s": s, "/s/a": k}, false},
		{"absent", "test -e /s/none || test -e /s/a/b || test -e /s/none/deep || true", map[string]sandbox.What{"/s": s, "/s/none": k, "/s/a": k, "/s/a/b": k}, false},
		{"listed", "/bin/ls -U --color=never /s/d", map[string]sandbox.What{"/s": s, "/s/d": c | n}, false},
		{"listed by descriptor", "exec 3</s/d; /bin/ls -U /proc/self/fd/3/", map[string]sandbox.What{"/s": s, "/s/d": c | n}, false},
		{"readlink", "/bin/readlink /s/l", map[string]sandbox.What{"/s": s, "/s/l": c}, false},
		{"run", "/s/run.sh", map[string]sandbox.What{"/s": s, "/s/run.sh": c, "/s/a": c}, false},
		{"run by an interpreter in the scope", "/s/cfg.sh || true", map[string]sandbox.What{"/s": s, "/s/run.sh": c, "/s/cfg.sh": c, "/s/a": c}, false},
		{"through descriptors", "exec 3</s/a; /bin/cat <&3; /bin/cat /proc/self/fd/3 /dev/fd/3", map[string]sandbox.What{"/s": s, "/s/a": c}, false},
		{"through the cwd of another", "cd /s/d; sleep 1 & cd /; /bin/cat /proc/$!/cwd/e; kill $!", map[string]sandbox.What{"/s": s, "/s/d": s, "/s/d/e": c}, false},
		{"in the background", "(cd /s; /bin/cat b > /tmp/b) & wait", map[string]sandbox.What{"/s": s, "/s/b": c}, false},
		{"truncated", "echo x > /s/a; /bin/cat /s/a", map[string]sandbox.What{"/s": s, "/s/a": c}, true},
		{"only truncated", "echo x > /s/a", map[string]sandbox.What{"/s": s, "/s/a": k}, true},
		{"appended", "echo x >> /s/a", map[string]sandbox.What{"/s": s, "/s/a": c}, true},
		{"made", "echo x > /s/d/new; mkdir /s/dir; /bin/cat /s/d/new", map[string]sandbox.What{"/s": s, "/s/d": s, "/s/d/new": c, "/s/dir": k}, true},
		{"moved", "/bin/mv /s/a /s/c; /bin/cat /s/c", map[string]sandbox.What{"/s": s, "/s/a": c, "/s/c": c | n}, true},
		{"hard link", "/bin/ln /s/a /s/c; /bin/cat /s/c", map[string]sandbox.What{"/s": s, "/s/a": c, "/s/c": c}, true},
		{"own link", "/bin/ln -s d /s/mine; /bin/cat /s/mine/e", map[string]sandbox.What{"/s": s, "/s/mine": c, "/s/d": s, "/s/d/e": c}, true},
		{"a link in another's place", "/bin/rm /s/dl; /bin/ln -s d/f /s/dl; /bin/cat /s/dl/g", map[string]sandbox.What{"/s": s, "/s/dl": c | n, "/s/d": s, "/s/d/f": s, "/s/d/f/g": c}, true},
		{"removed folder", "/bin/rmdir /s/empty", map[string]sandbox.What{"/s": s, "/s/empty": n}, true},
		{"times and modes", "/bin/touch -c /s/a; /bin/chmod 700 /s/b", map[string]sandbox.What{"/s": s, "/s/a": k, "/s/b": k}, true},
	} {
		for _, kind := range []sandbox.MountKind{sandbox.BindRO, sandbox.Apart, sandbox.Overlay} {
			if tt.writes && kind != sandbox.Overlay {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tt.name, kind), func(t *testing.T) {
				got, _ := observe(t, p, shell(tt.script), kind)
				wantLooks(t, got, tt.want)
			})
		}
	}
}

func init() {
	// Stats of as many names below /s as args[0] says, none of which is there.
	probes["stat many"] = func(args []string) string {
		var st unix.Stat_t
		n := 0
		_, _ = fmt.Sscan(args[0], &n)
		for i := range n {
			_ = unix.Stat(fmt.Sprint("/s/none", i), &st)
		}
		return ""
	}
}

// TestObserveMany: looks come back whole and soon however many there are.
func TestObserveMany(t *testing.T) {
	const many = 30000
	got, _ := observe(t, newPool(t, 1, sandbox.Options{}), probe("stat many", fmt.Sprint(many)), sandbox.Apart)
	if len(got) != 1+many || got["/s/none0"] != k || got[fmt.Sprint("/s/none", many-1)] != k {
		t.Errorf("%d looks", len(got))
	}
	if n, full := sandbox.NoteLooks(sandbox.MaxLooks); n != sandbox.MaxLooks || full {
		t.Errorf("of the most that may be looked at there are %d; full: %v", n, full)
	}
	if n, full := sandbox.NoteLooks(sandbox.MaxLooks + 1); n != sandbox.MaxLooks || !full {
		t.Errorf("of one more there are %d; full: %v", n, full)
	}
}

// TestObserveSame: a program ends and says the same when it is observed.
func TestObserveSame(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	dir := layScope(t)
	for _, script := range []string{
		"cat /s/a /s/none; ls -l /s/d; exit 3", "cd /s/d; for i in 1 2 3; do cat e ../b & wait; done; readlink /s/l", "/s/run.sh; /s/lost.sh", "kill -9 $$", "exec /s/none",
	} {
		var said [2]string
		var ended [2]sandbox.Result
		for i, scopes := range [][]string{nil, {"/s"}} {
			plan := shell(script)
			plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/s", Source: dir, Kind: sandbox.BindRO})
			plan.Scopes = scopes
			ended[i], said[i] = run(t, p, plan)
		}
		if said[0] != said[1] || ended[0].ExitCode != ended[1].ExitCode || ended[0].Signal != ended[1].Signal {
			t.Errorf("%s: exit code %d and %q, observed %d and %q", script, ended[0].ExitCode, said[0], ended[1].ExitCode, said[1])
		}
		if ended[0].Looks != nil || len(ended[1].Looks) == 0 && script != "kill -9 $$" {
			t.Errorf("%s: looks %v, observed %v", script, ended[0].Looks, ended[1].Looks)
		}
	}
}

// TestObserverDies: without the observer nothing is a result.
func TestObserverDies(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	before := children(t, syscall.Getpid())
	plan := shell("i=0; while :; do test -e /tmp/x && i=1; done")
	plan.Scopes = []string{"/usr"}
	ended := make(chan error, 1)
	go func() {
		res, err := p.Run(context.Background(), plan)
		if err == nil {
			err = fmt.Errorf("none, but the result %+v", res)
		} else {
			err = nil
		}
		ended <- err
	}()
	var helper []int
	for end := time.Now().Add(10 * time.Second); len(helper) == 0 || len(descendants(t, helper[0])) < 2; time.Sleep(5 * time.Millisecond) {
		helper = slices.DeleteFunc(children(t, syscall.Getpid()), func(pid int) bool { return slices.Contains(before, pid) })
		if time.Now().After(end) {
			t.Fatalf("no action below %v", helper)
		}
	}
	if err := syscall.Kill(helper[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("error %v", err)
	}
	want(t, p, shell("echo ok"), "ok")
}
