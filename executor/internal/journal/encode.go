package journal

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

// stored is the file form: strings and digests that recur in most entries
// (paths of dependencies, flags) are kept once and named by index.
type stored struct {
	Strings []string
	Digests []digest.Digest
	Entries []storedEntry
}

type storedEntry struct {
	Entry // without the fields below
	Argv, Env, Platform,
	Expected []int
	Inputs, Outputs []storedFile
	Looks           []storedLook
}

type storedLook struct {
	Path int
	What action.What
}

type storedFile struct {
	Path, Digest           int
	Tree, Link, Executable bool
}

// Encode returns entries in a compact form for Decode.
func Encode(entries []*Entry) ([]byte, error) {
	in := interner{s: map[string]int{}, d: map[digest.Digest]int{}}
	for _, e := range entries {
		se := storedEntry{
			Entry: *e,
			Argv:  in.strings(e.Argv), Env: in.strings(e.Env), Platform: in.strings(e.Platform),
			Expected: in.strings(e.Expected),
			Inputs:   in.files(e.Inputs), Outputs: in.files(e.Outputs),
		}
		for _, l := range e.Looks {
			se.Looks = append(se.Looks, storedLook{in.string(l.Path), l.What})
		}
		se.Entry.Argv, se.Entry.Env, se.Entry.Platform, se.Entry.Expected = nil, nil, nil, nil
		se.Entry.Inputs, se.Entry.Outputs, se.Entry.Looks = nil, nil, nil
		in.out.Entries = append(in.out.Entries, se)
	}
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if err := gob.NewEncoder(z).Encode(in.out); err != nil {
		return nil, fmt.Errorf("encoding the journal: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Decode reads what Encode wrote.
func Decode(b []byte) ([]*Entry, error) {
	z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var in stored
	if err := gob.NewDecoder(z).Decode(&in); err != nil {
		return nil, fmt.Errorf("decoding the journal: %w", err)
	}
	out := make([]*Entry, 0, len(in.Entries))
	for _, se := range in.Entries {
		if !in.holds(se) {
			return nil, errors.New("decoding the journal: an index is out of range")
		}
		e := se.Entry
		e.Argv, e.Env, e.Platform, e.Expected = in.strings(se.Argv), in.strings(se.Env), in.strings(se.Platform), in.strings(se.Expected)
		e.Inputs, e.Outputs = in.files(se.Inputs), in.files(se.Outputs)
		for _, l := range se.Looks {
			e.Looks = append(e.Looks, action.Look{Path: in.Strings[l.Path], What: l.What})
		}
		out = append(out, &e)
	}
	return out, nil
}

type interner struct {
	out stored
	s   map[string]int
	d   map[digest.Digest]int
}

func (in *interner) string(s string) int {
	i, ok := in.s[s]
	if !ok {
		i = len(in.out.Strings)
		in.s[s] = i
		in.out.Strings = append(in.out.Strings, s)
	}
	return i
}

func (in *interner) strings(ss []string) []int {
	out := make([]int, 0, len(ss))
	for _, s := range ss {
		out = append(out, in.string(s))
	}
	return out
}

func (in *interner) files(fs []File) []storedFile {
	out := make([]storedFile, 0, len(fs))
	for _, f := range fs {
		i, ok := in.d[f.Digest]
		if !ok {
			i = len(in.out.Digests)
			in.d[f.Digest] = i
			in.out.Digests = append(in.out.Digests, f.Digest)
		}
		out = append(out, storedFile{in.string(f.Path), i, f.Tree, f.Link, f.Executable})
	}
	return out
}

// holds reports whether every index of e names something.
func (in *stored) holds(e storedEntry) bool {
	for _, is := range [][]int{e.Argv, e.Env, e.Platform, e.Expected} {
		for _, i := range is {
			if i < 0 || i >= len(in.Strings) {
				return false
			}
		}
	}
	for _, l := range e.Looks {
		if l.Path < 0 || l.Path >= len(in.Strings) {
			return false
		}
	}
	for _, fs := range [][]storedFile{e.Inputs, e.Outputs} {
		for _, f := range fs {
			if f.Path < 0 || f.Path >= len(in.Strings) || f.Digest < 0 || f.Digest >= len(in.Digests) {
				return false
			}
		}
	}
	return true
}

func (in *stored) strings(is []int) []string {
	out := make([]string, 0, len(is))
	for _, i := range is {
		out = append(out, in.Strings[i])
	}
	return out
}

func (in *stored) files(fs []storedFile) []File {
	out := make([]File, 0, len(fs))
	for _, f := range fs {
		out = append(out, File{in.Strings[f.Path], in.Digests[f.Digest], f.Tree, f.Link, f.Executable})
	}
	return out
}
