package loading

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
)

// buildFileNames are the names of BUILD files, the preferred one first.
var buildFileNames = [...]string{"BUILD.bazel", "BUILD"}

// workspaceFileNames mark the root of a workspace.
var workspaceFileNames = [...]string{"WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel", "REPO.bazel"}

// tree reads one repository. Its listings are kept: each folder is listed once.
type tree struct {
	fsys fs.FS
	dirs sync.Map // path -> func() (*dir, error)

	listed atomic.Uint64 // how many folders were

	builds sync.Map // path -> func() (string, error): the BUILD file there

	ignored func() (*ignoreSet, error) // what loading does not enter, read once
}

// dir is a listed folder.
type dir struct {
	entries []fs.DirEntry
	names   map[string]fs.DirEntry
}

func newTree(fsys fs.FS) *tree {
	t := &tree{fsys: fsys}
	t.ignored = sync.OnceValues(t.readIgnored)
	return t
}

// readFile returns a file's content; paths are relative to the root, which is "."
// or "".
func (t *tree) readFile(p string) ([]byte, error) { return fs.ReadFile(t.fsys, path.Clean(p)) }

// stat follows symbolic links.
func (t *tree) stat(p string) (fs.FileInfo, error) { return fs.Stat(t.fsys, path.Clean(p)) }

// list returns the folder p, "." for the root.
func (t *tree) list(p string) (*dir, error) {
	p = path.Clean(p)
	once, _ := t.dirs.LoadOrStore(p, sync.OnceValues(func() (*dir, error) {
		t.listed.Add(1)
		entries, err := fs.ReadDir(t.fsys, p)
		if err != nil {
			return nil, err
		}
		d := &dir{entries: entries, names: make(map[string]fs.DirEntry, len(entries))}
		for _, e := range entries {
			d.names[e.Name()] = e
		}
		return d, nil
	}))
	return once.(func() (*dir, error))()
}

// buildFile returns the BUILD file of a listed folder, or "". A folder called
// "build" is none on any file system, since names are compared exactly. What is
// neither counts as one, so that reading it is an error, wherever it is met.
func (t *tree) buildFile(p string, d *dir) string {
	for _, name := range buildFileNames {
		if e := d.names[name]; e != nil {
			if k := t.kind(path.Join(p, name), e); k == file || k == odd {
				return name
			}
		}
	}
	return ""
}

// isWorkspace reports whether d is the root of a workspace.
func (d *dir) isWorkspace() bool {
	for _, name := range workspaceFileNames {
		if e := d.names[name]; e != nil && !e.IsDir() {
			return true
		}
	}
	return false
}

// findBuildFile looks for the BUILD file of a package, once, without listing
// its folder. It returns "" if there is none.
func (t *tree) findBuildFile(pkg string) (string, error) {
	once, ok := t.builds.Load(pkg)
	if !ok {
		once, _ = t.builds.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return t.probeBuildFile(pkg) }))
	}
	return once.(func() (string, error))()
}

func (t *tree) probeBuildFile(pkg string) (string, error) {
	for _, name := range buildFileNames {
		info, err := t.stat(path.Join(pkg, name))
		switch {
		case err == nil && !info.IsDir():
			return name, nil
		case err != nil && !isMissing(err):
			return "", err
		}
	}
	return "", nil
}

// entryKind is what a directory entry leads to.
type entryKind int

const (
	missing entryKind = iota // a dangling link
	file
	folder
	odd // a FIFO, a socket, a device
)

// kind follows e, which stands at p.
func (t *tree) kind(p string, e fs.DirEntry) entryKind {
	switch e.Type() {
	case 0:
		return file
	case fs.ModeDir:
		return folder
	case fs.ModeSymlink:
		info, err := t.stat(p)
		switch {
		case err != nil:
			return missing
		case info.IsDir():
			if t.isAncestor(p, info) {
				return missing
			}
			return folder
		case info.Mode().IsRegular():
			return file
		}
	}
	return odd
}

// isAncestor reports whether the folder info, reached as p, is one of the
// folders above p: following such a link would never end.
func (t *tree) isAncestor(p string, info fs.FileInfo) bool {
	for p != "." {
		p = path.Dir(p)
		if up, err := t.stat(p); err == nil && sameFile(up, info) {
			return true
		}
	}
	return false
}

// sameFile is os.SameFile also for a file system that is not of package os, whose
// files tell by Sys which they are.
func sameFile(x, y fs.FileInfo) bool {
	return os.SameFile(x, y) || x.Sys() != nil && x.Sys() == y.Sys()
}

// isMissing reports whether err says that there is no such file. A path that
// goes through a file, or has a name that is too long or invalid, names none.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrInvalid)
}
