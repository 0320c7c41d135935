package run

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/sandbox"
	"gorules/executor/internal/tree"
)

// A layout turns the input root of one action into mounts and memory, of which
// nothing has to be removed again.
//
// A directory in which nothing is written is mounted as a whole: its materialised
// form, read-only. Where that is not worth it, its directories, links and small
// files are made in memory by the sandbox, and its large files are mounted one by
// one. The parent of each output is a fresh directory of the
// disk, mounted writable, into which the inputs that stand there too are copied.
// What Bound.Writable names is in memory too, or an overlay over what is too
// large for that; its changes are thrown away.
type layout struct {
	local  *Local
	ctx    context.Context
	mounts []sandbox.Mount
	files  []sandbox.File
	links  []sandbox.Symlink
	dirs   []string
	taken  string // the directory of the disk, to be given back; "" if none was wanted

	outParent map[string]bool
	writable  map[string]bool
	spine     map[string]bool   // has one of these, or a missing working directory, at or below it
	places    map[string]string // output parent -> directory of the disk
	seen      map[string]bool   // of writable: those at which there are inputs
	scopes    []action.BoundScope
	upper     string // where what is written in the first scope is kept; "" if it is not
}

// place says where a directory of the input root is being put together: at a
// directory of the disk, or "" in memory. cow says that the action may write to
// it and the changes are thrown away.
type place struct {
	disk string
	cow  bool
}

// The limits of what is mounted rather than put into memory file by file. A
// mount costs about as much as 4 small files. Beyond maxWhole files a tree may
// cost more to link than it saves, unless it is met again: the host's programs,
// say, are in thousands of actions. Beyond maxAgain one edit would re-link too
// many.
const (
	minWhole = 8
	maxWhole = 512
	maxAgain = 8192
)

// The largest tree of which a perturbed world changes the order: in memory.
const (
	maxShuffled      = 2000
	maxShuffledBytes = 64 << 20
)

// maxMemory is the largest input, in bytes, that is copied into memory; a larger
// one is mounted by itself.
const maxMemory = 64 << 10

// maxCopy is the largest input, in bytes, that is copied into a directory for
// outputs; a larger one is mounted there by itself.
const maxCopy = 1 << 20

// system has what the sandbox itself puts files into.
var system = map[string]bool{"/": true, "/etc": true, "/home": true, sandbox.Home: true, "/tmp": true, "/dev": true, "/proc": true}

