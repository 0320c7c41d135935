// Package fsx is the one seam through which the store, the action cache and
// the staging of actions change the file system. Every call passes a [Hook]
// first, so that a test can fail, or kill the process at, each of them in turn.
// The calls add no behaviour of their own: no retries, no defaults. What is odd
// about a file or folder that gorules keeps is dealt with in one place, state.go.
package fsx

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Op names a kind of call.
type Op string

// The kinds of call that pass the hook.
const (
	Create  Op = "create"
	Write   Op = "write"
	Close   Op = "close"
	Rename  Op = "rename"
	Link    Op = "link"
	Symlink Op = "symlink"
	Mkdir   Op = "mkdir"
	Remove  Op = "remove"
	Times   Op = "utimes"
	Chmod   Op = "chmod"
	Open    Op = "open"
	Sync    Op = "syncfs"
)

// A Hook is called before each call; an error it returns is the call's error.
type Hook func(op Op, path string) error

// FS makes the calls. A nil *FS is the plain file system.
type FS struct{ Hook Hook }

// Plain is the file system without a hook.
var Plain *FS

// Stamp is the modification time of every file and directory that actions see:
// 2000-01-01 UTC. It is constant so that it tells an action nothing, and late
// enough for archive formats that begin in 1980.
var Stamp = time.Unix(946684800, 0)

