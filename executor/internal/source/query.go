package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// Unsettled stands for the content of a file in a quiet source that was being written
// while it was read, a log say. Nothing has this content: who looks at the file cannot
// be given it.
var Unsettled = digest.Of([]byte("gorules: a file that was being written while it was read"))

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
	if q.Tracked {
		var err error
		if w.tracked, err = s.tracked(src.Root); err != nil {
			return nil, err
		}
	}
	if err := w.walk(filepath.Join(src.Root, filepath.FromSlash(src.Path)), "", ig, false); err != nil {
		return nil, err
	}
	if q.Tracked {
		if err := w.led(); err != nil {
			return nil, err
		}
	}
	var b tree.Builder
	for _, f := range w.files {
		err := s.addFound(&b, src, f)
		if src.Quiet && errors.Is(err, ErrChanged) {
			err = b.AddFile(f.rel, Unsettled, false)
		}
		// What came or went since somebody looked is not there for this command, nor what
		// this user may not read: an action may not either.
		if err != nil && !(src.Quiet && (notExist(err) || errors.Is(err, fs.ErrPermission))) {
			return nil, err
		}
	}
	return b.Build()
}

func (s *Snapshot) addFound(b *tree.Builder, src *action.Source, f found) error {
	if rel, err := filepath.Rel(src.Path, f.rel); err == nil && src.Tree.Blank.Match(filepath.ToSlash(rel)) {
		return b.AddFile(f.rel, digest.Empty, false)
	}
	if src.Tree.Tracked && f.e.Type&fs.ModeSymlink != 0 {
		if text, err := os.Readlink(f.abs); err == nil && leaves(src.Root, f.abs, text) {
			return s.addEnd(b, f)
		}
	}
	if f.e.Type.IsDir() {
		return b.AddTree(f.rel, tree.Empty)
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

// leaves reports whether the link with the given text at p leads out of root.
func leaves(root, p, text string) bool {
	if filepath.IsAbs(text) {
		return true
	}
	to := filepath.Join(filepath.Dir(p), text)
	return to != root && !strings.HasPrefix(to, root+"/")
}

// addEnd adds what the link f, which leaves the tree, leads to; if that is nothing,
// the link.
func (s *Snapshot) addEnd(b *tree.Builder, f found) error {
	end, k, err := s.end(f.abs)
	switch {
	case notExist(err) || errors.Is(err, syscall.ELOOP):
		text, err := os.Readlink(f.abs)
		if err != nil {
			return err
		}
		return b.AddLink(f.rel, text)
	case err != nil:
		return err
	case k.isDir():
		t, err := s.whole(end, 1)
		if err != nil {
			return err
		}
		return b.AddTree(f.rel, t)
	}
	d, exec, err := s.File(f.abs)
	if err != nil {
		return err
	}
	return b.AddFile(f.rel, d, exec)
}

type walker struct {
	s       *Snapshot
	src     *action.Source
	files   []found
	tracked *tracked // nil where git has no say
}

// vcs are folders that hold history, not sources.
var vcs = []string{".git", ".hg", ".svn", ".jj"}

// walk adds what is in dir. out says that .gitignore leaves that out, and what is
// tracked is there alone.
func (w *walker) walk(dir, rel string, ig ignores, out bool) error {
	es, err := w.s.ReadDir(dir)
	if w.src.Quiet && rel != "" && errors.Is(err, fs.ErrPermission) {
		return fs.SkipDir
	}
	if err != nil {
		return err
	}
	q := w.src.Tree
	if q.Gitignore {
		if ig, err = ig.enter(w.s, dir, es); err != nil {
			return err
		}
	}
	if q.Tracked && rel != "" {
		switch {
		case slices.ContainsFunc(es, func(e DirEntry) bool { return e.Name == ".git" }): // a submodule
			sub, err := w.s.tracked(dir)
			if err != nil {
				return err
			}
			defer func(outer *tracked) { w.tracked = outer }(w.tracked)
			w.tracked = sub
		case !w.tracked.within(dir) && isCache(dir, es):
			return fs.SkipDir
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
			left := out || ig.match(abs, true)
			if left && !w.tracked.within(abs) {
				continue
			}
			files := len(w.files)
			switch err := w.walk(abs, r, ig, left); {
			case err == fs.SkipDir:
				continue
			case err != nil:
				return err
			}
			if q.Tracked && len(q.Include) == 0 && len(w.files) == files && !left {
				w.files = append(w.files, found{path.Join(w.src.Path, r), abs, e}) // cargo sees it too
			}
			continue
		}
		// What is wanted may lie behind a link with any name.
		link := q.Tracked && e.Type&fs.ModeSymlink != 0
		if len(q.Include) > 0 && !q.Include.Match(r) && !link || !w.tracked.has(abs) && (out || ig.match(abs, false)) {
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

// led adds what links lead to inside Root and what is not there otherwise: a link to
// a file that .gitignore leaves out.
func (w *walker) led() error {
	there := map[string]bool{}
	for _, f := range w.files {
		for p := f.rel; p != "." && !there[p]; p = path.Dir(p) {
			there[p] = true
		}
	}
	for i := 0; i < len(w.files); i++ { // it grows
		f := w.files[i]
		if f.e.Type&fs.ModeSymlink == 0 {
			continue
		}
		text, err := os.Readlink(f.abs)
		if err != nil || filepath.IsAbs(text) {
			continue // an absolute one is followed where it stands
		}
		rel := path.Join(path.Dir(f.rel), filepath.ToSlash(text))
		abs := filepath.Join(w.src.Root, filepath.FromSlash(rel))
		k, err := w.s.lstat(abs)
		if there[rel] || err != nil || rel == ".." || strings.HasPrefix(rel, "../") || rel == "." {
			continue
		}
		there[rel] = true
		if !k.isDir() {
			w.files = append(w.files, found{rel, abs, DirEntry{path.Base(rel), fileInfo{key: k}.Mode().Type()}})
			continue
		}
		// Whatever is in a folder that was left out whole.
		in := walker{s: w.s, src: &action.Source{Root: w.src.Root, Path: rel, Tree: &action.TreeQuery{}}}
		if err := in.walk(abs, "", nil, false); err != nil && err != fs.SkipDir {
			return err
		}
		for _, f := range in.files {
			below, err := filepath.Rel(filepath.FromSlash(w.src.Path), filepath.FromSlash(f.rel))
			wanted := len(w.src.Tree.Include) == 0 || err == nil && w.src.Tree.Include.Match(filepath.ToSlash(below))
			if wanted && !there[f.rel] {
				there[f.rel] = true
				w.files = append(w.files, f)
			}
		}
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
