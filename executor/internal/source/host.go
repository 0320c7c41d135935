package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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

// add lays down what is at p, which is absolute but need not be clean: each link
// is followed where it stands, since ".." after a link does not undo it.
func (b *hostBuilder) add(p string, depth int) error {
	if depth > maxLinks {
		return &fs.PathError{Op: "stat", Path: p, Err: syscall.ELOOP}
	}
	at := "" // no link, nor is any folder above it
	names := strings.Split(p, "/")
	for i, name := range names {
		switch name {
		case "", ".":
			continue
		case "..":
			if err := b.tree.AddTree(at, tree.Empty); err != nil { // the way there leads through it
				return err
			}
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			continue
		}
		next := at + "/" + name
		k, err := b.s.lstat(next)
		if err != nil {
			return err
		}
		if k.isLink() {
			target, err := b.link(next)
			if err != nil {
				return err
			}
			return b.add(target+"/"+strings.Join(names[i+1:], "/"), depth+1)
		}
		at = next
	}
	if at == "" {
		return errors.New("host_tree: the root folder cannot be an input")
	}
	if b.done[at] {
		return nil
	}
	b.done[at] = true
	k, err := b.s.lstat(at)
	switch {
	case err != nil:
		return err
	case k.isDir():
		return b.folder(at)
	case k.isRegular():
		d, exec, err := b.s.File(at)
		if err != nil {
			return err
		}
		return b.tree.AddFile(at, d, exec)
	}
	return fmt.Errorf("%s: neither a file, a folder nor a link", at)
}

// folder adds everything below p. A link in it that leads nowhere stays one.
func (b *hostBuilder) folder(p string) error {
	if err := b.tree.AddTree(p, tree.Empty); err != nil { // also if nothing is in it
		return err
	}
	es, err := b.s.ReadDir(p)
	if err != nil {
		return err
	}
	for _, e := range es {
		err := b.add(p+"/"+e.Name, 0)
		if e.Type&fs.ModeSymlink != 0 && (notExist(err) || errors.Is(err, syscall.ELOOP)) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// link adds the link at p and returns the absolute path it leads to, as it is written.
func (b *hostBuilder) link(p string) (string, error) {
	next, err := b.s.follow(p)
	if err != nil {
		return "", err
	}
	text, err := os.Readlink(p)
	if err != nil {
		return "", err
	}
	return next, b.tree.AddLink(p, text)
}
