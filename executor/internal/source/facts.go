package source

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gorules/executor/internal/digest"
)

// A fact is one answer of a Snapshot. Which fields count is a matter of its kind.
//
// A fact costs one stat to check; only where the stat key differs, or the file
// changed too shortly before it was read, is content compared.
type fact struct {
	kind   factKind
	path   string // or the name of a variable or program
	key    Key
	digest digest.Digest
}

type factKind uint8

const (
	factFile    factKind = iota // content of a file, or text of a link
	factStat                    // existence and type
	factAbsent                  // no such file
	factDir                     // names and types in a folder
	factRoot                    // the root of a Fixed: its own key
	factExact                   // a file whose key must be the same
	factWatch                   // content of what a path leads to, if it is a file
	factProgram                 // size, time and mode of what a path leads to
	factEnv                     // value of a variable; its digest is zero if it is not set
	factWhich                   // where a program is in PATH
)

// encoder makes the flat form of facts: their number, then each.
type encoder struct {
	n    uint64
	body writer
}

func (e *encoder) add(f fact) {
	e.n++
	e.body.uint(uint64(f.kind))
	e.body.string(f.path)
	e.body.key(f.key)
	if f.digest.IsZero() {
		e.body.uint(0)
		return
	}
	e.body.uint(1)
	e.body.digest(f.digest)
}

func (e *encoder) bytes() []byte {
	var head writer
	head.uint(e.n)
	return append(head.b, e.body.b...)
}

func decode(b []byte) ([]fact, error) {
	r := reader{b: b}
	var all []fact
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		f := fact{kind: factKind(r.uint()), path: r.string(), key: r.key()}
		if r.uint() > 0 {
			f.digest = r.digest()
		}
		all = append(all, f)
	}
	return all, r.err
}

// doubtful is a key that equals no file's, so that content is compared.
func (k Key) doubtful(racy bool) Key {
	if racy {
		k.Ctime = 0
	}
	return k
}

// Facts is everything that s was asked and what it answered, in a flat encoded
// form. Hold tells whether a new Snapshot would answer the same.
func (s *Snapshot) Facts() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e encoder
	for p, a := range s.files {
		switch {
		case !a.counts:
		case a.statErr != nil:
			e.add(fact{kind: factAbsent, path: p})
		case a.digest.IsZero():
			e.add(fact{kind: factStat, path: p, key: a.key})
		default:
			e.add(fact{factFile, p, a.key.doubtful(a.racy), a.digest})
		}
	}
	for p, a := range s.dirs {
		if !a.counts {
			continue
		}
		e.add(fact{factDir, p, a.key.doubtful(a.racy), listing(a.entries, a.err)})
	}
	for f := range s.noted {
		e.add(f)
	}
	return e.bytes()
}

// Adopt adds facts that hold: those of another Snapshot, on which rests what s
// is asked about.
func (s *Snapshot) Adopt(facts []byte) {
	all, _ := decode(facts) // Hold could read them
	s.note(all...)
}

// note keeps facts that are no answers that s gives again. One that contradicts
// another is kept as well: then not all hold.
func (s *Snapshot) note(facts ...fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range facts {
		s.noted[f] = struct{}{}
	}
}

// checkers is how many goroutines check facts: lstat is bound by the kernel's
// path walk, which scales with cores.
const checkers = 4

// Hold reports whether every fact still holds, and if not, for which path. env is
// the environment now; hidden are the folders that New was given.
func Hold(facts []byte, env map[string]string, hidden ...string) (ok bool, path string) {
	all, err := decode(facts)
	if err != nil {
		return false, ""
	}
	var broken atomic.Int64 // the lowest index of a fact that does not hold
	broken.Store(int64(len(all)))
	var wg sync.WaitGroup
	for i := range checkers {
		wg.Go(func() {
			for j := int64(i); j < broken.Load(); j += checkers {
				if all[j].holds(env, hidden) {
					continue
				}
				for b := broken.Load(); j < b && !broken.CompareAndSwap(b, j); b = broken.Load() {
				}
			}
		})
	}
	wg.Wait()
	if j := broken.Load(); j < int64(len(all)) {
		return false, all[j].path
	}
	return true, ""
}

func (f *fact) holds(env map[string]string, hidden []string) bool {
	switch f.kind {
	case factEnv:
		return variable(env, f.path) == f.digest
	case factWhich:
		return digest.Of([]byte(which(env, f.path))) == f.digest
	case factDir, factRoot, factWatch, factProgram:
		now, err := stat(f.path)
		return err == nil && f.unmoved(now) || f.follows(now, hidden)
	case factFile, factStat, factAbsent, factExact:
		now, err := lstat(f.path)
		return err == nil && f.unmoved(now) || f.stays(now, err)
	}
	return false // of a gorules to come
}

// unmoved reports whether the key alone proves that f holds.
func (f *fact) unmoved(now Key) bool {
	return now == f.key && !now.later(time.Now())
}

// follows is holds for what f.path leads to, where its key is another now.
func (f *fact) follows(now Key, hidden []string) bool {
	switch f.kind {
	case factDir:
		entries, err := list(f.path, hidden)
		return listing(entries, err) == f.digest
	case factProgram:
		return now.Size == f.key.Size && now.Mtime == f.key.Mtime && now.Mode == f.key.Mode
	case factWatch:
		if now.kind() != f.key.kind() || !now.isRegular() {
			return now.kind() == f.key.kind()
		}
		got, _ := hash(f.path, now)
		return got == f.digest
	}
	return false
}

// stays is holds for f.path itself, where its key is another now.
func (f *fact) stays(now Key, err error) bool {
	switch {
	case f.kind == factAbsent:
		return notExist(err)
	case err != nil || f.kind == factExact || now.Mode != f.key.Mode:
		return false
	case f.kind == factStat: // a folder's own key moves with every file in it; only its type was used
		return true
	case now.Size != f.key.Size && !now.isLink():
		return false
	}
	got, err := hash(f.path, now)
	return err == nil && got == f.digest
}

// listing digests the names and types of a folder's entries.
func listing(entries []DirEntry, err error) digest.Digest {
	if err != nil {
		if os.IsNotExist(err) {
			return digest.Of([]byte("absent"))
		}
		return digest.Digest{}
	}
	h := sha256.New()
	for _, e := range entries {
		h.Write([]byte(e.Name))
		h.Write(binary.LittleEndian.AppendUint32([]byte{0}, uint32(e.Type)))
	}
	d := digest.Digest{Size: int64(len(entries))}
	h.Sum(d.Hash[:0])
	return d
}

// OutputFacts notes files and folders that this process itself just wrote, so
// that Hold tells whether somebody has changed or removed them since. Being
// fresh does not make them doubtful: nobody else writes them.
func OutputFacts(paths []string) ([]byte, error) {
	var e encoder
	var note func(p string) error
	note = func(p string) error {
		k, err := lstat(p)
		if err != nil {
			return err
		}
		if !k.isDir() {
			e.add(fact{kind: factExact, path: p, key: k})
			return nil
		}
		entries, err := list(p, nil)
		if err != nil {
			return err
		}
		e.add(fact{factDir, p, k, listing(entries, nil)})
		for _, entry := range entries {
			if err := note(p + "/" + entry.Name); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range paths {
		if err := note(p); err != nil {
			return nil, err
		}
	}
	return e.bytes(), nil
}
