package repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"
	"golang.org/x/sync/errgroup"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/fsx"
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
// say that everything is as it was, or the folder does not hold what was made.
func (r *Repositories) fetch(ctx context.Context, d *declaration) (*loading.View, error) {
	key, err := r.key(ctx, d)
	if err != nil {
		return nil, err
	}
	v, changed := r.current(d.repo, key)
	if v != nil {
		return v, nil
	}
	if r.opts.Lock != nil {
		unlock, err := r.opts.Lock(ctx, d.repo)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if v, changed = r.current(d.repo, key); v != nil { // another process has just fetched it
			return v, nil
		}
	}
	if changed != "" {
		r.warn(fmt.Sprintf("@%s is fetched again: it was changed on disk after it was fetched (%s); edit what it is made from, or declare a copy of it with local_repository", d.repo, changed))
	}
	v, err = r.runRule(ctx, d, key)
	if err != nil && changed != "" && ctx.Err() == nil {
		at, said := d.position, err.Error()
		if e := diag.Placed(err); e != nil {
			at, said = e.Position(), e.Text()
		}
		text := fmt.Sprintf("@%s was changed on disk after it was fetched (%s), and cannot be fetched again: %s", d.repo, changed, said)
		err = diag.Wrap(at, err, text).WithHint(diag.Hint(err))
	}
	return v, err
}

// current returns the view of a repository that is as its marker says; nil if it
// has to be fetched, and what of it is not as it was made, if that is the reason.
func (r *Repositories) current(repo, key string) (v *loading.View, changed string) {
	m := readMarker(r.marker(repo))
	if m == nil || m.Key != key || !r.holds(m) {
		return nil, ""
	}
	dir := r.dir(repo)
	if _, err := os.Stat(dir); err != nil {
		return nil, ""
	}
	if m.Manifest == nil {
		return r.fetchedView(repo, m, nil), ""
	}
	f, err := r.opts.Sources.Fix(dir)
	if err != nil {
		return nil, err.Error()
	}
	if changed = f.Changed(m.Manifest); changed != "" {
		return nil, changed
	}
	return r.fetchedView(repo, m, f), ""
}

// fetchedView is the view of a repository that was made as m says. Whatever is
// read there rests on the facts of m, and on its being this one: another command
// may make it anew. f is nil where the marker has no manifest.
func (r *Repositories) fetchedView(repo string, m *marker, f *source.Fixed) *loading.View {
	dir, sources := r.dir(repo), r.opts.Sources
	sources.Adopt(m.Facts)
	sources.Watch(r.marker(repo))
	sources.Watch(dir)
	if f == nil {
		return &loading.View{Repo: repo, Root: dir, Files: sources.Under(dir)}
	}
	sources.Rest(f)
	return &loading.View{Repo: repo, Root: dir, Immutable: true, Files: f.Files()}
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
func (r *Repositories) runRule(ctx context.Context, d *declaration, key string) (*loading.View, error) {
	r.emit("Fetching @" + d.repo)
	if err := fsx.Plain.Folder(r.opts.OutputRoot, "external", 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of external repositories: %w", err)
	}
	dir, beside := r.dir(d.repo), r.marker(d.repo)
	old := filepath.Join(r.external(), ".old-"+d.repo)
	hadMarker, err := fsx.Plain.ReadFile(beside, maxMarker)
	if err != nil {
		hadMarker = nil
	}
	// From here to the last step there is no marker, so that a killed process
	// leaves nothing that is taken for a repository.
	for _, step := range []func() error{
		func() error { return fsx.Plain.RemoveAll(beside) },
		func() error { return fsx.Plain.RemoveAll(old) },
		func() error { return ignoreMissing(os.Rename(dir, old)) },
		func() error { return os.Mkdir(dir, 0o755) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("making room for @%s: %w", d.repo, err)
		}
	}
	var made *source.Fixed
	m := &marker{Key: key, Lock: map[string]string{}}
	files := source.New(source.LoadCache(""))
	files.Env = r.opts.Env
	for _, name := range d.rule.Environ {
		files.Getenv(name)
	}
	c := &repoContext{ctx: ctx, r: r, d: d, dir: dir, files: files, made: m}
	err = r.callRule(ctx, d, c)
	if err == nil {
		err = c.checkMoved()
	}
	if err == nil {
		err = r.lock.flush(func() (func(), error) {
			if r.opts.LockFile == nil {
				return func() {}, nil
			}
			return r.opts.LockFile(ctx)
		})
	}
	if err == nil {
		made = r.fix(d.repo)
		if made != nil {
			m.Manifest = made.Manifest()
		}
		m.Facts = files.Facts()
		err = m.write(beside)
	}
	if err != nil {
		if hadMarker != nil { // what was there stays usable for what it was made for
			if fsx.Plain.RemoveAll(dir) == nil && os.Rename(old, dir) == nil {
				_ = fsx.Plain.WriteFile(beside, 0o600, hadMarker) // without it the next run fetches again
			}
		} else {
			_ = fsx.Plain.RemoveAll(dir) // without a marker nobody looks at it
		}
		return nil, err
	}
	_ = fsx.Plain.RemoveAll(old) // garbage that the next fetch removes otherwise
	r.mu.Lock()
	r.fetches++
	r.mu.Unlock()
	return r.fetchedView(d.repo, m, made), nil
}

// fix returns what the rule of repo made; nil where that is more than its folder.
func (r *Repositories) fix(repo string) *source.Fixed {
	f, err := r.opts.Sources.Fix(r.dir(repo))
	if err != nil && !errors.Is(err, source.ErrLeadsOut) {
		r.warn(fmt.Sprintf("@%s: what was fetched cannot be checked later: %v", repo, err))
	}
	return f
}

// callRule runs the implementation function.
func (r *Repositories) callRule(ctx context.Context, d *declaration, c *repoContext) error {
	pkg := d.rule.File.Pkg()
	mapping, err := r.Mapping(ctx, pkg.Repo)
	if err != nil {
		return err
	}
	thread, done := bzl.NewThread(ctx, "@"+d.repo, d.position, r.opts.Print,
		&bzl.Context{Package: pkg, File: d.rule.File, Scope: bzl.Scope{Package: pkg, Repo: mapping}})
	defer done()
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

// fetchesAtOnce is how many repositories are fetched at a time.
const fetchesAtOnce = 4

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
	g.SetLimit(fetchesAtOnce)
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
