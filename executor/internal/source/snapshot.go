package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
	"gorules/executor/regular"
)

// A Snapshot answers questions about files for the length of one command. All
// paths are absolute host paths. It is safe for concurrent use.
type Snapshot struct {
	// Env is the environment that Getenv and Which look into; nil means none.
	Env map[string]string

	// Git, where not nil, lists the files below a folder of a git work tree that git
	// tracks although a .gitignore matches them, by their paths relative to it.
	Git func(dir string) ([]string, error)

	*answers
	within []string // the root of the Fixed that this is the view of, and its real path
	quiet  bool     // what is asked here alone is no fact
}

// answers are what is known of files. The views of one command share them, so that a
// file is the same in all.
type answers struct {
	cache  *Cache
	hidden []string

	mu    sync.Mutex
	files map[string]*fileAnswer
	dirs  map[string]*dirAnswer
	trees map[string]*treeAnswer // by Source.Key
	blobs map[digest.Digest]string
	fixed map[string]*Fixed         // by root
	noted map[fact]struct{}         // see note
	git   map[string]*trackedAnswer // by folder
}

type fileAnswer struct {
	counts bool // it is a fact: somebody asked who is not quiet; guarded by answers.mu

	once   sync.Once
	key    Key
	digest digest.Digest
	racy   bool
	err    error // fs.ErrNotExist is an answer too

	statOnce sync.Once
	statErr  error
}

type dirAnswer struct {
	counts  bool // as in fileAnswer
	once    sync.Once
	key     Key
	racy    bool
	entries []DirEntry
	err     error
}

type treeAnswer struct {
	once sync.Once
	c    action.Content
	err  error
}

// DirEntry is a name in a folder and its type (not following links).
type DirEntry struct {
	Name string
	Type fs.FileMode // type bits
}

// ErrChanged is wrapped when a file's content differs from what an earlier
// answer of the same build said.
var ErrChanged = errors.New("changed while the build was running; run the command again")

// New returns a Snapshot that knows nothing yet.
//
// hidden are absolute folders that are seen nowhere: a cache that stands inside
// the workspace is no part of it, and changes with every command.
func New(cache *Cache, hidden ...string) *Snapshot {
	return &Snapshot{answers: &answers{
		cache:  cache,
		hidden: hidden,
		files:  map[string]*fileAnswer{},
		dirs:   map[string]*dirAnswer{},
		trees:  map[string]*treeAnswer{},
		blobs:  map[digest.Digest]string{},
		fixed:  map[string]*Fixed{},
		noted:  map[fact]struct{}{},
		git:    map[string]*trackedAnswer{},
	}}
}

// silent is the view of s that makes no facts.
func (s *Snapshot) silent() *Snapshot {
	q := *s
	q.quiet = true
	return &q
}

func (s *Snapshot) answer(p string) *fileAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.files[p]
	if a == nil {
		a = &fileAnswer{}
		s.files[p] = a
	}
	a.counts = a.counts || !s.quiet
	return a
}

// lstat returns the key of p itself and notes the answer.
func (s *Snapshot) lstat(p string) (Key, error) {
	a := s.answer(p)
	a.statOnce.Do(func() {
		if s.unlisted(p) {
			a.statErr = &fs.PathError{Op: "lstat", Path: p, Err: fs.ErrNotExist}
			return
		}
		a.key, a.statErr = lstat(p)
	})
	return a.key, a.statErr
}

// Stat tells what is at p, following links.
func (s *Snapshot) Stat(p string) (Key, error) {
	_, k, err := s.end(p)
	return k, err
}

// end follows the links that p, p's target and so on are, and notes each of
// them. The path it returns is no link.
func (s *Snapshot) end(p string) (string, Key, error) {
	for first, n := p, 0; ; n++ {
		k, err := s.lstat(p)
		if err != nil || !k.isLink() {
			return p, k, err
		}
		if n == maxLinks {
			return p, k, &fs.PathError{Op: "stat", Path: first, Err: syscall.ELOOP}
		}
		if p, err = s.follow(p); err != nil {
			return p, k, err
		}
	}
}

// follow notes the text of the link p and returns the path it leads to. The path
// is not cleaned: what ".." means after a folder that is a link, and which folder
// that is the next time, only the kernel knows.
func (s *Snapshot) follow(p string) (string, error) {
	d, err := s.digest(p)
	if err != nil {
		return p, err
	}
	text, err := os.Readlink(p)
	if err != nil {
		return p, err
	}
	if digest.Of([]byte(text)) != d {
		return p, fmt.Errorf("%s: %w", p, ErrChanged)
	}
	if filepath.IsAbs(text) {
		return text, nil
	}
	return p[:strings.LastIndexByte(p, '/')+1] + text, nil
}

