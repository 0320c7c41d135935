package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
	"gorules/executor/regular"
)

// What an action may look into stands below what it declares: a mirror of the
// scope's tree, or the host's own folders. Where something declared, an output or
// a mount belongs into it, it is an overlay, and the mirror is never written to.

// showScopes mounts the scopes of b.
func (l *layout) showScopes(b *action.Bound) error {
	for i := range b.Scopes {
		sc := &b.Scopes[i]
		if sc.View != nil {
			if err := l.showHost(sc.View); err != nil {
				return err
			}
			continue
		}
		dir, err := l.local.mirrored(l.ctx, sc)
		if err != nil {
			return fmt.Errorf("scope %s: %w", sc.Path, err)
		}
		m := sandbox.Mount{Target: sc.Path, Source: dir, Kind: sandbox.Apart, Root: path.Dir(dir)}
		if _, declared := b.Root.Lookup(sc.Path[1:]); declared || l.spine[sc.Path] || around(b, sc) {
			m.Kind, m.Root = sandbox.Merged, ""
		}
		for p := range l.writable {
			if action.Below(p, sc.Path) {
				m.Kind, m.Root = sandbox.Overlay, ""
			}
		}
		if i == 0 && slices.ContainsFunc(b.Outputs, func(o action.BoundOutput) bool { return o.Changes }) {
			if m.Upper, err = l.fresh(); err != nil {
				return err
			}
			m.Upper += "/changes"
			l.upper = m.Upper + "/upper"
			for _, d := range []string{l.upper, m.Upper + "/work"} {
				if err := l.local.fs.MkdirAll(d, 0o755); err != nil {
					return err
				}
			}
		}
		l.mounts = append(l.mounts, m)
		l.mark(path.Dir(sc.Path)) // what is around it is no mount of its own, which would be below this one
	}
	return nil
}

// changed puts what the process wrote in its first scope, and that is not as the scope
// has it, into the output of b for that. What it removed is there again for others.
func (l *layout) changed(b *action.Bound) error {
	for _, o := range b.Outputs {
		if !o.Changes {
			continue
		}
		dir, rel, _ := l.find(o.Path)
		return l.takeChanges(b, l.upper, path.Join(dir, rel), b.Scopes[0].Path)
	}
	return nil
}

