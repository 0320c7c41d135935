package source_test

import (
	"os"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

func workspace(t testing.TB) string {
	return lay(t, map[string]string{
		"Cargo.toml": "", "README.md": "r", "LICENSE": "", ".git/HEAD": "x", ".hg/x": "", "p/.svn/x": "", "p/.jj/x": "", "p/.github/ci.yml": "",
		"p/src/lib.rs": "l", "p/src/a/mod.rs": "a", "p/src/run.sh*": "s", "p/docs/x.md": "d", "p/docs/l@": "x.md", "p/LICENSE": "L", "p/target/o": "o",
		"p/{b}.rs": "", "q/x.rs": "", "gorules-bin@": "/tmp", ".gitignore": "target/\n",
	})
}

func TestQuery(t *testing.T) {
	dir := workspace(t)
	for name, tt := range map[string]struct {
		path string
		q    action.TreeQuery
		want string
	}{
		"all of p":        {"p", action.TreeQuery{}, "p/.github/ci.yml p/LICENSE p/docs/l -> x.md p/docs/x.md p/src/a/mod.rs p/src/lib.rs p/src/run.sh* p/target/o p/{b}.rs"},
		"ignored":         {"p", action.TreeQuery{Gitignore: true}, "p/.github/ci.yml p/LICENSE p/docs/l -> x.md p/docs/x.md p/src/a/mod.rs p/src/lib.rs p/src/run.sh* p/{b}.rs"},
		"dot":             {".", action.TreeQuery{Include: globs("*")}, ".gitignore Cargo.toml LICENSE README.md"},
		"root":            {"", action.TreeQuery{Include: globs("*.md", "q/*")}, "README.md q/x.rs"},
		"include":         {"p", action.TreeQuery{Include: globs("src/**")}, "p/src/a/mod.rs p/src/lib.rs p/src/run.sh*"},
		"include deep":    {"p", action.TreeQuery{Include: globs("**/*.rs")}, "p/src/a/mod.rs p/src/lib.rs p/{b}.rs"},
		"include braces":  {"p", action.TreeQuery{Include: globs("{b}.rs")}, "p/{b}.rs"},
		"exclude":         {"p", action.TreeQuery{Exclude: globs("**/*.md", "LICENSE*", "target", ".github/**")}, "p/docs/l -> x.md p/src/a/mod.rs p/src/lib.rs p/src/run.sh* p/{b}.rs"},
		"exclude folder":  {"p", action.TreeQuery{Exclude: globs("src/**", "docs", "target/**", ".*")}, "p/LICENSE p/{b}.rs"},
		"exclude wins":    {"p", action.TreeQuery{Include: globs("src/**"), Exclude: globs("**/a")}, "p/src/lib.rs p/src/run.sh*"},
		"nothing":         {"p", action.TreeQuery{Include: globs("none")}, ""},
		"a folder's link": {"p/docs", action.TreeQuery{}, "p/docs/l -> x.md p/docs/x.md"},
	} {
		got := show(t, resolve(t, snapshot(t), &action.Source{Root: dir, Path: tt.path, Tree: &tt.q}))
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, s, tt.want)
		}
	}
}

func TestBlank(t *testing.T) {
	dir := workspace(t)
	q := func() *action.Source {
		return &action.Source{Root: dir, Path: "p", Tree: &action.TreeQuery{Include: globs("src/**", "LICENSE"), Blank: globs("**/*.rs", "src/run.sh")}}
	}
	before := resolve(t, snapshot(t), q())
	for p, want := range map[string]digest.Digest{"p/src/lib.rs": digest.Empty, "p/src/run.sh": digest.Empty, "p/LICENSE": of("L")} {
		if e, ok := before.Lookup(p); !ok || e.File != want || e.Executable {
			t.Errorf("%s = %+v, %v", p, e, ok)
		}
	}
	put(t, dir+"/p/src/lib.rs", "edited")
	if got := resolve(t, snapshot(t), q()); got.Digest() != before.Digest() {
		t.Error("an edit of a blank file changed the tree")
	}
	put(t, dir+"/p/src/new.rs", "")
	if got := resolve(t, snapshot(t), q()); got.Digest() == before.Digest() {
		t.Error("a new name did not change the tree")
	}
}

func TestQueryErrors(t *testing.T) {
	dir := workspace(t)
	for name, src := range map[string]*action.Source{
		"no such path": {Root: dir, Path: "none", Tree: &action.TreeQuery{}},
	} {
		if c, err := snapshot(t).Resolve(src); err == nil {
			t.Errorf("%s: %v, want an error", name, show(t, c.Tree))
		}
	}
	// A name that is no UTF-8 is an error with a way out, unless it is left out.
	if err := os.WriteFile(dir+"/p/src/\xff.rs", nil, 0o644); err != nil {
		t.Skip(err)
	}
	_, err := snapshot(t).Resolve(&action.Source{Root: dir, Path: "p", Tree: &action.TreeQuery{}})
	if err == nil || !strings.Contains(err.Error(), "not UTF-8") || !strings.Contains(err.Error(), `p/src/\xff.rs`) {
		t.Errorf("%v, want an error that names the file", err)
	}
	if _, err := snapshot(t).Resolve(&action.Source{Root: dir, Path: "p", Tree: &action.TreeQuery{Exclude: globs("src/*.rs")}}); err != nil {
		t.Errorf("left out: %v", err)
	}
}
