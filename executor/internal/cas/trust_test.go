package cas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// trust is a store that is opened again and again, as commands do, and what is
// read of it meanwhile.
type trust struct {
	*testing.T
	root    string
	opt     cas.DiskOptions
	store   *cas.Disk
	read    []string // names of blobs that were opened
	damaged []string
}

func newTrust(t *testing.T) *trust {
	tr := &trust{T: t, root: filepath.Join(t.TempDir(), "store")}
	tr.opt = cas.DiskOptions{Boot: "one", Damaged: func(p string) { tr.damaged = append(tr.damaged, p) },
		FS: &fsx.FS{Hook: func(op fsx.Op, p string) error {
			if op == fsx.Open && strings.Contains(p, "/cas/") {
				tr.read = append(tr.read, filepath.Base(p))
			}
			return nil
		}}}
	tr.open()
	return tr
}

func (t *trust) open() {
	t.Helper()
	s, err := cas.OpenDisk(t.root, t.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.store, t.read = s, nil
}

// next closes the store and opens it as the next command does.
func (t *trust) next() {
	t.Helper()
	if err := t.store.Close(); err != nil {
		t.Fatal(err)
	}
	t.open()
}

func (t *trust) put(text string) digest.Digest {
	t.Helper()
	d, err := cas.PutBytes(t.Context(), t.store, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (t *trust) has(d digest.Digest) bool {
	t.Helper()
	m, err := t.store.Missing(t.Context(), []digest.Digest{d})
	if err != nil {
		t.Fatal(err)
	}
	return len(m) == 0
}

func (t *trust) file(d digest.Digest) string {
	return filepath.Join(t.root, "cas", d.Hex()[:2], d.Hex())
}

// rot writes other bytes of the same size to d's file and keeps its inode,
// mode and modification time.
func (t *trust) rot(d digest.Digest) {
	t.Helper()
	p := t.file(d)
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	before := stat(t, p)
	if err := errors.Join(os.WriteFile(p, b, 0), os.Chtimes(p, fsx.Stamp, fsx.Stamp)); err != nil {
		t.Fatal(err)
	}
	after := stat(t, p)
	if before.Ino != after.Ino || before.Mtim != after.Mtim || before.Size != after.Size || before.Mode != after.Mode {
		t.Fatal("the change can be seen without the change time")
	}
	if before.Ctim == after.Ctim {
		t.Skip("the kernel's clock is too coarse for this test")
	}
}

func stat(t testing.TB, p string) (st unix.Stat_t) {
	t.Helper()
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// What a process wrote or hashed, no other of this boot reads again, also where
// links moved change times.
func TestVerifiedOnce(t *testing.T) {
	tr := newTrust(t)
	a, b := tr.put("a blob"), tr.put("another")
	for i := range 3 {
		tr.next()
		if !tr.has(a) || !tr.has(b) || len(tr.read) > 0 {
			t.Errorf("command %d: read %v of what is known", i, tr.read)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := tr.store.Link(t.Context(), a, false, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if len(tr.read) > 0 {
			t.Errorf("command %d: read %v to make a link", i, tr.read)
		}
	}
	// A process that was killed notes nothing of what it moved.
	tr.next()
	if err := tr.store.Link(t.Context(), a, false, filepath.Join(t.TempDir(), "link")); err != nil {
		t.Fatal(err)
	}
	tr.open()
	if !tr.has(a) || !tr.has(b) || !slices.Equal(tr.read, []string{a.Hex()}) {
		t.Errorf("after a kill read %v, want a alone", tr.read)
	}
	tr.next()
	if !tr.has(a) || len(tr.read) > 0 {
		t.Errorf("read %v again", tr.read)
	}
}

// Bytes that changed with size, mode and modification time kept are found by the
// change time, moved aside, and made again.
func TestChangeTime(t *testing.T) {
	tr := newTrust(t)
	d, other := tr.put("right bytes"), tr.put("other bytes")
	tr.next()
	tr.rot(d)
	tr.next()
	if tr.has(d) {
		t.Error("changed bytes pass for the blob")
	}
	if !tr.has(other) {
		t.Error("another blob is gone")
	}
	if len(tr.damaged) != 1 || !strings.HasPrefix(filepath.Base(tr.damaged[0]), d.Hex()) {
		t.Fatalf("told of %q, want one file named after the blob", tr.damaged)
	}
	if b, err := os.ReadFile(tr.damaged[0]); err != nil || string(b) == "right bytes" {
		t.Errorf("set aside: %q, %v", b, err)
	}
	tr.put("right bytes")
	tr.next()
	if !tr.has(d) || len(tr.read) > 0 {
		t.Errorf("what was made again is not there, or read: %v", tr.read)
	}
}

// A change time later than now is no proof, whatever was noted: the clock went
// back. The file is hashed, and touched, so that it is only once.
func TestChangeTimeLater(t *testing.T) {
	tr := newTrust(t)
	d, bad := tr.put("a blob"), tr.put("a bad one")
	tr.next()
	tr.rot(bad)
	tr.next()
	tr.opt.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	tr.open()
	if !tr.has(d) || !slices.Equal(tr.read, []string{d.Hex()}) {
		t.Errorf("read %v, want the blob: it changed later than now", tr.read)
	}
	if tr.has(bad) {
		t.Error("changed bytes pass for the blob")
	}
	// Noted with such a time, it would be trusted when the clock is there.
	tr.next()
	if !tr.has(d) || len(tr.read) != 1 {
		t.Errorf("read %v, want the blob again", tr.read)
	}
	tr.opt.Now = nil
	tr.next()
	tr.has(d)
	tr.next()
	if !tr.has(d) || len(tr.read) != 0 {
		t.Errorf("read %v with the right clock", tr.read)
	}
}

// After a boot nothing is known: what a power loss left of a file is found,
// though its stat is right, and even if its links were removed since.
func TestTornFile(t *testing.T) {
	for _, unlink := range []bool{false, true} {
		tr := newTrust(t)
		d := tr.put("right bytes")
		link := filepath.Join(t.TempDir(), "link")
		if err := tr.store.Link(t.Context(), d, false, link); err != nil {
			t.Fatal(err)
		}
		tr.rot(d)
		tr.next() // the command noted it as it was then: right, in memory
		if !tr.has(d) {
			t.Fatal("in this boot nobody can know")
		}
		tr.opt.Boot = "two"
		tr.next()
		if unlink { // moves its change time into this boot
			if err := os.Remove(link); err != nil {
				t.Fatal(err)
			}
		}
		if tr.has(d) {
			t.Error("a torn file passes for the blob")
		}
	}
}

// A kernel that does not tell its boot: every process hashes what it uses.
func TestUnknownBoot(t *testing.T) {
	if _, err := os.Stat("/proc/sys/kernel/random/boot_id"); err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	s, err := cas.OpenDisk(root, cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cas.PutBytes(t.Context(), s, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "verified")); err != nil || !bytes.Contains(b, bytes.TrimSpace(id)) {
		t.Errorf("what was verified does not name the boot: %q, %v", b, err)
	}
}

// A file whose mode or time somebody changed, and not its bytes, is put right.
func TestTouchedFile(t *testing.T) {
	tr := newTrust(t)
	d := tr.put("a blob")
	for _, touch := range []func(p string) error{
		func(p string) error { return os.Chmod(p, 0) },
		func(p string) error { return os.Chmod(p, 0o666) },
		func(p string) error { return os.Chtimes(p, time.Now(), time.Now()) },
		func(p string) error { later := time.Now().Add(1000 * time.Hour); return os.Chtimes(p, later, later) },
	} {
		if err := touch(tr.file(d)); err != nil {
			t.Fatal(err)
		}
		tr.next()
		if os.Geteuid() != 0 && stat(t, tr.file(d)).Mode&0o777 == 0 {
			tr.put("a blob") // who may not read it cannot know
		}
		if !tr.has(d) {
			t.Error("a right file counts as absent")
		}
		if st := stat(t, tr.file(d)); st.Mode&0o777 != 0o644 || st.Mtim.Nano() != fsx.Stamp.UnixNano() {
			t.Errorf("mode %o, time %v", st.Mode, st.Mtim)
		}
	}
}

// Whatever the file of what was verified holds, nothing is trusted that should not be.
func TestLedgerDamaged(t *testing.T) {
	tr := newTrust(t)
	d := tr.put("right bytes")
	tr.next()
	ledger := filepath.Join(tr.root, "verified")
	good, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	tr.rot(d)
	// As the next command will find it, at each of its bytes.
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if err := os.WriteFile(ledger, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		tr.open()
		if tr.has(d) {
			t.Fatalf("byte %d of it flipped, and a changed file is trusted", i)
		}
		if len(tr.damaged) != 1 {
			t.Fatalf("told of %v", tr.damaged)
		}
		if err := os.Rename(tr.damaged[0], tr.file(d)); err != nil {
			t.Fatal(err)
		}
		tr.damaged = nil
	}
	for name, put := range map[string]func() error{
		"a FIFO":   func() error { return unix.Mkfifo(ledger, 0o600) },
		"a folder": func() error { return os.MkdirAll(filepath.Join(ledger, "x"), 0o700) },
		"a link":   func() error { return os.Symlink("/dev/zero", ledger) },
		"nothing":  func() error { return nil },
	} {
		if err := errors.Join(os.RemoveAll(ledger), put()); err != nil {
			t.Fatal(err)
		}
		tr.open()
		tr.has(d)
		tr.put("right bytes")
		tr.next()
		if !tr.has(d) || len(tr.read) > 0 {
			t.Errorf("%s in its place: it was not made anew; read %v", name, tr.read)
		}
	}
}

// Get is the last to look: a disk that gives other bytes than it took is found,
// and the blob is absent from then on.
func TestGetSetsAside(t *testing.T) {
	tr := newTrust(t)
	d := tr.put("right bytes")
	tr.rot(d) // this process trusts what it wrote
	if !tr.has(d) {
		t.Fatal("the process does not trust its own file")
	}
	if _, err := cas.ReadAll(t.Context(), tr.store, d); !errors.Is(err, cas.ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
	if tr.has(d) || len(tr.damaged) != 1 {
		t.Errorf("still there; told of %v", tr.damaged)
	}
}

// What is set aside is bounded.
func TestDamagedBound(t *testing.T) {
	tr := newTrust(t)
	var ds []digest.Digest
	for i := range 80 {
		ds = append(ds, tr.put(fmt.Sprint("blob ", i)))
	}
	for _, d := range ds {
		if err := os.Truncate(tr.file(d), 3); err != nil {
			t.Fatal(err)
		}
	}
	tr.next()
	for _, d := range ds {
		if tr.has(d) {
			t.Fatal("a cut file passes for the blob")
		}
	}
	kept, _ := filepath.Glob(filepath.Join(tr.root, "damaged/*"))
	if len(kept) != 64 || len(tr.damaged) != 80 || tr.damaged[79] != "" {
		t.Errorf("%d kept, told of %d", len(kept), len(tr.damaged))
	}
}

// Two processes that use one store at once trust no less and no more.
func TestTwoProcesses(t *testing.T) {
	tr := newTrust(t)
	d := tr.put("a blob")
	first := tr.store
	tr.open() // the second knows nothing of the first yet
	if !tr.has(d) || len(tr.read) != 1 {
		t.Errorf("read %v, want the blob", tr.read)
	}
	e, err := cas.PutBytes(context.Background(), first, []byte("more"))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	tr.next()
	if !tr.has(d) || !tr.has(e) || len(tr.read) > 0 {
		t.Errorf("read %v of what the two noted", tr.read)
	}
}

func BenchmarkLedger(b *testing.B) {
	root := b.TempDir()
	s, err := cas.OpenDisk(root, cas.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var ds []digest.Digest
	for i := range 10_000 {
		d, err := cas.PutBytes(b.Context(), s, []byte(fmt.Sprint("blob ", i)))
		if err != nil {
			b.Fatal(err)
		}
		ds = append(ds, d)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := cas.OpenDisk(root, cas.DiskOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("look at 10,000", func(b *testing.B) {
		s, err := cas.OpenDisk(root, cas.DiskOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if m, err := s.Missing(b.Context(), ds); err != nil || len(m) > 0 {
				b.Fatal(m, err)
			}
		}
	})
	b.Run("close after 10,000", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s, err := cas.OpenDisk(root, cas.DiskOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range ds {
				if _, err := s.Path(b.Context(), d, false); err != nil {
					b.Fatal(err)
				}
			}
			now := time.Now()
			if err := os.Chtimes(filepath.Join(root, "cas"), now, now); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
