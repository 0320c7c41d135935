package run

import (
	"context"
	"fmt"
	"io"
	"strings"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
)

// An Origin says where a result came from, for people who ask what fills a disk.
// It is no part of a key, and nothing is decided by it.
type Origin struct {
	Workspace string // id of the one that made it
	Toolchain string // the program that ran, and the digest of the tools it came with; "" if it was made by another action
}

// encode is the form in which an origin stands beside a result.
func (o Origin) encode() (*anypb.Any, error) {
	s, err := structpb.NewStruct(map[string]any{"workspace": o.Workspace, "toolchain": o.Toolchain})
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	return anypb.New(s)
}

func decodeOrigin(ms []*anypb.Any) Origin {
	for _, m := range ms {
		s := &structpb.Struct{}
		if m.MessageIs(s) && m.UnmarshalTo(s) == nil {
			return Origin{s.Fields["workspace"].GetStringValue(), s.Fields["toolchain"].GetStringValue()}
		}
	}
	return Origin{}
}

// toolchain names what b's program came with: the top folder that it stands in,
// unless other actions made that.
func toolchain(b *action.Bound) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(argv0(b), "/"), "/")
	e, ok := b.Root.Lookup(top)
	if !ok || e.Kind != tree.Dir || e.Dir.Files() < minWhole || "/"+top == action.Workspace {
		return ""
	}
	return argv0(b) + " " + e.Dir.Digest().Hex()[:8]
}

// A Stored is what a file of a DiskCache holds, for who looks after the folder.
type Stored struct {
	Key digest.Digest
	Origin
	Blobs []digest.Digest // all that it names, also in directories as far as store has them
}

// ReadStored reads the entry at p. Whatever is wrong with it is an error.
func ReadStored(ctx context.Context, store cas.Store, p string, fsys *fsx.FS) (*Stored, error) {
	file, err := fsys.OpenFile(p)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFrame+1))
	if err != nil {
		return nil, err
	}
	f, err := decodeFrame(raw)
	if err != nil {
		return nil, err
	}
	m := &remote.ActionResult{}
	if err := proto.Unmarshal(f.message, m); err != nil {
		return nil, err
	}
	s := &Stored{Key: f.key, Origin: decodeOrigin(m.GetExecutionMetadata().GetAuxiliaryMetadata())}
	name := func(p *remote.Digest) {
		if d, err := digest.FromProto(p); p != nil && err == nil && d != digest.Empty {
			s.Blobs = append(s.Blobs, d)
		}
	}
	name(m.StdoutDigest)
	name(m.StderrDigest)
	for _, o := range m.OutputFiles {
		name(o.Digest)
	}
	for _, o := range m.OutputDirectories {
		name(o.TreeDigest)
		if t, err := loadTree(ctx, store, o); err == nil {
			_ = t.Walk(func(_ string, e tree.Entry) error {
				if e.Kind == tree.File && e.File != digest.Empty {
					s.Blobs = append(s.Blobs, e.File)
				}
				return nil
			})
		}
	}
	return s, nil
}
