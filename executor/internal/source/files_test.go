package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// A Root is a file system as good as any. What gorules itself put there is no part
// of it, however it is read, and a name that is not UTF-8 is.
func TestRootIsFS(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "1", "d/b": "2", "d/e/c": "3", "cache/x": "4", "caf\xe9/f": "5"} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/tmp", filepath.Join(dir, "gorules-bin")); err != nil {
		t.Fatal(err)
	}
	noting := New(LoadCache(""), filepath.Join(dir, "cache")).Under(dir)
	for _, view := range []fs.FS{noting, struct{ fs.FS }{noting}} { // the second is only opened
		if b, err := fs.ReadFile(view, "caf\xe9/f"); err != nil || string(b) != "5" {
			t.Errorf("%q, %v", b, err)
		}
		if es, err := fs.ReadDir(view, "."); err != nil || len(es) != 3 {
			t.Errorf("the folder has %v, %v", es, err)
		}
		if _, err := fs.Stat(view, "caf\xe9/.."); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a path with ..: %v", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "caf\xe9")); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(New(LoadCache(""), filepath.Join(dir, "cache")).Under(dir), "a", "d/b", "d/e/c"); err != nil {
		t.Error(err)
	}
}

// However a Root is read, it is noted.
func TestRootNotes(t *testing.T) {
	for what, tt := range map[string]struct {
		read   func(fs.FS) error
		change string // a file
	}{
		"file":          {func(f fs.FS) error { _, err := fs.ReadFile(f, "d/b"); return err }, "d/b"},
		"opened":        {func(f fs.FS) error { _, err := f.Open("d/b"); return err }, "d/b"},
		"folder":        {func(f fs.FS) error { _, err := fs.ReadDir(f, "d"); return err }, "d/new"},
		"opened folder": {func(f fs.FS) error { _, err := f.Open("d"); return err }, "d/new"},
		"absent":        {func(f fs.FS) error { _, _ = fs.Stat(f, "d/new"); return nil }, "d/new"},
		"not opened":    {func(f fs.FS) error { _, _ = f.Open("d/new"); return nil }, "d/new"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "d/b"), []byte("2"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := New(LoadCache(""))
		if err := tt.read(s.Under(dir)); err != nil {
			t.Fatal(err)
		}
		facts := s.Facts()
		if ok, p := Hold(facts, nil); !ok {
			t.Errorf("%s: %s changed", what, p)
		}
		if err := os.WriteFile(filepath.Join(dir, tt.change), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if ok, _ := Hold(facts, nil); ok {
			t.Errorf("%s: the change goes unnoticed", what)
		}
	}
}
