package front

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPrograms(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for p, mode := range map[string]os.FileMode{
		first + "/both": 0o755, second + "/both": 0o755, second + "/one": 0o755, first + "/text": 0o644, second + "/text": 0o755, first + "/no": 0o644,
	} {
		if err := os.WriteFile(p, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(second+"/one", first+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(first+"/one", 0o755); err != nil {
		t.Fatal(err)
	}
	want := []string{first + "/both", first + "/link", second + "/one", second + "/text"}
	if got := programs([]string{first, filepath.Join(first, "gone"), second}, []string{"absent", "both", "link", "no", "one", "text"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDefaultTools(t *testing.T) {
	names := defaultTools()
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Errorf("%d of %d names stand twice", len(names)-n, len(names))
	}
	for _, name := range []string{"[", "timeout", "dd", "base64", "yes", "nproc", "truncate", "gunzip", "zcat", "xargs", "awk", "bash", "diff3"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing", name)
		}
	}
}
