package analysis

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/label"
)

// An Analyzer analyses targets, each once per configuration. It is safe for
// concurrent use.
type Analyzer struct {
	opts    Options
	base    *configuration
	targets *memo.Cache[key, *Configured]
	aspects *memo.Cache[aspectKey, *aspectResult]
	params  sync.Map // paramsKey -> aspectParams
	chains  *memo.Cache[platformKey, []*registered]

	freezer bzl.Freezer

	mu      sync.Mutex
	configs map[string]*configuration
	sources map[string]*action.Artifact // of source_tree, source_dir and host_tree
}

// key is a target in a configuration.
type key struct {
	label label.Label
	cfg   *configuration

	// entered says that the rule's own transition (rule(cfg=)) was applied.
	entered bool
}

// String is what a cycle shows.
func (k key) String() string { return k.label.String() }

// New returns an Analyzer that has analysed nothing yet.
func New(o Options) *Analyzer {
	if o.Workspace == "" {
		o.Workspace = "_main"
	}
	if o.Group == nil {
		o.Group = &memo.Group{}
	}
	a := &Analyzer{opts: o, base: newConfiguration(o.Config), configs: map[string]*configuration{}, sources: map[string]*action.Artifact{}}
	a.targets = memo.New(o.Group, a.analyse)
	a.aspects = memo.New(o.Group, a.applyAspect)
	a.chains = memo.New(o.Group, a.loadToolchains)
	return a
}

// Configure analyses a target in the configuration of the command line.
func (a *Analyzer) Configure(ctx context.Context, l label.Label) (*Configured, error) {
	return a.targets.Get(ctx, key{label: l, cfg: a.base})
}

func (a *Analyzer) analyse(ctx context.Context, k key) (*Configured, error) {
	t, err := a.opts.Loader.Target(ctx, k.label)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case loading.SourceFile:
		return a.sourceFile(ctx, t, k.cfg)
	case loading.GeneratedFile:
		return a.generatedFile(ctx, t, k.cfg)
	case loading.PackageGroup:
		return a.fileless(t, k.cfg, nil), nil
	}
	c, err := a.rule(ctx, t, k)
	if err != nil {
		err = targetError(t, err)
		if k.cfg.options["allow_analysis_failures"] == "true" && ctx.Err() == nil {
			return a.failure(t, k.cfg, err), nil
		}
		return nil, err
	}
	return c, nil
}

// failure is a target whose analysis was expected to fail.
func (a *Analyzer) failure(t *loading.Target, cfg *configuration, err error) *Configured {
	cause := bzl.AnalysisFailure.New(starlark.StringDict{"label": bzl.Label{Label: t.Label}, "message": starlark.String(err.Error())})
	causes, bad := bzl.NewDepset([]starlark.Value{cause})
	if bad != nil {
		causes = bzl.EmptyDepset()
	}
	info := bzl.AnalysisFailureInfo.New(starlark.StringDict{"causes": causes})
	info.Freeze()
	return a.fileless(t, cfg, map[*bzl.Provider]starlark.Value{bzl.AnalysisFailureInfo: info})
}

// Conflicts returns an error if two different files among the outputs of
// targets that are wanted together have one path, or one would be in the other.
func Conflicts(targets []*Configured) error {
	seen := map[string]*bzl.File{}
	var inside []string // paths, with a slash at the end so that what is below one follows it
	for _, c := range targets {
		for _, f := range c.Files.Files() {
			if path.IsAbs(f.Path) {
				continue // a place in its own action's root, in no folder of everybody's
			}
			old := seen[f.Path]
			if old != nil && old.Artifact != f.Artifact {
				return targetError(c.Target, errorf("output %s is made by %s too, in another way", f.Path, old.Owner).
					WithHint("give one of the two files another name"))
			}
			if old == nil {
				inside = append(inside, f.Path+"/")
			}
			seen[f.Path] = f
		}
	}
	slices.Sort(inside)
	for i := 1; i < len(inside); i++ {
		if !strings.HasPrefix(inside[i], inside[i-1]) {
			continue
		}
		outer, inner := seen[strings.TrimSuffix(inside[i-1], "/")], seen[strings.TrimSuffix(inside[i], "/")]
		at := slices.IndexFunc(targets, func(c *Configured) bool { return c.Label == inner.Owner })
		err := prefixError(outer.Path, outer.Owner.String(), inner.Path, inner.Owner.String())
		if at < 0 {
			return err
		}
		return targetError(targets[at].Target, err)
	}
	return nil
}

