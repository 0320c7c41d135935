package label_test

import (
	"strings"
	"testing"

	"gorules/executor/label"
)

func TestParsePattern(t *testing.T) {
	pkg := func(p string) label.Package { return label.Package{Path: p} }
	for _, tt := range []struct {
		text, cwd string
		want      label.Pattern
	}{
		{"//a:b", "", label.Pattern{Package: pkg("a"), Name: "b"}},
		{"//a:b", "x", label.Pattern{Package: pkg("a"), Name: "b"}},
		{"//a/b", "x", label.Pattern{Package: pkg("a/b"), Name: "b"}},
		{"//:b", "x", label.Pattern{Name: "b"}},
		{":b", "", label.Pattern{Name: "b"}},
		{":b", "x/y", label.Pattern{Package: pkg("x/y"), Name: "b"}},
		{"a:b", "x", label.Pattern{Package: pkg("x/a"), Name: "b"}},
		{"b", "", label.Pattern{Name: "b", Slash: true}},
		{"b", "x", label.Pattern{Package: pkg("x"), Name: "b", Slash: true}},
		{"a/b/c", "", label.Pattern{Package: pkg("a/b"), Name: "c", Slash: true}},
		{"a/b", "x", label.Pattern{Package: pkg("x/a"), Name: "b", Slash: true}},
		{"//a:b/c.rs", "", label.Pattern{Package: pkg("a"), Name: "b/c.rs"}},

		{"//a:all", "", label.Pattern{Kind: label.AllRules, Package: pkg("a")}},
		{":all", "x", label.Pattern{Kind: label.AllRules, Package: pkg("x")}},
		{"//a:*", "", label.Pattern{Kind: label.AllTargets, Package: pkg("a")}},
		{"a:all-targets", "x", label.Pattern{Kind: label.AllTargets, Package: pkg("x/a")}},

		{"...", "", label.Pattern{Kind: label.Below}},
		{"...", "x/y", label.Pattern{Kind: label.Below, Package: pkg("x/y")}},
		{"//...", "x", label.Pattern{Kind: label.Below}},
		{"//a/...", "x", label.Pattern{Kind: label.Below, Package: pkg("a")}},
		{"a/...", "x", label.Pattern{Kind: label.Below, Package: pkg("x/a")}},
		{"//a/...:all", "", label.Pattern{Kind: label.Below, Package: pkg("a")}},

		{"-//a:b", "", label.Pattern{Negative: true, Package: pkg("a"), Name: "b"}},
		{"-//a/...", "x", label.Pattern{Negative: true, Kind: label.Below, Package: pkg("a")}},
		{"-...", "x", label.Pattern{Negative: true, Kind: label.Below, Package: pkg("x")}},
		{"-b", "", label.Pattern{Negative: true, Name: "b", Slash: true}},

		{"@q//a:b", "x", label.Pattern{Package: label.Package{Repo: "q", Path: "a"}, Name: "b"}},
		{"@@q//a", "x", label.Pattern{Package: label.Package{Repo: "q", Path: "a"}, Name: "a"}},
		{"@q", "x", label.Pattern{Package: label.Package{Repo: "q"}, Name: "q"}},
		{"@q//...", "x", label.Pattern{Kind: label.Below, Package: label.Package{Repo: "q"}}},
		{"-@q//a:all", "x", label.Pattern{Negative: true, Kind: label.AllRules, Package: label.Package{Repo: "q", Path: "a"}}},
		{"@//a:b", "x", label.Pattern{Package: pkg("a"), Name: "b"}},
	} {
		tt.want.Text = tt.text
		got, err := label.ParsePattern(tt.text, tt.cwd)
		if err != nil || got != tt.want {
			t.Errorf("ParsePattern(%q, %q) = %+v, %v, want %+v", tt.text, tt.cwd, got, err, tt.want)
		}
	}
}

