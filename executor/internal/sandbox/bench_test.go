//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
		edit func(*sandbox.Process)
	}{
		{"tmpfs root", func(*sandbox.Process) {}},
		{"loopback", func(p *sandbox.Process) { p.Loopback = true }},
		{"folder", func(p *sandbox.Process) {
			p.Mounts = append(p.Mounts, sandbox.Mount{Target: "/w", Source: b.TempDir(), Kind: sandbox.BindRO})
		}},
		{"folder apart", func(p *sandbox.Process) {
			d := b.TempDir()
			p.Mounts = append(p.Mounts, sandbox.Mount{Target: "/w", Root: filepath.Dir(d), Source: d, Kind: sandbox.Apart})
		}},
		{"overlay", func(p *sandbox.Process) {
			p.Mounts = append(p.Mounts, sandbox.Mount{Target: "/w", Source: b.TempDir(), Kind: sandbox.Overlay})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := sandbox.NewPool(1, sandbox.Options{})
			defer p.Close()
			plan := &sandbox.Process{Mounts: hostMounts(), Argv: []string{"/bin/true"}}
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
	plan := &sandbox.Process{Mounts: hostMounts(), Argv: []string{"/bin/true"}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if res, err := p.Run(context.Background(), plan); err != nil || !res.OK() {
				b.Fatal(res, err)
			}
		}
	})
}

// BenchmarkAdded runs a plain spawn and a sandboxed one in turn and reports
// what the sandbox adds, in microseconds: at the median and at the tenth
// percentile, which other load on the machine disturbs less.
func BenchmarkAdded(b *testing.B) {
	p := sandbox.NewPool(1, sandbox.Options{})
	defer p.Close()
	plan := &sandbox.Process{Mounts: hostMounts(), Argv: []string{"/bin/true"}}
	var plain, boxed []float64
	for b.Loop() {
		t0 := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		if res, err := p.Run(context.Background(), plan); err != nil || !res.OK() {
			b.Fatal(res, err)
		}
		plain = append(plain, float64(t1.Sub(t0).Microseconds()))
		boxed = append(boxed, float64(time.Since(t1).Microseconds()))
	}
	slices.Sort(plain)
	slices.Sort(boxed)
	for _, q := range []int{10, 50} {
		i := len(plain) * q / 100
		b.ReportMetric(plain[i], fmt.Sprintf("spawn-p%d-µs", q))
		b.ReportMetric(boxed[i]-plain[i], fmt.Sprintf("added-p%d-µs", q))
	}
	b.ReportMetric(0, "ns/op")
}
