package run_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/run"
	"gorules/executor/internal/tree"
)

// A machine is a store with its action cache and trees, the power of which is cut.
type machine struct {
	root    string
	boot    string
	fs      *fsx.FS
	written map[string]bool // since the last sync
	calls   int
	cut     int // the call at which the power goes; 0 for never
}

var errCut = errors.New("no power")

func newMachine(root string) *machine {
	m := &machine{root: root, written: map[string]bool{}}
	m.fs = &fsx.FS{Hook: func(op fsx.Op, p string) error {
		if m.calls++; m.cut > 0 && m.calls >= m.cut {
			return errCut
		}
		switch op {
		case fsx.Create, fsx.Write, fsx.Rename, fsx.Link, fsx.Times, fsx.Mkdir, fsx.Symlink:
			m.written[p] = true
		case fsx.Sync:
			m.written = map[string]bool{}
		}
		return nil
	}}
	return m
}

func (m *machine) open() (*cas.Disk, *run.DiskCache, *run.Trees, error) {
	s, err := cas.OpenDisk(filepath.Join(m.root, "cache"), cas.DiskOptions{FS: m.fs, Boot: m.boot})
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := run.OpenDiskCache(filepath.Join(m.root, "cache"), "full", s, m.fs)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := run.OpenTrees(filepath.Join(m.root, "trees"), s, nil, nil, m.fs)
	return s, c, t, err
}

// powerActions is how many actions a command runs.
const powerActions = 4

// powerTree is a folder of what action i made.
func powerTree(t *testing.T, i int) *tree.Tree {
	var b tree.Builder
	for k := range 3 {
		if err := b.AddFile(fmt.Sprint("f", k), digest.Of([]byte(crashText(i, k))), k == 1); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// work is a command: it runs what is not cached, shows the results as trees, and
// notes what it found out.
func (m *machine) work(t *testing.T, sync int) error {
	ctx := context.Background()
	s, c, trees, err := m.open()
	if err != nil {
		return err
	}
	cache := run.OnlyComplete(c, s)
	for i := range powerActions {
		if i == sync {
			if err := s.Sync(); err != nil {
				return err
			}
		}
		b := crashBound(i)
		if _, ok, err := cache.Lookup(ctx, b); err != nil {
			return err
		} else if !ok {
			outputs := map[string]action.Content{"/out/d": {Tree: powerTree(t, i)}}
			for k, p := range []string{"/out/a", "/out/b"} {
				d, err := s.Add(ctx, strings.NewReader(crashText(i, k)), k == 1)
				if err != nil {
					return err
				}
				outputs[p] = action.Content{File: d, Executable: k == 1}
			}
			if _, err := s.Add(ctx, strings.NewReader(crashText(i, 2)), false); err != nil {
				return err
			}
			if err := cache.Record(ctx, b, run.Result{Key: b.Digest, Stdout: digest.Empty, Stderr: digest.Empty, Outputs: outputs}); err != nil {
				return err
			}
		}
		dir, err := trees.Materialise(ctx, powerTree(t, i))
		if err != nil {
			return err
		}
		for k := range 3 {
			if got, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("f", k))); err != nil || string(got) != crashText(i, k) {
				t.Errorf("action %d is shown %d bytes in f%d, and they are wrong (%v)", i, len(got), k, err)
			}
		}
	}
	return s.Close()
}

