package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"
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

	// Mirrors is a folder for what scopes show, of one workspace whose lock is held;
	// "" is one below Root.
	Mirrors string

	// MaxOutput bounds the outputs of one action together, in bytes; 0 means not at all.
	MaxOutput int64

	// Perturbed makes another world of every action, where that must not matter.
	Perturbed bool

	// Warn gets, once, what makes results of this machine worth less; may be nil.
	Warn func(text string)

	// Lease, where not nil, keeps the trees that are used from being collected.
	Lease *lease.Lease
}

// Local is the Runner of this machine.
type Local struct {
	store    *cas.Disk
	blobs    blobs
	sandbox  Sandbox
	fs       *fsx.FS
	trees    *Trees
	scratch  *scratch
	mirrors  *mirrors
	maxBytes int64 // of the outputs of one action
	other    bool  // a perturbed world
	lowered  func() bool

	mu   sync.Mutex
	seen map[digest.Digest]bool
}

// NewLocal opens the folders under o.Root.
func NewLocal(o LocalOptions) (*Local, error) {
	for _, below := range []string{"trees", "scratch"} {
		if err := o.FS.Folder(o.Root, below, 0o700); err != nil {
			return nil, fmt.Errorf("cache folder: %w", err)
		}
	}
	trees, err := OpenTrees(filepath.Join(o.Root, "trees"), o.Store, o.Sources, o.Lease, o.FS)
	if err != nil {
		return nil, err
	}
	l := &Local{
		store: o.Store, blobs: blobs{o.Store, o.Sources, o.FS}, sandbox: o.Sandbox, fs: o.FS,
		trees: trees, scratch: newScratch(filepath.Join(o.Root, "scratch"), o.FS), maxBytes: o.MaxOutput, other: o.Perturbed, seen: map[digest.Digest]bool{},
	}
	l.mirrors = &mirrors{dir: cmp.Or(o.Mirrors, filepath.Join(o.Root, "mirrors")), blobs: l.blobs, boot: bootID(), of: map[string]*mirror{}}
	l.lowered = sync.OnceValue(func() bool { return lowered(o.Warn) })
	if l.maxBytes == 0 {
		l.maxBytes = math.MaxInt64
	}
	return l, nil
}

// lowered reports whether limits of the caller are below those of actions, and
// warns of it.
func lowered(warn func(string)) bool {
	names := sandbox.Lowered()
	if len(names) > 0 && warn != nil {
		warn(fmt.Sprintf("%s: the hard limit that gorules was started with is lower than what actions may need; what fails is not stored", strings.Join(names, ", ")))
	}
	return len(names) > 0
}

// Close waits for what runs in the background and removes the scratch
// directories. No Run may be under way.
func (l *Local) Close() error { return l.scratch.close() }

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
		if h.Start != nil {
			if err := h.Start(); err != nil {
				return Result{}, err
			}
		}
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
		Mounts: lay.mounts, Files: lay.files, Symlinks: lay.links, Dirs: lay.dirs, ModTime: fsx.Stamp,
		Argv: b.Argv, Env: environ(b.Env), Dir: b.Workdir,
		Stdout: out, Stderr: errs,
		Loopback: b.Loopback, Terminals: b.Terminals, Scopes: observedAt(b), Timeout: timeout(b), Trace: trace, Perturbed: l.other, Start: h.Start,
	}
	sr, err := l.sandbox.Run(ctx, plan)
	res := Result{
		ExitCode: sr.ExitCode, Signal: int(sr.Signal), TimedOut: sr.TimedOut,
		Start: time.Now().Add(-sr.Wall), Wall: sr.Wall, Key: b.Digest, Runner: SandboxRunner, Accesses: sr.Refused, Lowered: l.lowered(),
	}
	if len(b.Scopes) > 0 {
		res.Looks = looked(b, sr.Looks)
		if err == nil {
			err = l.torn(b, res.Looks)
		}
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
	if lay.upper != "" {
		if err := lay.changed(b); err != nil {
			return Result{}, err
		}
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
