package gc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/run"
)

// world is a folder with things of known ages, and what is known of them.
type world struct {
	t      *testing.T
	f      Folder
	root   *lease.Lease
	store  *lease.Lease
	things map[string]*thing // by path
	trees  bool
}

type thing struct {
	kind   Kind
	age    time.Duration // before now
	pinned bool
	gone   bool            // of a workspace that is gone
	in     map[string]bool // trees that link it
}

func newWorld(t *testing.T) *world {
	root := t.TempDir()
	w := &world{t: t, f: Folder{Root: root, Store: filepath.Join(root, "cache")}, things: map[string]*thing{}}
	for _, d := range []string{"cache/cas", "cache/ac", "trees/boot", "workspaces", "locks"} {
		w.must(os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	var err error
	w.root, err = lease.Open(root)
	w.must(err)
	w.store, err = lease.Open(w.f.Store)
	w.must(err)
	t.Cleanup(func() { w.must(errors.Join(w.root.Close(), w.store.Close())) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(p string, b []byte) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(p), 0o755))
	w.must(os.WriteFile(p, b, 0o644))
}

func (w *world) slice(_ int64, err error) {
	w.t.Helper()
	w.must(err)
}

// aged gives p the times of something of a kind that was last used age ago.
func (w *world) aged(kind Kind, p string, age time.Duration) {
	w.t.Helper()
	at, mt := time.Now().Add(-age), fsx.Stamp
	if kind != Content && kind != Trees {
		mt = at
	}
	w.must(os.Chtimes(p, at, mt))
}

func (w *world) add(kind Kind, p string, age time.Duration) *thing {
	w.t.Helper()
	w.aged(kind, p, age)
	th := &thing{kind: kind, age: age, in: map[string]bool{}}
	w.things[p] = th
	return th
}

func (w *world) blob(text string, size int, age time.Duration) string {
	w.t.Helper()
	b := []byte(text + strings.Repeat("x", size))
	d := digest.Of(b)
	p := filepath.Join(w.f.Store, "cas", d.Hex()[:2], d.Hex())
	w.write(p, b)
	w.add(Content, p, age)
	return p
}

func (w *world) result(text string, age time.Duration) string {
	w.t.Helper()
	h := sha256.Sum256([]byte(text))
	name := hex.EncodeToString(h[:])
	p := filepath.Join(w.f.Store, "ac", name[:2], name)
	w.write(p, []byte(text))
	w.add(Results, p, age)
	return p
}

func (w *world) tree(text string, age time.Duration, blobs ...string) string {
	w.t.Helper()
	h := sha256.Sum256([]byte(text))
	p := filepath.Join(w.f.Root, "trees/boot", fmt.Sprintf("%x.%d", h, len(blobs)))
	w.must(os.MkdirAll(p, 0o755))
	for i, b := range blobs {
		w.must(os.Link(b, filepath.Join(p, fmt.Sprint(i))))
		w.things[b].in[p] = true
	}
	w.add(Trees, p, age)
	return p
}

// workspace keeps something for a workspace; there is one only if it is not gone.
func (w *world) workspace(id string, gone bool, age time.Duration, fetched int) {
	w.t.Helper()
	dir := filepath.Join(w.f.Root, "workspaces", id)
	at := filepath.Join(w.f.Root, "ws-"+id)
	if !gone {
		w.must(os.Mkdir(at, 0o755))
	}
	w.write(filepath.Join(dir, "external/r/f"), make([]byte, fetched))
	w.write(filepath.Join(dir, "state/k"), []byte("state"))
	w.write(filepath.Join(dir, "bin/out"), make([]byte, 5000))
	w.must(Note(dir, at))
	w.aged(States, filepath.Join(dir, nameFile), age)
	if gone {
		w.add(Fetched, dir, age).gone = true
		return
	}
	w.add(Fetched, filepath.Join(dir, "external"), age).age -= fsx.Granularity // as if used later
	w.add(States, filepath.Join(dir, "state/k"), age)
}

func (w *world) pin(p string) {
	w.t.Helper()
	th := w.things[p]
	th.pinned = true
	h, err := hex.DecodeString(strings.SplitN(filepath.Base(p), ".", 2)[0])
	switch th.kind {
	case Content:
		w.must(err)
		w.store.Pin(cas.Pinned(digest.Digest{Hash: [32]byte(h)}))
	case Trees:
		w.must(err)
		w.root.Pin(run.PinnedTree([32]byte(h)))
	case Fetched:
		w.root.Pin(PinnedWorkspace(filepath.Base(filepath.Dir(p))))
	}
}

func there(p string) bool {
	_, err := os.Lstat(p)
	return !errors.Is(err, fs.ErrNotExist)
}

// used is what du would say of what counts to the budget.
func (w *world) used() (bytes int64) {
	w.t.Helper()
	seen := map[uint64]bool{}
	var add func(p string)
	add = func(p string) {
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil || seen[st.Ino] {
			return
		}
		seen[st.Ino] = true
		bytes += st.Blocks * 512
		es, _ := readDirQuietly(p) // the change time cannot be set, so that only the access time tells here
		for _, e := range es {
			add(filepath.Join(p, e.Name()))
		}
	}
	for p := range w.things {
		add(p)
	}
	return bytes
}

// check compares what is left with the rules: grain is how exactly ages count.
// Where there are trees, what their blobs free comes late, and more may have gone
// by then than had to.
func (w *world) check(budget int64, grain time.Duration) {
	w.t.Helper()
	oldest, youngest := time.Duration(-1), time.Duration(1<<62) // that was kept, that was removed
	var kept, removed string
	for p, th := range w.things {
		held := false
		for tree := range th.in {
			held = held || there(tree)
		}
		switch {
		case th.pinned || held:
			if !there(p) {
				w.t.Errorf("%s %s was removed, pinned %v, held %v", th.kind, p, th.pinned, held)
			}
		case th.gone:
		case there(p):
			if th.age > oldest {
				oldest, kept = th.age, p
			}
		case th.age < youngest:
			youngest, removed = th.age, p
		}
	}
	if oldest > youngest+grain && !w.trees {
		w.t.Errorf("%s %s, %v old, was kept, and %s %s, %v old, removed", w.things[kept].kind, kept, oldest, w.things[removed].kind, removed, youngest)
	}
	if used := w.used(); used > budget && oldest >= 0 {
		w.t.Errorf("%d bytes are left of %d, among them %s", used, budget, kept)
	}
}

// random fills a world. A blob is not older than a tree that links it, as the
// users of trees see to.
func (w *world) random(r *rand.Rand) {
	age := func() time.Duration { return time.Duration(r.IntN(30*24*60)) * time.Minute }
	var blobs []string
	for i := range 40 + r.IntN(60) {
		blobs = append(blobs, w.blob(fmt.Sprint("b", i), r.IntN(30_000), age()))
	}
	for i := range 30 {
		w.result(fmt.Sprint("r", i), age())
	}
	w.trees = r.IntN(2) == 0
	for i := range 6 {
		if !w.trees {
			break
		}
		a := age()
		var in []string
		for _, j := range r.Perm(len(blobs))[:4] {
			if w.things[blobs[j]].age <= a {
				in = append(in, blobs[j])
			}
		}
		w.tree(fmt.Sprint("t", i), a, in...)
	}
	w.workspace("aaaa", false, age(), 20_000)
	w.workspace("bbbb", false, age(), 20_000)
	w.workspace("cccc", true, age(), 20_000)
	for _, p := range slices.Sorted(maps.Keys(w.things)) {
		if th := w.things[p]; r.IntN(10) == 0 && !th.gone && th.kind != Results && th.kind != States {
			w.pin(p)
		}
	}
}

func TestCollectRandom(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			w.random(r)
			before := w.used()
			budget := r.Int64N(before)
			freed, err := Collect(context.Background(), w.f, budget, Selection{})
			w.must(err)
			w.check(budget, 0)
			if now := w.used(); freed.Left != now || freed.Total() != before-now {
				t.Errorf("freed %d of %d and left %d, but there are %d", freed.Total(), before, freed.Left, now)
			}
			if there(filepath.Join(w.f.Root, "workspaces/cccc")) {
				t.Error("what was kept for a workspace that is gone is still there")
			}
			for _, id := range []string{"aaaa", "bbbb"} {
				if !there(filepath.Join(w.f.Root, "workspaces", id, "bin/out")) {
					t.Error("an output was removed")
				}
			}
			if l, _ := filepath.Glob(filepath.Join(w.f.Root, "*/*/.gone-*")); l != nil {
				t.Errorf("left: %v", l)
			}
		})
	}
}

