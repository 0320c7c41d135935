package loading_test

import (
	"testing"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// No pattern makes Expand panic, and what it finds is in the pattern's repository.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"//...", "-//a/...", "a/b", "//a:*", "@//a:all", ":t", "..", "//../x:y", "a/...:all"} {
		f.Add(s)
	}
	l := newLoader(f, patternTree)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := label.ParsePattern(text, "a")
		if err != nil {
			return
		}
		x, err := l.Expand(t.Context(), []label.Pattern{p}, loading.ExpandOptions{KeepGoing: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range x.Targets {
			if target.Label.Repo != p.Package.Repo {
				t.Errorf("%q found %s", text, target.Label)
			}
		}
	})
}
