package tree

import (
	"errors"
	"fmt"
	"slices"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"

	"gorules/executor/internal/digest"
)

// ErrMalformed is wrapped when a message that should be a tree is none.
var ErrMalformed = errors.New("malformed tree")

// maxDepth bounds trees that come from outside: a path may have 4,096 bytes.
const maxDepth = 2048

// Proto returns t as the Remote Execution API's Tree message: every Directory once.
func (t *Tree) Proto() (*remote.Tree, error) {
	out := &remote.Tree{}
	seen := map[*Tree]bool{}
	byDigest := map[digest.Digest]bool{}
	var visit func(n *Tree) error
	visit = func(n *Tree) error {
		if seen[n] {
			return nil
		}
		seen[n] = true
		d := &remote.Directory{}
		if err := proto.Unmarshal(n.Message(), d); err != nil {
			return fmt.Errorf("directory %s: %w", n.Digest(), err)
		}
		if n == t {
			out.Root = d
		} else if !byDigest[n.Digest()] {
			byDigest[n.Digest()] = true
			out.Children = append(out.Children, d)
		}
		for _, e := range n.entries {
			if e.Kind == Dir {
				if err := visit(e.Dir); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, visit(t)
}

// FromProto reads a Tree message. It checks what it reads: names, order,
// digests, and that every directory is there.
func FromProto(m *remote.Tree) (*Tree, error) {
	dirs := make(map[digest.Digest]*remote.Directory, len(m.GetChildren()))
	for _, c := range m.GetChildren() {
		_, d, err := digest.OfMessage(c)
		if err != nil {
			return nil, err
		}
		dirs[d] = c
	}
	if m.GetRoot() == nil {
		return nil, fmt.Errorf("%w: no root", ErrMalformed)
	}
	return decode(m.GetRoot(), map[digest.Digest]*Tree{}, 0, func(d digest.Digest) (*remote.Directory, error) {
		c, ok := dirs[d]
		if !ok && d == digest.Empty {
			return &remote.Directory{}, nil
		}
		if !ok {
			return nil, fmt.Errorf("%w: directory %s is not in it", ErrMalformed, d)
		}
		return c, nil
	})
}

func decode(m *remote.Directory, done map[digest.Digest]*Tree, depth int, get func(digest.Digest) (*remote.Directory, error)) (*Tree, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: deeper than %d", ErrMalformed, maxDepth)
	}
	entries := make([]Entry, 0, len(m.Files)+len(m.Directories)+len(m.Symlinks))
	for _, f := range m.Files {
		d, err := digest.FromProto(f.Digest)
		if err != nil {
			return nil, fmt.Errorf("%w: file %q: %w", ErrMalformed, f.Name, err)
		}
		entries = append(entries, Entry{Name: f.Name, Kind: File, File: d, Executable: f.IsExecutable})
	}
	for _, l := range m.Symlinks {
		entries = append(entries, Entry{Name: l.Name, Kind: Link, Target: l.Target})
	}
	for _, c := range m.Directories {
		d, err := digest.FromProto(c.Digest)
		if err != nil {
			return nil, fmt.Errorf("%w: directory %q: %w", ErrMalformed, c.Name, err)
		}
		sub, ok := done[d]
		if !ok {
			cm, err := get(d)
			if err != nil {
				return nil, err
			}
			if sub, err = decode(cm, done, depth+1, get); err != nil {
				return nil, err
			}
			done[d] = sub
		}
		entries = append(entries, Entry{Name: c.Name, Kind: Dir, Dir: sub})
	}
	t, err := New(slices.Clip(entries))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return t, nil
}
