package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

func TestFile(t *testing.T) {
	dir := lay(t, map[string]string{
		"a": "1", "x*": "2", "d/b": "3", "l@": "a", "ll@": "l", "d/up@": "../x", "through@": "e/../a", "real/sub/f": "4", "real/a": "real a", "e@": "real/sub",
		"gone@": "nothing", "self@": "self", "todir@": "d", "empty": "",
	})

	must(t, os.Symlink(dir+"/d/b", dir+"/abs"))
	s := snapshot(t)
	for p, want := range map[string]struct {
		text string
		exec bool
	}{
		"a": {"1", false}, "x": {"2", true}, "d/b": {"3", false}, "l": {"1", false}, "ll": {"1", false}, "abs": {"3", false}, "d/up": {"2", true}, "todir/b": {"3", false},
		"through": {"real a", false}, // as the kernel has it: e is real/sub, so e/.. is real
		"e/f":     {"4", false}, "empty": {"", false},
	} {
		for range 2 {
			d, exec, err := s.File(filepath.Join(dir, p))
			if err != nil || d != of(want.text) || exec != want.exec {
				t.Errorf("File(%s) = %v, %v, %v, want %q, %v", p, d, exec, err, want.text, want.exec)
			}
		}
		b, err := s.ReadFile(filepath.Join(dir, p))
		if err != nil || string(b) != want.text {
			t.Errorf("ReadFile(%s) = %q, %v", p, b, err)
		}
		if from, ok := s.Blob(of(want.text)); !ok {
			t.Errorf("Blob(%s): none", p)
		} else if b, err := os.ReadFile(from); err != nil || string(b) != want.text {
			t.Errorf("Blob(%s) = %s: %q, %v", p, from, b, err)
		}
	}
	for p, want := range map[string]error{"none": fs.ErrNotExist, "none/x": fs.ErrNotExist, "gone": fs.ErrNotExist, "a/x": syscall.ENOTDIR, "self": syscall.ELOOP, "d": nil, "todir": nil} {
		_, _, err := s.File(filepath.Join(dir, p))
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("File(%s): %v, want %v with the path", p, err, want)
		}
		if _, err := s.ReadFile(filepath.Join(dir, p)); err == nil {
			t.Errorf("ReadFile(%s) gave something", p)
		}
	}
	if _, ok := s.Blob(of("never seen")); ok {
		t.Error("Blob of nothing")
	}
	if d, err := source.LoadCache("").Digest(dir + "/a"); err != nil || d != of("1") {
		t.Errorf("Digest = %v, %v", d, err)
	}
}

func TestStatAndReadDir(t *testing.T) {
	dir := lay(t, map[string]string{"a": "1", "b*": "2", "d/x": "3", "l@": "d", "gone@": "x", "gorules-bin@": "/tmp", "gorules-testlogs@": "/tmp", ".hidden": ""})
	r := snapshot(t).Under(dir)
	for p, want := range map[string]string{"a": "-rw-r--r--", "b": "-rwxr-xr-x", "d": "drwxr-xr-x", "l": "drwxr-xr-x", "l/x": "-rw-r--r--", ".": "drwx"} {
		i, err := r.Stat(p)
		if err != nil || !strings.HasPrefix(i.Mode().String(), want) || i.IsDir() != i.Mode().IsDir() {
			t.Errorf("Stat(%s) = %v, %v, want %s", p, i.Mode(), err, want)
		}
	}
	for _, p := range []string{"none", "gone", "none/x"} {
		if _, err := r.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%s): %v", p, err)
		}
	}
	es, err := r.ReadDir(".")
	must(t, err)
	var got []string
	for _, e := range es {
		i, err := e.Info()
		if err != nil || i.Mode().Type() != e.Type() || i.Name() != e.Name() {
			t.Errorf("Info of %s = %v, %v", e.Name(), i, err)
		}
		got = append(got, fs.FormatDirEntry(e))
	}
	wantList(t, "ReadDir", got, "- .hidden", "- a", "- b", "d d/", "L gone", "L l")
	if es, err := r.ReadDir("l"); err != nil || len(es) != 1 || es[0].Name() != "x" {
		t.Errorf("ReadDir through a link = %v, %v", es, err)
	}
	if _, err := r.ReadDir("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadDir of nothing: %v", err)
	}
	if _, err := r.ReadDir("a"); err == nil {
		t.Error("ReadDir of a file gave something")
	}
	if b, err := r.ReadFile("d/x"); err != nil || string(b) != "3" {
		t.Errorf("ReadFile = %q, %v", b, err)
	}
}

