// Package cli is the command line of gorules: it reads rc files and flags,
// chooses a verb, starts the engine through the Engine interface, and maps
// what comes back to one exit code. It builds nothing itself, and nothing in it
// is global: an App holds what a process has.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"gorules/cmd/gorules/internal/flags"
	"gorules/cmd/gorules/internal/rc"
	"gorules/cmd/gorules/internal/ui"
	"gorules/cmd/gorules/internal/workspace"
	"gorules/executor"
)

// App is a process as far as the command line is concerned.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
	Dir            string // current folder, absolute
	DirErr         error  // why Dir is not known, where it is not
	Version        string
	Rules          fs.FS // the embedded repositories, for help

	NewEngine func(context.Context, executor.Options) (Engine, error)

	// Exec replaces the process by a program; it returns only on failure.
	Exec func(argv, env []string, dir string) error
}

// command is one verb being run.
type command struct {
	*App
	out, err *output // Stdout and Stderr
	verb     verb
	opts     *options
	operands []string
	rest     []string
	dashes   bool
	ws       workspace.Workspace // zero outside one
	console  *ui.Console
	engine   Engine
	notify   *interrupts
	fromRC   []flags.Arg
}

// Main runs one command line (without the program's name) and returns the exit code.
func (a *App) Main(ctx context.Context, args []string) int {
	// A closed pipe is to be an error of the write: the signal would end the
	// process in the middle of a command. Programs that are started do not
	// inherit this, as they would inherit that the signal is ignored.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Standard output gets what a command came to, at its end. Who does not read
	// standard error any more has gone away in the middle.
	c := &command{App: a, opts: defaults(), out: &output{w: a.Stdout}, err: &output{w: a.Stderr, broken: cancel}}
	err := guarded(func() error {
		if err := c.prepare(args); err != nil {
			return badLine("%w", err)
		}
		return nil
	})
	c.console = ui.New(c.view())
	if err == nil {
		err = c.start(ctx)
	}
	code := c.report(err)
	if code != brokenPipe {
		c.console.End(code)
	}
	c.console.Close()
	return code
}

// guarded calls f. A panic of it is an error, so that the command still ends in
// good order.
func guarded(f func() error) (err error) {
	defer func() {
		if fault := executor.Recovered(recover()); fault != nil {
			err = fault
		}
	}()
	return f()
}

// report shows err, and what kept standard output from being written, and
// returns the exit code.
func (c *command) report(err error) int {
	lost := c.out.failure()
	code := c.exitCode(err)
	switch {
	case errors.Is(lost, syscall.EPIPE) || errors.Is(c.err.failure(), syscall.EPIPE):
		if code == 0 || code == int(executor.Interrupted) {
			return brokenPipe
		}
	case lost != nil:
		lost = &executor.Error{Kind: executor.Environment, Err: fmt.Errorf("standard output could not be written: %w", lost)}
		if err == nil {
			err = lost
			code = c.exitCode(err)
		} else {
			c.diagnose(lost)
		}
	}
	c.diagnose(err)
	return code
}

// diagnose shows err, unless it was shown before.
func (c *command) diagnose(err error) {
	if d, ok := c.diagnosis(err); ok {
		d.Position.File = c.shown(d.Position.File)
		c.console.Diagnose(d)
	}
}

