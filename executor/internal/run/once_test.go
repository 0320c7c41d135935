package run_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

// runnerFunc is a Runner.
type runnerFunc func(ctx context.Context, b *action.Bound, h run.Hints) (run.Result, error)

func (f runnerFunc) Run(ctx context.Context, b *action.Bound, h run.Hints) (run.Result, error) {
	return f(ctx, b, h)
}

// Equal actions run once, however many ask and whenever; each judges for itself.
func TestOnceSharesRawResults(t *testing.T) {
	var runs atomic.Int32
	gate := make(chan struct{})
	r := run.Once(runnerFunc(func(_ context.Context, b *action.Bound, _ run.Hints) (run.Result, error) {
		runs.Add(1)
		<-gate
		return run.Result{ExitCode: 3, Key: b.Digest}, nil
	}))
	b := runtest.Bound([]string{"x"}, tree.Empty)
	stored := *b
	stored.AnyExit = true
	var wg sync.WaitGroup
	var shared atomic.Int32
	for i := range 10 {
		wg.Go(func() {
			own := b
			if i%2 == 0 {
				own = &stored
			}
			res, err := r.Run(t.Context(), own, run.Hints{})
			if err != nil || res.OK(own) != own.AnyExit {
				t.Errorf("stored %v: %+v, %v", own.AnyExit, res, err)
			}
			if res.Shared {
				shared.Add(1)
			}
		})
	}
	close(gate)
	wg.Wait()
	if res, err := r.Run(t.Context(), b, run.Hints{}); err != nil || !res.Shared {
		t.Errorf("afterwards: %+v, %v", res, err)
	}
	if runs.Load() != 1 || shared.Load() != 9 {
		t.Errorf("%d runs, %d shared", runs.Load(), shared.Load())
	}
	local := *b
	local.NoSandbox = true
	for range 2 {
		if _, err := r.Run(t.Context(), &local, run.Hints{}); err != nil {
			t.Fatal(err)
		}
	}
	explained := *b
	explained.Spec = &action.Spec{Explain: map[string]string{"ENOENT": "x"}}
	if _, err := r.Run(t.Context(), &explained, run.Hints{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), b, run.Hints{NoLookup: true}); err != nil {
		t.Fatal(err)
	}
	if runs.Load() != 5 {
		t.Errorf("%d runs; want one more for each local one, for explanations, and for no look-up", runs.Load())
	}
}

// Followers hold no slot, hear of early outputs also when they come late, and
// outlive the one in whose name the run began.
func TestOnceSurvivesItsLeader(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	r := run.Once(runnerFunc(func(ctx context.Context, b *action.Bound, h run.Hints) (run.Result, error) {
		release, err := h.Slot(ctx)
		if err != nil {
			return run.Result{}, err
		}
		defer release()
		h.Early("/out/a", action.Content{File: digest.Empty})
		close(started)
		select {
		case <-finish:
		case <-ctx.Done():
			ended <- context.Cause(ctx)
			return run.Result{}, ctx.Err()
		}
		return run.Result{Key: b.Digest}, nil
	}))
	b := runtest.Bound([]string{"x"}, tree.Empty)
	var slots, early atomic.Int32
	hints := run.Hints{
		Slot:  func(context.Context) (func(), error) { slots.Add(1); return func() { slots.Add(-1) }, nil },
		Early: func(string, action.Content) { early.Add(1) },
	}
	lead, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	leader := make(chan error)
	go func() {
		_, err := r.Run(lead, b, hints)
		leader <- err
	}()
	<-started
	follower := make(chan error)
	go func() {
		res, err := r.Run(t.Context(), b, hints)
		if err == nil && !res.Shared {
			err = fmt.Errorf("not shared: %+v", res)
		}
		follower <- err
	}()
	for early.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if slots.Load() != 1 {
		t.Errorf("%d slots held", slots.Load())
	}
	cancel(gaveUp)
	if err := <-leader; !errors.Is(err, gaveUp) {
		t.Errorf("leader: %v", err)
	}
	close(finish)
	if err := <-follower; err != nil {
		t.Errorf("follower: %v", err)
	}
	if len(ended) > 0 || slots.Load() != 0 {
		t.Errorf("the run was ended: %d, slots %d", len(ended), slots.Load())
	}
}

