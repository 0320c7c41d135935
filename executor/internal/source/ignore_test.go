package source_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/action"
)

// selected is what a query with Gitignore takes of dir, links without their text.
func selected(t testing.TB, dir, path string) []string {
	t.Helper()
	got := show(t, resolve(t, snapshot(t), &action.Source{Root: dir, Path: path, Tree: &action.TreeQuery{Gitignore: true}}))
	for i, p := range got {
		p, _, _ = strings.Cut(p, " -> ")
		got[i] = strings.TrimSuffix(p, "*")
	}
	slices.Sort(got)
	return got
}

func TestGitignore(t *testing.T) {
	t.Parallel()
	// One pattern a row against the same files.
	files := []string{"a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/b.txt", "target/o", "x/target/o", "!bang", "#hash", "sp ", "back\\slash", "a[b]", "q", "x/q", "{a,b}"}
	for pattern, want := range map[string]string{
		"":                   "",
		"# comment":          "",
		"*.log":              "a.log x/a.log x/y/a.log",
		"/*.log":             "a.log",
		"x/*.log":            "x/a.log",
		"x/**/*.log":         "x/a.log x/y/a.log",
		"**/y/*":             "x/y/a.log x/y/b.txt",
		"x/**":               "x/a.log x/q x/target/o x/y/a.log x/y/b.txt",
		"x":                  "x/a.log x/q x/target/o x/y/a.log x/y/b.txt",
		"x/":                 "x/a.log x/q x/target/o x/y/a.log x/y/b.txt",
		"x/y":                "x/y/a.log x/y/b.txt",
		"y/b.txt":            "",
		"target":             "target/o x/target/o",
		"target/":            "target/o x/target/o",
		"/target":            "target/o",
		"a.log/":             "",
		"?":                  "q target/o x/a.log x/q x/target/o x/y/a.log x/y/b.txt",
		"?.log":              "a.log x/a.log x/y/a.log",
		"[ab].*":             "a.log b.txt x/a.log x/y/a.log x/y/b.txt",
		"[!a].*":             "b.txt x/y/b.txt",
		"[^a].*":             "b.txt x/y/b.txt",
		"[[:lower:]].txt":    "b.txt x/y/b.txt",
		"[a":                 "",
		"\\!bang":            "!bang",
		"\\#hash":            "#hash",
		"#hash":              "",
		"sp":                 "",
		"sp\\ ":              "sp ",
		"q   ":               "q x/q",
		"q\r":                "q x/q",
		"back\\\\slash":      "back\\slash",
		"a\\[b\\]":           "a[b]",
		"{a,b}":              "{a,b}",
		"*.log\n!a.log":      "",
		"*.log\n!/a.log":     "x/a.log x/y/a.log",
		"!a.log\n*.log":      "a.log x/a.log x/y/a.log",
		"x\n!x/y/a.log":      "x/a.log x/q x/target/o x/y/a.log x/y/b.txt",
		"x/*\n!x/y":          "x/a.log x/q x/target/o",
		"/*\n!/x\nx/*\n!x/q": "!bang #hash a.log a[b] b.txt back\\slash q sp  target/o x/a.log x/target/o x/y/a.log x/y/b.txt {a,b}",
		"/":                  "",
		"!":                  "",
		"\ufeffq":            "q x/q",
	} {
		m := map[string]string{".gitignore": pattern}
		for _, f := range files {
			m[f] = ""
		}
		dir := lay(t, m)
		got := selected(t, dir, "")
		all := append(slices.Clone(files), ".gitignore")
		slices.Sort(all)
		var left []string
		for _, f := range all {
			if !slices.Contains(got, f) {
				left = append(left, f)
			}
		}
		if s := strings.Join(left, " "); s != want && !(pattern == "/*\n!/x\nx/*\n!x/q" && s == ".gitignore "+want) && !strings.Contains(s, ".gitignore") {
			t.Errorf("%q leaves out %q, want %q", pattern, s, want)
		}
	}
}

