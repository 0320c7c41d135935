// Package cas is the content-addressed store: blobs by digest. [Store] is the
// seam; [Disk] and [Memory] implement it, and package castest has the suite
// that every implementation passes.
//
// A store must never return wrong bytes as right: whatever is odd about a
// stored blob (absent, short, altered, not a file) is ErrNotFound or an error
// while reading, and the blob is as if it had never been there.
package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"gorules/executor/internal/digest"
)

// ErrNotFound is wrapped when a store does not have a blob.
var ErrNotFound = errors.New("not in the store")

// ErrCorrupt is wrapped by reads, and by Put, when bytes are not what their digest says.
var ErrCorrupt = errors.New("content differs from its digest")

// Store keeps blobs. It is safe for concurrent use. The empty blob is always there.
type Store interface {
	// Missing returns those of ds that are absent, each once.
	Missing(ctx context.Context, ds []digest.Digest) ([]digest.Digest, error)

	// Get opens a blob. Read returns an error wrapping ErrCorrupt instead of
	// io.EOF if the bytes turn out to be wrong. An absent blob is ErrNotFound.
	Get(ctx context.Context, d digest.Digest) (io.ReadCloser, error)

	// Put stores the bytes of r, which must be d's. It is atomic and idempotent.
	Put(ctx context.Context, d digest.Digest, r io.Reader) error
}

// ReadAll returns a blob's bytes, checked.
func ReadAll(ctx context.Context, s Store, d digest.Digest) ([]byte, error) {
	r, err := s.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// Not make(Size): a digest may come from outside and name any size.
	var b bytes.Buffer
	b.Grow(int(min(d.Size, 1<<20)) + 1)
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// PutBytes stores b and returns its digest.
func PutBytes(ctx context.Context, s Store, b []byte) (digest.Digest, error) {
	d := digest.Of(b)
	return d, s.Put(ctx, d, bytes.NewReader(b))
}

// Verify wraps r so that reading d's bytes from it fails with ErrCorrupt where
// they are not d's, at the latest instead of io.EOF.
func Verify(d digest.Digest, r io.ReadCloser) io.ReadCloser {
	return &verifier{want: d, r: r, h: digest.NewHasher()}
}

type verifier struct {
	want digest.Digest
	r    io.ReadCloser
	h    *digest.Hasher
	n    int64
	err  error

	corrupt func() // called once where the bytes are wrong; may be nil
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.h.Write(p[:n])
	v.n += int64(n)
	if v.n > v.want.Size || err == io.EOF && v.h.Digest() != v.want {
		err = fmt.Errorf("blob %s: %w", v.want, ErrCorrupt)
		n = 0
		if v.corrupt != nil {
			v.corrupt()
		}
	}
	v.err = err
	return n, err
}

func (v *verifier) Close() error { return v.r.Close() }
