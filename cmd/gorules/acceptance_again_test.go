package main_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Nothing runs again: in another folder, without the outputs, or when files
// were merely touched.
func TestAgain(t *testing.T) {
	g := warm(t)
	dir := t.TempDir()
	space, home := filepath.Join(dir, "elsewhere", "deeper"), filepath.Join(dir, "home")
	t.Cleanup(func() { removeAll(t, home) })
	if err := copyExample(space); err != nil {
		t.Fatal(err)
	}
	again := func(t *testing.T) string {
		t.Helper()
		logFile := filepath.Join(dir, "log.json")
		out, err := runGorules(space, realEnv(home), "", "test", "//...", "--disk_cache="+g.Disk, "--execution_log_json_file="+logFile)
		if err != nil {
			t.Fatalf("gorules test //...: %v\n%s", err, out)
		}
		noneRan(t, g, logFile)
		return out
	}
	bin := filepath.Join(space, "gorules-bin")

	t.Run("another folder", func(t *testing.T) {
		again(t)
		sameTree(t, filepath.Join(g.Space, "gorules-bin"), bin)
	})
	t.Run("the same", func(t *testing.T) {
		if out := again(t); !strings.Contains(out, " up to date.") {
			t.Errorf("not known to be up to date:\n%s", out)
		}
	})
	t.Run("outputs deleted", func(t *testing.T) {
		target, err := filepath.EvalSymlinks(bin)
		if err != nil {
			t.Fatal(err)
		}
		if err := removeTree(target); err != nil {
			t.Fatal(err)
		}
		again(t)
		sameTree(t, filepath.Join(g.Space, "gorules-bin"), bin)
	})
	t.Run("link to outputs deleted", func(t *testing.T) {
		if err := os.Remove(bin); err != nil {
			t.Fatal(err)
		}
		again(t)
		sameTree(t, filepath.Join(g.Space, "gorules-bin"), bin)
	})
	t.Run("every file touched", func(t *testing.T) {
		now := time.Now()
		err := filepath.WalkDir(space, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				err = os.Chtimes(p, now, now)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		again(t)
	})
}

// noneRan wants all actions of the gate to be in the log, and none to have run.
func noneRan(t *testing.T, g *gate, logFile string) {
	t.Helper()
	log, err := readLog(logFile)
	if err != nil {
		t.Fatal(err)
	}
	if ran := log.ran(); len(ran) > 0 {
		t.Errorf("%d actions ran, want none:\n%s", len(ran), ran)
	}
	if want := len(gateLog(t, g)); len(log) != want {
		t.Errorf("the log tells of %d actions, want %d", len(log), want)
	}
}

// strangerID is a user and group that no machine has.
const strangerID = 12345

// Another user, with another home, another path and their own toolchain files,
// shares the cache: nothing runs, and the outputs are the same bytes.
func TestAnotherUser(t *testing.T) {
	g := warm(t)
	if os.Getuid() != 0 {
		t.Skip("this test becomes another user, which takes root; TestAgain covers another folder and home")
	}
	if _, err := user.LookupId("12345"); err == nil {
		t.Skip("user 12345 is somebody here")
	}
	dir := shareable(t)
	home := filepath.Join(dir, "home")
	space := filepath.Join(home, "src", "theirs")
	if err := copyExample(space); err != nil {
		t.Fatal(err)
	}
	gorules, err := exec.LookPath("gorules")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", name, err, out)
		}
	}
	// Hard links: this user's own toolchain may stand where nobody else can look.
	sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
	if err != nil {
		t.Fatal(err)
	}
	toolchain := filepath.Join(dir, "toolchain")
	run("cp", "-al", strings.TrimSpace(string(sysroot)), toolchain)
	run("cp", gorules, filepath.Join(dir, "gorules"))
	run("chown", "-R", "12345:12345", home)

	logFile := filepath.Join(home, "log.json")
	cmd := exec.Command(filepath.Join(dir, "gorules"), "test", "//...", "--disk_cache="+g.Disk, "--execution_log_json_file="+logFile)
	cmd.Dir = space
	cmd.Env = []string{"PATH=" + filepath.Join(toolchain, "bin") + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "NO_COLOR=1", "GORACE=atexit_sleep_ms=0", useEngine + "=real"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: strangerID, Gid: strangerID}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("gorules test //... as user %d: %v\n%s", strangerID, err, out)
	}
	noneRan(t, g, logFile)
	sameTree(t, filepath.Join(g.Space, "gorules-bin"), filepath.Join(space, "gorules-bin"))
}
