// Package source is the engine's one view of files that no action makes: the
// workspace, external repositories and declared files of the host. Within one
// build it never gives two answers for one path. It digests each file once and
// remembers the digest by the file's stat key; it notes everything it was asked
// (files, listings, absences) so that the next command can tell whether any
// answer would differ. It never writes to the places it reads.
package source

import (
	"io/fs"
	"syscall"
	"time"
)

// Key is what stat tells of a file that changes when its content does.
type Key struct {
	Size  int64
	Mtime int64 // nanoseconds
	Ctime int64 // nanoseconds
	Ino   uint64
	Mode  uint32
}

// racyMargin is how old a change must be for the stat key to be proof: two
// writes within one tick of the kernel's clock (4 ms at 250 Hz, 10 ms at 100 Hz)
// may leave equal keys.
const racyMargin = 40 * time.Millisecond

// racy reports whether a file with key k, read at the time now, may change
// again without its key changing.
func (k Key) racy(now time.Time) bool {
	limit := now.Add(-racyMargin).UnixNano()
	return k.Mtime > limit || k.Ctime > limit
}

// later reports whether the file changed later than now, which proves nothing: a
// clock that went back may give it the same times again.
func (k Key) later(now time.Time) bool { return k.Ctime > now.UnixNano() }

// kind is the type bits of the mode; 0 where there is nothing.
func (k Key) kind() uint32 { return k.Mode & syscall.S_IFMT }

func (k Key) isDir() bool { return k.kind() == syscall.S_IFDIR }

func (k Key) isLink() bool { return k.kind() == syscall.S_IFLNK }

func (k Key) isRegular() bool { return k.kind() == syscall.S_IFREG }

func (k Key) executable() bool { return k.Mode&0o111 != 0 }

func lstat(p string) (Key, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Lstat(p, &st)
		if err == nil {
			return keyOf(&st), nil
		}
		if err != syscall.EINTR {
			return Key{}, &fs.PathError{Op: "lstat", Path: p, Err: err}
		}
	}
}

func stat(p string) (Key, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Stat(p, &st)
		if err == nil {
			return keyOf(&st), nil
		}
		if err != syscall.EINTR {
			return Key{}, &fs.PathError{Op: "stat", Path: p, Err: err}
		}
	}
}

func keyOf(st *syscall.Stat_t) Key {
	return Key{
		Size:  st.Size,
		Mtime: st.Mtim.Nano(),
		Ctime: st.Ctim.Nano(),
		Ino:   st.Ino,
		Mode:  st.Mode,
	}
}
