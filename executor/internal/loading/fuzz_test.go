package loading_test

import (
	"testing"

	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// A label that parses prints in a form that parses to the same label.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"//a:b", "@r//a/b", "@@r//:x", ":x", "x/y", "@r", "//:a b", "//a//b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := label.Parse(text, label.Package{Path: "p"})
		if err != nil {
			return
		}
		for _, form := range []string{l.String(), l.Canonical()} {
			if again, err := label.Parse(form, label.Package{Repo: "other", Path: "q"}); form[0] == '@' && (err != nil || again != l) {
				t.Errorf("%q is %#v, but %q is %#v, %v", text, l, form, again, err)
			}
		}
	})
}

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
