package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// workspace is an evaluated WORKSPACE or MODULE.bazel file, or one that is
// being evaluated.
type workspace struct {
	r     *Repositories
	repo  string // canonical name of the repository that it belongs to
	root  string // its folder
	file  string // "WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel"; "" if there is none
	shown string

	mu         sync.Mutex
	name       string // of workspace(name = ...)
	decls      map[string]*declaration
	used       map[string]bool   // declared repositories that something asked for
	overrides  map[string]string // of local_path_override(): folders by module
	toolchains []Registration
	platforms  []Registration
}

// declaration is one repository that a workspace declares.
type declaration struct {
	repo     string // canonical name
	name     string // as declared
	root     string // folder of the declaring workspace
	rule     *bzl.RepoRule
	attrs    map[string]starlark.Value
	position diag.Position
}

// errorf returns an error at the place of the declaration.
func (d *declaration) errorf(format string, args ...any) error {
	return diag.Errorf(d.position, format, args...)
}

// Registration is one argument of register_toolchains() or register_execution_platforms().
type Registration struct {
	Pattern  label.Pattern
	Position diag.Position
}

// Registered is what the root workspace registers.
type Registered struct{ Toolchains, ExecutionPlatforms []Registration }

// evaluating marks contexts in which a WORKSPACE file runs.
type evaluating struct {
	repo string
	up   *evaluating
}

type evaluatingKey struct{}

func isEvaluating(ctx context.Context, repo string) bool {
	e, _ := ctx.Value(evaluatingKey{}).(*evaluating)
	for ; e != nil; e = e.up {
		if e.repo == repo {
			return true
		}
	}
	return false
}

// workspace returns the workspace of a repository. While its file is evaluated,
// the code in it gets what is declared so far.
func (r *Repositories) workspace(ctx context.Context, repo string) (*workspace, error) {
	if isEvaluating(ctx, repo) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.begun[repo], nil
	}
	return r.workspaces.Get(ctx, workspaceKey{repo})
}

// Mapping implements loading.Repos. The WORKSPACE file of a repository is only
// evaluated when a label asks for what it may declare: many are written to be
// built by themselves, and nobody who consumes them needs what they fetch.
func (r *Repositories) Mapping(ctx context.Context, repo string) (func(string) string, error) {
	root, err := r.workspace(ctx, "")
	if err != nil {
		return nil, err
	}
	own := func() (*workspace, error) { return root, nil }
	if repo != "" {
		// Labels are resolved also when the file that they stand in is loaded.
		ctx := context.WithoutCancel(ctx)
		own = sync.OnceValues(func() (*workspace, error) { return r.nested(ctx, repo) })
	}
	return func(apparent string) string {
		if builtin[apparent] && root.find(apparent) == nil {
			return apparent
		}
		w, err := own()
		if err != nil {
			return repo + "+" + apparent // asking for it meets the error again, with a place to tell it
		}
		if w != nil {
			if to, ok := w.resolve(apparent, root); ok {
				return to
			}
		}
		if root.isName(apparent) {
			return ""
		}
		return apparent
	}, nil
}

// builtin are repositories that no WORKSPACE file of a consumed repository declares.
var builtin = map[string]bool{gorulesRepo: true, "bazel_tools": true, "platforms": true}

// nested returns the workspace of a local_repository, nil for other repositories.
func (r *Repositories) nested(ctx context.Context, repo string) (*workspace, error) {
	if repo == gorulesRepo {
		return nil, nil
	}
	up, err := r.parent(ctx, repo)
	if err != nil || up == nil {
		return nil, err
	}
	if d := up.find(repo); d == nil || d.rule != r.rules["local_repository"] {
		return nil, nil
	}
	return r.workspace(ctx, repo)
}

func (w *workspace) isName(apparent string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.name != "" && w.name == apparent
}

// resolve says which repository a name means in the files of w.
func (w *workspace) resolve(apparent string, root *workspace) (string, bool) {
	w.mu.Lock()
	d := w.decls[apparent]
	own := w.name != "" && w.name == apparent
	w.mu.Unlock()
	switch {
	case own:
		return w.repo, true
	case d == nil:
		return "", false
	case w != root && d.rule.RootWins && root.find(d.name) != nil:
		return d.name, true
	}
	return d.repo, true
}

