package tree

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"gorules/executor/internal/digest"
)

// A Builder collects files, links and whole trees at paths and makes one Tree
// of them. Equal claims to one path merge; different ones are ErrConflict. The
// zero value is ready. Paths are slash-separated; a leading slash is dropped.
type Builder struct{ root node }

// node is a directory under construction: base holds a tree that was added
// whole and is kept shared until something else lands inside it.
type node struct {
	base  *Tree
	child map[string]*item
}

type item struct {
	entry Entry // unless dir is set
	dir   *node
}

// AddFile puts a file at p.
func (b *Builder) AddFile(p string, d digest.Digest, executable bool) error {
	return b.add(p, Entry{Kind: File, File: d, Executable: executable})
}

// AddLink puts a symbolic link at p.
func (b *Builder) AddLink(p, target string) error {
	return b.add(p, Entry{Kind: Link, Target: target})
}

// AddTree puts the whole of t at p, merged with what is there.
func (b *Builder) AddTree(p string, t *Tree) error {
	n, err := b.root.descend(split(p), p)
	if err != nil {
		return err
	}
	return n.merge(t, p)
}

// Build returns the tree of all that was added.
func (b *Builder) Build() (*Tree, error) { return b.root.build() }

func split(p string) []string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

func (b *Builder) add(p string, e Entry) error {
	parts := split(p)
	if len(parts) == 0 || !utf8.ValidString(p) || !utf8.ValidString(e.Target) {
		return fmt.Errorf("tree: bad path %q: want a file name in UTF-8", p)
	}
	n, err := b.root.descend(parts[:len(parts)-1], p)
	if err != nil {
		return err
	}
	e.Name = parts[len(parts)-1]
	return n.put(e, p)
}

// descend returns the directory at parts below n, making it where it is missing.
func (n *node) descend(parts []string, whole string) (*node, error) {
	for _, name := range parts {
		n.open()
		it := n.child[name]
		if it == nil {
			it = &item{dir: &node{}}
			n.child[name] = it
		}
		if it.dir == nil {
			return nil, fmt.Errorf("tree: %s: %q is not a directory: %w", whole, name, ErrConflict)
		}
		n = it.dir
	}
	return n, nil
}

// open turns a shared base into children that can be added to.
func (n *node) open() {
	if n.child == nil {
		n.child = map[string]*item{}
	}
	if n.base == nil {
		return
	}
	for _, e := range n.base.entries {
		if e.Kind == Dir {
			n.child[e.Name] = &item{dir: &node{base: e.Dir}}
		} else {
			n.child[e.Name] = &item{entry: e}
		}
	}
	n.base = nil
}

func (n *node) merge(t *Tree, p string) error {
	if n.base == t {
		return nil
	}
	if n.base == nil && len(n.child) == 0 {
		n.base = t
		return nil
	}
	n.open()
	for _, e := range t.entries {
		if err := n.put(e, path.Join(p, e.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) put(e Entry, p string) error {
	n.open()
	old := n.child[e.Name]
	switch {
	case e.Kind == Dir && (old == nil || old.dir != nil):
		if old == nil {
			old = &item{dir: &node{}}
			n.child[e.Name] = old
		}
		return old.dir.merge(e.Dir, p)
	case old == nil:
		n.child[e.Name] = &item{entry: e}
		return nil
	case old.dir == nil && old.entry == e:
		return nil
	}
	return fmt.Errorf("tree: %s: %w", p, ErrConflict)
}

func (n *node) build() (*Tree, error) {
	if n.base != nil {
		return n.base, nil
	}
	entries := make([]Entry, 0, len(n.child))
	for name, it := range n.child {
		e := it.entry
		if it.dir != nil {
			t, err := it.dir.build()
			if err != nil {
				return nil, err
			}
			e = Entry{Kind: Dir, Dir: t}
		}
		e.Name = name
		entries = append(entries, e)
	}
	return New(entries)
}
