package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
)

// Disk is a store in a folder: cas/<2 hex>/<64 hex> below its root.
//
// A blob is in up to two files: plain (mode 0644) and executable (0755, name
// with suffix ".x"), so that either can be hard-linked into a tree that is
// shown to actions read-only. Each has fsx.Stamp as its modification time.
//
// # Why bytes can be trusted
//
// A file gets its name by a rename after all of it was written and hashed, so a
// killed process leaves only a temporary file. That a file once held the right
// bytes does not say that it still does: a program may have written to it and
// have set its modification time back, as rsync and tar do; after a power loss a
// file may have its name and size and not its bytes.
//
// So a file of a private store is trusted, without a look at its bytes, only if
// a gorules process of this boot wrote or hashed it, and it has the same device,
// inode, size, mode, modification time and change time ever since. These are in
// the file "verified" (see ledger). Every other file is hashed before its first
// use. No program can set a change time; links to a file move it, so each process
// notes, when it closes the store, the change times of the files that it used:
// what is written to one of these while a command uses it goes unnoticed until the next
// boot. A change time later than now proves nothing, since a clock that went back
// may give it a second time: such a file is hashed, and touched. What stat cannot
// tell, a disk that gives other bytes than it took, is found by Get, which hashes
// what it reads, and by the first use after a boot.
//
// Nothing ever waits for a disk, no entry of an action cache has to wait for its
// blobs, and a power loss costs at most the results whose bytes were not written
// yet (the kernel writes within about 30 s). It costs 2 µs to look at a file and
// some 0.6 ms to hash 1 MB of one.
//
// What has the name of a blob and is not its content is moved to the folder
// "damaged", and is absent.
//
// In a shared store (DiskOptions.Shared) others have write access, so the
// first use in each process hashes every file.
//
// # What may be collected
//
// When a file was last used stands in its access and change time (fsx.Used), at
// most an hour behind; the modification time is what actions see. It is noted
// where the file is made or found sound, and never of a file that is not: that
// moves the file into this era. Every
// blob that is made, found or read is pinned first, see Hold.
type Disk struct {
	root    string
	fs      *fsx.FS
	shared  bool
	mode    fs.FileMode // of new directories
	now     func() time.Time
	damaged func(path string)
	dev     uint64 // of the file system
	lease   *lease.Lease

	wrote  atomic.Int64
	next   atomic.Uint32 // the shard for the next temporary file
	ledger *ledger       // what earlier processes found; nil for a shared store
	known  sync.Map      // witness -> path, of files whose bytes this process wrote, hashed or handed out
}

type form struct {
	d digest.Digest
	x bool
}

// A witness is a file that was found to hold what form says.
type witness struct {
	form
	dev, ino uint64
}

func witnessOf(d digest.Digest, x bool, st *unix.Stat_t) witness {
	return witness{form{d, x}, uint64(st.Dev), st.Ino}
}

// DiskOptions configure a Disk. The zero value is a private store.
type DiskOptions struct {
	// Shared says that other users or machines may write to the folder.
	Shared bool
	FS     *fsx.FS

	// Damaged, where not nil, is told of each file that held other bytes than it
	// should, with the path that it was moved to; "" if it was removed.
	Damaged func(path string)

	Now  func() time.Time // nil is time.Now
	Boot string           // names this boot of the machine; "" asks the kernel
}

