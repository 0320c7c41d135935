package executor

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"gorules/executor/event"
	"gorules/executor/internal/source"
)

// state is what a command leaves behind so that the same command, with nothing
// changed, evaluates no Starlark and looks up no action: the facts it rested on,
// and what it said.
//
// There is one file a request. Whatever is wrong with it, it counts as absent.
type state struct {
	Binary  string   // which gorules wrote it
	Repos   []string // fetched repositories that were read
	Sources []byte   // source.Facts of everything read
	Outputs []byte   // the same of what was laid out in the workspace
	Events  []event.Event
	Kind    ErrorKind // 0: success
}

const (
	stateMagic   = "gorules state 1\n"
	journalMagic = "gorules journal 1\n"
)

func init() {
	for _, e := range []event.Event{event.Output{}, event.TargetDone{}, event.Finished{}, event.Diagnostic{}} {
		gob.Register(e)
	}
}

// requestKey names the state file of one request: everything of it that can
// change what is made or shown, and nothing that cannot.
func (e *Engine) requestKey(verb string, req any) (string, error) {
	b, err := json.Marshal(struct {
		Verb      string
		Req       any
		DiskCache string
		Lock      string
		Keep      bool
	}{verb, req, e.opt.DiskCache, e.opt.LockfileMode, e.opt.KeepGoing})
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:12]), nil
}

func (e *Engine) statePath(key string) string { return filepath.Join(e.dir, "state", key) }

// loadState returns the state for key if every fact in it still holds. reason
// says what does not, for the debug log.
func (e *Engine) loadState(key string) (st *state, reason string) {
	b, ok := source.ReadChecked(e.statePath(key), stateMagic)
	if !ok {
		return nil, "no state"
	}
	st = &state{}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(st); err != nil {
		return nil, "unreadable state"
	}
	if st.Binary != binaryID() {
		return nil, "another gorules wrote the state"
	}
	if len(st.Repos) > 0 {
		repos, err := e.openRepos(nil)
		if err != nil || !repos.Fresh(st.Repos) {
			return nil, "an external repository changed"
		}
	}
	if ok, p := source.Hold(st.Sources, e.root, e.opt.DiskCache); !ok {
		return nil, p + " changed"
	}
	if ok, p := source.Hold(st.Outputs); !ok {
		return nil, p + " changed"
	}
	return st, ""
}

func (e *Engine) saveState(key string, st *state) error {
	st.Binary = binaryID()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(st); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return source.WriteChecked(e.statePath(key), stateMagic, b.Bytes())
}

// binaryID tells one build of gorules from another without reading it.
func binaryID() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(exe)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}