// TestOneAnswer: what was answered once stays so for the whole build, and a
// later read of other bytes is an error.
func TestOneAnswer(t *testing.T) {
	dir := lay(t, map[string]string{"a": "1", "b": "1", "d/x": ""})
	s := snapshot(t)
	for _, p := range []string{"a", "b"} {
		if _, _, err := s.File(dir + "/" + p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ReadDir(dir + "/d"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.File(dir + "/late"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, os.WriteFile(dir+"/a", []byte("2"), 0o644))
	must(t, os.Remove(dir+"/b"))
	put(t, dir+"/late", "")
	put(t, dir+"/d/y", "")
	for _, p := range []string{"a", "b"} {
		if d, _, err := s.File(dir + "/" + p); err != nil || d != of("1") {
			t.Errorf("File(%s) = %v, %v", p, d, err)
		}
	}
	if _, _, err := s.File(dir + "/late"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("File(late): %v", err)
	}
	if es, err := s.ReadDir(dir + "/d"); err != nil || len(es) != 1 {
		t.Errorf("ReadDir = %v, %v", es, err)
	}
	if _, err := s.ReadFile(dir + "/a"); !errors.Is(err, source.ErrChanged) {
		t.Errorf("ReadFile(a): %v, want ErrChanged", err)
	}
	// Known by its stat only, then edited, then read.
	s = snapshot(t)
	if _, err := s.Stat(dir + "/a"); err != nil {
		t.Fatal(err)
	}
	must(t, os.WriteFile(dir+"/a", []byte("longer"), 0o644))
	if _, _, err := s.File(dir + "/a"); !errors.Is(err, source.ErrChanged) {
		t.Errorf("File(a): %v, want ErrChanged", err)
	}
}

func TestConcurrentAnswers(t *testing.T) {
	dir := lay(t, map[string]string{"a": "1", "l@": "a", "d/x": "2"})
	s := snapshot(t)
	src := &action.Source{Root: dir}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if d, _, err := s.File(dir + "/l"); err != nil || d != of("1") {
				t.Errorf("File = %v, %v", d, err)
			}
			if _, err := s.ReadDir(dir + "/d"); err != nil {
				t.Error(err)
			}
			if _, err := s.Resolve(src); err != nil {
				t.Error(err)
			}
			s.Blob(of("1"))
		})
	}
	wg.Wait()
}

