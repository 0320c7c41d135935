package run_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/supervise"
	"gorules/executor/internal/tree"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	supervise.Main()
	os.Exit(m.Run())
}

// world is a store, a Local over the real sandbox, and a shell to run.
type world struct {
	testing.TB
	root  string
	store *cas.Disk
	local *run.Local
}

func newWorld(t testing.TB) *world {
	t.Helper()
	if _, err := sandbox.Probe(context.Background()); err != nil {
		t.Skipf("this host refuses the sandbox: %v", err)
	}
	w := &world{TB: t, root: t.TempDir()}
	var err error
	if w.store, err = cas.OpenDisk(filepath.Join(w.root, "store"), cas.DiskOptions{}); err != nil {
		t.Fatal(err)
	}
	pool := sandbox.NewPool(2, sandbox.Options{})
	t.Cleanup(func() { pool.Close() })
	w.open(pool, nil)
	return w
}

// hostUsr is a Sandbox in which the host's programs are.
type hostUsr struct{ run.Sandbox }

func (s hostUsr) Run(ctx context.Context, p *sandbox.Process) (sandbox.Result, error) {
	p.Mounts = append([]sandbox.Mount{{Target: "/usr", Source: "/usr", Kind: sandbox.BindRO}}, p.Mounts...)
	return s.Sandbox.Run(ctx, p)
}

func (w *world) open(e run.Sandbox, s run.Sources) {
	w.Helper()
	l, err := run.NewLocal(run.LocalOptions{Root: filepath.Join(w.root, "run"), Store: w.store, Sandbox: hostUsr{e}, Sources: s})
	if err != nil {
		w.Fatal(err)
	}
	w.local = l
	w.Cleanup(func() {
		if err := l.Close(); err != nil {
			w.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(w.root, "run/scratch/*")); len(left) != 0 {
			w.Errorf("scratch directories are left: %v", left)
		}
	})
}

// input is a tree with the given files and links to the host's programs, which
// hostUsr adds.
func (w *world) input(files map[string]string) *tree.Tree {
	w.Helper()
	var b tree.Builder
	must := func(err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "lib", "lib64"} {
		if target, err := os.Readlink("/" + d); err == nil {
			must(b.AddLink("/"+d, target))
		}
	}
	for p, text := range files {
		d, err := cas.PutBytes(context.Background(), w.store, []byte(text))
		must(err)
		must(b.AddFile(p, d, strings.HasSuffix(p, ".sh")))
	}
	t, err := b.Build()
	must(err)
	return t
}

// shell is the action of a shell script.
func (w *world) shell(script string, files map[string]string, outputs ...string) *action.Bound {
	b := runtest.Bound([]string{"/bin/sh", "-c", script}, w.input(files), outputs...)
	b.Env["PATH"] = "/usr/bin:/bin"
	return b
}

