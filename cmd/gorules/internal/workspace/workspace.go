// Package workspace finds the folder that a command works in. It looks for
// marker files upward and reads none of them.
package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gorules/executor/diag"
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

// ErrNotFound is the cause of the error that no folder upward is a workspace root.
var ErrNotFound = errors.New("no workspace")

// notFound says so of dir; cargo is the nearest folder with a Cargo.toml, or "".
func notFound(dir, cargo string) error {
	e := diag.Errorf(diag.Position{}, "%w: neither %s nor a folder above it has a WORKSPACE or MODULE.bazel file", ErrNotFound, dir)
	switch cargo {
	case "":
		return e.WithHint("go to the root of the project and write one, or run `gorules init` in a Cargo project")
	case dir:
		return e.WithHint("this is a Cargo project: run `gorules init`")
	}
	return e.WithHint("run `gorules init` in " + cargo + ", where Cargo.toml is")
}

// Find returns the workspace that dir is in; dir must be absolute. Where there
// is none, the error is a *diag.Error with the cause ErrNotFound.
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
			return Workspace{}, notFound(dir, cargo)
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

// isFile reports whether a file is expected at path. A FIFO or a device counts:
// whoever reads it says what it is.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
