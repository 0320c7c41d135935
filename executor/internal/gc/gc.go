// Package gc keeps what gorules stores outside of workspaces to a budget: it
// measures, removes what was not used for longest, and checks what is there.
//
// # What may be removed, and when
//
// Nothing that a live process has pinned (see lease), whatever its age: so a
// build beside a collector never misses what it has seen. The one thing that
// needs no pin is an entry of the action cache, which is read as a whole; that
// it is gone later is a miss. Files of a workspace's folder are removed under that
// workspace's lock, which each command on it holds.
//
// # Age
//
// The age of a thing is that of its last use, which whoever uses it notes in one
// of the file's times, at most once an hour (fsx.Granularity): the modification
// time of entries of the action cache, states and the file that names a
// workspace; and, of blobs and materialised trees, whose modification time actions
// see, access and change time together (fsx.Used). What was kept for a workspace that is gone is older than all else.
//
// # Order
//
// All kinds compete by age alone: there is one age beyond which everything goes,
// so that an entry goes with its blobs. Of what goes, entries are removed before
// blobs, so that few are left without; and trees before blobs, since a blob that
// a tree links frees nothing. A blob with another link (a tree that stays, an
// action being laid out) is kept: removed it would free nothing, and be stored
// twice when it is wanted again.
//
// # Cost
//
// [Collect] does all at once, for who asks. [Slice] is called at the end of each
// command that ran something, does a few milliseconds of the same and remembers
// where it was: it measures shard by shard, and from the sums by age finds how
// old what goes must be; then removes shard by shard. A pass begins when what the
// last one found and what was added since exceed the budget, or once a day, and
// trims to nine tenths of it. Between passes a slice reads two small files.
package gc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
)

// Kind sorts what is stored.
type Kind string

// The kinds.
const (
	Content Kind = "content" // blobs: what actions read and made
	Results Kind = "results" // what came of each action
	Trees   Kind = "trees"   // directories that actions were shown
	Fetched Kind = "fetched" // external repositories, with their downloads
	States  Kind = "states"  // what lets a command say again what it said
	Outputs Kind = "outputs" // what a workspace's links lead to
)

// Kinds are all kinds, in the order to be shown. Outputs count to no budget: they are
// results that a user asked for, and `clean` removes them.
var Kinds = []Kind{Content, Results, Trees, Fetched, States, Outputs}

// A Folder is what one budget is for.
type Folder struct {
	// Root holds trees, workspaces and locks; "" if Store is all that there is.
	Root string

	// Store holds cas and ac.
	Store string

	// Held is the id of the workspace whose lock the caller has; "" if none. What
	// was fetched for it stays, however small the budget: the next command there
	// would have to get it from the network again.
	Held string

	FS *fsx.FS
}

// noted is where the folder keeps what a slice has to remember.
func (f Folder) noted(name string) string {
	if f.Root != "" {
		return filepath.Join(f.Root, name)
	}
	return filepath.Join(f.Store, name)
}

// Default is the budget where nobody says otherwise: a tenth of the disk, at most 20 GB.
func Default(dir string) int64 {
	const most = 20 << 30
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return most
	}
	return min(most, int64(st.Blocks)*st.Bsize/10)
}

// PinnedWorkspace is what all that is kept for a workspace is called in leases.
func PinnedWorkspace(id string) lease.Name {
	var h [32]byte
	copy(h[:], id)
	return lease.Named('w', h)
}

// nameFile is the file in a workspace's folder that says where the workspace is.
// Its modification time is that of the last command.
const nameFile = "workspace"

// maxNote bounds what is read of that file: a path.
const maxNote = 64 << 10

// Note says in dir, the folder kept for it, which workspace that is, and that it
// is used now.
func Note(dir, workspace string) error {
	p := filepath.Join(dir, nameFile)
	b, err := fsx.Plain.ReadFile(p, maxNote)
	if err == nil && string(b) == workspace {
		info, err := os.Stat(p)
		if err == nil && time.Since(info.ModTime()) > fsx.Granularity {
			now := time.Now()
			return os.Chtimes(p, now, now)
		}
		return err
	}
	return fsx.Plain.WriteFile(p, 0o600, []byte(workspace))
}

// A workspace is one that something is kept for.
type workspace struct {
	id   string
	dir  string
	path string // where it is; "" if that is not known
	gone bool
	used int64
}

// workspaces lists those that something is kept for.
func (f Folder) workspaces() ([]workspace, error) {
	if f.Root == "" {
		return nil, nil
	}
	dir := filepath.Join(f.Root, "workspaces")
	es, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []workspace
	for _, e := range es {
		w := workspace{id: e.Name(), dir: filepath.Join(dir, e.Name())}
		if !e.IsDir() {
			continue
		}
		if isLeft(w.id) {
			w.gone = true
			out = append(out, w)
			continue
		}
		at := filepath.Join(w.dir, nameFile)
		if w.path, w.gone = whereIs(w.dir); w.path == "" {
			at = w.dir // of a gorules that did not say: as old as the folder
		}
		if info, err := os.Stat(at); err == nil {
			w.used = info.ModTime().UnixNano()
		}
		out = append(out, w)
	}
	return out, nil
}

// whereIs tells which workspace dir is kept for, "" if it does not say, and whether
// that is gone.
func whereIs(dir string) (path string, gone bool) {
	b, err := fsx.Plain.ReadFile(filepath.Join(dir, nameFile), maxNote)
	if err != nil || len(b) == 0 {
		return "", false
	}
	_, err = os.Stat(string(b))
	return string(b), errors.Is(err, fs.ErrNotExist)
}

// lock takes the lock on a workspace's folder, unless somebody has it.
func (f Folder) lock(id string) (unlock func(), ok bool) {
	if id == f.Held {
		return func() {}, true
	}
	l, err := os.OpenFile(filepath.Join(f.Root, "locks", id), os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, false
	}
	if unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		l.Close()
		return nil, false
	}
	return func() { l.Close() }, true
}