// A leader that gives up while it waits for a slot leaves the wait to the others.
func TestOnceHandsTheSlotOn(t *testing.T) {
	waiting := make(chan struct{})
	r := run.Once(runnerFunc(func(ctx context.Context, b *action.Bound, h run.Hints) (run.Result, error) {
		release, err := h.Slot(ctx)
		if err != nil {
			return run.Result{}, err
		}
		release()
		return run.Result{Key: b.Digest}, nil
	}))
	b := runtest.Bound([]string{"x"}, tree.Empty)
	lead, cancel := context.WithCancel(t.Context())
	leader, follower := make(chan error), make(chan error)
	go func() {
		_, err := r.Run(lead, b, run.Hints{Slot: func(ctx context.Context) (func(), error) {
			close(waiting)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		leader <- err
	}()
	<-waiting
	joined := make(chan struct{})
	go func() {
		close(joined)
		_, err := r.Run(t.Context(), b, run.Hints{Slot: func(context.Context) (func(), error) { return func() {}, nil }})
		follower <- err
	}()
	<-joined
	time.Sleep(20 * time.Millisecond) // also right if it joins later: then it leads
	cancel()
	if err := <-leader; !errors.Is(err, context.Canceled) {
		t.Errorf("leader: %v", err)
	}
	if err := <-follower; err != nil {
		t.Errorf("follower: %v", err)
	}
}

// The last one to give up ends the process and waits for that; the next starts anew.
func TestOnceEndsWithItsLastMember(t *testing.T) {
	var runs, alive atomic.Int32
	r := run.Once(runnerFunc(func(ctx context.Context, b *action.Bound, _ run.Hints) (run.Result, error) {
		if runs.Add(1) == 2 {
			return run.Result{Key: b.Digest}, nil
		}
		alive.Add(1)
		defer alive.Add(-1)
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
		return run.Result{}, ctx.Err()
	}))
	b := runtest.Bound([]string{"x"}, tree.Empty)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Run(ctx, b, run.Hints{}); !errors.Is(err, context.DeadlineExceeded) || alive.Load() != 0 {
		t.Errorf("%v, %d alive", err, alive.Load())
	}
	if res, err := r.Run(t.Context(), b, run.Hints{}); err != nil || res.Shared {
		t.Errorf("%+v %v", res, err)
	}
}

// A fault in the shared run is an error for everybody, not the end of the process.
func TestOncePanics(t *testing.T) {
	r := run.Once(runnerFunc(func(context.Context, *action.Bound, run.Hints) (run.Result, error) { panic("lost") }))
	var b *bug.Error
	if _, err := r.Run(t.Context(), runtest.Bound([]string{"x"}, tree.Empty), run.Hints{}); !errors.As(err, &b) || b.Value != "lost" {
		t.Errorf("%v", err)
	}
}

func TestCached(t *testing.T) {
	runs := 0
	next := runnerFunc(func(_ context.Context, b *action.Bound, _ run.Hints) (run.Result, error) {
		runs++
		return run.Result{Key: b.Digest, Stdout: digest.Empty, Stderr: digest.Empty}, nil
	})
	s, err := cas.OpenDisk(t.TempDir(), cas.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := diskCache(t, t.TempDir(), s)
	r := run.Cached(next, c)
	b := runtest.Bound([]string{"x"}, tree.Empty)
	res, err := r.Run(t.Context(), b, run.Hints{})
	if err != nil || runs != 1 || res.Cache != "" {
		t.Fatalf("%+v %v", res, err)
	}
	if err := c.Record(t.Context(), b, res); err != nil {
		t.Fatal(err)
	}
	if res, err = r.Run(t.Context(), b, run.Hints{}); err != nil || runs != 1 || res.Cache != run.DiskHit {
		t.Errorf("%+v %v, %d runs", res, err, runs)
	}
	if _, err = r.Run(t.Context(), b, run.Hints{NoLookup: true}); err != nil || runs != 2 {
		t.Errorf("no look-up: %v, %d runs", err, runs)
	}
	local := *b
	local.NoSandbox = true
	if _, err = r.Run(t.Context(), &local, run.Hints{}); err != nil || runs != 3 {
		t.Errorf("local: %v, %d runs", err, runs)
	}
}
