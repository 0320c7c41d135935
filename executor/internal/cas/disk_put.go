package cas

import (
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

// Put implements Store. It writes again what this process has not itself
// written or hashed: a file that merely looks right may be torn by an earlier
// power loss, and here are the right bytes.
func (s *Disk) Put(ctx context.Context, d digest.Digest, r io.Reader) error {
	if d == digest.Empty || s.proven(d) {
		return nil
	}
	return s.put(ctx, d, r, false)
}

// proven reports whether this process wrote or hashed a file of d that is still sound.
func (s *Disk) proven(d digest.Digest) bool {
	return s.provenForm(d, false) || s.provenForm(d, true)
}

func (s *Disk) provenForm(d digest.Digest, x bool) bool {
	ino, ok := s.known.Load(form{d, x})
	var st unix.Stat_t
	return ok && unix.Lstat(s.path(d, x), &st) == nil && st.Ino == ino.(uint64) && s.plausible(d, x, &st)
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

// write is the only way a file comes into the store: temporary file, hash
// while writing, rename. Where the digest is not known before, the temporary
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
	if errors.Is(err, fs.ErrNotExist) {
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
	if err == nil && s.provenForm(d, x) {
		// Another action made the same bytes meanwhile: keep its inode, which
		// somebody may be about to link.
		return d, s.fs.Remove(tmp)
	}
	if err == nil {
		err = s.fs.Times(tmp, fsx.Stamp)
	}
	if err == nil {
		p := s.path(d, x)
		err = s.fs.Rename(tmp, p)
		if errors.Is(err, fs.ErrNotExist) {
			if err = s.mkdir(filepath.Dir(p)); err == nil {
				err = s.fs.Rename(tmp, p)
			}
		} else if err != nil && clearPlace(p) {
			err = s.fs.Rename(tmp, p)
		}
	}
	if err != nil {
		os.Remove(tmp)
		return none, err
	}
	s.known.Store(form{d, x}, st.Ino)
	return d, nil
}

// clearPlace removes a directory that stands where a blob belongs.
func clearPlace(p string) bool {
	info, err := os.Lstat(p)
	return err == nil && info.IsDir() && os.RemoveAll(p) == nil
}

func fill(ctx context.Context, f *fsx.File, r io.Reader) (d digest.Digest, st unix.Stat_t, err error) {
	h := digest.NewHasher()
	_, err = copyBuffer(io.MultiWriter(f, h), &ctxReader{ctx, r})
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	return h.Digest(), st, errors.Join(err, f.Close())
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
