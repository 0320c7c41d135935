package action_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// scoped is the fixture with a scope at /w, whose content is files: path -> text, a
// link's text after "->", a folder for "/".
func scoped(t testing.TB, files map[string]string) *action.Bound {
	t.Helper()
	var b tree.Builder
	for p, text := range files {
		var err error
		target, link := strings.CutPrefix(text, "->")
		switch {
		case link:
			err = b.AddLink(p, target)
		case text == "/":
			err = b.AddTree(p, tree.Empty)
		default:
			err = b.AddFile(p, digest.Of([]byte(text)), strings.HasPrefix(text, "#!"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	art := &action.Artifact{Path: "/w", Dir: true, Source: &action.Source{Root: "/home/x", Tree: &action.TreeQuery{}, Quiet: true}}
	f.world.content[art] = action.Content{Tree: tr}
	f.spec.Scopes = []action.Input{{Path: "/w", Artifact: art}}
	return f.bind(t)
}

func narrow(t testing.TB, b *action.Bound, o action.Observation) digest.Digest {
	t.Helper()
	n, err := b.Narrow(o)
	if err != nil {
		t.Fatal(err)
	}
	return n.Digest
}

func looks(l ...action.Look) action.Observation { return action.NewObservation(l) }

// TestNarrowKey: what was looked at is in the key, and nothing else of a scope is.
func TestNarrowKey(t *testing.T) {
	base := map[string]string{"data/a.json": "one", "data/b.json": "two", "run.sh": "#!x", "to": "->data", "empty": "/", "big": "12345"}
	for name, tt := range map[string]struct {
		o       action.Observation
		path    string
		text    string // "" removes it
		changes bool
	}{
		"content read":                  {looks(action.Look{"/w/data/a.json", action.Bytes}), "data/a.json", "ONE", true},
		"content of another":            {looks(action.Look{"/w/data/a.json", action.Bytes}), "data/b.json", "TWO", false},
		"removed":                       {looks(action.Look{"/w/data/a.json", action.Bytes}), "data/a.json", "", true},
		"only its size":                 {looks(action.Look{"/w/big", action.Kind}), "big", "54321", false},
		"another size":                  {looks(action.Look{"/w/big", action.Kind}), "big", "1234", true},
		"executable":                    {looks(action.Look{"/w/big", action.Kind}), "big", "#!345", true},
		"absent and stays so":           {looks(action.Look{"/w/opt.toml", action.Kind}), "other", "x", false},
		"absent and comes":              {looks(action.Look{"/w/opt.toml", action.Kind}), "opt.toml", "", false},
		"absent is there now":           {looks(action.Look{"/w/opt.toml", action.Kind}), "opt.toml", "x", true},
		"a name comes, listed":          {looks(action.Look{"/w/data", action.Names}), "data/c.json", "x", true},
		"a name comes, not listed":      {looks(action.Look{"/w/data", action.Kind}), "data/c.json", "x", false},
		"a name goes, listed":           {looks(action.Look{"/w/data", action.Names}), "data/b.json", "", true},
		"content of what is listed":     {looks(action.Look{"/w/data", action.Names}), "data/b.json", "TWO", false},
		"size of what is listed":        {looks(action.Look{"/w/data", action.Names}), "data/b.json", "twotwo", false},
		"listed below":                  {looks(action.Look{"/w", action.Names}), "data/c.json", "x", false},
		"listed becomes a link":         {looks(action.Look{"/w/data", action.Names}), "data/b.json", "->a.json", true},
		"listed and one read":           {looks(action.Look{"/w/data", action.Names}, action.Look{"/w/data/b.json", action.Bytes}), "data/b.json", "TWO", true},
		"a link's text":                 {looks(action.Look{"/w/to", action.Bytes}), "to", "->empty", true},
		"a link's text, walked through": {looks(action.Look{"/w/to", action.Kind}), "to", "->empty", true},
		"a file becomes a folder":       {looks(action.Look{"/w/big", action.Kind}), "big", "/", true},
		"what is declared":              {looks(action.Look{"/w/a/x.rs", action.Bytes}), "a/x.rs", "other", false},
		"below what is declared":        {looks(action.Look{"/w/a/x.rs/y", action.Bytes}), "a/y", "other", false},
		"outside of scopes":             {looks(action.Look{"/unit/f", action.Bytes}), "unit/f", "other", false},
	} {
		t.Run(name, func(t *testing.T) {
			before := narrow(t, scoped(t, base), tt.o)
			changed := map[string]string{}
			for p, text := range base {
				changed[p] = text
			}
			if changed[tt.path] = tt.text; tt.text == "" {
				delete(changed, tt.path)
			}
			if after := narrow(t, scoped(t, changed), tt.o); (after != before) != tt.changes {
				t.Errorf("the key changed: %v, want %v", after != before, tt.changes)
			}
		})
	}
}

// TestNarrowTells: two observations never share a key, even where they leave the
// same files: one of them may rest on something that is not there.
func TestNarrowTells(t *testing.T) {
	b := scoped(t, map[string]string{"d/e": "", "f": "x"})
	seen := map[digest.Digest]string{b.Digest: "as declared"}
	for name, o := range map[string]action.Observation{
		"nothing":             nil,
		"something absent":    looks(action.Look{"/w/absent", action.Kind}),
		"something else":      looks(action.Look{"/w/gone", action.Kind}),
		"the folder's names":  looks(action.Look{"/w/d", action.Names}),
		"an empty file in it": looks(action.Look{"/w/d", action.Names}, action.Look{"/w/d/e", action.Bytes}),
		"its size":            looks(action.Look{"/w/d", action.Names}, action.Look{"/w/d/e", action.Kind}),
	} {
		d := narrow(t, b, o)
		if other := seen[d]; other != "" {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[d] = name
	}
}

// TestNarrowRoot: the root holds what was looked at, and the rest as it looked.
func TestNarrowRoot(t *testing.T) {
	b := scoped(t, map[string]string{"d/e": "text", "d/sub/x": "deep", "d/l": "->e", "f": "four", "secret": "s"})
	n, err := b.Narrow(looks(action.Look{"/w/d", action.Names}, action.Look{"/w/f", action.Kind}, action.Look{"/w/d/l", action.Kind}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]tree.Entry{
		"w/d/e":    {Name: "e", Kind: tree.File, File: digest.Empty},
		"w/d/l":    {Name: "l", Kind: tree.Link, Target: "e"},
		"w/f":      {Name: "f", Kind: tree.File, File: digest.Of(make([]byte, 4))},
		"w/a/x.rs": {Name: "x.rs", Kind: tree.File, File: digest.Of([]byte("fn main() {}"))},
	}
	for p, e := range want {
		if got, ok := n.Root.Lookup(p); !ok || got != e {
			t.Errorf("%s is %+v, want %+v", p, got, e)
		}
	}
	if sub, ok := n.Root.Lookup("w/d/sub"); !ok || sub.Kind != tree.Dir || len(sub.Dir.Entries()) != 0 {
		t.Errorf("w/d/sub is %+v, want an empty folder", sub)
	}
	if _, ok := n.Root.Lookup("w/secret"); ok {
		t.Error("what nobody looked at is there")
	}
	if len(n.Looks) != 3 || n.Observed == "" {
		t.Errorf("observed %q, %v", n.Observed, n.Looks)
	}
}

// TestEverything holds all that a scope does, and no scope any more.
func TestEverything(t *testing.T) {
	b := scoped(t, map[string]string{"d/e": "text", "to": "->d"})
	n, err := b.Everything()
	if err != nil {
		t.Fatal(err)
	}
	e, ok := n.Root.Lookup("w/d/e")
	if _, to := n.Root.Lookup("w/to"); !ok || !to || e.File != digest.Of([]byte("text")) || len(n.Scopes) != 0 {
		t.Errorf("%+v", e)
	}
	other, err := scoped(t, map[string]string{"d/e": "TEXT", "to": "->d"}).Everything()
	if err != nil || other.Digest == n.Digest {
		t.Errorf("another content, the same key: %v", err)
	}
}

// view is a View of files at absolute paths. It fails at those of bad.
type view struct {
	at  map[string]tree.Entry
	bad string
}

func (v view) Folders() []string { return []string{"/usr", "/lib"} }

func (v view) Real(p string) string { return p }

func (v view) Entry(p string, content bool) (tree.Entry, bool, error) {
	if p == v.bad && content {
		return tree.Entry{}, false, errors.New("cannot be read")
	}
	e, ok := v.at[p]
	if ok && e.Kind == tree.File && !content {
		e.File.Hash = [32]byte{}
	}
	return e, ok, nil
}

func (v view) Names(string) ([]tree.Entry, error) {
	return []tree.Entry{{Name: "l", Kind: tree.Link}, {Name: "f", Kind: tree.File}}, nil
}

// TestNarrowView: the host's folders are asked for what was looked at alone.
func TestNarrowView(t *testing.T) {
	f := newFixture(t)
	art := &action.Artifact{Path: "/", Dir: true, Source: &action.Source{Host: &action.HostTree{Paths: []string{"/usr", "/lib"}}, Quiet: true}}
	v := view{map[string]tree.Entry{
		"/usr": {Kind: tree.Dir}, "/usr/f": {Kind: tree.File, File: digest.Of([]byte("host"))}, "/lib": {Kind: tree.Link, Target: "usr/lib"},
	}, "/usr/locked"}
	f.world.content[art] = action.Content{View: v}
	f.spec.Scopes = []action.Input{{Path: "/", Artifact: art}}
	b := f.bind(t)
	n, err := b.Narrow(looks(action.Look{"/usr", action.Names}, action.Look{"/usr/f", action.Bytes}, action.Look{"/lib", action.Kind}, action.Look{"/etc/x", action.Kind}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	_ = n.Root.Walk(func(p string, e tree.Entry) error {
		if strings.HasPrefix(p, "usr") || strings.HasPrefix(p, "lib") {
			got = append(got, p)
		}
		return nil
	})
	if want := []string{"lib", "usr/f", "usr/l"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := b.Narrow(looks(action.Look{"/usr/locked", action.Bytes})); err == nil || !strings.Contains(err.Error(), "/usr/locked") {
		t.Errorf("%v", err)
	}
}

// TestScopeOutputs: a scope is not written to.
func TestScopeOutputs(t *testing.T) {
	f := newFixture(t)
	var b tree.Builder
	_ = b.AddFile("src/lib.rs", digest.Empty, false)
	tr, _ := b.Build()
	art := &action.Artifact{Path: "/w", Dir: true}
	f.world.content[art] = action.Content{Tree: tr}
	f.spec.Scopes = []action.Input{{Path: "/w", Artifact: art}}
	f.bind(t) // its outputs are in folders that the scope has not
	f.out.Path = "src/made.rs"
	if _, err := action.Bind(f.spec, f.world); err == nil || !strings.Contains(err.Error(), "/w/src is a folder of its scope") {
		t.Errorf("%v", err)
	}
}
