package loading

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"gorules/executor/internal/glob"
)

// glob finds the files below the package pkg ("" for the root) that match one
// of include and none of exclude, sorted, relative to pkg. Folders count only
// with dirs set. It does not enter other packages, nor what skip names. empty is
// the first pattern of include that matched nothing, "" if there is none.
func (t *tree) glob(pkg string, include, exclude []string, dirs bool, skip func(string) bool) (names []string, empty string, err error) {
	not, err := glob.ParseAll(exclude)
	if err != nil {
		return nil, "", err
	}
	all := map[string]bool{}
	for _, text := range include {
		p, err := glob.Parse(text)
		if err != nil {
			return nil, "", err
		}
		g := &globber{tree: t, pkg: pkg, dirs: dirs, skip: skip, found: map[string]bool{}, seen: map[string]bool{}}
		if err := g.walk("", p); err != nil {
			return nil, "", fmt.Errorf("glob pattern '%s': %w", text, cause(err))
		}
		if len(g.found) == 0 && empty == "" {
			empty = text
		}
		maps.Copy(all, g.found)
	}
	var out []string
	for name := range all {
		if not.Match(name) {
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

// globber is the evaluation of one pattern. It walks a segment at a time, so that
// no folder is listed in which nothing can match: what was listed is a fact that
// the next command checks.
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
		return fmt.Errorf("the folder '%s' cannot be listed: %w", abs, cause(err))
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
		if glob.MatchSegment(head, e.Name()) {
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
