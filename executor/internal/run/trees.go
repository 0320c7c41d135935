package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
)

// Trees keeps materialised trees: host directories that hold exactly a tree,
// each made once per digest by links into the store and mounted read-only from
// then on. They are <root>/<boot>/<hash>.<files>; the directories of another
// boot are dropped, because a power loss may have torn what they hold.
type Trees struct {
	blobs blobs
	dir   string // of this boot

	flights singleflight.Group
	ready   sync.Map // digest.Digest -> string: checked or made by this process
}

// OpenTrees opens the trees kept at root, which is made if it is missing, and
// belongs to this user alone.
func OpenTrees(root string, store *cas.Disk, sources Sources, fsys *fsx.FS) (*Trees, error) {
	boot := "unknown"
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		boot = strings.TrimSpace(string(id))
	}
	t := &Trees{blobs: blobs{store, sources, fsys}, dir: filepath.Join(root, boot)}
	if err := fsys.MkdirAll(t.dir, 0o700); err != nil {
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

// Materialise returns a host directory that holds exactly t: t.Origin where it
// is set. The directory must only be shown read-only. Concurrent callers share
// the work.
func (m *Trees) Materialise(ctx context.Context, t *tree.Tree) (string, error) {
	if t.Origin != "" {
		return t.Origin, nil
	}
	d := t.Digest()
	if p, ok := m.ready.Load(d); ok {
		return p.(string), nil
	}
	for {
		ch := m.flights.DoChan(d.String(), func() (any, error) { return m.make(ctx, t) })
		select {
		case r := <-ch:
			if r.Err == nil {
				return r.Val.(string), nil
			}
			if r.Shared && ctx.Err() == nil && (errors.Is(r.Err, context.Canceled) || errors.Is(r.Err, context.DeadlineExceeded)) {
				continue // another caller's ctx ended the shared work
			}
			return "", fmt.Errorf("materialising a tree: %w", r.Err)
		case <-ctx.Done():
			return "", fmt.Errorf("materialising a tree: %w", context.Cause(ctx))
		}
	}
}

// Have returns the directory of t if there is one already.
func (m *Trees) Have(t *tree.Tree) (string, bool) {
	if t.Origin != "" {
		return t.Origin, true
	}
	if p, ok := m.ready.Load(t.Digest()); ok {
		return p.(string), true
	}
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
	if sound(t, p) {
		m.touch(p)
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
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
			if sound(t, p) { // another process was faster
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
	m.touch(p)
	m.ready.Store(t.Digest(), p)
	return p, nil
}

// touch notes the use in the access time; the modification time is what actions see.
func (m *Trees) touch(p string) {
	now, stamp := unix.NsecToTimespec(time.Now().UnixNano()), unix.NsecToTimespec(fsx.Stamp.UnixNano())
	unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{now, stamp}, 0)
}

// sound reports whether dir still holds t, as far as names, sizes, modes and
// times tell: a write to a linked file changes its time.
func sound(t *tree.Tree, dir string) bool {
	es, err := os.ReadDir(dir)
	if err != nil || len(es) != len(t.Entries()) {
		return false
	}
	for _, e := range t.Entries() {
		p := dir + "/" + e.Name
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil {
			return false
		}
		switch e.Kind {
		case tree.File:
			mode := uint32(unix.S_IFREG | 0o644)
			if e.Executable {
				mode = unix.S_IFREG | 0o755
			}
			if st.Mode != mode || st.Size != e.File.Size || st.Mtim.Nano() != fsx.Stamp.UnixNano() {
				return false
			}
		case tree.Link:
			if target, err := os.Readlink(p); err != nil || target != e.Target {
				return false
			}
		case tree.Dir:
			if st.Mode&unix.S_IFMT != unix.S_IFDIR || !sound(e.Dir, p) {
				return false
			}
		}
	}
	return true
}

// Trim drops the trees that were not used for longest, until all that are kept
// hold at most maxFiles files. It keeps what this process uses, and what was
// used within idle, since another process may be at work with it. It also drops
// what killed processes left.
func (m *Trees) Trim(maxFiles int, idle time.Duration) error {
	es, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("trimming trees: %w", err)
	}
	type kept struct {
		path  string
		files int
		used  int64
	}
	used := map[string]bool{}
	m.ready.Range(func(_, p any) bool { used[p.(string)] = true; return true })
	var all []kept
	total := 0
	for _, e := range es {
		p := filepath.Join(m.dir, e.Name())
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil {
			continue
		}
		_, n, ok := strings.Cut(e.Name(), ".")
		files, err := strconv.Atoi(n)
		if !ok || err != nil {
			if time.Since(time.Unix(st.Ctim.Unix())) > time.Hour {
				m.blobs.fs.RemoveAll(p)
			}
			continue
		}
		total += files
		if !used[p] && time.Since(time.Unix(st.Atim.Unix())) >= idle {
			all = append(all, kept{path: p, files: files, used: st.Atim.Nano()})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return int(min(1, max(-1, a.used-b.used))) })
	for _, k := range all {
		if total <= maxFiles {
			break
		}
		// Renamed first, so that nobody takes a half-removed tree for a whole one.
		gone := filepath.Join(m.dir, ".gone-"+filepath.Base(k.path))
		if err := m.blobs.fs.Rename(k.path, gone); err != nil {
			return fmt.Errorf("trimming trees: %w", err)
		}
		if err := m.blobs.fs.RemoveAll(gone); err != nil {
			return fmt.Errorf("trimming trees: %w", err)
		}
		total -= k.files
	}
	return nil
}
