// Package ui shows what a command does: it renders the events of package event
// on a terminal (with a status line that is redrawn), on a pipe (plain lines)
// or as JSON records. It decides nothing about the build, reads only what it
// shows (source excerpts, test logs), and writes only to the two writers given.
//
// Results (the lines of targets, the text of tests) go to Out, everything
// about the run to Err, as in Bazel.
package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gorules/executor/event"
)

// Config says where and how to render. The zero values of the optional fields
// give plain, uncoloured lines.
type Config struct {
	Out, Err io.Writer

	OutColor, ErrColor bool

	// Live is set where Err is a terminal that may be redrawn; Size tells its
	// columns and rows, each time anew, so a resized window needs no signal.
	Live bool
	Size func() (columns, rows int)

	JSON  bool // diagnostics, and what else goes to Err, as JSON records
	Level zerolog.Level

	Test            bool   // the command is a test: the verdict speaks of checks
	TestOutput      string // summary, errors, all, streamed
	ShowResult      int    // up to how many built targets get a line
	VerboseFailures bool   // show the command line of what failed
	Subcommands     bool   // show each action that runs

	Root string           // of the workspace: for excerpts and logs
	Now  func() time.Time // nil means time.Now
}

// How often the view may change.
const (
	redrawEvery = 100 * time.Millisecond
	plainEvery  = 10 * time.Second // a status line in a CI log
	longRunning = time.Second      // from then on an action has its own line
)

// Console renders events. Its methods may be called from several goroutines.
type Console struct {
	mu     sync.Mutex
	cfg    Config
	log    zerolog.Logger
	start  time.Time
	stop   chan struct{}
	closed sync.Once
	ticked sync.WaitGroup

	phase    string
	progress event.Progress
	running  map[int]event.ActionStarted
	drawn    []string // lines of the live view that are on the screen now
	said     time.Time
	targets  []event.TargetDone
	ended    *event.Finished
}

// New returns a Console and, until Close, keeps its status line up to date.
func New(cfg Config) *Console {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.JSON {
		cfg.Live = false
	}
	c := &Console{cfg: cfg, start: cfg.Now(), stop: make(chan struct{}), running: map[int]event.ActionStarted{}}
	c.said = c.start
	c.log = newLogger(c)
	every := time.Second
	if cfg.Live {
		every = redrawEvery
	}
	c.ticked.Go(func() { c.tick(every) })
	return c
}

func (c *Console) tick(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-t.C:
			c.mu.Lock()
			c.refresh()
			c.mu.Unlock()
		}
	}
}

// Close takes the status line away; it does not come back. Calling it again is fine.
func (c *Console) Close() {
	c.closed.Do(func() { close(c.stop) })
	c.ticked.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
}

// End shows the last line of a build or test, if there was one: what it came to.
// It is good news only where the process's exit code is 0.
func (c *Console) End(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		c.verdict(*c.ended, code)
		c.ended = nil
	}
}

// Diagnose shows one diagnostic of the command line itself.
func (c *Console) Diagnose(d event.Diagnostic) { c.Event(d) }

// Infof shows one INFO line.
func (c *Console) Infof(format string, args ...any) {
	c.Event(event.Diagnostic{Severity: event.Info, Text: fmt.Sprintf(format, args...)})
}

// Event renders e. It is an event.Sink.
func (c *Console) Event(e event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case event.Diagnostic:
		c.diagnostic(e)
	case event.Printed:
		c.printed(e)
	case event.Output:
		c.output(e)
	case event.Phase:
		c.enter(e.Text)
	case event.ActionStarted:
		c.running[e.ID] = e
		if c.cfg.Subcommands {
			c.subcommand(e)
		}
	case event.ActionFinished:
		delete(c.running, e.ID)
	case event.Progress:
		c.progress = e
	case event.ActionFailed:
		c.failed(e)
	case event.TargetDone:
		c.targets = append(c.targets, e)
		c.target(e)
	case event.BrokenOff:
		c.brokenOff()
	case event.Finished:
		c.finished(e)
	}
}