// Slices come to the budget too. Of what is old enough they remove in the order of
// shards, and no more than is needed.
func TestSlicesRandom(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t)
			w.random(r)
			before := w.used()
			budget := r.Int64N(before)
			n, cut := 0, int64(0)
			for notes := (&noted{}); ; n++ {
				if n > 1000 {
					t.Fatal("a pass does not end")
				}
				c, close, err := open(context.Background(), w.f, false)
				w.must(err)
				readNoted(w.f.noted(usageName), notes)
				if notes.Pass == nil {
					notes.Pass = &pass{Begun: time.Now(), Ages: map[int64]int64{}, Kinds: map[Kind]int64{}}
				}
				done, err := c.work(context.Background(), notes.Pass, budget, time.Time{}) // one cell at a time
				w.must(err)
				w.must(writeNoted(w.f.noted(usageName), notes))
				cut = notes.Pass.Cut
				close()
				if done {
					break
				}
			}
			if n < 50 {
				t.Errorf("all was done in %d slices", n)
			}
			trees := w.trees
			w.trees = true // ages are looked at here
			w.check(budget, 0)
			for p, th := range w.things {
				if used := time.Now().Add(-th.age).UnixNano(); !there(p) && !th.gone && used > cut {
					t.Errorf("%s %s, %v old, was removed, and the cut is at %v", th.kind, p, th.age, time.Since(time.Unix(0, cut)))
				}
			}
			if now := w.used(); !trees && before-now > before-budget/10*9+30_000 {
				t.Errorf("%d are left of %d for a budget of %d", now, before, budget)
			}
		})
	}
}

