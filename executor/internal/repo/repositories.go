package repo

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

// gorulesRepo is the name of the repository at the root of Options.Embedded.
const gorulesRepo = "gorules"

// embeddedFolder holds the other embedded repositories, a folder each.
const embeddedFolder = "embedded"

// LockfileMode says what happens to facts that gorules.lock does not hold yet.
type LockfileMode string

// The modes, spelled as on the command line. A contradiction fails in both.
const (
	LockUpdate LockfileMode = "update" // they are added
	LockError  LockfileMode = "error"  // they are refused
)

// Options configure Repositories.
type Options struct {
	// Workspace is the absolute path of the main workspace.
	Workspace string

	// OutputRoot is the absolute path of the folder that gets external/,
	// embedded/ and the downloads.
	OutputRoot string

	// Embedded is the repository @gorules at its root and others below embedded/.
	Embedded fs.FS

	// Builtins is a folder of @gorules with the native rules; see loading.Options.
	Builtins string

	// Env is the environment that repository rules see; nil means none.
	Env map[string]string

	Lockfile LockfileMode // "" means LockUpdate

	Limits Limits // of downloads and archives

	// Sources reads what is loaded, so that all that it rests on is noted, the
	// facts of fetched repositories too; nil means one that nobody asks later.
	Sources *source.Snapshot

	// Lock, where not nil, is held while a repository is fetched, so that only one
	// process does.
	Lock func(ctx context.Context, repo string) (unlock func(), err error)

	// LockFile, where not nil, is held while gorules.lock is written.
	LockFile func(ctx context.Context) (unlock func(), err error)

	Sink  event.Sink                          // nil drops events
	Print func(at diag.Position, text string) // of print(); nil drops it
	HTTP  *http.Client                        // nil means one that honours the environment's proxies
}

// Repositories are all repositories of one build. It is safe for concurrent use.
type Repositories struct {
	opts       Options
	loader     *loading.Loader
	lock       *lockFile
	rules      map[string]*bzl.RepoRule // those of rules.bzl
	workspaces *memo.Cache[workspaceKey, *workspace]
	fetched    *memo.Cache[fetchKey, *loading.View]

	mu      sync.Mutex
	begun   map[string]*workspace // also those whose evaluation is under way
	phase   sync.Mutex            // one event at a time
	fetches int                   // repository rules that ran
}

type workspaceKey struct{ repo string }

func (k workspaceKey) String() string {
	if k.repo == "" {
		return "evaluating WORKSPACE"
	}
	return "evaluating WORKSPACE of @" + k.repo
}

type fetchKey struct{ repo string }

func (k fetchKey) String() string { return "fetching @" + k.repo }

//go:embed rules.bzl
var rulesSource []byte

// rulesLabel is where the rules of rules.bzl say they come from.
var rulesLabel = label.Label{Repo: gorulesRepo, Name: "repository_rules.bzl"}

// New returns the repositories of a workspace; nothing is evaluated yet.
func New(o Options) (*Repositories, error) {
	for what, dir := range map[string]string{"workspace": o.Workspace, "output root": o.OutputRoot} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("the %s %q is not an absolute path", what, dir)
		}
	}
	if o.Sources == nil {
		o.Sources = source.New(source.LoadCache(""))
	}
	if o.Lockfile == "" {
		o.Lockfile = LockUpdate
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	r := &Repositories{opts: o, begun: map[string]*workspace{}}
	root := &loading.View{Root: o.Workspace, Files: o.Sources.Under(o.Workspace)}
	r.lock = newLockFile(o.Workspace, o.Lockfile, root.Files)
	var err error
	if r.rules, err = nativeRules(); err != nil {
		return nil, fmt.Errorf("the native repository rules: %w", err)
	}
	group := &memo.Group{}
	r.workspaces = memo.New(group, r.evaluate)
	r.fetched = memo.New(group, func(ctx context.Context, k fetchKey) (*loading.View, error) {
		if k.repo == "" {
			return root, nil
		}
		return r.locate(ctx, k.repo)
	})
	native := starlark.StringDict{}
	for name, v := range workspaceFunctions() {
		native[name] = v
	}
	for name, rule := range r.rules {
		native[name] = bzl.RepoValue{RepoRule: rule}
	}
	builtins := label.Package{}
	if o.Builtins != "" {
		builtins = label.Package{Repo: gorulesRepo, Path: o.Builtins}
	}
	r.loader = loading.New(loading.Options{Repos: r, Builtins: builtins, Native: native, Print: o.Print, Group: group})
	return r, nil
}

