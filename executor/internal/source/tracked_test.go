package source_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

// git runs git in dir on settings of its own.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "protocol.file.allow=always", "-C", dir}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// gitSnapshot is a new view that can ask git.
func gitSnapshot(t testing.TB) *source.Snapshot {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git on this machine")
	}
	s := snapshot(t)
	s.Git = func(dir string) ([]string, error) {
		out := git(t, dir, "ls-files", "-z", "--cached", "--ignored", "--exclude-per-directory=.gitignore")
		return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), nil
	}
	return s
}

// scopeOf is the source of a scope of the whole folder dir.
func scopeOf(dir string) *action.Source {
	return &action.Source{Root: dir, Tree: &action.TreeQuery{Gitignore: true, Tracked: true}, Quiet: true}
}

// shownOf lists what the scope of dir holds, links with their text, and folders in
// which nothing is.
func shownOf(t testing.TB, s *source.Snapshot, dir string) []string {
	t.Helper()
	c, err := s.Resolve(scopeOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	var add func(p string, tr *tree.Tree)
	add = func(p string, tr *tree.Tree) {
		if len(tr.Entries()) == 0 {
			out = append(out, p)
		}
		for _, e := range tr.Entries() {
			switch e.Kind {
			case tree.Dir:
				add(p+e.Name+"/", e.Dir)
			case tree.Link:
				out = append(out, p+e.Name+" -> "+e.Target)
			default:
				out = append(out, p+e.Name)
			}
		}
	}
	add("", c.Tree)
	return out
}

const tag = "Signature: 8a477f597d28d172789f06886806bc55\n"

func TestTracked(t *testing.T) {
	files := map[string]string{
		".gitignore": "*.log\n/out/\n", "a.txt": "", "b.log": "", "kept.log": "", "out/x": "", "out/kept": "", "out/deep/kept": "", "out/deep/x": "",
		"target/src/main.rs": "", "BUILD/x": "", ".tools/y": "", "empty/": "", "built/CACHEDIR.TAG": tag, "built/x": "", "built/kept": "",
		"notes/CACHEDIR.TAG": "of something else", "notes/x": "",
	}
	common := []string{".gitignore", ".tools/y", "BUILD/x", "a.txt", "empty/", "notes/CACHEDIR.TAG", "notes/x", "target/src/main.rs"}
	t.Run("without git", func(t *testing.T) {
		wantList(t, "scope", shownOf(t, gitSnapshot(t), lay(t, files)), common...)
	})
	t.Run("nothing added yet", func(t *testing.T) {
		s, dir := gitSnapshot(t), lay(t, files)
		git(t, dir, "init", "-q")
		wantList(t, "scope", shownOf(t, s, dir), common...)
	})
	tracked := append([]string{"built/CACHEDIR.TAG", "built/kept", "built/x", "kept.log", "out/deep/kept", "out/kept"}, common...)
	slices.Sort(tracked)
	t.Run("tracked", func(t *testing.T) {
		s, dir := gitSnapshot(t), lay(t, files)
		git(t, dir, "init", "-q")
		git(t, dir, "add", "-f", "kept.log", "out/kept", "out/deep/kept")
		want := slices.DeleteFunc(slices.Clone(tracked), func(p string) bool { return strings.HasPrefix(p, "built/") })
		wantList(t, "scope", shownOf(t, s, dir), want...)
	})
	t.Run("of a linked work tree", func(t *testing.T) {
		s, dir := gitSnapshot(t), lay(t, map[string]string{".gitignore": "*.log\n", "kept.log": "", "a": ""})
		git(t, dir, "init", "-q")
		git(t, dir, "add", "-f", "kept.log", "a", ".gitignore")
		git(t, dir, "commit", "-qm", "one")
		other := filepath.Join(t.TempDir(), "other")
		git(t, dir, "worktree", "add", "-q", other)
		put(t, other+"/x.log", "")
		wantList(t, "scope", shownOf(t, s, other), ".gitignore", "a", "kept.log")
	})
	t.Run("of a submodule", func(t *testing.T) {
		s, sub := gitSnapshot(t), lay(t, map[string]string{".gitignore": "*.log\n", "kept.log": "", "a": ""})
		git(t, sub, "init", "-q")
		git(t, sub, "add", "-f", "kept.log", "a", ".gitignore")
		git(t, sub, "commit", "-qm", "one")
		dir := lay(t, map[string]string{"main": ""})
		git(t, dir, "init", "-q")
		git(t, dir, "submodule", "add", "-q", sub, "sub")
		put(t, dir+"/sub/x.log", "")
		wantList(t, "scope", shownOf(t, s, dir), ".gitmodules", "main", "sub/.gitignore", "sub/a", "sub/kept.log")
	})
	t.Run("below the top of the work tree", func(t *testing.T) {
		s, dir := gitSnapshot(t), lay(t, map[string]string{".gitignore": "*.log\n", "in/.gitignore": "*.log\n", "in/kept.log": "", "in/x.log": "", "in/a": ""})
		git(t, dir, "init", "-q")
		git(t, dir, "add", "-f", "in/kept.log")
		wantList(t, "scope", shownOf(t, s, dir+"/in"), ".gitignore", "a", "kept.log")
	})
}

// TestScopeLinks: links are there with what they lead to.
func TestScopeLinks(t *testing.T) {
	far := lay(t, map[string]string{"far/f": "far", "file": "file"})
	dir := lay(t, map[string]string{
		".gitignore": "/hidden/\n", "a": "", "d/e": "", "rel@": "a", "folder@": "d", "hidden/x": "", "hidden/sub/y": "", "to@": "hidden/x", "all@": "hidden/sub",
		"abs@": far + "/file", "out@": far + "/far", "dangling@": "none", "loop@": "loop", "up@": "../" + filepath.Base(far) + "/none",
	})
	wantList(t, "scope", shownOf(t, gitSnapshot(t), dir), ".gitignore", "a", "abs", "all -> hidden/sub", "d/e", "dangling -> none", "folder -> d",
		"hidden/sub/y", "hidden/x", "loop -> loop", "out/f", "rel -> a", "to -> hidden/x", "up -> ../"+filepath.Base(far)+"/none")
	c, err := gitSnapshot(t).Resolve(scopeOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := c.Tree.Lookup("abs"); !ok || e.File != of("file") {
		t.Errorf("abs is %+v", e)
	}
}

// TestPlanningLinks: a query for some files finds them behind links too.
func TestPlanningLinks(t *testing.T) {
	dir := lay(t, map[string]string{"code/main.rs": "", "code/note": "", "src@": "code", "x.rs@": "code/main.rs"})
	src := &action.Source{Root: dir, Tree: &action.TreeQuery{Include: globs("*.rs", "src/**/*.rs"), Gitignore: true, Tracked: true}}
	c, err := snapshot(t).Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := c.Tree.Lookup("code/main.rs"); !ok || e.Kind != tree.File {
		t.Error("what x.rs leads to is not there")
	}
	if e, ok := c.Tree.Lookup("src"); !ok || e.Target != "code" {
		t.Errorf("src is %+v", e)
	}
	if _, ok := c.Tree.Lookup("code/note"); ok {
		t.Error("what was not asked for is there")
	}
}
