package action

import (
	"time"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// Bound is an action with all its content known: the very bytes that run.
type Bound struct {
	Digest  digest.Digest // of Action
	Action  []byte        // encoded remote.Action
	Command []byte        // encoded remote.Command
	Root    *tree.Tree    // the input root

	// Decoded forms of what the two messages hold, for local runners.
	Argv    []string
	Env     map[string]string
	Workdir string // absolute
	Outputs []BoundOutput
	Timeout time.Duration

	// Platform is every property of the message: those of the Spec, and what
	// else of it changes how the process runs, under names that begin with "gorules-".
	Platform map[string]string

	Writable  []string
	Loopback  bool
	Terminals bool
	NoSandbox bool
	AnyExit   bool // a non-zero exit is a result, not a failure

	// Scopes are what the process may look into beyond Root. Only their paths are in
	// the key, which says too little therefore until Narrow says what was looked at.
	Scopes []BoundScope
	// Observed names the observation that Root was narrowed to; "" where it was not.
	Observed string
	Looks    Observation // the same, for people

	Spec *Spec // for messages to people; not part of the key
}

// BoundOutput is one path to collect.
type BoundOutput struct {
	Path     string // absolute in the input root
	Dir      bool
	Link     bool
	Optional bool
	Changes  bool // it is what was written in the first scope, not what is at Path

	// Early is the line that announces the output; see Messages.
	Early map[string]string
}

// Content is what an artifact turned out to be: a file, a tree, a symbolic link, or,
// of a scope alone, a view.
type Content struct {
	File       digest.Digest
	Executable bool
	Tree       *tree.Tree
	Symlink    string
	View       View
}
