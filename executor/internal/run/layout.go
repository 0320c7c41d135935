package run

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// A layout turns the input root of one action into mounts.
//
// A directory in which nothing is written is mounted as a whole: its origin or
// its materialised form, read-only. Where that is not worth it, its files are
// linked into a scratch directory, which is mounted read-only. The parent of
// each output is a fresh scratch directory, mounted writable, into which the
// inputs that stand there too are copied. What Bound.Writable names is an
// overlay whose changes are thrown away.
type layout struct {
	local  *Local
	ctx    context.Context
	mounts []sandbox.Mount
	links  []sandbox.Symlink
	dirs   []string
	taken  []string // scratch directories to give back

	outParent map[string]bool
	writable  map[string]bool
	spine     map[string]bool   // has one of these, or a missing working directory, at or below it
	places    map[string]string // output parent -> scratch directory
	staged    map[string]host   // every directory of the root that is not mounted as a whole
	plain     map[*tree.Tree]bool
	stamps    []string
}

// host is where a directory of the input root is being put together.
type host struct {
	dir  string // "" for mere mount points in the root
	kind hostKind
}

type hostKind uint8

const (
	bare   hostKind = iota // nothing but mount points
	linked                 // a directory shown read-only, or below an overlay: links
	owned                  // a directory that the action may write to: copies
)

// The limits of what is mounted rather than linked. A mount costs about as
// much as 8 links; beyond maxWhole files one edit would re-link too many.
const (
	minWhole = 8
	maxWhole = 512
)

// maxCopy is the largest input, in bytes, that is copied into a directory for
// outputs; a larger one is mounted there by itself.
const maxCopy = 1 << 20

// system has what the sandbox itself puts files into.
var system = map[string]bool{"/": true, "/etc": true, "/home": true, sandbox.Home: true, "/tmp": true, "/dev": true, "/proc": true}

func (l *Local) layOut(ctx context.Context, b *action.Bound) (*layout, error) {
	lay := &layout{
		local: l, ctx: ctx,
		outParent: map[string]bool{}, writable: map[string]bool{}, spine: map[string]bool{},
		places: map[string]string{}, staged: map[string]host{}, plain: map[*tree.Tree]bool{},
	}
	err := lay.root(b)
	if err != nil {
		l.scratch.put(lay.taken)
		return nil, fmt.Errorf("laying out the inputs: %w", err)
	}
	return lay, nil
}

