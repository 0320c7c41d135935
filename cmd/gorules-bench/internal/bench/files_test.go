package bench_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gorules/cmd/gorules-bench/internal/bench"
)

func TestParseStat(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	const stat = "cpu  100 20 30 9999 888 4 5 6 77 8\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
	if got, want := bench.ParseStat(stat), 1650*time.Millisecond; got != want {
		t.Errorf("ParseStat = %v, want %v", got, want)
	}
	for _, bad := range []string{"", "intr 1 2 3", "cpu a b c d e f g h"} {
		if got := bench.ParseStat(bad); got >= 0 {
			t.Errorf("ParseStat(%q) = %v, want unknown", bad, got)
		}
	}
	if got := bench.Foreign(0, 3*time.Second, time.Second, 4*time.Second); got != 0.5 {
		t.Errorf("Foreign = %v, want 0.5", got)
	}
	if got := bench.Foreign(0, time.Second, 2*time.Second, 4*time.Second); got != 0 {
		t.Errorf("Foreign = %v, want 0 where rounding makes it negative", got)
	}
	if got := bench.Foreign(0, time.Second, 0, 50*time.Millisecond); got >= 0 {
		t.Errorf("Foreign = %v, want unknown for a run too short to tell", got)
	}
}

func TestCopySources(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	for _, f := range []string{"Cargo.toml", "src/main.rs", "src/target/kept.rs", "target/debug/out", ".git/HEAD", "gorules-bin/out"} {
		path := filepath.Join(from, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("src/main.rs", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := bench.CopySources(from, to); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(to, path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Cargo.toml", "link", "src/main.rs", "src/target/kept.rs"}; !slices.Equal(got, want) {
		t.Errorf("copied %q, want %q", got, want)
	}
	info, err := os.Stat(filepath.Join(to, "Cargo.toml"))
	if err != nil || info.Mode().Perm()&0o200 == 0 {
		t.Errorf("the copy of a read-only file has mode %v, %v; want it to be writable", info.Mode(), err)
	}
}

func TestRemoveAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	locked := filepath.Join(dir, "trees", "a")
	if err := os.MkdirAll(locked, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(locked, "f"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := bench.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestSharedTime(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	unit := func(hash, hit, wall string) string {
		return `{"mnemonic":"Rustc","cacheHit":` + hit + `,"digest":{"hash":"` + hash + `"},"metrics":{"executionWallTime":"` + wall + `"}}` + "\n"
	}
	tool := write("tool", unit("a", "false", "1.5s")+unit("b", "false", "10s")+unit("c", "true", "100s"))
	own := write("own", unit("a", "true", "1.5s")+unit("c", "true", "100s")+unit("d", "false", "1000s"))
	got, err := bench.SharedTime(tool, own)
	if err != nil || got != 1500*time.Millisecond {
		t.Errorf("SharedTime = %v, %v; want 1.5s: only a ran for the tool and is wanted", got, err)
	}
	if _, err := bench.SharedTime(write("bad", "{"), own); err == nil {
		t.Error("a log that was cut gave no error")
	}
}
