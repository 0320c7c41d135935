package source

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"gorules/executor/internal/action"
)

// mentioned drops the files that nobody names and adds files, anywhere below
// the root, that a source names. See action.Mentioned.
func (s *Snapshot) mentioned(src *action.Source, files []found) ([]found, error) {
	m := src.Tree.Mentioned
	re, err := regexp.Compile(m.Pattern)
	if err != nil {
		return nil, fmt.Errorf("source_tree of %q: mentioned_pattern: %w", src.Path, err)
	}
	named := map[string]bool{}
	together := false
	for _, f := range files {
		if !m.By.Match(below(src.Path, f.rel)) || !f.e.Type.IsRegular() {
			continue
		}
		text, err := s.ReadFile(f.abs)
		if err != nil {
			return nil, err
		}
		// Files that go together name each other freely; only a mention from
		// outside brings them in.
		inside := m.Together.Match(below(src.Path, f.rel))
		name := func(rel string) {
			named[rel] = true
			together = together || !inside && m.Together.Match(below(src.Path, rel))
		}
		for _, hit := range re.FindAllSubmatch(text, -1) {
			if len(hit) > 1 && len(hit[1]) > 0 {
				name(path.Join(path.Dir(f.rel), string(hit[1])))
			}
			if len(hit) > 2 && len(hit[2]) > 0 {
				name(path.Join(src.Path, string(hit[2])))
			}
		}
	}
	out := files[:0:0]
	for _, f := range files {
		if !together && m.Together.Match(below(src.Path, f.rel)) {
			delete(named, f.rel)
			continue
		}
		if m.Files.Match(below(src.Path, f.rel)) && !named[f.rel] {
			continue
		}
		out = append(out, f)
		delete(named, f.rel)
	}
	for rel := range named { // outside the selection: there or not, it is noted
		if strings.HasPrefix(rel, "../") || path.IsAbs(rel) {
			continue
		}
		abs := filepath.Join(src.Root, filepath.FromSlash(rel))
		k, err := s.lstat(abs)
		if notExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if k.isRegular() || k.isLink() {
			e := DirEntry{Name: path.Base(rel)}
			if k.isLink() {
				e.Type = fs.ModeSymlink
			}
			out = append(out, found{rel, abs, e})
		}
	}
	return out, nil
}

// below returns p relative to dir, which it lies under.
func below(dir, p string) string {
	if dir == "" || dir == "." {
		return p
	}
	return strings.TrimPrefix(p, dir+"/")
}
