package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"gorules/executor/internal/glob"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, yes, no string // paths
	}{
		{"a.txt", "a.txt", "b.txt d/a.txt a.txt/d a_txt"},
		{"*", "a .a a.b", "a/b"},
		{"*.txt", "a.txt b.c.txt", ".txt .a.txt a.txt.x d/a.txt"},
		{".*", ".a .", "a"},
		{".*.txt", ".a.txt", "a.txt .txt"},
		{"a*", "a ab a.b", "ba .a"},
		{"*a*b*", "ab xaxbx aab", "ba xa .ab"},
		{"a*a", "aa aba", "a ab"},
		{"*/*", "a/b .a/.b", "a a/b/c"},
		{"**", "a a/b .a/.b/.c", ""},
		{"**/a", "a b/a b/c/a .b/a", "b/a/c ab b/ab"},
		{"a/**", "a a/b a/b/c", "ab b/a"},
		{"a/**/b", "a/b a/x/b a/x/y/b a/b/b", "a/bb a/b/c x/a/b"},
		{"**/a/**/b/*", "a/b/c x/a/x/b/c a/b/b/b", "a/b b/a/b a/c/b"},
		{"**/*.rs", "x.rs d/x.rs .d/x.rs", ".x.rs d/.x.rs x.rs/d"},
		{"**/**/a", "a x/a", "x"},
		{"d/[1]{a,b}\\x", "d/[1]{a,b}\\x", "d/1a d/1b"},
	} {
		p, err := glob.Parse(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, path := range strings.Fields(tt.yes) {
			if !p.Match(path) {
				t.Errorf("%s does not match %s", tt.pattern, path)
			}
		}
		for _, path := range strings.Fields(tt.no) {
			if p.Match(path) {
				t.Errorf("%s matches %s", tt.pattern, path)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "pattern cannot be empty", "/a": "pattern cannot be absolute", "a?": "wildcard ? forbidden", "a//b": "empty segment not permitted",
		"a/": "empty segment not permitted", "./a": "segment '.' not permitted", "a/../b": "segment '..' not permitted", "a**": "recursive wildcard must be its own segment",
	} {
		if _, err := glob.Parse(pattern); err == nil || err.Error() != "invalid glob pattern '"+pattern+"': "+want {
			t.Errorf("%q: %v, want %s", pattern, err, want)
		}
	}
	if _, err := glob.ParseAll([]string{"a", "b/"}); err == nil {
		t.Error("a bad pattern among good ones is good")
	}
	s, err := glob.ParseAll([]string{"a", "*.b"})
	if err != nil || !s.Match("x.b") || !s.Match("a") || s.Match("b") || (glob.Set{}).Match("a") {
		t.Errorf("%v, %v", s, err)
	}
}

// Many recursive wildcards take no time beyond reason.
func TestManyWildcards(t *testing.T) {
	p, err := glob.Parse(strings.Repeat("**/a/", 40) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.Match(strings.Repeat("a/", 200) + "c") {
		t.Error("b is c")
	}
}

// FuzzMatch compares with the regular expression that says the same.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"**/a*b/*", "x/.ab/y"}, {"a/**/b/**", "a/x/b"}, {"*a*.rs", ".a.rs"}, {"**", "."}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := glob.Parse(pattern)
		if err != nil || path == "" || strings.Contains("/"+path+"/", "//") || strings.Contains(pattern+path, "\x00") {
			return
		}
		// A leading dot becomes another character, which no wildcard but a lone one meets.
		expr, path := `(?s)\A/`, "/"+path+"/"
		special := strings.ReplaceAll(path, "/.", "/\x00")
		for _, s := range p {
			switch {
			case s == "**":
				expr += `(?:[^/]*/)*`
				continue
			case s == "*":
			case s[0] == '*':
				expr += `(?:[^/\x00][^/]*)?`
				s = s[1:]
			case s[0] == '.':
				expr += `\x00`
				s = s[1:]
			}
			expr += strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `[^/]*`) + "/"
		}
		re, err := regexp.Compile(expr + `\z`)
		if err != nil {
			return // not UTF-8
		}
		if got, want := p.Match(strings.Trim(path, "/")), re.MatchString(special); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, path, got, want)
		}
	})
}
