package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// A Fixed is a folder that gorules wrote and that must be as it was written. All
// of it is read at once; whoever looks there later in the same command gets what
// was read then, and a file whose bytes are others by now is an error.
//
// Nothing in it is a fact but its root's own key: who relies on it compares Tree
// with what was written, whenever more than facts is looked at.
type Fixed struct {
	Root string
	Tree *tree.Tree

	key  Key // of Root
	view *Snapshot
}

// ErrLeadsOut is wrapped where a link leads out of a Fixed, which then is no
// folder that can be known as a whole.
var ErrLeadsOut = errors.New("the link leads out of the folder")

// Fix reads all of the folder root.
func (s *Snapshot) Fix(root string) (*Fixed, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	f := &Fixed{Root: root, view: New(s.cache)}
	f.view.within = []string{root, real}
	if f.key, err = stat(root); err != nil {
		return nil, err
	}
	es, err := f.view.ReadDir(root)
	if err != nil {
		return nil, err
	}
	entries := make([]tree.Entry, len(es))
	var g errgroup.Group
	g.SetLimit(checkers)
	for i, e := range es {
		g.Go(func() (err error) {
			entries[i], err = f.view.entry(filepath.Join(root, e.Name), e, 0)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	f.Tree, err = tree.New(entries)
	return f, err
}

// Files reads what f holds.
func (f *Fixed) Files() Root { return f.view.Under(f.Root) }

// Rest makes f what s answers with about f.Root.
func (s *Snapshot) Rest(f *Fixed) {
	s.note(fact{kind: factRoot, path: f.Root, key: f.key})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fixed[f.Root] = f
}

// fixedAt returns the Fixed that s rests on for root.
func (s *Snapshot) fixedAt(root string) (*Fixed, error) {
	s.mu.Lock()
	f := s.fixed[root]
	s.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := s.Fix(root)
	if err == nil {
		s.Rest(f)
	}
	return f, err
}

func (f *Fixed) resolve(src *action.Source) (action.Content, error) {
	if src.Tree == nil && src.Host == nil {
		switch e, ok := f.Tree.Lookup(src.Path); {
		case ok && e.Kind == tree.Dir:
			return action.Content{Tree: e.Dir}, nil
		case ok && e.Kind == tree.File:
			return action.Content{File: e.File, Executable: e.Executable}, nil
		}
	}
	return f.view.Resolve(src)
}

// contained refuses a link at p that leads out of the folders in s.within.
func (s *Snapshot) contained(p, target string) error {
	if len(s.within) == 0 {
		return nil
	}
	to, err := filepath.EvalSymlinks(p)
	if err != nil { // it leads nowhere: where it is written to lead
		if to = filepath.Clean(target); !filepath.IsAbs(target) {
			to = filepath.Join(filepath.Dir(p), target)
		}
	}
	if at, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil && filepath.IsAbs(target) && (at == to || strings.HasPrefix(at, to+"/")) {
		return fmt.Errorf("%s: the symbolic link leads to a folder that it is in", p)
	}
	for _, dir := range s.within {
		if to == dir || strings.HasPrefix(to, dir+"/") {
			return nil
		}
	}
	return fmt.Errorf("%s -> %s: %w", p, target, ErrLeadsOut)
}

// unlisted reports whether p is a name that a Fixed did not have when it was read.
func (s *Snapshot) unlisted(p string) bool {
	if len(s.within) == 0 {
		return false
	}
	for p != s.within[0] && p != "/" && p != "." {
		dir := filepath.Dir(p)
		s.mu.Lock()
		a := s.dirs[dir]
		s.mu.Unlock()
		if a != nil {
			es, err := s.ReadDir(dir)
			_, ok := slices.BinarySearchFunc(es, filepath.Base(p), func(e DirEntry, name string) int { return strings.Compare(e.Name, name) })
			return err == nil && !ok
		}
		p = dir
	}
	return false
}

// Manifest is what f holds, in a flat encoded form, for Changed.
func (f *Fixed) Manifest() []byte {
	var w writer
	w.digest(f.Tree.Digest())
	w.uint(uint64(f.Tree.Files()))
	_ = f.Tree.Walk(func(p string, e tree.Entry) error { // nothing in it fails
		w.string(p)
		w.digest(form(e))
		return nil
	})
	return w.b
}

// form is the digest of all that matters of a file or link.
func form(e tree.Entry) digest.Digest {
	return digest.Of(fmt.Appendf(nil, "%d %s %t %q", e.Kind, e.File, e.Executable, e.Target))
}

// Changed tells what of f is not as the manifest says, "" if nothing: the first
// path below f.Root that is another, was added or is gone, and how many more are.
func (f *Fixed) Changed(manifest []byte) string {
	r := reader{b: manifest}
	if r.digest() == f.Tree.Digest() && r.err == nil {
		return ""
	}
	was := map[string]digest.Digest{}
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		was[r.string()] = r.digest()
	}
	var changed []string
	_ = f.Tree.Walk(func(p string, e tree.Entry) error { // nothing in it fails
		if was[p] != form(e) {
			changed = append(changed, p)
		}
		delete(was, p)
		return nil
	})
	for p := range was {
		changed = append(changed, p)
	}
	slices.Sort(changed)
	switch len(changed) {
	case 0:
		return "a folder without files"
	case 1:
		return changed[0]
	}
	return fmt.Sprintf("%s and %d more", changed[0], len(changed)-1)
}
