// Package resume keeps what lets a later command not do things again: the state
// after a command, by which the same command with nothing changed evaluates no
// Starlark and looks up no action; and the journal, by which `why` tells what
// differs.
//
// All is below one folder of the workspace. Whatever is wrong with a file of it,
// the file counts as absent.
package resume

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gorules/executor/internal/fsx"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

const (
	stateMagic   = "gorules state 3\n"
	journalMagic = "gorules journal 1\n"
	whyMagic     = "gorules why 1\n"
)

// Memory is what is kept for one workspace.
type Memory struct {
	Dir    string
	Binary string // tells one build of gorules from another

	// Hidden are folders that are no part of what commands read; see source.New.
	Hidden []string

	// Env is the environment that commands may have read.
	Env map[string]string
}

// State is what a command leaves behind: the facts it rested on, and what it said.
type State struct {
	Binary  string // which gorules wrote it
	Sources []byte // source.Facts of everything read
	Outputs []byte // the same of what was laid out

	Said    []Said
	Targets []Target
	Actions int
	Exit    int // exit.Kind; 0 for success
	Program *Program
}

// Said is a text of a tool.
type Said struct {
	Owner label.Label
	Text  string
}

// Target is how a target ended.
type Target struct {
	Label          label.Label
	Kind, Status   string
	Test           bool
	Summary, Text  string
	Outputs, Notes []string
	Log, XML       string
}

// Program is what `run` starts.
type Program struct {
	Argv, Env []string
	Dir       string
}

// Key names the state of one request, which must hold everything that can change
// what is made or shown, and nothing that cannot.
func Key(request any) (string, error) {
	b, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:12]), nil
}

func (m *Memory) statePath(key string) string   { return filepath.Join(m.Dir, "state", key) }
func (m *Memory) journalPath(key string) string { return m.statePath(key) + ".journal" }

// Load returns the state for key if every fact in it still holds. reason says
// what does not, for the debug log.
func (m *Memory) Load(key string) (st *State, reason string) {
	b, ok := fsx.Plain.ReadChecked(m.statePath(key), stateMagic)
	if !ok {
		return nil, "no state"
	}
	st, err := decodeState(b)
	switch {
	case err != nil:
		return nil, "unreadable state"
	case st.Binary != m.Binary:
		return nil, "another gorules wrote the state"
	}
	if ok, p := source.Hold(st.Sources, m.Env, m.Hidden...); !ok {
		return nil, p + " changed"
	}
	if ok, p := source.Hold(st.Outputs, nil); !ok {
		return nil, p + " changed"
	}
	m.use(key)
	return st, ""
}

// Tests are those that the command of key judged when its state was kept, whether
// or not its facts hold still: what its patterns stood for then.
func (m *Memory) Tests(key string) []label.Label {
	b, ok := fsx.Plain.ReadChecked(m.statePath(key), stateMagic)
	if !ok {
		return nil
	}
	st, err := decodeState(b)
	if err != nil || st.Binary != m.Binary {
		return nil
	}
	var out []label.Label
	for _, t := range st.Targets {
		if t.Test {
			out = append(out, t.Label)
		}
	}
	return out
}

// use notes in the modification times of the files for key that they are used: who
// collects goes by them. Once an hour will do, see package gc.
func (m *Memory) use(key string) {
	info, err := os.Stat(m.statePath(key))
	if err != nil || time.Since(info.ModTime()) < time.Hour {
		return
	}
	now := time.Now()
	for _, p := range []string{m.statePath(key), m.journalPath(key)} {
		_ = os.Chtimes(p, now, now) // a note that is missing costs a full run some day
	}
}

func decodeState(b []byte) (*State, error) {
	st := &State{}
	return st, gob.NewDecoder(bytes.NewReader(b)).Decode(st)
}

// Save keeps st and the journal of the command's actions for key.
func (m *Memory) Save(key string, st *State, entries []*journal.Entry) error {
	st.Binary = m.Binary
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(st); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	body, err := journal.Encode(entries)
	if err != nil {
		return err
	}
	// The journal comes first: a state without one could not write an execution log.
	return errors.Join(fsx.Plain.WriteChecked(m.journalPath(key), journalMagic, body),
		fsx.Plain.WriteChecked(m.statePath(key), stateMagic, b.Bytes()))
}

// Forget drops the state for key.
func (m *Memory) Forget(key string) error { return os.RemoveAll(m.statePath(key)) }

// Journal returns the actions of the command whose state is kept for key; ok is
// false if they are not known.
func (m *Memory) Journal(key string) (entries []*journal.Entry, ok bool) {
	return m.journal(m.journalPath(key))
}

func (m *Memory) journal(p string) ([]*journal.Entry, bool) {
	b, ok := fsx.Plain.ReadChecked(p, journalMagic)
	if !ok {
		return nil, false
	}
	entries, err := journal.Decode(b)
	return entries, err == nil
}

// Reason explains why one action ran.
type Reason struct {
	Owner    label.Label
	Mnemonic string
	Progress string
	Reason   string // "crates/core/src/lib.rs changed", "first run"
}

// Remember keeps the latest entry of each piece of work, and why those that ran
// now did. What a build merely found is remembered too: the next one replaces it.
func (m *Memory) Remember(entries []*journal.Entry) error {
	p := filepath.Join(m.Dir, "history")
	old, _ := m.journal(p) // another version's: explanations start anew
	latest := journal.NewHistory(old)
	var why []Reason
	for _, en := range entries {
		if !en.CacheHit {
			why = append(why, Reason{en.Owner, en.Mnemonic, en.Progress, journal.Explain(latest.Before(en), en)})
		}
	}
	body, err := journal.Encode(latest.With(entries))
	if err == nil {
		err = fsx.Plain.WriteChecked(p, journalMagic, body)
	}
	if why == nil {
		return err // Reasons tells of the last build that ran something
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(why); err != nil {
		return fmt.Errorf("why: %w", err)
	}
	return errors.Join(err, fsx.Plain.WriteChecked(filepath.Join(m.Dir, "why"), whyMagic, b.Bytes()))
}

// Reasons returns why the actions ran that the last build ran; none if it is not known.
func (m *Memory) Reasons() []Reason {
	b, ok := fsx.Plain.ReadChecked(filepath.Join(m.Dir, "why"), whyMagic)
	if !ok {
		return nil
	}
	var all []Reason
	if gob.NewDecoder(bytes.NewReader(b)).Decode(&all) != nil {
		return nil
	}
	return all
}

// UpToDate is the runner of an action that was not even looked up.
const UpToDate = "up to date"

// Replayed returns entries as they are when nothing ran.
func Replayed(entries []*journal.Entry) []*journal.Entry {
	out := make([]*journal.Entry, len(entries))
	for i, en := range entries {
		e := *en
		e.CacheHit, e.Runner = true, UpToDate
		out[i] = &e
	}
	return out
}
