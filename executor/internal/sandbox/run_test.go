//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/sandbox"
)

func TestResult(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{Grace: 200 * time.Millisecond})
	for _, c := range []struct {
		name, script string
		code         int
		sig          syscall.Signal
		out          string
	}{
		{"ok", "echo hi", 0, 0, "hi\n"},
		{"exit 3", "exit 3", 3, 0, ""},
		{"stderr in order", "echo a; echo b >&2; echo c", 0, 0, "a\nb\nc\n"},
		{"abort", "kill -ABRT $$", 134, syscall.SIGABRT, ""},
		{"segv", "kill -SEGV $$", 139, syscall.SIGSEGV, ""},
		{"kill", "kill -KILL $$", 137, syscall.SIGKILL, ""},
		{"orphans die", "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1000' &) ; echo done", 0, 0, "done\n"},
		{"reaped orphan is not the result", "(sh -c 'exit 9' &) ; sleep 0.1; exit 4", 4, 0, ""},
		{"stdin is empty", "cat", 0, 0, ""},
		{"redirection to stdout", "echo x >/dev/stdout; echo y >/dev/stderr", 0, 0, "x\ny\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			res, out := run(t, p, shell(c.script))
			if res.ExitCode != c.code || res.Signal != c.sig || out != c.out || res.TimedOut {
				t.Errorf("got %+v %q", res, out)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			if res.Wall <= 0 || res.MaxRSS <= 0 {
				t.Errorf("no measurements: %+v", res)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{Grace: 200 * time.Millisecond})
	for _, c := range []struct {
		name, script, out string
		min               time.Duration
	}{
		{"ends on SIGTERM", "trap 'echo bye; exit 7' TERM; sleep 1000 & wait", "bye\n", 0},
		{"ignores SIGTERM, pipe held by grandchildren", "trap '' TERM; setsid sleep 1000 & sleep 1000", "", 200 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := shell(c.script)
			plan.Timeout = 200 * time.Millisecond
			start := time.Now()
			res, out := run(t, p, plan)
			d := time.Since(start)
			if !res.TimedOut || res.OK() || out != c.out {
				t.Errorf("got %+v %q", res, out)
			}
			if d < 200*time.Millisecond+c.min || d > 3*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
	// The slot is as good as new.
	want(t, p, shell("echo again"), "again")
}

func TestCancel(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{Grace: 200 * time.Millisecond})
	for _, script := range []string{"sleep 1000", "trap '' TERM; while :; do sleep 1; done"} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(150*time.Millisecond, cancel)
		start := time.Now()
		_, err := p.Run(ctx, shell(script))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%q: error %v", script, err)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%q: took %v", script, d)
		}
		if _, err := p.Run(ctx, shell("true")); !errors.Is(err, context.Canceled) {
			t.Errorf("run with an ended context: %v", err)
		}
	}
	want(t, p, shell("echo again"), "again")
}

