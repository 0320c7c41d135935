package loading_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// BenchmarkWalk expands //... over 1000 packages of 10 files with a glob each,
// in a tree that has 1000 more folders without a BUILD file.
func BenchmarkWalk(b *testing.B) {
	root := b.TempDir()
	for i := range 1000 {
		dir := filepath.Join(root, fmt.Sprintf("d%d", i%30), fmt.Sprintf("p%d", i))
		if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 10 {
			if err := os.WriteFile(filepath.Join(dir, "src", fmt.Sprintf("f%d.txt", j)), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
		text := "filegroup(name = 'g', srcs = glob(['**/*.txt']))\nfilegroup(name = 'h', srcs = [':g'])\n"
		if err := os.WriteFile(filepath.Join(dir, "BUILD"), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	p, err := label.ParsePattern("//...", "")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		x, err := loaderIn(map[string]string{"": root}).Expand(b.Context(), []label.Pattern{p}, loading.ExpandOptions{})
		if err != nil || len(x.Targets) != 2000 {
			b.Fatal(len(x.Targets), err)
		}
	}
}
