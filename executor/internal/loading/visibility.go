package loading

import (
	"context"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// Visibility says which packages may use a target. The zero value is private.
type Visibility struct {
	Public   bool
	Packages []PackageSpec
	Groups   []label.Label // package_group targets
}

// PackageSpec is a set of packages.
type PackageSpec struct {
	Package  label.Package
	Below    bool // the packages under it too
	All      bool // every package of every repository
	None     bool // "private": no package
	Negative bool // takes away; only in package groups
}

// Matches reports whether p is in the set, whatever Negative says.
func (s PackageSpec) Matches(p label.Package) bool {
	switch {
	case s.All:
		return true
	case s.None:
		return false
	case s.Package == p:
		return true
	case !s.Below || s.Package.Repo != p.Repo:
		return false
	}
	return s.Package.Path == "" || strings.HasPrefix(p.Path, s.Package.Path+"/")
}

// A Group is a package_group.
type Group struct {
	Specs    []PackageSpec
	Includes []label.Label
}

// visibilityOf reads the labels of a visibility attribute.
func visibilityOf(labels []label.Label) (Visibility, error) {
	var v Visibility
	for _, l := range labels {
		switch {
		case l.Package == "visibility" && l.Name == "public":
			v.Public = true
		case l.Package == "visibility" && l.Name == "private":
			if len(labels) > 1 {
				return v, errorf("//visibility:private stands in a list with other labels").
					WithHint("take it out: private is what no other label allows")
			}
		case l.Package == "visibility":
			return v, fmt.Errorf("visibility label '%s' is neither //visibility:public nor //visibility:private", l)
		case l.Name == "__pkg__":
			v.Packages = append(v.Packages, PackageSpec{Package: l.Pkg()})
		case l.Name == "__subpackages__":
			v.Packages = append(v.Packages, PackageSpec{Package: l.Pkg(), Below: true})
		default:
			v.Groups = append(v.Groups, l)
		}
	}
	return v, nil
}

// labelList takes a list of labels as written.
func labelList(what string, v starlark.Value, scope bzl.Scope) ([]label.Label, error) {
	if v == nil || v == starlark.None {
		return nil, nil
	}
	it, ok := v.(starlark.Iterable)
	if _, isDict := v.(*starlark.Dict); !ok || isDict {
		return nil, fmt.Errorf("%s: expected a list of labels, got %s (%s)", what, v, v.Type())
	}
	var out []label.Label
	for e := range starlark.Elements(it) {
		l, err := scope.ToLabel(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// parsePackageSpec reads one entry of package_group(packages = ...).
func parsePackageSpec(text string, from label.Package) (PackageSpec, error) {
	var s PackageSpec
	rest := text
	if after, ok := strings.CutPrefix(rest, "-"); ok {
		s.Negative, rest = true, after
	}
	switch rest {
	case "public":
		s.All = true
		return s, nil
	case "private":
		s.None = true
		return s, nil
	}
	repo, tail, ok := strings.Cut(rest, "//")
	if !ok || repo != "" && !strings.HasPrefix(repo, "@") {
		return s, errorf("invalid package name '%s'", text).WithHint(`write "//pkg", "//pkg/...", "public" or "private"`)
	}
	s.Package.Repo = from.Repo
	if repo != "" {
		s.Package.Repo = strings.TrimLeft(repo, "@")
	}
	if tail == "..." {
		s.Below = true
		return s, nil
	}
	s.Package.Path, s.Below = strings.CutSuffix(tail, "/...")
	if _, err := label.Parse("//"+s.Package.Path+":x", label.Package{}); err != nil || strings.Contains(tail, ":") {
		return s, errorf("invalid package name '%s'", text).WithHint(`write "//pkg", "//pkg/...", "public" or "private"`)
	}
	return s, nil
}

// Visible reports whether the package from may use t.
func (l *Loader) Visible(ctx context.Context, t *Target, from label.Package) (bool, error) {
	v := t.Visibility
	if v.Public || t.Label.Pkg() == from || t.Kind == PackageGroup {
		return true, nil
	}
	for _, s := range v.Packages {
		if s.Matches(from) {
			return true, nil
		}
	}
	for _, g := range v.Groups {
		ok, err := l.inGroup(ctx, g, from, map[label.Label]bool{})
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// inGroup reports whether a package is in a package_group; seen are the groups
// that were looked at.
func (l *Loader) inGroup(ctx context.Context, group label.Label, p label.Package, seen map[label.Label]bool) (bool, error) {
	if seen[group] {
		return false, nil
	}
	seen[group] = true
	t, err := l.Target(ctx, group)
	if err != nil {
		return false, err
	}
	if t.Kind != PackageGroup {
		return false, errorf("visibility names '%s', which is a %s", group, t.KindString()).
			WithHint(fmt.Sprintf("name a package_group, or write '%s:__pkg__' for the package", group.Pkg()))
	}
	in := false
	for _, s := range t.Group.Specs {
		if s.Matches(p) {
			if s.Negative {
				return false, nil
			}
			in = true
		}
	}
	if in {
		return true, nil
	}
	for _, inc := range t.Group.Includes {
		if ok, err := l.inGroup(ctx, inc, p, seen); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
