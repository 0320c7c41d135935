package executor

import (
	"context"
	"errors"
	"runtime"
	"time"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/front"
)

// What Starlark code may use where Options say nothing else.
const (
	// memoryShare is the share of what the process may have, and mostMemory where
	// that stops: a command needs the rest for what it runs.
	memoryShare = 4
	mostMemory  = 4 << 30
	leastMemory = 256 << 20

	callTime = 10 * time.Second
)

// windUp is how long a command has to end by itself after Starlark code got out
// of hand, which goes on meanwhile.
const windUp = time.Second

// atOnce is how long telling the user and killing processes may take where the
// process is about to be exhausted.
const atOnce = 100 * time.Millisecond

// within calls f and waits for it, but not for longer than d.
func within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}

// headroomBytes of memory that are never touched let the garbage collector wait
// until there is some garbage: by itself it runs each time a heap of a few
// megabytes has doubled, which took an eighth of the processor time of 2,000 small
// actions. It is only address space; a large heap is collected as ever.
const headroomBytes = 128 << 20

// watched is a context whose Starlark code is watched, and what is to be
// deferred: it makes the error of a command that was ended for it.
func (e *Engine) watched(ctx context.Context) (context.Context, func(*error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	headroom := make([]byte, headroomBytes)
	g := bzl.NewGuard(e.limits(), func(err error, now bool) {
		overrun := &Error{Kind: AnalysisFailed, Err: err, Reported: true}
		first := context.Cause(ctx) == nil
		cancel(overrun)
		within(atOnce, func() {
			if first {
				front.Report(e.opt.Sink, err)
			}
			e.Abort()
		})
		if !now {
			select {
			case <-ended:
				return
			case <-time.After(windUp):
			}
		}
		if e.opt.Halt != nil {
			e.opt.Halt(overrun)
		}
	})
	return bzl.WithGuard(ctx, g), func(err *error) {
		close(ended)
		runtime.KeepAlive(headroom)
		var overrun *Error
		if errors.As(context.Cause(ctx), &overrun) {
			*err = overrun
		}
		cancel(nil)
	}
}

func (e *Engine) limits() bzl.Limits {
	l := bzl.Limits{Memory: e.opt.StarlarkMemory, Beside: headroomBytes, Call: e.opt.StarlarkCall}
	if l.Memory == 0 {
		l.Memory = min(max(memoryOfProcess()/memoryShare, leastMemory), mostMemory)
	}
	if l.Call == 0 {
		l.Call = callTime
	}
	return l
}
