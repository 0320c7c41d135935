package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/sandbox"
)

// What Result.Runner says.
const (
	SandboxRunner = "linux-sandbox"
	HostRunner    = "local"
)

// Sandbox runs one laid-out process; sandbox.Pool is one.
type Sandbox interface {
	Run(ctx context.Context, p *sandbox.Process) (sandbox.Result, error)
}

// LocalOptions configure a Local.
type LocalOptions struct {
	// Root is a folder for materialised trees and scratch directories, on the
	// file system of Store (elsewhere it works, by copying).
	Root string

	Store   *cas.Disk
	Sources Sources // may be nil
	Sandbox Sandbox
	FS      *fsx.FS

	// MaxTreeFiles bounds the materialised trees that are kept for later
	// builds, in files; 0 means 500,000.
	MaxTreeFiles int
}

// Local is the Runner of this machine.
type Local struct {
	store    *cas.Disk
	blobs    blobs
	sandbox  Sandbox
	fs       *fsx.FS
	trees    *Trees
	scratch  *scratch
	maxFiles int

	mu   sync.Mutex
	seen map[digest.Digest]bool
}

// NewLocal opens the folders under o.Root.
func NewLocal(o LocalOptions) (*Local, error) {
	trees, err := OpenTrees(filepath.Join(o.Root, "trees"), o.Store, o.Sources, o.FS)
	if err != nil {
		return nil, err
	}
	l := &Local{
		store: o.Store, blobs: blobs{o.Store, o.Sources, o.FS}, sandbox: o.Sandbox, fs: o.FS,
		trees: trees, scratch: newScratch(filepath.Join(o.Root, "scratch"), o.FS), maxFiles: o.MaxTreeFiles, seen: map[digest.Digest]bool{},
	}
	if l.maxFiles == 0 {
		l.maxFiles = 500_000
	}
	return l, nil
}

// Trees returns the materialised trees.
func (l *Local) Trees() *Trees { return l.trees }

// treeIdle is longer than a build takes.
const treeIdle = 6 * time.Hour

// Close waits for what runs in the background, drops old trees and removes the
// scratch directories. No Run may be under way.
func (l *Local) Close() error {
	return errors.Join(l.trees.Trim(l.maxFiles, treeIdle), l.scratch.close())
}

// first reports whether it is called for d for the first time.
func (l *Local) first(d digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.seen[d]
	l.seen[d] = true
	return !was
}

// maxRepeat bounds what is run again to be explained where a failure is a
// result like others: nobody wants to wait twice for a long test to fail.
const maxRepeat = 5 * time.Second

// Run implements Runner. A failed action that has explanations to give is run
// once more under a tracer, to learn what it was refused; its result stays
// that of the first run.
func (l *Local) Run(ctx context.Context, b *action.Bound, h Hints) (Result, error) {
	release, err := h.slot(ctx)
	if err != nil {
		return Result{}, err
	}
	defer release()
	if b.NoSandbox {
		return l.runOnHost(ctx, b, h)
	}
	res, err := l.once(ctx, b, h, false)
	if err != nil {
		return Result{}, named(b, err)
	}
	failed := res.ExitCode != 0 || Judge(b, res) != ""
	if failed && !res.TimedOut && b.Spec != nil && len(b.Spec.Explain) > 0 && (!b.AnyExit || res.Wall < maxRepeat) {
		again, err := l.once(ctx, b, Hints{}, true) // early outputs were announced before
		if err != nil && ctx.Err() != nil {
			return Result{}, named(b, err)
		}
		if err == nil { // a host without a tracer explains nothing, and that is all
			res.Accesses = again.Accesses
		}
	}
	return res, nil
}

func (l *Local) once(ctx context.Context, b *action.Bound, h Hints, trace bool) (Result, error) {
	lay, err := l.layOut(ctx, b)
	if err != nil {
		return Result{}, err
	}
	defer func() { l.scratch.put(lay.taken) }()
	out, errs := l.capture(nil), l.capture(nil)
	defer out.discard()
	defer errs.discard()
	early := l.watch(ctx, b, lay.find, h)
	errs.line = early.line

	plan := &sandbox.Process{
		Mounts: lay.mounts, Symlinks: lay.links, Dirs: lay.dirs,
		Argv: b.Argv, Env: environ(b.Env), Dir: b.Workdir,
		Stdout: out, Stderr: errs,
		Loopback: b.Loopback, Timeout: timeout(b), Trace: trace,
	}
	sr, err := l.sandbox.Run(ctx, plan)
	res := Result{
		ExitCode: sr.ExitCode, Signal: int(sr.Signal), TimedOut: sr.TimedOut,
		Start: time.Now().Add(-sr.Wall), Wall: sr.Wall, Key: b.Digest, Runner: SandboxRunner, Accesses: sr.Refused,
	}
	announced, earlyErr := early.wait()
	var step *sandbox.StepError
	if errors.As(err, &step) && step.Step == "exec" {
		res.ExitCode, res.NotStarted, err = 127, "cannot run "+argv0(b)+": "+reason(step), nil
	}
	if err != nil {
		return Result{}, err
	}
	if err := errors.Join(earlyErr, res.texts(ctx, l.store, out, errs)); err != nil {
		return Result{}, err
	}
	if trace {
		return res, nil
	}
	return res, l.finish(ctx, b, &res, lay.find, announced)
}

// finish collects the outputs of an action that ended by itself.
func (l *Local) finish(ctx context.Context, b *action.Bound, res *Result, find finder, announced map[string]action.Content) (err error) {
	if res.NotStarted == "" && !res.TimedOut && res.Signal == 0 {
		res.Outputs, res.Unusable, err = l.collect(ctx, b, find, announced)
	}
	return err
}

// named says which action err is about: people know it by its target.
func named(b *action.Bound, err error) error {
	if b.Spec == nil || b.Spec.Owner.IsZero() {
		return fmt.Errorf("action %s: %w", b.Digest, err)
	}
	return fmt.Errorf("%s of %s: %w", b.Spec.Mnemonic, b.Spec.Owner, err)
}

func timeout(b *action.Bound) time.Duration {
	if b.Timeout <= 0 {
		return action.DefaultTimeout
	}
	return b.Timeout
}

func argv0(b *action.Bound) string {
	if len(b.Argv) == 0 {
		return "an empty command"
	}
	return b.Argv[0]
}

func reason(e *sandbox.StepError) string {
	if e.Errno != 0 {
		return e.Errno.Error()
	}
	return e.Reason
}

func environ(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
