package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/repo"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

// A session is what one command builds up from nothing: the front end's memo
// tables over one Snapshot. It is thrown away with the command.
type session struct {
	e        *Engine
	digests  *source.Cache
	sources  *source.Snapshot
	repos    *repo.Repositories
	loader   *loading.Loader
	analyzer *analysis.Analyzer
}

// builtins is the folder of @gorules with the native rules.
const builtins = "builtins"

func (e *Engine) digestsPath() string { return filepath.Join(e.root, "digests") }

// open starts a session. config is only used by analysis.
func (e *Engine) open(ctx context.Context, config analysis.Config) (*session, error) {
	if err := e.takeLock(ctx); err != nil {
		return nil, err
	}
	s := &session{e: e, digests: source.LoadCache(e.digestsPath())}
	s.sources = source.New(s.digests, e.root, e.opt.DiskCache)
	var err error
	if s.repos, err = e.openRepos(s.files); err != nil {
		return nil, err
	}
	s.loader = s.repos.Loader()
	registered, err := s.repos.Registered(ctx)
	if err != nil {
		return nil, e.userError(err)
	}
	toolchains, err := s.registered(ctx, registered.Toolchains)
	if err != nil {
		return nil, e.userError(err)
	}
	platforms, err := s.registered(ctx, registered.ExecutionPlatforms)
	if err != nil {
		return nil, e.userError(err)
	}
	s.analyzer = analysis.New(analysis.Options{
		Loader:             s.loader,
		Repos:              &onDisk{Repositories: s.repos, seen: map[string]*loading.View{}},
		HostTools:          hostTools(),
		Toolchains:         toolchains,
		ExecutionPlatforms: platforms,
		Config:             config,
		Print:              e.print,
	})
	if err := s.analyzer.CheckFlags(ctx); err != nil {
		return nil, &Error{Kind: BadCommandLine, Err: err}
	}
	return s, nil
}

// openRepos finds the workspace's repositories; files makes what reads them.
func (e *Engine) openRepos(files func(name, root string, immutable bool) loading.Files) (*repo.Repositories, error) {
	r, err := repo.New(repo.Options{
		Workspace:  e.opt.Workspace,
		OutputRoot: e.dir,
		Embedded:   e.opt.Rules,
		Builtins:   builtins,
		Env:        environ(),
		Lockfile:   repo.LockfileMode(e.opt.LockfileMode),
		Files:      files,
		Sink:       e.opt.Sink,
		Print:      e.print,
	})
	if err != nil {
		return nil, environment("%w", err)
	}
	return r, nil
}

func environ() map[string]string {
	m := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}

// files reads repositories through the snapshot, so that what loading saw is
// noted. Those that gorules fetched itself are known by name, see repo.Fresh.
func (s *session) files(_, root string, immutable bool) loading.Files {
	if immutable {
		return loading.HostFiles(root)
	}
	return s.sources.Under(root)
}

// registered expands the patterns of register_toolchains and its sibling.
func (s *session) registered(ctx context.Context, rs []repo.Registration) ([]label.Label, error) {
	var out []label.Label
	for _, r := range rs {
		x, err := s.loader.Expand(ctx, []label.Pattern{r.Pattern}, loading.ExpandOptions{})
		if err != nil {
			return nil, diag.Place(err, r.Position)
		}
		for _, t := range x.Targets {
			out = append(out, t.Label)
		}
	}
	return out, nil
}

func (e *Engine) print(at diag.Position, text string) {
	e.opt.Sink(event.Printed{Position: at, Text: text})
}

// close keeps what the session learned about digests.
func (s *session) close() {
	if err := s.digests.Save(s.e.digestsPath()); err != nil {
		s.e.opt.Sink(event.Diagnostic{Severity: event.Warning, Text: fmt.Sprintf("digests of source files are not kept: %v", err)})
	}
}