// File returns the digest of the regular file p (links are followed).
func (s *Snapshot) File(p string) (d digest.Digest, executable bool, err error) {
	p, k, err := s.end(p)
	if err != nil {
		return digest.Digest{}, false, err
	}
	if !k.isRegular() {
		return digest.Digest{}, false, &fs.PathError{Op: "open", Path: p, Err: regular.Check(fileInfo{key: k}.Mode())}
	}
	d, err = s.digest(p)
	return d, k.executable(), err
}

// digest hashes the regular file p, or the text of the link p.
func (s *Snapshot) digest(p string) (digest.Digest, error) {
	k, err := s.lstat(p)
	if err != nil {
		return digest.Digest{}, err
	}
	a := s.answer(p)
	a.once.Do(func() {
		now := time.Now()
		a.racy = k.racy(now)
		if d, ok := s.cache.get(p, k); ok && !k.later(now) {
			a.digest = d
			return
		}
		var at Key
		if a.digest, at, a.err = settled(p, k); a.err == nil && !a.racy {
			s.cache.put(p, at, a.digest)
		}
	})
	if a.err == nil && k.isRegular() {
		s.mu.Lock()
		s.blobs[a.digest] = p
		s.mu.Unlock()
	}
	return a.digest, a.err
}

// settled hashes p, whose key was k, and returns the key that its bytes have. A
// file whose change time alone moves is read again: another process that links
// to it, or removes a link, moves that.
func settled(p string, k Key) (digest.Digest, Key, error) {
	const tries = 20
	for range tries {
		d, err := hash(p, k)
		if err != nil {
			return d, k, err
		}
		after, err := lstat(p)
		if err == nil && after == k {
			return d, k, nil
		}
		k.Ctime = after.Ctime
		if err != nil || after != k {
			break
		}
	}
	return digest.Digest{}, k, fmt.Errorf("%s: %w", p, ErrChanged)
}

func hash(p string, k Key) (digest.Digest, error) {
	if k.isLink() {
		t, err := os.Readlink(p)
		return digest.Of([]byte(t)), err
	}
	f, err := regular.Open(p)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	h := digest.NewHasher()
	// Without their shortcuts, which bring larger buffers of their own.
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, min(max(k.Size, 512), 1<<18))); err != nil {
		return digest.Digest{}, err
	}
	return h.Digest(), nil
}

// ReadFile returns the content of p as this build sees it.
func (s *Snapshot) ReadFile(p string) ([]byte, error) {
	d, _, err := s.File(p)
	if err != nil {
		return nil, err
	}
	b, err := regular.Read(p)
	if err != nil {
		return nil, err
	}
	if digest.Of(b) != d {
		return nil, fmt.Errorf("%s: %w", p, ErrChanged)
	}
	return b, nil
}

// ReadDir lists the folder p, sorted by name.
func (s *Snapshot) ReadDir(p string) ([]DirEntry, error) {
	s.mu.Lock()
	a := s.dirs[p]
	if a == nil {
		a = &dirAnswer{}
		s.dirs[p] = a
	}
	a.counts = a.counts || !s.quiet
	s.mu.Unlock()
	a.once.Do(func() {
		now := time.Now()
		if a.key, a.err = stat(p); a.err != nil {
			return
		}
		a.racy = a.key.racy(now)
		a.entries, a.err = list(p, s.hidden)
	})
	return a.entries, a.err
}

