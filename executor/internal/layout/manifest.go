package layout

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"

	"gorules/executor/internal/fsx"
)

// A manifest says what each target laid out: by kind and label, paths relative to the
// two folders. Whatever is wrong with the file, it counts as empty: then nothing
// is removed that an earlier command laid out.
type manifest map[string][2][]string

const manifestMagic = "gorules outputs 1\n"

func readManifest(dir string) manifest {
	m := manifest{}
	body, ok := fsx.Plain.ReadChecked(filepath.Join(dir, "outputs"), manifestMagic)
	if !ok || json.Unmarshal(body, &m) != nil {
		return manifest{}
	}
	return m
}

func (m manifest) set(key string, now [2][]string) {
	if len(now[bin])+len(now[logs]) == 0 {
		delete(m, key)
		return
	}
	for f := range now {
		slices.Sort(now[f])
	}
	m[key] = now
}

func (m manifest) write(dir string) error {
	old := readManifest(dir)
	if maps.EqualFunc(old, m, func(a, b [2][]string) bool { return slices.Equal(a[0], b[0]) && slices.Equal(a[1], b[1]) }) {
		return nil
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return fsx.Plain.WriteChecked(filepath.Join(dir, "outputs"), manifestMagic, body)
}
