package source

import (
	"bytes"
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

// Unnoted is the folder dir as a file system of which nothing is noted. A name
// that is not UTF-8, which os.DirFS refuses, is one of this machine all the same.
func Unnoted(dir string) fs.FS { return unnoted(dir) }

type unnoted string

func (u unnoted) Open(p string) (fs.File, error) {
	f, err := at(string(u), "open", p, os.Open)
	if err != nil {
		return nil, err
	}
	return f, nil
}
func (u unnoted) ReadFile(p string) ([]byte, error) { return at(string(u), "readfile", p, os.ReadFile) }
func (u unnoted) ReadDir(p string) ([]fs.DirEntry, error) {
	return at(string(u), "readdir", p, os.ReadDir)
}
func (u unnoted) Stat(p string) (fs.FileInfo, error) { return at(string(u), "stat", p, os.Stat) }

// at calls f with the place of p below dir.
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

// Open returns a file or folder as ReadFile and ReadDir see it.
func (r Root) Open(p string) (fs.File, error) {
	info, err := r.Stat(p)
	if err != nil {
		return nil, err
	}
	f := &openFile{info: info}
	if info.IsDir() {
		f.entries, err = r.ReadDir(p)
		return f, err
	}
	text, err := r.ReadFile(p)
	f.Reader.Reset(text)
	return f, err
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
	info fs.FileInfo
	bytes.Reader
	entries []fs.DirEntry // that were not read yet
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

func (f *openFile) Read(b []byte) (int, error) {
	if f.info.IsDir() {
		return 0, &fs.PathError{Op: "read", Path: f.info.Name(), Err: syscall.EISDIR}
	}
	return f.Reader.Read(b)
}

func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.entries)
	} else if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
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
	case !i.key.isRegular():
		m |= fs.ModeIrregular
	}
	return m
}
