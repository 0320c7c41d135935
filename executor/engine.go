package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"gorules/executor/event"
	"gorules/executor/internal/sandbox"
)

// Main must be the first call of a program that uses an Engine: where this
// process was started as a sandbox helper it does that work and never returns.
func Main() { sandbox.Main() }

// An Engine works on one workspace. Its methods must not overlap; Abort may be
// called at any time.
type Engine struct {
	opt  Options
	root string // everything outside the workspace
	dir  string // what belongs to this workspace alone
	lock *os.File

	mu    sync.Mutex
	abort func() // kills all actions at once; nil while none can run
	gone  bool
}

// New returns an Engine for opt.Workspace.
func New(opt Options) (*Engine, error) {
	if opt.Jobs < 0 {
		return nil, &Error{Kind: BadCommandLine, Err: fmt.Errorf("--jobs=%d: want 1 or more, or 0 for the number of CPUs", opt.Jobs)}
	}
	if opt.Jobs == 0 {
		opt.Jobs = runtime.NumCPU()
	}
	if opt.Sink == nil {
		opt.Sink = func(event.Event) {}
	}
	opt.Sink = serial(opt.Sink)
	root := opt.OutputUserRoot
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, environment("no place for the cache: %w; set XDG_CACHE_HOME or HOME, or give --output_user_root", err)
		}
		root = filepath.Join(cache, "gorules")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, environment("--output_user_root: %w", err)
	}
	ws, err := filepath.EvalSymlinks(opt.Workspace)
	if err != nil {
		return nil, environment("workspace: %w", err)
	}
	opt.Workspace = ws
	if opt.DiskCache == "" {
		opt.DiskCache = filepath.Join(root, "cache")
	}
	sum := sha256.Sum256([]byte(ws))
	e := &Engine{opt: opt, root: root, dir: filepath.Join(root, "workspaces", hex.EncodeToString(sum[:8]))}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, environment("cannot keep anything below %s: %w; give --output_user_root=DIR", root, err)
	}
	return e, nil
}

// takeLock waits for the lock on this workspace's folder: two commands on one
// workspace would fetch the same repositories and write the same outputs.
func (e *Engine) takeLock(ctx context.Context) error {
	if e.lock != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(e.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return environment("lock: %w", err)
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		e.lock = f
		return nil
	}
	e.opt.Sink(event.Phase{Text: "Waiting for another gorules command in this workspace"})
	got := make(chan error, 1)
	go func() { got <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	select {
	case err = <-got:
	case <-ctx.Done():
		return &Error{Kind: Interrupted, Err: context.Cause(ctx)}
	}
	if err != nil {
		return environment("lock: %w", errors.Join(err, f.Close()))
	}
	e.lock = f
	return nil
}

// Close frees the lock.
func (e *Engine) Close() error {
	if e.lock == nil {
		return nil
	}
	return e.lock.Close()
}

// Abort kills every action at once and lets nothing new start. It serves the
// second Ctrl-C.
func (e *Engine) Abort() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	if e.abort != nil {
		e.abort()
	}
}

func (e *Engine) onAbort(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abort = f
	if e.gone && f != nil {
		f()
	}
}

// Clean removes outputs and state of the workspace; with expunge, everything
// that is kept for it alone. The cache serves other workspaces too, and stays.
func (e *Engine) Clean(ctx context.Context, expunge bool) error {
	if err := e.takeLock(ctx); err != nil {
		return err
	}
	for _, name := range []string{binLink, logsLink} {
		p := filepath.Join(e.opt.Workspace, name)
		if _, err := os.Readlink(p); err != nil {
			continue // absent, or the user's own
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return environment("clean: %w", err)
		}
	}
	gone := []string{filepath.Join(e.dir, "bin"), filepath.Join(e.dir, "testlogs"), filepath.Join(e.dir, "state")}
	if expunge {
		gone = []string{e.dir}
	}
	for _, p := range gone {
		if err := removeAll(p); err != nil {
			return environment("clean: %w", err)
		}
	}
	return nil
}

// removeAll is os.RemoveAll for trees whose folders may be read-only.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// Info returns facts about this workspace, in the order to be shown.
func (e *Engine) Info(context.Context) ([]InfoEntry, error) {
	return []InfoEntry{
		{"workspace", e.opt.Workspace},
		{"output_user_root", e.root},
		{"output_base", e.dir},
		{"disk_cache", e.opt.DiskCache},
		{"gorules-bin", filepath.Join(e.dir, "bin")},
		{"gorules-testlogs", filepath.Join(e.dir, "testlogs")},
		{"release", "gorules " + e.opt.Version},
	}, nil
}

func serial(s event.Sink) event.Sink {
	var mu sync.Mutex
	return func(ev event.Event) {
		mu.Lock()
		defer mu.Unlock()
		s(ev)
	}
}

func environment(format string, args ...any) *Error {
	return &Error{Kind: Environment, Err: fmt.Errorf(format, args...)}
}