// prefixError says that an output would be inside another, which is a file or a
// folder that belongs to one action alone.
func prefixError(outer, by, inner, innerBy string) *diag.Error {
	return errorf("output %s of %s is below output %s of %s: no file can be there as well", inner, innerBy, outer, by).
		WithHint("give one of the two another name, or build just one of them")
}

// fileless returns a target without files and with the given providers.
func (a *Analyzer) fileless(t *loading.Target, cfg *configuration, providers map[*bzl.Provider]starlark.Value) *Configured {
	if providers == nil {
		providers = map[*bzl.Provider]starlark.Value{}
	}
	c := &Configured{
		Label: t.Label, Target: t, Kind: t.KindString(), Providers: providers, cfg: cfg,
		Files: bzl.EmptyDepset(), Runfiles: emptyRunfiles(), DataRunfiles: emptyRunfiles(),
	}
	c.setDefaultInfo()
	return c
}

// setDefaultInfo makes the DefaultInfo instance that dependents read.
func (c *Configured) setDefaultInfo() {
	d := bzl.DefaultInfo.New(starlark.StringDict{
		"files": c.Files, "files_to_run": &filesToRun{c}, "default_runfiles": c.Runfiles, "data_runfiles": c.DataRunfiles,
	})
	d.Freeze()
	c.Providers[bzl.DefaultInfo] = d
}

func (a *Analyzer) fileTarget(t *loading.Target, cfg *configuration, f *bzl.File) *Configured {
	c := a.fileless(t, cfg, nil)
	c.Files = bzl.FileDepset([]*bzl.File{f})
	c.setDefaultInfo()
	return c
}

func (a *Analyzer) sourceFile(ctx context.Context, t *loading.Target, cfg *configuration) (*Configured, error) {
	if cfg != a.base {
		return a.targets.Get(ctx, key{label: t.Label, cfg: a.base})
	}
	view, err := a.opts.Repos.View(ctx, t.Label.Repo)
	if err != nil {
		return nil, targetError(t, err)
	}
	inRepo := path.Join(t.Label.Package, t.Label.Name)
	info, err := fs.Stat(view.Files, inRepo)
	if err != nil {
		return nil, targetError(t, fmt.Errorf("cannot read %s: %w", inRepo, err))
	}
	art := &action.Artifact{Path: path.Join(bzl.WorkspaceRoot(t.Label.Repo), inRepo), Dir: info.IsDir()}
	switch {
	case view.Root != "":
		art.Source = &action.Source{Root: view.Root, Path: inRepo, Immutable: view.Immutable}
	case info.IsDir():
		return nil, targetError(t, fmt.Errorf("folders of the repository @%s, which is part of gorules, cannot be inputs", t.Label.Repo))
	default:
		content, err := fs.ReadFile(view.Files, inRepo)
		if err != nil {
			return nil, targetError(t, fmt.Errorf("cannot read %s: %w", inRepo, err))
		}
		art.Producer = &action.Spec{
			Owner: t.Label, Position: t.Position, Mnemonic: "FileWrite", Progress: "Writing " + art.Path, Outputs: []*action.Artifact{art}, Inputs: action.InputList(nil),
			Write: &action.Write{Content: func(action.Expander) ([]byte, error) { return content, nil }},
		}
	}
	return a.fileTarget(t, cfg, &bzl.File{Artifact: art, Path: art.Path, Owner: t.Label}), nil
}

func (a *Analyzer) generatedFile(ctx context.Context, t *loading.Target, cfg *configuration) (*Configured, error) {
	g, err := a.targets.Get(ctx, key{label: t.Generator.Label, cfg: cfg})
	if err != nil {
		return nil, err
	}
	if g.Incompatible != "" {
		c := a.fileless(t, cfg, nil)
		c.Incompatible = g.Incompatible
		return c, nil
	}
	f := g.outputs[t.Label]
	if f == nil {
		return nil, targetError(t, fmt.Errorf("rule %s declares the file but has no output of that name", t.Generator.Label))
	}
	c := a.fileTarget(t, cfg, f)
	c.Runfiles, c.DataRunfiles = &Runfiles{files: c.Files}, &Runfiles{files: c.Files}
	return c, nil
}

// thread returns a Starlark thread for code of one target, which stands at a
// position; done must be called at the end.
func (a *Analyzer) thread(ctx context.Context, name string, at diag.Position, c *bzl.Context) (thread *starlark.Thread, done func()) {
	return bzl.NewThread(ctx, name, at, a.opts.Print, c)
}
