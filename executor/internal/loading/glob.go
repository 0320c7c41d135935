package loading

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bazel's globs are another language than those of doublestar, which source trees
// and queries of rules use (package source): "?", "[" and "{" are refused or plain
// characters, "**" stands only for whole segments, and a pattern never enters
// another package. And they are walked, a segment at a time, so that a pattern
// lists no folder that it cannot match in: what was listed is a fact that the next
// command checks.

// glob finds the files below the package pkg ("" for the root) that match one
// of include and none of exclude, sorted, relative to pkg. Folders count only
// with dirs set. It does not enter other packages, nor what skip names. empty is
// the first pattern of include that matched nothing, "" if there is none.
func (t *tree) glob(pkg string, include, exclude []string, dirs bool, skip func(string) bool) (names []string, empty string, err error) {
	for _, p := range slices.Concat(include, exclude) {
		if err := checkGlob(p); err != nil {
			return nil, "", err
		}
	}
	all := map[string]bool{}
	for _, p := range include {
		g := &globber{tree: t, pkg: pkg, dirs: dirs, skip: skip, found: map[string]bool{}, seen: map[string]bool{}}
		if err := g.walk("", strings.Split(p, "/")); err != nil {
			return nil, "", fmt.Errorf("glob pattern '%s': %w", p, cause(err))
		}
		if len(g.found) == 0 && empty == "" {
			empty = p
		}
		maps.Copy(all, g.found)
	}
	var not [][]string
	for _, p := range exclude {
		not = append(not, strings.Split(p, "/"))
	}
	var out []string
	for name := range all {
		segments := strings.Split(name, "/")
		if slices.ContainsFunc(not, func(p []string) bool { return matchSegments(p, segments) }) {
			continue
		}
		if !utf8.ValidString(name) {
			return nil, "", fmt.Errorf("glob matched the file name %q, which is not UTF-8; rename the file or exclude it", name)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out, empty, nil
}

// checkGlob says what is wrong with a pattern, in Bazel's words.
func checkGlob(p string) error {
	bad := func(why string) error { return fmt.Errorf("invalid glob pattern '%s': %s", p, why) }
	switch {
	case p == "":
		return bad("pattern cannot be empty")
	case strings.HasPrefix(p, "/"):
		return bad("pattern cannot be absolute")
	case strings.Contains(p, "?"):
		return bad("wildcard ? forbidden")
	}
	for s := range strings.SplitSeq(p, "/") {
		switch {
		case s == "":
			return bad("empty segment not permitted")
		case s == "." || s == "..":
			return bad("segment '" + s + "' not permitted")
		case s != "**" && strings.Contains(s, "**"):
			return bad("recursive wildcard must be its own segment")
		}
	}
	return nil
}

// globber is the evaluation of one pattern.
type globber struct {
	tree  *tree
	pkg   string
	dirs  bool
	skip  func(string) bool // of a path relative to the repository
	found map[string]bool
	seen  map[string]bool // folder and rest of the pattern already walked
}

// walk matches the segments against what is below the folder at, "" being the package.
func (g *globber) walk(at string, segments []string) error {
	key := at + "\x00" + strings.Join(segments, "/")
	if g.seen[key] {
		return nil
	}
	g.seen[key] = true
	abs := path.Join(g.pkg, at)
	d, err := g.tree.list(abs)
	if err != nil {
		if isMissing(err) {
			return nil
		}
		return err
	}
	if at != "" && g.tree.buildFile(abs, d) != "" {
		return nil
	}
	head, rest := segments[0], segments[1:]
	if head == "**" {
		if len(rest) == 0 {
			return g.everything(at, d)
		}
		if err := g.walk(at, rest); err != nil {
			return err
		}
		for _, e := range d.entries {
			if e.Type().IsRegular() {
				continue
			}
			if err := g.enter(at, e.Name(), segments); err != nil {
				return err
			}
		}
		return nil
	}
	if !strings.Contains(head, "*") {
		if d.names[head] == nil {
			return nil
		}
		return g.step(at, head, rest)
	}
	for _, e := range d.entries {
		if matchSegment(head, e.Name()) {
			if err := g.step(at, e.Name(), rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// step takes the entry name of folder at for the segment before rest.
func (g *globber) step(at, name string, rest []string) error {
	if len(rest) == 0 {
		return g.take(at, name)
	}
	return g.enter(at, name, rest)
}

// enter walks into the folder name of at; anything else is passed over.
func (g *globber) enter(at, name string, segments []string) error {
	p := path.Join(at, name)
	abs := path.Join(g.pkg, p)
	d, err := g.tree.list(path.Dir(abs))
	if err != nil {
		return err
	}
	if g.skip(abs) || g.tree.kind(abs, d.names[name]) != folder {
		return nil
	}
	return g.walk(p, segments)
}

// take adds the entry name of at to the result if it is of the right kind.
func (g *globber) take(at, name string) error {
	p := path.Join(at, name)
	abs := path.Join(g.pkg, p)
	d, err := g.tree.list(path.Dir(abs))
	if err != nil {
		return err
	}
	if g.skip(abs) {
		return nil
	}
	switch g.tree.kind(abs, d.names[name]) {
	case file:
		g.found[p] = true
	case folder:
		if !g.dirs {
			return nil
		}
		sub, err := g.tree.list(abs)
		if err != nil {
			return err
		}
		if g.tree.buildFile(abs, sub) == "" {
			g.found[p] = true
		}
	}
	return nil
}

// everything is a last "**": all files at any depth, and with dirs the folders.
func (g *globber) everything(at string, d *dir) error {
	if g.dirs && at != "" {
		g.found[at] = true
	}
	for _, e := range d.entries {
		if err := g.take(at, e.Name()); err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			if err := g.enter(at, e.Name(), []string{"**"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// matchSegments reports whether the pattern matches the whole path.
func matchSegments(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if matchSegments(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 || !matchSegment(pattern[0], name[0]) {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// matchSegment matches one path segment; only "*" is special. As in Bazel, a
// leading dot is matched by "*" alone or by a dot, not by "*.txt".
func matchSegment(pattern, name string) bool {
	if pattern == "*" {
		return true
	}
	if name[0] == '.' && pattern[0] != '.' {
		return false
	}
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, p := range parts[:len(parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return strings.HasSuffix(name, last)
}
