package resume

import (
	"bytes"
	"encoding/gob"
	"os"
	"path/filepath"
	"testing"

	"gorules/executor/internal/fsx"
)

// FuzzState: whatever a state file holds, it is the state or absent.
func FuzzState(f *testing.F) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(State{Binary: "b", Sources: []byte{0}, Targets: []Target{{Kind: "k"}}, Program: &Program{Argv: []string{"a"}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, body []byte, checked bool) {
		dir := t.TempDir()
		m := &Memory{Dir: dir, Binary: "b"}
		p := m.statePath("k")
		var err error
		if checked {
			err = fsx.Plain.WriteChecked(p, stateMagic, body)
		} else if err = os.MkdirAll(filepath.Dir(p), 0o700); err == nil {
			err = os.WriteFile(p, append([]byte(stateMagic), body...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		st, why := m.Load("k")
		if (st == nil) == (why == "") {
			t.Errorf("state %v, reason %q", st, why)
		}
	})
}
