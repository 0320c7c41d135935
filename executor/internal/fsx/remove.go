package fsx

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxOpen is how many directories RemoveAll holds open at once. What lies
// deeper is moved up first: an action may leave folders nested deeper than a
// process may have descriptors, or a path bytes.
const maxOpen = 64

// RemoveAll removes a tree of any depth, also one with directories that nobody
// may write. It is no error if nothing is at p.
func (f *FS) RemoveAll(p string) error {
	if err := f.ask(Remove, p); err != nil {
		return err
	}
	err := os.Remove(p)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if info, err := os.Lstat(p); err != nil || !info.IsDir() {
		return err
	}
	os.Chmod(p, 0o700)
	top, err := os.Open(p)
	if err != nil {
		return err
	}
	defer top.Close()
	r := remover{top: int(top.Fd())}
	for {
		r.again = false
		if err = r.empty(top, 0); err != nil {
			return &os.PathError{Op: "remove", Path: p, Err: err}
		}
		if !r.again {
			return os.Remove(p)
		}
		if _, err = top.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

type remover struct {
	top   int // the directory that is being removed
	moved int
	again bool // something was moved up into top, or a listing was not whole
}

// empty removes what is in the open directory dir at the given depth.
func (r *remover) empty(dir *os.File, depth int) error {
	for {
		names, err := dir.Readdirnames(1000)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := r.remove(int(dir.Fd()), name, depth); err != nil {
				return err
			}
		}
	}
}

func (r *remover) remove(dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || err == unix.ENOENT || err != unix.EISDIR && err != unix.EPERM {
		return ignoreAbsent(err)
	}
	if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		return nil
	}
	// To list it, to change it, and to give it another parent.
	if err := unix.Fchmodat(dir, name, 0o700, 0); err != nil {
		return err
	}
	if depth == maxOpen {
		return r.moveUp(dir, name)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	sub := os.NewFile(uintptr(fd), name)
	defer sub.Close()
	if err := r.empty(sub, depth+1); err != nil {
		return err
	}
	err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if err == unix.ENOTEMPTY { // its listing was not whole while it changed
		r.again = true
		return nil
	}
	return ignoreAbsent(err)
}

// moveUp makes name an entry of the top directory, to be removed from there.
func (r *remover) moveUp(dir int, name string) error {
	r.again = true
	for {
		r.moved++
		err := unix.Renameat2(dir, name, r.top, ".deep-"+strconv.Itoa(r.moved), unix.RENAME_NOREPLACE)
		if err != unix.EEXIST {
			return err
		}
	}
}

func ignoreAbsent(err error) error {
	if err == unix.ENOENT {
		return nil
	}
	return err
}
