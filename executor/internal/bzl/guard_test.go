package bzl

import (
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
)

// guarded is a guard and an evaluation under it that was noted at line.
func guarded(g *Guard, line int) *evaluation {
	e := &evaluation{thread: &starlark.Thread{Name: "x"}, start: diag.Position{File: "BUILD", Line: 1}}
	e.noted.Store(&diag.Position{File: "BUILD", Line: line})
	g.running[e] = true
	return e
}

const (
	mb     = 1 << 20
	second = int(time.Second / tick)
)

func newTestGuard() *Guard {
	return &Guard{limits: Limits{Memory: 100 * mb, Call: time.Second}, running: map[*evaluation]bool{}}
}

// looks looks n times; e makes a step before each.
func looks(g *Guard, n int, heap, stacks uint64, e ...*evaluation) *overrun {
	for range n {
		for _, e := range e {
			e.beats.Add(1)
		}
		if end, _ := g.look(heap, stacks); end != nil {
			return end
		}
	}
	return nil
}

func cancelled(t *testing.T, e *evaluation) bool {
	t.Helper()
	_, err := starlark.ExecFileOptions(Options(BzlFile), e.thread, "x.bzl", "x = 1", nil)
	return err != nil
}

func TestGuardBlamesWhatMakesNoStep(t *testing.T) {
	g := newTestGuard()
	busy, stuck := guarded(g, 2), guarded(g, 3)
	looks(g, 10, 0, 0, busy)
	end := looks(g, 2+obey, 160*mb, 0, busy)
	if end == nil || end.now || !strings.HasPrefix(end.err.Error(), "BUILD:3") || !strings.Contains(end.err.Error(), "100 MiB") {
		t.Fatalf("%+v", end)
	}
	if cancelled(t, busy) || !cancelled(t, stuck) {
		t.Error("the wrong evaluation was cancelled")
	}
	if end := looks(g, 5, 160*mb, 0, busy); end != nil {
		t.Errorf("told twice: %v", end.err)
	}
	if end := looks(g, 1, 210*mb, 0, busy); end == nil || !end.now {
		t.Error("nothing is said of memory that goes on to grow")
	}
}

func TestGuardCollectsGarbageFirst(t *testing.T) {
	g := newTestGuard()
	e := guarded(g, 2)
	looks(g, 1, 120*mb, 0)
	if g.gc == nil || e.cancelled != 0 {
		t.Fatal("no collection was started, or its end not waited for")
	}
	<-g.gc
	looks(g, 2, 80*mb, 0)
	if e.cancelled != 0 {
		t.Error("cancelled for garbage")
	}
}

func TestGuardTime(t *testing.T) {
	g := newTestGuard()
	e := guarded(g, 2)
	e.waiting.Add(1)
	if end := looks(g, 500, 0, 0); end != nil || e.cancelled != 0 {
		t.Fatal("what waits is told to take too long")
	}
	e.waiting.Add(-1)
	if end := looks(g, 500, 0, 0, e); end != nil || e.cancelled != 0 {
		t.Fatal("what makes steps is told to take too long")
	}
	if end := looks(g, second-5, 0, 0); end != nil || e.cancelled != 0 {
		t.Fatal("too early")
	}
	if end := looks(g, 10+obey, 0, 0); end == nil || !strings.HasPrefix(end.err.Error(), "BUILD:2: this made no headway for more than 1s") {
		t.Fatalf("%+v", end)
	}
}

func TestGuardStacks(t *testing.T) {
	g := newTestGuard()
	e := guarded(g, 2)
	if end := looks(g, 10, 0, 2*maxStacks, e); end != nil {
		t.Fatal("a recursion makes no step")
	}
	if end := looks(g, 2, 0, 2*maxStacks); end == nil || !end.now {
		t.Fatalf("%+v", end)
	}
}