// find returns the declaration of the canonical name repo, or nil.
func (w *workspace) find(repo string) *declaration {
	name := repo[strings.LastIndexByte(repo, '+')+1:]
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decls[name]
}

// use is find for something that depends on what the declaration says.
func (w *workspace) use(repo string) *declaration {
	d := w.find(repo)
	if d != nil {
		w.mu.Lock()
		w.used[d.name] = true
		w.mu.Unlock()
	}
	return d
}

// names lists what is declared.
func (w *workspace) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sorted(w.decls)
}

// evaluate runs the WORKSPACE file of a repository.
func (r *Repositories) evaluate(ctx context.Context, k workspaceKey) (*workspace, error) {
	view, err := r.fetched.Get(ctx, fetchKey(k))
	if err != nil {
		return nil, err
	}
	w := &workspace{r: r, repo: k.repo, root: view.Root, decls: map[string]*declaration{}, used: map[string]bool{}, overrides: map[string]string{}}
	r.mu.Lock()
	r.begun[k.repo] = w
	r.mu.Unlock()
	up, _ := ctx.Value(evaluatingKey{}).(*evaluating)
	ctx = context.WithValue(ctx, evaluatingKey{}, &evaluating{k.repo, up})
	for _, name := range []string{"WORKSPACE.bazel", "WORKSPACE", "MODULE.bazel"} {
		src, err := fs.ReadFile(view.Files, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		shown := view.Shown(name)
		if err != nil {
			return nil, diag.Errorf(diag.Position{File: shown}, "cannot read the file: %w", err)
		}
		w.file, w.shown = name, shown
		if err := w.run(ctx, src); err != nil {
			return nil, err
		}
		return w, nil
	}
	if k.repo == "" {
		return nil, diag.Errorf(diag.Position{}, "%s has no WORKSPACE file", view.Root).WithHint("make one with: gorules init")
	}
	return w, nil
}

// run evaluates the file, statement by statement: a load() may use repositories
// that statements above it declare.
func (w *workspace) run(ctx context.Context, src []byte) error {
	f, err := loading.Parse(src, w.shown, bzl.WorkspaceFile)
	if err != nil {
		return err
	}
	mapping, err := w.r.Mapping(ctx, w.repo)
	if err != nil {
		return err
	}
	pkg := label.Package{Repo: w.repo}
	scope := bzl.Scope{Package: pkg, Repo: mapping}
	predeclared := bzl.Common()
	if w.file == "MODULE.bazel" {
		for name, v := range moduleFunctions() {
			predeclared[name] = v
		}
	} else {
		for name, v := range workspaceFunctions() {
			predeclared[name] = v
		}
		for name, rule := range w.r.rules {
			predeclared[name] = bzl.RepoValue{RepoRule: rule}
		}
	}
	prog, err := loading.Compile(f, predeclared)
	if err != nil {
		return err
	}
	thread, done := bzl.NewThread(ctx, w.shown, diag.Position{File: w.shown, Line: 1, Column: 1}, w.r.opts.Print,
		&bzl.Context{Package: pkg, File: label.Label{Repo: w.repo, Name: w.file}, Scope: scope, Repos: w, Extra: w})
	defer done()
	thread.Load = w.loads(ctx, f, scope)
	if _, err := prog.Init(thread, predeclared); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return loading.Diagnose(err)
	}
	return nil
}

