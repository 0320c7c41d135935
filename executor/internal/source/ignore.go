package source

import (
	"path/filepath"
)

// ignoreFile is one .gitignore on the way down to a file: a later (deeper) one
// overrules an earlier one, and within one file the last matching line decides.
type ignoreFile struct {
	dir   string // absolute
	lines []ignoreLine
}

// ignores is the stack of .gitignore files that apply in a folder.
type ignores []ignoreFile

// enter returns the stack for dir, which is extended if dir has a .gitignore.
func (ig ignores) enter(s *Snapshot, dir string, entries []DirEntry) (ignores, error) {
	for _, e := range entries {
		if e.Name != ".gitignore" || !e.Type.IsRegular() {
			continue
		}
		b, err := s.ReadFile(filepath.Join(dir, e.Name))
		if err != nil {
			return nil, err
		}
		return append(ig[:len(ig):len(ig)], ignoreFile{dir, parseIgnore(b)}), nil
	}
	return ig, nil
}

// match reports whether the absolute path p is left out, where none of the
// folders above it is.
func (ig ignores) match(p string, isDir bool) bool {
	for i := len(ig) - 1; i >= 0; i-- {
		rel, err := filepath.Rel(ig[i].dir, p)
		if err != nil {
			continue
		}
		rel = filepath.ToSlash(rel)
		for j := len(ig[i].lines) - 1; j >= 0; j-- {
			if l := &ig[i].lines[j]; l.match(rel, isDir) {
				return !l.negate
			}
		}
	}
	return false
}
