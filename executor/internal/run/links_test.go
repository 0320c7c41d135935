package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// TestLeavingLinks lays each tree out as well: what the kernel leads out of must be found.
func TestLeavingLinks(t *testing.T) {
	for _, c := range []struct {
		links  string // "path>target", separated by spaces; a path alone is a file
		leaves bool
	}{
		{"l>a a", false},
		{"l>nowhere", false},
		{"l>.", false},
		{"l>..", true},
		{"l>/etc", true},
		{"d/l>..", false},
		{"d/l>../..", true},
		{"d/l>../d/../..", true},
		{"q/r>.. up>q/r/../../x", true}, // each inside by its text
		{"q/r>.. up>q/r/x x", false},
		{"a/b/c>../.. l>a/b/c/a/b/c/..", true},
		{"a/b/c>../.. l>a/b/c/a/b/c/a/b/..", false},
		{"one>two two>three three>d/.. d/f", false},
		{"one>two two>three three>d/up d/up>../..", true},
		{"a>b b>a", false},
		{"a>a/x", false},
		{"l>d/missing/../../.. d/f", true},
		{"d/e/l>../../x x>d/e/l", false},
	} {
		var b tree.Builder
		dir := filepath.Join(t.TempDir(), "out")
		os.Mkdir(dir, 0o755)
		var links []string
		for _, entry := range strings.Fields(c.links) {
			p, target, link := strings.Cut(entry, ">")
			os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755)
			err := error(nil)
			if link {
				links = append(links, p)
				os.Symlink(target, filepath.Join(dir, p))
				err = b.AddLink(p, target)
			} else {
				os.WriteFile(filepath.Join(dir, p), nil, 0o644)
				err = b.AddFile(p, digest.Empty, false)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tr, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if p, target, got := firstLeaving(tr); got != c.leaves {
			t.Errorf("%s: leaves %v (%s -> %s), want %v", c.links, got, p, target, c.leaves)
		}
		for _, p := range links {
			real, err := filepath.EvalSymlinks(filepath.Join(dir, p))
			if err == nil && !strings.HasPrefix(real+"/", dir+"/") && !c.leaves {
				t.Errorf("%s: %s is %s", c.links, p, real)
			}
		}
	}
}