// OpenDisk opens the store at root, which is made if it is missing. A root
// that cannot be written to, or that belongs to somebody who does not share it,
// is an error that says what to do.
func OpenDisk(root string, o DiskOptions) (*Disk, error) {
	s := &Disk{root: root, fs: o.FS, shared: o.Shared, mode: 0o700, damaged: o.Damaged, now: o.Now}
	if s.damaged == nil {
		s.damaged = func(string) {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Shared {
		s.mode = 0o755
	}
	cannot := func(err error) error {
		return fmt.Errorf("cache folder %s: %w; name another one with --disk_cache or --output_user_root", root, err)
	}
	if err := s.fs.MkdirAll(root, s.mode); err != nil {
		return nil, cannot(err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("cache folder %s: a file is in its place", root)
	}
	if o.Shared {
		s.mode = fsx.ModeBelow(info)
		if err := s.shareable(info); err != nil {
			return nil, err
		}
	} else if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("cache folder %s belongs to user %d, not to you (%d): a private cache is never shared; use --disk_cache for a shared one, or --output_user_root for another place",
			root, st.Uid, os.Geteuid())
	}
	if err := s.fs.Folder(root, "cas", s.mode); err != nil {
		return nil, cannot(err)
	}
	if err := s.shards(); err != nil {
		return nil, cannot(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, "cas"), &st); err != nil {
		return nil, cannot(err)
	}
	s.dev = uint64(st.Dev)
	if err := unix.Access(filepath.Join(root, "cas"), unix.W_OK|unix.X_OK); err != nil {
		return nil, cannot(fmt.Errorf("cannot write: %w", err))
	}
	if !o.Shared {
		boot := o.Boot
		if boot == "" {
			boot = bootID()
		}
		s.ledger = openLedger(s.fs, filepath.Join(root, "verified"), boot)
	}
	s.fs.Spread(filepath.Join(root, "cas"))
	s.next.Store(rand.Uint32())
	s.fs.Sweep(s.shard(byte(rand.Uint32())), "tmp-") // all of them in the long run
	return s, nil
}

// Blobs returns the folder below which Path finds content.
func (s *Disk) Blobs() string { return filepath.Join(s.root, "cas") }

// Hold makes s pin with l whatever it is asked for, before it looks. It is to be
// called before s is used, where others may collect.
func (s *Disk) Hold(l *lease.Lease) { s.lease = l }

// Wrote returns how many bytes this process added.
func (s *Disk) Wrote() int64 { return s.wrote.Load() }

// Pinned is what a blob is called in leases.
func Pinned(d digest.Digest) lease.Name { return lease.Named('b', d.Hash) }

// shards makes room where something that is no folder stands in the place of one:
// a link would lead what is written out of the store.
func (s *Disk) shards() error {
	es, err := os.ReadDir(filepath.Join(s.root, "cas"))
	if err != nil {
		return err
	}
	for _, e := range es {
		if !e.IsDir() && len(e.Name()) == 2 {
			if err := s.fs.Clear(filepath.Join(s.root, "cas", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Disk) mkdir(p string) error {
	return s.fs.Folder(filepath.Dir(p), filepath.Base(p), s.mode)
}

// Close notes what this process found out about files, for later ones. Nobody
// may use the store any more.
func (s *Disk) Close() error {
	if s.ledger == nil {
		return nil
	}
	now := s.now().UnixNano()
	var found []record
	s.known.Range(func(k, v any) bool {
		w := k.(witness)
		var st unix.Stat_t
		if unix.Lstat(v.(string), &st) == nil && witnessOf(w.d, w.x, &st) == w && s.plausible(w.d, w.x, &st) && st.Ctim.Nano() <= now {
			found = append(found, newRecord(w, st.Ctim.Nano()))
		}
		return true
	})
	if err := s.ledger.add(found); err != nil {
		return fmt.Errorf("the next command reads again what this one has verified in %s: %w", s.root, err)
	}
	return nil
}

func (s *Disk) path(d digest.Digest, x bool) string {
	var b strings.Builder
	h := d.Hex()
	b.Grow(len(s.root) + len(h) + 12)
	b.WriteString(s.root)
	b.WriteString("/cas/")
	b.WriteString(h[:2])
	b.WriteByte('/')
	b.WriteString(h)
	if x {
		b.WriteString(".x")
	}
	return b.String()
}

func (s *Disk) shard(b byte) string { return filepath.Join(s.root, "cas", fmt.Sprintf("%02x", b)) }

func perm(x bool) fs.FileMode {
	if x {
		return 0o755
	}
	return 0o644
}

// sound reports whether the file at p, of the store, is d in the form x. What
// stands there and is not is set aside. use says that p may be linked next, which
// moves its change time.
func (s *Disk) sound(d digest.Digest, x bool, p string, use bool) bool {
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil {
		return false
	}
	switch {
	case s.trusts(d, x, &st):
	case !s.hashed(d, p, &st):
		if s.setAside(p, &st) {
			return false
		}
		return s.sound(d, x, p, use) // another process has stored it anew meanwhile
	case !s.restore(x, p, &st):
		return false
	default:
		use = true // what was found out is worth keeping
	}
	if fsx.Stale(&st) { // noting the use moves the change time
		_ = s.fs.Use(p) // best effort
		use = true
	}
	if use {
		s.known.LoadOrStore(witnessOf(d, x, &st), p)
	}
	return true
}

// Holds reports whether the file p, which was linked or copied from the store, is
// still d in the form x.
func (s *Disk) Holds(p string, d digest.Digest, x bool) bool {
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil || !s.plausible(d, x, &st) {
		return false
	}
	stale := fsx.Stale(&st)
	if s.trusts(d, x, &st) && !stale {
		return true
	}
	if !s.trusts(d, x, &st) && !s.hashed(d, p, &st) {
		return false
	}
	if stale {
		_ = s.fs.Use(p) // best effort
	}
	s.known.Store(witnessOf(d, x, &st), p)
	return true
}

// trusts reports whether a file's stat is proof enough.
func (s *Disk) trusts(d digest.Digest, x bool, st *unix.Stat_t) bool {
	if !s.plausible(d, x, st) {
		return false
	}
	w := witnessOf(d, x, st)
	if _, ok := s.known.Load(w); ok {
		return true
	}
	if s.ledger == nil {
		return false
	}
	ctime, ok := s.ledger.find(w)
	return ok && ctime == st.Ctim.Nano() && ctime <= s.now().UnixNano()
}

// hashed reads the file p and reports whether it is d, whatever its mode and times.
func (s *Disk) hashed(d digest.Digest, p string, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != d.Size {
		return false
	}
	f, err := s.fs.OpenFile(p)
	if err != nil {
		return false
	}
	defer f.Close()
	var open unix.Stat_t
	if unix.Fstat(int(f.Fd()), &open) != nil || open.Ino != st.Ino || open.Dev != st.Dev {
		return false
	}
	h := digest.NewHasher()
	_, err = copyBuffer(h, f)
	return err == nil && h.Digest() == d
}

// restore gives p, whose bytes are right, the mode and time of the form x, and a
// change time that is not later than now. A file of a shared store is not touched.
func (s *Disk) restore(x bool, p string, st *unix.Stat_t) bool {
	odd := st.Mode != unix.S_IFREG|uint32(perm(x)) || st.Mtim.Nano() != fsx.Stamp.UnixNano()
	if s.shared {
		return !odd
	}
	if !odd && st.Ctim.Nano() <= s.now().UnixNano() {
		return true
	}
	if odd && os.Chmod(p, perm(x)) != nil {
		return false
	}
	return s.fs.Times(p, fsx.Stamp) == nil || !odd
}

func (s *Disk) plausible(d digest.Digest, x bool, st *unix.Stat_t) bool {
	return st.Mode == unix.S_IFREG|uint32(perm(x)) && st.Size == d.Size && st.Mtim.Nano() == fsx.Stamp.UnixNano()
}

// find returns the file that holds d, preferring the form x.
func (s *Disk) find(d digest.Digest, x, use bool) (p string, is, ok bool) {
	for _, is := range []bool{x, !x} {
		if p := s.path(d, is); s.sound(d, is, p, use) {
			return p, is, true
		}
	}
	return "", false, false
}

// Missing implements Store.
func (s *Disk) Missing(ctx context.Context, ds []digest.Digest) ([]digest.Digest, error) {
	names := make([]lease.Name, len(ds))
	for i, d := range ds {
		names[i] = Pinned(d)
	}
	s.lease.Pin(names...)
	var out []digest.Digest
	seen := make(map[digest.Digest]bool, len(ds))
	for _, d := range ds {
		if d == digest.Empty || seen[d] {
			continue
		}
		seen[d] = true
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, _, ok := s.find(d, false, false); !ok {
			out = append(out, d)
		}
	}
	return out, nil
}

// Get implements Store.
func (s *Disk) Get(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d == digest.Empty {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	s.lease.Pin(Pinned(d))
	for _, x := range []bool{false, true} {
		p := s.path(d, x)
		f, err := s.fs.OpenFile(p)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil && s.plausible(d, x, &st) {
			if fsx.Stale(&st) {
				s.sound(d, x, p, false) // notes the use if it is
			}
			return &verifier{want: d, r: f, h: digest.NewHasher(), corrupt: func() {
				s.known.Delete(witnessOf(d, x, &st))
				s.setAside(p, &st)
			}}, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
}

// Path returns the file that holds d in the form asked for, which is made
// where it is missing. The file must never be written to, nor its mode changed.
func (s *Disk) Path(ctx context.Context, d digest.Digest, executable bool) (string, error) {
	s.lease.Pin(Pinned(d))
	p, is, ok := s.find(d, executable, true)
	if ok && is == executable {
		return p, nil
	}
	var src io.Reader = bytes.NewReader(nil)
	if ok {
		f, err := s.fs.OpenFile(p)
		if err != nil {
			return "", fmt.Errorf("blob %s: %w", d, err)
		}
		defer f.Close()
		src = f
	} else if d != digest.Empty {
		return "", fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	if err := s.put(ctx, d, src, executable); err != nil {
		return "", err
	}
	return s.path(d, executable), nil
}

// Link makes dst, which must not exist, be d's content in the form asked for:
// a hard link where the file system can, otherwise a copy.
func (s *Disk) Link(ctx context.Context, d digest.Digest, executable bool, dst string) error {
	p, err := s.Path(ctx, d, executable)
	if err != nil {
		return err
	}
	return LinkOrCopy(s.fs, p, dst, executable)
}

// maxRelinks bounds how often a link is tried that races with renames.
const maxRelinks = 20

// LinkOrCopy makes dst a hard link to src or, where that cannot be, a copy.
func LinkOrCopy(fsys *fsx.FS, src, dst string, executable bool) error {
	err := fsys.Link(src, dst)
	// ENOENT although src is there: somebody renamed a new file of the same
	// bytes over it between look-up and link, which leaves an inode without
	// names that cannot be linked. The name leads to the new one now.
	for range maxRelinks {
		if !errors.Is(err, unix.ENOENT) || unix.Access(src, unix.F_OK) != nil {
			break
		}
		err = fsys.Link(src, dst)
	}
	// EPERM: the kernel protects files of other users; EMLINK: ext4 stops at 65,000.
	if err == nil || !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EMLINK) {
		return err
	}
	return Copy(fsys, src, dst, executable)
}

// Copy makes dst a new file with src's content, fsx.Stamp as its time.
func Copy(fsys *fsx.FS, src, dst string, executable bool) error {
	in, err := fsys.OpenFile(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if executable { // as in write: no child may inherit the file while it can be written to
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
	}
	out, err := fsys.Create(dst, perm(executable))
	if err != nil {
		return err
	}
	_, err = copyBuffer(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return fsys.Times(dst, fsx.Stamp)
}
