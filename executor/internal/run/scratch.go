package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/fsx"
)

// scratch gives out new directories of the disk and takes them back. None is
// given out twice: a directory that was used tells of its use by its size and
// its flags. What an action leaves in one besides its outputs is removed in the
// background.
//
// They stand in a folder of this process, which holds a lock on it and is made
// when it is first wanted, so that a command that runs nothing does not pay for
// it; folders whose process is gone are then removed. Nobody waits for that.
type scratch struct {
	fs   *fsx.FS
	root string
	open func() error // once
	dir  string       // of this process, after open
	lock *os.File

	n   atomic.Int64
	wg  sync.WaitGroup
	sem chan struct{}
}

const lockName = "lock"

func newScratch(root string, fsys *fsx.FS) *scratch {
	s := &scratch{fs: fsys, root: root, sem: make(chan struct{}, 1)}
	s.open = sync.OnceValue(s.make)
	return s
}

// folder returns the folder of this process.
func (s *scratch) folder() (string, error) {
	err := s.open()
	return s.dir, err
}

func (s *scratch) make() error {
	if err := s.fs.MkdirAll(s.root, 0o700); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	// Made and locked under a lock on root, so that nobody sweeps it in between.
	all, err := os.Open(s.root)
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer all.Close()
	if err := unix.Flock(int(all.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("scratch folder: locking %s: %w", s.root, err)
	}
	s.sweep(s.root)
	if s.dir, err = os.MkdirTemp(s.root, "p"); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	s.fs.Spread(s.dir)
	if s.lock, err = os.Create(filepath.Join(s.dir, lockName)); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("scratch folder: locking: %w", err)
	}
	return nil
}

// sweep takes the folders of dead processes out of the way and removes them in
// the background.
func (s *scratch) sweep(root string) {
	es, _ := os.ReadDir(root)
	for _, e := range es {
		p := filepath.Join(root, e.Name())
		f, err := s.fs.OpenFile(filepath.Join(p, lockName))
		if err == nil {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			f.Close()
			if err != nil {
				continue // alive
			}
		}
		go s.fs.RemoveAll(p)
	}
}

// get returns a new directory of mode 0755.
func (s *scratch) get() (string, error) {
	if err := s.open(); err != nil {
		return "", err
	}
	p := filepath.Join(s.dir, strconv.FormatInt(s.n.Add(1), 10))
	if err := s.fs.Mkdir(p, 0o755); err != nil {
		return "", fmt.Errorf("scratch folder: %w", err)
	}
	if err := os.Chmod(p, 0o755); err != nil {
		return "", fmt.Errorf("scratch folder: %w", err)
	}
	return p, nil
}

// put takes a directory back; "" stands for none. Nothing may use it any more.
func (s *scratch) put(dir string) {
	if dir == "" || s.fs.Remove(dir) == nil {
		return // its outputs were all there was, and they are in the store
	}
	s.wg.Go(func() {
		s.sem <- struct{}{} // one at a time: it is no hurry
		defer func() { <-s.sem }()
		s.fs.RemoveAll(dir)
	})
}

// close waits for the background and removes the folder.
func (s *scratch) close() error {
	s.wg.Wait()
	if s.lock == nil {
		return nil // never wanted
	}
	defer s.lock.Close()
	if err := s.fs.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("removing the scratch folder: %w", err)
	}
	return nil
}
