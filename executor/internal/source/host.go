package source

import (
	"fmt"
	"os"
	"path/filepath"

	"gorules/executor/internal/action"
	"gorules/executor/internal/tree"
)

// hostTree lays declared host files at their own absolute paths. A link on the
// way to a file (/bin -> usr/bin, /usr/bin/cc -> /etc/alternatives/cc) is kept as
// a link, and what it leads to is added, so that every path works as on the host.
func (s *Snapshot) hostTree(h *action.HostTree) (*tree.Tree, error) {
	b := hostBuilder{s: s, done: map[string]bool{}}
	for _, p := range h.Paths {
		if !filepath.IsAbs(p) {
			return nil, fmt.Errorf("host_tree: %q is not an absolute path", p)
		}
		if err := b.add(filepath.Clean(p), 0); err != nil {
			return nil, err
		}
	}
	return b.tree.Build()
}

type hostBuilder struct {
	s    *Snapshot
	tree tree.Builder
	done map[string]bool
}

// maxLinks is how many links Linux follows in one path (path_resolution(7)).
const maxLinks = 40

func (b *hostBuilder) add(p string, depth int) error {
	if depth > maxLinks {
		return fmt.Errorf("%s: too many symbolic links", p)
	}
	// The first link among p's folders decides where the rest really is.
	for i := 1; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		prefix := p[:i]
		k, err := b.s.lstat(prefix)
		if err != nil {
			return err
		}
		if k.isLink() {
			target, err := b.link(prefix)
			if err != nil {
				return err
			}
			return b.add(filepath.Join(target, p[i:]), depth+1)
		}
	}
	if b.done[p] {
		return nil
	}
	b.done[p] = true
	k, err := b.s.lstat(p)
	switch {
	case err != nil:
		return err
	case k.isLink():
		target, err := b.link(p)
		if err != nil {
			return err
		}
		return b.add(target, depth+1)
	case k.isDir():
		es, err := b.s.ReadDir(p)
		if err != nil {
			return err
		}
		for _, e := range es {
			if err := b.add(filepath.Join(p, e.Name), depth); err != nil {
				return err
			}
		}
		return nil
	case k.isRegular():
		d, exec, err := b.s.File(p)
		if err != nil {
			return err
		}
		return b.tree.AddFile(p, d, exec)
	}
	return fmt.Errorf("%s: neither a file, a folder nor a link", p)
}

// link adds the link at p and returns the absolute path it leads to.
func (b *hostBuilder) link(p string) (string, error) {
	text, err := os.Readlink(p)
	if err != nil {
		return "", err
	}
	if _, err := b.s.digest(p); err != nil {
		return "", err
	}
	if err := b.tree.AddLink(p, text); err != nil {
		return "", err
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(p), text)
	}
	return filepath.Clean(text), nil
}
