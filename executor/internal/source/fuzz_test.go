package source

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzFacts: whatever is taken for facts, checking them ends without a fault.
func FuzzFacts(f *testing.F) {
	dir := f.TempDir()
	p := filepath.Join(dir, "f")
	if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	s := New(LoadCache(""), dir+"/none")
	if _, _, err := s.File(p); err != nil {
		f.Fatal(err)
	}
	if _, err := s.ReadDir(dir); err != nil {
		f.Fatal(err)
	}
	f.Add(s.Facts())
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if ok, p := Hold(b, nil); ok && p != "" {
			t.Errorf("%s is named although all facts hold", p)
		}
	})
}
