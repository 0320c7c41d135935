package run_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

const (
	crashRoot = "RUN_TEST_CRASH_ROOT"
	crashAt   = "RUN_TEST_CRASH_AT" // the call to die at; 0 means to go on for ever
)

// crashText is the content of file k of action i.
func crashText(i, k int) string { return strings.Repeat(fmt.Sprintf("%d/%d ", i, k), 3000) }

func crashBound(i int) *action.Bound {
	b := runtest.Bound([]string{"action", strconv.Itoa(i)}, tree.Empty, "/out/a", "/out/b")
	b.Outputs = append(b.Outputs, action.BoundOutput{Path: "/out/d", Dir: true})
	return b
}

// TestCrashChild is no test: it is the process that dies.
func TestCrashChild(t *testing.T) {
	root := os.Getenv(crashRoot)
	if root == "" {
		t.Skip("run by the tests of crashes")
	}
	at, _ := strconv.Atoi(os.Getenv(crashAt))
	calls := 0
	hook := func(fsx.Op, string) error {
		if calls++; calls == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal needs a moment
		}
		return nil
	}
	for i := 0; at == 0 || i < 2; i++ {
		if err := crashWrite(root, i, &fsx.FS{Hook: hook}); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("unhurt")
}

func crashOpen(root string, f *fsx.FS) (*cas.Disk, *run.DiskCache, error) {
	s, err := cas.OpenDisk(root, cas.DiskOptions{FS: f})
	if err != nil {
		return nil, nil, err
	}
	c, err := run.OpenDiskCache(root, "full", s, f)
	return s, c, err
}

func crashWrite(root string, i int, f *fsx.FS) error {
	ctx := context.Background()
	s, c, err := crashOpen(root, f)
	if err != nil {
		return err
	}
	var ds []digest.Digest
	for k := range 3 {
		d, err := s.Add(ctx, strings.NewReader(crashText(i, k)), k == 1)
		if err != nil {
			return err
		}
		ds = append(ds, d)
	}
	var tb tree.Builder
	if err := tb.AddFile("x/y", ds[2], false); err != nil {
		return err
	}
	d, err := tb.Build()
	if err != nil {
		return err
	}
	return c.Record(ctx, crashBound(i), run.Result{
		Key:    crashBound(i).Digest,
		Stdout: digest.Empty, Stderr: digest.Empty,
		Outputs: map[string]action.Content{"/out/a": {File: ds[0]}, "/out/b": {File: ds[1], Executable: true}, "/out/d": {Tree: d}},
	})
}

// crashCheck fails if an entry names absent or wrong bytes, and returns the
// number of entries.
func crashCheck(t *testing.T, root string) int {
	t.Helper()
	ctx := context.Background()
	s, c, err := crashOpen(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(root, "ac/??/*"))
	found := 0
	for i := 0; found < len(files) && i < len(files)+1; i++ {
		res, ok, err := c.Lookup(ctx, crashBound(i))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		found++
		e, _ := res.Outputs["/out/d"].Tree.Lookup("x/y")
		for k, d := range []digest.Digest{res.Outputs["/out/a"].File, res.Outputs["/out/b"].File, e.File} {
			if b, err := cas.ReadAll(ctx, s, d); err != nil || string(b) != crashText(i, k) {
				t.Errorf("entry %d, file %d: %d bytes, %v", i, k, len(b), err)
			}
			if _, err := s.Path(ctx, d, k == 1); err != nil {
				t.Errorf("entry %d, file %d: %v", i, k, err)
			}
		}
	}
	if found != len(files) {
		t.Errorf("%d of %d entries can be read", found, len(files))
	}
	return found
}

func crashCommand(root string, at int) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashRoot+"="+root, crashAt+"="+strconv.Itoa(at))
	return cmd
}

// A process killed at each of its file-system calls leaves a right store, in
// which the next process can do the whole work.
func TestKilledAtEveryCall(t *testing.T) {
	for at := 1; ; at++ {
		root := filepath.Join(t.TempDir(), "s")
		out, err := crashCommand(root, at).CombinedOutput()
		if err == nil {
			if !strings.Contains(string(out), "unhurt") {
				t.Fatalf("%s", out)
			}
			if n := crashCheck(t, root); n != 2 {
				t.Errorf("%d entries after an unhurt run, want 2", n)
			}
			t.Logf("killed at each of %d calls", at-1)
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("call %d: %v\n%s", at, err, out)
		}
		if _, err := os.Stat(root); err != nil {
			continue // died before it made the store
		}
		crashCheck(t, root)
		for i := range 2 {
			if err := crashWrite(root, i, nil); err != nil {
				t.Fatalf("after a kill at call %d: %v", at, err)
			}
		}
		if n := crashCheck(t, root); n != 2 {
			t.Errorf("after a kill at call %d: %d entries, want 2", at, n)
		}
	}
}

func TestKilledAtRandom(t *testing.T) {
	root := filepath.Join(t.TempDir(), "s")
	entries := 0
	for i := range 12 {
		cmd := crashCommand(root, 0)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(30+7*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		entries = crashCheck(t, root)
	}
	if entries == 0 {
		t.Error("no entry was ever written; the test showed nothing")
	}
	t.Logf("12 kills, %d entries", entries)
}
