package cas_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/cas/castest"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
)

func TestMemory(t *testing.T) {
	castest.Run(t, func(*testing.T) cas.Store { return &cas.Memory{} })
}

func TestDisk(t *testing.T) {
	for _, shared := range []bool{false, true} {
		castest.Run(t, func(t *testing.T) cas.Store { return open(t, t.TempDir(), shared) })
	}
}

func open(t *testing.T, root string, shared bool) *cas.Disk {
	t.Helper()
	s, err := cas.OpenDisk(filepath.Join(root, "store"), cas.DiskOptions{Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// blobFile returns the one stored file in root.
func blobFile(t *testing.T, root string) string {
	t.Helper()
	m, err := filepath.Glob(filepath.Join(root, "store/cas/??/*"))
	if err != nil || len(m) != 1 {
		t.Fatalf("stored files: %v, %v; want one", m, err)
	}
	return m[0]
}

// Whatever happens to a stored file makes it absent, and Put heals it.
func TestDiskAnomalies(t *testing.T) {
	ctx := context.Background()
	blob := []byte(strings.Repeat("content ", 1000))
	d := digest.Of(blob)
	flip := func(t *testing.T, p string) {
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("X"), 4000); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	damage := map[string]func(t *testing.T, p string){
		"flipped byte":  flip,
		"truncated":     func(t *testing.T, p string) { must(t, os.Truncate(p, 10)) },
		"emptied":       func(t *testing.T, p string) { must(t, os.Truncate(p, 0)) },
		"longer":        func(t *testing.T, p string) { must(t, os.Truncate(p, 1<<20)) },
		"mode and byte": func(t *testing.T, p string) { flip(t, p); must(t, os.Chmod(p, 0)) },
		"removed":       func(t *testing.T, p string) { must(t, os.Remove(p)) },
		"directory": func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.MkdirAll(filepath.Join(p, "x"), 0o755))
		},
		"link": func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".moved"))
			must(t, os.Symlink(p+".moved", p))
		},
		"fifo": func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, syscall.Mkfifo(p, 0o644))
		},
	}
	for name, f := range damage {
		for _, fresh := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				root := t.TempDir()
				s := open(t, root, false)
				must(t, s.Put(ctx, d, bytes.NewReader(blob)))
				f(t, blobFile(t, root))
				if fresh {
					s = open(t, root, false)
				}
				if m, _ := s.Missing(ctx, []digest.Digest{d}); len(m) != 1 {
					t.Errorf("Missing = %v, want the blob", m)
				}
				if b, err := cas.ReadAll(ctx, s, d); err == nil {
					t.Errorf("ReadAll gave %d bytes and no error", len(b))
				}
				if _, err := s.Path(ctx, d, false); !errors.Is(err, cas.ErrNotFound) {
					t.Errorf("Path = %v, want ErrNotFound", err)
				}
				must(t, s.Put(ctx, d, bytes.NewReader(blob)))
				if b, err := cas.ReadAll(ctx, s, d); err != nil || !bytes.Equal(b, blob) {
					t.Errorf("after Put: %d bytes, %v", len(b), err)
				}
				if left, _ := filepath.Glob(filepath.Join(root, "store/damaged/*")); len(left) != 1 && name != "removed" {
					t.Errorf("set aside: %v, want one", left)
				}
			})
		}
	}
}

