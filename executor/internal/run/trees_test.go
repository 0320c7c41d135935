package run_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/run"
	"gorules/executor/internal/tree"
)

func openTrees(t *testing.T, root string, src run.Sources) (*run.Trees, *cas.Disk) {
	t.Helper()
	s, err := cas.OpenDisk(filepath.Join(root, "store"), cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := run.OpenTrees(filepath.Join(root, "trees"), s, src, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

func storedTree(t *testing.T, s cas.Store, prefix string, n int) *tree.Tree {
	t.Helper()
	var b tree.Builder
	for i := range n {
		d, err := cas.PutBytes(context.Background(), s, []byte(fmt.Sprint(prefix, i)))
		if err == nil {
			err = b.AddFile(fmt.Sprintf("%s%d/f", prefix, i), d, i%2 == 1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.AddLink("link", prefix+"0/f")
	got, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMaterialise(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	m, s := openTrees(t, root, nil)
	want := storedTree(t, s, "d", 4)
	var wg sync.WaitGroup
	dirs := make([]string, 8)
	for i := range dirs {
		wg.Go(func() {
			var err error
			if dirs[i], err = m.Materialise(ctx, want); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	dir := dirs[0]
	for i := range 4 {
		p := filepath.Join(dir, fmt.Sprintf("d%d/f", i))
		b, err := os.ReadFile(p)
		info, _ := os.Stat(p)
		if err != nil || string(b) != fmt.Sprint("d", i) || !info.ModTime().Equal(fsx.Stamp) || info.Mode().Perm()&0o111 != 0 != (i%2 == 1) {
			t.Errorf("%s: %q %v %v", p, b, info, err)
		}
	}
	for _, p := range []string{dir, filepath.Join(dir, "d0")} {
		if info, err := os.Stat(p); err != nil || !info.ModTime().Equal(fsx.Stamp) {
			t.Errorf("%s: %v", p, info.ModTime())
		}
	}
	if l, _ := os.Readlink(filepath.Join(dir, "link")); l != "d0/f" {
		t.Errorf("link = %q", l)
	}
}

// What was altered in a kept tree is found by the next process.
func TestMaterialiseAgain(t *testing.T) {
	ctx := context.Background()
	damage := map[string]func(dir string) error{
		"nothing":      func(string) error { return nil },
		"file removed": func(d string) error { return os.Remove(d + "/d1/f") },
		"file added":   func(d string) error { return os.WriteFile(d+"/d1/new", nil, 0o644) },
		"file written": func(d string) error { return os.WriteFile(d+"/d0/f", []byte("xx"), 0) },
		"mode":         func(d string) error { return os.Chmod(d+"/d0/f", 0o755) },
		"link": func(d string) error {
			os.Remove(d + "/link")
			return os.Symlink("d1/f", d+"/link")
		},
		"folder for a file": func(d string) error {
			os.Remove(d + "/d0/f")
			return os.Mkdir(d+"/d0/f", 0o755)
		},
	}
	for name, f := range damage {
		root := t.TempDir()
		m, s := openTrees(t, root, nil)
		want := storedTree(t, s, "d", 4)
		dir, err := m.Materialise(ctx, want)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(dir)
		if err := f(dir); err != nil {
			t.Fatal(err)
		}
		m, s = openTrees(t, root, nil)
		storedTree(t, s, "d", 4) // the blob itself may have been hit
		again, err := m.Materialise(ctx, want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after, _ := os.Stat(again)
		if os.SameFile(before, after) != (name == "nothing") {
			t.Errorf("%s: made again: %v", name, !os.SameFile(before, after))
		}
		if b, err := os.ReadFile(again + "/d0/f"); err != nil || string(b) != "d0" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

type sources map[digest.Digest]string

func (s sources) Blob(d digest.Digest) (string, bool) { p, ok := s[d]; return p, ok }

// Content that stands in the workspace is copied into the store when it is
// wanted, and an edit in between is an error.
func TestMaterialiseSources(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	file := filepath.Join(root, "main.rs")
	if err := os.WriteFile(file, []byte("fn main() {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := digest.Of([]byte("fn main() {}"))
	m, _ := openTrees(t, root, sources{d: file})
	var b tree.Builder
	b.AddFile("src/main.rs", d, false)
	want, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("fn main(){ }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Materialise(ctx, want); err == nil || !strings.Contains(err.Error(), "changed while the build was running") || !strings.Contains(err.Error(), file) {
		t.Errorf("an edit in between: %v", err)
	}
	if err := os.WriteFile(file, []byte("fn main() {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, err := m.Materialise(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("edited later"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(dir + "/src/main.rs"); err != nil || string(b) != "fn main() {}" {
		t.Errorf("%q, %v", b, err)
	}
}