func TestResolveWhole(t *testing.T) {
	out := lay(t, map[string]string{"f": "out", "sub/g*": "g"})
	dir := lay(t, map[string]string{"p/a": "1", "p/d/x*": "2", "p/l@": "d/x", "p/far@": out + "/f", "p/fardir@": out + "/sub", "p/none@": "nothing"})
	s := snapshot(t)
	wantList(t, "folder", show(t, resolve(t, s, &action.Source{Root: dir, Path: "p"})), "a", "d/x*", "far", "fardir/g*", "l -> d/x", "none -> nothing")
	if c, err := s.Resolve(&action.Source{Root: dir, Path: "p/d/x"}); err != nil || c.Tree != nil || c.File != of("2") || !c.Executable {
		t.Errorf("file: %+v, %v", c, err)
	}
	if c, err := s.Resolve(&action.Source{Root: dir, Path: "p/l"}); err != nil || c.File != of("2") {
		t.Errorf("link: %+v, %v", c, err)
	}
	if _, err := s.Resolve(&action.Source{Root: dir, Path: "q"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// TestOddFiles: what cannot be an input is an error with its path, never a crash.
func TestOddFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"pipe":                 {func(d string) error { return syscall.Mkfifo(d+"/odd", 0o644) }, "neither a file"},
		"name":                 {func(d string) error { return os.WriteFile(d+"/\xff", nil, 0o644) }, "not UTF-8"},
		"folder's name":        {func(d string) error { return os.Mkdir(d+"/\xff", 0o755) }, "not UTF-8"},
		"link text":            {func(d string) error { return os.Symlink("\xff", d+"/odd") }, "UTF-8"},
		"link above itself":    {func(d string) error { return os.Symlink(d, d+"/odd") }, "symbolic link"},
		"links to each other":  {func(d string) error { return errors.Join(os.Symlink(d+"/y", d+"/x"), os.Symlink(d+"/x", d+"/y")) }, ""},
		"absolute and nowhere": {func(d string) error { return os.Symlink(d+"/none", d+"/odd") }, ""},
	} {
		for _, immutable := range []bool{false, true} {
			dir := lay(t, map[string]string{"a": "1"})
			if err := tt.make(dir); err != nil {
				t.Logf("%s: %v", name, err) // a file system that refuses the name
				continue
			}
			_, err := snapshot(t).Resolve(&action.Source{Root: dir, Immutable: immutable})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s (immutable: %v): %v, want an error with %q", name, immutable, err, tt.want)
			}
		}
	}
}

func TestImmutable(t *testing.T) {
	out := lay(t, map[string]string{"f": "out", "sub/g": "g"})
	dir := lay(t, map[string]string{"crate/src/lib.rs": "1", "crate/bin/tool*": "2", "crate/l@": "src/lib.rs", "mixed/plain/x": "3", "mixed/odd/far@": out + "/f", "mixed/dir@": out + "/sub", "file": "4"})
	s := snapshot(t)
	src := func(p string) *action.Source { return &action.Source{Root: dir, Path: p, Immutable: true} }
	crate := resolve(t, s, src("crate"))
	wantList(t, "crate", show(t, crate), "bin/tool*", "l -> src/lib.rs", "src/lib.rs")
	if crate.Origin != dir+"/crate" {
		t.Errorf("Origin = %q, want %q", crate.Origin, dir+"/crate")
	}
	if crate.Digest() != resolve(t, snapshot(t), &action.Source{Root: dir, Path: "crate"}).Digest() {
		t.Error("the immutable tree differs from the plain one")
	}
	mixed := resolve(t, s, src("mixed"))
	wantList(t, "mixed", show(t, mixed), "dir/g", "odd/far", "plain/x")
	for p, want := range map[string]string{"": "", "plain": dir + "/mixed/plain", "odd": "", "dir": out + "/sub"} {
		if e, ok := mixed.Lookup(p); !ok || e.Dir.Origin != want {
			t.Errorf("Origin of %q = %q, want %q", p, e.Dir.Origin, want)
		}
	}
	if c, err := s.Resolve(src("file")); err != nil || c.File != of("4") {
		t.Errorf("file = %+v, %v", c, err)
	}
	// Whatever stands in a tree with an origin can be read there.
	must(t, crate.Walk(func(p string, e tree.Entry) error {
		if e.Kind == tree.File {
			if d, err := source.LoadCache("").Digest(filepath.Join(crate.Origin, p)); err != nil || d != e.File {
				t.Errorf("%s = %v, %v", p, d, err)
			}
		}
		return nil
	}))
	// Below an immutable root only its own key counts.
	settle()
	s = snapshot(t)
	resolve(t, s, src("crate"))
	facts := s.Facts()
	must(t, os.WriteFile(dir+"/crate/src/lib.rs", []byte("another"), 0o644))
	if ok, p := source.Hold(facts, nil); !ok {
		t.Errorf("an edit below an immutable root was looked for at %s", p)
	}
	put(t, dir+"/new", "")
	if ok, p := source.Hold(facts, nil); ok || p != dir {
		t.Errorf("the root changed: Hold = %v, %q", ok, p)
	}
}
