package loading

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// ignoreFile names the folders that no package and no glob reaches.
const ignoreFile = ".bazelignore"

// ignoreSet says which folders of a repository loading does not enter.
type ignoreSet struct {
	tree    *tree
	folders map[string]bool // .bazelignore
}

// readIgnored reads .bazelignore.
func (t *tree) readIgnored() (*ignoreSet, error) {
	s := &ignoreSet{tree: t, folders: map[string]bool{}}
	src, err := t.readFile(ignoreFile)
	if isMissing(err) {
		return s, nil
	}
	if err != nil {
		return nil, diag.Errorf(diag.Position{File: ignoreFile}, "cannot read the file: %w", cause(err))
	}
	lines := bufio.NewScanner(bytes.NewReader(src))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "/") {
			return nil, diag.Errorf(diag.Position{File: ignoreFile, Line: n, Column: 1}, "'%s' is absolute", line).WithHint("write folders relative to the workspace")
		}
		s.folders[path.Clean(line)] = true
	}
	return s, lines.Err()
}

// outputLinks are the names of folders that builds write at the workspace root.
var outputLinks = map[string]bool{
	"bazel-bin": true, "bazel-genfiles": true, "bazel-out": true, "bazel-testlogs": true,
	"gorules-bin": true, "gorules-out": true, "gorules-testlogs": true,
}

// skips reports whether the entry at p, relative to the repository, is left out.
func (s *ignoreSet) skips(p string) bool {
	if s.folders[p] {
		return true
	}
	name := path.Base(p)
	if name == ".git" {
		return true
	}
	if p != name || !strings.HasPrefix(p, "bazel-") && !strings.HasPrefix(p, "gorules-") {
		return false
	}
	if outputLinks[p] {
		return true
	}
	d, err := s.tree.list(".")
	return err == nil && d.names[p] != nil && d.names[p].Type()&fs.ModeSymlink != 0
}

// packagesBelow lists the packages in and under the folder root, sorted, and says
// where it could not look. A folder that cannot be listed hides no other.
func (l *Loader) packagesBelow(t *tree, repo, root string) (paths []string, errs []error) {
	s, err := t.ignored()
	if err != nil {
		return nil, []error{err}
	}
	var walk func(p string)
	walk = func(p string) {
		d, err := t.list(p)
		if err != nil {
			if !isMissing(err) || p != root {
				errs = append(errs, errorf("looking for packages below '%s': %w", label.Package{Repo: repo, Path: p}, cause(err)).
					WithHint("make it a folder that can be listed, or name it in "+ignoreFile))
			}
			return
		}
		if p != "" && p != root && d.isWorkspace() {
			return
		}
		if t.buildFile(p, d) != "" {
			if utf8.ValidString(p) {
				paths = append(paths, p)
			} else {
				errs = append(errs, errorf("the folder name %q is not UTF-8, but has a BUILD file", p).WithHint("rename the folder"))
			}
		}
		for _, e := range d.entries {
			if e.Type().IsRegular() {
				continue
			}
			sub := path.Join(p, e.Name())
			if !s.skips(sub) && t.kind(sub, e) == folder {
				walk(sub)
			}
		}
	}
	if root == "" || !s.skips(root) {
		walk(root)
	}
	return paths, errs
}
