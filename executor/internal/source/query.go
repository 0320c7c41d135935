package source

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/glob"
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
	w := walker{s: s, src: src}
	err := w.parse()
	if err != nil {
		return nil, fmt.Errorf("source_tree of %q: %w", src.Path, err)
	}
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
	if err := w.walk(filepath.Join(src.Root, filepath.FromSlash(src.Path)), "", ig); err != nil {
		return nil, err
	}
	files := w.files
	if q.Mentioned != nil {
		if files, err = w.mentioned(files); err != nil {
			return nil, err
		}
	}
	var b tree.Builder
	for _, f := range files {
		if err := w.addFound(&b, f); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

func (w *walker) addFound(b *tree.Builder, f found) error {
	if rel, err := filepath.Rel(w.src.Path, f.rel); err == nil && w.blank.Match(filepath.ToSlash(rel)) {
		return b.AddFile(f.rel, digest.Empty, false)
	}
	te, err := w.s.entry(f.abs, f.e, 0)
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

	include, exclude, blank   glob.Set
	mentionable, together, by glob.Set // of Mentioned
}

// parse reads the patterns.
func (w *walker) parse() error {
	q := w.src.Tree
	m := &action.Mentioned{}
	if q.Mentioned != nil {
		m = q.Mentioned
	}
	for _, l := range []struct {
		texts []string
		to    *glob.Set
	}{{q.Include, &w.include}, {q.Exclude, &w.exclude}, {q.Blank, &w.blank}, {m.Files, &w.mentionable}, {m.Together, &w.together}, {m.By, &w.by}} {
		var err error
		if *l.to, err = glob.ParseAll(l.texts); err != nil {
			return err
		}
	}
	return nil
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
		if w.exclude.Match(r) {
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
		if len(q.Include) > 0 && !w.include.Match(r) || ig.match(abs, false) {
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
