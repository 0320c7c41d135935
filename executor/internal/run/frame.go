package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"gorules/executor/internal/digest"
)

// frame is the form of an entry on disk: magic with version, the key, the tier
// the result was made under, the message, and a SHA-256 over all of these. A
// reader of one version takes every other one for damaged, which is a miss.
type frame struct {
	key     digest.Digest
	tier    string
	message []byte
}

const frameMagic = "gorules-ac 1\n"

// maxFrame bounds what is read of an entry, in bytes.
const maxFrame = 64 << 20

var errFrame = errors.New("damaged entry")

func (f frame) encode() []byte {
	b := make([]byte, 0, len(frameMagic)+len(f.tier)+len(f.message)+2*sha256.Size+20)
	b = append(b, frameMagic...)
	b = append(b, f.key.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(f.key.Size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.tier)))
	b = append(b, f.tier...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.message)))
	b = append(b, f.message...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func decodeFrame(b []byte) (frame, error) {
	var f frame
	n := len(b) - sha256.Size
	if n < len(frameMagic) {
		return f, errFrame
	}
	if sum := sha256.Sum256(b[:n]); !bytes.Equal(sum[:], b[n:]) {
		return f, errFrame
	}
	b, ok := bytes.CutPrefix(b[:n], []byte(frameMagic))
	take := func(n int) []byte {
		if !ok || n > len(b) {
			ok = false
			return nil
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	copy(f.key.Hash[:], take(sha256.Size))
	if p := take(8); ok {
		f.key.Size = int64(binary.BigEndian.Uint64(p))
	}
	if p := take(2); ok {
		f.tier = string(take(int(binary.BigEndian.Uint16(p))))
	}
	if p := take(4); ok {
		f.message = take(int(binary.BigEndian.Uint32(p)))
	}
	if !ok || len(b) != 0 {
		return frame{}, errFrame
	}
	return f, nil
}
