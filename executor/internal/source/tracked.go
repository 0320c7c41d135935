package source

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// tracked is what git tracks in a folder although .gitignore says otherwise. The nil
// tracked is empty.
type tracked struct {
	files, dirs map[string]bool // absolute
	index       string          // the file that it was read from
}

// trackedAnswer is what git said of one folder.
type trackedAnswer struct {
	once sync.Once
	t    *tracked
	err  error
}

func (t *tracked) has(abs string) bool    { return t != nil && t.files[abs] }
func (t *tracked) within(abs string) bool { return t != nil && t.dirs[abs] }

// tracked asks git once about the folder root; nil where it is in no work tree.
func (s *Snapshot) tracked(root string) (*tracked, error) {
	s.mu.Lock()
	a := s.git[root]
	if a == nil {
		a = &trackedAnswer{}
		s.git[root] = a
	}
	s.mu.Unlock()
	a.once.Do(func() { a.t, a.err = s.askGit(root) })
	return a.t, a.err
}

func (s *Snapshot) askGit(root string) (*tracked, error) {
	index := indexOf(root)
	if index == "" {
		return nil, nil
	}
	t := &tracked{files: map[string]bool{}, dirs: map[string]bool{}, index: index}
	if _, err := os.Stat(index); err != nil {
		return t, nil // nothing is tracked yet
	}
	if s.Git == nil {
		return t, nil
	}
	names, err := s.Git(root)
	if err != nil {
		return nil, fmt.Errorf("asking git what it tracks in %s: %w", root, err)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		abs := filepath.Join(root, name)
		t.files[abs] = true
		for dir := filepath.Dir(abs); len(dir) > len(root); dir = filepath.Dir(dir) {
			t.dirs[dir] = true
		}
	}
	return t, nil
}

// indexOf is the index of the work tree that dir is in; "" if it is in none.
func indexOf(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		git := filepath.Join(dir, ".git")
		info, err := os.Stat(git)
		switch {
		case err == nil && info.IsDir():
			return filepath.Join(git, "index")
		case err == nil && info.Mode().IsRegular(): // of a linked work tree, or a submodule
			b, err := os.ReadFile(git)
			to, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "gitdir: ")
			if err != nil || !ok {
				return ""
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(dir, to)
			}
			return filepath.Join(to, "index")
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// cacheTag is how a file CACHEDIR.TAG begins (bford.info/cachedir): cargo puts one
// into its target folder, wherever that is.
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55"

// isCache reports whether the folder dir is tagged as a cache.
func isCache(dir string, entries []DirEntry) bool {
	if !slices.ContainsFunc(entries, func(e DirEntry) bool { return e.Name == "CACHEDIR.TAG" && e.Type.IsRegular() }) {
		return false
	}
	f, err := os.Open(filepath.Join(dir, "CACHEDIR.TAG"))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(cacheTag))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == cacheTag
}
