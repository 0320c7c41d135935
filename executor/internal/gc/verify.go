package gc

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/run"
	"gorules/executor/internal/tree"
)

// Verified says what Verify found.
type Verified struct {
	Checked map[Kind]int
	Wrong   []Wrong // they were removed
	Useless int     // results that were removed since content that they name is gone, as it may be
}

// Wrong is a thing that is not what its name says.
type Wrong struct {
	Kind   Kind
	Path   string
	Reason string
}

// Verify reads every blob, entry and tree of f, and removes those that are wrong,
// also where a command uses them: to fail is better than to go on with them.
func Verify(ctx context.Context, f Folder) (*Verified, error) {
	c, close, err := open(ctx, f, true)
	if err != nil {
		return nil, err
	}
	defer close()
	v := &Verified{Checked: map[Kind]int{}}
	hashes := map[uint64]digest.Digest{} // by inode, of files with several links
	cells, err := c.cells()
	if err != nil {
		return nil, err
	}
	order := []Kind{Content, Results, Trees} // an entry without its blobs is useless
	cells = slices.DeleteFunc(cells, func(in cell) bool { return !slices.Contains(order, in.kind) })
	slices.SortStableFunc(cells, func(a, b cell) int {
		return cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind))
	})
	for _, in := range cells {
		items, err := c.items(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if it.kind == Trees && it.pin == (lease.Name{}) {
				continue // left by a killed process: nobody looks at it
			}
			var reason error
			switch it.kind {
			case Content:
				reason = c.verifyBlob(it, hashes)
			case Results:
				reason = c.verifyEntry(ctx, it)
			case Trees:
				reason = verifyTree(f.FS, it, hashes)
			}
			if errors.Is(reason, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			v.Checked[it.kind]++
			if reason == nil {
				continue
			}
			if err := c.FS.RemoveAll(it.path); err != nil {
				return nil, fmt.Errorf("removing what is wrong: %w", err)
			}
			if errors.Is(reason, errUseless) {
				v.Useless++
				continue
			}
			v.Wrong = append(v.Wrong, Wrong{it.kind, it.path, reason.Error()})
		}
	}
	return v, nil
}

// errUseless is of an entry without its blobs, which is a miss and no damage.
var errUseless = errors.New("content that it names is gone")

var errAltered = errors.New("the content is not what the name says")

// hash reads a file without that counting as a use.
func hash(fsys *fsx.FS, p string) (digest.Digest, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return digest.Digest{}, st, &fs.PathError{Op: "lstat", Path: p, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return digest.Digest{}, st, errors.New("not a regular file")
	}
	f, err := openQuietly(fsys, p)
	if err != nil {
		return digest.Digest{}, st, err
	}
	defer f.Close()
	h := digest.NewHasher()
	if _, err := f.WriteTo(h); err != nil {
		return digest.Digest{}, st, err
	}
	return h.Digest(), st, nil
}

func (c *collector) verifyBlob(it item, hashes map[uint64]digest.Digest) error {
	d, st, err := hash(c.FS, it.path)
	if err != nil {
		return err
	}
	mode := uint32(0o644)
	if strings.HasSuffix(it.path, ".x") {
		mode = 0o755
	}
	switch {
	case d.Hash != it.digest.Hash:
		return errAltered
	case st.Mode&0o7777 != mode:
		return fmt.Errorf("its mode is %o, not %o", st.Mode&0o7777, mode)
	case st.Mtim.Nano() != fsx.Stamp.UnixNano():
		return errors.New("its modification time was changed")
	}
	if st.Nlink > 1 {
		hashes[st.Ino] = d
	}
	return nil
}

func (c *collector) verifyEntry(ctx context.Context, it item) error {
	s, err := run.ReadStored(ctx, reader{folder: c.Folder}, it.path, c.FS)
	if err != nil {
		return err
	}
	if s.Key.Hex() != filepath.Base(it.path) {
		return errAltered
	}
	for _, d := range s.Blobs {
		if _, err := c.blob(d); err != nil {
			return errUseless
		}
	}
	return nil
}

// blob returns a file of d.
func (f Folder) blob(d digest.Digest) (string, error) {
	p := filepath.Join(f.Store, "cas", d.Hex()[:2], d.Hex())
	_, err := os.Lstat(p)
	if err != nil {
		p += ".x"
		_, err = os.Lstat(p)
	}
	return p, err
}

func verifyTree(fsys *fsx.FS, it item, hashes map[uint64]digest.Digest) error {
	t, err := readTree(it.path, func(p string, info os.FileInfo) (digest.Digest, error) {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			if d, ok := hashes[st.Ino]; ok {
				return d, nil
			}
		}
		d, _, err := hash(fsys, p)
		return d, err
	})
	if err != nil {
		return err
	}
	d := t.Digest()
	if hex.EncodeToString(d.Hash[:])+"."+strconv.Itoa(t.Files()) != filepath.Base(it.path) {
		return errAltered
	}
	return nil
}

// readTree reads what is in the materialised tree at dir. Whatever cannot be in
// one is an error.
func readTree(dir string, file func(p string, info os.FileInfo) (digest.Digest, error)) (*tree.Tree, error) {
	es, err := readDirQuietly(dir)
	if err != nil {
		return nil, err
	}
	var out []tree.Entry
	for _, e := range es {
		p := dir + "/" + e.Name()
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		te := tree.Entry{Name: e.Name()}
		switch {
		case e.IsDir():
			te.Kind = tree.Dir
			te.Dir, err = readTree(p, file)
		case e.Type() == os.ModeSymlink:
			te.Kind = tree.Link
			te.Target, err = os.Readlink(p)
		case e.Type().IsRegular():
			te.Kind, te.Executable = tree.File, info.Mode()&0o111 != 0
			te.File, err = file(p, info)
		default:
			err = fmt.Errorf("%s: neither a file, a folder nor a link", p)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, te)
	}
	return tree.New(out)
}