func TestDiskForms(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := open(t, root, false)
	d, err := s.Add(ctx, strings.NewReader("#!/bin/sh\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []bool{true, false, true} {
		p, err := s.Path(ctx, d, x)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm()&0o111 != 0 != x || !info.ModTime().Equal(fsx.Stamp) {
			t.Errorf("Path(%v): %v, %v", x, info, err)
		}
		dst := filepath.Join(root, "linked")
		os.Remove(dst)
		if err := s.Link(ctx, d, x, dst); err != nil {
			t.Fatal(err)
		}
		if li, _ := os.Stat(dst); !os.SameFile(info, li) {
			t.Errorf("Link(%v) made a copy", x)
		}
	}
	if p, err := s.Path(ctx, digest.Empty, false); err != nil {
		t.Error(err)
	} else if b, err := os.ReadFile(p); err != nil || len(b) != 0 {
		t.Errorf("empty blob: %q, %v", b, err)
	}
}

func TestOpenDiskErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(name, root string, shared bool, want string) {
		_, err := cas.OpenDisk(root, cas.DiskOptions{Shared: shared})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: error %v, want it to say %q", name, err, want)
		}
	}
	check("file in its place", file, false, "not a directory")
	check("below a file", filepath.Join(file, "x"), true, "not a directory")
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		if err := os.Mkdir(foreign, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		check("of another user", foreign, false, "belongs to user 12345")
		check("shared by nobody", foreign, true, "who shares it with nobody")
		if err := os.Chmod(foreign, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := cas.OpenDisk(foreign, cas.DiskOptions{Shared: true}); err != nil {
			t.Errorf("open to everybody: %v", err)
		}
	} else {
		ro := filepath.Join(dir, "ro")
		if err := os.Mkdir(ro, 0o555); err != nil {
			t.Fatal(err)
		}
		check("unwritable", ro, true, "permission denied")
	}
	private := filepath.Join(dir, "private")
	if _, err := cas.OpenDisk(private, cas.DiskOptions{}); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(private); info.Mode().Perm() != 0o700 {
		t.Errorf("a private store has mode %v, want 0700", info.Mode().Perm())
	}
}

// Every file-system call may fail: then Put fails, and nothing wrong is stored.
func TestDiskFaults(t *testing.T) {
	ctx := context.Background()
	blob := bytes.Repeat([]byte("x"), 1<<20)
	d := digest.Of(blob)
	boom := errors.New("disk on fire")
	for n := 1; ; n++ {
		count, armed := 0, false
		hook := func(op fsx.Op, p string) error {
			if armed {
				if count++; count == n {
					return boom
				}
			}
			return nil
		}
		root := t.TempDir()
		s, err := cas.OpenDisk(root, cas.DiskOptions{FS: &fsx.FS{Hook: hook}})
		if err != nil {
			t.Fatal(err)
		}
		armed = true
		err = s.Put(ctx, d, bytes.NewReader(blob))
		armed = false
		if count < n {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d calls", count)
			return
		}
		if !errors.Is(err, boom) {
			t.Errorf("call %d failed and Put returned %v", n, err)
		}
		if _, err := s.Get(ctx, d); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("call %d: after a failed Put: %v", n, err)
		}
		if left, _ := filepath.Glob(filepath.Join(root, "cas/*/.tmp-*")); len(left) != 0 {
			t.Errorf("call %d: left %v", n, left)
		}
	}
}

