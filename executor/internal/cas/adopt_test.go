package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

func TestAdopt(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	private, shared := open(t, root, false), open(t, t.TempDir(), true)
	n := 0
	for _, c := range []struct {
		name    string
		store   *cas.Disk
		prepare func(t *testing.T, p string)
		moved   bool
	}{
		{"the only name", private, func(*testing.T, string) {}, true},
		{"an odd mode and time", private, func(_ *testing.T, p string) { os.Chmod(p, 0o4640) }, true},
		{"two names", private, func(t *testing.T, p string) {
			if err := os.Link(p, p+"2"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a shared store", shared, func(*testing.T, string) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n++
			text := bytes.Repeat([]byte{byte(n), 'x'}, 300_000)
			p := filepath.Join(root, "out")
			if err := os.WriteFile(p, text, 0o644); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, p)
			var before, after unix.Stat_t
			unix.Lstat(p, &before)
			f, err := os.Open(p)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			d, err := c.store.Adopt(ctx, f, p, true)
			if err != nil || d != digest.Of(text) {
				t.Fatalf("Adopt = %v, %v", d, err)
			}
			_, err = os.Lstat(p)
			if gone := errors.Is(err, fs.ErrNotExist); gone != c.moved {
				t.Errorf("moved: %v, want %v", gone, c.moved)
			}
			os.Remove(p)
			q, err := c.store.Path(ctx, d, true)
			if err != nil || unix.Lstat(q, &after) != nil {
				t.Fatal(q, err)
			}
			if (before.Ino == after.Ino) != c.moved {
				t.Errorf("the stored file is inode %d, the output was %d", after.Ino, before.Ino)
			}
			if after.Mode != unix.S_IFREG|0o755 || after.Mtim.Sec != fsx.Stamp.Unix() {
				t.Errorf("stored with mode %o, time %d", after.Mode, after.Mtim.Sec)
			}
			if got, err := cas.ReadAll(ctx, c.store, d); err != nil || !bytes.Equal(got, text) {
				t.Errorf("ReadAll: %d bytes, %v", len(got), err)
			}
		})
	}
}

// Of two equal outputs the first one's file stays, which somebody may be about to link.
func TestAdoptTwice(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, false)
	var inodes []uint64
	for range 2 {
		p := filepath.Join(root, "out")
		os.WriteFile(p, []byte("same"), 0o644)
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Adopt(context.Background(), f, p, true)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left at its place: %v", err)
		}
		q, err := s.Path(context.Background(), d, true)
		var st unix.Stat_t
		if err != nil || unix.Lstat(q, &st) != nil {
			t.Fatal(q, err)
		}
		inodes = append(inodes, st.Ino)
	}
	if inodes[0] != inodes[1] {
		t.Errorf("the stored file was replaced: inodes %v", inodes)
	}
}

// A fault at any call is an error, and no wrong blob.
func TestAdoptFaults(t *testing.T) {
	for k := 1; ; k++ {
		calls, armed := 0, false
		hook := func(fsx.Op, string) error {
			if armed {
				if calls++; calls == k {
					return unix.EIO
				}
			}
			return nil
		}
		root := t.TempDir()
		s, err := cas.OpenDisk(filepath.Join(root, "store"), cas.DiskOptions{FS: &fsx.FS{Hook: hook}})
		if err != nil {
			t.Fatal(err)
		}
		armed = true
		p := filepath.Join(root, "out")
		os.WriteFile(p, []byte("text"), 0o644)
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Adopt(context.Background(), f, p, false)
		f.Close()
		if calls < k {
			if err != nil || k < 3 {
				t.Errorf("without a fault: %v, after %d calls", err, calls)
			}
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("fault %d: %v, %v", k, d, err)
		}
	}
}

// A sparse file is stored by what it holds, also where it is copied.
func TestSparse(t *testing.T) {
	root := t.TempDir()
	for _, shared := range []bool{false, true} {
		s := open(t, t.TempDir(), shared)
		p := filepath.Join(root, "out")
		f, err := os.Create(p)
		if err != nil {
			t.Fatal(err)
		}
		const size = 64 << 20
		f.WriteAt([]byte("begin"), 0)
		f.WriteAt([]byte("middle"), size/2)
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		f.Close()
		want, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if f, err = os.Open(p); err != nil {
			t.Fatal(err)
		}
		d, err := s.Adopt(context.Background(), f, p, true)
		f.Close()
		if err != nil || d != digest.Of(want) {
			t.Fatalf("Adopt = %v, %v; want %v", d, err, digest.Of(want))
		}
		q, err := s.Path(context.Background(), d, true)
		var st unix.Stat_t
		if err != nil || unix.Lstat(q, &st) != nil {
			t.Fatal(q, err)
		}
		if st.Size != size || st.Blocks*512 > size/8 {
			t.Errorf("shared %v: %d bytes take %d of the disk", shared, st.Size, st.Blocks*512)
		}
	}
}

// Processes that adopt the same bytes at once do not hurt each other.
func TestAdoptTogether(t *testing.T) {
	root := t.TempDir()
	text := bytes.Repeat([]byte("same "), 1000)
	var wg sync.WaitGroup
	for i := range 8 {
		s := open(t, root, false) // as a process of its own
		wg.Go(func() {
			for k := range 100 {
				p := filepath.Join(root, fmt.Sprint("out", i))
				os.WriteFile(p, text, 0o644)
				f, err := os.Open(p)
				if err != nil {
					t.Error(err)
					return
				}
				d, err := s.Adopt(context.Background(), f, p, true)
				f.Close()
				if err != nil || d != digest.Of(text) {
					t.Errorf("round %d: %v, %v", k, d, err)
				}
				os.Remove(s.Blobs() + "/" + d.Hex()[:2] + "/" + d.Hex() + ".x") // so that there is something to do
			}
		})
	}
	wg.Wait()
}
