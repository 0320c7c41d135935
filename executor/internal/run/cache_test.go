package run_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

func TestMemoryCache(t *testing.T) {
	runtest.Cache(t, func(*testing.T) (run.ActionCache, cas.Store) { return &run.MemoryCache{}, &cas.Memory{} })
}

func TestDiskCache(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return diskCache(t, t.TempDir(), s), s
	})
}

func TestComplete(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return run.Complete(diskCache(t, t.TempDir(), s), s), s
	})
}

func diskCache(t *testing.T, root string, s cas.Store) *run.DiskCache {
	t.Helper()
	c, err := run.OpenDiskCache(root, "full", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recorded makes a cache with one entry and returns the entry's file.
func recorded(t *testing.T, root string, s cas.Store) (b *action.Bound, file string) {
	t.Helper()
	ctx := context.Background()
	d, err := cas.PutBytes(ctx, s, []byte("output"))
	if err != nil {
		t.Fatal(err)
	}
	b = runtest.Bound([]string{"x"}, tree.Empty, "/out/f")
	res := run.Result{Outputs: map[string]action.Content{"/out/f": {File: d}}, Stdout: digest.Empty, Stderr: digest.Empty}
	if err := diskCache(t, root, s).Record(ctx, b, res); err != nil {
		t.Fatal(err)
	}
	m, _ := filepath.Glob(filepath.Join(root, "ac/*/*"))
	if len(m) != 1 {
		t.Fatalf("entries: %v", m)
	}
	return b, m[0]
}

// Every flipped byte and every length but the right one is a miss.
func TestDiskCacheDamage(t *testing.T) {
	ctx := context.Background()
	root, s := t.TempDir(), &cas.Memory{}
	b, file := recorded(t, root, s)
	c := diskCache(t, root, s)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	miss := func(what string, i int, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Lookup(ctx, b); ok || err != nil {
			t.Errorf("%s %d: found %v, error %v", what, i, ok, err)
		}
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1 << (i % 8)
		miss("flipped", i, bad)
		miss("cut to", i, whole[:i])
	}
	miss("longer by", 1, append(append([]byte(nil), whole...), 0))
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(ctx, b); !ok {
		t.Error("the whole entry is not found")
	}
	other := runtest.Bound([]string{"y"}, tree.Empty, "/out/f")
	h := other.Digest.Hex()
	p := filepath.Join(root, "ac", h[:2], h)
	os.MkdirAll(filepath.Dir(p), 0o755)
	if err := os.Rename(file, p); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(ctx, other); ok {
		t.Error("an entry of another key is found")
	}
	os.Remove(p)
	os.MkdirAll(filepath.Join(file, "dir"), 0o755)
	if _, ok, err := c.Lookup(ctx, b); ok || err != nil {
		t.Errorf("a directory in its place: %v, %v", ok, err)
	}
	recorded(t, root, s)
}

func TestDiskCacheTier(t *testing.T) {
	root, s := t.TempDir(), &cas.Memory{}
	b, _ := recorded(t, root, s)
	c, err := run.OpenDiskCache(root, "landlock", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(context.Background(), b); ok {
		t.Error("a result of another tier is found")
	}
}

func TestCompleteMisses(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := &cas.Memory{}
	b, _ := recorded(t, root, s)
	if _, ok, err := run.Complete(diskCache(t, root, &cas.Memory{}), &cas.Memory{}).Lookup(ctx, b); ok || err != nil {
		t.Errorf("blobs are gone: found %v, error %v", ok, err)
	}
	if _, ok, _ := run.Complete(diskCache(t, root, s), s).Lookup(ctx, b); !ok {
		t.Error("blobs are there: not found")
	}
}

// fake is a Runner whose behaviour is a function.
type fake func(ctx context.Context, b *action.Bound, obs run.Observer) (run.Result, error)

func (f fake) Run(ctx context.Context, b *action.Bound, obs run.Observer) (run.Result, error) {
	return f(ctx, b, obs)
}

type observed struct {
	mu    sync.Mutex
	early []string
}

func (o *observed) Early(p string, _ action.Content) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.early = append(o.early, p)
}

func (o *observed) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.early)
}

func TestCachedSharesRuns(t *testing.T) {
	ctx := context.Background()
	var runs atomic.Int32
	announced, finish := make(chan struct{}), make(chan struct{})
	c := run.NewCached(fake(func(ctx context.Context, b *action.Bound, obs run.Observer) (run.Result, error) {
		runs.Add(1)
		obs.Early("/out/f.rmeta", action.Content{})
		close(announced)
		<-finish
		return run.Result{ExitCode: 0}, nil
	}), &run.MemoryCache{})
	b := runtest.Bound([]string{"x"}, tree.Empty)
	var obs [3]observed
	var wg sync.WaitGroup
	call := func(i int) {
		wg.Go(func() {
			if _, err := c.Run(ctx, b, &obs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	call(0)
	<-announced
	call(1)
	call(2)
	for obs[1].count() == 0 || obs[2].count() == 0 {
		time.Sleep(time.Millisecond) // both joined, and learnt what was announced before
	}
	close(finish)
	wg.Wait()
	if runs.Load() != 1 {
		t.Errorf("ran %d times, want once", runs.Load())
	}
	res, err := c.Run(ctx, b, nil)
	if err != nil || res.Cache == "" || runs.Load() != 1 {
		t.Errorf("again: %+v, %v after %d runs, want a hit", res, err, runs.Load())
	}
	announced = make(chan struct{})
	if res, err := c.Fresh(ctx, b, nil); err != nil || res.Cache != "" || runs.Load() != 2 {
		t.Errorf("Fresh: %+v, %v after %d runs, want a run", res, err, runs.Load())
	}
}

func TestCachedDoesNotKeepFailures(t *testing.T) {
	var runs int
	c := run.NewCached(fake(func(context.Context, *action.Bound, run.Observer) (run.Result, error) {
		runs++
		return run.Result{ExitCode: 1}, nil
	}), &run.MemoryCache{})
	b := runtest.Bound([]string{"x"}, tree.Empty)
	for range 2 {
		if res, err := c.Run(context.Background(), b, nil); err != nil || res.ExitCode != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if runs != 2 {
		t.Errorf("ran %d times, want 2", runs)
	}
}

// The run goes on while one caller is left, and ends with the last.
func TestCachedCancellation(t *testing.T) {
	started := make(chan struct{})
	ended := make(chan struct{})
	c := run.NewCached(fake(func(ctx context.Context, b *action.Bound, obs run.Observer) (run.Result, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return run.Result{}, ctx.Err()
	}), &run.MemoryCache{})
	b := runtest.Bound([]string{"x"}, tree.Empty)
	ctx1, cancel1 := context.WithCancel(context.Background())
	ctx2, cancel2 := context.WithCancel(context.Background())
	errs := make(chan error, 2)
	go func() { _, err := c.Run(ctx1, b, nil); errs <- err }()
	<-started
	second := &observed{}
	go func() { _, err := c.Run(ctx2, b, second); errs <- err }()
	time.Sleep(20 * time.Millisecond) // lets the second join; without it the run ends early and the test fails
	cancel1()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("first caller: %v", err)
	}
	select {
	case <-ended:
		t.Error("the run ended while somebody waited")
	case <-time.After(30 * time.Millisecond):
	}
	cancel2()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("second caller: %v", err)
	}
	<-ended
}