func TestParsePatternRefuses(t *testing.T) {
	for _, text := range []string{
		"", "-", ":", "//", "//:", "//a:", "@", "@@", "@@@q//a:b", "@q//", "@..//a:b", "@a b//c",
		"//a//b:c", "///a", "///...", "/a", "/...", "//a/", "//a/:b", "//../a:b", "../a", "..", "a/../../b",
		"//a/...:b", "//a//...", "//a/../...", "//a:b:c", "//a:../b", "//a:b\x00", "//a\xff:b", "a\\b",
	} {
		for _, cwd := range []string{"", "x"} {
			got, err := label.ParsePattern(text, cwd)
			if err == nil || !strings.HasPrefix(err.Error(), "invalid target pattern ") {
				t.Errorf("ParsePattern(%q, %q) = %+v, %v, want an error", text, cwd, got, err)
			}
		}
	}
}

// canonical writes p absolutely, so that it means the same in every folder.
func canonical(p label.Pattern) string {
	s := ""
	if p.Negative {
		s = "-"
	}
	switch p.Kind {
	case label.AllRules:
		return s + p.Package.String() + ":all"
	case label.AllTargets:
		return s + p.Package.String() + ":*"
	case label.Below:
		return s + strings.TrimSuffix(p.Package.String(), "/") + "/..." // "//" is the root
	}
	return s + p.Package.String() + ":" + p.Name
}

// FuzzParsePattern: an accepted pattern, written absolutely, is read as the
// same targets from any folder.
func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"//a:b", "-//a/...", "...", ":all", "a/b", "@q//...", "@q", "a/../b", "//", "/...", "a//b", "-", "--x", "./a", "//a:all-targets", "@all", "//a:...", "a/", "."} {
		f.Add(s, "x/y")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, cwd string) {
		if cwd != "" {
			if _, err := label.Parse("//"+cwd+":x", label.Package{}); err != nil || strings.Contains(cwd, ":") {
				return
			}
		}
		p, err := label.ParsePattern(text, cwd)
		if err != nil {
			return
		}
		if p.Kind == label.One {
			if _, err := p.Package.Label(p.Name); err != nil {
				t.Fatalf("ParsePattern(%q, %q) = %+v: %v", text, cwd, p, err)
			}
			if p.Name == "all" || p.Name == "*" || p.Name == "all-targets" {
				return // "a/all" is a target called all, which has no absolute pattern
			}
		} else if p.Name != "" || p.Slash {
			t.Errorf("ParsePattern(%q, %q) = %+v has a name", text, cwd, p)
		}
		if strings.HasSuffix(p.Package.Path, "...") {
			return // a folder called "...": no pattern but a relative one names it
		}
		form := canonical(p)
		q, err := label.ParsePattern(form, "other")
		if err != nil {
			t.Fatalf("ParsePattern(%q, %q) = %+v, but its absolute form %q: %v", text, cwd, p, form, err)
		}
		p.Text, q.Text, p.Slash = "", "", false
		if p != q || canonical(q) != form {
			t.Errorf("ParsePattern(%q, %q) = %+v, but its absolute form %q is %+v", text, cwd, p, form, q)
		}
	})
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct{ patterns, label, not string }{
		{"//a:b", "//a:b", "//a:c //b:b //a/b:b @r//a:b"},
		{"//a/...", "//a:b //a/b:c", "//ab:c //:a @r//a:b"},
		{"//...", "//:x //a/b:c", "@r//:x"},
		{"//a:all", "//a:b", "//a/b:c //:a"},
		{"//a:*", "//a:b", "//a/b:c"},
		{"a/b/c", "//a/b:c //a/b/c:c //a:b/c //:a/b/c", "//a/b:d //a/b/c:d"},
		{"c", "//:c //c:c", "//a:c"},
		{"//a/... -//a/b/... //a/b:x", "//a:b //a/b:x", "//a/b:c //a/b/c:d"},
		{"@r//a:b", "@r//a:b", "//a:b @r//a:c"},
	} {
		var ps []label.Pattern
		for _, text := range strings.Fields(tt.patterns) {
			p, err := label.ParsePattern(text, "")
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		for want, list := range map[bool]string{true: tt.label, false: tt.not} {
			for _, text := range strings.Fields(list) {
				l, err := label.Parse(text, label.Package{})
				if err != nil {
					t.Fatal(err)
				}
				if got := label.Match(ps, l); got != want {
					t.Errorf("%s means %s: %v", tt.patterns, text, got)
				}
			}
		}
	}
}
