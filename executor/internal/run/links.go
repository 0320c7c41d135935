package run

import (
	"path"
	"strings"

	"gorules/executor/internal/tree"
)

// maxFollowed is how many symbolic links the kernel follows in one path.
const maxFollowed = 40

// A leaver finds links of a tree that lead out of it, by themselves or by way of
// others. What is not in the tree counts as a folder: something may come to
// stand there.
type leaver struct{ root *tree.Tree }

// leaves reports whether the link at p, relative to the tree, leads out of it.
func (l leaver) leaves(p, target string) bool {
	followed := 0
	_, out := l.follow(split(path.Dir(p)), target, &followed)
	return out
}

// follow goes from the folder at, which has no links in it, along target, and
// returns the folder or file where that ends.
func (l leaver) follow(at []string, target string, followed *int) (end []string, out bool) {
	if path.IsAbs(target) {
		return nil, true
	}
	if *followed++; *followed > maxFollowed {
		return at, false // a circle, or what the kernel takes for one: it leads nowhere
	}
	for _, name := range split(target) {
		if name == ".." {
			if len(at) == 0 {
				return nil, true
			}
			at = at[:len(at)-1]
			continue
		}
		next := append(at[:len(at):len(at)], name)
		if e, ok := l.root.Lookup(strings.Join(next, "/")); ok && e.Kind == tree.Link {
			if next, out = l.follow(at, e.Target, followed); out {
				return nil, true
			}
		}
		at = next
	}
	return at, false
}

// split returns the names of a path that mean something. ".." is kept.
func split(p string) (names []string) {
	for name := range strings.SplitSeq(p, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// firstLeaving returns a link of t that leads out of it.
func firstLeaving(t *tree.Tree) (p, target string, found bool) {
	return leaver{t}.find(t, "")
}

func (l leaver) find(t *tree.Tree, below string) (p, target string, found bool) {
	for _, e := range t.Entries() {
		p := path.Join(below, e.Name)
		switch {
		case e.Kind == tree.Link && l.leaves(p, e.Target):
			return p, e.Target, true
		case e.Kind == tree.Dir:
			if p, target, found := l.find(e.Dir, p); found {
				return p, target, true
			}
		}
	}
	return "", "", false
}