func TestGitignoreNested(t *testing.T) {
	dir := lay(t, map[string]string{
		".gitignore": "*.log\nbuild\n", "p/.gitignore": "!keep.log\n/gen\n", "p/a/.gitignore": "*\n!.gitignore\n!*.rs",
		"a.log": "", "p/a.log": "", "p/keep.log": "", "p/q/keep.log": "", "p/gen/x": "", "p/q/gen/x": "", "p/a/x.rs": "", "p/a/y": "", "p/build/x": "",
	})
	wantList(t, "from the root", selected(t, dir, ""), ".gitignore", "p/.gitignore", "p/a/.gitignore", "p/a/x.rs", "p/keep.log", "p/q/gen/x", "p/q/keep.log")
	wantList(t, "from a folder", selected(t, dir, "p/a"), "p/a/.gitignore", "p/a/x.rs")
	wantList(t, "rules from above", selected(t, dir, "p/q"), "p/q/gen/x", "p/q/keep.log")
	put(t, dir+"/.git/info/x", "")
	wantList(t, "with a .git folder", selected(t, dir, "p/q"), "p/q/gen/x", "p/q/keep.log")
}

// TestGitignoreLikeGit compares random small trees with git itself. They stand
// side by side in one folder, so that git runs once.
func TestGitignoreLikeGit(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git on this machine")
	}
	root := lay(t, nil)
	const trees = 60
	texts := map[string]string{}
	for i := range trees {
		name := fmt.Sprintf("t%d", i)
		texts[name] = randomTree(t, filepath.Join(root, name), rand.New(rand.NewPCG(uint64(i), 7)))
	}
	got := byTree(selected(t, root, ""))
	var want map[string][]string
	for _, args := range [][]string{{"init", "-q"}, {"ls-files", "-z", "-o", "-c", "--exclude-standard"}} {
		cmd := exec.Command(git, args...)
		cmd.Dir = root
		cmd.Env = []string{"HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "PATH=" + os.Getenv("PATH")}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		want = byTree(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"))
	}
	left := 0
	for name, text := range texts {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s:\n%s got %q\nwant %q", name, text, got[name], want[name])
		}
		left += len(want[name])
	}
	if left < trees {
		t.Errorf("git keeps %d files of %d trees: the patterns are too broad to test anything", left, trees)
	}
}

func byTree(paths []string) map[string][]string {
	slices.Sort(paths)
	out := map[string][]string{}
	for _, p := range paths {
		name, rest, _ := strings.Cut(p, "/")
		out[name] = append(out[name], rest)
	}
	return out
}

// randomTree makes files, links and .gitignore files in dir and returns the text of the latter.
func randomTree(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	names := []string{"a", "b", "ab", "a.b", "B", "foo", "a b", "c-d", "x1", "]", "a+b", "é", "a*b", "1"}
	atoms := append(slices.Clone(names), "*", "**", "?", "??", "a*", "*b", "[ab]", "[!a]*", "[a-c]?", "*.b", "f?o", "a**b", "***", "[", "[]]", "[[:alpha:]]", "[[:punct:]]",
		"\\a", "\\*", "a\\*b", "[b-a]", "[x-]", "[+--]*", "a[+-9]b", "[^]a]", "foo*", "[[:nope:]]", "[\\]]", "[é]")
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	pattern := func() string {
		parts := make([]string, 1+rng.IntN(3))
		for i := range parts {
			parts[i] = pick(atoms)
		}
		p := strings.Join(parts, "/")
		for _, deco := range []struct {
			chance        int
			before, after string
		}{{4, "/", ""}, {4, "", "/"}, {3, "!", ""}, {9, "", "  "}, {9, "**/", ""}, {9, "", "\r"}} {
			if rng.IntN(deco.chance) == 0 {
				p = deco.before + p + deco.after
			}
		}
		return p
	}
	must(t, os.MkdirAll(dir, 0o755))
	for range 10 {
		p := pick(names)
		for rng.IntN(2) == 0 {
			p += "/" + pick(names)
		}
		p = filepath.Join(dir, p)
		if _, err := os.Lstat(p); err == nil || os.MkdirAll(filepath.Dir(p), 0o755) != nil {
			continue // it is there, or a file is in the way
		}
		if rng.IntN(10) == 0 {
			must(t, os.Symlink("a", p))
		} else {
			must(t, os.WriteFile(p, nil, 0o644))
		}
	}
	var text strings.Builder
	must(t, filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() || p != dir && rng.IntN(3) > 0 {
			return err
		}
		var lines []string
		for range 1 + rng.IntN(3) {
			lines = append(lines, pattern())
		}
		fmt.Fprintf(&text, "%s/.gitignore: %q\n", strings.TrimPrefix(p, dir), lines)
		return os.WriteFile(p+"/.gitignore", []byte(strings.Join(lines, "\n")), 0o644)
	}))
	return text.String()
}
