package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// A Root is a file system as good as any, and what is read through it is noted.
func TestRootIsFS(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "1", "d/b": "2", "d/e/c": "3"} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(New(LoadCache("")).Under(dir), "a", "d/b", "d/e/c"); err != nil {
		t.Error(err)
	}
	for what, read := range map[string]func(fs.FS) error{
		"file":   func(f fs.FS) error { _, err := fs.ReadFile(f, "d/b"); return err },
		"opened": func(f fs.FS) error { _, err := f.Open("d/b"); return err },
	} {
		s := New(LoadCache(""))
		if err := read(s.Under(dir)); err != nil {
			t.Fatal(err)
		}
		facts := s.Facts()
		if ok, p := Hold(facts); !ok {
			t.Errorf("%s: %s changed", what, p)
		}
		if err := os.WriteFile(filepath.Join(dir, "d/b"), []byte("changed by "+what), 0o644); err != nil {
			t.Fatal(err)
		}
		if ok, _ := Hold(facts); ok {
			t.Errorf("%s: the change goes unnoticed", what)
		}
	}
}
