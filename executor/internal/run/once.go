package run

import (
	"context"
	"slices"
	"sync"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/digest"
)

// Once gives equal actions one run: whoever asks while it is under way, or
// later, gets its raw result. It belongs around the runner of one command, and
// remembers the results for as long as it lives. What runs on the host as it is
// runs each time.
//
// A run belongs to all who wait for it. It asks for a slot in the name of one of
// them, so the others hold none; who gives up leaves it to the others; and when
// the last one does, the run is ended.
func Once(next Runner) Runner { return &once{next: next, flights: map[flightKey]*flight{}} }

type once struct {
	next    Runner
	mu      sync.Mutex
	flights map[flightKey]*flight
}

// A flightKey is what must be equal besides the action: whether a stored result
// will do, and whether a failure is to be explained.
type flightKey struct {
	action            digest.Digest
	scopes            string // what the digest does not say of them
	noLookup, explain bool
}

// A flight is one run.
type flight struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	res    Result // written before done is closed
	err    error

	mu      sync.Mutex
	members []*member
	early   []announced
	over    bool // nobody is left, or it has ended in an error: it is for nobody else
}

// A member is one who waits for a flight.
type member struct {
	ctx   context.Context
	hints Hints
}

type announced struct {
	path string
	c    action.Content
}

func (o *once) Run(ctx context.Context, b *action.Bound, h Hints) (Result, error) {
	if b.NoSandbox {
		return o.next.Run(ctx, b, h)
	}
	key := flightKey{b.Digest, b.Identity(), h.NoLookup, b.Spec != nil && len(b.Spec.Explain) > 0}
	m := &member{ctx, h}
	o.mu.Lock()
	f := o.flights[key]
	joined := f != nil && f.join(m)
	if !joined {
		f = &flight{done: make(chan struct{}), members: []*member{m}}
		f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		o.flights[key] = f
	}
	o.mu.Unlock()
	if !joined {
		go f.run(o.next, b, h.NoLookup)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		if f.leave(m) {
			// Nobody waits any more. The process is dead when Run returns.
			f.cancel(context.Cause(ctx))
			<-f.done
		}
		return Result{}, context.Cause(ctx)
	}
	res := f.res
	res.Shared = joined
	return res, f.err
}

func (f *flight) run(next Runner, b *action.Bound, noLookup bool) {
	defer close(f.done)
	defer f.cancel(nil)
	f.res, f.err = f.fly(next, b, noLookup)
	if f.err != nil {
		f.mu.Lock()
		f.over = true
		f.mu.Unlock()
	}
}

// join adds m, who hears of what was announced so far. It fails for a flight
// that can have no more members.
func (f *flight) join(m *member) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.members = append(f.members, m)
	if m.hints.Early != nil {
		for _, a := range f.early {
			m.hints.Early(a.path, a.c)
		}
	}
	return true
}

// leave takes m off and reports whether it was the last.
func (f *flight) leave(m *member) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = slices.DeleteFunc(f.members, func(x *member) bool { return x == m })
	f.over = f.over || len(f.members) == 0
	return len(f.members) == 0
}

// announce tells all members of an early output.
func (f *flight) announce(path string, c action.Content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.early = append(f.early, announced{path, c})
	for _, m := range f.members {
		if m.hints.Early != nil {
			m.hints.Early(path, c)
		}
	}
}

// slot waits for a slot in the name of the first member that is left.
func (f *flight) slot(ctx context.Context) (release func(), err error) {
	for {
		f.mu.Lock()
		var m *member
		if len(f.members) > 0 {
			m = f.members[0]
		}
		f.mu.Unlock()
		if m == nil { // the last one is about to end the flight
			return nil, context.Canceled
		}
		release, err := m.hints.slot(m.ctx)
		if err == nil || m.ctx.Err() == nil {
			return release, err
		}
		f.leave(m) // its own Run may not have come to that yet
	}
}

// start is refused if each member that is left refuses it.
func (f *flight) start() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.hints.Start == nil {
			return nil
		}
		if err = m.hints.Start(); err == nil {
			return nil
		}
	}
	return err
}

// fly runs b for all members. A fault on this goroutine, which nobody else's
// recover sees, is an error of the run.
func (f *flight) fly(next Runner, b *action.Bound, noLookup bool) (res Result, err error) {
	defer bug.Catch(&err)
	return next.Run(f.ctx, b, Hints{Early: f.announce, Slot: f.slot, Start: f.start, NoLookup: noLookup})
}
