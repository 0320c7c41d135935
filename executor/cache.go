package executor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/gc"
	"gorules/executor/internal/lease"
)

// NoBudget is the budget of a folder that is never trimmed.
const NoBudget = -1

// shared reports whether the user named a store of his own.
func (e *Engine) shared() bool { return e.opt.DiskCache != filepath.Join(e.root, "cache") }

// private is what --cache_budget is for.
func (e *Engine) private() gc.Folder {
	f := gc.Folder{Root: e.root, Store: filepath.Join(e.root, "cache")}
	if e.lock != nil {
		f.Held = e.id
	}
	return f
}

// budget is that of the private folder.
func (e *Engine) budget() int64 {
	if e.opt.CacheBudget == 0 {
		return gc.Default(e.root)
	}
	return e.opt.CacheBudget
}

// pin keeps what is kept for this workspace, until unpin.
func (e *Engine) pin() (unpin func(), err error) {
	l, err := lease.Open(e.root)
	if err != nil {
		return nil, exit.OfMachine("%w", e.full(err))
	}
	l.Pin(gc.PinnedWorkspace(e.id))
	e.lease = l
	return func() {
		e.lease = nil
		_ = l.Close() // what is left of it is found to be nobody's
	}, nil
}

// trim ends a command that took wall and added bytes to the store: a part of what
// keeps the cache to its budget is done. It returns how the command ended, with
// what to do where the disk was full.
func (e *Engine) trim(ctx context.Context, wall time.Duration, added int64, ended error) error {
	ended = e.full(ended)
	if ctx.Err() != nil {
		return ended
	}
	f, own, budget := e.private(), added, e.budget()
	if e.shared() {
		own = 0
	}
	var err error
	if e.fetched {
		err = gc.Forget(f)
	}
	slice := func(f gc.Folder, flag string, budget, added int64) {
		over, serr := gc.Slice(ctx, f, budget, added, wall)
		err = errors.Join(err, serr)
		if over > 0 {
			e.opt.Sink(event.Diagnostic{Severity: event.Warning,
				Text: fmt.Sprintf("%s more is kept than the %s of %s, since commands that run, or the next one here, need it", Bytes(over), Bytes(budget), flag),
				Hint: "a larger budget keeps results too; `gorules cache stats` shows what there is"})
		}
	}
	slice(f, "--cache_budget", budget, own)
	if e.shared() && e.opt.DiskCacheBudget > 0 {
		slice(gc.Folder{Store: e.opt.DiskCache}, "--disk_cache_gc_max_size", e.opt.DiskCacheBudget, added)
	}
	if err != nil && ctx.Err() == nil {
		e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("the cache was not trimmed: %v", err), Hint: e.advice(err)})
	}
	return ended
}

// full adds to the error of a full disk what fills it and what to do.
func (e *Engine) full(err error) error {
	hint := e.advice(err)
	if hint == "" {
		return err
	}
	out := &Error{Kind: Environment}
	var known *Error
	if errors.As(err, &known) {
		out.Kind, out.Reported = known.Kind, known.Reported
	}
	d := diag.Of(err)
	out.Err = diag.Wrap(d.Position(), err, d.Text()).WithHint(hint)
	return out
}

// advice is what to do about err where it says that the disk is full; "" otherwise.
func (e *Engine) advice(err error) string {
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return ""
	}
	folder, dir, frees := e.private(), e.root, "`gorules cache gc --budget=SIZE`"
	if e.shared() {
		folder, dir = gc.Folder{Store: e.opt.DiskCache}, e.opt.DiskCache
		frees = "`gorules cache gc --disk_cache=" + dir + " --disk_cache_gc_max_size=SIZE`"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	kind, bytes := gc.Largest(ctx, folder)
	if bytes == 0 {
		return "make room on the disk that holds " + dir
	}
	return fmt.Sprintf("most of what gorules keeps in %s is %s, %s; %s frees what was not used for longest, `gorules cache stats` tells more",
		dir, kind, Bytes(bytes), frees)
}

// Bytes writes a number of bytes for people.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/(1<<10), "KMGT"
	for v >= 999.95 && len(units) > 1 {
		v, units = v/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %cB", v, units[0])
}

