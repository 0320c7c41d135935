package source

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// A Root is a file system that reads one folder tree through a Snapshot, so that
// everything the front end reads, probes and lists there is noted.
type Root struct {
	snapshot *Snapshot
	dir      string
}

// Under returns the Root at dir.
func (s *Snapshot) Under(dir string) Root { return Root{s, dir} }

func (r Root) at(p string) string { return filepath.Join(r.dir, filepath.FromSlash(p)) }

// valid refuses paths that an io/fs.FS must not know.
func valid(op, p string) error {
	if !fs.ValidPath(p) {
		return &fs.PathError{Op: op, Path: p, Err: fs.ErrInvalid}
	}
	return nil
}

var (
	_ fs.ReadFileFS = Root{}
	_ fs.ReadDirFS  = Root{}
	_ fs.StatFS     = Root{}
)

// Open returns a file or folder as it is now, and notes its content or names.
func (r Root) Open(p string) (fs.File, error) {
	if err := valid("open", p); err != nil {
		return nil, err
	}
	info, err := r.Stat(p)
	if err == nil && info.IsDir() {
		_, err = r.ReadDir(p)
	} else if err == nil {
		_, err = r.ReadFile(p)
	}
	if err != nil {
		return nil, err
	}
	return os.Open(r.at(p))
}

// ReadFile returns a file's content.
func (r Root) ReadFile(p string) ([]byte, error) {
	if err := valid("readfile", p); err != nil {
		return nil, err
	}
	return r.snapshot.ReadFile(r.at(p))
}

// ReadDir lists a folder, sorted by name.
func (r Root) ReadDir(p string) ([]fs.DirEntry, error) {
	if err := valid("readdir", p); err != nil {
		return nil, err
	}
	es, err := r.snapshot.ReadDir(r.at(p))
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, 0, len(es))
	for _, e := range es {
		out = append(out, dirEntry{e, r.at(path.Join(p, e.Name)), r.snapshot})
	}
	return out, nil
}

// Stat follows symbolic links.
func (r Root) Stat(p string) (fs.FileInfo, error) {
	if err := valid("stat", p); err != nil {
		return nil, err
	}
	k, err := r.snapshot.Stat(r.at(p))
	return fileInfo{path.Base(p), k}, err
}

type dirEntry struct {
	DirEntry
	path     string
	snapshot *Snapshot
}

func (e dirEntry) Name() string      { return e.DirEntry.Name }
func (e dirEntry) IsDir() bool       { return e.DirEntry.Type.IsDir() }
func (e dirEntry) Type() fs.FileMode { return e.DirEntry.Type }
func (e dirEntry) Info() (fs.FileInfo, error) {
	k, err := e.snapshot.lstat(e.path)
	return fileInfo{e.DirEntry.Name, k}, err
}

type fileInfo struct {
	name string
	key  Key
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.key.Size }
func (i fileInfo) ModTime() time.Time { return time.Unix(0, i.key.Mtime) }
func (i fileInfo) IsDir() bool        { return i.key.isDir() }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) Mode() fs.FileMode {
	m := fs.FileMode(i.key.Mode & 0o777)
	switch {
	case i.key.isDir():
		m |= fs.ModeDir
	case i.key.isLink():
		m |= fs.ModeSymlink
	case !i.key.isRegular():
		m |= fs.ModeIrregular
	}
	return m
}
