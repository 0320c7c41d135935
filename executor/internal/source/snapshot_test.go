package source_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/source"
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

func TestFixed(t *testing.T) {
	dir := lay(t, map[string]string{"crate/src/lib.rs": "1", "crate/bin/tool*": "2", "crate/l@": "src/lib.rs", "file": "4", "crate/x/.gitignore": "", "none@": "nowhere"})
	must(t, os.Symlink(dir+"/crate/src", dir+"/far"))
	fix := func() *source.Fixed {
		t.Helper()
		f, err := snapshot(t).Fix(dir)
		must(t, err)
		return f
	}
	manifest := fix().Manifest()
	settle()
	s := snapshot(t)
	f, err := s.Fix(dir)
	must(t, err)
	if what := f.Changed(manifest); what != "" {
		t.Errorf("nothing changed, and yet %s", what)
	}
	s.Rest(f)
	facts := s.Facts()
	src := func(p string) *action.Source { return &action.Source{Root: dir, Path: p, Immutable: true} }
	query := func() *action.Source {
		q := src("crate")
		q.Tree = &action.TreeQuery{}
		return q
	}
	plain := resolve(t, snapshot(t), &action.Source{Root: dir})
	if f.Tree.Digest() != plain.Digest() {
		t.Error("the tree differs from that of a folder of the workspace")
	}

	// An edit is not read: neither by who knows the folder nor by who is new to a file of it.
	must(t, os.WriteFile(dir+"/crate/src/lib.rs", []byte("3"), 0o644))
	must(t, os.Remove(dir+"/file"))
	put(t, dir+"/crate/src/new", "new")
	put(t, dir+"/more/new", "new")
	wantList(t, "crate", show(t, resolve(t, s, src("crate"))), "bin/tool*", "l -> src/lib.rs", "src/lib.rs", "x/.gitignore")
	wantList(t, "query", show(t, resolve(t, s, query())), "crate/bin/tool*", "crate/l -> src/lib.rs", "crate/src/lib.rs", "crate/x/.gitignore")
	for p, want := range map[string]string{"file": "4", "crate/src/lib.rs": "1", "crate/l": "1", "far/lib.rs": "1"} {
		if c, err := s.Resolve(src(p)); err != nil || c.File != of(want) {
			t.Errorf("%s = %+v, %v", p, c, err)
		}
	}
	if _, err := fs.ReadFile(f.Files(), "crate/src/lib.rs"); !errors.Is(err, source.ErrChanged) {
		t.Errorf("reading what was edited: %v", err)
	}
	for _, p := range []string{"crate/src/new", "more/new"} {
		if _, err := fs.Stat(f.Files(), p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was added: %v", p, err)
		}
		if _, err := s.Resolve(src(p)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was added: %v", p, err)
		}
	}
	if p, ok := s.Blob(of("2")); !ok || p != dir+"/crate/bin/tool" {
		t.Errorf("Blob = %q, %v", p, ok)
	}

	// It is no fact either, unlike the root; who asks is told what is another.
	must(t, os.RemoveAll(dir+"/more"))
	put(t, dir+"/file", "4")
	if what := fix().Changed(manifest); what != "crate/src/lib.rs and 3 more" /* far leads there, too */ {
		t.Errorf("changed: %q", what)
	}
	if ok, p := source.Hold(facts, nil); ok || p != dir {
		t.Errorf("the root changed: Hold = %v, %q", ok, p)
	}
	s = snapshot(t)
	s.Rest(fix())
	facts = s.Facts()
	must(t, os.Remove(dir+"/crate/src/new"))
	if ok, p := source.Hold(facts, nil); !ok {
		t.Errorf("an edit below the root was looked for at %s", p)
	}
	if what := fix().Changed(manifest); what != "crate/src/lib.rs and 1 more" {
		t.Errorf("changed: %q", what)
	}
	must(t, os.WriteFile(dir+"/crate/src/lib.rs", []byte("1"), 0o644))
	for what, change := range map[string]func() error{
		"":                       func() error { return nil },
		"a folder without files": func() error { return os.Mkdir(dir+"/crate/empty", 0o755) },
		"crate/bin/tool":         func() error { return os.Chmod(dir+"/crate/bin/tool", 0o644) },
		"none":                   func() error { return errors.Join(os.Remove(dir+"/none"), os.Symlink("file", dir+"/none")) },
	} {
		must(t, change())
		if got := fix().Changed(manifest); got != what {
			t.Errorf("changed: %q, want %q", got, what)
		}
		must(t, errors.Join(os.RemoveAll(dir+"/crate/empty"), os.Chmod(dir+"/crate/bin/tool", 0o755), os.Remove(dir+"/none"), os.Symlink("nowhere", dir+"/none")))
	}
}

// Of an edit that keeps size and modification time, the change time tells.
func TestFixedEditWithTimeRestored(t *testing.T) {
	dir := lay(t, map[string]string{"d/f": "pinned"})
	settle()
	cache := source.LoadCache("")
	before, err := source.New(cache).Fix(dir)
	must(t, err)
	info, err := os.Stat(dir + "/d/f")
	must(t, err)
	must(t, os.WriteFile(dir+"/d/f", []byte("Pinned"), 0o644))
	must(t, os.Chtimes(dir+"/d/f", info.ModTime(), info.ModTime()))
	after, err := source.New(cache).Fix(dir)
	must(t, err)
	if what := after.Changed(before.Manifest()); what != "d/f" {
		t.Errorf("changed: %q", what)
	}
}

func TestFixedLeadsOut(t *testing.T) {
	out := lay(t, map[string]string{"f": "1"})
	for _, to := range []string{out, out + "/f", out + "/none", "../../none", "..", "a/../../b"} {
		dir := lay(t, map[string]string{"d/a/f": ""})
		must(t, os.Symlink(to, dir+"/d/l"))
		if _, err := snapshot(t).Fix(dir + "/d"); !errors.Is(err, source.ErrLeadsOut) {
			t.Errorf("-> %s: %v", to, err)
		}
	}
}

// A file to which others link meanwhile has not changed.
func TestLinkedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	text := bytes.Repeat([]byte("content "), 4<<20)
	if err := os.WriteFile(dir+"/f", text, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		var wg sync.WaitGroup
		wg.Go(func() { // at most 10 changes, fewer than it is read again
			for range 5 {
				time.Sleep(4 * time.Millisecond)
				os.Link(dir+"/f", dir+"/g")
				os.Remove(dir + "/g")
			}
		})
		if d, _, err := source.New(source.LoadCache("")).File(dir + "/f"); err != nil || d != digest.Of(text) {
			t.Errorf("File = %v, %v", d, err)
		}
		wg.Wait()
	}
}
