package repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"go.starlark.net/starlark"
	"golang.org/x/sync/errgroup"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/internal/source"
)

// external is where repositories are fetched to.
func (r *Repositories) external() string { return filepath.Join(r.opts.OutputRoot, "external") }

func (r *Repositories) dir(repo string) string { return filepath.Join(r.external(), repo) }

func (r *Repositories) marker(repo string) string {
	return filepath.Join(r.external(), "@"+repo+".marker")
}

// fetch returns the repository of d, running its rule if the marker does not
// say that everything is as it was.
func (r *Repositories) fetch(ctx context.Context, d *declaration) (*loading.View, error) {
	key, err := r.key(ctx, d)
	if err != nil {
		return nil, err
	}
	if m := r.current(d.repo, key); m != nil {
		return r.fetchedView(d.repo, m), nil
	}
	if r.opts.Lock != nil {
		unlock, err := r.opts.Lock(ctx, d.repo)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if m := r.current(d.repo, key); m != nil { // another process has just fetched it
			return r.fetchedView(d.repo, m), nil
		}
	}
	m, err := r.runRule(ctx, d, key)
	if err != nil {
		return nil, err
	}
	return r.fetchedView(d.repo, m), nil
}

// current returns the marker of a repository that is as it says; nil if it has
// to be fetched.
func (r *Repositories) current(repo, key string) *marker {
	m := readMarker(r.marker(repo))
	if m == nil || m.Key != key || !r.holds(m) {
		return nil
	}
	if _, err := os.Stat(r.dir(repo)); err != nil {
		return nil
	}
	return m
}

// fetchedView is the view of a repository that was made as m says. Whatever is
// read there rests on the facts of m, and on its being this one: another command
// may make it anew.
func (r *Repositories) fetchedView(repo string, m *marker) *loading.View {
	dir, sources := r.dir(repo), r.opts.Sources
	sources.Adopt(m.Facts)
	sources.Watch(r.marker(repo))
	sources.Watch(dir)
	if !m.Outside {
		sources = r.fetchedFiles
	}
	return &loading.View{Repo: repo, Root: dir, Immutable: !m.Outside, Files: sources.Under(dir)}
}

// key digests the rule and its attributes.
func (r *Repositories) key(ctx context.Context, d *declaration) (string, error) {
	h := sha256.New()
	if d.rule.File == rulesLabel || d.rule == unavailable {
		h.Write(rulesSource)
	} else {
		m, err := r.loader.Module(ctx, d.rule.File)
		if err != nil {
			return "", err
		}
		h.Write(m.Digest[:])
	}
	fmt.Fprintf(h, "%s\n%s\n%s\n", d.rule.Name, d.repo, d.root)
	for _, name := range sorted(d.attrs) {
		fmt.Fprintf(h, "%s=%s\n", name, d.attrs[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// runRule makes the folder of d anew.
func (r *Repositories) runRule(ctx context.Context, d *declaration, key string) (*marker, error) {
	r.emit("Fetching @" + d.repo)
	if err := os.MkdirAll(r.external(), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of external repositories: %w", err)
	}
	dir, beside := r.dir(d.repo), r.marker(d.repo)
	old := filepath.Join(r.external(), ".old-"+d.repo)
	hadMarker, err := os.ReadFile(beside)
	if err != nil {
		hadMarker = nil
	}
	// From here to the last step there is no marker, so that a killed process
	// leaves nothing that is taken for a repository.
	for _, step := range []func() error{
		func() error { return ignoreMissing(os.Remove(beside)) },
		func() error { return removeAll(old) },
		func() error { return ignoreMissing(os.Rename(dir, old)) },
		func() error { return os.Mkdir(dir, 0o755) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("making room for @%s: %w", d.repo, err)
		}
	}
	m := &marker{Key: key, Lock: map[string]string{}}
	files := source.New(source.LoadCache(""))
	files.Env = r.opts.Env
	for _, name := range d.rule.Environ {
		files.Getenv(name)
	}
	err = r.callRule(ctx, d, &repoContext{ctx: ctx, r: r, d: d, dir: dir, files: files, made: m})
	if err == nil {
		err = r.lock.flush()
	}
	if err == nil {
		m.Facts = files.Facts()
		err = m.write(beside)
	}
	if err != nil {
		if hadMarker != nil { // what was there stays usable for what it was made for
			if removeAll(dir) == nil && os.Rename(old, dir) == nil {
				_ = renameio.WriteFile(beside, hadMarker, 0o600) // without it the next run fetches again
			}
		} else {
			_ = removeAll(dir) // without a marker nobody looks at it
		}
		return nil, err
	}
	_ = removeAll(old) // garbage that the next fetch removes otherwise
	r.mu.Lock()
	r.fetches++
	r.mu.Unlock()
	return m, nil
}

// callRule runs the implementation function.
func (r *Repositories) callRule(ctx context.Context, d *declaration, c *repoContext) error {
	pkg := d.rule.File.Pkg()
	mapping, err := r.Mapping(ctx, pkg.Repo)
	if err != nil {
		return err
	}
	thread := bzl.NewThread("@"+d.repo, bzl.Printer(r.opts.Print))
	bzl.Attach(thread, &bzl.Context{Package: pkg, File: d.rule.File, Scope: bzl.Scope{Package: pkg, Repo: mapping}})
	stop := context.AfterFunc(ctx, func() { thread.Cancel("interrupted") })
	defer stop()
	c.scope = bzl.Scope{Package: pkg, Repo: mapping}
	if _, err := starlark.Call(thread, d.rule.Impl, starlark.Tuple{c}, nil); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var cycle *memo.CycleError
		placed := diag.Placed(err) != nil || errors.As(err, &cycle)
		if err = loading.Diagnose(err); placed {
			return err
		}
		text := fmt.Sprintf("fetching @%s (%s): %v", d.repo, d.rule.Name, strings.TrimSuffix(err.Error(), "\n"))
		return diag.Wrap(d.position, err, text).WithHint(diag.Hint(err))
	}
	return nil
}

// FetchAll fetches every repository that the root workspace and those it
// consumes declare. All failures are returned, joined.
func (r *Repositories) FetchAll(ctx context.Context) error {
	var repos []string
	root := map[string]bool{}
	err := r.eachWorkspace(ctx, func(w *workspace) error {
		for _, name := range w.names() {
			d := w.find(name)
			if w.repo == "" {
				root[name] = true
			} else if d.rule.RootWins && root[name] {
				continue
			}
			repos = append(repos, d.repo)
		}
		return nil
	})
	if err != nil {
		return err
	}
	errs := make([]error, len(repos))
	var g errgroup.Group
	g.SetLimit(r.opts.Jobs)
	for i, repo := range repos {
		g.Go(func() error {
			_, errs[i] = r.View(ctx, repo)
			return nil
		})
	}
	_ = g.Wait() // errors are in errs
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// removeAll is os.RemoveAll that makes folders writable first where it must.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(p, 0o700) // RemoveAll below tells if that did not help
		}
		return nil
	})
	return os.RemoveAll(dir)
}
