package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"gorules/executor/event"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/front"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/gc"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/lease"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/supervise"
)

// Main must be the first call of a program that uses an Engine: where this
// process was started to help one it does that work and never returns.
func Main() {
	sandbox.Main()
	supervise.Main()
}

// An Engine works on one workspace. Its methods must not overlap; Abort may be
// called at any time.
type Engine struct {
	opt  Options
	root string // everything outside the workspace
	id   string // of the workspace, in names of files
	dir  string // what belongs to this workspace alone
	lock *os.File

	lease   *lease.Lease // while a command is at work
	fetched bool         // something was

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
			return nil, exit.OfMachine("no place for the cache: %w; set XDG_CACHE_HOME or HOME, or give --output_user_root", err)
		}
		root = filepath.Join(cache, "gorules")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, exit.OfMachine("--output_user_root: %w", err)
	}
	ws, err := filepath.EvalSymlinks(opt.Workspace)
	if err != nil {
		return nil, exit.OfMachine("workspace: %w", err)
	}
	opt.Workspace = ws
	private := filepath.Join(root, "cache")
	if opt.DiskCache == "" {
		opt.DiskCache = private
	}
	sum := sha256.Sum256([]byte(ws))
	e := &Engine{opt: opt, root: root, id: hex.EncodeToString(sum[:8])}
	e.dir = filepath.Join(root, "workspaces", e.id)
	folders := []string{"locks", "workspaces/" + e.id + "/state"}
	if opt.DiskCache == private {
		folders = append(folders, "cache")
	}
	for _, below := range folders {
		err = errors.Join(err, fsx.Plain.Folder(root, below, 0o700))
	}
	if err != nil {
		return nil, exit.OfMachine("cannot keep anything below %s: %w; give --output_user_root=DIR", root, err)
	}
	if ws != "" {
		if err := gc.Note(e.dir, ws); err != nil && !errors.Is(err, unix.EROFS) {
			return nil, exit.OfMachine("cannot keep anything below %s: %w; give --output_user_root=DIR", root, e.full(err))
		}
	}
	return e, nil
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
func (e *Engine) Clean(ctx context.Context, expunge bool) (err error) {
	defer e.guard(&err)
	if err := e.takeLock(ctx); err != nil {
		return err
	}
	if err := layout.Unlink(e.opt.Workspace, e.dir, e.opt.SymlinkPrefix); err != nil {
		return exit.OfMachine("clean: %w", err)
	}
	gone := []string{e.dir}
	if !expunge {
		gone = nil
		for _, name := range []string{"bin", "testlogs", "state", "outputs", "mirrors"} {
			gone = append(gone, filepath.Join(e.dir, name))
		}
	}
	for _, p := range gone {
		if err := fsx.Plain.RemoveAll(p); err != nil {
			return exit.OfMachine("clean: %w", err)
		}
	}
	return nil
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

// guard is to be deferred: a fault of gorules is an error with a report.
func (e *Engine) guard(err *error) {
	if b := bug.Recovered(recover()); b != nil {
		*err = b
	}
	var fault *bug.Error
	var known *Error
	if errors.As(*err, &fault) && !errors.As(*err, &known) {
		*err = &Error{Kind: Internal, Err: fault}
	}
}

// front is where the front end of this workspace finds things.
func (e *Engine) front() front.Options {
	return front.Options{Workspace: e.opt.Workspace, Root: e.root, Dir: e.dir, DiskCache: e.opt.DiskCache, Rules: e.opt.Rules,
		Lockfile: e.opt.LockfileMode, Limits: e.opt.Limits, Jobs: e.opt.Jobs, KeepGoing: e.opt.KeepGoing, Sink: e.opt.Sink, Lock: e.lockRepository, LockFile: e.lockLockfile}
}

// binaryID tells one build of gorules from another without reading it.
func binaryID() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(exe)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}
