package source

import (
	"encoding/binary"
	"io"
	"sync"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// A Cache remembers digests by path and stat key across commands. It is only a
// memory: whatever is wrong with its file, it starts empty. It is safe for
// concurrent use.
type Cache struct {
	mu      sync.Mutex
	entries map[string]cached
	dirty   bool
}

type cached struct {
	key    Key
	digest digest.Digest
	used   bool
}

const cacheMagic = "gorules digests 1\n"

// LoadCache reads the cache file at path; anything unreadable counts as empty.
func LoadCache(path string) *Cache {
	c := &Cache{entries: map[string]cached{}}
	body, ok := fsx.Plain.ReadChecked(path, cacheMagic)
	if !ok {
		return c
	}
	r := reader{b: body}
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		path := r.string()
		var e cached
		e.key = r.key()
		e.digest = r.digest()
		if r.err == nil {
			c.entries[path] = e
		}
	}
	if r.err != nil {
		c.entries = map[string]cached{}
	}
	return c
}

// Save writes the cache to path if anything was added, by rename. Entries of
// files that are gone are dropped when the cache has grown past limit.
func (c *Cache) Save(path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	const limit = 200_000
	var w writer
	all := len(c.entries) <= limit
	n := uint64(0)
	for _, e := range c.entries {
		if all || e.used {
			n++
		}
	}
	w.uint(n)
	for p, e := range c.entries {
		if all || e.used {
			w.string(p)
			w.key(e.key)
			w.digest(e.digest)
		}
	}
	return fsx.Plain.WriteChecked(path, cacheMagic, w.b)
}

func (c *Cache) get(path string, k Key) (digest.Digest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[path]
	if !ok || e.key != k {
		return digest.Digest{}, false
	}
	if !e.used {
		e.used = true
		c.entries[path] = e
	}
	return e.digest, true
}

func (c *Cache) put(path string, k Key, d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[path] = cached{k, d, true}
	c.dirty = true
}

// writer and reader are the flat encoding of the engine's state files.
type writer struct{ b []byte }

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) string(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}
func (w *writer) digest(d digest.Digest) {
	w.b = append(w.b, d.Hash[:]...)
	w.uint(uint64(d.Size))
}
func (w *writer) key(k Key) {
	w.uint(uint64(k.Size))
	w.uint(uint64(k.Mtime))
	w.uint(uint64(k.Ctime))
	w.uint(k.Ino)
	w.uint(uint64(k.Mode))
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.err, r.b = io.ErrUnexpectedEOF, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err, r.b = io.ErrUnexpectedEOF, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes(r.uint())) }

func (r *reader) digest() digest.Digest {
	var d digest.Digest
	copy(d.Hash[:], r.bytes(uint64(len(d.Hash))))
	d.Size = int64(r.uint())
	return d
}

func (r *reader) key() Key {
	return Key{Size: int64(r.uint()), Mtime: int64(r.uint()), Ctime: int64(r.uint()), Ino: r.uint(), Mode: uint32(r.uint())}
}
