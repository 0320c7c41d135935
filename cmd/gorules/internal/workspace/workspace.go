// Package workspace finds the folder that a command works in. It looks for
// marker files upward and reads none of them.
package workspace

import (
	"fmt"
	"os"
	"path/filepath"
)

// Markers are the files of which one makes a folder a workspace root.
var markers = [...]string{"WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel"}

// BuildFiles are the names that make a folder a package; the first that exists counts.
var buildFiles = [...]string{"BUILD.bazel", "BUILD"}

// Workspace is a root and the place below it where the command was typed.
type Workspace struct {
	Root    string // absolute
	Package string // slash path of the current folder below Root; "" at the root
}

// NotFound says that no folder from Dir upward is a workspace root.
type NotFound struct {
	Dir   string
	Cargo string // nearest folder with a Cargo.toml; ""
}

func (e *NotFound) Error() string {
	return fmt.Sprintf("no workspace: neither %s nor a folder above it has a WORKSPACE or MODULE.bazel file", e.Dir)
}

// Hint says what to do about it.
func (e *NotFound) Hint() string {
	switch e.Cargo {
	case "":
		return "go to the root of the project and write one, or run `gorules init` in a Cargo project"
	case e.Dir:
		return "this is a Cargo project: run `gorules init`"
	}
	return "run `gorules init` in " + e.Cargo + ", where Cargo.toml is"
}

// Find returns the workspace that dir is in; dir must be absolute. The error
// is a *NotFound.
func Find(dir string) (Workspace, error) {
	cargo := ""
	for d := dir; ; d = filepath.Dir(d) {
		for _, name := range markers {
			if isFile(filepath.Join(d, name)) {
				rel, err := filepath.Rel(d, dir)
				if err != nil {
					return Workspace{}, fmt.Errorf("locate %s in the workspace %s: %w", dir, d, err)
				}
				if rel == "." {
					rel = ""
				}
				return Workspace{Root: d, Package: filepath.ToSlash(rel)}, nil
			}
		}
		if isFile(filepath.Join(d, "Cargo.toml")) {
			cargo = d // the outermost one is the root of a Cargo workspace
		}
		if d == filepath.Dir(d) {
			return Workspace{}, &NotFound{Dir: dir, Cargo: cargo}
		}
	}
}

// HasPackage reports whether the folder path below the root has a BUILD file.
func (w Workspace) HasPackage(path string) bool {
	for _, name := range buildFiles {
		if isFile(filepath.Join(w.Root, filepath.FromSlash(path), name)) {
			return true
		}
	}
	return false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
