package executor

import (
	"io/fs"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/label"
)

// Options configure an Engine. They choose where things are and how fast and
// how loudly they run, never what is made.
type Options struct {
	// Workspace is the folder with the WORKSPACE (or MODULE.bazel) file.
	Workspace string

	// OutputUserRoot holds everything that gorules keeps outside the
	// workspace; "" means gorules/ in the XDG cache directory.
	OutputUserRoot string

	// DiskCache is a store that may be shared; "" means the private one below OutputUserRoot.
	DiskCache string

	// Rules is the @gorules repository (and the other embedded ones).
	Rules fs.FS

	Sink event.Sink

	Jobs      int // 0 means the number of CPUs
	KeepGoing bool

	// LockfileMode is "update" (the default) or "error".
	LockfileMode string

	// SymlinkPrefix is what the names of the links to outputs begin with, in the
	// workspace; "" means "gorules-", "/" that there are none.
	SymlinkPrefix string

	// ExecutionLog, where not "", is the file that gets one JSON object an action.
	ExecutionLog string

	Version string // of this binary, for the state file and `info`
}

// BuildRequest asks for the default outputs of targets.
type BuildRequest struct {
	Patterns     []label.Pattern
	OutputGroups []string          // --output_groups
	Flags        map[string]string // --//pkg:flag=value, --define, --platforms, --compilation_mode by Bazel's names
	ActionEnv    []string          // NAME or NAME=VALUE
}

// TestRequest asks for the verdicts of test targets.
type TestRequest struct {
	BuildRequest
	Filter         string        // --test_filter
	Args           []string      // --test_arg
	Env            []string      // --test_env: NAME or NAME=VALUE
	NoCacheResults bool          // --nocache_test_results
	TagFilters     []string      // --test_tag_filters
	SizeFilters    []string      // --test_size_filters
	Timeout        time.Duration // --test_timeout; 0 means by size
	BuildTestsOnly bool
}

// Target is what a query tells of one target.
type Target struct {
	Label      label.Label
	Kind       string // "cargo_test rule", "source file", "generated file"
	Attributes map[string]any
	Location   diag.Position
}

// WhyEntry explains one action of the last build that ran.
type WhyEntry struct {
	Owner    label.Label
	Mnemonic string
	Progress string
	Reason   string // "crates/core/src/lib.rs changed", "argument --deny warnings was added", "first run"
}

// ErrorKind sorts the errors that the Engine returns; each has one exit code.
type ErrorKind = exit.Kind

// The kinds, with Bazel's exit codes.
const (
	BuildFailed    = exit.BuildFailed
	BadCommandLine = exit.BadCommandLine
	TestsFailed    = exit.TestsFailed
	NoTests        = exit.NoTests
	RunFailed      = exit.RunFailed
	AnalysisFailed = exit.AnalysisFailed
	Interrupted    = exit.Interrupted
	Environment    = exit.Environment
	Internal       = exit.Internal
)

// Error is an error with its kind. Where its text was already reported as an
// event, Reported is true and the command line prints nothing more.
type Error = exit.Error

// Recovered turns what recover returned into an error whose text is a report of
// what happened and where; nil for nil.
func Recovered(v any) error {
	if v == nil {
		return nil
	}
	return &Error{Kind: Internal, Err: bug.Recovered(v)}
}

// QueryOptions are the flags of query.
type QueryOptions struct {
	ImplicitDeps bool
	KeepGoing    bool
	Package      string // the folder where relative labels of the expression stand
}

// InfoEntry is one line of `gorules info`.
type InfoEntry struct{ Key, Value string }

// RunSpec is a program to start in place of gorules.
type RunSpec struct {
	Argv []string // Argv[0] is an absolute path
	Env  []string // added to the environment that gorules was started with
	Dir  string   // absolute
}

// RuleDoc describes a rule for `gorules help RULE`.
type RuleDoc struct {
	Name       string
	Load       string // what to load it from; "" where it needs no load
	Doc        string
	Kind       string // "rule", "repository rule", "macro"
	Attributes []AttributeDoc
	Example    string // BUILD text; "" means that one is made from the mandatory attributes
}

// AttributeDoc describes one attribute.
type AttributeDoc struct {
	Name      string
	Type      string // "string", "label", "list of strings"...
	Default   string // as written in Starlark
	Mandatory bool
	Doc       string
}
