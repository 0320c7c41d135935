package run

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
)

// A mirror is a folder of the disk that holds exactly one tree, and is brought up to
// date by what changed: a scope is shown from it, never from the folder that people
// edit. Its files are those of the store. Only one tree is shown at a time, so only
// what holds the workspace's lock may have one.
//
// Beside it stands what it shows: the digest of each folder of the tree, and the boot
// in which it was laid. That is removed before the first change and comes back after
// the last: without it every folder is compared with what is there.
type mirror struct {
	dir   string
	blobs blobs
	boot  string

	mu    sync.Mutex
	shown digest.Digest
	torn  map[string]bool // files that changed before they could be taken, below "/"

	twice map[digest.Digest]bool // large contents that more than one file of the tree has
}

// show makes m hold t and returns its folder. A file that changed since t was made
// stands there without its content: whatever looked at that has no result (see torn).
func (m *mirror) show(ctx context.Context, t *tree.Tree) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown == t.Digest() {
		return m.dir, nil
	}
	m.torn, m.twice = map[string]bool{}, repeated(t)
	was := m.recorded()
	if was["."] == t.Digest().Hex() {
		if info, err := os.Lstat(m.dir); err == nil && info.IsDir() {
			m.shown = t.Digest()
			return m.dir, nil
		}
	}
	f := m.blobs.fs
	if err := os.Remove(m.dir + ".shown"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := f.MkdirAll(m.dir, 0o755); err != nil {
		return "", err
	}
	if err := m.sync(ctx, t, ".", was); err != nil {
		return "", err
	}
	m.shown = t.Digest()
	if len(m.torn) > 0 {
		return m.dir, nil // without a record, so that the next command looks again
	}
	var text strings.Builder
	text.WriteString(m.header() + "\n")
	record(&text, t, ".")
	tmp, err := f.CreateTemp(filepath.Dir(m.dir), "tmp-", 0o600)
	if err != nil {
		return "", err
	}
	_, err = tmp.Write([]byte(text.String()))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = f.Replace(tmp.Name(), m.dir+".shown")
	}
	return m.dir, err
}

// header is the first line of a record: how mirrors are laid, and in which boot.
func (m *mirror) header() string { return "gorules mirror 1, boot " + m.boot }

// record writes a line for each folder of t: its digest and its path, quoted.
func record(b *strings.Builder, t *tree.Tree, p string) {
	fmt.Fprintf(b, "%s %q\n", t.Digest().Hex(), p)
	for _, e := range t.Entries() {
		if e.Kind == tree.Dir {
			record(b, e.Dir, p+"/"+e.Name)
		}
	}
}

// recorded returns, by path, the digests of the folders that m shows; nil where that is
// not known.
func (m *mirror) recorded() map[string]string {
	b, err := os.ReadFile(m.dir + ".shown")
	if err != nil {
		return nil
	}
	head, rest, _ := strings.Cut(string(b), "\n")
	if head != m.header() {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(rest) {
		hash, quoted, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var p string
		if _, err := fmt.Sscanf(quoted, "%q", &p); !ok || err != nil || len(hash) != hex.EncodedLen(32) {
			return nil
		}
		out[p] = hash
	}
	return out
}

// sync makes the folder at p hold t. What was says is so is not looked at.
func (m *mirror) sync(ctx context.Context, t *tree.Tree, p string, was map[string]string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if was[p] == t.Digest().Hex() {
		return nil
	}
	f, dir := m.blobs.fs, filepath.Join(m.dir, p)
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	kinds := make(map[string]fs.FileMode, len(there))
	for _, e := range there {
		if want, ok := t.Lookup(e.Name()); ok && want.Name == e.Name() && kindOf(want) == e.Type() {
			kinds[e.Name()] = e.Type()
			continue
		}
		if err := f.RemoveAll(dir + "/" + e.Name()); err != nil {
			return err
		}
	}
	for _, e := range t.Entries() {
		at := dir + "/" + e.Name
		_, have := kinds[e.Name]
		switch e.Kind {
		case tree.Dir:
			if !have {
				err = f.Mkdir(at, 0o755)
			}
			if err == nil {
				err = m.sync(ctx, e.Dir, p+"/"+e.Name, was)
			}
		case tree.Link:
			if have {
				if text, rerr := os.Readlink(at); rerr == nil && text == e.Target {
					continue
				}
				err = os.Remove(at)
			}
			if err == nil {
				err = f.Symlink(e.Target, at)
			}
			if err == nil {
				err = f.Times(at, fsx.Stamp)
			}
		default:
			if have {
				if m.blobs.store.Holds(at, e.File, e.Executable) && !(m.apart(e) && shared(at)) {
					continue
				}
				err = os.Remove(at)
			}
			if err == nil {
				err = m.lay(ctx, e, at)
			}
			if errors.Is(err, cas.ErrCorrupt) || errors.Is(err, cas.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
				m.torn[strings.TrimPrefix(p+"/"+e.Name, ".")] = true
				err = m.empty(at)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.Times(dir, fsx.Stamp)
}

// minShared is the size in bytes from which a file shares the store's inode: a smaller
// one is copied as fast.
const minShared = 64 << 10

// lay makes the file e at p. No two files of the tree share an inode, whatever their
// content: programs that count what is on a disk would take them for one.
func (m *mirror) lay(ctx context.Context, e tree.Entry, p string) error {
	if m.apart(e) {
		return m.blobs.copy(ctx, e, p)
	}
	return m.blobs.link(ctx, e, p)
}

// apart reports whether e gets an inode of its own.
func (m *mirror) apart(e tree.Entry) bool { return e.File.Size < minShared || m.twice[e.File] }

// shared reports whether the file at p has other names.
func shared(p string) bool {
	var st unix.Stat_t
	return unix.Lstat(p, &st) == nil && st.Nlink > 1
}

// repeated returns the large contents that more than one file of t has.
func repeated(t *tree.Tree) map[digest.Digest]bool {
	once, twice := map[digest.Digest]struct{}{}, map[digest.Digest]bool{}
	_ = t.Walk(func(_ string, e tree.Entry) error { // nothing in it fails
		if e.Kind != tree.File || e.File.Size < minShared {
			return nil
		}
		if _, ok := once[e.File]; ok {
			twice[e.File] = true
		}
		once[e.File] = struct{}{}
		return nil
	})
	return twice
}

// empty makes an empty file.
func (m *mirror) empty(p string) error {
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), m.blobs.fs.Times(p, fsx.Stamp))
}

// isTorn reports whether the file at p, below the scope's "/", is not what the tree
// says.
func (m *mirror) isTorn(p string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.torn[p]
}

func kindOf(e tree.Entry) fs.FileMode {
	switch e.Kind {
	case tree.Dir:
		return fs.ModeDir
	case tree.Link:
		return fs.ModeSymlink
	}
	return 0
}

// mirrors are those of one runner, by what they show.
type mirrors struct {
	dir   string
	blobs blobs
	boot  string

	mu sync.Mutex
	of map[string]*mirror
}

// get returns the mirror called name.
func (m *mirrors) get(name string) (*mirror, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.of[name]; one != nil {
		return one, nil
	}
	if err := m.blobs.fs.MkdirAll(m.dir, 0o700); err != nil {
		return nil, err
	}
	h := digest.Of([]byte(name)).Hex()
	one := &mirror{dir: filepath.Join(m.dir, h[:16]), blobs: m.blobs, boot: m.boot}
	m.of[name] = one
	return one, nil
}
