package source

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
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

// at calls f with the place of p below dir. A name that is not UTF-8, which os.DirFS
// refuses, is one of this machine all the same.
func at[T any](dir, op, p string, f func(string) (T, error)) (T, error) {
	if !fs.ValidPath(strings.ToValidUTF8(p, "x")) {
		var none T
		return none, &fs.PathError{Op: op, Path: p, Err: fs.ErrInvalid}
	}
	return f(filepath.Join(dir, filepath.FromSlash(p)))
}

var (
	_ fs.ReadFileFS = Root{}
	_ fs.ReadDirFS  = Root{}
	_ fs.StatFS     = Root{}
)

// Open returns a file, or a folder as ReadDir lists it.
func (r Root) Open(p string) (fs.File, error) {
	info, err := r.Stat(p)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	if info.IsDir() {
		entries, err = r.ReadDir(p)
	} else {
		_, err = r.ReadFile(p)
	}
	if err != nil {
		return nil, err
	}
	f, err := at(r.dir, "open", p, os.Open)
	return &openFile{f, entries}, err
}

// ReadFile returns a file's content.
func (r Root) ReadFile(p string) ([]byte, error) {
	return at(r.dir, "readfile", p, r.snapshot.ReadFile)
}

// ReadDir lists a folder, sorted by name.
func (r Root) ReadDir(p string) ([]fs.DirEntry, error) {
	return at(r.dir, "readdir", p, func(dir string) ([]fs.DirEntry, error) {
		es, err := r.snapshot.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		out := make([]fs.DirEntry, 0, len(es))
		for _, e := range es {
			out = append(out, dirEntry{e, filepath.Join(dir, e.Name), r.snapshot})
		}
		return out, nil
	})
}

// Stat follows symbolic links.
func (r Root) Stat(p string) (fs.FileInfo, error) {
	return at(r.dir, "stat", p, func(to string) (fs.FileInfo, error) {
		k, err := r.snapshot.Stat(to)
		return fileInfo{path.Base(p), k}, err
	})
}

// openFile is an open file or folder of a Root.
type openFile struct {
	*os.File
	entries []fs.DirEntry // that were not read yet
}

func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.entries) {
		n = len(f.entries)
	}
	out := f.entries[:n:n]
	f.entries = f.entries[n:]
	return out, nil
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
func (i fileInfo) Sys() any           { return i.key } // equal for the same file alone
func (i fileInfo) Mode() fs.FileMode {
	m := fs.FileMode(i.key.Mode & 0o777)
	switch {
	case i.key.isDir():
		m |= fs.ModeDir
	case i.key.isLink():
		m |= fs.ModeSymlink
	case i.key.kind() == syscall.S_IFIFO:
		m |= fs.ModeNamedPipe
	case i.key.kind() == syscall.S_IFSOCK:
		m |= fs.ModeSocket
	case !i.key.isRegular():
		m |= fs.ModeDevice
	}
	return m
}
