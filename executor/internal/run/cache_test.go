package run_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

func TestDiskCache(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return diskCache(t, t.TempDir(), s), s
	})
}

func TestComplete(t *testing.T) {
	runtest.Cache(t, func(t *testing.T) (run.ActionCache, cas.Store) {
		s := &cas.Memory{}
		return run.OnlyComplete(diskCache(t, t.TempDir(), s), s), s
	})
}

func diskCache(t *testing.T, root string, s cas.Store) *run.DiskCache {
	t.Helper()
	c, err := run.OpenDiskCache(root, "full", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recorded makes a cache with one entry and returns the entry's file.
func recorded(t *testing.T, root string, s cas.Store) (b *action.Bound, file string) {
	t.Helper()
	ctx := context.Background()
	d, err := cas.PutBytes(ctx, s, []byte("output"))
	if err != nil {
		t.Fatal(err)
	}
	b = runtest.Bound([]string{"x"}, tree.Empty, "/out/f")
	res := run.Result{Key: b.Digest, Outputs: map[string]action.Content{"/out/f": {File: d}}, Stdout: digest.Empty, Stderr: digest.Empty}
	if err := diskCache(t, root, s).Record(ctx, b, res); err != nil {
		t.Fatal(err)
	}
	m, _ := filepath.Glob(filepath.Join(root, "ac/*/*"))
	if len(m) != 1 {
		t.Fatalf("entries: %v", m)
	}
	return b, m[0]
}

// Every flipped byte and every length but the right one is a miss.
func TestDiskCacheDamage(t *testing.T) {
	ctx := context.Background()
	root, s := t.TempDir(), &cas.Memory{}
	b, file := recorded(t, root, s)
	c := diskCache(t, root, s)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	miss := func(what string, i int, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Lookup(ctx, b); ok || err != nil {
			t.Errorf("%s %d: found %v, error %v", what, i, ok, err)
		}
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1 << (i % 8)
		miss("flipped", i, bad)
		miss("cut to", i, whole[:i])
	}
	miss("longer by", 1, append(append([]byte(nil), whole...), 0))
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(ctx, b); !ok {
		t.Error("the whole entry is not found")
	}
	other := runtest.Bound([]string{"y"}, tree.Empty, "/out/f")
	h := other.Digest.Hex()
	p := filepath.Join(root, "ac", h[:2], h)
	os.MkdirAll(filepath.Dir(p), 0o755)
	if err := os.Rename(file, p); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(ctx, other); ok {
		t.Error("an entry of another key is found")
	}
	os.Remove(p)
	os.MkdirAll(filepath.Join(file, "dir"), 0o755)
	if _, ok, err := c.Lookup(ctx, b); ok || err != nil {
		t.Errorf("a directory in its place: %v, %v", ok, err)
	}
	recorded(t, root, s)
}

// A use is noted for who collects, at most once an hour.
func TestDiskCacheUse(t *testing.T) {
	root, s := t.TempDir(), &cas.Memory{}
	b, file := recorded(t, root, s)
	c := diskCache(t, root, s)
	for age, noted := range map[time.Duration]bool{2 * time.Hour: true, 10 * time.Minute: false} {
		was := time.Now().Add(-age)
		if err := os.Chtimes(file, was, was); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Lookup(context.Background(), b); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if info, err := os.Stat(file); err != nil || info.ModTime().After(was.Add(time.Minute)) != noted {
			t.Errorf("used %v ago: %v, %v", age, info.ModTime(), err)
		}
	}
}

// An entry says what made it, and what it names.
func TestReadStored(t *testing.T) {
	ctx := context.Background()
	root, s := t.TempDir(), &cas.Memory{}
	b, file := recorded(t, root, s)
	c := diskCache(t, root, s)
	c.Workspace = "ws"
	res, ok, err := c.Lookup(ctx, b)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := c.Record(ctx, b, res); err != nil {
		t.Fatal(err)
	}
	got, err := run.ReadStored(ctx, s, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Key != b.Digest || got.Workspace != "ws" || got.Toolchain != "" || len(got.Blobs) == 0 {
		t.Errorf("%+v", got)
	}
	// What a program came with is the top folder that it stands in.
	var in tree.Builder
	for _, name := range strings.Fields("cc as ld ar nm strip objdump ranlib") {
		if err := in.AddFile("tools/bin/"+name, digest.Of([]byte(name)), true); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := in.Build()
	if err != nil {
		t.Fatal(err)
	}
	with := runtest.Bound([]string{"/tools/bin/cc"}, whole, "/out/f")
	res.Key = with.Digest
	if err := c.Record(ctx, with, res); err != nil {
		t.Fatal(err)
	}
	h := with.Digest.Hex()
	if got, err = run.ReadStored(ctx, s, filepath.Join(root, "ac", h[:2], h), nil); err != nil {
		t.Fatal(err)
	}
	tools, _ := whole.Lookup("tools")
	if want := "/tools/bin/cc " + tools.Dir.Digest().Hex()[:8]; got.Toolchain != want {
		t.Errorf("toolchain %q, want %q", got.Toolchain, want)
	}
}

func TestDiskCacheTier(t *testing.T) {
	root, s := t.TempDir(), &cas.Memory{}
	b, _ := recorded(t, root, s)
	c, err := run.OpenDiskCache(root, "landlock", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup(context.Background(), b); ok {
		t.Error("a result of another tier is found")
	}
}

func TestCompleteMisses(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := &cas.Memory{}
	b, _ := recorded(t, root, s)
	if _, ok, err := run.OnlyComplete(diskCache(t, root, &cas.Memory{}), &cas.Memory{}).Lookup(ctx, b); ok || err != nil {
		t.Errorf("blobs are gone: found %v, error %v", ok, err)
	}
	if _, ok, _ := run.OnlyComplete(diskCache(t, root, s), s).Lookup(ctx, b); !ok {
		t.Error("blobs are there: not found")
	}
}

// FuzzLookup: whatever message an entry of a right checksum holds, and whatever
// blob that names as a tree, the entry is a miss or a result with outputs that
// the action declares; never an error or a fault.
func FuzzLookup(f *testing.F) {
	ctx := context.Background()
	add := func(m *remote.ActionResult, t *remote.Tree) {
		message, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		blob, err := proto.Marshal(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message, blob)
	}
	d := digest.Of([]byte("output")).Proto()
	refused, err := anypb.New(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("open"),
		structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{nil, nil, nil, structpb.NewNumberValue(1e300), nil}})}})
	if err != nil {
		f.Fatal(err)
	}
	add(&remote.ActionResult{OutputFiles: []*remote.OutputFile{{Path: "../out/f", Digest: d}}, StdoutDigest: d}, &remote.Tree{})
	add(&remote.ActionResult{OutputFiles: []*remote.OutputFile{{Path: "../out/f", Digest: d}}, ExitCode: 1}, &remote.Tree{Root: &remote.Directory{
		Files: []*remote.FileNode{{Name: "a", Digest: d}}, Directories: []*remote.DirectoryNode{{Name: "..", Digest: d}}, Symlinks: []*remote.SymlinkNode{{Name: "l", Target: "/"}}}})
	add(&remote.ActionResult{OutputFiles: []*remote.OutputFile{{Path: "../out/f", Digest: &remote.Digest{Hash: d.Hash, SizeBytes: -1}}, {}}}, &remote.Tree{Root: &remote.Directory{}})
	add(&remote.ActionResult{StderrDigest: &remote.Digest{Hash: d.Hash, SizeBytes: 1 << 60}, OutputSymlinks: []*remote.OutputSymlink{{Path: "../out/f"}}}, &remote.Tree{})
	add(&remote.ActionResult{ExecutionMetadata: &remote.ExecutedActionMetadata{AuxiliaryMetadata: []*anypb.Any{refused, nil},
		ExecutionStartTimestamp: &timestamppb.Timestamp{Seconds: -1 << 62}, ExecutionCompletedTimestamp: &timestamppb.Timestamp{Nanos: -1}}}, &remote.Tree{})
	f.Fuzz(func(t *testing.T, message, blob []byte) {
		root, s := t.TempDir(), &cas.Memory{}
		_, file := recorded(t, root, s)
		b := runtest.Bound([]string{"x"}, tree.Empty, "/out/f")
		b.Outputs = append(b.Outputs, action.BoundOutput{Path: "/out/d", Dir: true, Optional: true})
		m := &remote.ActionResult{}
		if proto.Unmarshal(message, m) == nil && len(blob) > 0 {
			d, err := cas.PutBytes(ctx, s, blob)
			if err != nil {
				t.Fatal(err)
			}
			m.OutputDirectories = append(m.OutputDirectories, &remote.OutputDirectory{Path: "../out/d", TreeDigest: d.Proto()})
			if message, err = proto.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, run.EncodeFrame(b.Digest, "full", message), 0o600); err != nil {
			t.Fatal(err)
		}
		res, ok, err := diskCache(t, root, s).Lookup(ctx, b)
		if err != nil {
			t.Fatalf("a damaged entry is an error: %v", err)
		}
		for p, c := range res.Outputs {
			if ok && (p != "/out/f" && p != "/out/d" || (c.Tree != nil) != (p == "/out/d")) {
				t.Errorf("output %s: %+v", p, c)
			}
		}
	})
}
