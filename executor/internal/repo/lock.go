package repo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"gorules/executor/diag"
	"gorules/executor/regular"
)

// lockFileName is the file at the workspace root with facts that nothing else pins.
const lockFileName = "gorules.lock"

const lockHeader = "# What other lock files do not pin: one sorted line a fact. Written by gorules; keep it under version control.\n"

// lockFile is gorules.lock: lines "key value". It is read at the first use.
type lockFile struct {
	path  string
	mode  LockfileMode
	files fs.FS

	mu    sync.Mutex
	facts map[string]string // nil until read
	lines map[string]int    // where they stand
	added map[string]string // of facts, what the file does not have yet
}

func newLockFile(workspace string, mode LockfileMode, files fs.FS) *lockFile {
	return &lockFile{path: filepath.Join(workspace, lockFileName), mode: mode, files: files, added: map[string]string{}}
}

// read fills facts; mu is held.
func (l *lockFile) read() error {
	if l.facts != nil {
		return nil
	}
	src, err := fs.ReadFile(l.files, lockFileName)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return l.parse(src)
	}
	return fmt.Errorf("reading %s: %w", lockFileName, err)
}

// parse fills facts and lines.
func (l *lockFile) parse(src []byte) error {
	facts, lines := map[string]string{}, map[string]int{}
	for i, line := range strings.Split(string(src), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, " ")
		bad := ""
		if !ok || strings.HasPrefix(line, "<<<<<<<") || strings.HasPrefix(line, ">>>>>>>") || strings.HasPrefix(line, "=======") {
			bad = "expected a line 'KEY VALUE', got '" + line + "'"
		} else if old, twice := facts[key]; twice && old != value {
			bad = fmt.Sprintf("'%s' stands here with another value than in line %d", key, lines[key])
		}
		if bad != "" {
			return diag.Errorf(diag.Position{File: lockFileName, Line: i + 1, Column: 1}, "%s", bad).WithHint("keep the right line of the two and delete the other")
		}
		facts[key], lines[key] = value, i+1
	}
	l.facts, l.lines = facts, lines
	return nil
}

// get returns the value of a key and whether there is one.
func (l *lockFile) get(key string) (string, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(); err != nil {
		return "", false, err
	}
	v, ok := l.facts[key]
	return v, ok, nil
}

// add makes sure that the lock file says value for key.
func (l *lockFile) add(key, value string) error {
	if key == "" || strings.ContainsAny(key, " \t\r\n#") || value == "" || strings.ContainsAny(value, "\r\n") || strings.TrimSpace(value) != value {
		return fmt.Errorf("%s: a key is one word and a value one line, got %q %q", lockFileName, key, value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(); err != nil {
		return err
	}
	old, ok := l.facts[key]
	switch {
	case ok && old == value:
		return nil
	case ok:
		return l.other(key, value)
	case l.mode == LockError:
		return diag.Errorf(diag.Position{File: lockFileName}, "a fact is missing and --lockfile_mode=error forbids to add it: %s %s", key, value).
			WithHint("run gorules fetch without that option and commit " + lockFileName)
	}
	l.facts[key], l.added[key] = value, value
	return nil
}

// other is the error that a fact of the file has another value now.
func (l *lockFile) other(key, value string) error {
	return diag.Errorf(diag.Position{File: lockFileName, Line: l.lines[key], Column: 1}, "%s is pinned to\n        %s\n    but is now\n        %s", key, l.facts[key], value).
		WithHint("if that is intended, delete the line and run again; otherwise something upstream was replaced")
}

// flush adds what was added to the file, as it is by then: another command may have
// added something, too. lock keeps others from doing so meanwhile.
func (l *lockFile) flush(lock func() (unlock func(), err error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.added) == 0 {
		return nil
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	src, err := regular.Read(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", lockFileName, err)
	}
	if err := l.parse(src); err != nil {
		return err
	}
	for _, key := range sorted(l.added) {
		value := l.added[key]
		if old, ok := l.facts[key]; ok && old != value {
			return l.other(key, value)
		}
		l.facts[key] = value
	}
	var b bytes.Buffer
	b.WriteString(lockHeader)
	for _, key := range sorted(l.facts) {
		fmt.Fprintf(&b, "%s %s\n", key, l.facts[key])
	}
	if err := renameio.WriteFile(l.path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", lockFileName, err)
	}
	clear(l.added)
	return nil
}