// Unfit reports whether err says that no file can be at one path, as where a name
// is too long, while others can be made as before.
func Unfit(err error) bool {
	for _, no := range []error{unix.ENAMETOOLONG, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.EEXIST} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func (f *FS) ask(op Op, path string) error {
	if f == nil || f.Hook == nil {
		return nil
	}
	if err := f.Hook(op, path); err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// A File is a new file being written. It does not embed os.File, whose
// ReadFrom would pass by the hook.
type File struct {
	f  *os.File
	fs *FS
}

// Name returns the path it was created at.
func (f *File) Name() string { return f.f.Name() }

// Fd returns the descriptor, valid until Close.
func (f *File) Fd() uintptr { return f.f.Fd() }

// Stat describes the file.
func (f *File) Stat() (fs.FileInfo, error) { return f.f.Stat() }

// CreateTemp makes a new file of the given mode, whatever the umask, with an
// unpredictable name that begins with a dot and prefix.
func (f *FS) CreateTemp(dir, prefix string, mode fs.FileMode) (*File, error) {
	var r [8]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, fmt.Errorf("temporary name: %w", err)
	}
	p := filepath.Join(dir, "."+prefix+hex.EncodeToString(r[:]))
	return f.Create(p, mode)
}

// Create makes the new file p of the given mode, whatever the umask.
func (f *FS) Create(p string, mode fs.FileMode) (*File, error) {
	if err := f.ask(Create, p); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != mode {
		if err := file.Chmod(mode); err != nil {
			file.Close()
			os.Remove(p)
			return nil, err
		}
	}
	return &File{file, f}, nil
}

// Write passes the hook and writes.
func (f *File) Write(p []byte) (int, error) {
	if err := f.fs.ask(Write, f.f.Name()); err != nil {
		return 0, err
	}
	return f.f.Write(p)
}

// Skip passes the hook and leaves a hole of n bytes.
func (f *File) Skip(n int64) error {
	if err := f.fs.ask(Write, f.f.Name()); err != nil {
		return err
	}
	_, err := f.f.Seek(n, io.SeekCurrent)
	return err
}

// Truncate passes the hook and makes the file n bytes long.
func (f *File) Truncate(n int64) error {
	if err := f.fs.ask(Write, f.f.Name()); err != nil {
		return err
	}
	return f.f.Truncate(n)
}

// Close passes the hook and closes.
func (f *File) Close() error {
	if err := f.fs.ask(Close, f.f.Name()); err != nil {
		f.f.Close()
		return err
	}
	return f.f.Close()
}

// Rename renames a file or directory.
func (f *FS) Rename(from, to string) error {
	if err := f.ask(Rename, to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Link makes a hard link.
func (f *FS) Link(from, to string) error {
	if err := f.ask(Link, to); err != nil {
		return err
	}
	return os.Link(from, to)
}

// Chmod sets the mode of p.
func (f *FS) Chmod(p string, mode fs.FileMode) error {
	if err := f.ask(Chmod, p); err != nil {
		return err
	}
	return os.Chmod(p, mode)
}

// Symlink makes a symbolic link at p.
func (f *FS) Symlink(target, p string) error {
	if err := f.ask(Symlink, p); err != nil {
		return err
	}
	return os.Symlink(target, p)
}

// Mkdir makes one directory.
func (f *FS) Mkdir(p string, mode fs.FileMode) error {
	if err := f.ask(Mkdir, p); err != nil {
		return err
	}
	return os.Mkdir(p, mode)
}

// MkdirAll makes a directory and its parents.
func (f *FS) MkdirAll(p string, mode fs.FileMode) error {
	if err := f.ask(Mkdir, p); err != nil {
		return err
	}
	return os.MkdirAll(p, mode)
}

// Remove removes one file or empty directory.
func (f *FS) Remove(p string) error {
	if err := f.ask(Remove, p); err != nil {
		return err
	}
	return os.Remove(p)
}

// Times sets the modification and access time of p itself.
func (f *FS) Times(p string, t time.Time) error {
	if err := f.ask(Times, p); err != nil {
		return err
	}
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimes", Path: p, Err: err}
	}
	return nil
}

// Granularity is how old a note of a use may be before another use is noted.
// The cost of that is a write of an inode, which should not happen to each file
// of a build each time.
const Granularity = time.Hour

// Used tells, in nanoseconds, which use Use noted of a file last. It is the earlier
// of access and change time: whoever reads the file (a backup, du in a folder)
// moves the one, and whoever makes or removes a link to it the other.
func Used(st *unix.Stat_t) int64 { return min(st.Atim.Nano(), st.Ctim.Nano()) }

// Stale reports whether a use is to be noted anew.
func Stale(st *unix.Stat_t) bool { return time.Since(time.Unix(0, Used(st))) > Granularity }

// Use gives p the modification time Stamp, and the present as its access time.
func (f *FS) Use(p string) error {
	if err := f.ask(Times, p); err != nil {
		return err
	}
	now, stamp := unix.NsecToTimespec(time.Now().UnixNano()), unix.NsecToTimespec(Stamp.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{now, stamp}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimes", Path: p, Err: err}
	}
	return nil
}

// Touch is Use where the last use that st has of p is Stale.
func (f *FS) Touch(p string, st *unix.Stat_t) error {
	if !Stale(st) {
		return nil
	}
	return f.Use(p)
}

// OpenFile opens p for reading, if it is a regular file: it follows no link at
// p and waits for no FIFO.
func (f *FS) OpenFile(p string) (*os.File, error) {
	if err := f.ask(Open, p); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return onlyRegular(file)
}

// Spread asks the file system to keep the folders made in dir apart on the
// disk. It is only a hint, and only ext4 takes it: there it places their files
// in different inode groups, while otherwise all of them are sought in one
// group, past every inode that was deleted in the last minutes. On a disk with
// much churn making a file took 1.05 ms without the hint and 0.03 ms with it.
func (f *FS) Spread(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	const topDir = 0x00020000 // FS_TOPDIR_FL, "chattr +T"
	if flags, err := unix.IoctlGetInt(int(d.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&topDir == 0 {
		unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
}

// Sweep removes the files of CreateTemp in dir that no living process can still
// be writing: those a day old.
func (f *FS) Sweep(dir, prefix string) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range es {
		if !strings.HasPrefix(e.Name(), "."+prefix) {
			continue
		}
		var st unix.Stat_t
		p := filepath.Join(dir, e.Name())
		if unix.Lstat(p, &st) == nil && time.Since(time.Unix(st.Ctim.Unix())) > 24*time.Hour {
			f.Remove(p)
		}
	}
}

// Syncfs writes everything of the file system that holds p to its disk.
func (f *FS) Syncfs(p string) error {
	if err := f.ask(Sync, p); err != nil {
		return err
	}
	d, err := os.Open(p)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: p, Err: err}
	}
	return nil
}
