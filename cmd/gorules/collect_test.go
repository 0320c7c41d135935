package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// collected is a workspace with a chain of actions, a folder that is large enough
// to be mounted as a tree, and a test.
const collected = `
[genrule(
    name = "g%d" % i,
    srcs = ["in"] + glob(["d/*"]) + ([":g%d" % (i - 1)] if i else []),
    outs = ["o%d" % i],
    cmd = "cat in d/1 " + ("$(location :g%d)" % (i - 1) if i else "") + " > $@; echo %d >> $@; head -c 100000 /dev/zero >> $@" % i,
) for i in range(4)]

sh_test(name = "t", srcs = ["t.sh"], data = [":o3"])
`

// TestBuildsBesideCollector: a hundred builds beside a collector that keeps nothing
// beyond a megabyte. Each is right, and none fails.
func TestBuildsBesideCollector(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this host refuses user namespaces: %v %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "gorules-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, home) })
	gorules := func(dir string, args ...string) (string, error) {
		cmd := exec.Command(self, args...)
		cmd.Args[0], cmd.Dir = "gorules", dir
		cmd.Env = append(os.Environ(), useEngine+"=real", "HOME="+home, "XDG_CACHE_HOME="+home, "GORACE=atexit_sleep_ms=0")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		err := cmd.Run()
		return said.String(), err
	}
	builds := 100
	if testing.Short() {
		builds = 20
	}
	var next, freed atomic.Int32
	var builders, collector sync.WaitGroup
	stop := make(chan struct{})
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			text, err := gorules(home, "cache", "gc", "--budget=1M")
			if err != nil {
				t.Errorf("%v\n%s", err, text)
				return
			}
			if strings.Contains(text, "freed") {
				freed.Add(1)
			}
		}
	})
	for w := range 4 {
		dir := t.TempDir()
		files := map[string]string{"WORKSPACE": "", "BUILD": collected, "t.sh": "#!/bin/bash\ntest -s o3\n"}
		for i := range 20 {
			files[fmt.Sprint("d/", i)] = fmt.Sprintln("file", i)
		}
		write := func() {
			for name, text := range files {
				p := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Error(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
					t.Error(err)
				}
			}
		}
		write()
		builders.Go(func() {
			for n := next.Add(1); int(n) <= builds && !t.Failed(); n = next.Add(1) {
				in := fmt.Sprintln(int(n)/6, w%2) // some of it was built before, here or there
				if err := os.WriteFile(filepath.Join(dir, "in"), []byte(in), 0o644); err != nil {
					t.Error(err)
				}
				verb := []string{"build", "test"}[n%2]
				if text, err := gorules(dir, verb, "//..."); err != nil {
					t.Errorf("%s %d in %s: %v\n%s", verb, n, dir, err, text)
					return
				}
				want := in + "file 1\n"
				for i := range 4 {
					if i > 0 {
						want = in + "file 1\n" + want
					}
					want += fmt.Sprintln(i) + strings.Repeat("\x00", 100_000)
					if verb == "test" {
						continue // only the verdict is laid out
					}
					got, err := os.ReadFile(filepath.Join(dir, "gorules-bin", fmt.Sprint("o", i)))
					if err != nil || string(got) != want {
						t.Errorf("o%d of build %d is not right (%d bytes, want %d; %v)", i, n, len(got), len(want), err)
						return
					}
				}
			}
		})
	}
	builders.Wait()
	close(stop)
	collector.Wait()
	if freed.Load() == 0 {
		t.Error("nothing was collected")
	}
	if text, err := gorules(home, "cache", "gc", "--budget=1M"); err != nil || !strings.Contains(text, "left") {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err := gorules(home, "cache", "verify"); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	if l, _ := filepath.Glob(filepath.Join(home, "gorules/*/leases/*")); len(l) != 1 {
		t.Errorf("leases are left: %v", l)
	}
}
