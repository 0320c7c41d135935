package run_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/run"
	"gorules/executor/internal/tree"
)

// treeOf makes a tree of files: path -> text, "->" before that of a link, "/" for an
// empty folder, "#!" at the begin of what may be executed.
func treeOf(t testing.TB, s *cas.Disk, files map[string]string) *tree.Tree {
	t.Helper()
	var b tree.Builder
	for p, text := range files {
		to, link := strings.CutPrefix(text, "->")
		var err error
		switch {
		case link:
			err = b.AddLink(p, to)
		case text == "/":
			err = b.AddTree(p, tree.Empty)
		default:
			var d digest.Digest
			if d, err = cas.PutBytes(context.Background(), s, []byte(text)); err == nil {
				err = b.AddFile(p, d, strings.HasPrefix(text, "#!"))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// held describes a folder of the disk as treeOf takes it. Everything has the one time.
func held(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(p)
		if err == nil && !info.ModTime().Equal(fsx.Stamp) {
			t.Errorf("%s was changed at %s", p, info.ModTime())
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case err != nil:
		case e.IsDir():
			if es, err := os.ReadDir(p); err == nil && len(es) == 0 && p != dir {
				out[rel] = "/"
			}
		case e.Type()&fs.ModeSymlink != 0:
			text, err := os.Readlink(p)
			out[rel] = "->" + text
			return err
		default:
			b, err := os.ReadFile(p)
			out[rel] = string(b)
			if exec := info.Mode()&0o111 != 0; exec != strings.HasPrefix(string(b), "#!") {
				t.Errorf("%s has mode %s", rel, info.Mode())
			}
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func openStore(t testing.TB) (*cas.Disk, string) {
	t.Helper()
	root := t.TempDir()
	s, err := cas.OpenDisk(filepath.Join(root, "store"), cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, filepath.Join(root, "mirror")
}

// TestMirror: whatever changes, the folder holds the tree and nothing else, also for
// another process, and for one that finds no record, or damage.
func TestMirror(t *testing.T) {
	s, dir := openStore(t)
	base := map[string]string{"a": "1", "d/b": "2", "d/e/c": "3", "l": "->a", "run": "#!1", "empty": "/", "x/y/z": "deep"}
	with := func(changes map[string]string) map[string]string {
		out := map[string]string{}
		for p, text := range base {
			out[p] = text
		}
		for p, text := range changes {
			if out[p] = text; text == "" {
				delete(out, p)
			}
		}
		return out
	}
	show, _ := run.MirrorAt(dir, "boot", s)
	for i, files := range []map[string]string{
		base,
		with(map[string]string{"a": "one"}),
		with(map[string]string{"d/new": "n"}),
		with(map[string]string{"d/b": ""}),
		with(map[string]string{"a": "", "a/inside": "i"}),
		base,
		with(map[string]string{"d/b": "", "d/e/c": "", "d": "a file"}),
		with(map[string]string{"l": "->d/b"}),
		with(map[string]string{"l": "no link"}),
		with(map[string]string{"run": "1"}),
		with(map[string]string{"empty": "", "empty/x": "x"}),
		{},
		base,
	} {
		if i%3 == 2 {
			show, _ = run.MirrorAt(dir, "boot", s)
		}
		switch i {
		case 4:
			must(t, os.Remove(dir+".shown"))
			must(t, os.Remove(dir+"/x/y/z"))
			must(t, os.WriteFile(dir+"/x/y/z", []byte("by hand"), 0o644))
			show, _ = run.MirrorAt(dir, "boot", s)
		case 6:
			must(t, os.WriteFile(dir+".shown", []byte("boot\nrubbish"), 0o600))
			must(t, os.RemoveAll(dir+"/x"))
			show, _ = run.MirrorAt(dir, "boot", s)
		case 8:
			must(t, os.RemoveAll(dir+"/x"))
			show, _ = run.MirrorAt(dir, "another boot", s)
		}
		got, err := show(t.Context(), treeOf(t, s, files))
		if err != nil || got != dir {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
		if have := held(t, dir); fmt.Sprint(have) != fmt.Sprint(files) {
			t.Errorf("%d: has %v\nwant %v", i, have, files)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMirrorTorn: a file whose content is gone stands there empty, is named, and is
// looked for again by the next process.
func TestMirrorTorn(t *testing.T) {
	s, dir := openStore(t)
	var b tree.Builder
	d, err := cas.PutBytes(t.Context(), s, []byte("there"))
	must(t, err)
	late := digest.Of([]byte("late"))
	must(t, b.AddFile("d/ok", d, false))
	must(t, b.AddFile("d/log", late, false))
	tr, err := b.Build()
	must(t, err)
	show, torn := run.MirrorAt(dir, "boot", s)
	_, err = show(t.Context(), tr)
	must(t, err)
	if !torn("/d/log") || torn("/d/ok") {
		t.Error("not the one file is named")
	}
	if got := held(t, dir); got["d/log"] != "" || got["d/ok"] != "there" {
		t.Errorf("%v", got)
	}
	_, err = cas.PutBytes(t.Context(), s, []byte("late"))
	must(t, err)
	show, torn = run.MirrorAt(dir, "boot", s)
	_, err = show(t.Context(), tr)
	must(t, err)
	if got := held(t, dir); torn("/d/log") || got["d/log"] != "late" {
		t.Errorf("%v", got)
	}
}

// TestMirrorInodes: two files are two files, whatever is in them.
func TestMirrorInodes(t *testing.T) {
	s, dir := openStore(t)
	show, _ := run.MirrorAt(dir, "boot", s)
	large := strings.Repeat("large", 100<<10)
	for _, files := range []map[string]string{{"a": "same", "b": "other", "l": large}, {"a": "same", "b": "same", "d/c": "same", "e": "", "f": "", "l": large, "m": large}} {
		_, err := show(t.Context(), treeOf(t, s, files))
		must(t, err)
		seen := map[uint64]string{}
		for p := range files {
			var st unix.Stat_t
			must(t, unix.Lstat(dir+"/"+p, &st))
			if other := seen[st.Ino]; other != "" {
				t.Errorf("%s and %s are one inode", p, other)
			}
			seen[st.Ino] = p
		}
	}
}

// many is a tree of folders with files, one of which has the text last.
func many(t testing.TB, s *cas.Disk, folders, each int, last string) *tree.Tree {
	files := map[string]string{}
	for i := range folders {
		for j := range each {
			files[fmt.Sprintf("src/d%d/f%d", i, j)] = fmt.Sprint(i % 7)
		}
	}
	files["src/d3/f1"] = last
	return treeOf(t, s, files)
}

// TestMirrorTouches: an edit touches the folders on the way to it and no other.
func TestMirrorTouches(t *testing.T) {
	s, dir := openStore(t)
	show, _ := run.MirrorAt(dir, "boot", s)
	_, err := show(t.Context(), many(t, s, 20, 3, "a"))
	must(t, err)
	changed := func() map[string]int64 {
		out := map[string]int64{}
		must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			var st unix.Stat_t
			if e.IsDir() {
				err = unix.Lstat(p, &st)
				out[strings.TrimPrefix(p, dir)] = st.Ctim.Nano()
			}
			return err
		}))
		return out
	}
	before := changed()
	show, _ = run.MirrorAt(dir, "boot", s)
	_, err = show(t.Context(), many(t, s, 20, 3, "b"))
	must(t, err)
	var got []string
	for p, at := range changed() {
		if at != before[p] {
			got = append(got, p)
		}
	}
	slices.Sort(got)
	if want := []string{"", "/src", "/src/d3"}; !slices.Equal(got, want) {
		t.Errorf("touched %q, want %q", got, want)
	}
}

// BenchmarkMirrorEdit shows a tree of 50,000 files after the edit of one, in a process
// that has to read what is shown.
func BenchmarkMirrorEdit(b *testing.B) {
	s, dir := openStore(b)
	trees := []*tree.Tree{many(b, s, 2500, 20, "a"), many(b, s, 2500, 20, "b")}
	for _, t := range trees {
		t.Digest()
	}
	show, _ := run.MirrorAt(dir, "boot", s)
	_, err := show(b.Context(), trees[0])
	must(b, err)
	i := 0
	for b.Loop() {
		i++
		show, _ := run.MirrorAt(dir, "boot", s)
		_, err := show(b.Context(), trees[i%2])
		must(b, err)
	}
}
