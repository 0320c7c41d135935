package bzl

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
)

// Limits bound what Starlark code may use.
type Limits struct {
	Memory uint64        // bytes of the heap; of the whole process, as no one else's can be told apart
	Beside uint64        // bytes of the heap that are known not to be theirs
	Call   time.Duration // of one call of a built-in function
}

// A Guard ends a command whose Starlark code exhausts the process where the
// interpreter offers no hook: within one call of a built-in function, or of an
// operator, no step is counted and no cancellation seen. It looks at the memory
// of the process while code runs, and at how long each evaluation makes no step.
//
// An evaluation in its way is cancelled first, which ends it with the position
// of its next step. One that goes on is in a call that nothing can stop: then
// the Guard tells whoever made it, who must end the process soon.
//
// The call stack of a thread is not safe to be read by others. So each
// evaluation notes where it is every so many steps, and that is the position
// that the Guard tells.
type Guard struct {
	limits Limits
	trip   func(err error, now bool)

	mu      sync.Mutex
	running map[*evaluation]bool
	watched bool // by a goroutine, as long as anything runs

	tripped bool
	gc      chan struct{} // closed at the end of the collection under way
	checked bool          // what is above the limit is not garbage
}

// NewGuard returns a guard. trip is told of an evaluation that cannot be stopped; now says that the process has
// no more than some hundredths of a second. It may be called again with now set.
func NewGuard(limits Limits, trip func(err error, now bool)) *Guard {
	// What the stack of a recursion takes is seen by the guard; the larger the
	// stack may get, the more time is left to end the command.
	debug.SetMaxStack(maxGoStack)
	return &Guard{limits: limits, trip: trip, running: map[*evaluation]bool{}}
}

// WithGuard returns a context whose threads are under g, which may be nil.
func WithGuard(ctx context.Context, g *Guard) context.Context {
	return context.WithValue(ctx, guardKey{}, g)
}

// GuardOf returns the guard of ctx, nil if there is none.
func GuardOf(ctx context.Context) *Guard {
	g, _ := ctx.Value(guardKey{}).(*Guard)
	return g
}

type guardKey struct{}

const (
	// tick is how often a guard looks.
	tick = 25 * time.Millisecond

	// obey is how many ticks a cancelled evaluation has to end by itself.
	obey = 4

	// maxStacks is how much the stacks of all goroutines may take beyond a usual
	// one for each: the stack of one doubles while a recursion goes deeper, and
	// takes a tenth of a second and more to be copied.
	maxStacks  = 256 << 20
	usualStack = 32 << 10

	// maxGoStack makes 1 GiB the largest stack of a goroutine; Go refuses more.
	maxGoStack = 1_999_999_999
)

// An evaluation is one thread at work.
type evaluation struct {
	thread *starlark.Thread
	start  diag.Position

	noted   atomic.Pointer[diag.Position]
	beats   atomic.Uint64 // grows with the steps
	waiting atomic.Int32  // calls that wait for something else than their own computing
	follow  atomic.Pointer[atomic.Uint64]

	// Of the thread alone.
	short    int    // hooks to come before the interval grows
	interval uint64 // steps between two hooks
	last     time.Time

	// Of the guard, under its lock.
	seen      uint64
	still     int // ticks without a beat
	cancelled int // ticks since it was cancelled; 0 is not
}

const (
	// exact is how many steps of an evaluation are noted one by one: files whose
	// first statements never end are told with the very line.
	exact = 32

	// maxInterval bounds the steps between two notes.
	maxInterval = 1024

	// slowStep is how long a step may take that counts for one: maxSteps bounds
	// the time of an evaluation, too, by 50 seconds.
	slowStep = 250 * time.Nanosecond
)

// step is called by the interpreter every interval steps.
func (e *evaluation) step(t *starlark.Thread) {
	if t.Steps >= maxSteps {
		t.Cancel(fmt.Sprintf("more than %d steps were taken: this loop has no end, or takes too long for a build", maxSteps))
		return
	}
	switch {
	case e.short > 1:
		e.short--
	case e.short == 1:
		e.short, e.interval, e.last = 0, exact, time.Now()
	default:
		e.pace(t)
	}
	e.note(t.CallFrame(0))
	t.SetMaxExecutionSteps(min(t.Steps+e.interval, maxSteps))
}

// pace chooses the interval by how long the last one took.
func (e *evaluation) pace(t *starlark.Thread) {
	now := time.Now()
	spent := now.Sub(e.last)
	e.last = now
	// What goes through much data at each step has an end, too.
	charge(t, int(spent/slowStep))
	switch {
	case spent < 100*time.Microsecond:
		e.interval = min(2*e.interval, maxInterval)
	case spent > 10*time.Millisecond:
		e.interval = max(e.interval/16, 1)
	}
}

// note keeps a frame's position.
func (e *evaluation) note(f starlark.CallFrame) {
	e.beats.Add(1)
	if f.Pos.Line > 0 {
		p := Position(f.Pos)
		e.noted.Store(&p)
	}
}

// noteCall keeps the position of the call of the built-in function that runs,
// which may take long.
func noteCall(t *starlark.Thread) {
	e := ContextOf(t).evaluation
	if e == nil {
		return
	}
	for depth := 0; depth < min(t.CallStackDepth(), 4); depth++ {
		if f := t.CallFrame(depth); f.Pos.Line > 0 {
			e.note(f)
			return
		}
	}
}

