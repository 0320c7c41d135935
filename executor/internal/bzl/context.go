package bzl

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// Context is what built-in functions find out about the thread that calls them.
// Whoever makes a thread attaches one; it is not changed afterwards.
type Context struct {
	// Package is the package whose BUILD file (or a macro called by it) runs.
	Package label.Package

	// File is the file that the thread evaluates: a BUILD, .bzl or WORKSPACE
	// file, or for the thread of a rule's implementation, the target.
	File label.Label

	// Scope resolves labels that BUILD-time functions get as text.
	Scope Scope

	// Sink takes targets; nil where no target may be declared.
	Sink TargetSink

	// Repos takes repositories; nil outside WORKSPACE files.
	Repos RepoSink

	// Extra belongs to the package that made the thread.
	Extra any

	evaluation *evaluation
}

// A TargetSink takes the targets that a BUILD file declares. kwargs are as
// written: nothing is checked or converted yet (see RuleClass.Coerce).
type TargetSink interface {
	AddTarget(thread *starlark.Thread, class *RuleClass, kwargs []starlark.Tuple) error
}

// A RepoSink takes the repositories that a WORKSPACE file declares, with kwargs as written.
type RepoSink interface {
	AddRepo(thread *starlark.Thread, class *RepoRule, kwargs []starlark.Tuple) error
}

const contextKey = "gorules"

// ContextOf returns the context of thread, or an empty one.
func ContextOf(thread *starlark.Thread) *Context {
	if c, ok := thread.Local(contextKey).(*Context); ok {
		return c
	}
	return &Context{}
}

// CallerPosition returns where the Starlark code that called the running
// built-in stands.
func CallerPosition(thread *starlark.Thread) diag.Position {
	for depth := 0; depth < thread.CallStackDepth(); depth++ {
		pos := thread.CallFrame(depth).Pos
		if pos.Filename() != builtinFile {
			return Position(pos)
		}
	}
	return diag.Position{}
}

// builtinFile is what starlark-go reports as the file of a built-in function.
const builtinFile = "<builtin>"

// Position is a position of starlark-go as diagnostics have it.
func Position(pos syntax.Position) diag.Position {
	return diag.Position{File: pos.Filename(), Line: int(pos.Line), Column: int(pos.Col)}
}
