//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Pool runs actions, at most n at a time. Its methods may be called from any
// goroutine.
type Pool struct {
	grace  time.Duration
	slots  []*slot
	free   chan *slot
	killed atomic.Bool
	once   sync.Once
	closed chan struct{}

	ending  sync.Mutex // serialises Close
	stopped int
}

// NewPool makes a pool of n slots; n below 1 counts as 1. Nothing is started
// before the first Run.
func NewPool(n int, opts Options) *Pool {
	n = max(n, 1)
	p := &Pool{grace: opts.Grace, free: make(chan *slot, n), closed: make(chan struct{})}
	if p.grace == 0 {
		p.grace = 5 * time.Second
	}
	for range n {
		s := &slot{}
		p.slots = append(p.slots, s)
		p.free <- s
	}
	return p
}

// Run waits for a free slot and carries out plan in it. When it returns, every
// process of the action is dead and its mounts are gone.
//
// A process that fails, is killed or times out is a Result without error. An
// error is a *StepError if the sandbox could not be built (Step "exec" if
// Argv[0] could not be started), wraps ctx.Err() if ctx ended, is ErrKilled
// after Kill and ErrClosed after Close, and otherwise says what failed.
func (p *Pool) Run(ctx context.Context, plan *Process) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, cancelled(err)
	}
	var s *slot
	select {
	case <-p.closed:
		return Result{}, p.gone()
	default:
	}
	select {
	case s = <-p.free:
	case <-ctx.Done():
		return Result{}, cancelled(ctx.Err())
	case <-p.closed:
		return Result{}, p.gone()
	}
	defer func() { p.free <- s }()
	if plan.Start != nil {
		if err := plan.Start(); err != nil {
			return Result{}, err
		}
	}
	res, err := s.run(ctx, plan, p.grace, &p.killed)
	if err != nil && p.killed.Load() {
		err = ErrKilled
	}
	return res, err
}

func (p *Pool) gone() error {
	if p.killed.Load() {
		return ErrKilled
	}
	return ErrClosed
}

// Kill ends every action at once with SIGKILL and makes every Run, now and
// later, return ErrKilled. Close is still needed.
func (p *Pool) Kill() {
	p.killed.Store(true)
	p.once.Do(func() { close(p.closed) })
	for _, s := range p.slots {
		s.kill()
	}
}

// Close waits for running actions and ends the helpers. It returns when no
// process of the pool is left. Later calls do nothing.
func (p *Pool) Close() error {
	p.once.Do(func() { close(p.closed) })
	p.ending.Lock()
	defer p.ending.Unlock()
	var errs []error
	for ; p.stopped < len(p.slots); p.stopped++ {
		s := <-p.free // for good: no Run can take it any more
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

func cancelled(err error) error { return fmt.Errorf("sandbox: action cancelled: %w", err) }
