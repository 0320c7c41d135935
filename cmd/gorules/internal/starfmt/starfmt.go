// Package starfmt gives BUILD, WORKSPACE and .bzl files the one layout that
// buildifier gives them. It evaluates nothing and changes no meaning.
package starfmt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bazelbuild/buildtools/build"
	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"

	"gorules/executor/diag"
	"gorules/executor/regular"
)

// Result is a file as it is and as it should be.
type Result struct {
	Path     string
	Shown    string // how the user calls it
	Old, New []byte
	mode     fs.FileMode
}

// Text formats data; name decides the kind of file. The error is a
// *diag.Error.
func Text(name string, data []byte) ([]byte, error) {
	f, err := build.Parse(name, data)
	if err != nil {
		var p build.ParseError
		if errors.As(err, &p) {
			return nil, diag.Wrap(diag.Position{File: name, Line: p.Pos.Line, Column: p.Pos.LineRune}, err, p.Message)
		}
		return nil, diag.Errorf(diag.Position{File: name, Line: 1, Column: 1}, "%w", err)
	}
	return build.Format(f), nil
}

// File formats the file at path in memory.
func File(path, shown string) (Result, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Result{}, err
	}
	data, err := regular.Read(path)
	if err != nil {
		return Result{}, err
	}
	text, err := Text(shown, data)
	if err != nil {
		return Result{}, err
	}
	return Result{Path: path, Shown: shown, Old: data, New: text, mode: info.Mode().Perm()}, nil
}

// Changed reports whether the file is not formatted.
func (r *Result) Changed() bool { return !bytes.Equal(r.Old, r.New) }

// Diff returns a unified diff.
func (r *Result) Diff() []byte {
	return diff.Diff(r.Shown, r.Old, r.Shown+" (formatted)", r.New)
}

// Write replaces the file in one step, so that a reader sees the old or the
// new text. A symbolic link stays one: what it names is replaced.
func (r *Result) Write() error {
	path, err := filepath.EvalSymlinks(r.Path)
	if err != nil {
		return fmt.Errorf("write %s: %w", r.Shown, err)
	}
	if err := renameio.WriteFile(path, r.New, r.mode, renameio.WithStaticPermissions(r.mode)); err != nil {
		return fmt.Errorf("write %s: %w", r.Shown, err)
	}
	return nil
}

// Find lists the files below root to format. Links are not followed, so the
// outputs of this and of nested workspaces are not entered; version control
// and folders that a tool tagged as a cache (cargo's target/) are left out too.
func Find(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("look for BUILD files: %w", err)
		}
		name := d.Name()
		if d.IsDir() {
			if path == root {
				return nil
			}
			switch name {
			case ".git", ".hg", ".svn", ".jj", "node_modules":
				return fs.SkipDir
			}
			if _, err := os.Lstat(filepath.Join(path, "CACHEDIR.TAG")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && formats(name) {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

// formats reports whether a file of this name is Starlark.
func formats(name string) bool {
	switch name {
	case "BUILD", "BUILD.bazel", "WORKSPACE", "WORKSPACE.bazel", "WORKSPACE.bzlmod", "MODULE.bazel", "REPO.bazel", "WORKSPACE.example":
		return true
	}
	return strings.HasSuffix(name, ".bzl") || strings.HasSuffix(name, ".MODULE.bazel")
}
