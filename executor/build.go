package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/command"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/front"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/narrate"
	"gorules/executor/internal/resume"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/source"
	"gorules/executor/internal/worker"
)

// Build makes the default outputs (or output groups) of targets.
func (e *Engine) Build(ctx context.Context, req BuildRequest) error {
	_, err := e.execute(ctx, command.Request{Verb: command.Build, Patterns: req.Patterns}, req, nil)
	return err
}

// Test makes the verdicts of test targets.
func (e *Engine) Test(ctx context.Context, req TestRequest) error {
	_, err := e.execute(ctx, command.Request{
		Verb: command.Test, Patterns: req.Patterns, TestsOnly: req.BuildTestsOnly, TagFilters: req.TagFilters,
		SizeFilters: req.SizeFilters, TestFilter: req.Filter, NoCacheResults: req.NoCacheResults,
	}, req.BuildRequest, &req)
	return err
}

// Run builds the one target of req and lays its program out with its runfiles.
func (e *Engine) Run(ctx context.Context, req BuildRequest) (RunSpec, error) {
	p, err := e.execute(ctx, command.Request{Verb: command.Run, Patterns: req.Patterns}, req, nil)
	if err != nil {
		return RunSpec{}, err
	}
	return RunSpec(*p), nil
}

// execute runs a command: from the state file if nothing changed, in full otherwise.
func (e *Engine) execute(ctx context.Context, r command.Request, req BuildRequest, test *TestRequest) (p *resume.Program, err error) {
	defer e.guard(&err)
	begin := time.Now()
	key, err := e.requestKey(r, req, test)
	if err != nil {
		return nil, err
	}
	if err := e.takeLock(ctx); err != nil {
		return nil, err
	}
	memory := e.memory()
	ready := false
	defer func() {
		if err != nil && !ready { // whatever it was, nothing was judged
			command.ForgetAll(layout.Open(layout.Options{Workspace: e.opt.Workspace, Dir: e.dir}), memory, r, key)
		}
	}()
	var st *resume.State
	if !r.NoCacheResults && !req.Check {
		var why string
		if st, why = memory.Load(key); st == nil {
			e.opt.Sink(event.Diagnostic{Severity: event.Debug, Text: "full run: " + why})
		}
	}
	// A new file may be one of those that a state knows of: it is made after the look at that.
	log, err := e.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { err = log.close(err) }()
	if st != nil && log.replay(memory, key) {
		ready = true
		return command.Replay(st, begin, e.opt.Sink)
	}
	config, err := configOf(req, test)
	if err != nil {
		return nil, err
	}
	var added int64
	whole := ctx // outlives what is watched
	defer func() { err = e.trim(whole, time.Since(begin), added, err) }()
	unpin, err := e.pin()
	if err != nil {
		return nil, err
	}
	defer unpin()
	ctx, end := e.watched(ctx)
	defer end(&err)
	s, err := front.Open(ctx, e.front(), config, req.OutputGroups)
	if err != nil {
		return nil, err
	}
	defer func() {
		s.Close()
		e.fetched = e.fetched || s.Repos.Fetches() > 0
	}()
	c := &command.Command{
		Request: r, Key: key, KeepGoing: e.opt.KeepGoing, Begin: begin, Sink: e.opt.Sink, Memory: memory, Front: s, OutputFacts: source.OutputFacts, Position: s.Position,
		Report: func(err error) { front.Report(e.opt.Sink, err) }, Advise: e.advice,
	}
	if log != nil {
		c.Log = func(story *narrate.Story) { log.write(story.Entries) }
	}
	wrote, err := e.openBack(ctx, s, c, req.Check)
	if err != nil {
		return nil, err
	}
	defer func() { c.Close(); added = wrote() }()
	ready = true
	return c.Execute(ctx)
}

