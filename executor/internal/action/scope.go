package action

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// A BoundScope is a tree into which an action may look, and of which only what it
// looked at is part of its key.
type BoundScope struct {
	Path   string  // where it stands in the input root; "/" for a View
	Source *Source // where it comes from; nil for what an action made

	// One of these is what it holds.
	Tree *tree.Tree
	View View
}

// A View is a tree that is too large to be read whole: folders of this machine.
type View interface {
	// Folders are the absolute paths at and below which it shows something.
	Folders() []string

	// Real is where on this machine the path p of the root stands.
	Real(p string) string

	// Entry tells what is at the absolute path p, which links are not followed on
	// the way to. Where content is not set, a file's digest has only its size; of a
	// folder nothing else is told. ok is false where there is nothing.
	Entry(p string, content bool) (e tree.Entry, ok bool, err error)

	// Names are those in the folder p, each with its kind alone.
	Names(p string) ([]tree.Entry, error)
}

// What says which facts about a path somebody rests on.
type What uint8

const (
	// Kind: whether there is something, and whether a folder, a link with this
	// text, or a file of this size that may or may not be executed.
	Kind What = 1 << iota
	// Bytes: what a file holds.
	Bytes
	// Names: which names a folder holds, and of which kind each is.
	Names
)

// A Look is one path at which an action looked.
type Look struct {
	Path string // absolute in the input root; no folder above it is a link
	What What
}

// An Observation is what one run of an action looked at in its scopes, sorted by
// path, each path once. It holds no content: it says what to compare.
type Observation []Look

// NewObservation sorts looks and joins those at the same path.
func NewObservation(looks []Look) Observation {
	looks = slices.Clone(looks)
	sort.Slice(looks, func(i, j int) bool { return looks[i].Path < looks[j].Path })
	out := looks[:0]
	for _, l := range looks {
		if n := len(out); n > 0 && out[n-1].Path == l.Path {
			out[n-1].What |= l.What
			continue
		}
		out = append(out, l)
	}
	return Observation(out)
}

// digest names o in the key of what is narrowed to it.
func (o Observation) digest() digest.Digest {
	h := sha256.New()
	for _, l := range o {
		_, _ = io.WriteString(h, l.Path)
		_, _ = h.Write([]byte{0, byte(l.What)})
	}
	d := digest.Digest{Size: int64(len(o))}
	h.Sum(d.Hash[:0])
	return d
}

// Identity tells apart what b's digest leaves open: what its scopes hold.
func (b *Bound) Identity() string {
	var s strings.Builder
	for _, sc := range b.Scopes {
		switch {
		case sc.Source != nil:
			fmt.Fprintf(&s, "%q %s\n", sc.Path, sc.Source.Key())
		default:
			fmt.Fprintf(&s, "%q %s\n", sc.Path, sc.Tree.Digest())
		}
	}
	return s.String()
}

// Narrow returns b with an input root that holds what b declares and what o says
// of the scopes as they are now, and nothing else. A run of it that looks where o
// does cannot tell the difference; and since the key names o as well, two runs
// with one key looked at the same things and found the same.
func (b *Bound) Narrow(o Observation) (*Bound, error) {
	n := b.narrower()
	for _, l := range o {
		if err := n.add(l); err != nil {
			return nil, fmt.Errorf("%s of %s: %s: %w", b.Spec.Mnemonic, b.Spec.Owner, l.Path, err)
		}
	}
	narrowed, err := n.bind(o.digest().Hex())
	if err == nil {
		narrowed.Looks = o
	}
	return narrowed, err
}

// Everything returns b with all that its scopes hold as inputs: what to run where
// nothing can be observed.
func (b *Bound) Everything() (*Bound, error) {
	n := b.narrower()
	for _, sc := range n.scopes {
		for _, f := range sc.Folders() {
			if err := n.whole(f); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", b.Spec.Mnemonic, b.Spec.Owner, err)
			}
		}
	}
	e, err := n.bind("everything")
	if err == nil {
		e.Scopes = nil
	}
	return e, err
}

func (b *Bound) narrower() *narrower {
	n := &narrower{bound: b, scopes: slices.Clone(b.Scopes), at: map[string]tree.Entry{}}
	slices.SortStableFunc(n.scopes, func(x, y BoundScope) int { return len(y.Path) - len(x.Path) })
	return n
}

// narrower collects what the scopes of bound add to its root.
type narrower struct {
	bound  *Bound
	scopes []BoundScope // inner ones first
	at     map[string]tree.Entry
}

// bind is bound with the root that was collected. observed tells how that came about.
func (n *narrower) bind(observed string) (*Bound, error) {
	var root tree.Builder
	err := root.AddTree("/", n.bound.Root)
	for _, p := range slices.Sorted(maps.Keys(n.at)) {
		if err != nil {
			break
		}
		switch e := n.at[p]; e.Kind {
		case tree.Dir:
			err = root.AddTree(p, tree.Empty)
		case tree.Link:
			err = root.AddLink(p, e.Target)
		default:
			err = root.AddFile(p, e.File, e.Executable)
		}
	}
	if err != nil {
		return nil, err
	}
	b := *n.bound
	if b.Root, err = root.Build(); err != nil {
		return nil, err
	}
	b.Observed = observed
	return &b, b.encode(b.Spec)
}

