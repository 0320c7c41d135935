// Package tree holds immutable directory trees in memory, as the Remote
// Execution API's Directory messages describe them: sorted by name, digested,
// with shared subtrees. A Tree is safe for concurrent use. The package does no I/O.
package tree

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"gorules/executor/internal/digest"
)

// Kind is what an Entry is.
type Kind uint8

// The kinds of entry.
const (
	File Kind = iota
	Dir
	Link
)

// An Entry is one name in a directory.
type Entry struct {
	Name       string
	Kind       Kind
	File       digest.Digest // Kind File
	Executable bool          // Kind File
	Dir        *Tree         // Kind Dir
	Target     string        // Kind Link
}

// A Tree is one directory.
type Tree struct {
	entries []Entry
	files   int // files and links, recursively

	once    sync.Once
	message []byte
	digest  digest.Digest
}

// Empty is the directory without entries.
var Empty = &Tree{}

// ErrConflict is wrapped when two different things claim one path.
var ErrConflict = errors.New("two different things at one path")

// New makes a directory of entries, which it sorts and keeps. Names must be
// unique, and be single path components.
func New(entries []Entry) (*Tree, error) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	t := &Tree{entries: entries}
	for i, e := range entries {
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsRune(e.Name, '/') {
			return nil, fmt.Errorf("tree: bad name %q", e.Name)
		}
		if !utf8.ValidString(e.Name) || !utf8.ValidString(e.Target) { // a message cannot hold it
			return nil, fmt.Errorf("tree: %q: the name or the text of the link is not UTF-8", e.Name)
		}
		if i > 0 && entries[i-1].Name == e.Name {
			return nil, fmt.Errorf("tree: %s: %w", e.Name, ErrConflict)
		}
		if e.Kind == Dir {
			t.files += e.Dir.files
		} else {
			t.files++
		}
	}
	return t, nil
}

// Entries returns the entries, sorted by name. The caller must not change them.
func (t *Tree) Entries() []Entry { return t.entries }

// Files counts the files and links at and below t.
func (t *Tree) Files() int { return t.files }

// Digest returns the digest of t's Directory message.
func (t *Tree) Digest() digest.Digest {
	t.encode()
	return t.digest
}

// Message returns t's Directory message, encoded.
func (t *Tree) Message() []byte {
	t.encode()
	return t.message
}

func (t *Tree) encode() {
	t.once.Do(func() {
		d := &remote.Directory{}
		for _, e := range t.entries {
			switch e.Kind {
			case File:
				d.Files = append(d.Files, &remote.FileNode{Name: e.Name, Digest: e.File.Proto(), IsExecutable: e.Executable})
			case Dir:
				d.Directories = append(d.Directories, &remote.DirectoryNode{Name: e.Name, Digest: e.Dir.Digest().Proto()})
			case Link:
				d.Symlinks = append(d.Symlinks, &remote.SymlinkNode{Name: e.Name, Target: e.Target})
			}
		}
		b, dg, err := digest.OfMessage(d)
		if err != nil { // only invalid UTF-8 can do this, and New refuses it
			panic(err)
		}
		t.message, t.digest = b, dg
	})
}

// Lookup returns the entry at a slash-separated relative path; "" or "." is t itself.
func (t *Tree) Lookup(p string) (Entry, bool) {
	p = path.Clean(p)
	if p == "." {
		return Entry{Kind: Dir, Dir: t}, true
	}
	name, rest, more := strings.Cut(p, "/")
	i, ok := slices.BinarySearchFunc(t.entries, name, func(e Entry, n string) int { return strings.Compare(e.Name, n) })
	if !ok {
		return Entry{}, false
	}
	e := t.entries[i]
	if !more {
		return e, true
	}
	if e.Kind != Dir {
		return Entry{}, false
	}
	return e.Dir.Lookup(rest)
}

// Walk calls f for every file and link with its path relative to t, sorted, until f fails.
func (t *Tree) Walk(f func(path string, e Entry) error) error { return t.walk("", f) }

func (t *Tree) walk(prefix string, f func(string, Entry) error) error {
	for _, e := range t.entries {
		p := path.Join(prefix, e.Name)
		if e.Kind == Dir {
			if err := e.Dir.walk(p, f); err != nil {
				return err
			}
			continue
		}
		if err := f(p, e); err != nil {
			return err
		}
	}
	return nil
}