// Waiting says that the call that runs in t waits for others until done is
// called: files, processes, other evaluations. It may take any time.
func Waiting(t *starlark.Thread) (done func()) {
	e := ContextOf(t).evaluation
	if e == nil {
		return func() {}
	}
	e.waiting.Add(1)
	return func() {
		e.last = time.Now()
		e.beats.Add(1)
		e.waiting.Add(-1)
	}
}

// Follow says that the call that runs in t makes progress as long as steps grows,
// until done is called.
func Follow(t *starlark.Thread, steps *atomic.Uint64) (done func()) {
	e := ContextOf(t).evaluation
	if e == nil {
		return func() {}
	}
	noteCall(t)
	e.follow.Store(steps)
	return func() {
		e.last = time.Now()
		e.follow.Store(nil)
		e.beats.Add(1)
	}
}

// enter takes an evaluation under guard.
func (g *Guard) enter(e *evaluation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[e] = true
	if !g.watched {
		g.watched = true
		go g.watch()
	}
}

func (g *Guard) leave(e *evaluation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, e)
	g.checked = false
	if e.cancelled > 0 && g.gc == nil {
		g.collect() // what it leaves behind is nobody else's fault
	}
}

// watch looks until nothing runs.
func (g *Guard) watch() {
	use := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	for {
		time.Sleep(tick)
		metrics.Read(use)
		heap := use[0].Value.Uint64()
		end, more := g.look(heap-min(heap, g.limits.Beside), use[1].Value.Uint64())
		if !more {
			return
		}
		if end != nil {
			go g.trip(end.err, end.now)
		}
	}
}

// overrun is what ends a command.
type overrun struct {
	err error
	now bool
}

// look returns what is to end the command, if anything; more is false when
// nothing runs any more.
func (g *Guard) look(heap, stacks uint64) (end *overrun, more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.running) == 0 {
		g.watched = false
		return nil, false
	}
	var stuck, worst *evaluation
	for e := range g.running {
		b := e.beats.Load()
		if f := e.follow.Load(); f != nil {
			b += f.Load()
		}
		if b != e.seen || e.waiting.Load() > 0 {
			e.seen, e.still = b, 0
		} else {
			e.still++
		}
		if e.cancelled > 0 {
			e.cancelled++
		}
		if time.Duration(e.still)*tick > g.limits.Call {
			stuck = e
		}
		if worst == nil || e.worse(worst) {
			worst = e
		}
	}
	over := g.over(heap)
	switch {
	case stacks > maxStacks+usualStack*uint64(runtime.NumGoroutine()):
		if worst.still == 0 { // a recursion makes no step
			return nil, true
		}
		return &overrun{g.end(worst, fmt.Errorf("a value is nested too deep to be hashed, compared, printed or kept: that needs more than %d MiB of stack", maxStacks>>20), "build a flat value"), true}, true
	case over && heap > 2*g.limits.Memory && g.tripped:
		return &overrun{g.end(worst, g.memoryError(), memoryHint), true}, true
	case g.tripped:
	case over && worst.cancelled == 0:
		worst.cancelled = 1
		worst.thread.Cancel(g.memoryError().Error() + "; " + memoryHint)
	case over && worst.cancelled > obey:
		return &overrun{g.end(worst, g.memoryError(), memoryHint), false}, true
	case stuck != nil && stuck.cancelled == 0:
		stuck.cancelled = 1
		stuck.thread.Cancel(g.timeError().Error())
	case stuck != nil && stuck.cancelled > obey:
		return &overrun{g.end(stuck, g.timeError(), "look for a sequence without end, or for a value that is very deep or contains itself many times"), false}, true
	}
	return nil, true
}

// worse says that e is more likely than o to be what takes the memory.
func (e *evaluation) worse(o *evaluation) bool {
	if waits := e.waiting.Load() > 0; waits != (o.waiting.Load() > 0) {
		return !waits
	}
	if e.cancelled != o.cancelled {
		return e.cancelled > o.cancelled
	}
	return e.still > o.still
}

// over reports whether more memory is in use than may be. What is above the
// limit may be garbage: that is collected before anything is said.
func (g *Guard) over(heap uint64) bool {
	if heap <= g.limits.Memory {
		g.checked = false
		return false
	}
	if g.gc != nil {
		select {
		case <-g.gc:
			g.gc, g.checked = nil, true // the next look tells
			return false
		default:
			return heap > 2*g.limits.Memory
		}
	}
	if g.checked || heap > g.limits.Memory+g.limits.Memory/2 {
		return true
	}
	g.collect()
	return false
}

// collect starts a garbage collection.
func (g *Guard) collect() {
	done := make(chan struct{})
	g.gc = done
	go func() {
		defer close(done)
		runtime.GC()
	}()
}

const memoryHint = "look for a value that grows without end; --starlark_memory allows more"

func (g *Guard) memoryError() error {
	return fmt.Errorf("this needs more memory than the %d MiB that Starlark code may use", g.limits.Memory>>20)
}

func (g *Guard) timeError() error {
	return fmt.Errorf("this made no headway for more than %s: a call of a built-in function, or an operator, takes too long", g.limits.Call)
}

// end says which evaluation the command ends for, and where that was last.
func (g *Guard) end(e *evaluation, cause error, hint string) error {
	g.tripped = true
	at, text := e.start, cause.Error()
	if noted := e.noted.Load(); noted != nil {
		if noted.File != at.File {
			text += fmt.Sprintf("\n    for %s, declared at %s", e.thread.Name, at)
		}
		at = *noted
	}
	return diag.Wrap(at, cause, text).WithHint(hint)
}