// A slice begins a pass where the budget is exceeded, and leaves well alone otherwise.
func TestSlice(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	old := w.blob("old", 50_000, 100*time.Hour)
	w.slice(Slice(ctx, w.f, 1<<30, 0, time.Second))
	n := &noted{}
	if !readNoted(w.f.noted(usageName), n) || n.Total < 50_000 || n.Kinds[Content] != n.Total {
		t.Fatalf("after the first slice %+v is known", n)
	}
	w.must(os.Remove(w.f.noted(lockName)))
	w.slice(Slice(ctx, w.f, 1<<30, 1000, time.Second))
	if there(w.f.noted(lockName)) {
		t.Error("a second slice had something to do")
	}
	if got := w.f.grown(); got != 1000 {
		t.Errorf("%d bytes were added, want 1000", got)
	}
	w.slice(Slice(ctx, w.f, -1, 100_000, time.Second))
	if !there(old) {
		t.Error("trimmed without a budget")
	}
	fresh := w.blob("new", 20_000, 0)
	w.slice(Slice(ctx, w.f, 60_000, 0, time.Second))
	if there(old) || !there(fresh) {
		t.Errorf("old is there: %v, new: %v", there(old), there(fresh))
	}
	// Notes that are odd are none.
	for _, odd := range []string{"", "{", "[]", `{"Pass":{"Cells":[{"Dir":"/"}],"Swept":7,"Sweeping":true,"Need":1,"Cut":9}}`} {
		w.must(os.WriteFile(w.f.noted(usageName), []byte(odd), 0o600))
		w.slice(Slice(ctx, w.f, 60_000, 0, time.Second))
		if !there(fresh) {
			t.Fatalf("with notes %q what is new was removed", odd)
		}
	}
}

