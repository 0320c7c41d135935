package gc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/lease"
)

// A collector works on one folder.
type collector struct {
	Folder
	store, root *lease.Collector // root is nil where the folder is a store alone
	sizes       map[string]measured
}

// measured is what was found of a folder that had this modification time.
type measured struct{ Time, Bytes int64 }

const (
	usageName = "usage"       // the noted
	sizesName = "usage.sizes" // map of paths to measured
	grownName = "usage.grown" // eight bytes of each command: what it added
	lockName  = "usage.lock"
)

// errElsewhere says that another process is collecting.
var errElsewhere = errors.New("another gorules command is collecting")

// open starts work on f, for which one process at a time is enough.
func open(ctx context.Context, f Folder, wait bool) (c *collector, close func(), err error) {
	if err := os.MkdirAll(f.Store, 0o700); err != nil {
		return nil, nil, fmt.Errorf("collecting: %w", err)
	}
	l, err := os.OpenFile(f.noted(lockName), os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("collecting: %w", err)
	}
	for {
		if err = unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) || !wait || ctx.Err() != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		l.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errElsewhere
		}
		return nil, nil, fmt.Errorf("collecting: %w", err)
	}
	c = &collector{Folder: f, sizes: map[string]measured{}}
	readNoted(f.noted(sizesName), &c.sizes)
	if c.store, err = lease.Collect(f.Store); err == nil && f.Root != "" {
		c.root, err = lease.Collect(f.Root)
	}
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	before := len(c.sizes)
	return c, func() {
		if len(c.sizes) != before {
			for p := range c.sizes { // of what is gone
				if _, err := os.Lstat(p); err != nil {
					delete(c.sizes, p)
				}
			}
			_ = writeNoted(f.noted(sizesName), c.sizes) // otherwise it is measured again
		}
		c.store.Close()
		if c.root != nil {
			c.root.Close()
		}
		l.Close()
	}, nil
}

// readNoted reads a file that writeNoted wrote. One that is odd holds nothing.
func readNoted(p string, into any) bool {
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	return json.NewDecoder(f).Decode(into) == nil
}

// writeNoted writes v to p, by rename. Nothing is synced: what a power loss leaves
// is odd, or is measured again.
func writeNoted(p string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p), "."+filepath.Base(p)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), p)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	return nil
}

// gate is what keeps things of a kind from being pinned.
func (c *collector) gate(k Kind) *lease.Collector {
	if k == Content || k == Results {
		return c.store
	}
	return c.root
}

// atOnce is how many things are removed while commands wait at the gate.
const atOnce = 32

// remove removes those of items, all of one kind, that are not pinned, were not
// used after cut and free something, until need bytes are freed. done is called
// for each that is no more.
func (c *collector) remove(ctx context.Context, items []item, cut int64, need *int64, done func(item)) error {
	for chunk := range slices.Chunk(items, atOnce) {
		if *need <= 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		var folders []string
		err := c.gate(chunk[0].kind).Shut(func(pinned func(lease.Name) bool) error {
			for _, it := range chunk {
				if *need <= 0 {
					break
				}
				if it.pin != (lease.Name{}) && pinned(it.pin) || !c.current(it, cut) {
					continue
				}
				away, err := c.take(it)
				if err != nil {
					return err
				}
				if away == "" {
					continue
				}
				if it.folder {
					folders = append(folders, away)
				}
				*need -= it.bytes
				done(it)
			}
			return nil
		})
		for _, p := range folders { // with the gate open: it may take long
			err = errors.Join(err, c.FS.RemoveAll(p))
		}
		if err != nil {
			return fmt.Errorf("collecting: %w", err)
		}
	}
	return nil
}

// current reports whether it is still as old as cut, and would free something.
func (c *collector) current(it item, cut int64) bool {
	var st unix.Stat_t
	if unix.Lstat(it.path, &st) != nil {
		return false
	}
	switch it.kind {
	case Content:
		return (st.Nlink == 1 || st.Mode&unix.S_IFMT != unix.S_IFREG) && used(Content, &st) <= cut
	case Fetched: // the age is that of the workspace, whose lock is taken
		if it.age == 0 {
			_, gone := whereIs(it.path)
			return gone || isLeft(it.workspace)
		}
		return it.age <= cut && it.workspace != c.Held
	}
	return it.age == 0 || used(it.kind, &st) <= cut
}

