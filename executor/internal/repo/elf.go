package repo

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/regular"
)

// defaultLibraryDirs is where the loader looks after what ld.so.conf names.
var defaultLibraryDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// elfClosure returns the given programs and libraries and all that the loader
// would map to run them, sorted: libraries by DT_NEEDED, the loader itself, and
// the interpreters of scripts.
func (c *repoContext) elfClosure(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var paths *starlark.List
	if err := starlark.UnpackArgs(name, args, kwargs, "paths", &paths); err != nil {
		return nil, err
	}
	e := &elfWalk{dirs: append(confDirs("/etc/ld.so.conf", 0), defaultLibraryDirs...), found: map[string]bool{}, at: map[place]string{}}
	for v := range paths.Elements() {
		p, err := c.existing(v)
		if err != nil {
			return nil, err
		}
		if err := e.add(p, nil); err != nil {
			return nil, err
		}
	}
	var out []starlark.Value
	for _, p := range sorted(e.found) {
		c.files.Program(p)
		out = append(out, starlark.String(p))
	}
	return starlark.NewList(out), nil
}

// elfWalk collects files; each is looked into once.
type elfWalk struct {
	dirs  []string
	found map[string]bool
	done  map[string]bool  // files that need not be looked into: their needs are known to be there
	at    map[place]string // where libraries are that no run path leads to
}

// place is a library as the loader asks for it.
type place struct {
	lib     string
	class   elf.Class
	machine elf.Machine
}

// add adds the file p and what it needs. up are the run paths of the programs
// that need it, which DT_RPATH passes on.
func (e *elfWalk) add(p string, up []string) error {
	if e.found[p] || e.done[p] {
		return nil
	}
	e.found[p] = true
	f, err := regular.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("#!")) {
		line, _, _ := bytes.Cut(head[2:], []byte("\n"))
		words := strings.Fields(string(line))
		if len(words) == 0 || !filepath.IsAbs(words[0]) {
			return nil
		}
		return e.add(words[0], nil)
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return nil
	}
	x, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	for _, prog := range x.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(prog.Open())
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := e.add(strings.TrimRight(string(b), "\x00"), nil); err != nil {
			return fmt.Errorf("%s: its loader: %w", p, err)
		}
	}
	needed, err := x.ImportedLibraries()
	if err != nil {
		return nil // no dynamic section: it needs nothing
	}
	dirs, passed := runPaths(x, p, up)
	for _, lib := range needed {
		q := e.find(lib, x, dirs)
		if q == "" {
			return fmt.Errorf("%s needs the shared library %s, which is in none of %s", p, lib, strings.Join(append(dirs, e.dirs...), ", "))
		}
		if err := e.add(q, passed); err != nil {
			return err
		}
	}
	return nil
}

// runPaths returns the folders that p's own dynamic section adds to the search,
// and those of them that hold for its libraries too.
func runPaths(x *elf.File, p string, up []string) (dirs, passed []string) {
	origin := filepath.Dir(p)
	if real, err := filepath.EvalSymlinks(p); err == nil {
		origin = filepath.Dir(real)
	}
	expand := func(tag elf.DynTag) []string {
		var out []string
		values, err := x.DynString(tag)
		if err != nil {
			return nil
		}
		for _, v := range values {
			for _, d := range strings.Split(v, ":") {
				d = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin, "$LIB", "lib/x86_64-linux-gnu", "${LIB}", "lib/x86_64-linux-gnu").Replace(d)
				if filepath.IsAbs(d) {
					out = append(out, filepath.Clean(d))
				}
			}
		}
		return out
	}
	if run := expand(elf.DT_RUNPATH); len(run) > 0 {
		return run, nil
	}
	dirs = slices.Concat(expand(elf.DT_RPATH), up)
	return dirs, dirs
}

// find looks for a library of the same class and machine as x.
func (e *elfWalk) find(lib string, x *elf.File, dirs []string) string {
	if strings.Contains(lib, "/") {
		return lib
	}
	key := place{lib, x.Class, x.Machine}
	if p, ok := e.at[key]; ok && len(dirs) == 0 {
		return p
	}
	for _, d := range slices.Concat(dirs, e.dirs) {
		p := filepath.Join(d, lib)
		y, err := elf.Open(p)
		if err != nil {
			continue
		}
		same := y.Class == x.Class && y.Machine == x.Machine
		y.Close()
		if same {
			if len(dirs) == 0 {
				e.at[key] = p
			}
			return p
		}
	}
	return ""
}

// confDirs reads a file in the format of ld.so.conf with its includes.
func confDirs(file string, depth int) []string {
	f, err := regular.Open(file)
	if err != nil || depth > 4 {
		return nil
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		line = strings.TrimSpace(line)
		if pattern, ok := strings.CutPrefix(line, "include "); ok {
			pattern = strings.TrimSpace(pattern)
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(file), pattern)
			}
			files, err := filepath.Glob(pattern)
			if err != nil {
				continue
			}
			for _, inc := range files {
				out = append(out, confDirs(inc, depth+1)...)
			}
			continue
		}
		if filepath.IsAbs(line) {
			out = append(out, filepath.Clean(line))
		}
	}
	return out
}

// ELFClosure is elf_closure for the engine's own default tools. A program of which
// something is missing on the host is left alone: it runs there no better.
func ELFClosure(paths []string) []string {
	dirs, at := append(confDirs("/etc/ld.so.conf", 0), defaultLibraryDirs...), map[place]string{}
	all := map[string]bool{}
	for _, p := range paths {
		e := &elfWalk{dirs: dirs, found: map[string]bool{}, at: at, done: all}
		if e.add(p, nil) == nil {
			maps.Copy(all, e.found)
		}
	}
	return sorted(all)
}