// list lists p without the links that gorules makes and without hidden folders.
func list(p string, hidden []string) ([]DirEntry, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	es, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	out := make([]DirEntry, 0, len(es))
	for _, e := range es {
		at := filepath.Join(p, e.Name())
		if isOutputLink(e.Name()) || slices.Contains(hidden, at) || e.Type() == fs.ModeSymlink && leadsInto(at, hidden) {
			continue
		}
		out = append(out, DirEntry{e.Name(), e.Type()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// leadsInto tells links into hidden folders: those to outputs, whatever prefix
// their names were given.
func leadsInto(link string, hidden []string) bool {
	to, err := os.Readlink(link)
	return err == nil && slices.ContainsFunc(hidden, func(h string) bool { return h != "" && strings.HasPrefix(to, h+"/") })
}

// isOutputLink tells the links that gorules itself makes in a workspace, also
// those that lead to what another cache folder holds: no part of what it sees there.
func isOutputLink(name string) bool { return name == "gorules-bin" || name == "gorules-testlogs" }

// Blob returns a file that held d's content when it was asked for.
func (s *Snapshot) Blob(d digest.Digest) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.blobs[d]
	for _, f := range s.fixed {
		if ok {
			break
		}
		p, ok = f.view.Blob(d)
	}
	return p, ok
}

// Resolve returns the content of a source artifact.
func (s *Snapshot) Resolve(src *action.Source) (action.Content, error) {
	key := src.Key()
	s.mu.Lock()
	a := s.trees[key]
	if a == nil {
		a = &treeAnswer{}
		s.trees[key] = a
	}
	s.mu.Unlock()
	a.once.Do(func() { a.c, a.err = s.resolve(src) })
	return a.c, a.err
}

func (s *Snapshot) resolve(src *action.Source) (action.Content, error) {
	if src.Immutable && len(s.within) == 0 {
		f, err := s.fixedAt(src.Root)
		if err != nil {
			return action.Content{}, err
		}
		return f.resolve(src)
	}
	if src.Quiet && !s.quiet {
		return s.silent().resolve(src)
	}
	switch {
	case src.Host != nil && src.Quiet:
		return action.Content{View: &hostView{s, src.Host.Paths, ""}}, nil
	case src.At != "":
		return action.Content{View: &hostView{s, []string{src.At}, src.Root}}, nil
	case src.Host != nil:
		t, err := s.hostTree(src.Host)
		return action.Content{Tree: t}, err
	case src.Tree != nil:
		t, err := s.query(src)
		return action.Content{Tree: t}, err
	}
	p := filepath.Join(src.Root, filepath.FromSlash(src.Path))
	k, err := s.Stat(p)
	if err != nil {
		return action.Content{}, err
	}
	if k.isDir() {
		t, err := s.whole(p, 0)
		return action.Content{Tree: t}, err
	}
	d, exec, err := s.File(p)
	return action.Content{File: d, Executable: exec}, err
}

// whole returns the tree of everything below dir, following links that leave it.
// links counts those on the way to dir: one that leads above itself never ends.
func (s *Snapshot) whole(dir string, links int) (*tree.Tree, error) {
	if links > maxLinks {
		return nil, fmt.Errorf("%s: a symbolic link leads to a folder that it is in", dir)
	}
	es, err := s.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]tree.Entry, 0, len(es))
	for _, e := range es {
		p := filepath.Join(dir, e.Name)
		te, err := s.entry(p, e, links)
		if err != nil {
			return nil, err
		}
		entries = append(entries, te)
	}
	return tree.New(entries)
}

// entry makes the tree entry of one name. A relative link is kept as a link;
// an absolute one leads out of whatever root the tree is given and is followed.
func (s *Snapshot) entry(p string, e DirEntry, links int) (tree.Entry, error) {
	te := tree.Entry{Name: e.Name}
	if !validName(e.Name) {
		return te, fmt.Errorf("%q: the name is not UTF-8; rename the file or leave it out", p)
	}
	if e.Type&fs.ModeSymlink != 0 {
		target, err := os.Readlink(p)
		if err != nil {
			return te, err
		}
		if err := s.contained(p, target); err != nil {
			return te, err
		}
		if !strings.HasPrefix(target, "/") {
			_, err := s.digest(p)
			te.Kind, te.Target = tree.Link, target
			return te, err
		}
		end, k, err := s.end(p)
		if err != nil {
			return te, err
		}
		if k.isDir() {
			te.Kind = tree.Dir
			te.Dir, err = s.whole(end, links+1)
			return te, err
		}
	}
	if e.Type.IsDir() {
		var err error
		te.Kind = tree.Dir
		te.Dir, err = s.whole(p, links)
		return te, err
	}
	if e.Type&^fs.ModeSymlink != 0 {
		return te, fmt.Errorf("%s: neither a file, a folder nor a link", p)
	}
	var err error
	te.Kind = tree.File
	te.File, te.Executable, err = s.File(p)
	return te, err
}

func notExist(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// Digest returns the digest of a regular file that is no source: nothing is
// noted, but a digest remembered for the file's key is used.
func (c *Cache) Digest(p string) (digest.Digest, error) {
	k, err := lstat(p)
	if err != nil {
		return digest.Digest{}, err
	}
	return c.digest(p, k)
}

func (c *Cache) digest(p string, k Key) (digest.Digest, error) {
	now := time.Now()
	if d, ok := c.get(p, k); ok && !k.later(now) {
		return d, nil
	}
	d, err := hash(p, k)
	if err == nil && !k.racy(now) {
		c.put(p, k, d)
	}
	return d, err
}

func validName(name string) bool { return utf8.ValidString(name) }
