package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/run"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

// back is the half of a command that runs things: store, cache, runner, graph.
type back struct {
	e      *Engine
	pool   *sandbox.Pool
	runner *run.Local
	peer   *peer
	graph  *schedule.Scheduler
	watch  *watcher
	out    *outputs
}

// openBack opens the store and the sandbox. Nothing is started before an
// action misses the cache.
func (e *Engine) openBack(ctx context.Context, s *session, noLookup func(*action.Spec) bool) (*back, error) {
	shared := e.opt.DiskCache != filepath.Join(e.root, "cache")
	store, err := cas.OpenDisk(e.opt.DiskCache, cas.DiskOptions{Shared: shared})
	if err != nil {
		return nil, environment("%w", err)
	}
	entries, err := run.OpenDiskCache(e.opt.DiskCache, string(sandbox.TierFull), store, nil)
	if err != nil {
		return nil, environment("%w", err)
	}
	b := &back{e: e, pool: sandbox.NewPool(e.opt.Jobs, sandbox.Options{})}
	b.runner, err = run.NewLocal(run.LocalOptions{Root: e.root, Store: store, Sources: s.sources, Executor: b.pool})
	if err != nil {
		return nil, environment("%w", err)
	}
	blobs := sourceStore{store, s.sources}
	b.peer = &peer{
		store:   blobs,
		cache:   run.Complete(entries, store),
		runner:  b.runner,
		sources: s.sources,
	}
	b.watch = newWatcher(ctx, s, blobs)
	b.out = &outputs{workspace: e.opt.Workspace, bin: filepath.Join(e.dir, "bin"), logs: filepath.Join(e.dir, "testlogs"), store: blobs, digests: s.digests}
	b.graph = schedule.New(schedule.Options{
		Jobs:       e.opt.Jobs + collecting,
		KeepGoing:  e.opt.KeepGoing,
		Executor:   b.peer,
		OnStart:    b.watch.start,
		OnDone:     b.watch.done,
		OnShow:     b.watch.told,
		NoLookup:   noLookup,
		Fatal:      hostRefuses,
		OnProgress: b.watch.progress,
	})
	e.onAbort(b.pool.Kill)
	return b, nil
}

// hostRefuses tells errors of this machine from those of an action: it lets no
// sandbox be built, or its disk is full. Nothing else would go better.
func hostRefuses(err error) bool {
	var step *sandbox.StepError
	if errors.As(err, &step) {
		return true
	}
	for _, no := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// collecting is how many actions beyond --jobs may be under way: the sandbox
// pool admits only --jobs processes, while others are laid out or collected.
const collecting = 1

func (b *back) close() {
	b.e.onAbort(nil)
	if err := errors.Join(b.pool.Close(), b.runner.Close()); err != nil {
		b.e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: err.Error()})
	}
}

// testTime sums how long the test actions of a target ran, and says whether
// all of them came from a cache.
func (w *watcher) testTime(l label.Label) (time.Duration, bool) {
	var sum time.Duration
	cached := true
	for _, en := range w.entries {
		if en.Owner == l {
			cached = cached && en.CacheHit
			if !en.CacheHit {
				sum += en.Wall
			}
		}
	}
	return sum, cached
}

// save writes the execution log, the reasons for what ran, and the state that
// lets the same command do nothing next time.
func (b *building) save(key string, result error) error {
	if b.back == nil {
		return nil
	}
	entries := b.back.watch.entries
	err := errors.Join(b.e.writeLog(entries), b.e.remember(entries))
	var kind ErrorKind
	if result != nil {
		var known *Error
		if !errors.As(result, &known) || known.Kind != TestsFailed {
			return errors.Join(err, os.RemoveAll(b.e.statePath(key)))
		}
		kind = known.Kind
	}
	facts, ferr := source.OutputFacts(append(b.laid, filepath.Join(b.e.opt.Workspace, binLink), filepath.Join(b.e.opt.Workspace, logsLink)))
	if ferr != nil {
		return errors.Join(err, ferr)
	}
	body, jerr := journal.Encode(entries)
	if jerr == nil {
		jerr = source.WriteChecked(b.e.statePath(key)+".journal", journalMagic, body)
	}
	st := &state{
		Repos:   b.repos.Used(),
		Sources: b.sources.Facts(),
		Outputs: facts,
		Events:  append(append([]event.Event{}, b.back.watch.outputs...), append(b.summary, b.final)...),
		Kind:    kind,
	}
	return errors.Join(err, jerr, b.e.saveState(key, st))
}

// replay says what the last run of the same command said: nothing changed.
func (e *Engine) replay(key string, st *state, begin time.Time) error {
	if e.opt.ExecutionLog != "" {
		entries, err := e.loadJournal(e.statePath(key) + ".journal")
		if err != nil {
			return err
		}
		for _, en := range entries {
			en.CacheHit, en.Runner = true, upToDate
		}
		if err := e.writeLog(entries); err != nil {
			return err
		}
	}
	for _, ev := range st.Events {
		switch x := ev.(type) {
		case event.TargetDone:
			x.Cached, x.Wall = true, 0
			if x.Status == event.Built {
				x.Status = event.UpToDate
			}
			ev = x
		case event.Finished:
			x.UpToDate, x.Wall = true, time.Since(begin)
			x.ByRunner = map[string]int{upToDate: x.Processes}
			ev = x
		}
		e.opt.Sink(ev)
	}
	if st.Kind != 0 {
		return &Error{Kind: st.Kind, Err: errors.New("tests failed"), Reported: true}
	}
	return nil
}

// upToDate is the runner of an action that was not even looked up.
const upToDate = "up to date"

func (e *Engine) loadJournal(p string) ([]*journal.Entry, error) {
	b, ok := source.ReadChecked(p, journalMagic)
	if !ok {
		return nil, nil
	}
	return journal.Decode(b)
}

func (e *Engine) writeLog(entries []*journal.Entry) error {
	if e.opt.ExecutionLog == "" {
		return nil
	}
	f, err := os.Create(e.opt.ExecutionLog)
	if err != nil {
		return environment("--execution_log_json_file: %w", err)
	}
	return errors.Join(journal.WriteLog(f, entries), f.Close())
}

// remember keeps the latest entry of each piece of work for `why`, and why
// those that ran now did. A build that only found results is remembered too:
// the next one replaces them.
func (e *Engine) remember(entries []*journal.Entry) error {
	p := filepath.Join(e.dir, "history")
	old, err := e.loadJournal(p)
	if err != nil {
		old = nil // another version's: explanations start anew
	}
	latest := journal.NewHistory(old)
	var why []WhyEntry
	for _, en := range entries {
		if !en.CacheHit {
			why = append(why, WhyEntry{en.Owner, en.Mnemonic, en.Progress, journal.Explain(latest.Before(en), en)})
		}
	}
	merged := latest.With(entries)
	body, err := journal.Encode(merged)
	if err != nil {
		return err
	}
	err = source.WriteChecked(p, journalMagic, body)
	if why == nil {
		return err // `why` tells of the last build that ran something
	}
	return errors.Join(err, e.saveWhy(why))
}
