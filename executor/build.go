package executor

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/command"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/front"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/layout"
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
	if !r.NoCacheResults {
		st, why := memory.Load(key)
		if st != nil && e.replayLog(memory, key) {
			return command.Replay(st, begin, e.opt.Sink)
		}
		e.opt.Sink(event.Diagnostic{Severity: event.Debug, Text: "full run: " + why})
	}
	config, err := configOf(req, test)
	if err != nil {
		return nil, err
	}
	s, err := front.Open(ctx, e.front(), config, req.OutputGroups)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	c := &command.Command{
		Request: r, Key: key, Begin: begin, Sink: e.opt.Sink, Memory: memory, Front: s, OutputFacts: source.OutputFacts,
		Report: func(err error) { front.Report(e.opt.Sink, err) },
	}
	if e.opt.ExecutionLog != "" {
		c.WriteLog = func(story *narrate.Story) error { return e.writeLog(story.Entries) }
	}
	close, err := e.openBack(ctx, s, c)
	if err != nil {
		return nil, err
	}
	defer close()
	return c.Execute(ctx)
}

// openBack gives c the half of a command that runs things: store, cache, runner,
// graph. Nothing is started before an action misses the cache.
func (e *Engine) openBack(ctx context.Context, s *front.Session, c *command.Command) (close func(), err error) {
	shared := e.opt.DiskCache != filepath.Join(e.root, "cache")
	disk, err := cas.OpenDisk(e.opt.DiskCache, cas.DiskOptions{Shared: shared})
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	entries, err := run.OpenDiskCache(e.opt.DiskCache, string(sandbox.TierFull), disk, nil)
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	pool := sandbox.NewPool(e.opt.Jobs, sandbox.Options{})
	local, err := run.NewLocal(run.LocalOptions{Root: e.root, Store: disk, Sources: s.Sources, Sandbox: pool})
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	store := worker.WithSources(disk, s.Sources.Blob)
	cache := run.OnlyComplete(entries, disk)
	w := &worker.Worker{
		Store: store, Cache: cache, Sources: s.Sources,
		Runner:   run.Once(run.Cached(local, cache)),
		NoLookup: func(spec *action.Spec) bool { return spec.Test && c.NoCacheResults },
	}
	c.Text = w.Text
	c.Layout = layout.Open(layout.Options{Workspace: e.opt.Workspace, Dir: e.dir, Prefix: e.opt.SymlinkPrefix, Store: store, Digest: s.Digests.Digest})
	c.Narrator = narrate.New(ctx, narrate.Options{
		Sink: e.opt.Sink, Jobs: e.opt.Jobs, Position: s.Position, Shown: c.Layout.Shown,
		Read:   func(ctx context.Context, d digest.Digest) ([]byte, error) { return cas.ReadAll(ctx, store, d) },
		Report: c.Report,
	})
	c.Graph = func(ctx context.Context, goals []schedule.Goal, watcher schedule.Watcher) (*schedule.Report, error) {
		return schedule.Run(ctx, goals, schedule.Options{
			Jobs: e.opt.Jobs + collecting, KeepGoing: e.opt.KeepGoing, Worker: w, Watcher: watcher, Fatal: worker.HostRefuses,
		})
	}
	e.onAbort(pool.Kill)
	return func() {
		e.onAbort(nil)
		c.Narrator.Close()
		for _, err := range []error{pool.Close(), local.Close()} {
			if err != nil {
				e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: err.Error()})
			}
		}
	}, nil
}

// collecting is how many actions beyond --jobs may be under way: the sandbox
// pool admits only --jobs processes, while others are laid out or collected.
const collecting = 1

// requestKey names the state of one request: everything of it that can change
// what is made or shown, and nothing that cannot.
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

// replayLog writes the execution log of a command that does nothing, if one is
// wanted; false if what it would say is not known.
func (e *Engine) replayLog(m *resume.Memory, key string) bool {
	if e.opt.ExecutionLog == "" {
		return true
	}
	entries, ok := m.Journal(key)
	return ok && e.writeLog(resume.Replayed(entries)) == nil
}

func (e *Engine) writeLog(entries []*journal.Entry) error {
	f, err := os.Create(e.opt.ExecutionLog)
	if err != nil {
		return exit.OfMachine("--execution_log_json_file: %w", err)
	}
	defer f.Close()
	if err := journal.WriteLog(f, entries); err != nil {
		return exit.OfMachine("--execution_log_json_file: %w", err)
	}
	return f.Close()
}
