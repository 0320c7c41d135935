package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gorules/executor/event"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/fsx"
)

// locks is where lock files stand: beside what belongs to workspaces, so that
// removing that removes no lock that somebody waits for.
func (e *Engine) locks() string { return filepath.Join(e.root, "locks") }

// takeLock waits for the lock on this workspace: two commands on it would write
// the same outputs.
func (e *Engine) takeLock(ctx context.Context) error {
	if e.lock != nil {
		return nil
	}
	f, err := e.flock(ctx, e.id, "Waiting for another gorules command in this workspace")
	e.lock = f
	return err
}

// lockRepository waits until nobody else fetches the repository, and keeps others
// from doing so. Questions, which take no lock on the workspace, fetch too.
func (e *Engine) lockRepository(ctx context.Context, repo string) (unlock func(), err error) {
	f, err := e.flock(ctx, e.id+"@"+repo, "Waiting for another gorules command that fetches @"+repo)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lockLockfile waits until nobody else writes gorules.lock, and keeps others from doing so.
func (e *Engine) lockLockfile(ctx context.Context) (unlock func(), err error) {
	f, err := e.flock(ctx, e.id+"@", "Waiting for another gorules command that writes gorules.lock")
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// flock takes the lock called name. Where another process has it, waiting says
// so, with that process's id. The holder's id stands in the file; the lock itself
// is the kernel's and ends with the process.
func (e *Engine) flock(ctx context.Context, name, waiting string) (*os.File, error) {
	f, err := fsx.Plain.OpenLock(filepath.Join(e.locks(), name))
	if err != nil {
		return nil, exit.OfMachine("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		e.opt.Sink(event.Phase{Text: waiting + holder(f)})
		got := make(chan error, 1)
		go func() { got <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
		select {
		case err = <-got:
		case <-ctx.Done():
			return nil, exit.New(exit.Interrupted, "interrupted")
		}
	}
	if err != nil {
		return nil, exit.OfMachine("lock: %w", errors.Join(err, f.Close()))
	}
	// Only for people: an id that could not be written is not shown.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return f, nil
}

// holder names the process that has the lock of f; "" if that is not known.
func holder(f *os.File) string {
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", id)
}
