package fsx_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/fsx"
)

// Every call that changes something, or opens, passes the hook, and does not
// happen if the hook fails.
func TestHook(t *testing.T) {
	dir := t.TempDir()
	file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
	if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	var asked []fsx.Op
	f := &fsx.FS{Hook: func(op fsx.Op, _ string) error {
		asked = append(asked, op)
		return boom
	}}
	next := filepath.Join(dir, "next")
	calls := map[fsx.Op]func() error{
		fsx.Create:  func() error { _, err := f.CreateTemp(dir, "x", 0o644); return err },
		fsx.Rename:  func() error { return f.Rename(file, next) },
		fsx.Link:    func() error { return f.Link(file, next) },
		fsx.Symlink: func() error { return f.Symlink("x", next) },
		fsx.Mkdir:   func() error { return errors.Join(f.Mkdir(next, 0o755), f.MkdirAll(next, 0o755)) },
		fsx.Remove:  func() error { return errors.Join(f.Remove(file), f.RemoveAll(sub)) },
		fsx.Times:   func() error { return f.Times(file, fsx.Stamp) },
		fsx.Open:    func() error { _, err := f.OpenFile(file); return err },
		fsx.Sync:    func() error { return f.Syncfs(dir) },
	}
	for op, call := range calls {
		asked = nil
		if err := call(); !errors.Is(err, boom) || len(asked) == 0 || asked[0] != op {
			t.Errorf("%s: asked %v, error %v", op, asked, err)
		}
	}
	es, _ := os.ReadDir(dir)
	info, err := os.Stat(file)
	if len(es) != 2 || err != nil || info.ModTime().Equal(fsx.Stamp) {
		t.Errorf("something happened: %v, %v", es, err)
	}
}

func TestCreateMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	var f *fsx.FS
	file, err := f.CreateTemp(t.TempDir(), "x", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOpenFileRefuses(t *testing.T) {
	var f *fsx.FS
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o644), os.Symlink("/etc/passwd", link)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{fifo, link, dir} {
		if file, err := f.OpenFile(p); err == nil {
			file.Close()
			t.Errorf("%s was opened", p)
		}
	}
}

func TestTimesAndRemoveAll(t *testing.T) {
	var f *fsx.FS
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink("nowhere", link), f.Times(link, fsx.Stamp)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || !info.ModTime().Equal(fsx.Stamp) {
		t.Errorf("time of the link: %v, %v", info, err)
	}
	closed := filepath.Join(dir, "a/b")
	if err := errors.Join(os.MkdirAll(filepath.Join(closed, "c"), 0o755), os.Chmod(closed, 0)); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Errorf("RemoveAll of a closed folder: %v", err)
	}
}

func TestSweep(t *testing.T) {
	var f *fsx.FS
	dir := t.TempDir()
	file, err := f.CreateTemp(dir, "tmp-", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	os.Chtimes(file.Name(), time.Now().Add(-48*time.Hour), time.Now().Add(-48*time.Hour))
	f.Sweep(dir, "tmp-")
	if _, err := os.Stat(file.Name()); err != nil {
		t.Errorf("a file that may be in use was removed: %v", err)
	}
}