// openBack gives c the half of a command that runs things: store, cache, runner,
// graph. Nothing is started before an action misses the cache. wrote tells by how
// much the store has grown.
func (e *Engine) openBack(ctx context.Context, s *front.Session, c *command.Command, check bool) (wrote func() int64, err error) {
	disk, err := cas.OpenDisk(e.opt.DiskCache, cas.DiskOptions{Shared: e.shared(), Damaged: e.damaged()})
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	blobs, err := lease.Open(e.opt.DiskCache)
	if err != nil {
		return nil, exit.OfMachine("cache folder %s: %w", e.opt.DiskCache, err)
	}
	defer func() {
		if err != nil {
			_ = blobs.Close()
		}
	}()
	disk.Hold(blobs)
	entries, err := run.OpenDiskCache(e.opt.DiskCache, string(sandbox.TierFull), disk, nil)
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	entries.Workspace = e.id
	pool := sandbox.NewPool(e.opt.Jobs, sandbox.Options{})
	local, err := run.NewLocal(run.LocalOptions{Root: e.root, Store: disk, Sources: s.Sources, Sandbox: pool, MaxOutput: e.opt.MaxOutput, Lease: e.lease, Mirrors: filepath.Join(e.dir, "mirrors"),
		Warn: func(text string) { e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: text}) }})
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	store := worker.WithSources(disk, s.Sources.Blob)
	cache := run.OnlyComplete(entries, disk)
	runner := run.Runner(&run.Observed{Next: run.Cached(local, cache), Local: local, Cache: cache, Known: entries, Saw: saw(s.Sources), Unseen: e.unseen()})
	said := func() error { return nil }
	if check {
		checker, end, err := e.checker(runner, run.LocalOptions{Store: disk, Sources: s.Sources, Sandbox: pool, MaxOutput: e.opt.MaxOutput})
		if err != nil {
			return nil, exit.OfMachine("--check: %w", err)
		}
		runner, said = checker, end
	}
	w := &worker.Worker{
		Store: store, Cache: cache, Sources: s.Sources,
		Runner:   run.Once(runner),
		NoLookup: func(spec *action.Spec) bool { return spec.Test && c.NoCacheResults },
	}
	c.Text = w.Text
	c.Layout = layout.Open(layout.Options{Workspace: e.opt.Workspace, Dir: e.dir, Prefix: e.opt.SymlinkPrefix, Store: store, Digest: s.Digests.Digest})
	w.Beside = c.Layout.Beside
	c.Narrator = narrate.New(ctx, narrate.Options{
		Sink: e.opt.Sink, Jobs: e.opt.Jobs, Position: s.Position, Shown: c.Layout.Shown,
		Open: store.Get, Report: c.Report,
	})
	c.Graph = func(ctx context.Context, goals []schedule.Goal, watcher schedule.Watcher, outdated func(*action.Spec)) (*schedule.Report, error) {
		return schedule.Run(ctx, goals, schedule.Options{
			Jobs: e.opt.Jobs + collecting, KeepGoing: e.opt.KeepGoing, Worker: w, Watcher: watcher, Outdated: outdated, Fatal: worker.HostRefuses,
		})
	}
	e.onAbort(pool.Kill)
	c.Close = sync.OnceFunc(func() {
		e.onAbort(nil)
		c.Narrator.Close()
		// The store last: to remove links to its files changes them.
		for _, err := range []error{pool.Close(), local.Close(), said(), disk.Close(), blobs.Close()} {
			if err != nil {
				e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: err.Error()})
			}
		}
	})
	return disk.Wrote, nil
}

// checker puts a Checker before next, whose other world has its trees and
// directories elsewhere. end says what was checked.
func (e *Engine) checker(next run.Runner, o run.LocalOptions) (c *run.Checker, end func() error, err error) {
	keep := filepath.Join(e.dir, "check")
	if err := fsx.Plain.RemoveAll(keep); err != nil {
		return nil, nil, err
	}
	if o.Root, err = os.MkdirTemp(e.root, "check-"); err != nil {
		return nil, nil, err
	}
	o.Perturbed = true
	again, err := run.NewLocal(o)
	if err != nil {
		return nil, nil, err
	}
	c = &run.Checker{Next: next, Again: again, Store: o.Store, Keep: keep}
	return c, func() error {
		e.opt.Sink(event.Diagnostic{Severity: event.Info, Text: fmt.Sprintf("Actions that came to the same bytes in another world: %d.", c.Checked())})
		return errors.Join(again.Close(), fsx.Plain.RemoveAll(o.Root))
	}, nil
}

// saw tells sources what of them a result rests on.
func saw(s *source.Snapshot) func(src *action.Source, at string, looks []action.Look) error {
	return func(src *action.Source, at string, looks []action.Look) error {
		seen := make([]source.Seen, 0, len(looks))
		for _, l := range looks {
			p := l.Path
			if src.Host == nil {
				p = strings.TrimPrefix(strings.TrimPrefix(p, at), "/")
			}
			seen = append(seen, source.Seen{Path: p, Kind: l.What&action.Kind != 0, Content: l.What&action.Bytes != 0, Names: l.What&action.Names != 0})
		}
		return s.Saw(src, seen)
	}
}

// unseen tells, and says once, whether this host lets nothing be observed.
func (e *Engine) unseen() func() bool {
	return sync.OnceValue(func() bool {
		if sandbox.CanObserve() {
			return false
		}
		e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: "this machine lets gorules not observe what an action reads (seccomp user notification is refused): " +
			"every file that an action may look at counts as its input, and more runs again than has to"})
		return true
	})
}

// damaged tells of the first damaged file of the cache that a command meets.
func (e *Engine) damaged() func(path string) {
	var once sync.Once
	return func(path string) {
		once.Do(func() {
			what := "it was removed"
			if path != "" {
				what = "it was moved to " + path
			}
			e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("a file of the cache %s did not hold what gorules stored in it; %s, and what is needed is made again. "+
				"A power loss, a failing disk or a program that writes there does that", e.opt.DiskCache, what)})
		})
	}
}

// collecting is how many actions beyond --jobs may be under way: the sandbox
// pool admits only --jobs processes, while others are laid out or collected.
const collecting = 1

// requestKey names the state of one request: everything of it that can change
// what is made or shown. Patterns are in it as they were written.
func (e *Engine) requestKey(r command.Request, req BuildRequest, test *TestRequest) (string, error) {
	return resume.Key(struct {
		Request   command.Request
		Build     BuildRequest
		Test      *TestRequest
		DiskCache string
		Lock      string
		Links     string
		Keep      bool
	}{r, req, test, e.opt.DiskCache, e.opt.LockfileMode, e.opt.SymlinkPrefix, e.opt.KeepGoing})
}

func (e *Engine) memory() *resume.Memory {
	o := e.front()
	return &resume.Memory{Dir: e.dir, Binary: binaryID(), Hidden: o.Hidden(), Env: front.Environ()}
}
