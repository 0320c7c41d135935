package repo

import (
	"bytes"
	"encoding/gob"

	"gorules/executor/internal/fsx"
	"gorules/executor/internal/source"
)

// markerMagic begins a marker; another one means "fetch again".
const markerMagic = "gorules repository 4\n"

// maxMarker bounds what is read of a marker, in bytes.
const maxMarker = 1 << 30

// A marker is what a repository was made from.
type marker struct {
	Key   string            // digest of rule and attributes
	Lock  map[string]string // key of gorules.lock to value
	Facts []byte            // source.Facts of what the rule read outside the repository

	// Manifest is what was made. There is none where links lead out of the
	// repository, which is read file by file then, as the workspace is.
	Manifest []byte
}

// write keeps m at path.
func (m *marker) write(path string) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(m); err != nil {
		return err
	}
	return fsx.Plain.WriteChecked(path, markerMagic, body.Bytes())
}

// readMarker returns the marker at path; nil if there is none, or something odd.
func readMarker(path string) *marker {
	body, ok := fsx.Plain.ReadChecked(path, markerMagic)
	m := &marker{}
	if !ok || gob.NewDecoder(bytes.NewReader(body)).Decode(m) != nil {
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
