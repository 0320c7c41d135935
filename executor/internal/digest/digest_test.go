package digest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"gorules/executor/internal/digest"
)

const helloHex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // printf hello | sha256sum

func TestOf(t *testing.T) {
	d := digest.Of([]byte("hello"))
	if d.String() != helloHex+"/5" || d.Hex() != helloHex || d.IsZero() {
		t.Errorf("Of(hello) = %v", d)
	}
	if digest.Empty != digest.Of([]byte{}) || digest.Empty.IsZero() || digest.Empty.Size != 0 {
		t.Errorf("Empty = %v", digest.Empty)
	}
	if p := d.Proto(); p.Hash != helloHex || p.SizeBytes != 5 {
		t.Errorf("Proto = %v", p)
	}
}

func TestHasher(t *testing.T) {
	h := digest.NewHasher()
	if got := h.Digest(); got != digest.Empty {
		t.Errorf("nothing written: %v, want %v", got, digest.Empty)
	}
	for _, part := range []string{"he", "", "llo"} {
		if n, err := h.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	for range 2 { // asking changes nothing
		if got, want := h.Digest(), digest.Of([]byte("hello")); got != want {
			t.Errorf("Digest = %v, want %v", got, want)
		}
	}
}

func TestFromProto(t *testing.T) {
	for _, d := range []digest.Digest{digest.Empty, digest.Of([]byte("hello"))} {
		if back, err := digest.FromProto(d.Proto()); err != nil || back != d {
			t.Errorf("FromProto(Proto(%v)) = %v, %v", d, back, err)
		}
	}
}

func TestFromProtoRefuses(t *testing.T) {
	for name, p := range map[string]*remote.Digest{
		"nil":        nil,
		"empty":      {},
		"short":      {Hash: helloHex[:62]},
		"upper case": {Hash: strings.ToUpper(helloHex), SizeBytes: 5},
		"not hex":    {Hash: strings.Repeat("g", 64), SizeBytes: 5},
		"negative":   {Hash: helloHex, SizeBytes: -5},
		"SHA-512":    {Hash: helloHex + helloHex, SizeBytes: 5},
	} {
		if d, err := digest.FromProto(p); err == nil || !d.IsZero() {
			t.Errorf("%s: %v, %v, want an error", name, d, err)
		}
	}
}

func TestOfMessage(t *testing.T) {
	b, d, err := digest.OfMessage(&remote.Directory{})
	if err != nil || len(b) != 0 || d != digest.Empty {
		t.Errorf("an empty directory: %x, %v, %v, want no bytes", b, d, err)
	}
	b, d, err = digest.OfMessage(&remote.FileNode{Name: "a"})
	if sum := sha256.Sum256(b); err != nil || d.Hex() != hex.EncodeToString(sum[:]) || d.Size != int64(len(b)) {
		t.Errorf("OfMessage = %x, %v, %v", b, d, err)
	}
	if _, _, err := digest.OfMessage(&remote.FileNode{Name: "\xff"}); err == nil {
		t.Error("a name that is not UTF-8 was encoded")
	}
}