// What stands in memory: its content, its one time, and who may write to it.
func TestMemory(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	dir := t.TempDir()
	long := strings.Repeat("long ", 100_000)
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte(long), 0o640); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	plan := shell(`set -e
stat -c '%Y %n' /o /t | grep -v ^946684800 || true
for f in /m/a/long /r/long /t/long /o/long; do
  test "$(wc -c < $f)" = 500000
  (echo bad >> $f) 2>/dev/null && echo wrote $f
  (echo bad > $(dirname $f)/new) 2>/dev/null && echo made $(dirname $f)/new
done
test -x /m/a/long; test ! -s /r/empty
cat /m/a/one
stat -c '%Y %n' / /m /m/a /m/a/long /m/a/l /m/a/one /r /r/long /r/empty /r/sub | grep -v ^946684800 || true`)
	plan.ModTime = time.Unix(946684800, 0)
	plan.Dirs = []string{"/r/sub"}
	plan.Symlinks = []sandbox.Symlink{{Path: "/m/a/l", Target: "one"}}
	file := func(p string) sandbox.File {
		return sandbox.File{Path: p, Source: source, Size: int64(len(long)), Exec: true}
	}
	plan.Files = []sandbox.File{file("/m/a/long"), file("/r/long"), file("/t/long"), file("/o/long"), {Path: "/r/empty", Source: empty}}
	plan.Mounts = append(plan.Mounts,
		sandbox.Mount{Target: "/m/a", Kind: sandbox.Memory},
		sandbox.Mount{Target: "/m/a/one", Source: filepath.Join(dir, "one"), Kind: sandbox.BindRO},
		sandbox.Mount{Target: "/t", Kind: sandbox.Tmpfs},
		sandbox.Mount{Target: "/o", Source: t.TempDir(), Kind: sandbox.Overlay},
	)
	if err := os.WriteFile(filepath.Join(dir, "one"), []byte("mounted\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stamp := time.Unix(946684800, 0)
	if err := os.Chtimes(filepath.Join(dir, "one"), stamp, stamp); err != nil {
		t.Fatal(err)
	}
	want(t, p, plan, "wrote /t/long\nmade /t/new\nwrote /o/long\nmade /o/new\nmounted")
	if b, _ := os.ReadFile(source); string(b) != long {
		t.Errorf("the source changed: %d bytes", len(b))
	}
}

// A source that is shorter than was said is an error, not a short file.
func TestMemoryShortSource(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	source := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(source, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	plan := shell("cat /f")
	plan.Files = []sandbox.File{{Path: "/f", Source: source, Size: 2}}
	var step *sandbox.StepError
	if _, err := p.Run(context.Background(), plan); !errors.As(err, &step) || step.Detail != source {
		t.Errorf("error %v, want one that names the source", err)
	}
	want(t, p, shell("echo again"), "again")
}

func TestKillAndClose(t *testing.T) {
	p := newPool(t, 3, sandbox.Options{})
	errs := make(chan error)
	for range 3 {
		go func() {
			_, err := p.Run(context.Background(), shell("trap '' TERM; sleep 1000"))
			errs <- err
		}()
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	p.Kill()
	for range 3 {
		if err := <-errs; !errors.Is(err, sandbox.ErrKilled) {
			t.Errorf("error %v", err)
		}
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	if _, err := p.Run(context.Background(), shell("true")); !errors.Is(err, sandbox.ErrKilled) {
		t.Errorf("after Kill: %v", err)
	}
	q := sandbox.NewPool(1, sandbox.Options{})
	want(t, q, shell("echo ok"), "ok")
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if _, err := q.Run(context.Background(), shell("true")); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestHelperDies(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	want(t, p, shell("echo ok"), "ok")
	for _, pid := range children(t, os.Getpid()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if _, err := p.Run(context.Background(), shell("true")); err == nil {
		t.Error("a run with a dead helper succeeded")
	}
	want(t, p, shell("echo ok"), "ok")
}

func TestLargeArguments(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	args := []string{"args"}
	for range 10 {
		args = append(args, strings.Repeat("x", 100<<10))
	}
	want(t, p, probe(args...), "10 1024000")
	want(t, p, shell("echo small"), "small")
	_, err := p.Run(context.Background(), probe("args", strings.Repeat("x", 1<<20)))
	var se *sandbox.StepError
	if !errors.As(err, &se) || se.Step != "exec" || !errors.Is(err, syscall.E2BIG) {
		t.Errorf("one argument beyond the kernel's limit: %v", err)
	}
}

func TestMounts(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	out := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	for _, err := range []error{os.WriteFile(file, []byte("original\n"), 0o644), os.Symlink(dir, link), os.Mkdir(filepath.Join(dir, "sub"), 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	plan := shell(`set -e
echo changed >/ov/f; rm -r /ov/sub; mkdir /ov/sub; mkdir /ov/d; mv /ov/d /ov/e; cat /ov/f
echo out >/ov/out/result
cat /one; (echo x >/one) 2>/dev/null || echo ro
cat /deep/er/ro/f
echo t >/ro/tmp/t; cat /ro/tmp/t
readlink /l; cat /l/file; cat /etc/extra; ls -A $HOME; pwd; umask`)
	plan.Env = []string{"HOME=/home/x", "PATH=/bin:/usr/bin"}
	plan.Dir = "/wd/dir"
	plan.Dirs = []string{"/l2/deep"}
	plan.Symlinks = []sandbox.Symlink{{Path: "/l", Target: "/l2/deep"}}
	plan.Files = []sandbox.File{{Path: "/l2/deep/file", Data: []byte("file\n")}, {Path: "/etc/extra", Data: []byte("extra\n")}}
	ro := t.TempDir()
	if err := os.Mkdir(filepath.Join(ro, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	plan.Mounts = append(plan.Mounts,
		sandbox.Mount{Target: "/ov/out", Source: out, Kind: sandbox.BindRW},
		sandbox.Mount{Target: "/ov", Source: dir, Kind: sandbox.Overlay},
		sandbox.Mount{Target: "/one", Source: file, Kind: sandbox.BindRO},
		sandbox.Mount{Target: "/deep/er/ro", Source: link, Kind: sandbox.BindRO},
		sandbox.Mount{Target: "/ro/tmp", Kind: sandbox.Tmpfs},
		sandbox.Mount{Target: "/ro", Source: ro, Kind: sandbox.BindRO},
	)
	want(t, p, plan, "changed\noriginal\nro\noriginal\nt\n/l2/deep\nfile\nextra\n/wd/dir\n0022")
	if b, _ := os.ReadFile(file); string(b) != "original\n" {
		t.Errorf("an overlay write reached the host: %q", b)
	}
	if b, _ := os.ReadFile(filepath.Join(out, "result")); string(b) != "out\n" {
		t.Errorf("a bind write did not reach the host: %q", b)
	}
	for _, d := range []string{dir, ro} {
		if es, _ := os.ReadDir(d); len(es) > 2 {
			t.Errorf("something was left in %s: %v", d, es)
		}
	}
}

// A hostile link in the root must not lead what the plan creates out of it.
func TestLinksStayInside(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	outside := t.TempDir()
	for _, target := range []string{"/host" + outside, "../../../../.." + outside} {
		plan := shell("true")
		plan.Symlinks = []sandbox.Symlink{{Path: "/evil", Target: target}}
		plan.Dirs = []string{"/evil/d"}
		if _, err := p.Run(context.Background(), plan); err == nil {
			t.Errorf("a directory behind the dangling link to %s was created", target)
		}
	}
	if es, err := os.ReadDir(outside); err != nil || len(es) != 0 {
		t.Errorf("the plan escaped from its root: %v %v", es, err)
	}
}

func TestStreams(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plan := shell("echo out; echo reopened >>/dev/stdout; echo err >&2")
	var stderr bytes.Buffer
	plan.Stdout, plan.Stderr = f, &stderr
	if res, err := p.Run(context.Background(), plan); err != nil || !res.OK() {
		t.Fatal(res, err)
	}
	b, _ := os.ReadFile(name)
	if string(b) != "out\nreopened\n" || stderr.String() != "err\n" {
		t.Errorf("got %q %q", b, stderr.String())
	}
	plan = shell("seq 1 200000")
	var big bytes.Buffer
	plan.Stdout = &big
	if res, err := p.Run(context.Background(), plan); err != nil || !res.OK() || big.Len() != 1288895 {
		t.Errorf("large output: %+v %v, %d bytes", res, err, big.Len())
	}
	plan = shell("seq 1 200000")
	plan.Stdout = failingWriter{}
	if _, err := p.Run(context.Background(), plan); !errors.Is(err, errDiskFull) {
		t.Errorf("a writer that fails: %v", err)
	}
	want(t, p, shell("echo quiet >/dev/null"), "")
}

var errDiskFull = errors.New("disk full")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errDiskFull }

func TestScriptWithoutInterpreter(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	plan := shell("")
	plan.Files = []sandbox.File{{Path: "/s/script", Data: []byte("echo \"$0 $1\"\n"), Exec: true}}
	plan.Argv = []string{"/s/script", "arg"}
	want(t, p, plan, "/s/script arg")
	plan.Argv, plan.Dir = []string{"./script", "arg"}, "/s"
	want(t, p, plan, "./script arg")
}

func TestErrors(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	mount := func(m sandbox.Mount) *sandbox.Process {
		pl := shell("true")
		pl.Mounts = append(pl.Mounts, m)
		return pl
	}
	for _, c := range []struct {
		name string
		plan *sandbox.Process
		step string // of a StepError
		is   error
		text string
	}{
		{"no such program", &sandbox.Process{Argv: []string{"/nope"}}, "exec", fs.ErrNotExist, "/nope"},
		{"not executable", &sandbox.Process{Argv: []string{"/etc/passwd"}}, "exec", fs.ErrPermission, ""},
		{"no argv", &sandbox.Process{}, "", nil, "argv[0]"},
		{"bare name", &sandbox.Process{Argv: []string{"true"}}, "", nil, "argv[0]"},
		{"no such source", mount(sandbox.Mount{Target: "/x", Source: "/does/not/exist", Kind: sandbox.BindRO}), "mount source", fs.ErrNotExist, "/does/not/exist"},
		{"no kind", mount(sandbox.Mount{Target: "/x", Source: "/tmp"}), "", nil, "kind"},
		{"twice", mount(sandbox.Mount{Target: "/usr", Source: "/tmp", Kind: sandbox.BindRO}), "", nil, "two mounts"},
		{"on root", mount(sandbox.Mount{Target: "/", Source: "/tmp", Kind: sandbox.BindRO}), "", nil, `"/"`},
		{"relative", mount(sandbox.Mount{Target: "x", Source: "/tmp", Kind: sandbox.BindRO}), "", nil, "clean"},
		{"dots", mount(sandbox.Mount{Target: "/x/../y", Source: "/tmp", Kind: sandbox.BindRO}), "", nil, "clean"},
		{"mount point missing in a read-only mount", mount(sandbox.Mount{Target: "/usr/no-such-dir", Source: "/tmp", Kind: sandbox.BindRO}), "mount point", fs.ErrNotExist, "/usr/no-such-dir"},
		{"bad env", &sandbox.Process{Argv: []string{"/x"}, Env: []string{"X"}}, "", nil, "NAME=value"},
		{"apart from another root", mount(sandbox.Mount{Target: "/x", Source: "/tmp/x", Root: "/usr", Kind: sandbox.Apart}), "", nil, "not below"},
		{"NUL", &sandbox.Process{Argv: []string{"/x", "a\x00b"}}, "", nil, "NUL"},
		{"no such directory", func() *sandbox.Process { pl := shell("true"); pl.Dir = "/usr/no-such-dir"; return pl }(), "directory", fs.ErrNotExist, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.Run(context.Background(), c.plan)
			if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("error %v", err)
			}
			var se *sandbox.StepError
			if errors.As(err, &se) != (c.step != "") || se != nil && se.Step != c.step {
				t.Errorf("step of %v", err)
			}
		})
	}
	want(t, p, shell("echo ok"), "ok")
}

func TestParallel(t *testing.T) {
	p := newPool(t, 4, sandbox.Options{})
	errs := make(chan error)
	for range 40 {
		go func() {
			var out bytes.Buffer
			plan := shell("echo $$; ls /proc | grep -c '^[0-9]'")
			plan.Stdout = &out
			res, err := p.Run(context.Background(), plan)
			if err == nil && (!res.OK() || !strings.HasPrefix(out.String(), "2\n")) {
				err = errors.New(out.String())
			}
			errs <- err
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestTmpBytes(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	plan := shell("head -c 3000000 /dev/zero >/tmp/a 2>/dev/null && echo fits || echo full; head -c 100000 /dev/zero >/dev/shm/b && echo no")
	plan.TmpBytes = 2 << 20
	if _, out := run(t, p, plan); !strings.HasPrefix(out, "full\n") || strings.Contains(out, "no\n") {
		t.Errorf("got %q", out)
	}
	plan = shell("head -c 3000000 /dev/zero >/tmp/a && echo fits; ls -A /tmp /dev/shm | grep -v a")
	want(t, p, plan, "fits\n/dev/shm:\n\n/tmp:")
}

func TestLargePlan(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	plan := shell("cat /m/*/f | wc -c; ls /d | wc -l; ls /proc/self/fd")
	for i := range 400 {
		name := strconv.Itoa(i)
		plan.Dirs = append(plan.Dirs, "/d/"+name)
		plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/m/" + name, Source: dir, Kind: sandbox.BindRO})
	}
	want(t, p, plan, "400\n400\n0\n1\n2\n3")
}

// What is shown apart is read-only, holds what the host has now, and only that, also
// beside an overlay, and below a path that overlayfs would take for options.
func TestApart(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	root := filepath.Join(t.TempDir(), "a:b,c\\d")
	other := t.TempDir()
	for f, text := range map[string]string{root + "/d/f": "file\n", root + "/d/e/g": "deep\n", other + "/d/not": "x", other + "/f": "x"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"file\n", "changed\n"} {
		if err := os.WriteFile(root+"/d/f", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		plan := shell("cat /x/f /x/e/g /one; ls /x; for f in /x/f /x/new /one; do (echo bad > $f) 2>/dev/null && echo wrote $f; done; chmod 777 /x/f 2>/dev/null && echo chmod; true")
		plan.Mounts = append(plan.Mounts,
			sandbox.Mount{Target: "/a", Source: other, Kind: sandbox.Overlay},
			sandbox.Mount{Target: "/x", Source: root + "/d", Root: root, Kind: sandbox.Apart},
			sandbox.Mount{Target: "/one", Source: root + "/d/f", Root: root, Kind: sandbox.Apart},
			sandbox.Mount{Target: "/y", Source: other + "/d", Root: other, Kind: sandbox.Apart})
		want(t, p, plan, text+"deep\n"+text+"e\nf")
	}
}
