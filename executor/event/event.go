// Package event says what happened during a command, as data. The engine never
// prints: it calls a Sink, and the command line renders.
package event

import (
	"time"

	"gorules/executor/diag"
	"gorules/executor/label"
)

// A Sink takes events. The engine calls it from several goroutines, one call at a time.
type Sink func(Event)

// Event is one of the types of this package.
type Event interface{ event() }

// Severity orders diagnostics.
type Severity int

// The severities.
const (
	Debug Severity = iota
	Info
	Warning
	Error
)

// Diagnostic is a message about the user's files: where, what, what to do.
type Diagnostic struct {
	Severity Severity
	Position diag.Position // zero where it is about no file
	Text     string        // the first line is the message; further lines are detail
	Hint     string        // what to do; may be empty
}

// Printed is what print() said in a file that was evaluated.
type Printed struct {
	Position diag.Position // of the call
	Text     string
}

// Output is text of a tool for the user, as the tool printed it (it may hold
// ANSI colours, which a renderer strips where colour is off).
type Output struct {
	Owner  label.Label
	Text   string
	Cached bool
}

// Phase says what the command as a whole is doing now: "Loading", "Fetching
// @crates", "Analyzing", "Running".
type Phase struct{ Text string }

// ActionStarted, with ActionFinished of the same ID, brackets a process.
type ActionStarted struct {
	ID       int
	Owner    label.Label
	Mnemonic string
	Progress string
	Start    time.Time
	Dir      string   // working directory in the action's root
	Argv     []string // for --subcommands
}

// ActionFinished ends an action, also one that never started because a cache had it.
type ActionFinished struct {
	ID       int
	Owner    label.Label
	Mnemonic string
	Progress string
	Runner   string // "linux-sandbox", "disk cache hit", "up to date"
	Start    time.Time
	Wall     time.Duration
	Failed   bool
}

// Progress counts what is known of the graph so far. Total may grow.
type Progress struct {
	Total, Done, Cached, Ran, Running int
	Estimate                          time.Duration // of what is left; 0 if unknown
}

// ActionFailed is the first cause of a failure: the command, its exit and what it printed.
type ActionFailed struct {
	Owner    label.Label
	Mnemonic string
	Progress string
	Position diag.Position // where the target is declared
	Reason   string        // "exit code 1", "timed out after 60 s", "did not make x.o"
	Stderr   string
	Argv     []string
	Notes    []string // refused accesses and the lines that would allow them
}

// Status of a target in the summary.
type Status string

// The statuses, spelled as they are shown.
const (
	Built     Status = "BUILT"
	UpToDate  Status = "UP-TO-DATE"
	Passed    Status = "PASSED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMEOUT"
	Flaky     Status = "FLAKY"
	NotBuilt  Status = "NOT BUILT"
	NotJudged Status = "NOT JUDGED"

	// NotAttempted is a target whose work was not attempted, because something
	// else failed first.
	NotAttempted Status = "NOT ATTEMPTED"

	// NotAnalyzed is a target that is wrong itself, or names what is wrong, under -k.
	NotAnalyzed Status = "NOT ANALYZED"
	Skipped     Status = "SKIPPED"
)

// TargetDone is one line of the summary.
type TargetDone struct {
	Target  label.Label
	Kind    string // rule class
	Test    bool
	Status  Status
	Cached  bool
	Wall    time.Duration
	Summary string   // "61 tests in 5 binaries, 7 doctests"
	Outputs []string // relative to the workspace: gorules-bin/...
	Notes   []string // lines under it: "fix: gorules run //:clippy -- --fix"
	Text    string   // what --test_output=errors shows: the tool's own text
	Log     string   // path of test.log
	XML     string   // path of test.xml
}

// Finished ends a build or test command.
type Finished struct {
	Wall      time.Duration
	Processes int            // all actions looked at
	ByRunner  map[string]int // "disk cache hit": 40
	Targets   int
	Tests     int
	Failed    int

	NotAttempted int // targets, counted apart from Failed
	NotAnalyzed  int // targets and packages that could not be loaded or analysed, under -k

	UpToDate bool // nothing was even looked up: the state file answered
}

// BrokenOff ends a build or test command that the user ended: of its targets,
// those that had failed until then were told.
type BrokenOff struct{}

func (BrokenOff) event()      {}
func (Diagnostic) event()     {}
func (Printed) event()        {}
func (Output) event()         {}
func (Phase) event()          {}
func (ActionStarted) event()  {}
func (ActionFinished) event() {}
func (Progress) event()       {}
func (ActionFailed) event()   {}
func (TargetDone) event()     {}
func (Finished) event()       {}
