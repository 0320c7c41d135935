package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// immutable returns the tree of folder p below root, which gorules wrote and
// nobody changes: only root's own key is noted. ok is false if p is no folder.
func (s *Snapshot) immutable(root, p string) (t *tree.Tree, ok bool, err error) {
	k, err := stat(root)
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	s.roots[root] = k
	s.mu.Unlock()
	k, err = stat(p)
	if err != nil {
		return nil, false, err
	}
	if !k.isDir() {
		return nil, false, nil
	}
	t, _, err = s.frozen(p, 0)
	return t, true, err
}

// frozen walks dir without noting anything. plain says that the folder as it
// is on disk is the tree exactly, so that it may be mounted in its place.
// links counts the links followed on the way to dir.
func (s *Snapshot) frozen(dir string, links int) (t *tree.Tree, plain bool, err error) {
	if links > maxLinks {
		return nil, false, fmt.Errorf("%s: a symbolic link leads to a folder that it is in", dir)
	}
	es, err := list(dir, nil)
	if err != nil {
		return nil, false, err
	}
	plain = true
	entries := make([]tree.Entry, 0, len(es))
	for _, e := range es {
		p := filepath.Join(dir, e.Name)
		if !validName(e.Name) {
			return nil, false, fmt.Errorf("%q: the name is not UTF-8", p)
		}
		te := tree.Entry{Name: e.Name}
		kind, below := e.Type, links
		if kind&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			if err != nil {
				return nil, false, err
			}
			if !strings.HasPrefix(target, "/") {
				te.Kind, te.Target = tree.Link, target
				entries = append(entries, te)
				continue
			}
			plain = false
			below++
			if p, err = filepath.EvalSymlinks(p); err != nil {
				return nil, false, err
			}
			info, err := os.Lstat(p)
			if err != nil {
				return nil, false, err
			}
			kind = info.Mode().Type()
		}
		if kind.IsDir() {
			te.Kind = tree.Dir
			sub, ok, err := s.frozen(p, below)
			if err != nil {
				return nil, false, err
			}
			te.Dir, plain = sub, plain && ok
		} else if te.File, te.Executable, err = s.frozenFile(p); err != nil {
			return nil, false, err
		}
		entries = append(entries, te)
	}
	origin := ""
	if plain {
		origin = dir
	}
	t, err = tree.New(entries, origin)
	return t, plain, err
}

// Warm digests everything below an immutable root, so that the Cache knows it.
func (s *Snapshot) Warm(root string) error {
	_, _, err := s.frozen(root, 0)
	return err
}

func (s *Snapshot) frozenFile(p string) (d digest.Digest, executable bool, err error) {
	k, err := lstat(p)
	if err != nil {
		return d, false, err
	}
	if !k.isRegular() {
		return d, false, fmt.Errorf("%s: neither a file, a folder nor a link", p)
	}
	if d, err = s.cache.digest(p, k); err != nil {
		return d, false, err
	}
	s.mu.Lock()
	s.blobs[d] = p
	s.mu.Unlock()
	return d, k.executable(), nil
}

func validName(name string) bool { return utf8.ValidString(name) }