// enter notes the phase. Without a live view, one that may take long (fetching,
// waiting for a lock) gets a line of its own.
func (c *Console) enter(phase string) {
	if phase == c.phase {
		return
	}
	c.phase = phase
	e := c.log.Debug()
	switch phase {
	case "", "Loading", "Analyzing", "Running":
	default:
		if !c.cfg.Live {
			e = c.log.Info()
		}
	}
	e.Msg(phase)
}

// print writes text for the user, with the status line out of its way.
func (c *Console) print(w io.Writer, color bool, text string) {
	if text == "" {
		return
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	c.erase()
	io.WriteString(w, sanitize(text, color)) // a writer that fails is its owner's matter
}

func (c *Console) printErr(text string) { c.print(c.cfg.Err, c.cfg.ErrColor, text) }
func (c *Console) printOut(text string) { c.print(c.cfg.Out, c.cfg.OutColor, text) }

func (c *Console) output(e event.Output) {
	if c.cfg.JSON {
		c.log.Info().Str("event", "output").Stringer("target", e.Owner).Bool("cached", e.Cached).Msg(sanitize(e.Text, false))
		return
	}
	c.printErr(e.Text)
}

func (c *Console) subcommand(e event.ActionStarted) {
	if c.cfg.JSON {
		c.log.Info().Str("event", "subcommand").Stringer("target", e.Owner).Str("mnemonic", e.Mnemonic).Str("dir", e.Dir).Strs("argv", e.Argv).Msg(e.Progress)
		return
	}
	c.printErr(fmt.Sprintf("SUBCOMMAND: # %s [%s]\n(cd %s && \\\n  %s)", e.Owner, actionName(e.Mnemonic, e.Progress), e.Dir, commandLine(e.Argv)))
}

// failed shows an action's failure: its own words first, then which action of
// which target it was, then what would help.
func (c *Console) failed(e event.ActionFailed) {
	what := actionName(e.Mnemonic, e.Progress)
	if c.cfg.JSON {
		c.log.Error().Str("event", "action failed").Stringer("target", e.Owner).Str("mnemonic", e.Mnemonic).
			Stringer("position", e.Position).Str("reason", e.Reason).Strs("argv", e.Argv).Strs("notes", e.Notes).
			Str("stderr", sanitize(e.Stderr, false)).Msg(what + ": " + e.Reason)
		return
	}
	p := paint(c.cfg.ErrColor)
	var b strings.Builder
	if e.Stderr != "" {
		b.WriteString(strings.TrimRight(e.Stderr, "\n") + "\n")
	}
	b.WriteString(p.red("ERROR:") + " ")
	if !e.Position.IsZero() {
		b.WriteString(e.Position.String() + ": ")
	}
	if !strings.Contains(what, e.Owner.String()) {
		b.WriteString(e.Owner.String() + ": ")
	}
	fmt.Fprintf(&b, "%s: %s\n", what, e.Reason)
	for _, n := range e.Notes {
		b.WriteString(indent(n, "  ") + "\n")
	}
	if len(e.Argv) > 0 && c.cfg.VerboseFailures {
		b.WriteString("  " + p.dim(commandLine(e.Argv)) + "\n")
	}
	c.printErr(b.String())
}

// actionName avoids "Rustc Rustc hello-core" and "Genrule Executing genrule".
func actionName(mnemonic, progress string) string {
	switch {
	case progress == "":
		return mnemonic
	case strings.Contains(strings.ToLower(progress), strings.ToLower(mnemonic)):
		return progress
	}
	return mnemonic + " " + progress
}

// longest returns the actions that run for a while, the oldest first.
func (c *Console) longest(now time.Time) []event.ActionStarted {
	var list []event.ActionStarted
	for _, a := range c.running {
		if now.Sub(a.Start) >= longRunning {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b event.ActionStarted) int {
		if d := a.Start.Compare(b.Start); d != 0 {
			return d
		}
		return a.ID - b.ID
	})
	return list
}