func (l *Local) layOut(ctx context.Context, b *action.Bound) (*layout, error) {
	lay := &layout{
		local: l, ctx: ctx,
		outParent: map[string]bool{}, writable: map[string]bool{}, spine: map[string]bool{},
		places: map[string]string{}, seen: map[string]bool{}, scopes: b.Scopes,
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
	if e, ok := b.Root.Lookup(strings.TrimPrefix(b.Workdir, "/")); (!ok || e.Kind != tree.Dir) && !l.shownDir(b.Workdir) {
		l.mark(b.Workdir)
	}
	if err := l.showScopes(b); err != nil {
		return err
	}
	if err := l.children(b.Root, "/", place{}); err != nil {
		return err
	}
	for p := range l.outParent {
		if _, ok := l.places[p]; !ok {
			if _, err := l.output(p); err != nil {
				return err
			}
		}
	}
	for p := range l.writable {
		if !l.seen[p] && !l.outParent[p] && !l.shownDir(p) {
			l.mounts = append(l.mounts, sandbox.Mount{Target: p, Kind: sandbox.Tmpfs})
		}
	}
	for _, o := range b.Outputs {
		if o.Dir && !l.outParent[o.Path] {
			dir, rel, _ := l.find(o.Path)
			if err := l.local.fs.MkdirAll(filepath.Join(dir, rel), 0o755); err != nil {
				return fmt.Errorf("output %s: %w", o.Path, err)
			}
		}
	}
	return nil
}

func (l *layout) mark(p string) {
	for ; !l.spine[p]; p = path.Dir(p) {
		l.spine[p] = true
	}
}

// find returns the directory of the disk in which the output path p is made.
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

// fresh is the directory of the disk that this action may fill.
func (l *layout) fresh() (string, error) {
	var err error
	if l.taken == "" {
		l.taken, err = l.local.scratch.get()
	}
	return l.taken, err
}

// output mounts a fresh directory for outputs at p.
func (l *layout) output(p string) (string, error) {
	d, err := l.fresh()
	if err != nil {
		return "", err
	}
	if len(l.outParent) > 1 || l.upper != "" {
		d += "/" + strconv.Itoa(len(l.places))
		if err := l.local.fs.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	l.places[p] = d
	l.mounts = append(l.mounts, sandbox.Mount{Target: p, Source: d, Kind: sandbox.BindRW})
	return d, nil
}

// dir lays out t at p, inside the directory around it.
func (l *layout) dir(t *tree.Tree, p string, around place) error {
	if l.ofHost(p) {
		return nil
	}
	in := around
	if l.writable[p] {
		in.cow, l.seen[p] = true, true
	}
	switch e, in, err := l.shown(p); {
	case err != nil:
		return err
	case in.disk == "" && e != nil && e.Kind != tree.Dir:
		return fmt.Errorf("%s: a folder is declared, and the scope has none there", p)
	case e != nil:
		l.dirs = append(l.dirs, p)
		return l.children(t, p, in)
	}
	if l.outParent[p] {
		d, err := l.output(p)
		if err != nil {
			return err
		}
		return l.children(t, p, place{d, in.cow})
	}
	if !system[p] && !l.below(p) {
		d, ok, err := l.whole(t, in.cow)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if ok {
			if in.cow {
				l.mounts = append(l.mounts, sandbox.Mount{Target: p, Source: d, Kind: sandbox.Overlay})
			} else {
				l.show(p, d, path.Dir(d))
			}
			return nil
		}
	}
	switch {
	case system[p]:
		in = place{}
		l.dirs = append(l.dirs, p)
	case l.writable[p]:
		in.disk = ""
		direct, err := tree.New(files(t))
		if err != nil {
			return err
		}
		m := sandbox.Mount{Target: p, Kind: sandbox.Tmpfs}
		if large(direct) {
			if m.Source, err = l.local.trees.Materialise(l.ctx, direct); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			m.Kind = sandbox.Overlay
			t, err = tree.New(folders(t))
			if err != nil {
				return err
			}
		}
		l.mounts = append(l.mounts, m)
	case in.disk == "":
		l.dirs = append(l.dirs, p)
	case l.spine[p]:
		in.disk += "/" + path.Base(p)
		if err := l.local.fs.Mkdir(in.disk, 0o755); err != nil {
			return err
		}
	default:
		in.disk = ""
		kind := sandbox.Memory
		if in.cow {
			kind = sandbox.Tmpfs
		}
		l.mounts = append(l.mounts, sandbox.Mount{Target: p, Kind: kind})
	}
	return l.children(t, p, in)
}

func (l *layout) children(t *tree.Tree, p string, in place) error {
	blobs := &l.local.blobs
	for _, e := range t.Entries() {
		q := path.Join(p, e.Name)
		over, _, err := l.shown(q)
		switch {
		case err != nil, e.Kind != tree.Dir && l.ofHost(q):
		case e.Kind != tree.Dir && over != nil && same(e, *over):
		case e.Kind != tree.Dir && over != nil && (over.Kind != tree.File || e.Kind != tree.File):
			err = errors.New("it is declared, and the scope has something else there")
		case e.Kind == tree.Dir:
			err = l.dir(e.Dir, q, in)
		case e.Kind == tree.Link && in.disk == "":
			l.links = append(l.links, sandbox.Symlink{Path: q, Target: e.Target})
		case e.Kind == tree.Link:
			err = l.local.fs.Symlink(e.Target, in.disk+"/"+e.Name)
		case in.disk != "" && (in.cow || e.File.Size <= maxCopy):
			err = blobs.copy(l.ctx, e, in.disk+"/"+e.Name)
		default:
			var file string
			if file, err = blobs.fetch(l.ctx, e); err != nil {
				break
			}
			// In a scope that may be written to a large file is shown all the same: it is
			// a program more often than something to be changed.
			if in.disk == "" && over == nil && (in.cow && !l.mirrored(q) || e.File.Size <= maxMemory) {
				l.files = append(l.files, sandbox.File{Path: q, Source: file, Size: e.File.Size, Exec: e.Executable})
			} else {
				l.show(q, file, l.local.store.Blobs())
			}
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

// ofHost are the places of the host's programs and libraries. Nearly every action
// has them and opens many, none locks them, and apart from those of other actions
// they would cost each 0.3 ms; what else is mounted costs a third of that.
var ofHost = map[string]bool{"bin": true, "sbin": true, "lib": true, "lib32": true, "lib64": true, "libx32": true, "usr": true}

// show mounts source, which lies below root, read-only at target.
func (l *layout) show(target, source, root string) {
	m := sandbox.Mount{Target: target, Source: source, Kind: sandbox.Apart, Root: root}
	if top, _, _ := strings.Cut(target[1:], "/"); ofHost[top] {
		m.Kind, m.Root = sandbox.BindRO, ""
	}
	l.mounts = append(l.mounts, m)
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

// whole returns the directory to mount for all of t, if one should be mounted.
func (l *layout) whole(t *tree.Tree, cow bool) (string, bool, error) {
	direct, dirs := 0, 0
	for _, e := range t.Entries() {
		if e.Kind == tree.Dir {
			dirs++
		} else {
			direct++
		}
	}
	n := t.Files()
	if n < minWhole && !(cow && large(t)) || n > maxAgain {
		return "", false, nil
	}
	if l.local.other && !cow && n <= maxShuffled && size(t) <= maxShuffledBytes {
		return "", false, nil
	}
	trees := l.local.trees
	if d, ok := trees.Have(t); ok {
		return d, true, nil
	}
	// A flat directory seen for the first time may never be seen again (the
	// dependencies of one compile, say): showing its files one by one costs the
	// same, and leaves nothing behind.
	rare := n > maxWhole && direct < n/2 || !cow && dirs == 0 && n < maxWhole/2
	if rare && l.local.first(t.Digest()) {
		return "", false, nil
	}
	d, err := trees.Materialise(l.ctx, t)
	return d, err == nil, err
}

// large reports whether t holds more than should be copied into memory.
func large(t *tree.Tree) bool { return t.Files() > minWhole || size(t) > maxCopy }

// size is that of all files of t.
func size(t *tree.Tree) (n int64) {
	for _, e := range t.Entries() {
		if e.Kind == tree.Dir {
			n += size(e.Dir)
		} else {
			n += e.File.Size
		}
	}
	return n
}

func files(t *tree.Tree) []tree.Entry {
	return slices.DeleteFunc(slices.Clone(t.Entries()), func(e tree.Entry) bool { return e.Kind == tree.Dir })
}

func folders(t *tree.Tree) []tree.Entry {
	return slices.DeleteFunc(slices.Clone(t.Entries()), func(e tree.Entry) bool { return e.Kind != tree.Dir })
}
