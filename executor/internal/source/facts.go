package source

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"

	"gorules/executor/internal/digest"
)

// Facts is everything a Snapshot was asked and what it answered, in a flat
// encoded form. Hold tells whether a new Snapshot would answer the same.
//
// A fact costs one lstat to check; only where the stat key differs, or the file
// changed too shortly before it was read, is content compared.
type factKind uint8

const (
	factFile    factKind = iota // content of a file, or text of a link
	factStat                    // existence and type
	factAbsent                  // no such file
	factDir                     // names and types in a folder
	factRoot                    // an immutable root's own key
	factExact                   // a file whose key must be the same
	factProgram                 // a file whose size, time and mode must be the same
)

// Facts encodes what s was asked so far.
func (s *Snapshot) Facts() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var w writer
	w.uint(uint64(len(s.files) + len(s.dirs) + len(s.roots) + len(s.programs)))
	for p, a := range s.files {
		switch {
		case a.statErr != nil:
			w.uint(uint64(factAbsent))
			w.string(p)
		case a.digest.IsZero():
			w.uint(uint64(factStat))
			w.string(p)
			w.key(a.key)
		default:
			w.uint(uint64(factFile))
			w.string(p)
			k := a.key
			if a.racy {
				k.Ctime = 0 // equals no file's key, so the content is compared
			}
			w.key(k)
			w.digest(a.digest)
		}
	}
	for p, a := range s.dirs {
		w.uint(uint64(factDir))
		w.string(p)
		k := a.key
		if a.racy {
			k.Ctime = 0
		}
		w.key(k)
		w.digest(listing(a.entries, a.err))
	}
	for p, k := range s.roots {
		w.uint(uint64(factRoot))
		w.string(p)
		w.key(k)
	}
	for p, k := range s.programs {
		w.uint(uint64(factProgram))
		w.string(p)
		w.key(k)
	}
	return w.b
}

// Program notes which file p leads to, without reading it: its size, time and
// mode say enough of a program and its libraries, of which there is much to read.
func (s *Snapshot) Program(p string) {
	end, k, err := s.end(p)
	if err != nil {
		return // noted, too
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[end] = k
}

// A fact is one decoded answer.
type fact struct {
	kind   factKind
	path   string
	key    Key
	digest digest.Digest
}

// checkers is how many goroutines check facts: lstat is bound by the kernel's
// path walk, which scales with cores.
const checkers = 4

// Hold reports whether every fact still holds, and if not, for which path. hidden are the folders that New was given.
func Hold(facts []byte, hidden ...string) (ok bool, path string) {
	r := reader{b: facts}
	var all []fact
	for n := r.uint(); n > 0; n-- {
		f := fact{kind: factKind(r.uint()), path: r.string()}
		if f.kind != factAbsent {
			f.key = r.key()
		}
		if f.kind == factFile || f.kind == factDir {
			f.digest = r.digest()
		}
		if r.err != nil {
			return false, ""
		}
		all = append(all, f)
	}
	if r.err != nil {
		return false, ""
	}
	var broken atomic.Int64 // the lowest index of a fact that does not hold
	broken.Store(int64(len(all)))
	var wg sync.WaitGroup
	for i := range checkers {
		wg.Go(func() {
			for j := int64(i); j < broken.Load(); j += checkers {
				if all[j].holds(hidden) {
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

func (f *fact) holds(hidden []string) bool {
	kind, p, k, d := f.kind, f.path, f.key, f.digest
	if kind == factDir || kind == factRoot {
		now, err := stat(p)
		if err == nil && now == k {
			return true
		}
		if kind == factRoot {
			return false
		}
		entries, err := list(p, hidden)
		return listing(entries, err) == d
	}
	now, err := lstat(p)
	switch kind {
	case factAbsent:
		return notExist(err)
	case factStat: // a folder's own key moves with every file in it; only its type was used
		return err == nil && now.Mode == k.Mode
	}
	if err != nil {
		return false
	}
	if now == k {
		return true
	}
	switch kind {
	case factExact:
		return false
	case factProgram:
		return now.Size == k.Size && now.Mtime == k.Mtime && now.Mode == k.Mode
	}
	if now.Mode != k.Mode || now.Size != k.Size && !now.isLink() {
		return false
	}
	got, err := hash(p, now)
	return err == nil && got == d
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
	var w writer
	n := uint64(0)
	var note func(p string) error
	note = func(p string) error {
		k, err := lstat(p)
		if err != nil {
			return err
		}
		if k.isDir() {
			entries, err := list(p, nil)
			if err != nil {
				return err
			}
			n++
			w.uint(uint64(factDir))
			w.string(p)
			w.key(k)
			w.digest(listing(entries, nil))
			for _, e := range entries {
				if err := note(p + "/" + e.Name); err != nil {
					return err
				}
			}
			return nil
		}
		n++
		w.uint(uint64(factExact))
		w.string(p)
		w.key(k)
		return nil
	}
	for _, p := range paths {
		if err := note(p); err != nil {
			return nil, err
		}
	}
	var head writer
	head.uint(n)
	return append(head.b, w.b...), nil
}