// Who cannot keep to the budget says by how much.
func TestSliceOver(t *testing.T) {
	w := newWorld(t)
	w.pin(w.blob("b", 50_000, time.Hour))
	for budget, want := range map[int64]bool{10_000: true, 1 << 20: false} {
		over, err := Slice(context.Background(), w.f, budget, 1<<30, time.Minute)
		w.must(err)
		if over > 0 != want || over > 60_000 {
			t.Errorf("%d over a budget of %d", over, budget)
		}
	}
}

// A collection that ends anywhere leaves nothing that the next one minds.
func TestCollectBrokenOff(t *testing.T) {
	broken := errors.New("broken off")
	for k := 0; ; k++ {
		w := newWorld(t)
		w.random(rand.New(rand.NewPCG(7, 7)))
		calls := 0
		w.f.FS = &fsx.FS{Hook: func(op fsx.Op, p string) error {
			if calls++; calls > k {
				return broken
			}
			return nil
		}}
		budget := int64(200_000)
		_, err := Collect(context.Background(), w.f, budget, Selection{})
		if err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
		w.f.FS = nil
		if _, err := Collect(context.Background(), w.f, budget, Selection{}); err != nil {
			t.Fatalf("after %d calls: %v", k, err)
		}
		w.check(budget, 0)
		if l, _ := filepath.Glob(filepath.Join(w.f.Root, "*/*/.gone-*")); l != nil {
			t.Errorf("after %d calls there are left: %v", k, l)
		}
		if err == nil {
			if k < 20 {
				t.Errorf("all was done in %d calls", k)
			}
			return
		}
		k += k / 4
	}
}

// A day later all is measured again.
func TestSliceOnceADay(t *testing.T) {
	w := newWorld(t)
	for age, want := range map[time.Duration]bool{time.Hour: false, 25 * time.Hour: true, -2 * time.Hour: true} {
		n := &noted{Total: 1, Scanned: time.Now().Add(-age)}
		if got := w.f.due(n, 1<<30); got != want {
			t.Errorf("%v after the last pass: due is %v", age, got)
		}
	}
	// A pass that could do nothing is not begun again at once.
	n := &noted{Total: 1000, Scanned: time.Now()}
	if w.f.due(n, 500) {
		t.Error("due although nothing has changed")
	}
	w.must(w.f.grow(100))
	if !w.f.due(n, 500) {
		t.Error("not due although more was added")
	}
}

func TestCollectSelection(t *testing.T) {
	w := newWorld(t)
	b := w.blob("b", 100, time.Hour)
	w.workspace("aaaa", false, time.Hour, 100)
	w.workspace("bbbb", false, time.Hour, 100)
	fetched := func(id string) string { return filepath.Join(w.f.Root, "workspaces", id, "external") }
	freed, err := Collect(context.Background(), w.f, 0, Selection{Kind: Fetched, Workspace: filepath.Join(w.f.Root, "ws-aaaa")})
	w.must(err)
	if there(fetched("aaaa")) || !there(fetched("bbbb")) || !there(b) || freed.Things[Fetched] != 1 {
		t.Errorf("freed %+v", freed)
	}
	// Content goes with the trees that would keep it.
	tree := w.tree("t", 0, b)
	freed, err = Collect(context.Background(), w.f, 0, Selection{Kind: Content})
	w.must(err)
	if there(b) || there(tree) || !there(fetched("bbbb")) {
		t.Errorf("freed %+v", freed)
	}
}

// A thing of the wrong kind is removed like any other.
func TestCollectOdd(t *testing.T) {
	w := newWorld(t)
	p := w.blob("b", 10, time.Hour)
	w.must(os.Remove(p))
	w.write(filepath.Join(p, "x"), []byte("x"))
	_, err := Collect(context.Background(), w.f, 0, Selection{})
	w.must(err)
	var st unix.Stat_t
	if there(p) {
		w.must(unix.Stat(p, &st))
		t.Errorf("a folder in the place of a blob is still there, with %d links", st.Nlink)
	}
}

