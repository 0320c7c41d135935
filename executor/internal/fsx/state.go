package fsx

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"gorules/executor/regular"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What gorules keeps between commands stands in folders that others can reach:
// a backup may leave a link there, a program a FIFO, a person a folder. Whatever
// stands where a state file belongs and is none counts as absent, is never waited
// for and never written through, and makes room for the file when it is written.

// ReadFile returns the content of the regular file p, of at most limit bytes.
func (f *FS) ReadFile(p string, limit int64) ([]byte, error) {
	file, err := f.OpenFile(p)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: p, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return b, err
}

// maxState bounds what is read of a state file: beyond it somebody else made it.
const maxState = 1 << 30

// WriteChecked writes magic, a checksum and body to path by way of a temporary
// file, so that a reader sees the old file or the new one. Nothing is synced, as
// libraries do it: what a power loss leaves is found by its checksum, and each
// command would wait for the disk.
//
// The checksum covers the path too: the state of one request, or of one
// workspace, that was put in the place of another's is not taken for it.
func (f *FS) WriteChecked(path, magic string, body []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte(magic), checksum(path, body))
	return f.WriteFile(path, 0o600, head, body)
}

// ReadChecked returns the body of a file that WriteChecked wrote, and false if
// it is absent, of another version or place, or damaged.
func (f *FS) ReadChecked(path, magic string) ([]byte, bool) {
	b, err := f.ReadFile(path, maxState)
	if err != nil {
		return nil, false
	}
	body, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(body) < 4 || checksum(path, body[4:]) != binary.LittleEndian.Uint32(body) {
		return nil, false
	}
	return body[4:], true
}

func checksum(path string, body []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(path)), crc32.IEEETable, body)
}

// WriteFile makes p a regular file of the given mode that holds parts, whole or
// not at all. The folder around it is made if it is missing.
func (f *FS) WriteFile(p string, mode fs.FileMode, parts ...[]byte) error {
	dir := filepath.Dir(p)
	file, err := f.CreateTemp(dir, "tmp-", mode)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrPermission) {
		if err = f.Folder(filepath.Dir(dir), filepath.Base(dir), 0o700); err == nil {
			file, err = f.CreateTemp(dir, "tmp-", mode)
		}
	}
	if err != nil {
		return err
	}
	for _, b := range parts {
		if err == nil {
			_, err = file.Write(b)
		}
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.Replace(file.Name(), p)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// Replace renames the file from to to, over whatever stands there.
func (f *FS) Replace(from, to string) error {
	err := f.Rename(from, to)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		if err = f.Clear(to); err == nil {
			err = f.Rename(from, to)
		}
	}
	return err
}

// Clear removes whatever stands at p, by renaming it first: nobody meets half
// of a folder.
func (f *FS) Clear(p string) error {
	var r [8]byte
	if _, err := rand.Read(r[:]); err != nil {
		return fmt.Errorf("temporary name: %w", err)
	}
	gone := filepath.Join(filepath.Dir(p), ".gone-"+hex.EncodeToString(r[:]))
	if err := f.Rename(p, gone); err != nil {
		return err
	}
	return f.RemoveAll(gone)
}

// Folder makes sure that each of the folders of rel, below root, is one, and of
// this user for reading and writing. root itself, which people name, may be a
// link to a folder; below it, a link would lead what is written out of the cache.
func (f *FS) Folder(root, rel string, mode fs.FileMode) error {
	if err := f.MkdirAll(root, mode); err != nil {
		return err
	}
	p := root
	for name := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(rel)), "/") {
		p = filepath.Join(p, name)
		if err := f.folder(p, mode); err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) folder(p string, mode fs.FileMode) error {
	info, err := os.Lstat(p)
	switch {
	case err == nil && info.IsDir():
		if info.Mode().Perm()&0o700 == 0o700 {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
			return nil // its owner's affair; using it says what is wrong
		}
		return os.Chmod(p, info.Mode()|0o700)
	case err == nil:
		if err := f.Clear(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := f.Mkdir(p, mode.Perm()); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // another process was faster
		}
		return err
	}
	if info, err = os.Lstat(p); err != nil {
		return err
	}
	if want := mode | info.Mode()&fs.ModeSetgid; info.Mode() != want|fs.ModeDir {
		return os.Chmod(p, want) // whatever the umask
	}
	return nil
}

// OpenLock opens p, which is made if it is missing, so that it can be locked.
func (f *FS) OpenLock(p string) (*os.File, error) {
	file, err := f.openLock(p)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	// Something else stands there. It is removed under a lock on the folder, after
	// another look: otherwise two processes could do so one after the other, and
	// the second would remove the file that the first has locked.
	dir, derr := os.Open(filepath.Dir(p))
	if derr != nil {
		return nil, err
	}
	defer dir.Close()
	if unix.Flock(int(dir.Fd()), unix.LOCK_EX) != nil {
		return nil, err
	}
	if info, serr := os.Lstat(p); serr == nil && info.Mode().IsRegular() {
		if cerr := os.Chmod(p, 0o600); cerr != nil {
			return nil, err
		}
	} else if serr == nil {
		if cerr := f.Clear(p); cerr != nil {
			return nil, cerr
		}
	}
	return f.openLock(p)
}

func (f *FS) openLock(p string) (*os.File, error) {
	if err := f.ask(Open, p); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	return onlyRegular(file)
}

// onlyRegular returns file if it is a regular one, and closes it otherwise.
func onlyRegular(file *os.File) (*os.File, error) {
	info, err := file.Stat()
	if err == nil {
		if err = regular.Check(info.Mode()); err != nil {
			err = &fs.PathError{Op: "open", Path: file.Name(), Err: err}
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ModeBelow is the mode of folders below one that is shared: who may use that may
// use them, and where it hands its group on they do.
func ModeBelow(info fs.FileInfo) fs.FileMode {
	return info.Mode()&(fs.ModePerm|fs.ModeSetgid) | 0o700
}
