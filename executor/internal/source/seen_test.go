package source_test

import (
	"os"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

// TestSaw: what was looked at in a quiet source is a fact, and nothing else of it.
func TestSaw(t *testing.T) {
	all := map[string]string{
		".gitignore": "*.log\n", "a": "one", "b": "two", "d/e": "deep", "d/f": "f", "l@": "a", "run*": "sh", "x.log": "", "sub/.gitignore": "*.tmp\n", "sub/y": "", "big": "12345",
	}
	kind := func(p string) source.Seen { return source.Seen{Path: p, Kind: true} }
	content := func(p string) source.Seen { return source.Seen{Path: p, Kind: true, Content: true} }
	names := func(p string) source.Seen { return source.Seen{Path: p, Kind: true, Names: true} }
	edit := func(p, text string) func(testing.TB, string) {
		return func(t testing.TB, dir string) { put(t, dir+"/"+p, text) }
	}
	remove := func(p string) func(testing.TB, string) {
		return func(t testing.TB, dir string) { must(t, os.RemoveAll(dir+"/"+p)) }
	}
	for name, tt := range map[string]struct {
		seen   source.Seen
		change func(testing.TB, string)
		breaks bool
	}{
		"nothing that was not seen":  {content("a"), edit("b", "TWO"), false},
		"nor its folder":             {content("d/e"), edit("d/new", ""), false},
		"content":                    {content("a"), edit("a", "ONE"), true},
		"the same again":             {content("a"), edit("a", "one"), false},
		"removed":                    {content("a"), remove("a"), true},
		"executable":                 {content("a"), func(t testing.TB, dir string) { must(t, os.Chmod(dir+"/a", 0o755)) }, true},
		"size":                       {kind("big"), edit("big", "123456"), true},
		"a folder's kind":            {kind("d"), edit("d/new", ""), false},
		"a folder that goes":         {kind("d"), remove("d"), true},
		"a folder becomes a file":    {kind("d"), func(t testing.TB, dir string) { remove("d")(t, dir); put(t, dir+"/d", "") }, true},
		"absent":                     {content("none"), edit("other", ""), false},
		"absent and comes":           {content("none"), edit("none", ""), true},
		"absent in a folder":         {kind("no/thing"), edit("no/thing", ""), true},
		"names":                      {names("d"), edit("d/new", ""), true},
		"a name that goes":           {names("d"), remove("d/f"), true},
		"content of what was listed": {names("d"), edit("d/f", "other"), false},
		"names elsewhere":            {names("d"), edit("sub/new", ""), false},
		"a link's text":              {kind("l"), func(t testing.TB, dir string) { relink(t, dir+"/l", "b") }, true},
		"what a link leads to":       {kind("l"), edit("a", "ONE"), false},
		"what .gitignore says":       {content("x.log"), edit(".gitignore", "\n"), true},
		"what it says above":         {content("sub/z.tmp"), edit(".gitignore", "*.tmp\n"), true},
		"what it says elsewhere":     {content("a"), edit("sub/.gitignore", "\n"), false},
		"one that comes":             {names("d"), edit("d/.gitignore", "*\n"), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, all)
			settle()
			s := snapshot(t)
			src := scopeOf(dir)
			if _, err := s.Resolve(src); err != nil {
				t.Fatal(err)
			}
			must(t, s.Saw(src, []source.Seen{tt.seen}))
			facts := s.Facts()
			if ok, p := source.Hold(facts, nil); !ok {
				t.Fatalf("%s does not hold at once", p)
			}
			tt.change(t, dir)
			if ok, p := source.Hold(facts, nil); ok == tt.breaks {
				t.Errorf("holds: %v (%s), want %v", ok, p, !tt.breaks)
			}
		})
	}
}

// TestSawIndex: what git tracks is a fact where it decides.
func TestSawIndex(t *testing.T) {
	s, dir := gitSnapshot(t), lay(t, map[string]string{".gitignore": "*.log\n", "x.log": "", "a": ""})
	git(t, dir, "init", "-q")
	git(t, dir, "add", "a")
	settle()
	src := scopeOf(dir)
	if _, err := s.Resolve(src); err != nil {
		t.Fatal(err)
	}
	must(t, s.Saw(src, []source.Seen{{Path: "x.log", Kind: true, Content: true}}))
	facts := s.Facts()
	if ok, p := source.Hold(facts, nil); !ok {
		t.Fatalf("%s does not hold at once", p)
	}
	git(t, dir, "add", "-f", "x.log")
	if ok, _ := source.Hold(facts, nil); ok {
		t.Error("a file that git tracks now is not noticed")
	}
}