// nativeRules evaluates rules.bzl.
func nativeRules() (map[string]*bzl.RepoRule, error) {
	f, err := loading.Parse(rulesSource, rulesLabel.String(), bzl.BzlFile)
	if err != nil {
		return nil, err
	}
	predeclared := bzl.Env{File: rulesLabel, Scope: bzl.Scope{Package: rulesLabel.Pkg()}}.Predeclared()
	prog, err := loading.Compile(f, predeclared)
	if err != nil {
		return nil, err
	}
	globals, err := prog.Init(&starlark.Thread{Name: rulesLabel.String()}, predeclared)
	if err != nil {
		return nil, err
	}
	if err := bzl.Export(globals, rulesLabel, nil); err != nil {
		return nil, err
	}
	globals.Freeze()
	out := map[string]*bzl.RepoRule{}
	for name, v := range globals {
		if rule, ok := v.(bzl.RepoValue); ok {
			out[name] = rule.RepoRule
		}
	}
	return out, nil
}

// Loader returns the loader of all packages and modules.
func (r *Repositories) Loader() *loading.Loader { return r.loader }

// Fetches returns how many repository rules ran so far.
func (r *Repositories) Fetches() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetches
}

// View returns the repository with the canonical name repo, fetching it if need be.
func (r *Repositories) View(ctx context.Context, repo string) (*loading.View, error) {
	if repo != "" {
		// Outside of the cache: what evaluates a WORKSPACE file may ask for a
		// repository that others, who wait for that evaluation, ask for too.
		if _, err := r.parent(ctx, repo); err != nil {
			return nil, err
		}
	}
	v, err := r.fetched.Get(ctx, fetchKey{repo})
	return v, r.wordCycle(err)
}

// wordCycle gives a cycle of repositories the place of its first declaration.
func (r *Repositories) wordCycle(err error) error {
	var cycle *memo.CycleError
	if !errors.As(err, &cycle) {
		return err
	}
	k, ok := cycle.Path[0].(fetchKey)
	if !ok {
		return err
	}
	r.mu.Lock()
	w := r.begun[k.repo[:max(0, strings.LastIndexByte(k.repo, '+'))]]
	r.mu.Unlock()
	if w == nil {
		return err
	}
	if d := w.find(k.repo); d != nil {
		return diag.Errorf(d.position, "repositories form a %w", cycle).WithHint("one of them must do without the file of the next")
	}
	return err
}

// parent evaluates the workspace that may declare repo and returns it.
func (r *Repositories) parent(ctx context.Context, repo string) (*workspace, error) {
	if i := strings.LastIndexByte(repo, '+'); i >= 0 {
		return r.workspace(ctx, repo[:i])
	}
	return r.workspace(ctx, "")
}

// locate finds or fetches a repository.
func (r *Repositories) locate(ctx context.Context, repo string) (*loading.View, error) {
	if repo != gorulesRepo {
		w, err := r.parent(ctx, repo)
		if err != nil {
			return nil, err
		}
		if d := w.use(repo); d != nil {
			if d.rule == r.rules["local_repository"] {
				return r.local(d)
			}
			return r.fetch(ctx, d)
		}
	}
	if v := r.embedded(repo); v != nil {
		return v, nil
	}
	root, err := r.workspace(ctx, "")
	if err != nil {
		return nil, err
	}
	return nil, diag.Errorf(diag.Position{}, "no repository @%s is declared in %s%s", repo, root.shown, suggest(repo, root.names())).
		WithHint(fmt.Sprintf("declare it there: a repository rule with name = \"%s\"", repo))
}

