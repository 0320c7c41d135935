package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// Encode returns res as the Remote Execution API's message. Output paths are
// relative to b's working directory, as in its Command. The Tree message of
// each output directory is put into store; files are there already.
func Encode(ctx context.Context, store cas.Store, b *action.Bound, res Result) (*remote.ActionResult, error) {
	m := &remote.ActionResult{
		ExitCode:     int32(res.ExitCode),
		StdoutDigest: res.Stdout.Proto(),
		StderrDigest: res.Stderr.Proto(),
		ExecutionMetadata: &remote.ExecutedActionMetadata{
			Worker:                      res.Runner,
			ExecutionStartTimestamp:     timestamppb.New(res.Start),
			ExecutionCompletedTimestamp: timestamppb.New(res.Start.Add(res.Wall)),
		},
	}
	var err error
	if m.ExecutionMetadata.AuxiliaryMetadata, err = encodeAccesses(res.Accesses); err != nil {
		return nil, err
	}
	for _, p := range slices.Sorted(maps.Keys(res.Outputs)) {
		c := res.Outputs[p]
		rel, err := filepath.Rel(b.Workdir, p)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", p, err)
		}
		switch {
		case c.Tree != nil:
			t, err := c.Tree.Proto()
			if err != nil {
				return nil, fmt.Errorf("output %s: %w", p, err)
			}
			blob, d, err := digest.OfMessage(t)
			if err == nil {
				err = store.Put(ctx, d, bytes.NewReader(blob))
			}
			if err != nil {
				return nil, fmt.Errorf("output %s: %w", p, err)
			}
			m.OutputDirectories = append(m.OutputDirectories, &remote.OutputDirectory{
				Path: rel, TreeDigest: d.Proto(), RootDirectoryDigest: c.Tree.Digest().Proto()})
		case c.Symlink != "":
			m.OutputSymlinks = append(m.OutputSymlinks, &remote.OutputSymlink{Path: rel, Target: c.Symlink})
		default:
			m.OutputFiles = append(m.OutputFiles, &remote.OutputFile{Path: rel, Digest: c.File.Proto(), IsExecutable: c.Executable})
		}
	}
	return m, nil
}

// errIncomplete is wrapped by Decode where the message does not have what b declares.
var errIncomplete = errors.New("incomplete result")

// Decode reads what Encode wrote. A message with an output that b does not
// declare is an error, as is one whose trees are gone.
func Decode(ctx context.Context, store cas.Store, b *action.Bound, m *remote.ActionResult) (Result, error) {
	res := Result{ExitCode: int(m.GetExitCode()), Outputs: map[string]action.Content{}, Key: b.Digest,
		Runner: m.GetExecutionMetadata().GetWorker(), Accesses: decodeAccesses(m.GetExecutionMetadata().GetAuxiliaryMetadata())}
	if meta := m.GetExecutionMetadata(); meta.GetExecutionStartTimestamp().IsValid() {
		res.Start = meta.GetExecutionStartTimestamp().AsTime()
		if end := meta.GetExecutionCompletedTimestamp(); end.IsValid() {
			res.Wall = max(0, end.AsTime().Sub(res.Start)).Round(time.Microsecond)
		}
	}
	var err error
	if res.Stdout, res.StdoutBytes, err = text(ctx, store, m.GetStdoutDigest()); err != nil {
		return res, fmt.Errorf("stdout: %w", err)
	}
	if res.Stderr, res.StderrBytes, err = text(ctx, store, m.GetStderrDigest()); err != nil {
		return res, fmt.Errorf("stderr: %w", err)
	}
	for _, f := range m.OutputFiles {
		d, err := digest.FromProto(f.Digest)
		if err != nil {
			return res, fmt.Errorf("output %s: %w", f.Path, err)
		}
		res.Outputs[abs(b, f.Path)] = action.Content{File: d, Executable: f.IsExecutable}
	}
	for _, l := range m.OutputSymlinks {
		res.Outputs[abs(b, l.Path)] = action.Content{Symlink: l.Target}
	}
	for _, o := range m.OutputDirectories {
		t, err := loadTree(ctx, store, o)
		if err != nil {
			return res, fmt.Errorf("output %s: %w", o.Path, err)
		}
		res.Outputs[abs(b, o.Path)] = action.Content{Tree: t}
	}
	return res, fits(b, res)
}

// fits reports whether res has outputs that b declares and no others. Whether
// they are all that b wants is for Judge.
func fits(b *action.Bound, res Result) error {
	declared := 0
	for _, o := range b.Outputs {
		c, ok := res.Outputs[o.Path]
		switch {
		case ok && o.Dir != (c.Tree != nil):
			return fmt.Errorf("%w: %s is of another kind", errIncomplete, o.Path)
		case ok:
			declared++
		}
	}
	if declared != len(res.Outputs) {
		return fmt.Errorf("%w: %d outputs that nobody declared", errIncomplete, len(res.Outputs)-declared)
	}
	return nil
}

// encodeAccesses puts what an action was refused beside its result: what that
// means to people depends on the rule that asks.
func encodeAccesses(as []sandbox.Access) ([]*anypb.Any, error) {
	if len(as) == 0 {
		return nil, nil
	}
	list := &structpb.ListValue{}
	for _, a := range as {
		v, err := structpb.NewList([]any{string(a.Kind), a.Path, a.Addr, float64(a.Err), a.Program})
		if err != nil {
			return nil, fmt.Errorf("refused access: %w", err)
		}
		list.Values = append(list.Values, structpb.NewListValue(v))
	}
	m, err := anypb.New(list)
	if err != nil {
		return nil, fmt.Errorf("refused accesses: %w", err)
	}
	return []*anypb.Any{m}, nil
}

// decodeAccesses reads what encodeAccesses wrote; what else is there is another's.
func decodeAccesses(ms []*anypb.Any) []sandbox.Access {
	var out []sandbox.Access
	for _, m := range ms {
		list := &structpb.ListValue{}
		if m.UnmarshalTo(list) != nil {
			continue
		}
		for _, v := range list.Values {
			if f := v.GetListValue().GetValues(); len(f) == 5 {
				out = append(out, sandbox.Access{Kind: sandbox.AccessKind(f[0].GetStringValue()), Path: f[1].GetStringValue(),
					Addr: f[2].GetStringValue(), Err: syscall.Errno(f[3].GetNumberValue()), Program: f[4].GetStringValue()})
			}
		}
	}
	return out
}

func abs(b *action.Bound, p string) string { return filepath.Join(b.Workdir, p) }

func text(ctx context.Context, store cas.Store, p *remote.Digest) (digest.Digest, []byte, error) {
	if p == nil {
		return digest.Empty, nil, nil
	}
	d, err := digest.FromProto(p)
	if err != nil || d == digest.Empty || d.Size > InlineLimit {
		return d, nil, err
	}
	b, err := cas.ReadAll(ctx, store, d)
	return d, b, err
}

func loadTree(ctx context.Context, store cas.Store, o *remote.OutputDirectory) (*tree.Tree, error) {
	d, err := digest.FromProto(o.GetTreeDigest())
	if err != nil {
		return nil, err
	}
	blob, err := cas.ReadAll(ctx, store, d)
	if err != nil {
		return nil, err
	}
	m := &remote.Tree{}
	if err := proto.Unmarshal(blob, m); err != nil {
		return nil, fmt.Errorf("tree %s: %w", d, err)
	}
	return tree.FromProto(m)
}
