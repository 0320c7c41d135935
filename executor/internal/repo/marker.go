package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// markerVersion is the first line of a marker; another one means "fetch again".
const markerVersion = "gorules repository 1"

// factKind says what a fact is about.
type factKind string

// The kinds of fact, and what name and value are.
const (
	factKey     factKind = "KEY"     // digest of rule and attributes
	factOutside factKind = "OUTSIDE" // "", "": links lead out of the repository
	factEnv     factKind = "ENV"     // variable, "=value" or "" if unset
	factFile    factKind = "FILE"    // absolute path, stat key and digest
	factDir     factKind = "DIR"     // absolute path, digest of the names in it
	factTree    factKind = "TREE"    // absolute path, digest of everything below it
	factWhich   factKind = "WHICH"   // program, path or ""
	factStat    factKind = "STAT"    // absolute path, stat key of what it leads to
	factLock    factKind = "LOCK"    // key of gorules.lock, value
)

// facts is what a fetch depended on. It is safe for concurrent use.
type facts struct {
	mu sync.Mutex
	m  map[factID]string
}

type factID struct {
	kind factKind
	name string
}

func newFacts() *facts { return &facts{m: map[factID]string{}} }

// note keeps a fact; the first value seen counts.
func (f *facts) note(kind factKind, name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.m[factID{kind, name}]; !ok {
		f.m[factID{kind, name}] = value
	}
}

// encode writes the marker's text: sorted lines of quoted fields.
func (f *facts) encode() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for id, value := range f.m {
		lines = append(lines, fmt.Sprintf("%s %s %s\n", id.kind, strconv.Quote(id.name), strconv.Quote(value)))
	}
	slices.Sort(lines)
	return []byte(markerVersion + "\n" + strings.Join(lines, "") + "END\n")
}

// decodeFacts reads a marker; anything odd is an error, which means "fetch again".
func decodeFacts(src []byte) (*facts, error) {
	lines := strings.Split(string(src), "\n")
	if len(lines) < 3 || lines[0] != markerVersion || lines[len(lines)-1] != "" || lines[len(lines)-2] != "END" {
		return nil, errors.New("not a complete marker")
	}
	f := newFacts()
	for _, line := range lines[1 : len(lines)-2] {
		kind, rest, _ := strings.Cut(line, " ")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("marker line %q: %w", line, err)
		}
		name, err1 := strconv.Unquote(quoted)
		value, err2 := strconv.Unquote(strings.TrimPrefix(rest[len(quoted):], " "))
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("marker line %q: %w", line, err)
		}
		f.m[factID{factKind(kind), name}] = value
	}
	return f, nil
}

// stale says which fact no longer holds, "" if all do. The key is not looked at.
func (r *Repositories) stale(f *facts) string {
	for id, value := range f.m {
		now := ""
		switch id.kind {
		case factKey, factOutside:
			continue
		case factEnv:
			now = r.envFact(id.name)
		case factFile:
			if now = fileStat(id.name); now != "" && strings.HasPrefix(value, now+" ") {
				continue
			}
			now = fileFact(id.name)
			if digestOf(now) == digestOf(value) {
				continue
			}
		case factDir:
			now = dirFact(id.name)
		case factTree:
			now = treeFact(id.name)
		case factWhich:
			now = r.which(id.name)
		case factStat:
			now = fileStat(id.name)
		case factLock:
			now, _, _ = r.lock.get(id.name)
		default:
			return string(id.kind) + " " + id.name
		}
		if now != value {
			return string(id.kind) + " " + id.name
		}
	}
	return ""
}

// envFact is "=value", or "" if the variable is not set.
func (r *Repositories) envFact(name string) string {
	if v, ok := r.opts.Env[name]; ok {
		return "=" + v
	}
	return ""
}

// fileStat identifies the content of what a path leads to without reading it;
// "" if there is nothing.
func fileStat(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d:%o", info.Size(), info.ModTime().UnixNano(), info.Mode())
}

// fileFact is the stat key and the digest of a file.
func fileFact(path string) string {
	stat := fileStat(path)
	sum, err := fileSHA256(path)
	if err != nil {
		return stat + " missing"
	}
	return stat + " " + sum
}

func digestOf(fact string) string { return fact[strings.LastIndexByte(fact, ' ')+1:] }

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

// dirFact digests the names in a folder.
func dirFact(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return ""
	}
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s\x00%v\x00", e.Name(), e.Type())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// treeFact digests names and stat keys of everything below a folder.
func treeFact(path string) string {
	h := sha256.New()
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, p)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\x00%v\x00", rel, d.Type())
		if !d.IsDir() {
			fmt.Fprintf(h, "%s\x00", fileStat(p))
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
