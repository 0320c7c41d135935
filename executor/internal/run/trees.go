package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/tree"
)

// Trees keeps materialised trees: host directories that hold exactly a tree,
// each made once per digest by links into the store and mounted read-only from
// then on. They are <root>/<boot>/<hash>.<files>; the directories of another
// boot are dropped, because a power loss may have torn what they hold.
//
// A tree is pinned before it is looked for. Its directory says when it was last
// used (fsx.Used), and its files count as used with it, so that content is
// not older than a tree that holds it: removing the one frees nothing without the
// other.
type Trees struct {
	blobs blobs
	lease *lease.Lease
	dir   string // of this boot

	flights singleflight.Group
	ready   sync.Map // digest.Digest -> string: checked or made by this process
}

// OpenTrees opens the trees kept at root, which is made if it is missing, and
// belongs to this user alone.
func OpenTrees(root string, store *cas.Disk, sources Sources, l *lease.Lease, fsys *fsx.FS) (*Trees, error) {
	boot := bootID()
	t := &Trees{blobs: blobs{store, sources, fsys}, lease: l, dir: filepath.Join(root, boot)}
	if err := fsys.Folder(root, boot, 0o700); err != nil {
		return nil, fmt.Errorf("materialised trees: %w", err)
	}
	fsys.Spread(t.dir)
	old, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("materialised trees: %w", err)
	}
	for _, e := range old {
		if e.Name() != boot {
			if err := fsys.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return nil, fmt.Errorf("materialised trees: %w", err)
			}
		}
	}
	return t, nil
}

// bootID names the time since the machine was started: a power loss may have torn
// what was laid before.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// PinnedTree is what a tree is called in leases.
func PinnedTree(hash [32]byte) lease.Name { return lease.Named('t', hash) }

// Materialise returns a host directory that holds exactly t. The directory must
// only be shown read-only. Concurrent callers share the work.
func (m *Trees) Materialise(ctx context.Context, t *tree.Tree) (string, error) {
	d := t.Digest()
	if p, ok := m.ready.Load(d); ok {
		return p.(string), nil
	}
	for {
		// It ends with the one who began it, and leaves nothing half made: so its end is
		// waited for, whoever gives up.
		v, err, shared := m.flights.Do(d.String(), func() (any, error) { return m.make(ctx, t) })
		if err == nil {
			return v.(string), nil
		}
		if shared && ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			continue // another caller's ctx ended the shared work
		}
		return "", fmt.Errorf("materialising a tree: %w", err)
	}
}

// Have returns the directory of t if there is one already.
func (m *Trees) Have(t *tree.Tree) (string, bool) {
	if p, ok := m.ready.Load(t.Digest()); ok {
		return p.(string), true
	}
	m.lease.Pin(PinnedTree(t.Digest().Hash))
	if unix.Access(m.path(t), unix.F_OK) != nil {
		return "", false
	}
	v, err, _ := m.flights.Do(t.Digest().String(), func() (any, error) { return m.make(context.Background(), t) })
	if err != nil {
		return "", false
	}
	return v.(string), true
}

func (m *Trees) path(t *tree.Tree) string {
	return filepath.Join(m.dir, t.Digest().Hex()+"."+strconv.Itoa(t.Files()))
}

func (m *Trees) make(ctx context.Context, t *tree.Tree) (string, error) {
	p := m.path(t)
	m.lease.Pin(PinnedTree(t.Digest().Hash))
	if m.sound(t, p) {
		m.blobs.fs.Use(p) // for who collects
		m.ready.Store(t.Digest(), p)
		return p, nil
	}
	f := m.blobs.fs
	tmp, err := os.MkdirTemp(m.dir, ".tmp-")
	if err != nil {
		return "", err
	}
	build := filepath.Join(tmp, "t")
	if err = f.Mkdir(build, 0o755); err == nil {
		err = m.blobs.fill(ctx, t, build)
	}
	if err == nil {
		err = f.Rename(build, p)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
			if m.sound(t, p) { // another process was faster
				err = nil
			} else if err = f.Rename(p, filepath.Join(tmp, "bad")); err == nil {
				err = f.Rename(build, p)
			}
		}
	}
	f.RemoveAll(tmp)
	if err != nil {
		return "", err
	}
	m.blobs.fs.Use(p) // for who collects
	m.ready.Store(t.Digest(), p)
	return p, nil
}

// sound reports whether dir still holds t. Files are trusted as those of the
// store are, to which they are linked.
func (m *Trees) sound(t *tree.Tree, dir string) bool {
	// Actions see the mode and time of a folder, too.
	if info, err := os.Lstat(dir); err != nil || info.Mode() != fs.ModeDir|0o755 || !info.ModTime().Equal(fsx.Stamp) {
		return false
	}
	es, err := os.ReadDir(dir)
	if err != nil || len(es) != len(t.Entries()) {
		return false
	}
	for _, e := range t.Entries() {
		p := dir + "/" + e.Name
		switch e.Kind {
		case tree.File:
			if !m.blobs.store.Holds(p, e.File, e.Executable) {
				return false
			}
		case tree.Link:
			if target, err := os.Readlink(p); err != nil || target != e.Target {
				return false
			}
		case tree.Dir:
			if !m.sound(e.Dir, p) {
				return false
			}
		}
	}
	return true
}
