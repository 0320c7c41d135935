package run_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// instant is a Sandbox that makes the outputs itself.
type instant struct{}

func (instant) Run(_ context.Context, p *sandbox.Process) (sandbox.Result, error) {
	for _, m := range p.Mounts {
		if m.Kind == sandbox.BindRW {
			for _, n := range []string{"x.rmeta", "x.rlib"} {
				if err := os.WriteFile(m.Source+"/"+n, []byte(strings.Repeat(m.Source, 100)), 0o644); err != nil {
					return sandbox.Result{}, err
				}
			}
		}
	}
	return sandbox.Result{}, nil
}

// compiles makes n actions like compiles of a crate: a toolchain, a
// vendored crate and workspace sources of 90 files each in folders, and deps flat
// dependencies, a different set each.
func compiles(b *testing.B, s *cas.Disk, n, deps int) []*action.Bound {
	ctx := context.Background()
	put := func(text string) digest.Digest {
		d, err := cas.PutBytes(ctx, s, []byte(text))
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	folder := func(pattern string) *tree.Tree {
		var t tree.Builder
		for i := range 90 {
			if err := t.AddFile(fmt.Sprintf(pattern, i%6, i), put(fmt.Sprint(pattern, i)), false); err != nil {
				b.Fatal(err)
			}
		}
		built, err := t.Build()
		if err != nil {
			b.Fatal(err)
		}
		return built
	}
	rust, serde, srcs := folder("lib%d/%d.so"), folder("src/m%d/f%d.rs"), folder("crates/c/src/m%d/f%d.rs")
	var libs []digest.Digest
	for i := range deps + n {
		libs = append(libs, put(fmt.Sprint("library ", i)))
	}
	var out []*action.Bound
	for i := range n {
		var t tree.Builder
		t.AddTree("/rust", rust)
		t.AddTree("/vendor/serde-1.0.0", serde)
		t.AddTree("/w", srcs)
		t.AddLink("/bin", "usr/bin")
		t.AddLink("/lib", "usr/lib")
		t.AddLink("/lib64", "usr/lib64")
		for k := range deps {
			t.AddFile(fmt.Sprintf("/deps/lib%d.rmeta", i+k), libs[i+k], false)
		}
		root, err := t.Build()
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, runtest.Bound([]string{"/bin/true", fmt.Sprint(i)}, root, "/out/x.rlib", "/out/x.rmeta"))
	}
	return out
}

// idle is a Sandbox that does nothing.
type idle struct{}

func (idle) Run(context.Context, *sandbox.Process) (sandbox.Result, error) {
	return sandbox.Result{}, nil
}

// BenchmarkLocalInputs is the cost of placing inputs and of taking them away.
func BenchmarkLocalInputs(b *testing.B) {
	for _, deps := range []int{0, 7, 60, 150} {
		b.Run(fmt.Sprintf("deps=%d", deps), func(b *testing.B) { benchmark(b, idle{}, deps) })
	}
}

// BenchmarkLocal is the cost of an action besides its process, with two small
// outputs (making them is in it).
func BenchmarkLocal(b *testing.B) {
	for _, deps := range []int{0, 7, 60} {
		b.Run(fmt.Sprintf("deps=%d", deps), func(b *testing.B) {
			benchmark(b, instant{}, deps, "/out/x.rlib", "/out/x.rmeta")
		})
	}
}

// BenchmarkLocalSandbox is a whole action of /bin/true in the real sandbox.
func BenchmarkLocalSandbox(b *testing.B) {
	if _, err := sandbox.Probe(context.Background()); err != nil {
		b.Skip(err)
	}
	pool := sandbox.NewPool(1, sandbox.Options{})
	defer pool.Close()
	for _, deps := range []int{0, 60} {
		b.Run(fmt.Sprintf("deps=%d", deps), func(b *testing.B) { benchmark(b, pool, deps) })
	}
}

func benchmark(b *testing.B, e run.Sandbox, deps int, outputs ...string) {
	ctx := context.Background()
	root := b.TempDir()
	s, err := cas.OpenDisk(filepath.Join(root, "store"), cas.DiskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	l, err := run.NewLocal(run.LocalOptions{Root: filepath.Join(root, "run"), Store: s, Sandbox: hostUsr{e}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	actions := compiles(b, s, 64, deps)
	for _, a := range actions {
		if len(outputs) == 0 {
			a.Outputs[0].Optional, a.Outputs[1].Optional = true, true
		}
		a.Root.Digest()
	}
	i := 0
	for b.Loop() {
		res, err := l.Run(ctx, actions[i%len(actions)], run.Hints{})
		if err != nil || len(res.Outputs) == 0 && len(res.Unusable) > 0 {
			b.Fatal(err, res.Unusable)
		}
		i++
		if i%len(actions) == 0 { // new actions, whose trees nobody has seen
			b.StopTimer()
			l.Close()
			os.RemoveAll(filepath.Join(root, "run", "trees"))
			if l, err = run.NewLocal(run.LocalOptions{Root: filepath.Join(root, "run"), Store: s, Sandbox: hostUsr{e}}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}