// Files of a workspace on which a command works are left alone.
func TestCollectLocked(t *testing.T) {
	w := newWorld(t)
	w.workspace("aaaa", false, time.Hour, 100)
	w.workspace("bbbb", true, time.Hour, 100)
	for _, id := range []string{"aaaa", "bbbb"} {
		unlock, ok := w.f.lock(id)
		if !ok {
			t.Fatal("locked")
		}
		defer unlock()
	}
	_, err := Collect(context.Background(), w.f, 0, Selection{})
	w.must(err)
	for p := range w.things {
		if !there(p) {
			t.Errorf("%s was removed", p)
		}
	}
	held := w.f
	held.Held = "aaaa"
	_, err = Collect(context.Background(), held, 0, Selection{})
	w.must(err)
	if there(filepath.Join(w.f.Root, "workspaces/aaaa/state/k")) {
		t.Error("who has the lock cannot remove")
	}
	if !there(filepath.Join(w.f.Root, "workspaces/aaaa/external")) {
		t.Error("what is fetched for the workspace at work was removed")
	}
}

func TestVerify(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	disk, err := cas.OpenDisk(w.f.Store, cas.DiskOptions{})
	w.must(err)
	good, err := cas.PutBytes(ctx, disk, []byte("good"))
	w.must(err)
	bad, err := cas.PutBytes(ctx, disk, []byte("bad!"))
	w.must(err)
	mode, err := cas.PutBytes(ctx, disk, []byte("mode"))
	w.must(err)
	path := func(d digest.Digest) string { p, err := w.f.blob(d); w.must(err); return p }
	w.must(os.WriteFile(path(bad), []byte("BAD!"), 0))
	w.must(os.Chtimes(path(bad), time.Now(), fsx.Stamp))
	w.must(os.Chmod(path(mode), 0o777))
	entry := w.result("entry", 0)
	tree := w.tree("tree", 0)
	v, err := Verify(ctx, w.f)
	w.must(err)
	found := map[string]string{}
	for _, x := range v.Wrong {
		found[x.Path] = x.Reason
	}
	badPath := filepath.Join(w.f.Store, "cas", bad.Hex()[:2], bad.Hex())
	modePath := filepath.Join(w.f.Store, "cas", mode.Hex()[:2], mode.Hex())
	for _, p := range []string{badPath, modePath, entry, tree} {
		if found[p] == "" || there(p) {
			t.Errorf("%s: found %q, is there %v", p, found[p], there(p))
		}
	}
	if len(found) != 4 || !there(path(good)) {
		t.Errorf("found %v", found)
	}
	if v, err = Verify(ctx, w.f); err != nil || len(v.Wrong) > 0 || v.Checked[Content] != 1 {
		t.Errorf("the second time: %+v %v", v, err)
	}
}

// Measuring and checking are no uses.
func TestLookingIsNoUse(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.blob("b", 10, 100*time.Hour)
	tree := w.tree("t", 100*time.Hour, p)
	_, err := Measure(ctx, w.f)
	w.must(err)
	if err := verifyTree(w.f.FS, item{path: tree}, nil); !errors.Is(err, errAltered) {
		t.Fatal(err)
	}
	_, err = (&collector{Folder: w.f, sizes: map[string]measured{}}).everything(ctx)
	w.must(err)
	w.must((&collector{Folder: w.f}).verifyBlob(item{path: p, digest: digest.Of([]byte("bxxxxxxxxxx"))}, map[uint64]digest.Digest{}))
	for _, p := range []string{p, tree} {
		var st unix.Stat_t
		w.must(unix.Stat(p, &st))
		if time.Since(time.Unix(st.Atim.Unix())) < 99*time.Hour || st.Mtim.Nano() != fsx.Stamp.UnixNano() {
			t.Errorf("%s: access time %v, modification time %v", p, time.Unix(st.Atim.Unix()), time.Unix(st.Mtim.Unix()))
		}
	}
}
