package fsx_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/fsx"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oddities put what is no file of ours at p; each is removed with everything in it.
var oddities = map[string]func(p string) error{
	"a FIFO":          func(p string) error { return syscall.Mkfifo(p, 0o600) },
	"a folder":        func(p string) error { return os.MkdirAll(filepath.Join(p, "x/y"), 0o700) },
	"a closed folder": func(p string) error { return errors.Join(os.MkdirAll(filepath.Join(p, "x"), 0o700), os.Chmod(p, 0)) },
	"a link":          func(p string) error { return os.Symlink("/dev/zero", p) },
	"a dangling link": func(p string) error { return os.Symlink("nowhere/at/all", p) },
	"a socket": func(p string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: p})
	},
	"nothing": func(string) error { return nil },
}

func TestWriteChecked(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x", "y")
	for _, body := range []string{"", "hello", "again"} {
		must(t, fsx.Plain.WriteChecked(p, "magic 1\n", []byte(body)))
		if got, ok := fsx.Plain.ReadChecked(p, "magic 1\n"); !ok || string(got) != body {
			t.Errorf("ReadChecked = %q, %v, want %q", got, ok, body)
		}
	}
	if _, ok := fsx.Plain.ReadChecked(p, "magic 2\n"); ok {
		t.Error("another version was accepted")
	}
	if _, ok := fsx.Plain.ReadChecked(p+"z", "magic 1\n"); ok {
		t.Error("an absent file was accepted")
	}
	if es, err := os.ReadDir(filepath.Dir(p)); err != nil || len(es) != 1 {
		t.Errorf("left behind: %v, %v", es, err)
	}
	// The state of another request, or of another workspace.
	must(t, os.Rename(p, p+"2"))
	if _, ok := fsx.Plain.ReadChecked(p+"2", "magic 1\n"); ok {
		t.Error("what stood in another place was accepted")
	}
}

// Whatever stands in the place of a state file or its folder is absent, and room
// for the file.
func TestOddState(t *testing.T) {
	for name, put := range oddities {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "s") // short, for the socket
			must(t, err)
			defer fsx.Plain.RemoveAll(dir)
			p := filepath.Join(dir, "state")
			must(t, put(p))
			if _, ok := fsx.Plain.ReadChecked(p, "m\n"); ok {
				t.Error("it was read")
			}
			must(t, fsx.Plain.WriteChecked(p, "m\n", []byte("body")))
			if b, ok := fsx.Plain.ReadChecked(p, "m\n"); !ok || string(b) != "body" {
				t.Errorf("%q, %v", b, ok)
			}
			// In the place of its folder.
			must(t, os.Remove(p))
			must(t, put(p))
			must(t, fsx.Plain.Folder(dir, "state/below", 0o700))
			must(t, fsx.Plain.WriteChecked(p+"/below/file", "m\n", []byte("body")))
			if info, err := os.Lstat(p); err != nil || info.Mode() != os.ModeDir|0o700 {
				t.Errorf("%v, %v", info, err)
			}
			must(t, fsx.Plain.RemoveAll(p))
			must(t, put(p))
			f, err := fsx.Plain.OpenLock(p)
			must(t, err)
			must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
			again, err := fsx.Plain.OpenLock(p)
			must(t, err)
			if unix.Flock(int(again.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				t.Error("two have the lock")
			}
			f.Close()
			again.Close()
			if es, err := os.ReadDir(dir); err != nil || len(es) != 1 {
				t.Errorf("left behind: %v, %v", es, err)
			}
		})
	}
}

// Many processes that meet a folder in the place of a lock come to one lock.
func TestOddLockTogether(t *testing.T) {
	for range 50 {
		p := filepath.Join(t.TempDir(), "lock")
		must(t, os.MkdirAll(filepath.Join(p, "x"), 0o700))
		var mu sync.Mutex
		var got []*os.File
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				f, err := fsx.Plain.OpenLock(p)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, f)
			})
		}
		wg.Wait()
		var first os.FileInfo
		for _, f := range got {
			info, err := f.Stat()
			must(t, err)
			if first == nil {
				first = info
			}
			if !os.SameFile(first, info) {
				t.Error("two lock files")
			}
			f.Close()
		}
	}
}

// A folder keeps what is in it, gets the owner's rights back, and a link in its
// place is not followed.
func TestFolder(t *testing.T) {
	root := t.TempDir()
	must(t, fsx.Plain.Folder(root, "a/b", 0o755))
	must(t, os.WriteFile(root+"/a/b/kept", nil, 0o600))
	must(t, os.Chmod(root+"/a", 0))
	must(t, fsx.Plain.Folder(root, "a/b", 0o755))
	if _, err := os.Stat(root + "/a/b/kept"); err != nil {
		t.Error(err)
	}
	elsewhere := t.TempDir()
	must(t, os.Symlink(elsewhere, root+"/link"))
	must(t, fsx.Plain.Folder(root, "link/x", 0o755))
	if es, err := os.ReadDir(elsewhere); err != nil || len(es) > 0 {
		t.Errorf("made below a link: %v, %v", es, err)
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	must(t, fsx.Plain.Folder(root, "open", 0o755))
	if info, err := os.Stat(root + "/open"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}
