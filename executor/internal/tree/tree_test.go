package tree_test

import (
	"errors"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// claim is one call of a Builder.
type claim struct {
	path string
	kind string // "file", "exec", "link", "tree"
	text string
	tree *tree.Tree
}

func (c claim) add(b *tree.Builder) error {
	switch c.kind {
	case "link":
		return b.AddLink(c.path, c.text)
	case "tree":
		return b.AddTree(c.path, c.tree)
	}
	return b.AddFile(c.path, digest.Of([]byte(c.text)), c.kind == "exec")
}

func build(t testing.TB, cs ...claim) *tree.Tree {
	t.Helper()
	var b tree.Builder
	for _, c := range cs {
		if err := c.add(&b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func list(t *testing.T, tr *tree.Tree) []string {
	t.Helper()
	var out []string
	if err := tr.Walk(func(p string, _ tree.Entry) error { out = append(out, p); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOrderOfInsertion(t *testing.T) {
	sub := build(t, claim{path: "x", text: "1"}, claim{path: "deep/y", text: "2"})
	cs := []claim{
		{path: "a/b/c", text: "1"}, {path: "a/b/d", kind: "exec", text: "1"}, {path: "a.b", text: "2"}, {path: "a/l", kind: "link", text: "b/c"},
		{path: "s", kind: "tree", tree: sub}, {path: "s/z", text: "3"}, {path: "s/deep/z", text: "4"}, {path: "t/u", kind: "tree", tree: sub},
		{path: "a/b/c", text: "1"}, {path: "e", kind: "tree", tree: tree.Empty}, {path: "", kind: "tree", tree: build(t, claim{path: "a/m", text: "5"})},
		{path: "s", kind: "tree", tree: build(t, claim{path: "deep/y", text: "2"})}, // again, equally
	}
	want := build(t, cs...)
	wantList := []string{"a/b/c", "a/b/d", "a/l", "a/m", "a.b", "s/deep/y", "s/deep/z", "s/x", "s/z", "t/u/deep/y", "t/u/x"}
	if got := list(t, want); !slices.Equal(got, wantList) || want.Files() != len(wantList) {
		t.Errorf("Walk = %q, Files = %d, want %q", got, want.Files(), wantList)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rng.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
		got := build(t, cs...)
		if got.Digest() != want.Digest() || got.Files() != want.Files() {
			t.Fatalf("in the order %v: %v with %d files, want %v", cs, got.Digest(), got.Files(), want.Digest())
		}
	}
	if sub.Digest() != build(t, claim{path: "x", text: "1"}, claim{path: "deep/y", text: "2"}).Digest() || sub.Files() != 2 {
		t.Error("adding beside a shared tree changed it")
	}
}

func TestConflicts(t *testing.T) {
	at := func(kind, text string) claim { return claim{path: "d/p", kind: kind, text: text} }
	dir := claim{path: "d/p", kind: "tree", tree: build(t, claim{path: "x", text: "1"})}
	for name, tt := range map[string]struct {
		a, b claim
		ok   bool
	}{
		"same file":              {at("file", "1"), at("file", "1"), true},
		"same link":              {at("link", "1"), at("link", "1"), true},
		"same tree":              {dir, dir, true},
		"equal tree":             {dir, claim{path: "d", kind: "tree", tree: build(t, claim{path: "p/x", text: "1"})}, true},
		"file into tree":         {dir, claim{path: "d/p/y", text: "1"}, true},
		"empty tree into tree":   {dir, claim{path: "d/p", kind: "tree", tree: tree.Empty}, true},
		"content":                {at("file", "1"), at("file", "2"), false},
		"executable":             {at("file", "1"), at("exec", "1"), false},
		"link text":              {at("link", "1"), at("link", "2"), false},
		"file and link":          {at("file", "1"), at("link", "1"), false},
		"file and tree":          {at("file", "1"), dir, false},
		"file and empty tree":    {at("file", "1"), claim{path: "d/p", kind: "tree", tree: tree.Empty}, false},
		"link and tree":          {at("link", "1"), dir, false},
		"file below file":        {at("file", "1"), claim{path: "d/p/x", text: "1"}, false},
		"file below link":        {at("link", "/"), claim{path: "d/p/x", text: "1"}, false},
		"different file in tree": {dir, claim{path: "d/p/x", text: "2"}, false},
		"tree over it":           {at("file", "1"), claim{path: "", kind: "tree", tree: build(t, claim{path: "d/p", text: "2"})}, false},
	} {
		for _, order := range [][2]claim{{tt.a, tt.b}, {tt.b, tt.a}} {
			var b tree.Builder
			if err := order[0].add(&b); err != nil {
				t.Fatal(err)
			}
			err := order[1].add(&b)
			switch {
			case tt.ok && err != nil:
				t.Errorf("%s: %v", name, err)
			case !tt.ok && (!errors.Is(err, tree.ErrConflict) || !strings.Contains(err.Error(), "d/p")):
				t.Errorf("%s: %v, want ErrConflict that names d/p", name, err)
			}
		}
	}
}

func TestSharedSubtreesStayWhole(t *testing.T) {
	sub := build(t, claim{path: "x", text: "1"})
	whole, err := tree.New(slices.Clone(sub.Entries()))
	if err != nil {
		t.Fatal(err)
	}
	got := build(t, claim{path: "a/v", kind: "tree", tree: whole}, claim{path: "a/v", kind: "tree", tree: whole}, claim{path: "a/w", text: "2"})
	if e, ok := got.Lookup("a/v"); !ok || e.Dir != whole {
		t.Errorf("the tree was copied: %+v", e)
	}
	// Added as part of a larger tree that meets another, it is still the one.
	outer := build(t, claim{path: "v", kind: "tree", tree: whole})
	got = build(t, claim{path: "a/b", text: "1"}, claim{path: "a", kind: "tree", tree: outer})
	if e, ok := got.Lookup("a/v"); !ok || e.Dir != whole {
		t.Errorf("the tree was copied: %+v", e)
	}
	// Something landing inside gives another tree.
	got = build(t, claim{path: "v", kind: "tree", tree: whole}, claim{path: "v/y", text: "2"})
	if e, _ := got.Lookup("v"); e.Dir == whole || e.Dir.Files() != 2 {
		t.Errorf("after an addition: %+v", e.Dir)
	}
	if whole.Files() != 1 {
		t.Error("the shared tree changed")
	}
	if got := build(t, claim{kind: "tree", tree: whole}); got != whole {
		t.Error("a tree at the root was copied")
	}
}

// TestDigest builds the Directory messages by hand, as the Remote Execution
// API's page shows them.
func TestDigest(t *testing.T) {
	one, two := digest.Of([]byte("1")), digest.Of([]byte("2"))
	encode := func(d *remote.Directory) digest.Digest {
		t.Helper()
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return digest.Of(b)
	}
	inner := encode(&remote.Directory{Files: []*remote.FileNode{{Name: "f", Digest: two.Proto(), IsExecutable: true}}})
	want := encode(&remote.Directory{
		Files: []*remote.FileNode{{Name: "B", Digest: one.Proto()}, {Name: "a", Digest: two.Proto()}, {Name: "é", Digest: one.Proto()}},
		Directories: []*remote.DirectoryNode{
			{Name: "Z", Digest: digest.Empty.Proto()}, {Name: "b", Digest: inner.Proto()}, {Name: "c", Digest: inner.Proto()},
		},
		Symlinks: []*remote.SymlinkNode{{Name: "l", Target: "../x"}, {Name: "m", Target: "/y"}},
	})
	got := build(t,
		claim{path: "m", kind: "link", text: "/y"}, claim{path: "l", kind: "link", text: "../x"}, claim{path: "é", text: "1"}, claim{path: "a", text: "2"},
		claim{path: "/B", text: "1"}, claim{path: "c/f", kind: "exec", text: "2"}, claim{path: "b/./f", kind: "exec", text: "2"}, claim{path: "Z/", kind: "tree", tree: tree.Empty})
	if got.Digest() != want || digest.Of(got.Message()) != want {
		t.Errorf("Digest = %v, want %v", got.Digest(), want)
	}
	if tree.Empty.Digest() != digest.Empty {
		t.Errorf("Empty = %v, want %v", tree.Empty.Digest(), digest.Empty)
	}
	m := &remote.Directory{}
	if err := proto.Unmarshal(got.Message(), m); err != nil || len(m.Files) != 3 || len(m.Directories) != 3 || len(m.Symlinks) != 2 {
		t.Errorf("Message = %v, %v", m, err)
	}
}

func TestLookup(t *testing.T) {
	tr := build(t, claim{path: "a/b/c", kind: "exec", text: "1"}, claim{path: "a/l", kind: "link", text: "b"}, claim{path: "a.b", text: "2"})
	for p, want := range map[string]tree.Kind{
		"": tree.Dir, ".": tree.Dir, "a": tree.Dir, "a/b": tree.Dir, "a/b/": tree.Dir, "a/b/c": tree.File, "a//b/./c": tree.File, "a/l": tree.Link, "a.b": tree.File,
	} {
		e, ok := tr.Lookup(p)
		if !ok || e.Kind != want {
			t.Errorf("Lookup(%q) = %+v, %v, want kind %d", p, e, ok, want)
		}
	}
	if e, _ := tr.Lookup("a/b/c"); e.Name != "c" || e.File != digest.Of([]byte("1")) || !e.Executable {
		t.Errorf("a/b/c = %+v", e)
	}
	if e, _ := tr.Lookup("a/l"); e.Target != "b" {
		t.Errorf("a/l = %+v", e)
	}
	for _, p := range []string{"b", "a/c", "a/b/c/d", "a/l/c", "a.b/x", "..", "../a", "A"} {
		if e, ok := tr.Lookup(p); ok {
			t.Errorf("Lookup(%q) = %+v", p, e)
		}
	}
}

func TestWalkStops(t *testing.T) {
	tr := build(t, claim{path: "a/b", text: "1"}, claim{path: "a/c", text: "1"}, claim{path: "d", text: "1"})
	stop := errors.New("stop")
	var seen []string
	err := tr.Walk(func(p string, _ tree.Entry) error {
		seen = append(seen, p)
		if p == "a/c" {
			return stop
		}
		return nil
	})
	if err != stop || !slices.Equal(seen, []string{"a/b", "a/c"}) {
		t.Errorf("Walk = %v after %q", err, seen)
	}
}

func TestBadNames(t *testing.T) {
	d := digest.Of(nil)
	for _, p := range []string{"", "/", ".", "a/..", "\xff", "a/\xff/b", "a/b\xc3"} {
		var b tree.Builder
		if err := b.AddFile(p, d, false); err == nil {
			t.Errorf("AddFile(%q) was accepted", p)
		}
		if err := b.AddLink(p, "x"); err == nil {
			t.Errorf("AddLink(%q) was accepted", p)
		}
	}
	var b tree.Builder
	if err := b.AddLink("a", "\xff"); err == nil {
		t.Error("a link's text that is not UTF-8 was accepted")
	}
	// A whole tree below a bad name is found at Build at the latest, before it is digested.
	b = tree.Builder{}
	if err := b.AddTree("\xff/a", tree.Empty); err == nil {
		if _, err = b.Build(); err == nil {
			t.Error("a tree at a name that is not UTF-8 was accepted")
		}
	}
	for name, es := range map[string][]tree.Entry{
		"empty": {{Name: "", File: d}}, "dot": {{Name: ".", File: d}}, "dot dot": {{Name: "..", File: d}}, "slash": {{Name: "a/b", File: d}},
		"twice": {{Name: "a", File: d}, {Name: "b", File: d}, {Name: "a", File: d}}, "UTF-8": {{Name: "\xff", File: d}}, "target": {{Name: "a", Kind: tree.Link, Target: "\xff"}},
	} {
		if _, err := tree.New(es); err == nil {
			t.Errorf("New accepted %s", name)
		}
	}
}

// FuzzBuilder reads claims from bytes, keeps those that a naive map of paths
// accepts, and wants the Builder to take exactly these, in any order.
func FuzzBuilder(f *testing.F) {
	for _, s := range []string{"a", "a/b\x00a/c", "a\x00a/b", "a/b\x00a", "x/y/z\x00x\x00x/y", "../a\x00a", "a//b\x00./a/b", "\xff", ".\x00a/..", "!a\x00a\x00!a/b"} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		var b tree.Builder
		var taken []claim
		model := map[string]claim{}
		for i, text := range strings.Split(s, "\x00") {
			if i == 30 {
				break
			}
			c := claim{path: text, kind: "file", text: "1"}
			if strings.HasPrefix(text, "!") {
				c.kind, c.path = "link", text[1:]
			}
			key := strings.TrimPrefix(path.Clean("/"+c.path), "/")
			ok := key != "" && strings.ToValidUTF8(c.path, "") == c.path
			for p, q := range model {
				if p == key && (q.kind != c.kind) || strings.HasPrefix(p, key+"/") || strings.HasPrefix(key, p+"/") {
					ok = false
				}
			}
			if err := c.add(&b); (err == nil) != ok {
				t.Fatalf("%q after %v: %v, want accepted: %v", c.path, model, err, ok)
			}
			if !ok {
				break // a refused claim may leave folders behind
			}
			model[key] = c
			taken = append(taken, c)
		}
		one, err := rebuild(taken)
		if err != nil {
			t.Fatal(err)
		}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(taken), reflect.Swapper(taken))
		two, err := rebuild(taken)
		if err != nil || one.Digest() != two.Digest() || one.Files() != len(model) {
			t.Fatalf("%q: %v and %v, %v; %d files", s, one.Digest(), two.Digest(), err, one.Files())
		}
		m, err := one.Proto()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := tree.FromProto(m); err != nil || back.Digest() != one.Digest() {
			t.Fatalf("FromProto = %v, %v", back, err)
		}
		for p := range model {
			if e, ok := one.Lookup(p); !ok || e.Kind == tree.Dir {
				t.Errorf("Lookup(%q) = %+v, %v", p, e, ok)
			}
		}
	})
}

func rebuild(cs []claim) (*tree.Tree, error) {
	var b tree.Builder
	for _, c := range cs {
		if err := c.add(&b); err != nil {
			return nil, err
		}
	}
	return b.Build()
}
