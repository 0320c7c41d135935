package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// copyFor is a new copy of the example.
func copyFor(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := copyExample(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shareable is a temporary folder that other users may enter.
func shareable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gorules-acceptance-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sameTree wants the files below two folders to be equal, links followed.
func sameTree(t *testing.T, want, got string) {
	t.Helper()
	a, b := treeOf(t, want), treeOf(t, got)
	if len(a) < 5 {
		t.Errorf("%s holds %d files, which compares little", want, len(a))
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] {
			t.Errorf("%s differs in %s and %s", name, want, got)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			t.Errorf("%s is only in %s", name, got)
		}
	}
}

// treeOf is every file below dir with its mode and content.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	var walk func(name string)
	walk = func(name string) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = fmt.Sprintf("%v %s", info.Mode(), data)
			return
		}
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			walk(filepath.Join(name, e.Name()))
		}
	}
	walk(".")
	return out
}
