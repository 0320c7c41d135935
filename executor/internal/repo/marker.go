package repo

import (
	"encoding/json"

	"gorules/executor/internal/source"
)

// markerMagic begins a marker; another one means "fetch again".
const markerMagic = "gorules repository 3\n"

// A marker is what a repository was made from.
type marker struct {
	Key     string            // digest of rule and attributes
	Outside bool              // links lead out of the repository
	Lock    map[string]string // key of gorules.lock to value
	Facts   []byte            // source.Facts of what the rule read outside the repository
}

// write keeps m at path.
func (m *marker) write(path string) error {
	body, err := json.Marshal(m)
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

// holds reports whether everything is as m says. The key is not looked at.
func (r *Repositories) holds(m *marker) bool {
	for key, value := range m.Lock {
		if now, _, _ := r.lock.get(key); now != value {
			return false
		}
	}
	ok, _ := source.Hold(m.Facts, r.opts.Env)
	return ok
}