// lose leaves of each file that was not synced what a file system may leave of it:
// all, nothing, its old name, or its name, size, mode and time with other bytes.
func (m *machine) lose(t *testing.T, rng *rand.Rand) {
	inodes := map[uint64][]string{} // a file is torn once, whatever its names
	err := filepath.WalkDir(m.root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !m.written[p] {
			return err
		}
		info, err := e.Info()
		if err == nil {
			ino := info.Sys().(*syscall.Stat_t).Ino
			inodes[ino] = append(inodes[ino], p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ino := range slices.Sorted(maps.Keys(inodes)) {
		names := inodes[ino]
		if err := tear(rng, names[0]); err != nil {
			t.Fatal(err)
		}
		for _, p := range names { // names are lost one by one
			switch rng.IntN(10) {
			case 0:
				err = os.Remove(p)
			case 1:
				err = os.Rename(p, filepath.Join(filepath.Dir(p), ".tmp-"+strconv.Itoa(rng.Int())))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tear damages the content of p and keeps what stat tells, but for the change time.
func tear(rng *rand.Rand, p string) error {
	info, err := os.Lstat(p)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	from := 0
	if len(b) > 0 {
		from = rng.IntN(len(b))
	}
	switch rng.IntN(6) {
	case 0: // no data was allocated
		clear(b)
	case 1: // from some page on
		clear(b[from&^4095:])
	case 2: // one page is another file's
		for i := from &^ 4095; i < min(len(b), from&^4095+4096); i++ {
			b[i] = byte(rng.Uint32())
		}
	case 3: // the size was not yet written
		b = b[:from]
	case 4:
		b = nil
	default:
		return nil
	}
	return errors.Join(os.WriteFile(p, b, 0), os.Chtimes(p, info.ModTime(), info.ModTime()))
}

// TestPowerLoss cuts the power at random moments and gives the next boot what a
// file system that drops and tears whatever was not synced may leave. The next
// commands show no wrong byte and do all of the work. GORULES_IMAGES says how
// many images (40).
func TestPowerLoss(t *testing.T) {
	images := 40
	if text := os.Getenv("GORULES_IMAGES"); text != "" {
		var err error
		if images, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	whole := newMachine(t.TempDir())
	if err := whole.work(t, -1); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for i := range images {
		rng := rand.New(rand.NewPCG(uint64(i), 0))
		m := newMachine(t.TempDir())
		for boot := range 3 { // what one boot leaves, the next goes on with
			m.boot = fmt.Sprint("boot ", boot)
			m.calls, m.cut = 0, 1+rng.IntN(whole.calls+20)
			sync := -1
			if rng.IntN(2) == 0 {
				sync = rng.IntN(powerActions)
			}
			if err := m.work(t, sync); err != nil && !errors.Is(err, errCut) {
				t.Fatalf("image %d, boot %d: %v", i, boot, err)
			}
			m.lose(t, rng)
		}
		m.boot, m.cut = "last", 0
		for range 2 {
			if err := m.work(t, -1); err != nil {
				t.Fatalf("image %d, with power: %v", i, err)
			}
		}
		left, _ := filepath.Glob(filepath.Join(m.root, "cache/damaged/*"))
		damaged += len(left)
		if t.Failed() {
			t.Fatalf("image %d", i)
		}
	}
	if damaged == 0 {
		t.Error("no file was found damaged: the images showed nothing")
	}
	t.Logf("%d images, each cut three times; %d damaged blobs were found, none was shown", images, damaged)
}

// TestDiskFull: the disk is full from the n-th write on, for each n, and the write
// that fails leaves a part. The command ends with that error; what it left serves
// the next command, which does all of the work.
func TestDiskFull(t *testing.T) {
	for n := 1; ; n++ {
		m := newMachine(filepath.Join(t.TempDir(), "m"))
		m.boot = "one"
		writes, full := 0, true
		inner := m.fs.Hook
		m.fs.Hook = func(op fsx.Op, p string) error {
			switch op {
			case fsx.Create, fsx.Write, fsx.Rename, fsx.Link, fsx.Mkdir, fsx.Symlink, fsx.Close:
				if writes++; full && writes >= n {
					if op == fsx.Write {
						_ = os.WriteFile(p, []byte("a par"), 0)
					}
					return syscall.ENOSPC
				}
			}
			return inner(op, p)
		}
		err := m.work(t, -1)
		reached := writes >= n
		if reached != (err != nil) || err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("full from write %d of %d on: %v", n, writes, err)
		}
		full = false
		for range 2 {
			if err := m.work(t, -1); err != nil {
				t.Fatalf("full from write %d on, then with room: %v", n, err)
			}
		}
		if !reached {
			t.Logf("full at each of %d calls that write", n-1)
			return
		}
	}
}
