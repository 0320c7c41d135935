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

	"golang.org/x/sys/unix"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
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
// killed process leaves only a temporary file. A write to a stored file, by
// whatever way, changes its modification time, which every use compares.
// Neither tells of a power loss, after which a file may have its name and size
// and not its bytes. Peers sync for that. Here a file is trusted by its stat
// only if its change time lies in the era of the running kernel, which begins
// when the first process of this boot opens the store; an older file is hashed
// before its first use and then touched. So nothing ever waits for a disk, no
// entry of an action cache has to wait for its blobs, a power loss costs at
// most the results whose bytes were not written yet (the kernel writes within
// about 30 s), and never serves a bad one.
//
// In a shared store (DiskOptions.Shared) others have write access, so the
// first use in each process hashes every file.
type Disk struct {
	root   string
	fs     *fsx.FS
	shared bool
	mode   fs.FileMode // of new directories
	era    int64       // nanoseconds of the file system's clock

	next  atomic.Uint32 // the shard for the next temporary file
	known sync.Map      // form -> inode (uint64) whose bytes this process wrote or hashed
}

type form struct {
	d digest.Digest
	x bool
}

// DiskOptions configure a Disk. The zero value is a private store.
type DiskOptions struct {
	// Shared says that other users or machines may write to the folder.
	Shared bool
	FS     *fsx.FS
}

// OpenDisk opens the store at root, which is made if it is missing. A root
// that cannot be written to, or a private one that belongs to somebody else,
// is an error that says what to do.
func OpenDisk(root string, o DiskOptions) (*Disk, error) {
	s := &Disk{root: root, fs: o.FS, shared: o.Shared, mode: 0o700}
	if o.Shared {
		s.mode = 0o755
	}
	if err := s.fs.MkdirAll(root, s.mode); err != nil {
		return nil, fmt.Errorf("cache folder %s: %w; name another one with --disk_cache or --output_user_root", root, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("cache folder %s: a file is in its place", root)
	}
	if o.Shared {
		s.mode = info.Mode().Perm() | 0o700 // who may use the root may use what is below
	} else if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("cache folder %s belongs to user %d, not to you (%d): a private cache is never shared; use --disk_cache for a shared one, or --output_user_root for another place",
			root, st.Uid, os.Geteuid())
	}
	if err := s.mkdir(filepath.Join(root, "cas")); err != nil {
		return nil, fmt.Errorf("cache folder %s: %w; name another one with --disk_cache or --output_user_root", root, err)
	}
	if err := s.openEra(); err != nil {
		return nil, fmt.Errorf("cache folder %s: cannot write: %w; name another one with --disk_cache or --output_user_root", root, err)
	}
	s.fs.Spread(filepath.Join(root, "cas"))
	s.next.Store(rand.Uint32())
	s.fs.Sweep(s.shard(byte(rand.Uint32())), "tmp-") // all of them in the long run
	return s, nil
}

// Root returns the folder.
func (s *Disk) Root() string { return s.root }

func (s *Disk) mkdir(p string) error {
	err := s.fs.Mkdir(p, s.mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && s.shared {
		err = os.Chmod(p, s.mode)
	}
	return err
}

// openEra finds out when this boot first used the store, by the file system's
// own clock: the change time of a file that names the boot.
func (s *Disk) openEra() error {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		id = []byte("unknown")
	}
	p := filepath.Join(s.root, "boot")
	info, err := os.Lstat(p)
	if err == nil && !info.Mode().IsRegular() { // reading a FIFO would not end
		err = os.RemoveAll(p)
	}
	var old []byte
	if err == nil {
		old, err = os.ReadFile(p)
	}
	if err != nil || !bytes.Equal(old, id) {
		f, err := s.fs.CreateTemp(s.root, "boot-", 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(id)
		if err = errors.Join(err, f.Close()); err == nil {
			err = s.fs.Rename(f.Name(), p)
		}
		if err != nil {
			os.Remove(f.Name())
			return err
		}
	} else if err := unix.Access(filepath.Join(s.root, "cas"), unix.W_OK); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return err
	}
	s.era = st.Ctim.Nano()
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

// sound reports whether the file at p is d in the form x.
func (s *Disk) sound(d digest.Digest, x bool, p string) bool {
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil || !s.plausible(d, x, &st) {
		return false
	}
	if !s.shared && st.Ctim.Nano() >= s.era {
		return true
	}
	k := form{d, x}
	if ino, ok := s.known.Load(k); ok && ino.(uint64) == st.Ino {
		return true
	}
	f, err := s.fs.OpenFile(p)
	if err != nil {
		return false
	}
	defer f.Close()
	h := digest.NewHasher()
	if _, err := copyBuffer(h, f); err != nil || h.Digest() != d {
		return false
	}
	if !s.shared {
		s.fs.Times(p, fsx.Stamp) // into this boot's era; it is known anyway if that fails
	}
	s.known.Store(k, st.Ino)
	return true
}

func (s *Disk) plausible(d digest.Digest, x bool, st *unix.Stat_t) bool {
	return st.Mode == unix.S_IFREG|uint32(perm(x)) && st.Size == d.Size && st.Mtim.Nano() == fsx.Stamp.UnixNano()
}

// find returns the file that holds d, preferring the form x.
func (s *Disk) find(d digest.Digest, x bool) (p string, is, ok bool) {
	for _, is := range []bool{x, !x} {
		if p := s.path(d, is); s.sound(d, is, p) {
			return p, is, true
		}
	}
	return "", false, false
}

// Missing implements Store.
func (s *Disk) Missing(ctx context.Context, ds []digest.Digest) ([]digest.Digest, error) {
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
		if _, _, ok := s.find(d, false); !ok {
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
	for _, x := range []bool{false, true} {
		f, err := s.fs.OpenFile(s.path(d, x))
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil && s.plausible(d, x, &st) {
			return Verify(d, f), nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
}

// Path returns the file that holds d in the form asked for, which is made
// where it is missing. The file must never be written to, nor its mode changed.
func (s *Disk) Path(ctx context.Context, d digest.Digest, executable bool) (string, error) {
	p, is, ok := s.find(d, executable)
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
