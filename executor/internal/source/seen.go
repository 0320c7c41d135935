package source

import (
	"os"
	"path/filepath"
	"time"

	"gorules/executor/internal/action"
)

// A Seen is a path of a quiet source on which a result rests.
type Seen struct {
	Path                 string // slash-separated, relative to the source's root; absolute for a HostTree
	Kind, Content, Names bool
}

// Saw makes facts of what was looked at in src, which is quiet: a later Hold fails
// where src would show anything else there. It may fail where it would not, too: what
// .gitignore and git decide is noted by their files.
func (s *Snapshot) Saw(src *action.Source, seen []Seen) error {
	if src.Immutable {
		return nil // its root is a fact already
	}
	noted := map[string]bool{}
	for _, l := range seen {
		p := l.Path
		if src.Host == nil {
			p = filepath.Join(src.Root, filepath.FromSlash(p))
			dir := p
			if !l.Names {
				dir = filepath.Dir(p)
			}
			for ; len(dir) >= len(src.Root) && !noted[dir]; dir = filepath.Dir(dir) {
				noted[dir] = true
				if err := s.sawRules(src, dir); err != nil {
					return err
				}
			}
		}
		if err := s.saw(src.Root, p, l); err != nil {
			return err
		}
	}
	return nil
}

// sawRules notes what decides which names of dir are shown.
func (s *Snapshot) sawRules(src *action.Source, dir string) error {
	if src.Tree == nil || !src.Tree.Gitignore {
		return nil
	}
	if k, err := s.lstat(filepath.Join(dir, ".gitignore")); err == nil && k.isRegular() {
		if _, err := s.digest(filepath.Join(dir, ".gitignore")); err != nil {
			return err
		}
	}
	if !src.Tree.Tracked {
		return nil
	}
	_, _ = s.lstat(filepath.Join(dir, ".git"))
	_, _ = s.lstat(filepath.Join(dir, "CACHEDIR.TAG"))
	s.mu.Lock()
	a := s.git[dir]
	s.mu.Unlock()
	if a == nil || a.t == nil {
		return nil
	}
	if _, _, err := s.File(a.t.index); err != nil && !notExist(err) {
		return err
	}
	return nil
}

func (s *Snapshot) saw(root, p string, l Seen) error {
	k, err := s.lstat(p)
	if err != nil {
		return nil // that there is nothing is a fact
	}
	switch {
	case k.isLink():
		text, err := os.Readlink(p)
		if err == nil && root != "" && leaves(root, p, text) {
			// It is followed where it stands.
			if end, k, err := s.end(p); err == nil && k.isDir() {
				_, err = s.whole(end, 1)
				return err
			} else if err == nil && k.isRegular() {
				_, _, err = s.File(p)
				return err
			}
		}
		_, err = s.digest(p)
		return err
	case k.isDir() && l.Names:
		_, err := s.ReadDir(p)
		return err
	case k.isRegular() && l.Content:
		_, err := s.digest(p)
		if os.IsPermission(err) {
			err = nil
		}
		return err
	case k.isRegular():
		s.note(fact{kind: factExact, path: p, key: k.doubtful(k.racy(time.Now()))})
	}
	return nil
}
