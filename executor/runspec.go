package executor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/source"
)

// RunSpec says how to start the one target of req, which Build has built: its
// executable and runfiles are laid out below gorules-bin.
func (e *Engine) RunSpec(ctx context.Context, req BuildRequest) (RunSpec, error) {
	config, err := configOf(req, nil)
	if err != nil {
		return RunSpec{}, err
	}
	s, err := e.open(ctx, config)
	if err != nil {
		return RunSpec{}, err
	}
	defer s.close()
	x, err := s.loader.Expand(ctx, req.Patterns, loading.ExpandOptions{Manual: true})
	if err != nil {
		return RunSpec{}, e.userError(err)
	}
	if len(x.Targets) != 1 {
		return RunSpec{}, &Error{Kind: BadCommandLine, Err: fmt.Errorf("run takes one target, the pattern stands for %d", len(x.Targets))}
	}
	c, err := s.analyzer.Configure(ctx, x.Targets[0].Label)
	if err != nil {
		return RunSpec{}, e.userError(err)
	}
	if c.Executable == nil {
		return RunSpec{}, &Error{Kind: BadCommandLine, Err: fmt.Errorf("cannot run %s: %s targets are not executable", c.Label, strings.TrimSuffix(c.Kind, " rule"))}
	}
	b, err := e.openBack(ctx, s, nil)
	if err != nil {
		return RunSpec{}, err
	}
	defer b.close()
	b.watch.quiet = true // Build has said all
	exe, err := b.layRunnable(ctx, s, c.Executable.Artifact, s.analyzer.RunfilesAt("/runfiles", c.Runfiles))
	if err != nil {
		return RunSpec{}, err
	}
	own, err := c.RunEnvironment()
	if err != nil {
		return RunSpec{}, e.userError(err)
	}
	env := []string{"RUNFILES_DIR=" + exe + ".runfiles"}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		env = append(env, name+"="+own[name])
	}
	return RunSpec{
		Argv: []string{exe},
		Env:  env,
		Dir:  filepath.Join(exe+".runfiles", "_main"),
	}, nil
}

// layRunnable makes exe and its runfiles and puts both below gorules-bin.
func (b *back) layRunnable(ctx context.Context, s *session, exe *action.Artifact, runfiles action.Inputs) (string, error) {
	want := []*action.Artifact{exe}
	runfiles.Each(func(in action.Input) bool {
		want = append(want, in.Artifact)
		return true
	})
	if err := b.graph.Build(ctx, want, nil); err != nil {
		return "", err
	}
	c, err := b.graph.Content(exe)
	if err != nil {
		return "", &Error{Kind: BuildFailed, Err: err}
	}
	if err := b.out.link(); err != nil {
		return "", environment("%w", err)
	}
	rel, err := b.out.lay(ctx, exe, c)
	if err != nil {
		return "", environment("%w", err)
	}
	dst := filepath.Join(b.e.opt.Workspace, rel)
	if rel == "" { // a source file is run where it stands
		dst = filepath.Join(exe.Source.Root, filepath.FromSlash(exe.Source.Path))
	}
	if dst, err = filepath.EvalSymlinks(dst); err != nil {
		return "", environment("%w", err)
	}
	root := dst + ".runfiles"
	if rel == "" {
		root = filepath.Join(b.out.bin, filepath.FromSlash(exe.Path)+".runfiles")
	}
	if err := os.MkdirAll(filepath.Join(root, "_main"), 0o755); err != nil {
		return "", environment("%w", err)
	}
	var errs []error
	runfiles.Each(func(in action.Input) bool {
		c, err := b.graph.Content(in.Artifact)
		if err == nil {
			err = b.out.put(ctx, filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(in.Path, "/runfiles"))), c)
		}
		errs = append(errs, err)
		return true
	})
	return dst, errors.Join(errs...)
}

// Fetch gets every external repository that the workspace declares.
func (e *Engine) Fetch(ctx context.Context) error {
	if err := e.takeLock(ctx); err != nil {
		return err
	}
	repos, err := e.openRepos(nil)
	if err != nil {
		return err
	}
	if err := repos.FetchAll(ctx); err != nil {
		return e.userError(err)
	}
	// Digests now, so that no build has to wait for them.
	s := &session{e: e, digests: source.LoadCache(e.digestsPath())}
	defer s.close()
	sources := source.New(s.digests)
	for _, name := range repos.Used() {
		v, err := repos.View(ctx, name)
		if err != nil {
			return e.userError(err)
		}
		if err := sources.Warm(v.Root); err != nil {
			return environment("@%s: %w", name, err)
		}
	}
	return nil
}
