package source_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/glob"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

// lay writes files into a new folder: name -> content. "name@" -> a link with
// that text, "name*" -> an executable, "name/" -> an empty folder.
func lay(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		put(t, filepath.Join(dir, name)+name[len(strings.TrimRight(name, "/")):], text)
	}
	return dir
}

func put(t testing.TB, p, text string) {
	t.Helper()
	folder := strings.HasSuffix(p, "/")
	link, isLink := strings.CutSuffix(p, "@")
	exe, isExe := strings.CutSuffix(p, "*")
	must(t, os.MkdirAll(filepath.Dir(p), 0o755))
	switch {
	case folder:
		must(t, os.MkdirAll(p, 0o755))
	case isLink:
		must(t, os.Symlink(text, link))
	case isExe:
		must(t, os.WriteFile(exe, []byte(text), 0o755))
	default:
		must(t, os.WriteFile(p, []byte(text), 0o644))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settle waits until what was written before is old enough for its stat key to
// be trusted.
func settle() { time.Sleep(60 * time.Millisecond) }

func snapshot(t testing.TB) *source.Snapshot {
	t.Helper()
	return source.New(source.LoadCache(filepath.Join(t.TempDir(), "absent")))
}

func of(text string) digest.Digest { return digest.Of([]byte(text)) }

// show lists a tree: "path", "path*" where executable, "path -> text" for a link.
func show(t testing.TB, tr *tree.Tree) []string {
	t.Helper()
	if tr == nil {
		t.Fatal("no tree")
	}
	var out []string
	must(t, tr.Walk(func(p string, e tree.Entry) error {
		if e.Kind == tree.Link {
			p += " -> " + e.Target
		} else if e.Executable {
			p += "*"
		}
		out = append(out, p)
		return nil
	}))
	return out
}

func resolve(t testing.TB, s *source.Snapshot, src *action.Source) *tree.Tree {
	t.Helper()
	c, err := s.Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	return c.Tree
}

func wantList(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// globs are patterns that are good.
func globs(texts ...string) glob.Set {
	s, err := glob.ParseAll(texts)
	if err != nil {
		panic(err)
	}
	return s
}
