package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"

	"gorules/executor/internal/source"
)

// markerMagic begins a marker; another one means "fetch again".
const markerMagic = "gorules repository 2\n"

// A marker is what a fetch depended on.
type marker struct {
	Key     string            // digest of rule and attributes
	Outside bool              // links lead out of the repository
	Env     map[string]string // variable to "=value", or "" where it was not set
	Which   map[string]string // program to its path, or "" where none was found
	Lock    map[string]string // key of gorules.lock to value
	Files   []byte            // source.Facts of what was read outside the repository
}

// facts is a marker in the making. It is safe for concurrent use.
type facts struct {
	*source.Snapshot // reads files and notes what it is asked

	mu sync.Mutex
	m  marker
}

func newFacts(key string) *facts {
	return &facts{Snapshot: source.New(source.LoadCache("")), m: marker{Key: key, Env: map[string]string{}, Which: map[string]string{}, Lock: map[string]string{}}}
}

// note keeps a fact in one of the marker's maps; the first value seen counts.
func (f *facts) note(in map[string]string, name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := in[name]; !ok {
		in[name] = value
	}
}

// watch notes a file's content, or that there is none.
func (f *facts) watch(p string) { _, _, _ = f.File(p) } // the error is a fact as well

// watchTree notes names and contents of everything below a folder.
func (f *facts) watchTree(dir string) {
	es, err := f.ReadDir(dir)
	if err != nil {
		return // a fact as well
	}
	for _, e := range es {
		if p := filepath.Join(dir, e.Name); e.Type.IsDir() {
			f.watchTree(p)
		} else {
			f.watch(p)
		}
	}
}

// write keeps the marker at path.
func (f *facts) write(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.m.Files = f.Facts()
	body, err := json.Marshal(f.m)
	if err != nil {
		return err
	}
	return source.WriteChecked(path, markerMagic, body)
}

// readMarker returns the marker at path; nil if there is none, or something odd.
func readMarker(path string) *marker {
	body, ok := source.ReadChecked(path, markerMagic)
	m := &marker{}
	if !ok || json.Unmarshal(body, m) != nil {
		return nil
	}
	return m
}

// holds reports whether every fact of m is as it was. The key is not looked at.
func (r *Repositories) holds(m *marker) bool {
	for name, value := range m.Env {
		if r.envFact(name) != value {
			return false
		}
	}
	for name, value := range m.Which {
		if r.which(name) != value {
			return false
		}
	}
	for name, value := range m.Lock {
		if now, _, _ := r.lock.get(name); now != value {
			return false
		}
	}
	ok, _ := source.Hold(m.Files)
	return ok
}

// envFact is "=value", or "" if the variable is not set.
func (r *Repositories) envFact(name string) string {
	if v, ok := r.opts.Env[name]; ok {
		return "=" + v
	}
	return ""
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
