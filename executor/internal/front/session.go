// Package front is what one command builds up from nothing: the workspace's
// repositories, packages and configured targets, over one view of the files. It
// is thrown away with the command.
package front

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/command"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/repo"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

// Options say where things are.
type Options struct {
	Workspace string
	Root      string // everything outside the workspace
	Dir       string // what belongs to this workspace alone
	DiskCache string
	Rules     fs.FS
	Lockfile  string
	Limits    repo.Limits // of downloads and archives
	Jobs      int
	KeepGoing bool
	Sink      event.Sink

	// Lock, where not nil, is held while a repository is fetched.
	Lock func(ctx context.Context, repo string) (unlock func(), err error)

	// LockFile, where not nil, is held while gorules.lock is written.
	LockFile func(ctx context.Context) (unlock func(), err error)
}

// A Session is the front end of one command.
type Session struct {
	Loader   *loading.Loader
	Sources  *source.Snapshot
	Digests  *source.Cache
	Analyzer *analysis.Analyzer
	Repos    *repo.Repositories

	opt    Options
	groups []string
}

var _ command.Front = (*Session)(nil)

// builtins is the folder of @gorules with the native rules.
const builtins = "builtins"

// DigestsPath is where digests of files are kept between commands.
func (o Options) DigestsPath() string { return filepath.Join(o.Root, "digests") }

// Hidden are the folders that are no part of any repository.
func (o Options) Hidden() []string { return []string{o.Root, o.DiskCache} }

// Open starts a session. config and groups matter to Analyze alone: groups are
// the output groups whose files are wanted, none for the default outputs.
func Open(ctx context.Context, o Options, config analysis.Config, groups []string) (*Session, error) {
	s := &Session{opt: o, groups: groups, Digests: source.LoadCache(o.DigestsPath())}
	s.Sources = source.New(s.Digests, o.Hidden()...)
	s.Sources.Git = o.git(ctx)
	var err error
	if s.Repos, err = o.Repositories(s.Sources); err != nil {
		return nil, err
	}
	s.Loader = s.Repos.Loader()
	registered, err := s.Repos.Registered(ctx)
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	toolchains, err := s.registered(ctx, registered.Toolchains)
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	platforms, err := s.registered(ctx, registered.ExecutionPlatforms)
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	s.Analyzer = analysis.New(analysis.Options{
		Loader:             s.Loader,
		Repos:              &onDisk{Repositories: s.Repos, seen: map[string]*loading.View{}},
		HostTools:          hostTools(),
		Toolchains:         toolchains,
		ExecutionPlatforms: platforms,
		Config:             config,
		Print:              o.print,
		Guard:              bzl.GuardOf(ctx),
	})
	if err := s.Analyzer.CheckFlags(ctx); err != nil {
		return nil, &exit.Error{Kind: exit.BadCommandLine, Err: err}
	}
	return s, nil
}

// Repositories finds the workspace's repositories; sources, where not nil, notes
// what they rest on.
func (o Options) Repositories(sources *source.Snapshot) (*repo.Repositories, error) {
	r, err := repo.New(repo.Options{
		Workspace:  o.Workspace,
		OutputRoot: o.Dir,
		Embedded:   o.Rules,
		Builtins:   builtins,
		Env:        Environ(),
		Lockfile:   repo.LockfileMode(o.Lockfile),
		Limits:     o.Limits,
		Sources:    sources,
		Lock:       o.Lock,
		LockFile:   o.LockFile,
		Sink:       o.Sink,
		Print:      o.print,
	})
	if err != nil {
		return nil, exit.OfMachine("%w", err)
	}
	return r, nil
}

// Environ is the environment that repository rules see.
func Environ() map[string]string {
	m := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}

// registered expands the patterns of register_toolchains and its sibling.
func (s *Session) registered(ctx context.Context, rs []repo.Registration) ([]label.Label, error) {
	var out []label.Label
	for _, r := range rs {
		x, err := s.Loader.Expand(ctx, []label.Pattern{r.Pattern}, loading.ExpandOptions{})
		if err != nil {
			return nil, diag.Place(err, r.Position)
		}
		for _, t := range x.Targets {
			out = append(out, t.Label)
		}
	}
	return out, nil
}

func (o Options) print(at diag.Position, text string) {
	o.Sink(event.Printed{Position: at, Text: text})
}

// Close keeps what the session learned about digests.
func (s *Session) Close() {
	if err := s.Digests.Save(s.opt.DigestsPath()); err != nil {
		s.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("digests of source files are not kept: %v", err)})
	}
}

// Expand implements command.Front.
func (s *Session) Expand(ctx context.Context, patterns []label.Pattern, verb command.Verb, testsOnly bool) (labels, lost []label.Label, errs []error) {
	x, err := s.Loader.Expand(ctx, patterns, loading.ExpandOptions{
		KeepGoing: s.opt.KeepGoing, Tests: testsOnly, Suites: verb == command.Test, Manual: verb == command.Run})
	if x != nil {
		lost = x.Lost
		for _, t := range x.Targets {
			labels = append(labels, t.Label)
		}
	}
	if err != nil {
		return nil, append(labels, lost...), []error{err}
	}
	return labels, lost, x.Errors
}

// Analyze implements command.Front.
func (s *Session) Analyze(ctx context.Context, labels []label.Label) ([]*command.Target, []error) {
	out := make([]*analysis.Configured, len(labels))
	failures := make([]error, len(labels))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(4, s.opt.Jobs))
	for i, l := range labels {
		g.Go(func() (err error) {
			defer bug.Catch(&err)
			c, err := s.Analyzer.Configure(gctx, l)
			if err == nil {
				out[i] = c
				return nil
			}
			if !s.opt.KeepGoing {
				return err
			}
			failures[i] = &command.NotAnalyzed{Target: l, Err: err}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, []error{err}
	}
	configured := make([]*analysis.Configured, 0, len(out))
	for _, c := range out {
		if c != nil {
			configured = append(configured, c)
		}
	}
	if err := analysis.Conflicts(configured); err != nil {
		return nil, []error{err}
	}
	return s.targets(configured), slices.DeleteFunc(failures, func(err error) bool { return err == nil })
}

// Gone implements command.Front. It looks only at packages that were loaded.
func (s *Session) Gone(ctx context.Context, name string) bool {
	l, err := label.Parse(name, label.Package{})
	if err != nil {
		return true // of a gorules that named targets in another way
	}
	p, loaded := s.Loader.Loaded(l.Pkg())
	return loaded && p.Targets[l.Name] == nil
}

// Loaded implements command.Front.
func (s *Session) Loaded(l label.Label) bool {
	_, ok := s.Loader.Loaded(l.Pkg())
	return ok
}

// Facts implements command.Front.
func (s *Session) Facts() []byte { return s.Sources.Facts() }

// Position says where the user declared a target; zero if that is not known.
func (s *Session) Position(ctx context.Context, l label.Label) diag.Position {
	t, err := s.Loader.Target(ctx, l)
	if err != nil {
		return diag.Position{}
	}
	return t.Position
}
