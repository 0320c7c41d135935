package run_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

func TestDiskCache(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return diskCache(t, t.TempDir(), s), s
	})
}

func TestComplete(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return run.OnlyComplete(diskCache(t, t.TempDir(), s), s), s
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
	res := run.Result{Key: b.Digest, Outputs: map[string]action.Content{"/out/f": {File: d}}, Stdout: digest.Empty, Stderr: digest.Empty}
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
	if _, ok, err := run.OnlyComplete(diskCache(t, root, &cas.Memory{}), &cas.Memory{}).Lookup(ctx, b); ok || err != nil {
		t.Errorf("blobs are gone: found %v, error %v", ok, err)
	}
	if _, ok, _ := run.OnlyComplete(diskCache(t, root, s), s).Lookup(ctx, b); !ok {
		t.Error("blobs are there: not found")
	}
}
