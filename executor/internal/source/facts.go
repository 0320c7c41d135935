package source

import (
	"crypto/sha256"
	"encoding/binary"
	"os"

	"gorules/executor/internal/digest"
)

// Facts is everything a Snapshot was asked and what it answered, in a flat
// encoded form. Hold tells whether a new Snapshot would answer the same.
//
// A fact costs one lstat to check; only where the stat key differs, or the file
// changed too shortly before it was read, is content compared.
type factKind uint8

const (
	factFile   factKind = iota // content of a file, or text of a link
	factStat                   // existence and type
	factAbsent                 // no such file
	factDir                    // names and types in a folder
	factRoot                   // an immutable root's own key
	factExact                  // a file whose key must be the same
)

// Facts encodes what s was asked so far.
func (s *Snapshot) Facts() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var w writer
	w.uint(uint64(len(s.files) + len(s.dirs) + len(s.roots)))
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
	return w.b
}

// Hold reports whether every fact still holds, and if not, for which path.
func Hold(facts []byte) (ok bool, path string) {
	r := reader{b: facts}
	for n := r.uint(); n > 0; n-- {
		kind := factKind(r.uint())
		p := r.string()
		var k Key
		var d digest.Digest
		if kind != factAbsent {
			k = r.key()
		}
		if kind == factFile || kind == factDir {
			d = r.digest()
		}
		if r.err != nil {
			return false, ""
		}
		if !holds(kind, p, k, d) {
			return false, p
		}
	}
	return r.err == nil, ""
}

func holds(kind factKind, p string, k Key, d digest.Digest) bool {
	if kind == factDir || kind == factRoot {
		now, err := stat(p)
		if err == nil && now == k {
			return true
		}
		if kind == factRoot {
			return false
		}
		entries, err := list(p)
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
	if kind == factExact {
		return false
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
			entries, err := list(p)
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