// start runs the verb, with interrupts turned into the end of ctx.
func (c *command) start(ctx context.Context) error {
	ctx, c.notify = watchInterrupts(ctx, c)
	defer c.notify.stop()
	if c.opts.announceRC {
		c.announce()
	}
	err := guarded(func() error { return c.verb.run(ctx, c) })
	if c.engine != nil {
		if cerr := c.engine.Close(); cerr != nil && err == nil {
			err = cerr
		}
	}
	if err == nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// prepare finds verb and workspace, and reads rc files and flags.
func (c *command) prepare(args []string) error {
	table := c.opts.table()
	i := table.Verb(args)
	switch {
	case slices.Contains(args[:max(i, 0)], "--help"), i < 0 && (len(args) == 0 || slices.Contains(args, "--help") || slices.Contains(args, "-h")):
		c.verb = find("help")
		return nil
	case i < 0 && slices.Contains(args, "--version"):
		c.verb = find("version")
		return nil
	case i < 0:
		return withHint(badLine("a verb is missing"), "`gorules help` lists them")
	}
	name := args[i]
	words := slices.Concat(args[:i], args[i+1:])
	c.verb = find(name)
	if c.verb.run == nil {
		return unknownVerb(name)
	}
	if before, _, _ := cutWords(words, "--"); slices.Contains(before, "--help") || slices.Contains(before, "-h") {
		c.verb = find("help")
		c.operands = []string{name}
		return nil
	}
	if name == "help" && len(words) == 1 && strings.HasPrefix(words[0], "-") {
		c.operands = words // gorules help --jobs
		return nil
	}
	var err error
	if c.ws, err = c.findWorkspace(); err != nil && !c.verb.anywhere && (c.verb.workspace || !errors.Is(err, workspace.ErrNotFound)) {
		return err
	}

	line := make([]flags.Arg, len(words))
	for i, w := range words {
		line[i] = flags.Arg{Text: w}
	}
	lines, err := c.rcLines(line)
	if err != nil {
		return err
	}
	all, err := rc.Words(lines, append(slices.Clip(c.verb.inherits), name), line)
	if err != nil {
		return err
	}
	c.fromRC = slices.DeleteFunc(slices.Clone(all), func(a flags.Arg) bool { return a.Origin.IsZero() })
	res, err := table.Parse(name, all)
	if err != nil {
		return err
	}
	c.operands, c.rest, c.dashes = res.Operands, res.Rest, res.Dashes
	if !c.verb.rest { // words after -- are operands that may start with a dash
		c.operands, c.rest = append(c.operands, c.rest...), nil
	}
	return c.opts.check()
}

// findWorkspace finds the one that the current folder is in.
func (c *command) findWorkspace() (workspace.Workspace, error) {
	if c.DirErr != nil {
		return workspace.Workspace{}, withHint(badLine("the current folder cannot be found: %w", c.DirErr), "go to one that exists")
	}
	return workspace.Find(c.Dir)
}

// rcLines reads the rc files in Bazel's order: system, workspace, home, named ones.
func (c *command) rcLines(line []flags.Arg) ([]rc.Line, error) {
	if !c.verb.rc {
		return nil, nil
	}
	o := defaults()
	if err := o.table().Scan(line); err != nil {
		return nil, err
	}
	if o.ignoreRC {
		return nil, nil
	}
	var files []rc.File
	if o.systemRC {
		files = append(files, rc.File{Path: "/etc/gorules.gorulesrc", Optional: true})
	}
	if o.localRC && c.ws.Root != "" {
		files = append(files, rc.File{Path: filepath.Join(c.ws.Root, ".gorulesrc"), Optional: true})
	}
	if home := c.getenv("HOME"); o.homeRC && home != "" {
		files = append(files, rc.File{Path: filepath.Join(home, ".gorulesrc"), Optional: true})
	}
	for _, f := range o.rcFiles {
		if f == os.DevNull {
			break
		}
		if !filepath.IsAbs(f) {
			f = filepath.Join(c.Dir, f)
		}
		files = append(files, rc.File{Path: f})
	}
	return rc.Load(files, c.ws.Root, verbNames())
}

// view chooses how to render from flags, environment and what the writers are.
func (c *command) view() ui.Config {
	o := c.opts
	level, err := zerolog.ParseLevel(o.logLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	dumb := c.getenv("TERM") == "dumb"
	color := func(w io.Writer) bool {
		switch o.color {
		case "yes":
			return true
		case "no":
			return false
		}
		return isTerminal(w) && c.getenv("NO_COLOR") == "" && !dumb
	}
	live := o.curses == "yes" || o.curses == "auto" && isTerminal(c.Stderr) && !dumb
	cfg := ui.Config{
		Out: c.out, Err: c.err, OutColor: color(c.Stdout), ErrColor: color(c.Stderr),
		Live: live, Size: c.size,
		JSON: o.logFormat == "json", Level: level,
		Test: c.verb.name == "test", TestOutput: o.testOutput, ShowResult: o.showResult,
		VerboseFailures: o.verboseFailures, Subcommands: o.subcommands,
		Root: c.ws.Root,
	}
	if c.verb.name == "run" { // standard output belongs to the program
		cfg.Out, cfg.OutColor = cfg.Err, cfg.ErrColor
	}
	return cfg
}

func (c *command) size() (columns, rows int) {
	if f, ok := c.Stderr.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w, h
		}
	}
	return 80, 24
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// open starts the engine.
func (c *command) open(ctx context.Context) (Engine, error) {
	o := c.opts
	engine, err := c.NewEngine(ctx, executor.Options{
		Workspace:      c.ws.Root,
		OutputUserRoot: c.path(o.outputUserRoot),
		DiskCache:      c.path(o.diskCache),
		CacheBudget:    o.cacheBudget,
		Rules:          c.Rules,
		Sink:           c.console.Event,
		Jobs:           o.jobs,
		KeepGoing:      o.keepGoing,
		LockfileMode:   o.lockfileMode,
		MaxOutput:      o.maxOutput,
		Limits:         o.limits,
		SymlinkPrefix:  o.symlinkPrefix,
		ExecutionLog:   c.path(o.executionLog),
		StarlarkMemory: uint64(o.starlarkMemory) << 20,
		StarlarkCall:   o.starlarkCall,
		Halt:           c.halt,
		Version:        c.Version,

		DiskCacheBudget: o.diskCacheBudget,
	})
	if err != nil {
		return nil, err
	}
	c.notify.engine(engine)
	c.engine = engine
	return engine, nil
}

// path resolves a folder or file of a flag: ~ and relative paths. Paths of rc
// files are relative to the current folder too, as in Bazel; %workspace% is
// the root.
func (c *command) path(p string) string {
	switch {
	case p == "":
		return ""
	case p == "~" || strings.HasPrefix(p, "~/"):
		p = filepath.Join(c.getenv("HOME"), p[1:])
	case strings.HasPrefix(p, "%workspace%"):
		p = filepath.Join(c.ws.Root, strings.TrimPrefix(p, "%workspace%"))
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(c.Dir, p)
	}
	return filepath.Clean(p)
}

func (a *App) getenv(name string) string {
	for _, e := range slices.Backward(a.Environ) {
		if n, v, _ := strings.Cut(e, "="); n == name {
			return v
		}
	}
	return ""
}

func find(name string) verb {
	for _, v := range verbs() {
		if v.name == name {
			return v
		}
	}
	return verb{}
}

func unknownVerb(name string) error {
	if text, ok := elsewhere[name]; ok {
		return withHint(badLine("there is no verb %q", name), text)
	}
	if near := flags.Nearest(name, verbNames()); near != "" {
		return badLine("there is no verb %q; did you mean %s?", name, near)
	}
	return withHint(badLine("there is no verb %q", name), "`gorules help` lists them")
}

func cutWords(words []string, at string) (before, after []string, found bool) {
	i := slices.Index(words, at)
	if i < 0 {
		return words, nil, false
	}
	return words[:i], words[i+1:], true
}

// announce shows what rc files gave, for --announce_rc.
func (c *command) announce() {
	for i := 0; i < len(c.fromRC); {
		origin, text := c.fromRC[i].Origin, ""
		for ; i < len(c.fromRC) && c.fromRC[i].Origin == origin; i++ {
			text += " " + c.fromRC[i].Text
		}
		origin.File = c.shown(origin.File)
		c.console.Infof("%s:%s", origin, text)
	}
}

// shown is how a path is called in diagnostics: relative to the workspace, or
// to the current folder outside of one, where it is inside.
func (c *command) shown(path string) string {
	from := c.ws.Root
	if from == "" {
		from = c.Dir
	}
	if filepath.IsAbs(path) {
		if rel, err := filepath.Rel(from, path); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return path
}