func (w *world) run(b *action.Bound) run.Result {
	w.Helper()
	res, err := w.local.Run(context.Background(), b, run.Hints{})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) text(d digest.Digest) string {
	w.Helper()
	b, err := cas.ReadAll(context.Background(), w.store, d)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

func TestLocal(t *testing.T) {
	runtest.Runner(t, func(t *testing.T) runtest.Setup {
		w := newWorld(t)
		return runtest.Setup{Runner: w.local, Store: w.store, Shell: w.shell}
	})
}

func TestLocalWithoutSandbox(t *testing.T) {
	runtest.Runner(t, func(t *testing.T) runtest.Setup {
		w := newWorld(t)
		return runtest.Setup{Runner: w.local, Store: w.store, Shell: func(script string, files map[string]string, outputs ...string) *action.Bound {
			b := w.shell(script, files, outputs...)
			b.NoSandbox = true
			return b
		}}
	})
}

func TestRunOutputs(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{
		"/w/src/a.txt": "alpha", "/w/src/sub/run.sh": "#!/bin/sh\necho ran", "/w/bin/in.txt": "beside the output",
		"/unit/x/in": "1", "/w/bin/big.txt": strings.Repeat("big ", 1<<19), "/w/bin/deep/er/f": "2",
	}
	b := w.shell(`set -e
cat src/a.txt bin/in.txt > bin/out.txt
test "$(stat -c %s bin/big.txt)" = 2097152
if echo bad 2>/dev/null > bin/big.txt; then exit 9; fi
src/sub/run.sh > /out/log; chmod +x /out/log
test "$(stat -c %Y:%a src/a.txt)" = 946684800:644
test "$(stat -c %Y src)" = 946684800
cat bin/deep/er/f > new/place/f
mkdir /unit/x/out/d; echo tree > /unit/x/out/d/f; ln -s d/f /unit/x/out/l
ln -s anywhere /out/link
echo hello; echo oops >&2`, files, "/w/bin/out.txt", "/out/log", "/w/new/place/f")
	b.Outputs = append(b.Outputs, action.BoundOutput{Path: "/unit/x/out", Dir: true}, action.BoundOutput{Path: "/out/link", Link: true},
		action.BoundOutput{Path: "/out/maybe", Optional: true})
	res := w.run(b)
	if !res.OK(b) {
		t.Fatalf("%+v\n%s", res, res.StderrBytes)
	}
	if got := w.text(res.Outputs["/w/bin/out.txt"].File); got != "alphabeside the output" {
		t.Errorf("out.txt = %q", got)
	}
	if c := res.Outputs["/out/log"]; !c.Executable || w.text(c.File) != "ran\n" {
		t.Errorf("log = %+v", c)
	}
	if c := res.Outputs["/out/link"]; c.Symlink != "anywhere" {
		t.Errorf("link = %+v", c)
	}
	d := res.Outputs["/unit/x/out"].Tree
	if e, ok := d.Lookup("d/f"); !ok || w.text(e.File) != "tree\n" {
		t.Errorf("directory output: %+v", d.Entries())
	}
	if e, _ := d.Lookup("l"); e.Target != "d/f" {
		t.Errorf("link in it: %+v", e)
	}
	if _, ok := res.Outputs["/out/maybe"]; ok || len(res.Outputs) != 5 {
		t.Errorf("outputs: %v", res.Outputs)
	}
	if string(res.StdoutBytes) != "hello\n" || w.text(res.Stderr) != "oops\n" {
		t.Errorf("printed %q, %q", res.StdoutBytes, res.StderrBytes)
	}
	if res.Runner != run.SandboxRunner || res.Wall <= 0 || time.Since(res.Start) > time.Minute {
		t.Errorf("runner %q, wall %v, start %v", res.Runner, res.Wall, res.Start)
	}
}

// Outputs that their maker may not read are taken all the same.
func TestRunUnreadableOutputs(t *testing.T) {
	w := newWorld(t)
	b := w.shell("echo f > /out/f; mkdir -p /out/d/sub; echo g > /out/d/sub/g; chmod 0 /out/d/sub/g /out/d/sub /out/d /out/f", nil, "/out/f")
	b.Outputs = append(b.Outputs, action.BoundOutput{Path: "/out/d", Dir: true})
	res := w.run(b)
	if !res.OK(b) || w.text(res.Outputs["/out/f"].File) != "f\n" {
		t.Fatalf("%+v", res)
	}
	if e, ok := res.Outputs["/out/d"].Tree.Lookup("sub/g"); !ok || w.text(e.File) != "g\n" || !e.Executable {
		t.Errorf("%+v", e)
	}
}

// What a killed process left is removed by the next one; what a living one
// holds is not.
func TestScratchSweep(t *testing.T) {
	w := newWorld(t)
	w.run(w.shell("true", nil, "/out/x")) // so that there is a living one
	left := filepath.Join(w.root, "run/scratch/pdead/1/x")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	other, err := run.NewLocal(run.LocalOptions{Root: filepath.Join(w.root, "run"), Store: w.store, Sandbox: instant{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Run(context.Background(), w.shell("", nil, "/out/x.rlib"), run.Hints{}); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	// In the background: no command waits for it.
	gone := func() bool {
		_, err := os.Stat(filepath.Join(w.root, "run/scratch/pdead"))
		return errors.Is(err, os.ErrNotExist)
	}
	for end := time.Now().Add(10 * time.Second); !gone(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what a dead process left is still there")
		}
	}
	if res := w.run(w.shell("echo > /out/x", nil, "/out/x")); len(res.Outputs) != 1 {
		t.Errorf("the living process lost its folder: %+v", res)
	}
}

// Where links cannot be made, copies do.
func TestRunAcrossFileSystems(t *testing.T) {
	w := newWorld(t)
	shm, err := os.MkdirTemp("/dev/shm", "run-test-")
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	defer os.RemoveAll(shm)
	pool := sandbox.NewPool(1, sandbox.Options{})
	defer pool.Close()
	l, err := run.NewLocal(run.LocalOptions{Root: shm, Store: w.store, Sandbox: hostUsr{pool}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.local = l
	files := map[string]string{"/w/few/f": "1", "/w/tool.sh": "#!/bin/sh\ncat /w/few/f /w/many/f3"}
	for i := range 20 {
		files[fmt.Sprintf("/w/many/f%d", i)] = fmt.Sprint(i)
	}
	for range 2 {
		b := w.shell("./tool.sh > /out/x && stat -c %Y many/f3 tool.sh >> /out/x", files, "/out/x")
		if res := w.run(b); !res.OK(b) || w.text(res.Outputs["/out/x"].File) != "13946684800\n946684800\n" {
			t.Errorf("%+v %s", res, res.StderrBytes)
		}
	}
}

// What is an output, and what is the action's fault.
func TestRunFailures(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, script string
		dir          bool
		want         string
	}{
		{"missing", "true", false, "did not make /out/x"},
		{"link for a file", "ln -s /etc/passwd /out/x", false, "symbolic link"},
		{"folder for a file", "mkdir /out/x", false, "is a folder"},
		{"file for a folder", "rmdir /out/x; echo > /out/x", true, "not a folder"},
	} {
		b := w.shell(c.script, nil)
		b.Outputs = []action.BoundOutput{{Path: "/out/x", Dir: c.dir}}
		res := w.run(b)
		if res.ExitCode != 0 || !strings.Contains(run.Judge(b, res), c.want) || res.OK(b) {
			t.Errorf("%s: exit %d, failure %q, want %q; %s", c.name, res.ExitCode, run.Judge(b, res), c.want, res.StderrBytes)
		}
	}
	b := w.shell("exit 3", nil, "/out/x")
	if res := w.run(b); res.ExitCode != 3 || run.Judge(b, res) != "exit code 3" || res.OK(b) {
		t.Errorf("exit 3: %+v", res)
	}
	b = w.shell("echo report > /out/x; exit 3", nil, "/out/x", "/out/never")
	b.AnyExit = true
	if res := w.run(b); res.ExitCode != 3 || !res.OK(b) || len(res.Outputs) != 1 {
		t.Errorf("stored failure: %+v", res)
	}
	b = w.shell("", nil)
	b.Argv = []string{"/no/such/program"}
	if res := w.run(b); !strings.Contains(res.NotStarted, "cannot run /no/such/program") {
		t.Errorf("no such program: %+v", res)
	}
	b = w.shell("sleep 60", nil)
	b.Timeout = 50 * time.Millisecond
	if res := w.run(b); !res.TimedOut || res.OK(b) {
		t.Errorf("timeout: %+v", res)
	}
	b = w.shell("true", nil, "/x")
	if _, err := w.local.Run(context.Background(), b, run.Hints{}); err == nil || !strings.Contains(err.Error(), "/x") {
		t.Errorf("an output in /: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.local.Run(ctx, w.shell("sleep 60", nil), run.Hints{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

// Outputs that are too large together are refused before they are read.
func TestRunOutputsTooLarge(t *testing.T) {
	w := newWorld(t)
	pool := sandbox.NewPool(1, sandbox.Options{})
	defer pool.Close()
	l, err := run.NewLocal(run.LocalOptions{Root: filepath.Join(w.root, "run"), Store: w.store, Sandbox: hostUsr{pool}, MaxOutput: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.local = l
	for _, c := range []struct {
		script string
		dir    bool
		ok     bool
	}{
		{"head -c 20000 /dev/zero > /out/x", false, true},
		{"head -c 20001 /dev/zero > /out/x", false, false},
		{"perl -e 'open F, q(>), q(/out/x); truncate F, 1<<40'", false, false},
		{"head -c 5000 /dev/zero > /out/x/a; head -c 6000 /dev/zero > /out/x/b", true, true}, // each entry counts 4096 more
		{"head -c 5000 /dev/zero > /out/x/a; head -c 7000 /dev/zero > /out/x/b", true, false},
	} {
		b := w.shell(c.script, nil)
		b.Outputs = []action.BoundOutput{{Path: "/out/x", Dir: c.dir}}
		res := w.run(b)
		if res.OK(b) != c.ok || !c.ok && !strings.Contains(run.Judge(b, res), "--max_action_output") {
			t.Errorf("%s: %q, %+v", c.script, run.Judge(b, res), res)
		}
	}
}

// An action cannot change what others see: not the store, not a shared tree.
func TestRunCannotWriteThrough(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"/w/one/f": "precious", "/out/beside": "precious too"}
	for i := range 40 { // enough for a tree that is kept and mounted
		files[fmt.Sprintf("/w/many/d/f%d", i)] = fmt.Sprint("content ", i)
	}
	attack := `for f in one/f many/d/f1 many/d/f39; do
  (echo bad > $f) 2>/dev/null && echo wrote $f
  chmod 777 $f 2>/dev/null && echo chmod $f
  ln $f /out/l-$(basename $f) 2>/dev/null && echo bad > /out/l-$(basename $f)
  mv $f $f.away 2>/dev/null && echo moved $f
done
touch many/new 2>/dev/null && echo created
echo bad > /out/beside; chmod 777 /out/beside
true`
	for range 3 { // the third uses the materialised tree again
		if res := w.run(w.shell(attack, files, "/out/beside")); len(res.StdoutBytes) != 0 || res.ExitCode != 0 {
			t.Errorf("%+v\n%s", res, res.StdoutBytes)
		}
	}
	b := w.shell(attack, files)
	b.Writable = []string{"/w/many", "/w/one"}
	if res := w.run(b); !strings.Contains(string(res.StdoutBytes), "wrote many/d/f1\n") || !strings.Contains(string(res.StdoutBytes), "wrote one/f\n") {
		t.Errorf("writable paths: %+v\n%s%s", res, res.StdoutBytes, res.StderrBytes)
	}
	check := w.shell("cat one/f /out/beside many/d/f1 many/d/f39; ls many", files, "/out/x")
	check.Outputs[0].Optional = true
	if res := w.run(check); string(res.StdoutBytes) != "preciousprecious toocontent 1content 39d\n" {
		t.Errorf("afterwards: %q %s", res.StdoutBytes, res.StderrBytes)
	}
	for p, text := range files {
		d := digest.Of([]byte(text))
		if got := w.text(d); got != text {
			t.Errorf("%s: the store has %q", p, got)
		}
	}
}

func TestRunWritableMissing(t *testing.T) {
	w := newWorld(t)
	b := w.shell("cd /w/pkg && echo x > new/f && mkdir sub && echo y > sub/g && cat new/f sub/g > /w/pkg/target/out", map[string]string{"/w/pkg/a": "1", "/w/pkg/target/b": "2"}, "/w/pkg/target/out")
	b.Writable = []string{"/w/pkg", "/w/pkg/new"}
	b.Workdir = "/w/not/there"
	res := w.run(b)
	if !res.OK(b) || w.text(res.Outputs["/w/pkg/target/out"].File) != "x\ny\n" {
		t.Errorf("%+v %s", res, res.StderrBytes)
	}
}

func TestRunManyShapes(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 700 {
		files[fmt.Sprintf("/data/p%d/f%d", i%50, i)] = fmt.Sprint(i)
	}
	files["/data/top"] = "x"
	files["/etc/extra.conf"] = "y"
	res := w.run(w.shell("find /data -type f | wc -l; cat /etc/extra.conf; cat $(find /data -type f) | sha256sum >/dev/null; grep -c gorules /etc/passwd", files))
	if got := strings.Join(strings.Fields(string(res.StdoutBytes)), " "); got != "701 y1" {
		t.Errorf("%q %s", got, res.StderrBytes)
	}
}

type announcements struct {
	store *cas.Disk
	t     *testing.T
	ended bool
	early []string // calls come one at a time
}

func (a *announcements) Early(p string, c action.Content) {
	if _, err := cas.ReadAll(context.Background(), a.store, c.File); err != nil {
		a.t.Errorf("%s was announced and is not in the store: %v", p, err)
	}
	if a.ended {
		a.t.Errorf("%s was announced after the end", p)
	}
	a.early = append(a.early, p)
}

func TestRunEarly(t *testing.T) {
	w := newWorld(t)
	early := map[string]string{"$message_type": "artifact", "emit": "metadata"}
	line := `echo '{"$message_type":"artifact","artifact":"/out/x.rmeta","emit":"metadata"}' >&2`
	run1 := func(script string) (run.Result, *announcements, *action.Bound) {
		b := w.shell(script, nil, "/out/x.rlib", "/out/x.rmeta")
		b.Outputs[1].Early = early
		obs := &announcements{store: w.store, t: t}
		res, err := w.local.Run(context.Background(), b, run.Hints{Early: obs.Early})
		if err != nil {
			t.Fatal(err)
		}
		obs.ended = true
		return res, obs, b
	}
	res, obs, b := run1(`echo meta > /out/x.rmeta; echo not json >&2; echo '{"emit":"link"}' >&2; ` + line + `; sleep 0.1; echo lib > /out/x.rlib`)
	if !res.OK(b) || len(obs.early) != 1 || w.text(res.Outputs["/out/x.rmeta"].File) != "meta\n" {
		t.Errorf("%+v, announced %v", res, obs.early)
	}
	if res, obs, b = run1(`echo meta > /out/x.rmeta; ` + line + `; sleep 0.1; echo more >> /out/x.rmeta; echo > /out/x.rlib`); !strings.Contains(run.Judge(b, res), "changed after") || len(obs.early) != 1 {
		t.Errorf("a changed early output: %+v", res)
	}
	if res, _, b = run1(`echo meta > /out/x.rmeta; ` + line + `; sleep 0.1; rm /out/x.rmeta; echo > /out/x.rlib`); !strings.Contains(run.Judge(b, res), "was removed after") {
		t.Errorf("a removed early output: %+v", res)
	}
	if res, obs, b = run1(`echo meta > /out/x.rmeta; echo > /out/x.rlib`); !res.OK(b) || len(obs.early) != 0 {
		t.Errorf("no announcement: %+v, %v", res, obs.early)
	}
}

func TestRunLongText(t *testing.T) {
	w := newWorld(t)
	res := w.run(w.shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo; head -c 70000000 /dev/zero", nil))
	if res.Stderr.Size != 3000000 || res.StderrBytes != nil {
		t.Errorf("stderr: %v, %d bytes inline", res.Stderr, len(res.StderrBytes))
	}
	if got := w.text(res.Stdout); len(got) > 65<<20 || !strings.HasSuffix(got, "more bytes are not kept]\n") {
		t.Errorf("stdout: %d bytes, ends %q", len(got), got[max(0, len(got)-60):])
	}
}

// tracer pretends that a traced run was refused something.
type tracer struct {
	run.Sandbox
	traced, plain int
}

func (e *tracer) Run(ctx context.Context, p *sandbox.Process) (sandbox.Result, error) {
	res, err := e.Sandbox.Run(ctx, p)
	if p.Trace {
		e.traced++
		res.Refused = []sandbox.Access{{Kind: sandbox.AccessRead, Path: "/secret"}}
	} else {
		e.plain++
	}
	return res, err
}

func TestRunExplain(t *testing.T) {
	w := newWorld(t)
	pool := sandbox.NewPool(1, sandbox.Options{})
	defer pool.Close()
	e := &tracer{Sandbox: pool}
	w.root = t.TempDir()
	w.open(e, nil)
	for _, c := range []struct {
		script  string
		explain bool
		stored  bool
		traced  int
	}{
		{"cat /secret", true, false, 1},
		{"cat /secret", true, true, 1},
		{"cat /secret", false, false, 0},
		{"true", true, false, 0},
	} {
		e.traced, e.plain = 0, 0
		b := w.shell(c.script, nil)
		b.AnyExit = c.stored
		b.Spec = &action.Spec{}
		if c.explain {
			b.Spec.Explain = map[string]string{"ENOENT": "declare {path}"}
		}
		res := w.run(b)
		if e.plain != 1 || e.traced != c.traced || len(res.Accesses) != c.traced {
			t.Errorf("%+v: %d plain and %d traced runs, accesses %v", c, e.plain, e.traced, res.Accesses)
		}
	}
}
