package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"gorules/executor"
)

// interrupts turns the first SIGINT, SIGTERM or SIGHUP into the end of a context,
// and the second into the end of the process.
type interrupts struct {
	signals chan os.Signal
	done    chan struct{}
	cancel  context.CancelFunc

	mu sync.Mutex
	e  Engine
}

func watchInterrupts(parent context.Context, c *command) (context.Context, *interrupts) {
	ctx, cancel := context.WithCancel(parent)
	n := &interrupts{signals: make(chan os.Signal, 2), done: make(chan struct{}), cancel: cancel}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup, and shells that start something in the background
			signal.Notify(n.signals, s)
		}
	}
	go func() {
		select {
		case <-n.signals:
		case <-n.done:
			return
		}
		cancel()
		c.console.Infof("stopping; once more stops at once")
		select {
		case <-n.signals:
		case <-n.done:
			return
		}
		n.atOnce(c)
	}()
	return ctx, n
}

// patience bounds what the second signal waits for: the kill of every process,
// and the terminal's last line. Whatever is stuck may not keep the process.
const patience = 2 * time.Second

// grace is how long a command whose processes are dead has to remove its
// temporary folders. A later command removes what it does not manage.
const grace = time.Second

func (n *interrupts) atOnce(c *command) {
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		n.mu.Lock()
		defer n.mu.Unlock()
		if a, ok := n.e.(Aborter); ok {
			a.Abort()
		}
	}()
	late := time.After(patience)
	select {
	case <-killed:
		select {
		case <-n.done:
			return // the command ends by itself
		case <-time.After(grace):
		}
	case <-late:
	}
	c.exit(int(executor.Interrupted), late)
}

// exit ends the process; the terminal's last line is written unless that takes too long.
func (c *command) exit(code int, late <-chan time.Time) {
	closed := make(chan struct{})
	go func() { defer close(closed); c.console.Close() }()
	select {
	case <-closed:
	case <-late:
	}
	os.Exit(code)
}

// halt ends a process that something in it exhausts: nothing may take long.
func (c *command) halt(err error) { c.exit(c.exitCode(err), time.After(50*time.Millisecond)) }

// engine tells who is to be stopped by the second signal.
func (n *interrupts) engine(e Engine) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.e = e
}

func (n *interrupts) stop() {
	signal.Stop(n.signals)
	close(n.done)
	n.cancel()
}