// folders are those that the questions of `cache` are about.
func (e *Engine) folders() []CacheFolder {
	out := []CacheFolder{{Dir: e.root, Budget: e.budget()}}
	if e.shared() {
		budget := e.opt.DiskCacheBudget
		if budget == 0 {
			budget = NoBudget
		}
		out = append(out, CacheFolder{Dir: e.opt.DiskCache, Budget: budget, Named: true})
	}
	return out
}

func (e *Engine) collected(f CacheFolder) gc.Folder {
	if f.Named {
		return gc.Folder{Store: f.Dir}
	}
	return e.private()
}

// CacheStats tells what is stored, and whose it is.
func (e *Engine) CacheStats(ctx context.Context) (out []CacheFolder, err error) {
	defer e.guard(&err)
	for _, f := range e.folders() {
		s, err := gc.Measure(ctx, e.collected(f))
		if err != nil {
			return nil, e.collecting(ctx, err)
		}
		for _, k := range gc.Kinds {
			if n, ok := s.Kinds[k]; ok {
				f.Kinds = append(f.Kinds, CacheSize{Name: string(k), Bytes: n.Bytes, Things: n.Things})
			}
		}
		f.Used = s.Budgeted()
		f.Workspaces, f.Toolchains = shares(s.Workspaces), shares(s.Toolchains)
		out = append(out, f)
	}
	return out, nil
}

func shares(in []gc.Share) (out []CacheSize) {
	for _, s := range in {
		c := CacheSize{Name: s.Name, Gone: s.Gone, Bytes: s.Sizes.Total(), Kinds: map[string]int64{}}
		for k, n := range s.Sizes {
			c.Things += n.Things
			c.Kinds[string(k)] = n.Bytes
		}
		out = append(out, c)
	}
	return out
}

// CacheGC frees what was not used for longest, at once.
func (e *Engine) CacheGC(ctx context.Context, r CacheGCRequest) (out []CacheFolder, err error) {
	defer e.guard(&err)
	only := gc.Selection{Kind: gc.Kind(r.Kind), Workspace: r.Workspace, Toolchain: r.Toolchain}
	if only.Kind != "" && (only.Kind == gc.Outputs || !slices.Contains(gc.Kinds, only.Kind)) {
		return nil, exit.New(BadCommandLine, "--kind=%s: expected one of content, results, trees, fetched, states", r.Kind)
	}
	for _, f := range e.folders() {
		budget := f.Budget
		switch {
		case f.Named && budget == NoBudget:
			f.Skipped = true
			out = append(out, f)
			continue
		case f.Named:
		case r.Budget != nil:
			budget = *r.Budget
		case only != gc.Selection{}:
			budget = 0
		}
		if budget == NoBudget {
			budget = 1<<63 - 1
		}
		freed, err := gc.Collect(ctx, e.collected(f), budget, only)
		if err != nil {
			return nil, e.collecting(ctx, err)
		}
		f.Used = freed.Left
		for _, k := range gc.Kinds {
			if n := freed.Things[k]; n > 0 {
				f.Kinds = append(f.Kinds, CacheSize{Name: string(k), Bytes: freed.Bytes[k], Things: n})
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// CacheVerify reads all content, results and trees, and removes what is wrong.
func (e *Engine) CacheVerify(ctx context.Context) (out []CacheFolder, err error) {
	defer e.guard(&err)
	for _, f := range e.folders() {
		v, err := gc.Verify(ctx, e.collected(f))
		if err != nil {
			return nil, e.collecting(ctx, err)
		}
		for _, k := range gc.Kinds {
			if n, ok := v.Checked[k]; ok {
				f.Kinds = append(f.Kinds, CacheSize{Name: string(k), Things: n})
			}
		}
		f.Useless = v.Useless
		for _, w := range v.Wrong {
			f.Wrong = append(f.Wrong, CacheWrong{string(w.Kind), w.Path, w.Reason})
		}
		out = append(out, f)
	}
	return out, nil
}

// collecting gives an error of package gc its kind.
func (e *Engine) collecting(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit.New(Interrupted, "interrupted")
	}
	return exit.OfMachine("%w", e.full(err))
}
