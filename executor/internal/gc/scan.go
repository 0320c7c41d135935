package gc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/run"
)

// A cell is a part of a folder that is looked at in one go.
type cell struct {
	kind Kind
	dir  string
	gone bool // what belongs to workspaces that are gone; otherwise to the others
}

// cells are the parts of f in the order in which things are removed.
func (f Folder) cells() (out []cell, err error) {
	shards := func(kind Kind, name string) {
		dir := filepath.Join(f.Store, name)
		es, rerr := os.ReadDir(dir)
		err = errors.Join(err, ignoreMissing(rerr))
		for _, e := range es {
			if e.IsDir() && len(e.Name()) == 2 {
				out = append(out, cell{kind: kind, dir: filepath.Join(dir, e.Name())})
			}
		}
	}
	if f.Root != "" {
		out = append(out, cell{kind: Fetched, gone: true})
	}
	shards(Results, "ac")
	if f.Root != "" {
		out = append(out, cell{kind: Trees})
	}
	shards(Content, "cas")
	if f.Root != "" {
		out = append(out, cell{kind: States}, cell{kind: Fetched})
	}
	return out, err
}

// An item is what is removed as one thing.
type item struct {
	kind      Kind
	path      string
	age       int64 // when it was last used, in nanoseconds; 0 for what nobody can use any more
	bytes     int64
	pin       lease.Name
	workspace string // whose lock is needed
	folder    bool
	digest    digest.Digest // of Content
}

// used tells when what st describes was last used.
func used(kind Kind, st *unix.Stat_t) int64 {
	if kind == Content || kind == Trees {
		return fsx.Used(st)
	}
	return st.Mtim.Nano()
}

// left is how the names of folders begin that are being removed.
const left = ".gone-"

func isLeft(name string) bool { return strings.HasPrefix(name, left) }

// items lists what is in a cell.
func (c *collector) items(ctx context.Context, in cell) ([]item, error) {
	switch {
	case in.kind == Content, in.kind == Results:
		return c.shard(in)
	case in.kind == Trees:
		return c.trees(ctx)
	}
	ws, err := c.workspaces()
	if err != nil {
		return nil, err
	}
	var out []item
	for _, w := range ws {
		if w.gone != in.gone {
			continue
		}
		if w.gone {
			n, err := c.size(ctx, w.dir, false)
			if err != nil {
				return nil, err
			}
			out = append(out, item{kind: Fetched, path: w.dir, bytes: n, pin: PinnedWorkspace(w.id), workspace: w.id, folder: true})
			continue
		}
		more, err := c.kept(ctx, w, in.kind)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

func (c *collector) shard(in cell) ([]item, error) {
	es, err := os.ReadDir(in.dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	out := make([]item, 0, len(es))
	for _, e := range es {
		var st unix.Stat_t
		p := in.dir + "/" + e.Name()
		h, err := hex.DecodeString(strings.TrimSuffix(e.Name(), ".x"))
		if err != nil || len(h) != 32 || unix.Lstat(p, &st) != nil {
			continue // being written; the store sweeps what killed processes left
		}
		it := item{kind: in.kind, path: p, age: used(in.kind, &st), bytes: st.Blocks * 512}
		if in.kind == Content {
			it.digest = digest.Digest{Hash: [32]byte(h), Size: st.Size}
			it.pin = cas.Pinned(it.digest)
		}
		out = append(out, it)
	}
	return out, nil
}

func (c *collector) trees(ctx context.Context) ([]item, error) {
	dirs, err := filepath.Glob(filepath.Join(c.Root, "trees", "*"))
	if err != nil {
		return nil, err
	}
	var out []item
	for _, dir := range dirs {
		es, err := os.ReadDir(dir)
		if err != nil {
			return nil, ignoreMissing(err)
		}
		for _, e := range es {
			var st unix.Stat_t
			p := filepath.Join(dir, e.Name())
			if unix.Lstat(p, &st) != nil {
				continue
			}
			it := item{kind: Trees, path: p, age: used(Trees, &st), folder: true}
			name, _, _ := strings.Cut(e.Name(), ".")
			h, err := hex.DecodeString(name)
			switch {
			case err == nil && len(h) == 32:
				it.pin = run.PinnedTree([32]byte(h))
			case isLeft(e.Name()), time.Since(time.Unix(st.Ctim.Unix())) > day:
				it.age = 0 // left by a process that was killed
			default:
				continue // being made
			}
			if it.bytes, err = c.size(ctx, p, true); err != nil {
				return nil, err
			}
			out = append(out, it)
		}
	}
	return out, nil
}

// fetchedFolders are the folders of a workspace with what came from outside it.
var fetchedFolders = []string{"external", "embedded", "downloads"}

// kept lists what is kept for a workspace. What was fetched counts as used an hour
// after the note that the workspace was, which may be as much behind: of what is
// equally old, that which needs the network to get again goes last.
func (c *collector) kept(ctx context.Context, w workspace, kind Kind) ([]item, error) {
	if kind == Fetched {
		var out []item
		for _, name := range fetchedFolders {
			it := item{kind: Fetched, path: filepath.Join(w.dir, name), age: w.used + int64(fsx.Granularity), pin: PinnedWorkspace(w.id), workspace: w.id, folder: true}
			if _, err := os.Lstat(it.path); err != nil {
				continue
			}
			var err error
			if it.bytes, err = c.size(ctx, it.path, false); err != nil {
				return nil, err
			}
			out = append(out, it)
		}
		return out, nil
	}
	dir := filepath.Join(w.dir, "state")
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var out []item
	for _, e := range es {
		var st unix.Stat_t
		p := filepath.Join(dir, e.Name())
		if unix.Lstat(p, &st) != nil {
			continue
		}
		out = append(out, item{kind: States, path: p, age: used(States, &st), bytes: st.Blocks * 512, workspace: w.id, folder: e.IsDir()})
	}
	return out, nil
}

// size is what removing dir would free, but for files that are linked from
// elsewhere. Folders do not change once they are made, as far as their own
// modification time tells: what was measured is remembered.
func (c *collector) size(ctx context.Context, dir string, tree bool) (int64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return 0, nil
	}
	if m, ok := c.sizes[dir]; ok && m.Time == st.Mtim.Nano() {
		return m.Bytes, nil
	}
	n, err := measure(ctx, dir, tree)
	if err == nil {
		c.sizes[dir] = measured{st.Mtim.Nano(), n}
	}
	return n, err
}

// measure adds the blocks of what is at p and below, each inode once. The files of
// a tree are those of the store, if they have other links.
func measure(ctx context.Context, p string, tree bool) (int64, error) {
	seen := map[uint64]bool{}
	var add func(p string) (int64, error)
	add = func(p string) (n int64, err error) {
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil {
			return 0, nil // gone meanwhile
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if st.Nlink > 1 && (tree || seen[st.Ino]) {
				return 0, nil
			}
			seen[st.Ino] = true
			return st.Blocks * 512, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n = st.Blocks * 512
		es, _ := readDirQuietly(p) // what nobody may read is nobody's to count
		for _, e := range es {
			more, err := add(p + "/" + e.Name())
			if err != nil {
				return 0, err
			}
			n += more
		}
		return n, nil
	}
	n, err := add(p)
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", p, err)
	}
	return n, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
