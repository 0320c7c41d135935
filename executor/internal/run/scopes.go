package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
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
		if _, declared := b.Root.Lookup(sc.Path[1:]); declared || l.spine[sc.Path] {
			m.Kind, m.Root = sandbox.Merged, ""
		}
		for p := range l.writable {
			if action.Below(p, sc.Path) {
				m.Kind, m.Root = sandbox.Overlay, ""
			}
		}
		l.mounts = append(l.mounts, m)
	}
	return nil
}

// showHost mounts the host's folders. A link among them is a link.
func (l *layout) showHost(v action.View) error {
	for _, f := range v.Folders() {
		info, err := os.Lstat(f)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			text, err := os.Readlink(f)
			if err != nil {
				return err
			}
			l.links = append(l.links, sandbox.Symlink{Path: f, Target: text})
		default:
			l.mounts = append(l.mounts, sandbox.Mount{Target: f, Source: f, Kind: sandbox.BindRO})
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
