package source_test

import (
	"os"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
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
		"bad regexp":   {Root: dir, Path: "p", Tree: &action.TreeQuery{Mentioned: &action.Mentioned{Pattern: "("}}},
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

const rustIncludes = `include(?:_str|_bytes)?!\s*\(\s*"([^"]+)"|#\[path\s*=\s*"([^"]+)"\]`

func TestMentioned(t *testing.T) {
	files := map[string]string{
		"p/src/lib.rs":   `#![doc = include_str!("../README.md")] const X: &[u8] = include_bytes!( "../../static/data.bin" ); include!("gen.inc"); include_str!("../../none.md");`,
		"p/src/a/mod.rs": `include_str!("deep.md")`,
		"p/tests/x.rs":   `include_str!("fixtures/t.md") include_str!("/etc/passwd") include_str!("../../../../outside") include_str!("..")`,
		"p/notes.txt":    `include_str!("CHANGES.md")`,
		"p/src/path.rs":  `#[path = "other/LICENSE-MIT"] mod x;`,
		"p/README.md":    "r", "p/CHANGES.md": "c", "p/src/a/deep.md": "d", "p/src/deep.md": "", "p/tests/fixtures/t.md": "t", "p/tests/fixtures/u.md": "u",
		"p/other/LICENSE-MIT": "m", "p/src/gen.inc": "", "static/data.bin": "b", "static/more.bin": "", "README.md": "",
		"outside": "",
	}
	dir := lay(t, files)
	src := func() *action.Source {
		return &action.Source{Root: dir, Path: "p", Tree: &action.TreeQuery{
			Mentioned: &action.Mentioned{Files: globs("**/*.md", "**/LICENSE*"), By: globs("**/*.rs"), Pattern: rustIncludes},
		}}
	}
	s := snapshot(t)
	wantList(t, "mentioned", show(t, resolve(t, s, src())),
		"p/README.md", "p/notes.txt", "p/other/LICENSE-MIT", "p/src/a/deep.md", "p/src/a/mod.rs", "p/src/gen.inc", "p/src/lib.rs", "p/src/path.rs",
		"p/tests/fixtures/t.md", "p/tests/x.rs", "static/data.bin")
	if e, _ := resolve(t, s, src()).Lookup("static/data.bin"); e.Kind != tree.File || e.File != of("b") {
		t.Errorf("static/data.bin = %+v", e)
	}
	// What was named and absent belongs to the answer.
	put(t, dir+"/none.md", "")
	got := show(t, resolve(t, snapshot(t), src()))
	if len(got) == 0 || got[0] != "none.md" {
		t.Errorf("after none.md appeared: %q", got)
	}
}

// TestMentionedExcluded: a file that the query leaves out comes back when it is named.
func TestMentionedExcluded(t *testing.T) {
	dir := lay(t, map[string]string{"p/src/lib.rs": `include_str!("../BUILD.md")`, "p/BUILD.md": "", "p/BUILD": ""})
	src := &action.Source{Root: dir, Path: "p", Tree: &action.TreeQuery{
		Exclude:   globs("BUILD*"),
		Mentioned: &action.Mentioned{Files: globs("**/*.md"), By: globs("**/*.rs"), Pattern: rustIncludes},
	}}
	wantList(t, "tree", show(t, resolve(t, snapshot(t), src)), "p/BUILD.md", "p/src/lib.rs")
}
