package run_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
)

// What an action tries with its outputs, and what is said of it. The other half of
// the table is in package sandbox. "" is what is taken.
func TestEscapeOutputs(t *testing.T) {
	w := newWorld(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	input := map[string]string{"/w/in/small": "input", "/w/in/large": strings.Repeat("input", 100_000), "/w/beside": "input"}
	perl := func(format string, args ...any) string { return fmt.Sprintf("perl -e '"+format+"'", args...) }
	const x = " 2>/dev/null || echo refused"
	for _, c := range []struct {
		name, script string
		dir          bool
		want         string // in the failure
	}{
		{"link/absolute", "ln -s /etc/passwd /out/x/p", true, "p -> /etc/passwd"},
		{"link/escaping", "mkdir /out/x/d; ln -s ../../y /out/x/d/p", true, "d/p -> ../../y"},
		{"link/by way of another", "mkdir -p /out/x/d/e; ln -s d/e /out/x/l; ln -s l/../../.. /out/x/m", true, "leads out of it"},
		{"link/to the host", "ln -s " + secret + " /out/x", false, "symbolic link"},
		{"link/folder replaced", "rmdir /out/x; ln -s " + filepath.Dir(secret) + " /out/x", true, "symbolic link"},
		{"link to an input/small", "ln in/small /out/x" + x, false, "did not make"},
		{"link to an input/large", "ln in/large /out/x" + x, false, "did not make"},
		{"link to an input/copy", "cp in/large /out/x && chmod u+w /out/x && echo more >> /out/x", false, ""},
		{"special/fifo", "mkfifo /out/x", false, "FIFO"},
		{"special/fifo in a folder", "mkfifo /out/x/p", true, "FIFO"},
		{"special/socket", perl("use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(q(/out/x)))"), false, "socket"},
		{"special/socket in a folder", perl("use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(q(/out/x/s)))"), true, "socket"},
		{"special/whiteout", "echo > /out/x/a; " + perl("syscall(%d, -100, my $a = q(/out/x/a), -100, my $b = q(/out/x/b), %d) == 0 or die", unix.SYS_RENAMEAT2, unix.RENAME_WHITEOUT), true, "a device"},
		{"special/folder", "mkdir /out/x", false, "is a folder"},
		{"special/name", "touch \"$(printf '/out/x/\\377')\"", true, "not UTF-8"},
		{"large/sparse", perl("open F, q(>), q(/out/x); truncate F, 1<<40"), false, "--max_action_output"},
		{"large/sparse in a folder", perl("open F, q(>), q(/out/x/f); truncate F, 1<<40"), true, "--max_action_output"},
		{"large/many files", perl("for (1..1100) { open F, q(>), qq(/out/x/$_) or die }"), true, "--max_action_output"},
		{"large/many folders", perl("for (1..1100) { mkdir qq(/out/x/$_) or die }"), true, "--max_action_output"},
		{"large/many links", perl("for (1..1100) { symlink q(x), qq(/out/x/$_) or die }"), true, "--max_action_output"},
		{"large/fewer", perl("for (1..900) { open F, q(>), qq(/out/x/$_) or die }"), true, ""},
		{"mode/setuid by chmod", "echo > /out/x; chmod 6755 /out/x", false, ""},
		{"mode/setuid by open", perl("use Fcntl; umask 0; sysopen F, q(/out/x), O_CREAT|O_WRONLY, 06777 or die"), false, ""},
		{"mode/setgid folder", "mkdir /out/x/d; echo > /out/x/d/f; chmod 7777 /out/x/d /out/x/d/f", true, ""},
		{"undeclared/beside", "echo undeclared > /out/y; echo > /out/x", false, ""},
		{"undeclared/in an input's folder", "echo undeclared > /w/y" + x, false, "did not make"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := w.limited(t, 4<<20)
			b := w.shell(c.script, input)
			b.Outputs = []action.BoundOutput{{Path: "/out/x", Dir: c.dir}}
			res, err := l.Run(context.Background(), b, run.Hints{})
			if err != nil {
				t.Fatal(err)
			}
			said := run.Judge(b, res)
			if (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("failure %q, want %q; %s", said, c.want, res.StderrBytes)
			}
			if len(res.Outputs) > 1 {
				t.Errorf("outputs: %v", res.Outputs)
			}
			for _, text := range []string{"undeclared\n", "secret"} {
				if _, err := cas.ReadAll(context.Background(), w.store, digest.Of([]byte(text))); !errors.Is(err, cas.ErrNotFound) {
					t.Errorf("%q got into the store: %v", text, err)
				}
			}
		})
	}
	for _, text := range input {
		if got := w.text(digest.Of([]byte(text))); got != text {
			t.Errorf("an input changed: %d bytes", len(got))
		}
	}
	// No mode gets out.
	err := filepath.WalkDir(w.root, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// limited is a Local of w whose actions make no more than so many bytes.
func (w *world) limited(t *testing.T, n int64) *run.Local {
	pool := sandbox.NewPool(1, sandbox.Options{})
	t.Cleanup(func() { pool.Close() })
	l, err := run.NewLocal(run.LocalOptions{Root: filepath.Join(w.root, "run"), Store: w.store, Sandbox: hostUsr{pool}, MaxOutput: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// held runs a script that stays when it is done, until end is called, and returns
// where a file of its output folder is.
func (w *world) held(script string, files map[string]string) (made string, end func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		res, err := w.local.Run(ctx, w.shell(script+"; echo > /out/made; exec sleep 60", files, "/out/x"), run.Hints{})
		if err == nil {
			err = fmt.Errorf("exit code %d: %s", res.ExitCode, res.StderrBytes)
		}
		done <- err
	}()
	for {
		if all, _ := filepath.Glob(filepath.Join(w.root, "run/scratch/*/*/made")); len(all) > 0 {
			return all[0], func() {
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					w.Error(err)
				}
			}
		}
		select {
		case err := <-done:
			cancel()
			w.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// A setuid file that an action of root makes is out of reach of every other user
// while it is there.
func TestEscapeSetuidMeanwhile(t *testing.T) {
	w := newWorld(t)
	made, end := w.held("echo > /out/x; chmod 6755 /out/x", nil)
	defer end()
	private := false
	for p := made; p != w.root; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		private = private || info.IsDir() && info.Mode()&0o077 == 0
	}
	if !private {
		t.Errorf("others may go to %s", made)
	}
}

// While outputs are announced, and so are read while their action runs, processes
// replace them and the folders around them by links to a file of the host. What is
// taken is what the action made, or nothing.
func TestEscapeRace(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	const outputs = 50
	rounds, taken := 10, 0
	if testing.Short() {
		rounds = 2
	}
	script := fmt.Sprintf(`use strict; chdir q(/out); umask 0;
my ($dir, $n) = (q(%s), %d);
sub own { open(my $f, q(>), $_[0]) or die; print $f q(own); close $f }
mkdir q(away) or die;
for my $i (0..$n-1) { own($i %% 2 ? $i : qq($i/x)) }
for my $odd (0, 1) {
  next if fork;
  while (1) {
    for (my $i = $odd; $i < $n; $i += 2) {
      if ($odd) { symlink qq($dir/x), q(l) or die; rename q(l), $i or die }
      else { rename $i, qq(away/$i) or die; symlink $dir, $i or die }
    }
    for (my $i = $odd; $i < $n; $i += 2) {
      if ($odd) { own(q(n)); rename q(n), $i or die }
      else { unlink $i or die; rename qq(away/$i), $i or die }
    }
  }
}
$| = 1; select STDERR;
for my $i (0..$n-1) { print qq({"n":"$i"}\n) }
select undef, undef, undef, 0.02;`, dir, outputs)
	for range rounds {
		b := w.shell("exec perl -e '"+script+"'", nil)
		for i := range outputs {
			b.Outputs = append(b.Outputs, action.BoundOutput{Path: fmt.Sprintf("/out/%d", i), Dir: i%2 == 0, Early: map[string]string{"n": fmt.Sprint(i)}})
		}
		early := make(chan action.Content, outputs)
		res, err := w.local.Run(context.Background(), b, run.Hints{Early: func(_ string, c action.Content) { early <- c }})
		if err != nil {
			t.Fatal(err)
		}
		close(early)
		all := slices.Collect(maps.Values(res.Outputs))
		for c := range early {
			all = append(all, c)
			taken++
		}
		for _, c := range all {
			if c.Tree != nil {
				if e, ok := c.Tree.Lookup("x"); !ok {
					t.Fatalf("a folder without its file: %+v", c.Tree.Entries())
				} else {
					c.File = e.File
				}
			}
			if c.Symlink == "" && w.text(c.File) != "own" {
				t.Fatalf("taken: %q", w.text(c.File))
			}
		}
	}
	if taken == 0 || taken == rounds*outputs {
		t.Errorf("%d of %d taken while they were replaced: no race", taken, rounds*outputs)
	}
	t.Logf("%d of %d taken while they were replaced", taken, rounds*outputs)
	if _, err := cas.ReadAll(context.Background(), w.store, digest.Of([]byte("secret"))); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a file of the host got into the store: %v", err)
	}
}

// The same as another user, where this one is root.
func TestEscapeOtherUser(t *testing.T) {
	newWorld(t)
	if os.Getuid() != 0 {
		t.Skip("becoming another user needs root; the other tests ran without it")
	}
	const uid = 12345 // in no passwd file
	dir, err := os.MkdirTemp("", "run-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b, err := os.ReadFile("/proc/self/exe")
	exe, own := filepath.Join(dir, "exe"), filepath.Join(dir, "own")
	for _, err := range []error{err, os.WriteFile(exe, b, 0o755), os.Chmod(dir, 0o755), os.Mkdir(own, 0o755), os.Chown(own, uid, uid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(exe, "-test.run=^TestEscape", "-test.v", "-test.short")
	cmd.Dir, cmd.Env = own, append(os.Environ(), "TMPDIR="+own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestEscapeOutputs/") {
		t.Errorf("as user %d: %v\n%s", uid, err, out)
	}
}

// Two actions that lock the same large input, or the same folder, do not meet.
func TestEscapeLocks(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"/w/large": strings.Repeat("input", 100_000)}
	for i := range 20 {
		files[fmt.Sprintf("/w/folder/d/%d", i)] = fmt.Sprint(i)
	}
	const lock = `perl -e 'use Fcntl qw(:flock); for (qw(large folder folder/d/1)) { open my $f, q(<), $_ or opendir $f, $_ or die; ` +
		`flock($f, LOCK_EX|LOCK_NB) or die qq($_: $!\n); push @all, $f } %s'`
	_, end := w.held(fmt.Sprintf(lock, "open F, q(>), q(/out/made); sleep 60"), files)
	defer end()
	if res := w.run(w.shell(fmt.Sprintf(lock, ""), files)); res.ExitCode != 0 {
		t.Errorf("the second: exit code %d, %s", res.ExitCode, res.StderrBytes)
	}
}
