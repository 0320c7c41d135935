package loading_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// natives are a few rules such as the built-in ones.
const natives = `
def _impl(ctx):
    return []

filegroup = rule(implementation = _impl, attrs = {
    "srcs": attr.label_list(allow_files = True),
    "data": attr.label_list(allow_files = True),
})
genrule = rule(implementation = _impl, attrs = {
    "srcs": attr.label_list(allow_files = True),
    "outs": attr.output_list(mandatory = True),
    "cmd": attr.string(),
    "tools": attr.label_list(cfg = "exec"),
    "_tool": attr.label(default = "//tools:hidden"),
})
sh_test = rule(implementation = _impl, test = True, attrs = {
    "srcs": attr.label_list(allow_files = True),
    "deps": attr.label_list(),
})
named = rule(implementation = _impl, attrs = {"srcs": attr.label_list(allow_files = True)},
    outputs = {"txt": "%{name}.txt"})
`

// repos is a main workspace and some other folders.
type repos struct {
	roots map[string]string
	reads *recorder
	once  sync.Once
}

func (r *repos) View(_ context.Context, repo string) (*loading.View, error) {
	if repo == "gorules" {
		return &loading.View{Repo: repo, Files: fstest.MapFS{"builtins/rules.bzl": {Data: []byte(natives)}}}, nil
	}
	root, ok := r.roots[repo]
	if !ok {
		return nil, fmt.Errorf("no repository @%s", repo)
	}
	f := os.DirFS(root)
	if r.reads != nil {
		r.once.Do(func() { r.reads.FS = f })
		f = r.reads
	}
	return &loading.View{Repo: repo, Root: root, Files: f}, nil
}

func (r *repos) Mapping(context.Context, string) (func(string) string, error) {
	return func(apparent string) string { return apparent }, nil
}

// recorder notes what is read.
type recorder struct {
	fs.FS
	mu    sync.Mutex
	calls []string
}

func (r *recorder) note(what, p string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, what+" "+p)
}

func (r *recorder) ReadFile(p string) ([]byte, error) {
	r.note("read", p)
	return fs.ReadFile(r.FS, p)
}

func (r *recorder) ReadDir(p string) ([]fs.DirEntry, error) {
	r.note("list", p)
	return fs.ReadDir(r.FS, p)
}

func (r *recorder) Stat(p string) (fs.FileInfo, error) {
	r.note("stat", p)
	return fs.Stat(r.FS, p)
}

// write unpacks an archive into a new folder; a name that ends in "/" is an
// empty folder, and content "-> x" makes a symbolic link.
func write(t testing.TB, archive string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		p := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(strings.TrimSpace(string(f.Data)), "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func newLoader(t testing.TB, archive string) *loading.Loader {
	t.Helper()
	return loaderIn(map[string]string{"": write(t, archive)})
}

func loaderIn(roots map[string]string) *loading.Loader {
	return loading.New(loading.Options{
		Repos:    &repos{roots: roots},
		Builtins: label.Package{Repo: "gorules", Path: "builtins"},
	})
}

func pkg(path string) label.Package { return label.Package{Path: path} }

func parse(t testing.TB, text string) label.Label {
	t.Helper()
	l, err := label.Parse(text, label.Package{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writeFile(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
