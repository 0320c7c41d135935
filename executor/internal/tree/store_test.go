package tree_test

import (
	"errors"
	"testing"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

func sample(t *testing.T) *tree.Tree {
	t.Helper()
	var b tree.Builder
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.AddFile("a/one", digest.Of([]byte("1")), false))
	must(b.AddFile("b/one", digest.Of([]byte("1")), false)) // b equals a
	must(b.AddFile("c/d/tool", digest.Of([]byte("2")), true))
	must(b.AddLink("c/link", "d/tool"))
	must(b.AddTree("empty", tree.Empty))
	got, err := b.Build()
	must(err)
	return got
}

func TestProtoRoundTrip(t *testing.T) {
	want := sample(t)
	m, err := want.Proto()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Children) != 4 { // a = b, c, c/d, empty
		t.Errorf("%d children, want 4", len(m.Children))
	}
	got, err := tree.FromProto(m)
	if err != nil || got.Digest() != want.Digest() {
		t.Errorf("FromProto = %v, %v, want %v", got.Digest(), err, want.Digest())
	}
	m.Children = m.Children[1:]
	if _, err := tree.FromProto(m); !errors.Is(err, tree.ErrMalformed) {
		t.Errorf("a directory is missing: %v, want ErrMalformed", err)
	}
}

func TestFromProtoRefuses(t *testing.T) {
	d := digest.Of([]byte("x")).Proto()
	for name, root := range map[string]*remote.Directory{
		"none":      nil,
		"dot dot":   {Files: []*remote.FileNode{{Name: "..", Digest: d}}},
		"slash":     {Files: []*remote.FileNode{{Name: "a/b", Digest: d}}},
		"twice":     {Files: []*remote.FileNode{{Name: "a", Digest: d}}, Symlinks: []*remote.SymlinkNode{{Name: "a", Target: "b"}}},
		"no digest": {Files: []*remote.FileNode{{Name: "a"}}},
		"negative":  {Files: []*remote.FileNode{{Name: "a", Digest: &remote.Digest{Hash: d.Hash, SizeBytes: -1}}}},
	} {
		if _, err := tree.FromProto(&remote.Tree{Root: root}); !errors.Is(err, tree.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}
