// Package worker does what the nodes of a graph stand for on this machine: it
// runs processes through a run.Runner and judges their results by the Spec of
// each node, and executes what needs no process. It decides nothing about when.
package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
)

// Sources resolves what no action makes; source.Snapshot is one.
type Sources interface {
	Resolve(src *action.Source) (action.Content, error)
}

// Worker is the schedule.Worker of this machine.
type Worker struct {
	Store   cas.Store
	Runner  run.Runner      // answers also from caches
	Cache   run.ActionCache // keeps results; nothing is looked up here
	Sources Sources

	// Beside, where not nil, says where on the host stands what would be at a path of an
	// action's root, had it been declared.
	Beside func(path string) string

	// NoLookup, where not nil, says which actions are to run although their
	// results are known.
	NoLookup func(s *action.Spec) bool

	recorded sync.Map // of results that are kept: equal actions share one
}

var _ schedule.Worker = (*Worker)(nil)

// Run implements schedule.Worker.
func (w *Worker) Run(ctx context.Context, b *action.Bound, job schedule.Job) (*schedule.Outcome, error) {
	res, err := w.Runner.Run(ctx, b, run.Hints{
		Early: job.Early, Slot: job.Slot, Start: job.Start, NoLookup: w.NoLookup != nil && w.NoLookup(b.Spec),
	})
	if err != nil {
		return nil, err
	}
	return w.judge(ctx, b, res)
}

// judge turns what a process did into what it means for b. A test that was
// killed or ran out of time is a result with an exit code of its own, not a
// failure of the build, and is not kept.
func (w *Worker) judge(ctx context.Context, b *action.Bound, res run.Result) (*schedule.Outcome, error) {
	o := &schedule.Outcome{
		Outputs:  res.Outputs,
		Stdout:   action.Content{File: res.Stdout, Executable: true},
		Stderr:   action.Content{File: res.Stderr, Executable: true},
		ExitCode: res.ExitCode,
		Failure:  run.Judge(b, res),
		Notes:    notes(b.Spec, res.Accesses, w.there),
		Key:      res.Key,
		Bound:    res.Bound,
		Runner:   res.Runner,
		Cached:   res.Cache != "" || res.Shared,
		Start:    res.Start,
		Wall:     res.Wall,
	}
	switch {
	case res.Cache != "":
		o.Runner = res.Cache
	case res.Shared:
		o.Runner = deduplicated
	}
	if res.TimedOut && b.AnyExit {
		o.ExitCode = run.ExitTimeout
	}
	if o.Once = !run.Cacheable(b, res); res.Cache == "" && !o.Once {
		o.Keep = func(ctx context.Context) error { return w.keep(ctx, b, res) }
	}
	if !b.AnyExit {
		return o, nil
	}
	if len(o.Notes) > 0 { // what a stored failure was refused is for who reads its text
		if err := w.annotate(ctx, o); err != nil {
			return nil, err
		}
	}
	_, err := cas.PutBytes(ctx, w.Store, schedule.ExitText(o.ExitCode))
	return o, err
}

// deduplicated is the runner of an action whose equal ran in the same command.
const deduplicated = "deduplicated"

// there reports whether a file that an action did not see is beside it. A folder near the
// root says nothing: every host has it.
func (w *Worker) there(p string) bool {
	at := p
	if w.Beside != nil {
		at = w.Beside(p)
	}
	info, err := os.Stat(at)
	return err == nil && (!info.IsDir() || strings.Count(p, "/") > 2)
}

// keep records a result once, whichever of the equal actions comes first.
func (w *Worker) keep(ctx context.Context, b *action.Bound, res run.Result) error {
	if _, done := w.recorded.LoadOrStore(res.Key, true); done {
		return nil
	}
	return w.Cache.Record(ctx, b, res)
}

// annotate adds the notes to what the process printed.
func (w *Worker) annotate(ctx context.Context, o *schedule.Outcome) error {
	var said []byte
	if o.Stderr.File.Size > 0 {
		var err error
		if said, err = cas.ReadAll(ctx, w.Store, o.Stderr.File); err != nil {
			return err
		}
	}
	said = append(said, strings.Join(o.Notes, "\n")+"\n"...)
	d, err := cas.PutBytes(ctx, w.Store, said)
	o.Stderr.File = d
	return err
}

// Source implements schedule.Worker.
func (w *Worker) Source(src *action.Source) (action.Content, error) { return w.Sources.Resolve(src) }

// maxText bounds what a plan may read of one file: it is held in memory as a
// Starlark string.
const maxText = 256 << 20

// Text implements schedule.Worker.
func (w *Worker) Text(ctx context.Context, c action.Content) ([]byte, error) {
	if c.File.Size > maxText {
		return nil, fmt.Errorf("a plan may read files up to %d MiB, this one has %d", maxText>>20, c.File.Size>>20)
	}
	return cas.ReadAll(ctx, w.Store, c.File)
}

// HostRefuses tells errors of this machine from those of an action: it lets no
// sandbox be built, or its disk is full. Nothing else would go better.
func HostRefuses(err error) bool {
	var step *sandbox.StepError
	if errors.As(err, &step) {
		return step.Fix != "" || !fsx.Unfit(step) // a path that is too long is the action's
	}
	for _, no := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