func BenchmarkDiskLink(b *testing.B) {
	ctx := context.Background()
	root := b.TempDir()
	s, err := cas.OpenDisk(filepath.Join(root, "s"), cas.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var ds []digest.Digest
	for i := range 150 {
		d, err := cas.PutBytes(ctx, s, []byte(strings.Repeat("z", 4000+i)))
		if err != nil {
			b.Fatal(err)
		}
		ds = append(ds, d)
	}
	dst := filepath.Join(root, "t")
	for b.Loop() {
		os.Mkdir(dst, 0o755)
		for i, d := range ds {
			if err := s.Link(ctx, d, false, filepath.Join(dst, string(rune('a'+i)))); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		os.RemoveAll(dst)
		b.StartTimer()
	}
}

func BenchmarkDiskPut4K(b *testing.B) {
	ctx := context.Background()
	s, err := cas.OpenDisk(b.TempDir(), cas.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	blob := make([]byte, 4096)
	n := 0
	for b.Loop() {
		n++
		copy(blob, time.Unix(0, int64(n)).String())
		if _, err := cas.PutBytes(ctx, s, blob); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiskAdd64M(b *testing.B) {
	ctx := context.Background()
	root := b.TempDir()
	s, err := cas.OpenDisk(filepath.Join(root, "s"), cas.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	src := filepath.Join(root, "src")
	if err := os.WriteFile(src, bytes.Repeat([]byte("0123456789abcdef"), 4<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 << 20)
	for b.Loop() {
		f, err := os.Open(src)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Add(ctx, f, false); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// Two processes store the same blob again and again while a third links it:
// whichever file is there, a link to it can be made.
func TestLinkWhileStored(t *testing.T) {
	root, content := t.TempDir(), []byte("the same bytes")
	d := digest.Of(content)
	first, err := cas.OpenDisk(root, cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Put(t.Context(), d, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, err := cas.OpenDisk(root, cas.DiskOptions{}) // knows nothing, so it writes
				if err == nil {
					err = s.Put(t.Context(), d, bytes.NewReader(content))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 3000 {
		dst := filepath.Join(root, "link"+strconv.Itoa(i))
		if err := first.Link(t.Context(), d, false, dst); err != nil {
			t.Errorf("link %d: %v", i, err)
			break
		}
		os.Remove(dst)
	}
	close(stop)
	wg.Wait()
}

// Uses are noted for who collects, at most once an hour, and leave what actions
// see as it was.
func TestUseIsNoted(t *testing.T) {
	ctx := context.Background()
	s, err := cas.OpenDisk(t.TempDir(), cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := cas.PutBytes(ctx, s, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(s.Blobs(), d.Hex()[:2], d.Hex())
	for name, use := range map[string]func() error{
		"missing": func() error { _, err := s.Missing(ctx, []digest.Digest{d}); return err },
		"path":    func() error { _, err := s.Path(ctx, d, false); return err },
		"get":     func() error { _, err := cas.ReadAll(ctx, s, d); return err },
	} {
		for age, noted := range map[time.Duration]bool{2 * time.Hour: true, 10 * time.Minute: false} {
			was := time.Now().Add(-age)
			if err := os.Chtimes(p, was, fsx.Stamp); err != nil {
				t.Fatal(err)
			}
			if err := use(); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Stat(p, &st); err != nil {
				t.Fatal(err)
			}
			now := time.Since(time.Unix(0, fsx.Used(&st))) < time.Minute
			if name == "get" && !noted {
				continue // the kernel notes that it was read, since a test cannot set the change time
			}
			if now != noted || st.Mtim.Nano() != fsx.Stamp.UnixNano() {
				t.Errorf("%s of a blob used %v ago: noted %v; its modification time is %v", name, age, now, time.Unix(st.Mtim.Unix()))
			}
		}
	}
	// A bad file is not made young, whatever asks for it.
	if err := os.WriteFile(p, []byte("CONTENT"), 0); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(p, old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := cas.ReadAll(ctx, s, d); err == nil {
		t.Error("a bad blob was read")
	}
	if info, err := os.Stat(p); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("a bad file was touched: %v %v", info.ModTime(), err)
	}
}

// Whatever is asked for is pinned before it is looked for.
func TestHold(t *testing.T) {
	ctx := context.Background()
	uses := map[string]func(s *cas.Disk, d digest.Digest){
		"missing": func(s *cas.Disk, d digest.Digest) { _, _ = s.Missing(ctx, []digest.Digest{d}) },
		"path":    func(s *cas.Disk, d digest.Digest) { _, _ = s.Path(ctx, d, true) },
		"get":     func(s *cas.Disk, d digest.Digest) { _, _ = s.Get(ctx, d) },
		"put":     func(s *cas.Disk, d digest.Digest) { _ = s.Put(ctx, d, strings.NewReader("x")) },
		"file":    func(s *cas.Disk, d digest.Digest) { _ = s.PutFile(ctx, d, strings.NewReader("x"), true) },
		"add":     func(s *cas.Disk, d digest.Digest) { _, _ = s.Add(ctx, strings.NewReader("x"), true) },
	}
	for name, use := range uses {
		dir := t.TempDir()
		s, err := cas.OpenDisk(dir, cas.DiskOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := lease.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s.Hold(l)
		d := digest.Of([]byte("x"))
		use(s, d)
		c, err := lease.Collect(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Shut(func(pinned func(lease.Name) bool) error {
			if !pinned(cas.Pinned(d)) {
				t.Errorf("%s pins nothing", name)
			}
			return nil
		})
		if err = errors.Join(err, c.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
