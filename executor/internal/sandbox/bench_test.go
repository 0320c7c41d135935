package sandbox_test

import (
	"context"
	"os/exec"
	"testing"

	"gorules/executor/internal/sandbox"
)

func BenchmarkSpawn(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSandbox(b *testing.B) {
	for _, c := range []struct {
		name string
		edit func(*sandbox.Plan)
	}{
		{"tmpfs root", func(*sandbox.Plan) {}},
		{"root dir", func(p *sandbox.Plan) { p.RootDir = b.TempDir() }},
		{"loopback", func(p *sandbox.Plan) { p.Loopback = true }},
		{"overlay", func(p *sandbox.Plan) {
			p.Mounts = append(p.Mounts, sandbox.Mount{Target: "/w", Source: b.TempDir(), Kind: sandbox.Overlay})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := sandbox.NewPool(1, sandbox.Options{})
			defer p.Close()
			plan := &sandbox.Plan{Mounts: hostMounts(), Argv: []string{"/bin/true"}}
			c.edit(plan)
			for b.Loop() {
				res, err := p.Run(context.Background(), plan)
				if err != nil || !res.OK() {
					b.Fatal(res, err)
				}
			}
		})
	}
}

func BenchmarkSpawnParallel(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSandboxParallel(b *testing.B) {
	p := sandbox.NewPool(2, sandbox.Options{})
	defer p.Close()
	plan := &sandbox.Plan{Mounts: hostMounts(), Argv: []string{"/bin/true"}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if res, err := p.Run(context.Background(), plan); err != nil || !res.OK() {
				b.Fatal(res, err)
			}
		}
	})
}