// takeChanges moves the files of from, which stand at the place at of the root, to the
// folder to, which may be missing.
func (l *layout) takeChanges(b *action.Bound, from, to, at string) error {
	es, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range es {
		p, q, place := from+"/"+e.Name(), to+"/"+e.Name(), path.Join(at, e.Name())
		switch {
		case e.IsDir():
			if err := l.takeChanges(b, p, q, place); err != nil {
				return err
			}
		case e.Type().IsRegular(), e.Type()&fs.ModeSymlink != 0:
			same, err := l.asBefore(b, p, place, e.Type())
			if err != nil {
				return err
			}
			if same {
				continue
			}
			if err := l.local.fs.MkdirAll(to, 0o755); err != nil {
				return err
			}
			if err := l.local.fs.Rename(p, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// asBefore reports whether what stands at p is what the action was given at that
// place: declared, or a copy of the scope's that was made to change a time, say.
func (l *layout) asBefore(b *action.Bound, p, at string, kind fs.FileMode) (bool, error) {
	e, ok := b.Root.Lookup(at[1:])
	if ok && e.Kind == tree.File && e.File.Size > maxMemory {
		return true, nil // a mount point
	}
	var err error
	if !ok {
		e, ok, err = b.Scopes[0].Entry(at, true)
	}
	if err != nil || !ok {
		return false, err
	}
	if kind != 0 {
		text, err := os.Readlink(p)
		return e.Kind == tree.Link && text == e.Target, err
	}
	f, err := regular.Open(p)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || e.Kind != tree.File || info.Size() != e.File.Size || e.Executable != (info.Mode()&0o100 != 0) {
		return false, err
	}
	h := digest.NewHasher()
	_, err = io.Copy(h, f)
	return h.Digest() == e.File, err
}

// around reports whether another scope of b stands in sc.
func around(b *action.Bound, sc *action.BoundScope) bool {
	for i := range b.Scopes {
		for _, f := range b.Scopes[i].Folders() {
			if f != sc.Path && action.Below(f, sc.Path) {
				return true
			}
		}
	}
	return false
}

// showHost mounts the host's folders. A link among them is a link.
func (l *layout) showHost(v action.View) error {
	for _, f := range v.Folders() {
		real := v.Real(f)
		info, err := os.Lstat(real)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			text, err := os.Readlink(real)
			if err != nil {
				return err
			}
			l.links = append(l.links, sandbox.Symlink{Path: f, Target: text})
		default:
			l.mounts = append(l.mounts, sandbox.Mount{Target: f, Source: real, Kind: sandbox.BindRO})
		}
	}
	return nil
}

// ofHost reports whether p is shown as the host has it. What an action declares of
// the host stands there anyway.
func (l *layout) ofHost(p string) bool {
	for i := range l.scopes {
		if l.scopes[i].View != nil && l.scopes[i].Holds(p) {
			return true
		}
	}
	return false
}

// shown returns what a mirrored scope has at p, nil if there is nothing, and how
// what is declared there is put in.
func (l *layout) shown(p string) (*tree.Entry, place, error) {
	for i := range l.scopes {
		sc := &l.scopes[i]
		if sc.View != nil || !sc.Holds(p) {
			continue
		}
		in := place{}
		for w := range l.writable {
			in.cow = in.cow || action.Below(w, sc.Path)
		}
		e, ok, err := sc.Entry(p, true)
		if !ok || err != nil {
			return nil, in, err
		}
		return &e, in, nil
	}
	return nil, place{}, nil
}

// mirrored reports whether p is a place of a mirrored scope.
func (l *layout) mirrored(p string) bool {
	return slices.ContainsFunc(l.scopes, func(sc action.BoundScope) bool { return sc.View == nil && sc.Holds(p) })
}

// shownDir reports whether a scope has a folder at p.
func (l *layout) shownDir(p string) bool {
	if l.ofHost(p) {
		return true
	}
	e, _, err := l.shown(p)
	return err == nil && e != nil && e.Kind == tree.Dir
}

func same(a, b tree.Entry) bool {
	a.Name = b.Name
	return a == b
}

// observedAt are the places of an action's root that are observed.
func observedAt(b *action.Bound) []string {
	var out []string
	for i := range b.Scopes {
		out = append(out, b.Scopes[i].Folders()...)
	}
	return out
}

// mirrored returns a folder of the disk that holds what sc does. What actions made,
// and what never changes, is a tree like others.
func (l *Local) mirrored(ctx context.Context, sc *action.BoundScope) (string, error) {
	if sc.Source == nil || sc.Source.Immutable {
		return l.trees.Materialise(ctx, sc.Tree)
	}
	m, err := l.mirrors.get(sc.Source.Key())
	if err != nil {
		return "", err
	}
	return m.show(ctx, sc.Tree)
}

// torn names a file of which b's process asked for more than the name, and that could
// not be shown as the scope has it, since it changed meanwhile.
func (l *Local) torn(b *action.Bound, looks action.Observation) error {
	for i := range b.Scopes {
		sc := &b.Scopes[i]
		if sc.Source == nil || sc.View != nil || sc.Source.Immutable {
			continue
		}
		m, err := l.mirrors.get(sc.Source.Key())
		if err != nil {
			return err
		}
		for _, look := range looks {
			if sc.Holds(look.Path) && m.isTorn(strings.TrimPrefix(look.Path, sc.Path)) {
				return fmt.Errorf("%s changed while the build was running; run the command again", strings.TrimPrefix(look.Path, action.Workspace+"/"))
			}
		}
	}
	return nil
}
