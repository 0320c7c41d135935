package action

import (
	"context"
	"regexp"
	"time"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// A Spec is what a rule asked for: one process, one in-process file operation,
// or one plan. It is written once, during analysis or by a plan, and read-only
// afterwards. Exactly one of Argv, Write, Link, Assemble and
// Plan is set.
type Spec struct {
	Owner    label.Label
	Position diag.Position // where the rule declared it
	Mnemonic string        // as rules_rust and Bazel spell them: "Rustc", "Genrule"
	Progress string        // "Compiling serde v1.0.1", for people

	Argv    []Arg
	Env     map[string]string // the whole environment; nothing is added to it
	Workdir string            // absolute in the input root; "" means Workspace
	Inputs  Inputs
	// Scopes are trees into which the process may look; what it looked at is an input.
	Scopes  []Input
	Outputs []*Artifact // each needed for success unless Optional
	// Changes, where not nil, is one of Outputs, a directory that gets what the process
	// changed or added in its first scope, which it may write to.
	Changes *Artifact

	// Optional outputs may be missing after a success.
	Optional map[*Artifact]bool

	// Stdout, Stderr and ExitCode, where not nil, are artifacts whose content
	// is what the process printed, or its exit code in decimal. An action with
	// ExitCode has a stored result: exiting non-zero is not a failure.
	Stdout, Stderr, ExitCode *Artifact

	// Messages describes the JSON lines that the process writes to stderr.
	Messages *Messages

	Timeout  time.Duration     // 0 means the default
	Platform map[string]string // execution properties, part of the key

	// Writable are paths of the input root that the process may change; the
	// changes are thrown away.
	Writable []string

	// Loopback gives the process a network of its own with the loopback up.
	// Without it there is no network at all.
	Loopback bool
	// Terminals lets the process open pseudo terminals.
	Terminals bool

	// NoSandbox runs the process on the host as it is (tags = ["local"]); its
	// result is never shared.
	NoSandbox bool

	// Test marks an action that --nocache_test_results runs again.
	Test bool

	// Show prints the (rendered) stderr to the user, also when the result comes from a cache.
	Show bool

	// Explain tells, after a refused access (see sandbox.Access), how to allow
	// it: text with the verbs {path}, {address}. A key is the error ("ENOENT"),
	// or the error and a folder ("ENOENT /w") for paths below it, of which the
	// text may name the rest: {rest}. "ENOENT PATH" is for a program that was
	// found in no folder of PATH: {rest} is its name.
	Explain map[string]string

	Write    *Write
	Link     *Link
	Assemble *Assemble
	Plan     *Plan
}

// Messages describes stderr lines that are JSON objects.
type Messages struct {
	// Show is the field holding the text for the user; "" means the whole line.
	Show string

	// Hide matches texts that Show would show and that say nothing new.
	Hide *regexp.Regexp

	// Early maps an output to the field values of the line that announces that
	// this output is complete while the process still runs.
	Early map[*Artifact]map[string]string
}

// Write puts text into the single output. Content runs when the inputs exist.
type Write struct {
	Content func(Expander) ([]byte, error)

	// Template, where not nil, is an input whose text goes through Replace.
	Template *Artifact
	Replace  func(string) (string, error)
}

// Link makes the single output be another artifact, or a symbolic link.
type Link struct {
	Target     *Artifact // the output has this content
	Path       string    // or: a symbolic link with this text
	Executable bool      // fail unless the target is executable
}

// Assemble makes the single output, a directory, of other artifacts.
type Assemble struct {
	Entries map[string]*Artifact // path in the directory -> content
}

// An Arg is a part of a command line whose text may depend on the files of a
// directory that only exists later.
type Arg interface {
	// Append adds zero or more words to argv.
	Append(argv []string, ex Expander) ([]string, error)
}

// Lit is the Arg that is itself.
type Lit string

// Append adds the one word.
func (l Lit) Append(argv []string, _ Expander) ([]string, error) { return append(argv, string(l)), nil }

// Expander lists the files of a directory artifact: paths relative to it, sorted.
type Expander interface {
	Expand(dir *Artifact) ([]string, error)
}

// A Plan runs F when its inputs exist; F declares more actions.
type Plan struct {
	Inputs  []*Artifact // F gets their text; at most a few megabytes
	Waits   []*Spec     // other plans whose Value F gets
	Outputs []*Artifact // promised: F must bind each

	// Expects are what the actions that F will declare are going to need, as far
	// as that is known. They are made early, and matter as much as the plan does.
	Expects Inputs
	F       func(ctx context.Context, in PlanInput) (*PlanResult, error)

	// Goal, where not nil, says why what F returned cannot be the goal of a
	// command, which wants a verdict.
	Goal func(value any) error
}

// PlanInput is what a plan's function gets.
type PlanInput struct {
	Text   map[*Artifact][]byte
	Files  map[*Artifact][]string // of directory inputs: their files
	Values map[*Spec]any          // of Waits
}

// PlanResult is what a plan's function declared.
type PlanResult struct {
	Specs []*Spec
	Bind  map[*Artifact]*Artifact // promised output -> the artifact it is
	Value any                     // frozen; given to plans that wait for this one

	// Makers tells of the other promised outputs which of Specs makes them: an
	// action that has them among its outputs, or a plan that promises them in turn.
	Makers map[*Artifact]*Spec

	// Goals are wanted too where the plan's value is a goal of the command: the
	// log that a verdict names.
	Goals []*Artifact

	// Follow, where not nil, is another plan whose value is this one's: a plan
	// can declare actions and a plan over their results, and be what that is. It
	// runs only where this plan's value is wanted.
	Follow *Spec

	// Show is text for the user, shown again by commands that find nothing to do.
	Show []string
}
