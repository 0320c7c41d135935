package run

import (
	"context"
	"fmt"
	"sync"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

// Cached answers from an action cache what it has, runs the rest, and records
// what may be recorded. Equal actions that run at the same time run once: each
// caller gets the result and every early output, and the run is ended when the
// last caller has gone.
type Cached struct {
	next  Runner
	cache ActionCache

	mu      sync.Mutex
	flights map[flightKey]*flight
}

// flightKey tells who may share a run: who wants a new one cannot take the
// answer of a cache.
type flightKey struct {
	d     digest.Digest
	fresh bool
}

// NewCached puts cache before next.
func NewCached(next Runner, cache ActionCache) *Cached {
	return &Cached{next: next, cache: cache, flights: map[flightKey]*flight{}}
}

type flight struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	res    Result
	err    error

	mu      sync.Mutex // held during calls to observers: they come one at a time
	waiters map[*waiter]struct{}
	early   []announced
	running bool
}

type waiter struct{ obs Observer }

type announced struct {
	path string
	c    action.Content
}

// Run implements Runner.
func (c *Cached) Run(ctx context.Context, b *action.Bound, obs Observer) (Result, error) {
	return c.run(ctx, b, obs, false)
}

// Fresh is Run without looking the result up (--nocache_test_results); it is recorded.
func (c *Cached) Fresh(ctx context.Context, b *action.Bound, obs Observer) (Result, error) {
	return c.run(ctx, b, obs, true)
}

func (c *Cached) run(ctx context.Context, b *action.Bound, obs Observer, fresh bool) (Result, error) {
	if b.NoSandbox {
		return c.next.Run(ctx, b, obs)
	}
	w, key := &waiter{obs}, flightKey{b.Digest, fresh}
	c.mu.Lock()
	f := c.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{}), waiters: map[*waiter]struct{}{}}
		var shared context.Context
		shared, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		c.flights[key] = f
		go c.fly(shared, b, f, fresh)
	}
	f.join(w)
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.res, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	f.mu.Lock()
	delete(f.waiters, w)
	last := len(f.waiters) == 0
	f.mu.Unlock()
	if last && c.flights[key] == f {
		delete(c.flights, key) // a later caller starts anew
	}
	c.mu.Unlock()
	if last {
		f.cancel(context.Cause(ctx))
		<-f.done
		if f.err == nil {
			return f.res, nil
		}
	}
	return Result{}, fmt.Errorf("action %s: %w", b.Digest, context.Cause(ctx))
}

func (c *Cached) fly(ctx context.Context, b *action.Bound, f *flight, fresh bool) {
	f.res, f.err = c.answer(ctx, b, f, fresh)
	c.mu.Lock()
	if key := (flightKey{b.Digest, fresh}); c.flights[key] == f {
		delete(c.flights, key)
	}
	c.mu.Unlock()
	f.mu.Lock()
	f.waiters = map[*waiter]struct{}{}
	f.mu.Unlock()
	f.cancel(nil)
	close(f.done)
}

func (c *Cached) answer(ctx context.Context, b *action.Bound, f *flight, fresh bool) (Result, error) {
	if !fresh {
		res, ok, err := c.cache.Lookup(ctx, b)
		if err != nil {
			return Result{}, fmt.Errorf("looking up action %s: %w", b.Digest, err)
		}
		if ok {
			return res, nil
		}
	}
	res, err := c.next.Run(ctx, b, f)
	if err != nil {
		return Result{}, err
	}
	if Cacheable(b, res) {
		if err := c.cache.Record(ctx, b, res); err != nil {
			return Result{}, err
		}
	}
	return res, nil
}

// join adds a waiter and tells it what it missed.
func (f *flight) join(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters[w] = struct{}{}
	if w.obs == nil {
		return
	}
	if p, ok := w.obs.(PhaseObserver); ok && f.running {
		p.Started()
	}
	for _, a := range f.early {
		w.obs.Early(a.path, a.c)
	}
}

// Early passes an early output to all who wait.
func (f *flight) Early(path string, c action.Content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.early = append(f.early, announced{path, c})
	for w := range f.waiters {
		if w.obs != nil {
			w.obs.Early(path, c)
		}
	}
}

// Started implements PhaseObserver.
func (f *flight) Started() { f.phase(true, PhaseObserver.Started) }

// Ended implements PhaseObserver.
func (f *flight) Ended() { f.phase(false, PhaseObserver.Ended) }

func (f *flight) phase(running bool, tell func(PhaseObserver)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = running
	for w := range f.waiters {
		if p, ok := w.obs.(PhaseObserver); ok {
			tell(p)
		}
	}
}
