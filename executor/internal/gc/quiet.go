package gc

import (
	"context"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// reader reads blobs without that counting as a use.
type reader struct {
	cas.Store // nil: nothing else is asked
	folder    Folder
}

func (r reader) Get(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	p, err := r.folder.blob(d)
	if err != nil {
		return nil, err
	}
	f, err := openQuietly(r.folder.FS, p)
	if err != nil {
		return nil, err
	}
	return cas.Verify(d, f), nil
}

// openQuietly opens a regular file without that counting as a use.
func openQuietly(fsys *fsx.FS, p string) (*os.File, error) {
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME, 0)
	if err != nil { // somebody else's
		return fsys.OpenFile(p)
	}
	return f, nil
}

// readDirQuietly is os.ReadDir without that counting as a use.
func readDirQuietly(dir string) ([]fs.DirEntry, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_NOATIME, 0)
	if err != nil { // somebody else's
		return os.ReadDir(dir)
	}
	defer d.Close()
	return d.ReadDir(-1)
}
