package label_test

import (
	"strings"
	"testing"

	"gorules/executor/label"
)

func TestParse(t *testing.T) {
	from := label.Package{Repo: "r", Path: "x/y"}
	for _, tt := range []struct {
		text string
		from label.Package
		want label.Label
		str  string // what String writes
	}{
		// Absolute.
		{"//a:b", label.Package{}, label.Label{Package: "a", Name: "b"}, "//a:b"},
		{"//a", label.Package{}, label.Label{Package: "a", Name: "a"}, "//a:a"},
		{"//a/b", label.Package{}, label.Label{Package: "a/b", Name: "b"}, "//a/b:b"},
		{"//:b", label.Package{}, label.Label{Name: "b"}, "//:b"},
		{"//a:b/c.rs", label.Package{}, label.Label{Package: "a", Name: "b/c.rs"}, "//a:b/c.rs"},
		{"//a:.", label.Package{}, label.Label{Package: "a", Name: "."}, "//a:."},
		{"//a b:c d", label.Package{}, label.Label{Package: "a b", Name: "c d"}, "//a b:c d"},
		{"//a:ü+=,@~-_!%^\"#$&'()*;<>?[]{|}", label.Package{}, label.Label{Package: "a", Name: "ü+=,@~-_!%^\"#$&'()*;<>?[]{|}"}, "//a:ü+=,@~-_!%^\"#$&'()*;<>?[]{|}"},

		// Repositories.
		{"@q//a:b", from, label.Label{Repo: "q", Package: "a", Name: "b"}, "@q//a:b"},
		{"@@q//a:b", from, label.Label{Repo: "q", Package: "a", Name: "b"}, "@q//a:b"},
		{"@q//a", from, label.Label{Repo: "q", Package: "a", Name: "a"}, "@q//a:a"},
		{"@q", from, label.Label{Repo: "q", Name: "q"}, "@q//:q"},
		{"@@q", from, label.Label{Repo: "q", Name: "q"}, "@q//:q"},
		{"@q.x-1_2+3~4//:b", from, label.Label{Repo: "q.x-1_2+3~4", Name: "b"}, "@q.x-1_2+3~4//:b"},
		{"@//a:b", from, label.Label{Package: "a", Name: "b"}, "//a:b"},
		{"@@//a:b", from, label.Label{Package: "a", Name: "b"}, "//a:b"},

		// Relative to a package.
		{":b", from, label.Label{Repo: "r", Package: "x/y", Name: "b"}, "@r//x/y:b"},
		{"b", from, label.Label{Repo: "r", Package: "x/y", Name: "b"}, "@r//x/y:b"},
		{"b/c", from, label.Label{Repo: "r", Package: "x/y", Name: "b/c"}, "@r//x/y:b/c"},
		{"//a:b", from, label.Label{Repo: "r", Package: "a", Name: "b"}, "@r//a:b"},
		{"b", label.Package{}, label.Label{Name: "b"}, "//:b"},
	} {
		got, err := label.Parse(tt.text, tt.from)
		if err != nil || got != tt.want || got.String() != tt.str {
			t.Errorf("Parse(%q, %s) = %#v %q, %v, want %#v %q", tt.text, tt.from, got, got, err, tt.want, tt.str)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":              "target name is empty",
		":":             "target name is empty",
		"//":            "target name is missing",
		"@q//":          "target name is missing",
		"//a:":          "target name is empty",
		"@":             "repository name is missing",
		"@@":            "repository name is missing",
		"@@@q//a:b":     "repository name",
		"@q:b":          "repository name",
		"@a/b//c:d":     "repository name",
		"@a b//c:d":     "repository name",
		"@é//c:d":       "repository name",
		"@..":           "repository name",
		"@.//a:b":       "repository name",
		"@..//a:b":      "repository name",
		"///a":          "package name",
		"//a//b":        "package name",
		"//a/":          "package name",
		"//../a:b":      "package name",
		"//a/..:b":      "package name",
		"//./a:b":       "package name",
		"//a\\b:c":      "package name",
		"//a\x00b:c":    "package name",
		"//a\xffb:c":    "package name",
		"//a:b:c":       "target name",
		"a:b":           "target name",
		"::b":           "target name",
		"//a:/b":        "target name",
		"/b":            "target name",
		"//a:b/":        "target name",
		"//a:b//c":      "target name",
		"//a:../b":      "target name",
		"..":            "target name",
		"//a:b/./c":     "target name",
		"//a:b\nc":      "target name",
		"//a:b\x7f":     "target name",
		"//a:b\xff":     "target name",
		"//a:\ufffd":    "target name",
		"//a:b\\c":      "target name",
		"@q//a:../../x": "target name",
	} {
		got, err := label.Parse(text, label.Package{Path: "p"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "invalid label ") {
			t.Errorf("Parse(%q) = %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestLabelForms(t *testing.T) {
	l := label.Label{Repo: "q", Package: "a/b", Name: "c"}
	if got, want := l.Canonical(), "@@q//a/b:c"; got != want {
		t.Errorf("Canonical = %q, want %q", got, want)
	}
	if got, want := (label.Label{Package: "a", Name: "c"}).Canonical(), "@@//a:c"; got != want {
		t.Errorf("Canonical = %q, want %q", got, want)
	}
	var none label.Label
	if !none.IsZero() || l.IsZero() || none.String() != "" {
		t.Errorf("IsZero: %v, %v; String of none: %q", none.IsZero(), l.IsZero(), none)
	}
	if got, want := l.Pkg(), (label.Package{Repo: "q", Path: "a/b"}); got != want || got.String() != "@q//a/b" {
		t.Errorf("Pkg = %v, want %v", got, want)
	}
	if got, err := l.Pkg().Label("d"); err != nil || got != (label.Label{Repo: "q", Package: "a/b", Name: "d"}) {
		t.Errorf("Label(d) = %v, %v", got, err)
	}
	for _, bad := range []string{"", "..", "a:b", "/x"} {
		if got, err := l.Pkg().Label(bad); err == nil {
			t.Errorf("Label(%q) = %v, want an error", bad, got)
		}
	}
}

func TestCompare(t *testing.T) {
	sorted := []label.Label{
		{Name: "z"}, {Package: "a", Name: "a"}, {Package: "a", Name: "b"}, {Package: "a/b", Name: "a"}, {Package: "b", Name: "a"},
		{Repo: "r", Name: "a"},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s.Compare(%s) = %d", a, b, got)
			}
		}
	}
}

// FuzzParse: what Parse accepts is written in a form that means the same
// everywhere, and writing that again changes nothing.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"//a:b", "@q//a:b", "@@q//a/b", "@q", ":b", "b/c", "//a:.", "@..", "//", "///", "a:b:c", "//..:x", "\xff", "@@@", "//a/...:all", "//é:\u00a0"} {
		f.Add(s, "r", "x/y")
		f.Add(s, "", "")
	}
	f.Fuzz(func(t *testing.T, text, repo, pkg string) {
		here, err := label.Parse("@"+repo+"//"+pkg+":x", label.Package{})
		if err != nil {
			return
		}
		l, err := label.Parse(text, here.Pkg())
		if err != nil {
			if !l.IsZero() {
				t.Errorf("Parse(%q) failed but gave %v", text, l)
			}
			return
		}
		for _, form := range []string{l.String(), l.Canonical()} {
			again, err := label.Parse(form, label.Package{})
			if err != nil || again != l || again.String() != l.String() {
				t.Errorf("Parse(%q) = %#v, written %q and read as %#v, %v", text, l, form, again, err)
			}
		}
		for part := range strings.SplitSeq(l.Repo+"/"+l.Package+"/"+l.Name, "/") {
			if part == ".." {
				t.Errorf("Parse(%q) = %#v leads out of its folder", text, l)
			}
		}
	})
}
