package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

// The links that commands make in the workspace.
const (
	binLink  = "gorules-bin"
	logsLink = "gorules-testlogs"
)

// binPrefix is where ordinary outputs stand below the workspace in an action's root.
const binPrefix = "bazel-out/k8-fastbuild/bin/"

// outputs lays results out for people: copies, never links into the store, in
// folders that the two links in the workspace lead to. Each file is written
// beside its place and renamed over it.
type outputs struct {
	workspace string
	bin, logs string // real folders
	store     cas.Store
	digests   *source.Cache
}

// lay puts an output artifact below gorules-bin and returns its path relative
// to the workspace, or "" for artifacts that have no place there (units of a
// shared graph, at absolute paths).
func (o *outputs) lay(ctx context.Context, a *action.Artifact, c action.Content) (string, error) {
	rel, ok := strings.CutPrefix(a.Path, binPrefix)
	if !ok {
		return "", nil
	}
	if err := o.put(ctx, filepath.Join(o.bin, filepath.FromSlash(rel)), c); err != nil {
		return "", fmt.Errorf("writing %s/%s: %w", binLink, rel, err)
	}
	return binLink + "/" + rel, nil
}

// layLog puts a test's log or XML below gorules-testlogs.
func (o *outputs) layLog(ctx context.Context, rel string, c action.Content) (string, error) {
	if err := o.put(ctx, filepath.Join(o.logs, filepath.FromSlash(rel)), c); err != nil {
		return "", fmt.Errorf("writing %s/%s: %w", logsLink, rel, err)
	}
	return logsLink + "/" + rel, nil
}

func (o *outputs) put(ctx context.Context, dst string, c action.Content) error {
	if o.same(dst, c) {
		return nil
	}
	if err := makeFolder(filepath.Dir(dst)); err != nil {
		return err
	}
	tmp := dst + ".gorules-tmp"
	if err := errors.Join(os.RemoveAll(tmp), o.write(ctx, tmp, c)); err != nil {
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

func (o *outputs) write(ctx context.Context, dst string, c action.Content) error {
	switch {
	case c.Tree != nil:
		if err := os.Mkdir(dst, 0o755); err != nil {
			return err
		}
		for _, e := range c.Tree.Entries() {
			if err := o.write(ctx, filepath.Join(dst, e.Name), contentOf(e)); err != nil {
				return err
			}
		}
		return nil
	case c.Symlink != "":
		return os.Symlink(c.Symlink, dst)
	}
	r, err := o.store.Get(ctx, c.File)
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
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func contentOf(e tree.Entry) action.Content {
	return action.Content{File: e.File, Executable: e.Executable, Tree: e.Dir, Symlink: e.Target}
}

// same reports whether dst already holds c, so that an unchanged output keeps
// its inode and mtime, which other tools look at.
func (o *outputs) same(dst string, c action.Content) bool {
	switch {
	case c.Tree != nil:
		es, err := os.ReadDir(dst)
		if err != nil || len(es) != len(c.Tree.Entries()) {
			return false
		}
		for _, e := range c.Tree.Entries() {
			if !o.same(filepath.Join(dst, e.Name), contentOf(e)) {
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
	d, err := o.digests.Digest(dst)
	return err == nil && d == c.File
}

// link makes the workspace's links lead to the real folders. Something else of
// that name is the user's and stays.
func (o *outputs) link() error {
	for name, target := range map[string]string{binLink: o.bin, logsLink: o.logs} {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		at := filepath.Join(o.workspace, name)
		switch old, err := os.Readlink(at); {
		case err == nil && old == target:
			continue
		case err == nil:
			if err := os.Remove(at); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s is in the way of the link to outputs: rename or remove it", at)
		}
		if err := os.Symlink(target, at); err != nil {
			return err
		}
	}
	return nil
}
