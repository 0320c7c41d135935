package source

import (
	"path/filepath"
	"strings"

	gitignore "github.com/sabhiram/go-gitignore"
)

// ignoreFile is one .gitignore on the way down to a file: a later (deeper) one
// overrules an earlier one, and within one file the last matching line decides.
type ignoreFile struct {
	dir string // absolute
	pat *gitignore.GitIgnore
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
		pat := gitignore.CompileIgnoreLines(strings.Split(string(b), "\n")...)
		return append(ig[:len(ig):len(ig)], ignoreFile{dir, pat}), nil
	}
	return ig, nil
}

// match reports whether the absolute path p is left out.
func (ig ignores) match(p string, isDir bool) bool {
	out := false
	for _, f := range ig {
		rel, err := filepath.Rel(f.dir, p)
		if err != nil {
			continue
		}
		if isDir {
			rel += "/"
		}
		if ignored, by := f.pat.MatchesPathHow(filepath.ToSlash(rel)); by != nil {
			out = ignored
		}
	}
	return out
}