// expand turns patterns into targets.
func (s *session) expand(ctx context.Context, patterns []label.Pattern, tests bool) ([]label.Label, error) {
	s.e.opt.Sink(event.Phase{Text: "Loading"})
	x, err := s.loader.Expand(ctx, patterns, loading.ExpandOptions{KeepGoing: s.e.opt.KeepGoing, Tests: tests})
	if err != nil {
		return nil, s.e.userError(err)
	}
	var labels []label.Label
	for _, t := range x.Targets {
		labels = append(labels, t.Label)
	}
	if len(x.Errors) == 0 {
		return labels, nil
	}
	for _, err := range x.Errors {
		s.e.report(err)
	}
	return labels, &Error{Kind: AnalysisFailed, Err: errors.New("some packages have errors"), Reported: true}
}

// analyze configures targets; those that fail are reported and nil.
func (s *session) analyze(ctx context.Context, labels []label.Label) ([]*analysis.Configured, error) {
	s.e.opt.Sink(event.Phase{Text: "Analyzing"})
	out := make([]*analysis.Configured, len(labels))
	var mu sync.Mutex
	var failures []error
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(4, s.e.opt.Jobs))
	for i, l := range labels {
		g.Go(func() error {
			c, err := s.analyzer.Configure(gctx, l)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
				if !s.e.opt.KeepGoing {
					return err
				}
				return nil
			}
			out[i] = c
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, s.e.userError(err)
	}
	if len(failures) == 0 {
		return out, nil
	}
	seen := map[string]bool{}
	for _, err := range failures {
		if !seen[err.Error()] {
			seen[err.Error()] = true
			s.e.report(err)
		}
	}
	return out, &Error{Kind: AnalysisFailed, Err: fmt.Errorf("%d of %d targets could not be analyzed", len(failures), len(labels)), Reported: true}
}

// userError reports err as a diagnostic and returns it with its kind.
func (e *Engine) userError(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Kind: Interrupted, Err: errors.New("interrupted")}
	}
	e.report(err)
	return &Error{Kind: AnalysisFailed, Err: err, Reported: true}
}

// report shows an error of the user's files; of joined errors, each.
func (e *Engine) report(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			e.report(err)
		}
		return
	}
	d := diag.Of(err)
	e.opt.Sink(event.Diagnostic{Severity: event.Error, Position: d.Position(), Text: d.Text(), Hint: d.Hint()})
}

// hostTools returns the default tools of shell actions: what is there of the
// programs that a POSIX script may expect, with the libraries they need.
func hostTools() func() *action.Artifact {
	return sync.OnceValue(func() *action.Artifact {
		var found []string
		for _, name := range defaultTools {
			for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
				p := filepath.Join(dir, name)
				if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
					found = append(found, p)
					break
				}
			}
		}
		paths := found
		if libs, err := repo.ELFClosure(found); err == nil {
			paths = slices.Concat(found, libs)
		}
		for _, pattern := range defaultFiles {
			if more, err := filepath.Glob(pattern); err == nil { // the patterns are constant and good
				paths = append(paths, more...)
			}
		}
		return &action.Artifact{Path: "/", Dir: true, Source: &action.Source{Host: &action.HostTree{Paths: paths}}}
	})
}

// defaultFiles are what default tools and compiled programs load at run time
// and no program names: the unwinder of every Rust program, perl's own modules.
var defaultFiles = []string{
	"/lib/*-linux-gnu/libgcc_s.so.1", "/lib64/libgcc_s.so.1", "/usr/lib64/libgcc_s.so.1",
	"/usr/lib/*-linux-gnu/perl-base",
}

// defaultTools serve run_shell, genrule, sh_* and build scripts: a shell, the
// programs POSIX names that build steps use, and the three that most configure
// scripts ask for besides.
var defaultTools = strings.Fields(`bash sh awk basename cat chmod cmp comm cp cut date diff dirname
	echo env expr false find grep egrep fgrep gzip head id install join ln ls md5sum mkdir mktemp mv nl od
	paste printf pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat tail tar tee test touch tr
	true uname uniq wc which xargs make perl`)
