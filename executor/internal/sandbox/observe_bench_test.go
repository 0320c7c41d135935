//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

func init() {
	// The time of a stat of args[0] in nanoseconds, of args[1] of them.
	probes["stats"] = func(args []string) string {
		n, _ := strconv.Atoi(args[1])
		var st unix.Stat_t
		p := ptr(args[0])
		begin := time.Now()
		for range n {
			_, _, _ = unix.RawSyscall6(unix.SYS_NEWFSTATAT, cwd, p, uintptr(unsafe.Pointer(&st)), 0, 0, 0)
		}
		return fmt.Sprint(time.Since(begin).Nanoseconds() / int64(n))
	}
}

// BenchmarkObserve tells what a call costs that the observer is told of, beside one
// that it is not told of, in nanoseconds of time.
func BenchmarkObserve(b *testing.B) {
	for _, tt := range []struct{ name, path, dir string }{
		{"a file", "/s/d/f/g", "/"}, {"nothing", "/s/d/none", "/"}, {"relative", "f/g", "/s/d"}, {"outside", "/tmp/none", "/"},
	} {
		for _, kind := range []sandbox.MountKind{sandbox.Apart, sandbox.Overlay} {
			for _, scopes := range [][]string{nil, {"/s"}} {
				b.Run(fmt.Sprintf("%s/%d/scopes=%d", tt.name, kind, len(scopes)), func(b *testing.B) {
					p := newPool(b, 1, sandbox.Options{})
					dir := layScope(b)
					plan := probe("stats", tt.path, "50000")
					plan.Dir, plan.Scopes = tt.dir, scopes
					m := sandbox.Mount{Target: "/s", Source: dir, Kind: kind}
					if kind == sandbox.Apart {
						m.Root = dir[:strings.LastIndexByte(dir, '/')]
					}
					plan.Mounts = append(plan.Mounts, m)
					var out strings.Builder
					plan.Stdout = &out
					var sum float64
					for b.Loop() {
						out.Reset()
						if _, err := p.Run(context.Background(), plan); err != nil {
							b.Fatal(err)
						}
						v, err := strconv.ParseFloat(out.String(), 64)
						if err != nil {
							b.Fatal(out.String())
						}
						sum += v
					}
					b.ReportMetric(sum/float64(b.N), "ns/call")
				})
			}
		}
	}
}
