package source

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// found is one file that a query selects; rel is relative to the source's root.
type found struct {
	rel string
	abs string
	e   DirEntry
}

// query builds the tree that src.Tree selects below src.Root/src.Path.
func (s *Snapshot) query(src *action.Source) (*tree.Tree, error) {
	q := src.Tree
	var ig ignores
	if q.Gitignore { // those of the folders above Path apply too
		dir := src.Root
		for part := range splitPath(src.Path) {
			es, err := s.ReadDir(dir)
			if err != nil {
				return nil, err
			}
			if ig, err = ig.enter(s, dir, es); err != nil {
				return nil, err
			}
			dir = filepath.Join(dir, part)
		}
	}
	w := walker{s: s, src: src}
	if err := w.walk(filepath.Join(src.Root, filepath.FromSlash(src.Path)), "", ig); err != nil {
		return nil, err
	}
	var b tree.Builder
	for _, f := range w.files {
		if err := s.addFound(&b, src, f); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

func (s *Snapshot) addFound(b *tree.Builder, src *action.Source, f found) error {
	if rel, err := filepath.Rel(src.Path, f.rel); err == nil && src.Tree.Blank.Match(filepath.ToSlash(rel)) {
		return b.AddFile(f.rel, digest.Empty, false)
	}
	te, err := s.entry(f.abs, f.e, 0)
	if err != nil {
		return err
	}
	switch te.Kind {
	case tree.Link:
		return b.AddLink(f.rel, te.Target)
	case tree.Dir: // an absolute link to a folder
		return b.AddTree(f.rel, te.Dir)
	}
	return b.AddFile(f.rel, te.File, te.Executable)
}

type walker struct {
	s     *Snapshot
	src   *action.Source
	files []found
}

// vcs are folders that hold history, not sources.
var vcs = []string{".git", ".hg", ".svn", ".jj"}

func (w *walker) walk(dir, rel string, ig ignores) error {
	es, err := w.s.ReadDir(dir)
	if err != nil {
		return err
	}
	q := w.src.Tree
	if q.Gitignore {
		if ig, err = ig.enter(w.s, dir, es); err != nil {
			return err
		}
	}
	for _, e := range es {
		if slices.Contains(vcs, e.Name) {
			continue
		}
		r, abs := path.Join(rel, e.Name), filepath.Join(dir, e.Name)
		if q.Exclude.Match(r) {
			continue
		}
		if e.Type.IsDir() {
			if ig.match(abs, true) {
				continue
			}
			if err := w.walk(abs, r, ig); err != nil {
				return err
			}
			continue
		}
		if len(q.Include) > 0 && !q.Include.Match(r) || ig.match(abs, false) {
			continue
		}
		if e.Type&^fs.ModeSymlink != 0 {
			continue // sockets and pipes are nobody's source
		}
		if !validName(e.Name) {
			return fmt.Errorf("%q: the name is not UTF-8; rename the file or list it in .gitignore", abs)
		}
		w.files = append(w.files, found{path.Join(w.src.Path, r), abs, e})
	}
	return nil
}

func splitPath(p string) func(func(string) bool) {
	return func(yield func(string) bool) {
		p = path.Clean(p)
		for p != "." && p != "" {
			head, rest := p, ""
			for i := range len(p) {
				if p[i] == '/' {
					head, rest = p[:i], p[i+1:]
					break
				}
			}
			if !yield(head) {
				return
			}
			p = rest
		}
	}
}
