// Package journal keeps what is worth remembering of the actions of a build:
// the fields that went into each key and what came of it. The execution log is
// the journal in Bazel's JSON form, and `gorules why` compares two journals.
// The package never decides whether something runs.
package journal

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
	"gorules/executor/label"
)

// An Entry is one action of a build.
type Entry struct {
	Owner    label.Label
	Mnemonic string
	Progress string
	Digest   digest.Digest // of the Action message
	Argv     []string
	Env      []string // NAME=value, sorted
	Platform []string // name=value, sorted
	Workdir  string
	Inputs   []File
	Looks    action.Observation // which of Inputs are there because the action looked at them, and where it found nothing
	Outputs  []File
	Expected []string // declared outputs

	Runner   string
	CacheHit bool
	ExitCode int
	Start    time.Time
	Wall     time.Duration
	Timeout  time.Duration
}

// A File is a path in the action's root and what is there.
type File struct {
	Path       string
	Digest     digest.Digest // of a file's content, of a link's text, or of a tree
	Tree       bool          // a whole folder, listed as one
	Link       bool          // a symbolic link
	Executable bool          // a file that may be executed
}

// work names what people would call the same piece of work, whatever version
// of a package it is about. Several actions of one build may share it: a crate
// in two versions or forms.
func (e *Entry) work() string {
	return e.Owner.String() + "\x00" + e.Mnemonic + "\x00" + version.ReplaceAllString(e.Progress, "…")
}

var version = regexp.MustCompile(`\bv?[0-9]+(\.[0-9]+)+[-+.0-9A-Za-z]*`)

// form tells actions of one work apart as long as they make the same files.
func (e *Entry) form() string { return e.work() + "\x00" + strings.Join(e.Expected, "\x00") }

// New makes the entry of one finished action.
func New(b *action.Bound) *Entry {
	s := b.Spec
	e := &Entry{
		Owner:    s.Owner,
		Mnemonic: s.Mnemonic,
		Progress: s.Progress,
		Digest:   b.Digest,
		Argv:     b.Argv,
		Workdir:  b.Workdir,
		Timeout:  b.Timeout,
		Looks:    b.Looks,
	}
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		e.Env = append(e.Env, name+"="+b.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(b.Platform)) {
		e.Platform = append(e.Platform, name+"="+b.Platform[name])
	}
	for _, o := range b.Outputs {
		e.Expected = append(e.Expected, o.Path)
	}
	e.Inputs = files("/", b.Root, nil)
	return e
}

// wholeAbove is the number of files from which a folder that never changes is
// listed as one input: a toolchain has hundreds of files that say no more than
// its digest does.
const wholeAbove = 16

func files(dir string, t *tree.Tree, out []File) []File {
	for _, en := range t.Entries() {
		p := path.Join(dir, en.Name)
		switch en.Kind {
		case tree.Dir:
			if len(en.Dir.Entries()) == 0 || fixed(p) && en.Dir.Files() >= wholeAbove {
				out = append(out, File{Path: p, Digest: en.Dir.Digest(), Tree: true})
				continue
			}
			out = files(p, en.Dir, out)
		case tree.File:
			out = append(out, File{Path: p, Digest: en.File, Executable: en.Executable})
		case tree.Link:
			out = append(out, File{Path: p, Digest: digest.Of([]byte(en.Target)), Link: true})
		}
	}
	return out
}

// fixed tells the folders whose content has a name and a version: the system's
// own, which hold toolchains, and each vendored crate.
func fixed(p string) bool {
	top, below, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	return top == "vendor" && below != "" || slices.Contains([]string{"usr", "lib", "lib64", "bin", "etc", "rust"}, top)
}

// SetOutputs notes what the action made.
func (e *Entry) SetOutputs(out map[string]action.Content) {
	for _, p := range slices.Sorted(maps.Keys(out)) {
		switch c := out[p]; {
		case c.Tree != nil:
			e.Outputs = files(p, c.Tree, e.Outputs)
		case c.Symlink != "":
			e.Outputs = append(e.Outputs, File{Path: p, Digest: digest.Of([]byte(c.Symlink)), Link: true})
		default:
			e.Outputs = append(e.Outputs, File{Path: p, Digest: c.File, Executable: c.Executable})
		}
	}
}