// take removes a file, or takes a folder out of everybody's way; "" if somebody
// else has it. What belongs to another user of a shared store is for him to remove.
func (c *collector) take(it item) (away string, err error) {
	if it.workspace != "" && !isLeft(it.workspace) {
		unlock, ok := c.lock(it.workspace)
		if !ok {
			return "", nil
		}
		defer unlock()
	}
	if !it.folder {
		if err := c.FS.RemoveAll(it.path); !errors.Is(err, fs.ErrPermission) {
			return it.path, err
		}
		return "", nil
	}
	if isLeft(filepath.Base(it.path)) {
		return it.path, nil
	}
	away = filepath.Join(filepath.Dir(it.path), left+strconv.FormatInt(time.Now().UnixNano(), 36)+filepath.Base(it.path))
	return away, ignoreMissing(c.FS.Rename(it.path, away))
}

// Freed is what was removed.
type Freed struct {
	Bytes  map[Kind]int64
	Things map[Kind]int
	Left   int64 // bytes that are still there
}

// Total is the sum over the kinds.
func (f *Freed) Total() (bytes int64) {
	for _, n := range f.Bytes {
		bytes += n
	}
	return bytes
}

// A Selection says what may be removed; the zero value means everything.
type Selection struct {
	Kind      Kind
	Workspace string // a folder
	Toolchain string // as Stats has it
}

// Collect removes what was not used for longest until f keeps to budget. What is
// kept for workspaces that are gone is removed in any case. With a selection, the
// budget is that of what is selected.
func Collect(ctx context.Context, f Folder, budget int64, only Selection) (*Freed, error) {
	c, close, err := open(ctx, f, true)
	if err != nil {
		return nil, err
	}
	defer close()
	all, err := c.everything(ctx)
	if err != nil {
		return nil, err
	}
	found := map[Kind]int64{}
	for _, it := range all {
		found[it.kind] += it.bytes
	}
	if only != (Selection{}) {
		if all, err = c.choose(ctx, all, only); err != nil {
			return nil, err
		}
	}
	freed, err := c.collect(ctx, all, budget)
	if err != nil {
		return nil, err
	}
	n := &noted{Kinds: found, Scanned: time.Now()}
	for k := range found {
		found[k] -= freed.Bytes[k]
		n.Total += found[k]
	}
	_ = os.Remove(f.noted(grownName))
	_ = writeNoted(f.noted(usageName), n) // without it the next command measures
	return freed, nil
}

// collect removes the oldest of items until the others keep to budget.
func (c *collector) collect(ctx context.Context, items []item, budget int64) (*Freed, error) {
	freed := &Freed{Bytes: map[Kind]int64{}, Things: map[Kind]int{}}
	for _, it := range items {
		freed.Left += it.bytes
	}
	need := freed.Left - budget
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.age, b.age) })
	var held []item // blobs that had other links: those may go with younger trees
	for cut := int64(0); ; {
		n := 0 // how many are old enough
		for ; n < len(items) && items[n].age <= cut; n++ {
		}
		removed := map[string]bool{}
		want := int64(math.MaxInt64) // all of them: with less there would still be too much
		for _, part := range byKind(slices.Concat(held, items[:n])) {
			err := c.remove(ctx, part, cut, &want, func(it item) {
				removed[it.path] = true
				freed.Bytes[it.kind] += it.bytes
				freed.Things[it.kind]++
			})
			if err != nil {
				return nil, err
			}
		}
		need -= math.MaxInt64 - want
		freed.Left -= math.MaxInt64 - want
		for _, it := range items[:n] {
			if it.kind == Content && !removed[it.path] {
				held = append(held, it)
			}
		}
		held = slices.DeleteFunc(held, func(it item) bool { return removed[it.path] })
		items = items[n:]
		if need <= 0 || len(items) == 0 {
			return freed, nil
		}
		cut = cutoff(items, need)
	}
}

// cutoff returns how old of sorted items those are with which need bytes go.
func cutoff(items []item, need int64) int64 {
	for _, it := range items {
		if need -= it.bytes; need <= 0 {
			return it.age
		}
	}
	return items[len(items)-1].age
}

// byKind groups items, in the order in which things are removed.
func byKind(items []item) [][]item {
	var out [][]item
	for _, k := range []Kind{Results, Trees, Content, States, Fetched} {
		part := slices.DeleteFunc(slices.Clone(items), func(it item) bool { return it.kind != k })
		if len(part) > 0 {
			out = append(out, part)
		}
	}
	return out
}

// everything lists all that f's budget is for.
func (c *collector) everything(ctx context.Context) ([]item, error) {
	cells, err := c.cells()
	if err != nil {
		return nil, err
	}
	var all []item
	for _, in := range cells {
		more, err := c.items(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}
