package loading_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

const globTree = `
-- BUILD --
-- a.txt --
-- b.rs --
-- .hidden.txt --
-- d/c.txt --
-- d/e/f.txt --
-- d/e/g[1].rs --
-- pkg/BUILD --
-- pkg/x.txt --
-- pkg/deep/y.txt --
-- link --
-> d/e
-- d/up --
-> ..
-- dangling --
-> nowhere
-- gorules-out --
-> d
`

func TestGlob(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{`["*.txt"]`, "a.txt"},
		{`["*"]`, ".hidden.txt BUILD a.txt b.rs"},
		{`["**"]`, ".hidden.txt BUILD a.txt b.rs d/c.txt d/e/f.txt d/e/g[1].rs link/f.txt link/g[1].rs"},
		{`["**/*.txt"]`, "a.txt d/c.txt d/e/f.txt link/f.txt"},
		{`["d/**/*.txt"]`, "d/c.txt d/e/f.txt"},
		{`["**/e/*"]`, "d/e/f.txt d/e/g[1].rs"},
		{`["**/**/f.txt"]`, "d/e/f.txt link/f.txt"},
		{`["d/e/g[1].rs"]`, "d/e/g[1].rs"},
		{`["d/e/*[1]*"]`, "d/e/g[1].rs"},
		{`["pkg/**", "pkg/x.txt", "pkg/deep/*"], allow_empty = True`, ""},
		{`["**"], exclude = ["**/*.rs", "link/**", "BUILD"]`, ".hidden.txt a.txt d/c.txt d/e/f.txt"},
		{`["d/*"], exclude_directories = 0`, "d/c.txt d/e"},
		{`["*"], exclude = ["*.*"], exclude_directories = 0`, ".hidden.txt BUILD d link"},
		{`["d/**"], exclude_directories = 0`, "d d/c.txt d/e d/e/f.txt d/e/g[1].rs"},
		{`[".*"]`, ".hidden.txt"},
		{`["*i*e*"], allow_empty = True`, ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			root := write(t, globTree)
			err := os.WriteFile(filepath.Join(root, "BUILD"), []byte("x = glob("+tt.args+")\nfilegroup(name = ' '.join(['OUT'] + x).replace('/', '|'))\n"), 0o644)
			if err != nil {
				t.Fatal(err)
			}
			p, err := loaderIn(map[string]string{"": root}).Package(t.Context(), label.Package{})
			if err != nil {
				t.Fatal(err)
			}
			for name := range p.Targets {
				if got, ok := strings.CutPrefix(name, "OUT"); ok {
					if got = strings.TrimSpace(strings.ReplaceAll(got, "|", "/")); got != tt.want {
						t.Errorf("got  %s\nwant %s", got, tt.want)
					}
				}
			}
		})
	}
}

func TestGlobNonUTF8(t *testing.T) {
	root := write(t, "-- BUILD --\nfilegroup(name = 'x', srcs = glob(['*']))\n")
	if err := os.WriteFile(filepath.Join(root, "caf\xe9"), nil, 0o644); err != nil {
		t.Skip(err)
	}
	_, err := loaderIn(map[string]string{"": root}).Package(t.Context(), label.Package{})
	want := `BUILD:1:34: glob matched the file name "caf\xe9", which is not UTF-8; rename the file or exclude it`
	if fmt.Sprint(err) != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

// Each folder is listed once, however many globs and patterns look at it.
func TestListedOnce(t *testing.T) {
	rec := &recorder{}
	l := loading.New(loading.Options{
		Repos:    &repos{roots: map[string]string{"": write(t, "-- BUILD --\nfilegroup(name = 'x', srcs = glob(['**/*.c']), data = glob(['d/*.c', 'd/*']))\n-- d/x.c --\n-- p/BUILD --\n")}, reads: rec},
		Builtins: label.Package{Repo: "gorules", Path: "builtins"},
	})
	p, _ := label.ParsePattern("//...", "")
	if _, err := l.Expand(t.Context(), []label.Pattern{p}, loading.ExpandOptions{}); err != nil {
		t.Fatal(err)
	}
	var lists []string
	for _, c := range rec.calls {
		if strings.HasPrefix(c, "list ") {
			lists = append(lists, c)
		}
	}
	slices.Sort(lists)
	if want := []string{"list .", "list d", "list p"}; !slices.Equal(lists, want) {
		t.Errorf("listings: %v, want %v", lists, want)
	}
	if !slices.Contains(rec.calls, "stat BUILD.bazel") {
		t.Error("the probe for BUILD.bazel, which is missing, was not recorded")
	}
}

// A glob never fails in a new way, and returns clean, sorted names.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"*", "**/x", "a*b*c", "[", "..", "**a", "d/../a.txt"} {
		f.Add(s)
	}
	root := write(f, globTree)
	f.Fuzz(func(t *testing.T, pattern string) {
		src := fmt.Sprintf("x = glob([%q], allow_empty = True)\n", strings.ToValidUTF8(pattern, "?"))
		if err := os.WriteFile(filepath.Join(root, "BUILD"), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := loaderIn(map[string]string{"": root}).Package(t.Context(), label.Package{})
		if err != nil && !strings.Contains(err.Error(), "invalid glob pattern") && !strings.Contains(err.Error(), "BUILD:1:") {
			t.Errorf("%q: %v", pattern, err)
		}
	})
}
