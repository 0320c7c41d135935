package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// Put implements Store. It writes again what is not known to be right: a file
// that merely looks right may be torn by an earlier power loss, and here are the
// right bytes.
func (s *Disk) Put(ctx context.Context, d digest.Digest, r io.Reader) error {
	s.lease.Pin(Pinned(d))
	if d == digest.Empty || s.proven(d, false) || s.proven(d, true) {
		return nil
	}
	return s.put(ctx, d, r, false)
}

// proven reports whether the file of d in the form x is trusted by its stat.
func (s *Disk) proven(d digest.Digest, x bool) bool {
	var st unix.Stat_t
	return unix.Lstat(s.path(d, x), &st) == nil && s.trusts(d, x, &st)
}

func (s *Disk) put(ctx context.Context, d digest.Digest, r io.Reader, x bool) error {
	_, err := s.write(ctx, r, x, &d)
	if err != nil {
		return fmt.Errorf("storing blob %s: %w", d, err)
	}
	return nil
}

// PutFile is Put for content that is wanted in the given form.
func (s *Disk) PutFile(ctx context.Context, d digest.Digest, r io.Reader, executable bool) error {
	return s.put(ctx, d, r, executable)
}

// Add stores what r yields, in the given form, and returns its digest.
func (s *Disk) Add(ctx context.Context, r io.Reader, executable bool) (digest.Digest, error) {
	d, err := s.write(ctx, r, executable, nil)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("storing a blob: %w", err)
	}
	return d, nil
}

// write is the way bytes come into the store: temporary file, hash while
// writing, rename. Where the digest is not known before, the temporary
// file stands in one shard after another, which spreads the files on the disk.
func (s *Disk) write(ctx context.Context, r io.Reader, x bool, want *digest.Digest) (digest.Digest, error) {
	var none digest.Digest
	if x {
		// A child forked while the file is open for writing would hold it
		// open, and running it would fail with ETXTBSY (go.dev/issue/22315).
		if _, local := r.(*os.File); local {
			syscall.ForkLock.RLock()
			defer syscall.ForkLock.RUnlock()
		}
	}
	dir := s.shard(byte(s.next.Add(1)))
	if want != nil {
		dir = s.shard(want.Hash[0])
	}
	f, err := s.fs.CreateTemp(dir, "tmp-", perm(x))
	if unusable(err) {
		if err = s.mkdir(dir); err == nil {
			f, err = s.fs.CreateTemp(dir, "tmp-", perm(x))
		}
	}
	if err != nil {
		return none, err
	}
	tmp := f.Name()
	d, st, err := fill(ctx, f, r)
	if err == nil && want != nil && d != *want {
		err = fmt.Errorf("got %s: %w", d, ErrCorrupt)
	}
	if err == nil {
		s.lease.Pin(Pinned(d))
	}
	if err == nil && s.proven(d, x) {
		// Another action made the same bytes meanwhile: keep its inode, which
		// somebody may be about to link.
		return d, s.fs.Remove(tmp)
	}
	if err == nil {
		err = s.fs.Use(tmp)
	}
	if err == nil {
		err = s.place(tmp, s.path(d, x))
	}
	if err != nil {
		os.Remove(tmp)
		return none, err
	}
	s.known.Store(witnessOf(d, x, &st), s.path(d, x))
	s.wrote.Add(st.Blocks * 512)
	return d, nil
}

// Adopt stores the open file f, in the given form, and returns its digest. If
// its only name is p, it becomes the store's own file by a rename; then nothing
// is left at p. Otherwise, and where the file system or the owner is another, it
// is copied and stays. Nobody may be able to write to f any more: no process has
// it open for writing or mapped.
func (s *Disk) Adopt(ctx context.Context, f *os.File, p string, executable bool) (digest.Digest, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return digest.Digest{}, fmt.Errorf("storing %s: %w", p, err)
	}
	if s.shared || uint64(st.Dev) != s.dev || st.Nlink != 1 || int(st.Uid) != os.Geteuid() {
		return s.Add(ctx, f, executable)
	}
	d, err := s.adopt(ctx, f, p, executable, &st)
	if errors.Is(err, fs.ErrPermission) { // its folder may not be written to
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			return s.Add(ctx, f, executable)
		}
	}
	if err != nil {
		return digest.Digest{}, fmt.Errorf("storing %s: %w", p, err)
	}
	return d, nil
}

func (s *Disk) adopt(ctx context.Context, f *os.File, p string, x bool, was *unix.Stat_t) (digest.Digest, error) {
	h := digest.NewHasher()
	if _, err := copyBuffer(h, &ctxReader{ctx, f}); err != nil {
		return digest.Digest{}, err
	}
	d := h.Digest()
	s.lease.Pin(Pinned(d))
	if s.proven(d, x) {
		return d, s.fs.Remove(p)
	}
	if err := errors.Join(s.fs.Chmod(p, perm(x)), s.fs.Use(p)); err != nil {
		return d, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil || st.Ino != was.Ino {
		return d, errors.New("another file stands there by now")
	}
	to := s.path(d, x)
	if err := s.place(p, to); err != nil {
		return d, err
	}
	// Another process may have put its own file of the same bytes there since.
	s.known.Store(witnessOf(d, x, &st), to)
	s.wrote.Add(st.Blocks * 512)
	return d, nil
}

// place renames tmp to p, where a blob belongs.
func (s *Disk) place(tmp, p string) error {
	err := s.fs.Replace(tmp, p)
	if unusable(err) {
		if err = s.mkdir(filepath.Dir(p)); err == nil {
			err = s.fs.Replace(tmp, p)
		}
	}
	return err
}

// unusable tells errors of a folder that is missing, is none or was closed.
func unusable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrPermission)
}

func fill(ctx context.Context, f *fsx.File, r io.Reader) (d digest.Digest, st unix.Stat_t, err error) {
	h := digest.NewHasher()
	var w io.Writer = f
	if isSparse(r) {
		w = &holeWriter{f: f}
	}
	n, err := copyBuffer(io.MultiWriter(w, h), &ctxReader{ctx, r})
	if w != f && err == nil {
		err = f.Truncate(n) // what ends with a hole
	}
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	return h.Digest(), st, errors.Join(err, f.Close())
}

// isSparse reports whether r is a file that takes less of the disk than it has bytes.
func isSparse(r io.Reader) bool {
	f, ok := r.(*os.File)
	var st unix.Stat_t
	return ok && unix.Fstat(int(f.Fd()), &st) == nil && st.Blocks*512 < st.Size
}

// holeWriter leaves a hole where only zeros are to be written.
type holeWriter struct{ f *fsx.File }

func (w *holeWriter) Write(p []byte) (int, error) {
	if len(bytes.TrimLeft(p, "\x00")) > 0 {
		return w.f.Write(p)
	}
	return len(p), w.f.Skip(int64(len(p)))
}

// Sync writes all that was stored to the disk itself. Nothing needs it to be
// right; it is for those who are about to cut the power or to copy the disk.
func (s *Disk) Sync() error { return s.fs.Syncfs(s.root) }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// copyBuffer is io.Copy with a pooled buffer, and without the shortcuts that
// would hide the bytes from a hasher or the seam.
func copyBuffer(w io.Writer, r io.Reader) (int64, error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}
