// Package layout puts results where people look for them: copies, never links
// into the store, in folders of the user's cache to which links in the workspace
// lead. Each file is written beside its place and renamed over it. What a target
// laid out before and does not make any more is removed.
package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
)

// DefaultPrefix is what the names of the links begin with.
const DefaultPrefix = "gorules-"

// NoLinks is the prefix that asks for no links.
const NoLinks = "/"

// binPrefix is where ordinary outputs stand below the workspace in an action's root.
const binPrefix = "bazel-out/k8-fastbuild/bin/"

// Shown replaces the places of outputs in an action's root by those that people know.
func (l *Layout) Shown(text string) string {
	return strings.ReplaceAll(text, action.Abs(binPrefix)+"/", l.shown[bin]+"/")
}

// Beside returns where on the host stands what would be at p in the root of an action
// that declared it: an output that was laid out, a file of the workspace or one of the host.
func (l *Layout) Beside(p string) string {
	if rest, ok := strings.CutPrefix(p, action.Abs(binPrefix)+"/"); ok {
		return filepath.Join(l.real(bin), rest)
	}
	if rest, ok := strings.CutPrefix(p, action.Workspace+"/"); ok {
		return filepath.Join(l.opt.Workspace, rest)
	}
	return p
}

// Options of a Layout.
type Options struct {
	Workspace string // where the links are made
	Dir       string // of the real folders and of the manifest
	Prefix    string // of the links; "" is DefaultPrefix
	Store     cas.Store

	// Digest returns the digest of a file that may be known already.
	Digest func(path string) (digest.Digest, error)
}

// A Layout lays out the results of one command.
type Layout struct {
	opt      Options
	manifest manifest
	shown    [2]string // how people call the folders: the link, or the real one
	laid     []string  // host paths
	links    []string  // host paths of the links
}

// The two folders.
const (
	bin = iota
	logs
)

var folders = [2]string{"bin", "testlogs"}

// Open reads what earlier commands laid out.
func Open(o Options) *Layout {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	l := &Layout{opt: o, manifest: readManifest(o.Dir)}
	for i := range folders {
		l.shown[i] = o.Prefix + folders[i]
		if o.Prefix == NoLinks {
			l.shown[i] = l.real(i)
		}
	}
	return l
}

func (l *Layout) real(folder int) string { return filepath.Join(l.opt.Dir, folders[folder]) }

// Links makes the workspace's links lead to the real folders. Something else of
// that name is the user's: an error. Where the workspace cannot be written, the
// results are shown at their real places, and warning says so.
func (l *Layout) Links() (warning string, err error) {
	for i := range folders {
		if err := fsx.Plain.Folder(l.opt.Dir, folders[i], 0o755); err != nil {
			return "", err
		}
		if l.opt.Prefix == NoLinks {
			continue
		}
		at := filepath.Join(l.opt.Workspace, l.opt.Prefix+folders[i])
		switch err := link(at, l.real(i)); {
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			l.shown[i] = l.real(i)
			warning = fmt.Sprintf("no links to the outputs are made, since the workspace cannot be written (%v); outputs are in %s", err, l.opt.Dir)
		case err != nil:
			return "", err
		default:
			l.links = append(l.links, at)
		}
	}
	return warning, nil
}

func link(at, target string) error {
	switch old, err := os.Readlink(at); {
	case err == nil && old == target:
		return nil
	case err == nil:
		if err := os.Remove(at); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is in the way of the link to outputs: rename or remove it, or give --symlink_prefix", at)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, at)
}

// Unlink removes the links of a prefix that lead to dir.
func Unlink(workspace, dir, prefix string) error {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if prefix == NoLinks {
		return nil
	}
	for _, f := range folders {
		p := filepath.Join(workspace, prefix+f)
		if to, err := os.Readlink(p); err != nil || to != filepath.Join(dir, f) {
			continue // absent, or the user's own
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Paths are the host paths of all that was laid out, links included.
func (l *Layout) Paths() []string { return append(l.links, l.laid...) }

// put makes dst hold c.
func (l *Layout) put(ctx context.Context, dst string, c action.Content) error {
	if l.same(dst, c) {
		return nil
	}
	if err := makeFolder(filepath.Dir(dst)); err != nil {
		return err
	}
	// Beside the two folders, so that its name is never longer than dst's and is
	// nobody's output. Of an earlier command only what was killed left it.
	tmp := filepath.Join(l.opt.Dir, "new")
	if err := errors.Join(os.RemoveAll(tmp), l.write(ctx, tmp, c)); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if info, err := os.Lstat(dst); err == nil && (info.IsDir() || c.Tree != nil) {
		if err := os.RemoveAll(dst); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dst)
}

// makeFolder makes dir and its parents, in place of a file that an earlier build
// laid out where there is a folder now.
func makeFolder(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	for p := dir; ; p = filepath.Dir(p) {
		if info, lerr := os.Lstat(p); lerr == nil {
			if info.IsDir() {
				return err
			}
			return errors.Join(os.Remove(p), os.MkdirAll(dir, 0o755))
		}
	}
}

func (l *Layout) write(ctx context.Context, dst string, c action.Content) error {
	switch {
	case c.Tree != nil:
		if err := os.Mkdir(dst, 0o755); err != nil {
			return err
		}
		for _, e := range c.Tree.Entries() {
			if err := l.write(ctx, filepath.Join(dst, e.Name), contentOf(e)); err != nil {
				return err
			}
		}
		return nil
	case c.Symlink != "":
		return os.Symlink(c.Symlink, dst)
	}
	r, err := l.opt.Store.Get(ctx, c.File)
	if err != nil {
		return err
	}
	defer r.Close()
	mode := fs.FileMode(0o644)
	if c.Executable {
		mode = 0o755
	}
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, buf[:])
	return errors.Join(err, f.Close())
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func contentOf(e tree.Entry) action.Content {
	return action.Content{File: e.File, Executable: e.Executable, Tree: e.Dir, Symlink: e.Target}
}

// same reports whether dst already holds c, so that an unchanged output keeps
// its inode and mtime, which other tools look at.
func (l *Layout) same(dst string, c action.Content) bool {
	switch {
	case c.Tree != nil:
		es, err := os.ReadDir(dst)
		if err != nil || len(es) != len(c.Tree.Entries()) {
			return false
		}
		for _, e := range c.Tree.Entries() {
			if !l.same(filepath.Join(dst, e.Name), contentOf(e)) {
				return false
			}
		}
		return true
	case c.Symlink != "":
		t, err := os.Readlink(dst)
		return err == nil && t == c.Symlink
	}
	info, err := os.Lstat(dst)
	if err != nil || !info.Mode().IsRegular() || info.Size() != c.File.Size || info.Mode()&0o100 != 0 != c.Executable {
		return false
	}
	d, err := l.opt.Digest(dst)
	return err == nil && d == c.File
}