func (l *layout) root(b *action.Bound) error {
	for _, o := range b.Outputs {
		p := path.Dir(o.Path)
		if p == "/" {
			if !o.Dir {
				return fmt.Errorf("output %s: a file cannot be made directly in /; put it into a folder", o.Path)
			}
			p = o.Path // a directory in / is a place of its own
		}
		l.outParent[p] = true
		l.mark(p)
	}
	for _, p := range b.Writable {
		l.writable[path.Clean(p)] = true
		l.mark(path.Clean(p))
	}
	if e, ok := b.Root.Lookup(strings.TrimPrefix(b.Workdir, "/")); !ok || e.Kind != tree.Dir {
		l.mark(b.Workdir)
	}
	if err := l.children(b.Root, "/", host{}, false); err != nil {
		return err
	}
	for p := range l.outParent {
		if _, ok := l.places[p]; !ok {
			if err := l.missing(p); err != nil {
				return err
			}
			if _, err := l.place(p, ""); err != nil {
				return err
			}
		}
	}
	for p := range l.writable {
		if _, err := l.visited(p); err != nil {
			if err := l.missing(p); err != nil {
				return err
			}
			l.mounts = append(l.mounts, sandbox.Mount{Target: p, Kind: sandbox.Tmpfs})
		}
	}
	if err := l.missing(b.Workdir); err != nil {
		return err
	}
	for _, o := range b.Outputs {
		if o.Dir && !l.outParent[o.Path] {
			dir, rel, _ := l.find(o.Path)
			if err := l.local.fs.MkdirAll(filepath.Join(dir, rel), 0o755); err != nil {
				return fmt.Errorf("output %s: %w", o.Path, err)
			}
		}
	}
	for i := len(l.stamps) - 1; i >= 0; i-- {
		if err := l.local.fs.Times(l.stamps[i], fsx.Stamp); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) mark(p string) {
	for ; !l.spine[p]; p = path.Dir(p) {
		l.spine[p] = true
	}
}

// find returns the scratch directory in which the output path p is made.
func (l *layout) find(p string) (dir, rel string, ok bool) {
	for q := p; ; q = path.Dir(q) {
		if d, ok := l.places[q]; ok {
			return d, strings.TrimPrefix(strings.TrimPrefix(p, q), "/"), true
		}
		if q == "/" {
			return "", "", false
		}
	}
}

// visited fails if nothing of the input root is at p.
func (l *layout) visited(p string) (host, error) {
	if h, ok := l.staged[p]; ok {
		return h, nil
	}
	return host{}, fmt.Errorf("no input at %s", p)
}

// missing makes p, which no input provides, a directory in whatever is around it.
func (l *layout) missing(p string) error {
	for q := p; q != "/"; q = path.Dir(q) {
		h, err := l.visited(q)
		if err != nil {
			continue
		}
		if h.kind == linked && q != p {
			// The folder around it is read-only for the sandbox too.
			if err := l.local.fs.MkdirAll(filepath.Join(h.dir, strings.TrimPrefix(p, q)), 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (l *layout) take() (string, error) {
	d, err := l.local.scratch.get()
	if err == nil {
		l.taken = append(l.taken, d)
	}
	return d, err
}

// place mounts a fresh directory for outputs at p; point is its mount point in
// a linked directory around it, or "".
func (l *layout) place(p, point string) (string, error) {
	d, err := l.take()
	if err != nil {
		return "", err
	}
	l.places[p] = d
	l.staged[p] = host{d, owned}
	return d, l.mount(sandbox.Mount{Target: p, Source: d, Kind: sandbox.BindRW}, point)
}

func (l *layout) mount(m sandbox.Mount, point string) error {
	l.mounts = append(l.mounts, m)
	if point == "" {
		return nil
	}
	return l.local.fs.Mkdir(point, 0o755)
}

// dir lays out t at p, inside the directory around it.
func (l *layout) dir(t *tree.Tree, p string, around host, cow bool) error {
	point := "" // where p is a mount point in the directory around it
	if around.kind == linked {
		point = around.dir + "/" + path.Base(p)
	}
	cow = cow || l.writable[p]
	kind := sandbox.BindRO
	if cow {
		kind = sandbox.Overlay
	}
	if l.outParent[p] {
		d, err := l.place(p, point)
		if err != nil {
			return err
		}
		return l.children(t, p, host{d, owned}, cow)
	}
	if !system[p] && !l.below(p) {
		d, ok, err := l.whole(t)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if ok {
			l.staged[p] = host{d, bare}
			return l.mount(sandbox.Mount{Target: p, Source: d, Kind: kind}, point)
		}
	}
	in := host{around.dir + "/" + path.Base(p), around.kind}
	switch {
	case system[p]:
		in = host{}
		l.dirs = append(l.dirs, p)
	case l.writable[p], around.kind == bare && l.needsStage(t, p), around.kind == owned && !l.spine[p]:
		d, err := l.take()
		if err != nil {
			return err
		}
		in = host{d, linked}
		l.stamps = append(l.stamps, d)
		if err := l.mount(sandbox.Mount{Target: p, Source: d, Kind: kind}, point); err != nil {
			return err
		}
	case around.kind == bare:
		in = host{}
		l.dirs = append(l.dirs, p)
	default:
		if err := l.local.fs.Mkdir(in.dir, 0o755); err != nil {
			return err
		}
		l.stamps = append(l.stamps, in.dir)
	}
	l.staged[p] = in
	return l.children(t, p, in, cow)
}

func (l *layout) children(t *tree.Tree, p string, in host, cow bool) error {
	blobs := &l.local.blobs
	for _, e := range t.Entries() {
		q := path.Join(p, e.Name)
		var err error
		switch {
		case e.Kind == tree.Dir:
			err = l.dir(e.Dir, q, in, cow)
		case e.Kind == tree.Link && in.kind == bare:
			l.links = append(l.links, sandbox.Symlink{Path: q, Target: e.Target})
		case e.Kind == tree.Link:
			err = l.local.fs.Symlink(e.Target, in.dir+"/"+e.Name)
		case in.kind == bare, in.kind == owned && !cow && e.File.Size > maxCopy:
			var file string
			if file, err = blobs.fetch(l.ctx, e, t.Origin); err == nil {
				l.mounts = append(l.mounts, sandbox.Mount{Target: q, Source: file, Kind: sandbox.BindRO})
			}
		case in.kind == linked:
			err = blobs.link(l.ctx, e, t.Origin, in.dir+"/"+e.Name)
		default:
			err = blobs.copy(l.ctx, e, t.Origin, in.dir+"/"+e.Name)
		}
		if err != nil && e.Kind != tree.Dir { // a folder's error names what lies in it
			err = fmt.Errorf("%s: %w", q, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// below reports whether something special lies strictly below p, or p itself is
// more than merely writable.
func (l *layout) below(p string) bool {
	if !l.spine[p] {
		return false
	}
	if !l.writable[p] {
		return true
	}
	for q := range l.spine {
		if len(q) > len(p) && strings.HasPrefix(q, p) && q[len(p)] == '/' {
			return true
		}
	}
	return false
}

// needsStage reports whether a directory with bare mount points around it has
// something of its own to hold.
func (l *layout) needsStage(t *tree.Tree, p string) bool {
	for _, e := range t.Entries() {
		switch {
		case e.Kind == tree.File:
			return true
		case e.Kind == tree.Dir && !l.spine[path.Join(p, e.Name)] && l.originless(e.Dir) && e.Dir.Files() > 0 && e.Dir.Files() < minWhole:
			return true
		}
	}
	return false
}

// whole returns the directory to mount for all of t, if one should be mounted.
func (l *layout) whole(t *tree.Tree) (string, bool, error) {
	if t.Origin != "" {
		return t.Origin, true, nil
	}
	direct, dirs := 0, 0
	for _, e := range t.Entries() {
		if e.Kind == tree.Dir {
			dirs++
		} else {
			direct++
		}
	}
	n := t.Files()
	if n < minWhole || n > maxWhole && direct < n/2 || !l.originless(t) {
		return "", false, nil
	}
	trees := l.local.trees
	if d, ok := trees.Have(t); ok {
		return d, true, nil
	}
	// A flat directory seen for the first time may never be seen again (the
	// dependencies of one compile, say): linking it costs the same either way,
	// and a scratch directory leaves nothing behind.
	if dirs == 0 && n < maxWhole/2 && l.local.first(t.Digest()) {
		return "", false, nil
	}
	d, err := trees.Materialise(l.ctx, t)
	return d, err == nil, err
}

// originless reports whether no directory of t has an origin.
func (l *layout) originless(t *tree.Tree) bool {
	if ok, known := l.plain[t]; known {
		return ok
	}
	ok := t.Origin == ""
	for _, e := range t.Entries() {
		if !ok {
			break
		}
		if e.Kind == tree.Dir {
			ok = l.originless(e.Dir)
		}
	}
	l.plain[t] = ok
	return ok
}
