// Package digest names content: a SHA-256 and a size in bytes, as the Remote
// Execution API's Digest message does. A Digest is made only by hashing or by
// parsing, so one that is not zero is well formed. The package never does I/O.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
)

// Digest identifies a blob. The zero value means "none"; it is comparable and
// serves as a map key.
type Digest struct {
	Hash [sha256.Size]byte
	Size int64
}

// Empty is the digest of zero bytes.
var Empty = Of(nil)

// Of hashes b.
func Of(b []byte) Digest {
	return Digest{Hash: sha256.Sum256(b), Size: int64(len(b))}
}

// OfMessage encodes m deterministically and returns the bytes and their digest.
func OfMessage(m proto.Message) ([]byte, Digest, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, Digest{}, fmt.Errorf("encoding %T: %w", m, err)
	}
	return b, Of(b), nil
}

// FromProto checks and converts the wire form.
func FromProto(p *remote.Digest) (Digest, error) {
	return parse(p.GetHash(), p.GetSizeBytes())
}

func parse(hash string, size int64) (Digest, error) {
	d := Digest{Size: size}
	if len(hash) != 2*sha256.Size || strings.ToLower(hash) != hash {
		return Digest{}, fmt.Errorf("digest %q: want %d lower-case hexadecimal digits", hash, 2*sha256.Size)
	}
	if _, err := hex.Decode(d.Hash[:], []byte(hash)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", hash, err)
	}
	if size < 0 {
		return Digest{}, fmt.Errorf("digest %q: negative size %d", hash, size)
	}
	return d, nil
}

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// Hex returns the hash in hexadecimal.
func (d Digest) Hex() string { return hex.EncodeToString(d.Hash[:]) }

// String returns HASH/SIZE.
func (d Digest) String() string { return d.Hex() + "/" + strconv.FormatInt(d.Size, 10) }

// Proto returns the wire form.
func (d Digest) Proto() *remote.Digest {
	return &remote.Digest{Hash: d.Hex(), SizeBytes: d.Size}
}

// Hasher is a writer that digests what is written to it.
type Hasher struct {
	h hash.Hash
	n int64
}

// NewHasher returns a Hasher that has seen nothing.
func NewHasher() *Hasher { return &Hasher{h: sha256.New()} }

// Write never fails.
func (w *Hasher) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return w.h.Write(p)
}

// Digest returns the digest of everything written so far.
func (w *Hasher) Digest() Digest {
	d := Digest{Size: w.n}
	w.h.Sum(d.Hash[:0])
	return d
}
