package run

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"gorules/executor/internal/digest"
)

// FuzzFrame: nothing that is read is a panic, and what decodes is what encoded.
func FuzzFrame(f *testing.F) {
	f.Add(frame{digest.Of([]byte("k")), "full", []byte("message")}.encode())
	f.Add(frame{}.encode())
	f.Add([]byte(frameMagic))
	f.Add([]byte{})
	f.Add(frame{digest.Of([]byte("k")), "full", []byte("message")}.encode()[len(frameMagic):])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFrame(b)
		if err == nil && !bytes.Equal(got.encode(), b) {
			t.Errorf("%q decodes and encodes differently", b)
		}
		// With a right checksum the bytes reach what is behind it.
		body := append([]byte(frameMagic), b...)
		sum := sha256.Sum256(body)
		body = append(body, sum[:]...)
		if got, err := decodeFrame(body); err == nil && !bytes.Equal(got.encode(), body) {
			t.Errorf("%q decodes and encodes differently", body)
		}
		again, err := decodeFrame(frame{key: digest.Of(b), tier: "t", message: b}.encode())
		if err != nil || !bytes.Equal(again.message, b) || again.tier != "t" || again.key != digest.Of(b) {
			t.Errorf("round trip: %+v, %v", again, err)
		}
	})
}