// loads returns the Load function of w's file f.
func (w *workspace) loads(ctx context.Context, f *syntax.File, scope bzl.Scope) func(*starlark.Thread, string) (starlark.StringDict, error) {
	return func(thread *starlark.Thread, text string) (starlark.StringDict, error) {
		defer bzl.Waiting(thread)() // what is loaded is evaluated in a thread of its own
		for _, s := range f.Stmts {
			ls, ok := s.(*syntax.LoadStmt)
			if !ok || ls.ModuleName() != text {
				continue
			}
			if w.file == "MODULE.bazel" {
				return nil, loading.At(ls.Load, "load statements are not allowed in MODULE.bazel files").WithHint("write a WORKSPACE file to load functions")
			}
			lab, err := loading.LoadLabel(ls, scope)
			if err != nil {
				return nil, err
			}
			m, err := w.r.loader.Module(ctx, lab)
			if err != nil {
				return nil, loading.LoadFailed(ls, err)
			}
			if err := loading.CheckLoadedNames(ls, lab, m.Globals); err != nil {
				return nil, err
			}
			return m.Globals, nil
		}
		return nil, fmt.Errorf("%s is not loaded here", text)
	}
}

// AddRepo implements bzl.RepoSink.
func (w *workspace) AddRepo(thread *starlark.Thread, class *bzl.RepoRule, kwargs []starlark.Tuple) error {
	c := bzl.ContextOf(thread)
	attrs, err := class.Coerce(kwargs, c.Scope)
	if err != nil {
		return err
	}
	name, _ := starlark.AsString(attrs["name"])
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" || name[0] == '.' {
		return fmt.Errorf("%s: invalid repository name %q: use letters, digits, '_', '-' and '.'", class.Name, name)
	}
	d := &declaration{repo: w.canonical(name), name: name, root: w.root, rule: class, attrs: attrs, position: outermost(thread)}
	if class == w.r.rules["local_repository"] {
		if above, ok := w.above(d.folder()); ok {
			d.repo = above
		}
	}
	return w.declare(d)
}

// above returns the repository at dir if that is w or one that consumes it:
// workspaces that consume each other are not taken for ever deeper ones.
func (w *workspace) above(dir string) (repo string, ok bool) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false // the use of the repository says so
	}
	for repo := w.repo; ; repo = repo[:max(0, strings.LastIndexByte(repo, '+'))] {
		w.r.mu.Lock()
		begun := w.r.begun[repo]
		w.r.mu.Unlock()
		if begun != nil {
			if root, err := filepath.EvalSymlinks(begun.root); err == nil && root == real {
				return repo, true
			}
		}
		if repo == "" {
			return "", false
		}
	}
}

func (w *workspace) canonical(name string) string {
	if w.repo == "" {
		return name
	}
	return w.repo + "+" + name
}

// declare adds d. As in Bazel, a later declaration replaces an earlier one
// unless something was read from that already.
func (w *workspace) declare(d *declaration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.decls[d.name]; old != nil && w.used[d.name] {
		return fmt.Errorf("repository @%s was declared at %s and has been used since: it cannot be declared again", d.name, old.position)
	}
	w.decls[d.name] = d
	return nil
}

// outermost is where the file that is evaluated stands.
func outermost(thread *starlark.Thread) diag.Position {
	for depth := thread.CallStackDepth() - 1; depth >= 0; depth-- {
		if pos := thread.CallFrame(depth).Pos; pos.Line > 0 {
			return bzl.Position(pos)
		}
	}
	return diag.Position{}
}

// Registered evaluates the root workspace and returns what it registers. As in
// Bazel, what workspaces register that it consumes does not count.
func (r *Repositories) Registered(ctx context.Context) (Registered, error) {
	w, err := r.workspace(ctx, "")
	if err != nil {
		return Registered{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Registered{slices.Clone(w.toolchains), slices.Clone(w.platforms)}, nil
}

// eachWorkspace calls f for the root workspace, then for those it consumes.
func (r *Repositories) eachWorkspace(ctx context.Context, f func(*workspace) error) error {
	queue := []string{""}
	roots := map[string]bool{}
	for len(queue) > 0 {
		w, err := r.workspace(ctx, queue[0])
		if err != nil {
			return err
		}
		queue = queue[1:]
		if real, err := filepath.EvalSymlinks(w.root); err == nil {
			if roots[real] { // two workspaces that consume each other
				continue
			}
			roots[real] = true
		}
		if err := f(w); err != nil {
			return err
		}
		for _, name := range w.names() {
			if d := w.find(name); d.rule == r.rules["local_repository"] {
				queue = append(queue, d.repo)
			}
		}
	}
	return nil
}