// embedded returns the view of a repository in the program, or nil.
func (r *Repositories) embedded(repo string) *loading.View {
	if r.opts.Embedded == nil {
		return nil
	}
	if repo == gorulesRepo {
		return &loading.View{Repo: repo, Immutable: true, Files: r.opts.Embedded}
	}
	dir := embeddedFolder + "/" + repo
	if !fs.ValidPath(dir) {
		return nil
	}
	if info, err := fs.Stat(r.opts.Embedded, dir); err != nil || !info.IsDir() {
		return nil
	}
	sub, err := fs.Sub(r.opts.Embedded, dir)
	if err != nil {
		return nil
	}
	return &loading.View{Repo: repo, Immutable: true, Files: sub}
}

// local is the view of a local_repository.
func (r *Repositories) local(d *declaration) (*loading.View, error) {
	p := d.folder()
	if info, err := os.Stat(p); err != nil || !info.IsDir() {
		return nil, d.errorf("local_repository @%s: there is no folder %s", d.repo, p)
	}
	return &loading.View{Repo: d.repo, Root: p, Files: r.opts.Sources.Under(p)}, nil
}

// folder is where a local_repository stands.
func (d *declaration) folder() string {
	p, _ := starlark.AsString(d.attrs["path"])
	if !filepath.IsAbs(p) {
		p = filepath.Join(d.root, filepath.FromSlash(p))
	}
	return p
}

// Materialize returns a folder of this machine with the files of a repository.
// For an embedded one they are written below the output root, once.
func (r *Repositories) Materialize(ctx context.Context, repo string) (string, error) {
	v, err := r.View(ctx, repo)
	if err != nil {
		return "", err
	}
	if v.Root != "" {
		return v.Root, nil
	}
	return r.materialize(v)
}

// materialize writes an embedded repository under a name that fixes its content.
func (r *Repositories) materialize(v *loading.View) (string, error) {
	name, err := contentName(v.Files)
	if err != nil {
		return "", fmt.Errorf("reading the embedded repository @%s: %w", v.Repo, err)
	}
	parent := filepath.Join(r.opts.OutputRoot, "embedded", v.Repo)
	dir := filepath.Join(parent, name)
	if _, err := os.Lstat(dir); err == nil {
		if r.embeddedIs(dir, name) {
			return dir, nil
		}
		r.warn(fmt.Sprintf("@%s is written again: it was changed on disk, in %s", v.Repo, dir))
		if err := fsx.Plain.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(parent, "tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(filepath.Join(tmp, "r"), v.Files); err != nil {
		return "", fmt.Errorf("writing the embedded repository @%s: %w", v.Repo, err)
	}
	if err := os.Rename(filepath.Join(tmp, "r"), dir); err != nil {
		if r.embeddedIs(dir, name) { // another process was first
			return dir, nil
		}
		return "", err
	}
	if !r.embeddedIs(dir, name) {
		return "", fmt.Errorf("the embedded repository @%s changes while it is written to %s; run the command again", v.Repo, dir)
	}
	return dir, nil
}

// embeddedIs reports whether dir holds what its name says, and if so makes that
// what is read there.
func (r *Repositories) embeddedIs(dir, name string) bool {
	f, err := r.opts.Sources.Fix(dir)
	if err != nil {
		return false
	}
	if now, err := contentName(f.Files()); err != nil || now != name {
		return false
	}
	r.opts.Sources.Rest(f)
	return true
}

// contentName is a name for all that files holds.
func contentName(files fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := fs.ReadFile(files, p)
		fmt.Fprintf(h, "%s\x00%d\x00%t\x00", p, len(b), info.Mode()&0o111 != 0)
		h.Write(b)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:16]), err
}

func (r *Repositories) warn(text string) {
	if r.opts.Sink != nil {
		r.opts.Sink(event.Diagnostic{Severity: event.Warning, Text: text})
	}
}

// emit reports what is going on.
func (r *Repositories) emit(text string) {
	if r.opts.Sink == nil {
		return
	}
	r.phase.Lock()
	defer r.phase.Unlock()
	r.opts.Sink(event.Phase{Text: text})
}

// sorted returns the keys of m in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
