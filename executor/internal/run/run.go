// Package run runs bound actions and remembers their results. A [Runner] runs
// one; an [ActionCache] maps an action to the result of an earlier run; each
// feature on them is a decorator in a file of its own.
//
// A command that failed is a [Result], an error means that the tool failed.
// What an action can write never reaches the store: inputs are shown read-only
// or as copies, and outputs are copied into new files of the store once no
// process of the action is left. The package must never decide what runs, or
// when; that is the scheduler's.
package run

import (
	"context"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/sandbox"
)

// A Runner runs actions. It is safe for concurrent use.
type Runner interface {
	// Run runs b and returns how it ended, with its outputs in the store. obs
	// may be nil. When ctx ends, the action is ended and the error wraps the cause.
	Run(ctx context.Context, b *action.Bound, obs Observer) (Result, error)
}

// An Observer learns what happens while an action runs. Calls come from other
// goroutines than Run's caller, one at a time, and only until Run returns.
type Observer interface {
	// Early says that an output is complete, and in the store, while the
	// process still runs. If the action fails afterwards, what was made of the
	// output must be thrown away.
	Early(path string, c action.Content)
}

// An ActionCache maps actions to results. It is safe for concurrent use.
type ActionCache interface {
	// Lookup returns the result recorded for b's digest. Every anomaly of the
	// storage is "not found"; an error is only for what the user must know.
	Lookup(ctx context.Context, b *action.Bound) (Result, bool, error)

	// Record keeps res, whose blobs are in the store, for b's digest. Only
	// results for which Cacheable holds may be given.
	Record(ctx context.Context, b *action.Bound, res Result) error
}

// Result is how an action ended.
type Result struct {
	ExitCode int  // 128+signal where a signal ended it
	Signal   int  // 0 unless a signal ended it
	TimedOut bool // Bound.Timeout was reached

	// Failure, where not "", says why the action failed although its exit code
	// may be 0: a declared output is missing or cannot be one, or an early
	// output changed after it was announced.
	Failure string

	// Outputs has, by absolute path, each output that exists.
	Outputs map[string]action.Content

	// What the process printed, in the store; Empty if nothing. The Bytes are
	// the same text where it is short (at most InlineLimit), nil otherwise.
	Stdout, Stderr           digest.Digest
	StdoutBytes, StderrBytes []byte

	Start time.Time     // when the process started
	Wall  time.Duration // how long it ran, without placing and collecting

	Runner string // who ran it: "linux-sandbox", "local"
	Cache  string // which cache answered: "disk cache hit"; "" if it ran now

	Accesses []sandbox.Access // what was refused; only of a failure that was run again with a tracer
}

// InlineLimit is the longest text that a Result carries itself, in bytes.
const InlineLimit = 64 << 10

// OK reports whether the action succeeded as b judges it: what it declared
// exists, and it exited with 0 or its exit code is one of its outputs.
func (r Result) OK(b *action.Bound) bool {
	return r.Failure == "" && !r.TimedOut && r.Signal == 0 && (r.ExitCode == 0 || b.Stored)
}

// Cacheable reports whether res may be given to the next who asks for b.
func Cacheable(b *action.Bound, res Result) bool { return res.OK(b) && !b.NoSandbox }