// Below reports whether p is dir or lies below it.
func Below(p, dir string) bool {
	return dir == "/" || strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/')
}

// scope returns the innermost one that p is a place of; nil if there is none.
func (n *narrower) scope(p string) *BoundScope {
	for i := range n.scopes {
		if n.scopes[i].Holds(p) {
			return &n.scopes[i]
		}
	}
	return nil
}

// declared reports whether what bound declares is all that can be seen at p: it
// stands in front of the scopes.
func (n *narrower) declared(p string) bool {
	for up := p; up != "/"; up = path.Dir(up) {
		if e, ok := n.bound.Root.Lookup(up[1:]); ok {
			return e.Kind != tree.Dir
		}
	}
	return false
}

// add collects what l is about. Of nothing there is nothing to collect: that it was
// looked for is in the key.
func (n *narrower) add(l Look) error {
	sc := n.scope(l.Path)
	if sc == nil || n.declared(l.Path) {
		return nil
	}
	e, ok, err := sc.Entry(l.Path, l.What&Bytes != 0)
	if err != nil || !ok {
		return err
	}
	if e.Kind == tree.File && (l.What&Bytes == 0 || e.File.Hash == [32]byte{}) { // or it cannot be read
		if e.File, err = zeros(e.File.Size); err != nil {
			return err
		}
	}
	n.at[l.Path] = e
	if e.Kind != tree.Dir || l.What&Names == 0 {
		return nil
	}
	names, err := sc.Names(l.Path)
	for _, e := range names {
		p := path.Join(l.Path, e.Name)
		if _, looked := n.at[p]; looked || n.declares(p) {
			continue
		}
		// Whoever learns the name alone sees neither size nor text.
		n.at[p] = tree.Entry{Kind: e.Kind, File: digest.Empty, Target: "?"}
	}
	return err
}

func (n *narrower) declares(p string) bool {
	_, ok := n.bound.Root.Lookup(p[1:])
	return ok
}

// whole collects all that stands at and below p.
func (n *narrower) whole(p string) error {
	sc := n.scope(p)
	if sc == nil || n.declared(p) {
		return nil
	}
	e, ok, err := sc.Entry(p, true)
	if err != nil || !ok {
		return err
	}
	n.at[p] = e
	if e.Kind != tree.Dir {
		return nil
	}
	names, err := sc.Names(p)
	for _, e := range names {
		if err == nil {
			err = n.whole(path.Join(p, e.Name))
		}
	}
	return err
}

// zeros is the digest of a file of n zeros, which stands for one of which only the
// size is known.
func zeros(n int64) (digest.Digest, error) {
	zerosKnown.Lock()
	defer zerosKnown.Unlock()
	if d, ok := zerosKnown.of[n]; ok {
		return d, nil
	}
	h := digest.NewHasher()
	if _, err := io.CopyN(h, Zeros{}, n); err != nil {
		return digest.Digest{}, err
	}
	zerosKnown.of[n] = h.Digest()
	return h.Digest(), nil
}

var zerosKnown = struct {
	sync.Mutex
	of map[int64]digest.Digest
}{of: map[int64]digest.Digest{}}

// Zeros is a Reader of zeros without end.
type Zeros struct{}

// Read implements io.Reader.
func (Zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Sizes yields the contents that stand in b's root for files of which only the size
// was asked.
func Sizes(b *Bound) func(yield func(digest.Digest) bool) {
	return func(yield func(digest.Digest) bool) {
		seen := map[digest.Digest]bool{}
		for _, l := range b.Looks {
			e, ok := b.Root.Lookup(l.Path[1:])
			if !ok || e.Kind != tree.File || seen[e.File] {
				continue
			}
			if d, err := zeros(e.File.Size); err == nil && d == e.File {
				seen[d] = true
				if !yield(d) {
					return
				}
			}
		}
	}
}

// Folders are the paths at and below which sc shows something.
func (sc *BoundScope) Folders() []string {
	if sc.View != nil {
		return sc.View.Folders()
	}
	return []string{sc.Path}
}

// Holds reports whether p is a place of the scope, whether or not something is there.
func (sc *BoundScope) Holds(p string) bool {
	return slices.ContainsFunc(sc.Folders(), func(f string) bool { return Below(p, f) })
}

// Entry tells what sc has at p; see View.
func (sc *BoundScope) Entry(p string, content bool) (e tree.Entry, ok bool, err error) {
	if sc.View != nil {
		return sc.View.Entry(p, content)
	}
	e, ok = sc.Tree.Lookup(strings.TrimPrefix(strings.TrimPrefix(p, sc.Path), "/"))
	return e, ok, nil
}

// Names are those in the folder p of sc, each with its kind.
func (sc *BoundScope) Names(p string) ([]tree.Entry, error) {
	if sc.View != nil {
		return sc.View.Names(p)
	}
	e, ok, _ := sc.Entry(p, false)
	if !ok || e.Kind != tree.Dir {
		return nil, nil
	}
	return e.Dir.Entries(), nil
}
