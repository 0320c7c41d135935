package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/fsx"
)

func TestRemoveAll(t *testing.T) {
	var f *fsx.FS
	dir := t.TempDir()
	p := filepath.Join(dir, "p")
	gone := func(what string) {
		t.Helper()
		if err := f.RemoveAll(p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: still there: %v", what, err)
		}
	}
	gone("nothing")
	os.WriteFile(p, nil, 0)
	gone("a file")
	kept := filepath.Join(dir, "kept")
	os.WriteFile(kept, []byte("x"), 0o644)
	os.Symlink(dir, p)
	gone("a link to a folder")

	os.MkdirAll(filepath.Join(p, "a/b"), 0o755)
	os.WriteFile(filepath.Join(p, "a/b/f"), nil, 0o400)
	os.Symlink(kept, filepath.Join(p, "a/b/l"))
	unix.Mkfifo(filepath.Join(p, "a/fifo"), 0)
	os.Chmod(filepath.Join(p, "a/b"), 0)
	os.Chmod(filepath.Join(p, "a"), 0o111)
	os.Chmod(p, 0)
	gone("folders without rights")

	for i := range 3000 {
		d := filepath.Join(p, "wide", strconv.Itoa(i))
		os.MkdirAll(d, 0o755)
		os.WriteFile(filepath.Join(d, "f"), nil, 0o644)
	}
	gone("3000 folders")

	// Deeper than a process may have descriptors and a path bytes, with names
	// in the way of those that are given to what is moved.
	os.MkdirAll(filepath.Join(p, ".deep-1/x"), 0o755)
	d, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(d.Fd())
	for i := range 5000 {
		if err := unix.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(i, err)
		}
		next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(i, err)
		}
		if i%500 == 7 {
			unix.Fchmod(next, 0o500)
			unix.Fchmod(next, 0o700)
		}
		if i > 0 {
			unix.Close(fd)
		}
		fd = next
	}
	unix.Close(fd)
	d.Close()
	gone("5000 nested folders")
	if b, err := os.ReadFile(kept); err != nil || string(b) != "x" {
		t.Errorf("a file that a link named: %q, %v", b, err)
	}
}

func TestRemoveAllAsks(t *testing.T) {
	p := filepath.Join(t.TempDir(), "p")
	os.Mkdir(p, 0o755)
	f := &fsx.FS{Hook: func(op fsx.Op, path string) error { return unix.EIO }}
	if err := f.RemoveAll(p); !errors.Is(err, unix.EIO) {
		t.Errorf("RemoveAll = %v, want the hook's error", err)
	}
}
