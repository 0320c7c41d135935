// Package label says what a target, a package and a set of targets are called.
// Text is parsed once, at the command line or in a Starlark call; every Label
// held afterwards is valid and absolute. The package never looks at a disk.
package label

import (
	"fmt"
	"strings"
)

// Label names one target or source file: @repo//package:name. It is
// comparable. Repo is empty for the main workspace.
type Label struct {
	Repo    string
	Package string
	Name    string
}

// Package names a package: a folder with a BUILD file.
type Package struct {
	Repo string
	Path string
}

// String returns the shortest absolute form a user would write: //pkg:name,
// or @repo//pkg:name outside the main workspace.
func (l Label) String() string {
	if l.IsZero() {
		return ""
	}
	return l.Pkg().String() + ":" + l.Name
}

// Canonical returns the form that Bazel's str(Label(...)) gives: @@repo//pkg:name.
func (l Label) Canonical() string { return "@@" + l.Repo + "//" + l.Package + ":" + l.Name }

// IsZero reports whether l names nothing.
func (l Label) IsZero() bool { return l == Label{} }

// Pkg returns the package that l is in.
func (l Label) Pkg() Package { return Package{l.Repo, l.Package} }

// Compare orders labels by repository, package and name.
func (l Label) Compare(m Label) int {
	if c := strings.Compare(l.Repo, m.Repo); c != 0 {
		return c
	}
	if c := strings.Compare(l.Package, m.Package); c != 0 {
		return c
	}
	return strings.Compare(l.Name, m.Name)
}

// String returns //path or @repo//path.
func (p Package) String() string {
	if p.Repo == "" {
		return "//" + p.Path
	}
	return "@" + p.Repo + "//" + p.Path
}

// Label returns the label called name in p. The name must be valid.
func (p Package) Label(name string) (Label, error) {
	if err := checkName(name); err != nil {
		return Label{}, err
	}
	return Label{p.Repo, p.Path, name}, nil
}

// Parse reads a label as written in a BUILD or .bzl file of package from:
// "@repo//pkg:name", "@@repo//pkg:name", "//pkg:name", "//pkg", "@repo", ":name" or "name".
func Parse(text string, from Package) (Label, error) {
	l, err := parse(text, from)
	if err != nil {
		return Label{}, fmt.Errorf("invalid label %q: %w", text, err)
	}
	return l, nil
}

func parse(text string, from Package) (Label, error) {
	rest := text
	l := Label{Repo: from.Repo, Package: from.Path}
	if strings.HasPrefix(rest, "@") {
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "@"), "@")
		repo, tail, ok := strings.Cut(rest, "//")
		if err := checkRepo(repo); err != nil {
			return Label{}, err
		}
		l.Repo, rest = repo, "//"+tail
		if !ok { // "@repo" means @repo//:repo
			if repo == "" {
				return Label{}, fmt.Errorf("a repository name is missing after @")
			}
			return Label{Repo: repo, Name: repo}, nil
		}
	}
	if tail, ok := strings.CutPrefix(rest, "//"); ok {
		pkg, name, hasName := strings.Cut(tail, ":")
		if err := checkPackage(pkg); err != nil {
			return Label{}, err
		}
		if !hasName {
			name = pkg[strings.LastIndexByte(pkg, '/')+1:]
			if name == "" {
				return Label{}, fmt.Errorf("a target name is missing; write //:NAME")
			}
		}
		l.Package, rest = pkg, name
	} else {
		rest = strings.TrimPrefix(rest, ":")
	}
	if err := checkName(rest); err != nil {
		return Label{}, err
	}
	l.Name = rest
	return l, nil
}

func checkRepo(repo string) error {
	if repo == "." || repo == ".." { // it becomes a folder's name
		return fmt.Errorf("repository name may not be %q", repo)
	}
	for _, r := range repo {
		if !isWord(r) && !strings.ContainsRune("-._+~", r) {
			return fmt.Errorf("repository name %q may not contain %q", repo, r)
		}
	}
	return nil
}

func checkPackage(pkg string) error {
	if pkg == "" {
		return nil
	}
	for part := range strings.SplitSeq(pkg, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("package name %q may not contain the path segment %q", pkg, part)
		}
	}
	return checkRunes("package name", pkg)
}

func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("the target name is empty")
	}
	if name == "." {
		return nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("target name %q may not contain the path segment %q", name, part)
		}
	}
	return checkRunes("target name", name)
}

func checkRunes(what, s string) error {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\\' || r == ':' || r == 0xfffd {
			return fmt.Errorf("%s %q may not contain %q", what, s, r)
		}
	}
	return nil
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}
