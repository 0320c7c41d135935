// Package run runs bound actions and remembers their results. A [Runner] runs
// one; an [ActionCache] maps an action to the result of an earlier run; each
// feature on them is a decorator in a file of its own.
//
// A command that failed is a [Result], an error means that the tool failed.
// What an action can write to is never in the store: inputs are shown read-only
// or as copies, and outputs are taken into the store once no process of the action
// is left, by a rename where they have no other name. The package must never decide what runs, or
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
	// Run runs b and returns how it ended, with its outputs in the store. When
	// ctx ends, the action is ended and the error wraps the cause.
	Run(ctx context.Context, b *action.Bound, h Hints) (Result, error)
}

// Hints are what a caller and a Runner tell each other beside the action. None
// of it is part of the key, and none may change what is made. The zero Hints
// are good.
type Hints struct {
	// Early is told that an output is complete, and in the store, while the
	// process still runs. If the action fails afterwards, what was made of the
	// output must be thrown away. Calls come from other goroutines than Run's
	// caller, one at a time, and only until Run returns.
	Early func(path string, c action.Content)

	// Slot waits for the right to start a process, and returns what gives it
	// back. Its error is Run's.
	Slot func(ctx context.Context) (release func(), err error)

	// Start, where not nil, is asked right before a process starts. Its error is Run's.
	Start func() error

	// NoLookup makes caches run the action again and keep the new result.
	NoLookup bool
}

func (h Hints) slot(ctx context.Context) (release func(), err error) {
	if h.Slot == nil {
		return func() {}, nil
	}
	return h.Slot(ctx)
}

// An ActionCache maps actions to results. It is safe for concurrent use.
type ActionCache interface {
	// Lookup returns the result recorded for b's digest. Every anomaly of the
	// storage is "not found"; an error is only for what the user must know.
	Lookup(ctx context.Context, b *action.Bound) (Result, bool, error)

	// Record keeps res, whose blobs are in the store, under res.Key. Only
	// results for which Cacheable holds may be given.
	Record(ctx context.Context, b *action.Bound, res Result) error
}

// Result is what a process did, whoever asks: whether that is a success is for
// the Spec of each action that shares it (see Judge).
type Result struct {
	ExitCode int  // 128+signal where a signal ended it
	Signal   int  // 0 unless a signal ended it
	TimedOut bool // Bound.Timeout was reached

	// NotStarted says why there was no process: "cannot run /x: not found".
	NotStarted string

	// Unlike says how another run of the same action came to something else: a
	// Checker's finding.
	Unlike string

	// Lowered says that limits of the caller were below those of every action, so
	// that a failure may be theirs.
	Lowered bool

	// Outputs has, by absolute path, each declared path where there is something
	// that can be an output, and Unusable says of the others what is wrong with
	// what is there: "is a FIFO, not a file", "changed after it was announced".
	Outputs  map[string]action.Content
	Unusable map[string]string

	// What the process printed, in the store; Empty if nothing. The Bytes are
	// the same text where it is short (at most InlineLimit), nil otherwise.
	Stdout, Stderr           digest.Digest
	StdoutBytes, StderrBytes []byte

	Start time.Time     // when the process started
	Wall  time.Duration // how long it ran, without placing and collecting

	Key    digest.Digest // under which the result is stored; a Runner may find another than the declared one
	Runner string        // who ran it: "linux-sandbox", "local"
	Cache  string        // which cache answered: "disk cache hit"; "" if it ran now
	Shared bool          // an equal action of this command ran, and this is its result

	// Looks is what an action with scopes looked at, and Bound is the action narrowed
	// to that: the one that Key is of. Of others they are nil.
	Looks action.Observation
	Bound *action.Bound

	Accesses []sandbox.Access // what was refused; only of a failure that was run again with a tracer
}

// InlineLimit is the longest text that a Result carries itself, in bytes.
const InlineLimit = 64 << 10
