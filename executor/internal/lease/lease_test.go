package lease

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func name(s string) Name { return Named('t', sha256.Sum256([]byte(s))) }

func open(t *testing.T, dir string) *Lease {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func pinned(t *testing.T, dir string, n Name) bool {
	t.Helper()
	c, err := Collect(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	is := false
	if err := c.Shut(func(pinned func(Name) bool) error { is = pinned(n); return nil }); err != nil {
		t.Fatal(err)
	}
	return is
}

func TestPinnedUntilClose(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	a.Pin(name("x"), name("y"))
	b.Pin(name("y"))
	for n, want := range map[string]bool{"x": true, "y": true, "z": false} {
		if got := pinned(t, dir, name(n)); got != want {
			t.Errorf("%s: pinned is %v", n, got)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if pinned(t, dir, name("x")) || !pinned(t, dir, name("y")) {
		t.Error("after one of two leases ended, what only it pinned is free and the rest is not")
	}
}

// The list of a process that was killed is nobody's.
func TestListOfTheDead(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	a.Pin(name("x"))
	at := a.list.Name()
	a.list.Close() // as the kernel does; the file stays
	a.list = nil
	if pinned(t, dir, name("x")) {
		t.Error("pinned by nobody")
	}
	if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the list is still there: %v", err)
	}
}

// Who cannot write a list keeps everything.
func TestListCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	a.Pin(name("x"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	list := a.list
	a.list = full
	a.Pin(name("y"))
	c, err := Collect(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Shut(func(func(Name) bool) error { return nil }); !errors.Is(err, ErrBusy) {
		t.Errorf("the gate was shut: %v", err)
	}
	a.list = list
	full.Close()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Shut(func(func(Name) bool) error { return nil }); err != nil {
		t.Errorf("after the end of the process: %v", err)
	}
}

func TestFolderCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a lease below a file")
	}
	if _, err := Collect(file); err == nil {
		t.Error("a collector below a file")
	}
}

// What was seen after it was pinned stays, whatever collectors do meanwhile.
func TestSeenAfterPinStays(t *testing.T) {
	dir := t.TempDir()
	things := make([]string, 50)
	for i := range things {
		things[i] = filepath.Join(dir, fmt.Sprint("thing", i))
	}
	stop := make(chan struct{})
	var users, collectors sync.WaitGroup
	removed := 0
	collectors.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c, err := Collect(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range things {
				err := c.Shut(func(pinned func(Name) bool) error {
					if !pinned(name(p)) && os.Remove(p) == nil {
						removed++
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
			c.Close()
		}
	})
	for u := range 4 {
		users.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(u)))
			for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; {
				l, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				var have []string
				for range 5 {
					p := things[r.IntN(len(things))]
					l.Pin(name(p))
					if _, err := os.Stat(p); err != nil {
						if err := os.WriteFile(p, nil, 0o644); err != nil {
							t.Error(err)
						}
					}
					have = append(have, p)
				}
				for _, p := range have {
					if _, err := os.Stat(p); err != nil {
						t.Errorf("gone although it is pinned: %v", err)
					}
				}
				l.Close()
			}
		})
	}
	users.Wait()
	close(stop)
	collectors.Wait()
	if removed == 0 {
		t.Error("nothing was collected")
	}
}
