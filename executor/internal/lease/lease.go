// Package lease lets commands use the things in a folder while a collector
// removes others from it.
//
// A command pins what it relies on by name, before it looks whether it is
// there. A collector keeps the gate shut while it removes: nothing is pinned
// meanwhile, and what is pinned stays. So a thing that a command has seen after
// pinning it stays until the command ends, however long that takes, and there is
// nothing that a build must do again because its inputs were collected.
//
// Pins are told by a list, not by times: a list has no granularity, needs no
// write to the thing itself (which may belong to somebody else), and costs one
// append for all that an action needs, where marking each file would cost a write
// of its inode. The list of a process is a file that the process holds a lock on,
// so that the kernel ends the lease of one that is killed.
package lease

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// A Name is what a thing is called in the lists: a kind and a hash.
type Name [33]byte

// Named returns the name of a thing.
func Named(kind byte, hash [32]byte) Name {
	n := Name{kind}
	copy(n[1:], hash[:])
	return n
}

// folder is where the lists of a folder stand, and gate the lock that is held
// shared while one is appended to and alone while things are removed.
const (
	folder = "leases"
	gate   = "gate"
)

// A Lease is what one process relies on in a folder. It is safe for concurrent
// use; a nil one pins nothing.
type Lease struct {
	dir    string
	pinned sync.Map // Name -> struct{}: those on the list

	mu   sync.Mutex
	gate *os.File
	list *os.File
	shut bool // the gate is held until the end, since the list cannot be written
}

// Open returns the lease of this process on things in dir. Its list is made when
// there is something to pin. On a file system that is mounted read-only nothing is
// removed, and the lease pins nothing.
func Open(dir string) (*Lease, error) {
	g, err := openGate(dir)
	if errors.Is(err, unix.EROFS) {
		return &Lease{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Lease{dir: filepath.Join(dir, folder), gate: g}, nil
}

// openGate makes what is missing, for whoever may use dir.
func openGate(dir string) (*os.File, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	at := filepath.Join(dir, folder)
	err = os.Mkdir(at, info.Mode().Perm())
	if err == nil {
		err = os.Chmod(at, info.Mode().Perm())
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	p, flags := filepath.Join(at, gate), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK
	g, err := os.OpenFile(p, flags|os.O_CREATE|os.O_EXCL, info.Mode().Perm()&0o666)
	if err == nil {
		err = g.Chmod(info.Mode().Perm() & 0o666)
	} else if errors.Is(err, fs.ErrExist) {
		g, err = os.OpenFile(p, flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return g, nil
}

// Pin keeps the things called names, those that are absent too, from being
// removed until Close. It waits while a collector removes.
func (l *Lease) Pin(names ...Name) {
	if l == nil {
		return
	}
	var b []byte
	for _, n := range names {
		if _, ok := l.pinned.Load(n); !ok {
			b = append(b, n[:]...)
		}
	}
	if b == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(b)
	for _, n := range names {
		l.pinned.Store(n, struct{}{})
	}
}

// append puts names on the list, at the open gate. Where that cannot be, as on a
// full disk, the gate stays held: nothing is collected before this process ends.
func (l *Lease) append(names []byte) {
	if l.shut || l.gate == nil {
		return
	}
	if lock(l.gate, unix.LOCK_SH) != nil {
		return // a collector cannot lock it either, and removes nothing
	}
	if l.list == nil {
		l.list = makeList(l.dir)
	}
	if l.list != nil {
		if n, err := l.list.Write(names); err == nil && n == len(names) {
			_ = lock(l.gate, unix.LOCK_UN)
			return
		}
	}
	l.shut = true
}

func makeList(dir string) *os.File {
	var r [8]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, hex.EncodeToString(r[:])), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil
	}
	if lock(f, unix.LOCK_EX) != nil {
		f.Close()
		return nil
	}
	return f
}

// Close ends the lease.
func (l *Lease) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.list != nil {
		err = errors.Join(os.Remove(l.list.Name()), l.list.Close())
		l.list = nil
	}
	if l.gate != nil {
		err = errors.Join(err, l.gate.Close())
		l.gate = nil
	}
	return err
}

func lock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// A Collector removes things of one folder. It is not safe for concurrent use.
type Collector struct {
	dir   string
	gate  *os.File
	lists map[string]int64 // how much of each was read
	all   map[Name]bool
}

// ErrBusy is returned where the gate cannot be shut now.
var ErrBusy = errors.New("a command that cannot write to the disk is using the cache")

// Collect returns a collector for dir.
func Collect(dir string) (*Collector, error) {
	g, err := openGate(dir)
	if err != nil {
		return nil, err
	}
	return &Collector{dir: filepath.Join(dir, folder), gate: g, lists: map[string]int64{}, all: map[Name]bool{}}, nil
}

// Shut calls f while nothing can be pinned; pinned tells what is. f should not
// take longer than commands may be made to wait.
func (c *Collector) Shut(f func(pinned func(Name) bool) error) error {
	// Commands hold the gate for some microseconds. It is tried for long enough
	// that many of them do not keep the collector out.
	err := error(unix.EWOULDBLOCK)
	for i := 0; i < 2000 && errors.Is(err, unix.EWOULDBLOCK); i++ {
		if i > 0 {
			unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
		}
		err = lock(c.gate, unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer lock(c.gate, unix.LOCK_UN)
	if err := c.read(); err != nil {
		return err
	}
	return f(func(n Name) bool { return c.all[n] })
}

// read adds what was pinned since the last time, and drops the lists of processes
// that are no more. What is on no list any more counts as pinned for as long as
// the collector lives, which nobody minds.
func (c *Collector) read() error {
	es, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	for _, e := range es {
		if e.Name() == gate || !e.Type().IsRegular() {
			continue
		}
		if err := c.list(filepath.Join(c.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("lease: %w", err)
		}
	}
	return nil
}

func (c *Collector) list(p string) error {
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if lock(f, unix.LOCK_SH|unix.LOCK_NB) == nil {
		_ = os.Remove(p) // its process is gone; somebody else's stays until he collects
		return nil
	}
	b, err := io.ReadAll(io.NewSectionReader(f, c.lists[p], 1<<40))
	if err != nil {
		return err
	}
	size := len(Name{})
	for ; len(b) >= size; b = b[size:] {
		c.all[Name(b[:size])] = true
		c.lists[p] += int64(size)
	}
	return nil
}

// Close frees what the collector holds.
func (c *Collector) Close() error { return c.gate.Close() }