// TestQuiet: what a scope holds is the same for all who ask in one command.
func TestQuiet(t *testing.T) {
	dir := lay(t, map[string]string{"a": "one"})
	settle()
	s := snapshot(t)
	if _, err := s.Resolve(scopeOf(dir)); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/a", "two")
	d, _, err := s.File(dir + "/a")
	if err != nil || d != of("one") {
		t.Errorf("%v, %v: want what the scope has", d, err)
	}
}

// TestHostView: host folders are asked for one path at a time, and what was asked is
// no fact before it was seen.
func TestHostView(t *testing.T) {
	dir := lay(t, map[string]string{"usr/lib/x.so": "elf", "usr/bin/tool*": "t", "lib@": "usr/lib"})
	settle()
	s := snapshot(t)
	src := &action.Source{Host: &action.HostTree{Paths: []string{dir + "/usr", dir + "/lib"}}, Quiet: true}
	c, err := s.Resolve(src)
	if err != nil || c.View == nil {
		t.Fatalf("%+v, %v", c, err)
	}
	for p, want := range map[string]tree.Entry{
		"/usr/lib":      {Kind: tree.Dir},
		"/usr/lib/x.so": {Kind: tree.File, File: of("elf")},
		"/usr/bin/tool": {Kind: tree.File, File: of("t"), Executable: true},
		"/lib":          {Kind: tree.Link, Target: "usr/lib"},
	} {
		if e, ok, err := c.View.Entry(dir+p, true); err != nil || !ok || e != want {
			t.Errorf("%s is %+v, %v, %v; want %+v", p, e, ok, err, want)
		}
	}
	if e, ok, err := c.View.Entry(dir+"/usr/lib/x.so", false); err != nil || !ok || e.File.Hash != [32]byte{} || e.File.Size != 3 {
		t.Errorf("without content: %+v, %v, %v", e, ok, err)
	}
	if _, ok, err := c.View.Entry(dir+"/usr/none", true); ok || err != nil {
		t.Errorf("absent: %v, %v", ok, err)
	}
	names, err := c.View.Names(dir + "/usr")
	if err != nil || len(names) != 2 || names[0].Name != "bin" || names[0].Kind != tree.Dir {
		t.Errorf("names %+v, %v", names, err)
	}
	put(t, dir+"/usr/lib/x.so", "ELF")
	if ok, p := source.Hold(s.Facts(), nil); !ok {
		t.Errorf("%s is a fact that nobody saw", p)
	}
	s = snapshot(t)
	settle()
	must(t, s.Saw(src, []source.Seen{{Path: dir + "/usr/lib/x.so", Content: true}, {Path: dir + "/usr/none", Kind: true}}))
	facts := s.Facts()
	put(t, dir+"/usr/bin/tool", "other")
	if ok, p := source.Hold(facts, nil); !ok {
		t.Errorf("%s broke by what was not seen", p)
	}
	put(t, dir+"/usr/none", "")
	if ok, _ := source.Hold(facts, nil); ok {
		t.Error("what came is not noticed")
	}
}

// TestUnreadable: what this user may not read is not there, and spoils nothing else.
func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := lay(t, map[string]string{"a": "", "secret": "", "closed/x": ""})
	must(t, os.Chmod(dir+"/secret", 0))
	must(t, os.Chmod(dir+"/closed", 0))
	t.Cleanup(func() { _ = os.Chmod(dir+"/closed", 0o755) })
	wantList(t, "scope", shownOf(t, snapshot(t), dir), "a")
}

// TestUnsettled: a file that is written while it is read spoils nothing else.
func TestUnsettled(t *testing.T) {
	dir := lay(t, map[string]string{"a": "one", "log": "1"})
	settle()
	s := snapshot(t)
	if _, _, err := s.File(dir + "/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Under(dir).ReadDir("."); err != nil {
		t.Fatal(err)
	}
	must(t, os.Remove(dir+"/log")) // listed, and gone since
	c, err := s.Resolve(scopeOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Tree.Lookup("log"); ok {
		t.Error("log is there")
	}
	if e, ok := c.Tree.Lookup("a"); !ok || e.File != of("one") {
		t.Errorf("a is %+v", e)
	}
}
