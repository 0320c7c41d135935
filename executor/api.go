package executor

import (
	"io/fs"
	"time"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/repo"
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

	// CacheBudget is how many bytes of content, results, trees, states and fetched
	// folders are kept below OutputUserRoot; 0 means a tenth of the disk, at most
	// 20 GB. NoBudget means all.
	CacheBudget int64

	// DiskCacheBudget is the same for a DiskCache that was named; 0 means all.
	DiskCacheBudget int64

	// Rules is the @gorules repository (and the other embedded ones).
	Rules fs.FS

	Sink event.Sink

	Jobs      int // 0 means the number of CPUs
	KeepGoing bool

	// MaxOutput bounds the outputs of one action together, in bytes; 0 means not at all.
	MaxOutput int64

	// Limits bound downloads and archives; 0 in a field means its default.
	Limits Limits

	// LockfileMode is "update" (the default) or "error".
	LockfileMode string

	// SymlinkPrefix is what the names of the links to outputs begin with, in the
	// workspace; "" means "gorules-", "/" that there are none.
	SymlinkPrefix string

	// ExecutionLog, where not "", is the file that gets one JSON object an action.
	ExecutionLog string

	// StarlarkMemory is how many bytes of memory Starlark code may use, and
	// StarlarkCall how long one call of a built-in function may take; 0 means a
	// default.
	StarlarkMemory uint64
	StarlarkCall   time.Duration

	// Halt ends the process for an error that was reported. It is called where
	// Starlark code that cannot be stopped exhausts the process, after every
	// action was killed; nil means that nothing is done about that.
	Halt func(error)

	Version string // of this binary, for the state file and `info`
}

// Limits bound what comes from outside.
type Limits = repo.Limits

// DefaultLimits are those that hold where none is given.
func DefaultLimits() Limits { return repo.Defaults }

// BuildRequest asks for the default outputs of targets.
type BuildRequest struct {
	Patterns     []label.Pattern
	OutputGroups []string          // --output_groups
	Check        bool              // run each action once more in another world, and compare
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

// A CacheFolder is a folder that is kept to a budget.
type CacheFolder struct {
	Dir    string
	Named  bool  // by DiskCache
	Budget int64 // NoBudget if there is none

	Used       int64 // bytes that count to the budget
	Kinds      []CacheSize
	Workspaces []CacheSize // largest first; so are Toolchains
	Toolchains []CacheSize
	Wrong      []CacheWrong
	Useless    int  // results that were removed since their content was
	Skipped    bool // it has no budget, so that nothing was done
}

// CacheSize is how much there is of something.
type CacheSize struct {
	Name   string
	Gone   bool // a workspace that is not there any more
	Bytes  int64
	Things int
	Kinds  map[string]int64 // bytes
}

// CacheWrong is something stored that was not what its name says, and was removed.
type CacheWrong struct{ Kind, Path, Reason string }

// CacheGCRequest says what to remove.
type CacheGCRequest struct {
	Budget *int64 // nil means the usual one, and 0 where something is selected

	Kind, Workspace, Toolchain string // where not "", only what is of it
}
