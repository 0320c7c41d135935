package label

import (
	"fmt"
	"path"
	"strings"
)

// PatternKind says which targets a Pattern means.
type PatternKind int

// The kinds of target pattern, as in Bazel's run/build page.
const (
	One        PatternKind = iota // //a:b, //a, :b, a/b
	AllRules                      // //a:all
	AllTargets                    // //a:* and //a:all-targets
	Below                         // //a/... : all rules in a and under it
)

// Pattern is one item of a command line: which targets, and whether they are
// added to or taken from those before it.
type Pattern struct {
	Text     string // as typed
	Kind     PatternKind
	Negative bool
	Package  Package
	Name     string // only for One

	// Slash is set when One was typed without a colon or a leading //, as in
	// "a/b/c": it may mean //a/b:c or //a/b/c:c, whichever package exists.
	Slash bool
}

// ParsePattern reads a pattern typed in the folder cwd of the main workspace
// ("" for its root).
func ParsePattern(text, cwd string) (Pattern, error) {
	p := Pattern{Text: text}
	rest := text
	if strings.HasPrefix(rest, "-") {
		p.Negative, rest = true, rest[1:]
	}
	absolute := strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, "@")
	repo := ""
	if strings.HasPrefix(rest, "@") {
		var tail string
		var ok bool
		repo, tail, ok = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "@"), "@"), "//")
		if err := checkRepo(repo); err != nil {
			return Pattern{}, fmt.Errorf("invalid target pattern %q: %w", text, err)
		}
		if !ok {
			tail = ":" + repo
		}
		rest = "//" + tail
	}
	rest = strings.TrimPrefix(rest, "//")
	if rest == "" || strings.HasPrefix(rest, "/") {
		return Pattern{}, fmt.Errorf("invalid target pattern %q: a package or target name is missing", text)
	}
	pkg, name, colon := strings.Cut(rest, ":")
	switch {
	case pkg == "..." || strings.HasSuffix(pkg, "/..."):
		if colon && name != "all" && name != "*" && name != "all-targets" {
			return Pattern{}, fmt.Errorf("invalid target pattern %q: after ... only :all, :* or :all-targets may stand", text)
		}
		p.Kind, pkg = Below, strings.TrimSuffix(strings.TrimSuffix(pkg, "..."), "/")
	case colon && name == "all":
		p.Kind = AllRules
	case colon && (name == "*" || name == "all-targets"):
		p.Kind = AllTargets
	case !colon && absolute:
		name = path.Base(pkg)
	case !colon:
		p.Slash, pkg, name = true, path.Dir(pkg), path.Base(pkg)
		if pkg == "." {
			pkg = ""
		}
	}
	if !absolute && cwd != "" {
		pkg = strings.TrimSuffix(cwd+"/"+pkg, "/")
	}
	if err := checkPackage(pkg); err != nil {
		return Pattern{}, fmt.Errorf("invalid target pattern %q: %w", text, err)
	}
	p.Package = Package{repo, pkg}
	if p.Kind == One {
		if err := checkName(name); err != nil {
			return Pattern{}, fmt.Errorf("invalid target pattern %q: %w", text, err)
		}
		p.Name = name
	}
	return p, nil
}

// Match reports whether patterns, read in their order, mean l, as far as they
// say by themselves: not whether it exists, and nothing of what a test suite that
// they name stands for.
func Match(patterns []Pattern, l Label) bool {
	found := false
	for _, p := range patterns {
		if p.means(l) {
			found = !p.Negative
		}
	}
	return found
}

func (p Pattern) means(l Label) bool {
	at := l.Package
	switch {
	case (p.Package.Repo == "") != (l.Repo == ""): // other names of one repository are not told apart
		return false
	case p.Kind == Below:
		return p.Package.Path == "" || at == p.Package.Path || strings.HasPrefix(at, p.Package.Path+"/")
	case p.Kind != One:
		return at == p.Package.Path
	case p.Slash:
		full := strings.TrimPrefix(p.Package.Path+"/"+p.Name, "/")
		return strings.TrimPrefix(at+"/"+l.Name, "/") == full || at == full && l.Name == path.Base(full)
	}
	return at == p.Package.Path && l.Name == p.Name
}
