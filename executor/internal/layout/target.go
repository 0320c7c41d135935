package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/fsx"
	"gorules/executor/label"
)

// A Target is the layout of one target's results.
type Target struct {
	l     *Layout
	label label.Label
	kind  Kind
	now   [2][]string // laid out, relative to the folders
}

// Kind tells results of one target apart that different commands lay out: each
// replaces its own alone.
type Kind string

// The kinds.
const (
	Outputs Kind = "outputs" // what build makes
	Results Kind = "results" // what test judged
	Program Kind = "program" // what run starts
)

// Target begins the layout of a target.
func (l *Layout) Target(t label.Label, k Kind) *Target { return &Target{l: l, label: t, kind: k} }

// key names the target and kind in the manifest.
func (t *Target) key() string { return string(t.kind) + " " + t.label.String() }

// Output puts an output artifact into the bin folder and returns how people call
// it, or "" for artifacts that have no place there (units of a shared graph, at
// absolute paths).
func (t *Target) Output(ctx context.Context, a *action.Artifact, c action.Content) (string, error) {
	rel, ok := strings.CutPrefix(a.Path, binPrefix)
	if !ok {
		return "", nil
	}
	return t.lay(ctx, bin, rel, c)
}

// Missing says that a could not be made: what is in its place is an older one,
// and goes, whichever targets laid it out.
func (t *Target) Missing(a *action.Artifact) error {
	rel, ok := strings.CutPrefix(a.Path, binPrefix)
	if !ok {
		return nil
	}
	for key, was := range t.l.manifest {
		if i := slices.Index(was[bin], rel); i >= 0 {
			was[bin] = slices.Delete(slices.Clone(was[bin]), i, i+1)
			t.l.manifest.set(key, was)
		}
	}
	return t.l.drop(bin, rel)
}

// Log puts a file called name into the test's folder of logs.
func (t *Target) Log(ctx context.Context, name string, c action.Content) (string, error) {
	return t.lay(ctx, logs, path.Join(repoDir(t.label.Repo), t.label.Package, t.label.Name, name), c)
}

// LogText is Log of a text.
func (t *Target) LogText(ctx context.Context, name string, text []byte) (string, error) {
	d, err := cas.PutBytes(ctx, t.l.opt.Store, text)
	if err != nil {
		return "", err
	}
	return t.Log(ctx, name, action.Content{File: d})
}

// repoDir is the folder of an external repository's results.
func repoDir(repo string) string {
	if repo == "" {
		return ""
	}
	return "external/" + repo
}

// Unfit is the error of a result that cannot be at its place, while those of other
// targets can be at theirs.
type Unfit struct {
	Shown string // how people call the place
	Err   error
}

func (e *Unfit) Error() string {
	var no syscall.Errno
	if errors.As(e.Err, &no) { // without the path, which may be as long as it gets
		return "writing " + e.Shown + ": " + no.Error()
	}
	return "writing " + e.Shown + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Unfit) Unwrap() error { return e.Err }

func (t *Target) lay(ctx context.Context, folder int, rel string, c action.Content) (string, error) {
	dst := filepath.Join(t.l.real(folder), filepath.FromSlash(rel))
	shown := t.l.shown[folder] + "/" + rel
	if err := t.l.put(ctx, dst, c); err != nil {
		if fsx.Unfit(err) {
			return "", &Unfit{shown, err}
		}
		return "", fmt.Errorf("writing %s: %w", shown, err)
	}
	t.now[folder] = append(t.now[folder], rel)
	t.l.laid = append(t.l.laid, dst)
	return shown, nil
}

// Runnable lays out the program exe with its runfiles beside it, exactly those,
// and returns its host path. A source file is run where it stands.
func (t *Target) Runnable(ctx context.Context, exe *action.Artifact, c action.Content, runfiles action.Inputs, content func(*action.Artifact) (action.Content, error)) (program, root string, err error) {
	rel, ours := strings.CutPrefix(exe.Path, binPrefix)
	if !ours {
		// No target has a package of this name, so nobody's output is in the way.
		rel = path.Join("_run", exe.Path)
	}
	program = filepath.Join(t.l.real(bin), filepath.FromSlash(rel))
	if exe.Source != nil && exe.Source.Tree == nil && exe.Source.Host == nil {
		program = filepath.Join(exe.Source.Root, filepath.FromSlash(exe.Source.Path))
	} else if _, err := t.lay(ctx, bin, rel, c); err != nil {
		return "", "", err
	}
	root = filepath.Join(t.l.real(bin), filepath.FromSlash(rel)+".runfiles")
	if err := os.MkdirAll(filepath.Join(root, "_main"), 0o755); err != nil {
		return "", "", err
	}
	keep := map[string]bool{root: true, filepath.Join(root, "_main"): true}
	runfiles.Each(func(in action.Input) bool {
		var c action.Content
		if c, err = content(in.Artifact); err != nil {
			return false
		}
		dst := filepath.Join(root, filepath.FromSlash(in.Path))
		for p := dst; !keep[p]; p = filepath.Dir(p) {
			keep[p] = true
		}
		if c.Tree != nil { // what is in it is put's business
			keep[dst+"/"] = true
		}
		err = t.l.put(ctx, dst, c)
		t.l.laid = append(t.l.laid, dst)
		return err == nil
	})
	if err != nil {
		return "", "", err
	}
	t.now[bin] = append(t.now[bin], rel+".runfiles")
	return program, root, sweep(root, keep)
}

// sweep removes what is below dir and not kept; folders kept with a slash are
// left alone.
func sweep(dir string, keep map[string]bool) error {
	es, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range es {
		p := filepath.Join(dir, e.Name())
		switch {
		case !keep[p]:
			err = os.RemoveAll(p)
		case e.IsDir() && !keep[p+"/"]:
			err = sweep(p, keep)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Done ends the layout of the target: what an earlier command laid out for it
// and this one did not is removed.
func (t *Target) Done() error {
	l := t.l
	was := l.manifest[t.key()]
	l.manifest.set(t.key(), t.now)
	for folder := range folders {
		for _, rel := range was[folder] {
			if slices.Contains(t.now[folder], rel) {
				continue
			}
			if err := l.drop(folder, rel); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop removes rel, and folders that it leaves empty, unless something laid out
// is at it, below it or above it.
func (l *Layout) drop(folder int, rel string) error {
	if l.manifest.has(folder, rel) {
		return nil
	}
	root := l.real(folder)
	p := filepath.Join(root, filepath.FromSlash(rel))
	if err := os.RemoveAll(p); err != nil {
		return err
	}
	for p = filepath.Dir(p); len(p) > len(root); p = filepath.Dir(p) {
		if os.Remove(p) != nil { // not empty
			break
		}
	}
	return nil
}

// Forget removes what was laid out for targets, as far as gone says so.
func (l *Layout) Forget(gone func(k Kind, label string) bool) error {
	for key, was := range l.manifest {
		if kind, name, _ := strings.Cut(key, " "); !gone(Kind(kind), name) {
			continue
		}
		delete(l.manifest, key)
		for folder := range folders {
			for _, rel := range was[folder] {
				if err := l.drop(folder, rel); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Close keeps what was laid out for the next command.
func (l *Layout) Close() error { return l.manifest.write(l.opt.Dir) }

// has reports whether a target laid something out at rel, below it or above it.
func (m manifest) has(folder int, rel string) bool {
	for _, now := range m {
		if slices.ContainsFunc(now[folder], func(p string) bool {
			return p == rel || strings.HasPrefix(p, rel+"/") || strings.HasPrefix(rel, p+"/")
		}) {
			return true
		}
	}
	return false
}
