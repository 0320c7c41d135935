package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gorules/cmd/gorules/internal/flags"
	"gorules/executor"
)

// options holds the values of all flags; the fields' values before parsing are
// the defaults that help shows.
type options struct {
	// rc files
	rcFiles                   []string
	ignoreRC                  bool
	systemRC, homeRC, localRC bool
	announceRC                bool

	// where and how fast
	outputUserRoot, diskCache string
	cacheBudget               int64 // -1 is none, 0 the default
	diskCacheBudget           int64 // 0 is none
	jobs                      int
	keepGoing                 bool
	maxOutput                 int64
	limits                    executor.Limits
	lockfileMode              string
	symlinkPrefix             string
	executionLog              string
	starlarkMemory            int // MiB
	starlarkCall              time.Duration

	// rendering
	logLevel, logFormat, color, curses string
	showResult                         int
	verboseFailures, subcommands       bool

	// what is built
	targetPatternFile string
	outputGroups      []string
	checkAgain        bool
	actionEnv         []string
	define            []string
	platforms         string
	compilationMode   string
	labelFlags        map[string]string

	// tests
	testOutput     string
	testFilter     string
	testArgs       []string
	testEnv        []string
	cacheResults   bool
	testTimeout    time.Duration
	testTags       []string
	testSizes      []string
	buildTestsOnly bool

	// single verbs
	queryOutput  string
	implicitDeps bool
	expunge      bool
	fmtMode      string
	strict       bool

	gcBudget                     int64 // 0 is not given
	gcKind, gcOwner, gcToolchain string
}

func defaults() *options {
	return &options{
		systemRC: true, homeRC: true, localRC: true,
		lockfileMode: "update", symlinkPrefix: "gorules-", maxOutput: 32 << 30,
		limits:   executor.DefaultLimits(),
		logLevel: "info", logFormat: "text", color: "auto", curses: "auto",
		showResult:   50,
		testOutput:   "errors",
		cacheResults: true,
		queryOutput:  "label", implicitDeps: true,
		fmtMode:    "fix",
		labelFlags: map[string]string{},
	}
}

// Groups of verbs that share flags.
var (
	building = []string{"build", "test", "run"}
	testing  = []string{"test"}
	fetching = []string{"build", "test", "run", "query", "why", "fetch"}
	engined  = []string{"build", "test", "run", "query", "why", "fetch", "clean", "info", "help", "cache"}
	starlark = []string{"build", "test", "run", "query", "why", "fetch", "help"}
)

// table returns all flags there are, bound to o.
func (o *options) table() *flags.Table {
	f := []flags.Flag{
		// Where and how fast.
		{Name: "jobs", Short: "j", Arg: "N", Verbs: building, Value: flags.Jobs(&o.jobs),
			Help: "How many actions run at a time: a number, auto (the CPUs of this machine), HOST_CPUS or HOST_CPUS*.5."},
		{Name: "keep_going", Short: "k", Verbs: []string{"build", "test", "run", "query"}, Value: flags.Bool(&o.keepGoing),
			Help: "After a failure go on with everything that does not depend on it."},
		{Name: "disk_cache", Arg: "DIR", Verbs: engined, Value: flags.String(&o.diskCache),
			Help: "The store of results; checkouts, users and machines may share one. Who may write to it decides what you build: blobs are verified each time, but not which result belongs to which action. Users share one as a group: the folder has their group and is setgid and group-writable; another one is refused. Default: a private one below --output_user_root."},
		{Name: "output_user_root", Arg: "DIR", Verbs: engined, Value: flags.String(&o.outputUserRoot),
			Help: "Everything that gorules keeps outside the workspace. Default: gorules in the XDG cache directory."},
		{Name: "cache_budget", Arg: "SIZE|none", Verbs: engined, Value: flags.Size(&o.cacheBudget, true),
			Help: "How much of content, results, trees, states and fetched folders is kept below --output_user_root, such as 5G: what was not used for longest goes. Default: a tenth of the disk, at most 20G."},
		{Name: "disk_cache_gc_max_size", Arg: "SIZE", Verbs: engined, Value: flags.Size(&o.diskCacheBudget, false),
			Help: "Keep the folder of --disk_cache to this size, too. Without it nothing is ever removed there."},
		{Name: "lockfile_mode", Arg: "update|error", Verbs: engined, Value: flags.Enum(&o.lockfileMode, "update", "error"),
			Help: "Whether gorules.lock may get new lines (update), or must already hold every fact (error, for CI). A contradiction always fails."},
		{Name: "symlink_prefix", Arg: "PREFIX", Verbs: []string{"build", "test", "run", "clean", "info"}, Value: flags.String(&o.symlinkPrefix),
			Help: "What the names of the links to outputs (bin, testlogs) begin with; it may hold folders of the workspace. / makes no links: the outputs are shown at their real places."},
		{Name: "max_action_output", Arg: "SIZE", Verbs: building, Value: flags.Size(&o.maxOutput, false),
			Help: "How large the outputs of one action may be together, holes of sparse files counted, and each entry of a folder as 4 KiB more; a larger one fails the action."},
		{Name: "max_download_size", Arg: "SIZE", Verbs: fetching, Value: flags.Size(&o.limits.Download, false),
			Help: "How large one download of a repository rule may be."},
		{Name: "max_archive_size", Arg: "SIZE", Verbs: fetching, Value: flags.Size(&o.limits.Bytes, false),
			Help: "How much one archive may hold, unpacked."},
		{Name: "max_archive_entries", Arg: "N", Verbs: fetching, Value: flags.Int(&o.limits.Entries, 1),
			Help: "How many files, folders and links one archive may hold."},
		{Name: "max_archive_ratio", Arg: "N", Verbs: fetching, Value: flags.Int(&o.limits.Ratio, 1),
			Help: "How many times its own size an archive may become; 64M are allowed however small it is."},
		{Name: "execution_log_json_file", Arg: "FILE", Verbs: building, Value: flags.String(&o.executionLog),
			Help: "Write one JSON object an action, also for those served from a cache, in the fields of Bazel's SpawnExec. The file is emptied before anything runs."},
		{Name: "starlark_memory", Arg: "MIB", Verbs: starlark, Value: flags.Int(&o.starlarkMemory, 0),
			Help: "How much memory BUILD, .bzl and WORKSPACE files may use; 0 means a quarter of what this process may have (the machine, its control group, ulimit -v), and at most 4096."},
		{Name: "starlark_call_timeout", Arg: "SECONDS", Verbs: starlark, Value: flags.Seconds(&o.starlarkCall),
			Help: "How long one call of a built-in function may compute in those files; 10 s where not given. What waits for files, downloads or processes is not counted."},

		// What is built.
		{Name: "target_pattern_file", Arg: "FILE", Verbs: building, Value: flags.String(&o.targetPatternFile),
			Help: "Read target patterns from a file, one a line (# starts a comment); - means standard input."},
		{Name: "output_groups", Arg: "GROUP,...", Verbs: building, Value: flags.CommaList(&o.outputGroups),
			Help: "Build these groups of outputs (OutputGroupInfo) in place of the default ones."},
		{Name: "check", Verbs: []string{"build", "test"}, Value: flags.Bool(&o.checkAgain),
			Help: "Run each action once more, also those whose results are stored, in another world (other places and order of files, one CPU, later, and of what it may look into only what it looked at) and compare: what comes to other bytes fails and is kept."},
		{Name: "compilation_mode", Short: "c", Arg: "fastbuild|dbg|opt", Verbs: building,
			Value: flags.Enum(&o.compilationMode, "fastbuild", "dbg", "opt"),
			Help:  "Read by config_setting and by rules that have no profile of their own; fastbuild where not given."},
		{Name: "platforms", Arg: "LABEL", Verbs: building, Value: flags.String(&o.platforms),
			Help: "The platform to build for."},
		{Name: "define", Arg: "NAME=VALUE", Verbs: building, Value: flags.List(&o.define),
			Help: "A name for config_setting(define_values) and ctx.var."},
		{Name: "action_env", Arg: "NAME[=VALUE]", Verbs: building, Value: flags.List(&o.actionEnv),
			Help: "A variable for actions that take the default shell environment; without a value it is taken from yours, and is then part of the key."},

		// Tests.
		{Name: "test_output", Arg: "summary|errors|all|streamed", Verbs: testing,
			Value: flags.Enum(&o.testOutput, "summary", "errors", "all", "streamed"),
			Help:  "Which tests' text is shown: none, that of failures, or all. streamed is all: tests run in parallel, and the text of one is never mixed with that of another."},
		{Name: "test_filter", Arg: "TEXT", Verbs: testing, Value: flags.String(&o.testFilter),
			Help: "Run only the cases whose name the test framework matches with TEXT."},
		{Name: "test_arg", Arg: "ARG", Verbs: testing, Value: flags.List(&o.testArgs),
			Help: "An argument for every test; may be repeated."},
		{Name: "test_env", Arg: "NAME[=VALUE]", Verbs: testing, Value: flags.List(&o.testEnv),
			Help: "A variable for every test; without a value it is taken from yours."},
		{Name: "cache_test_results", Short: "t", Verbs: testing, Value: flags.Bool(&o.cacheResults),
			Help: "Show a stored result where nothing that the test reads has changed; --nocache_test_results runs it again."},
		{Name: "test_timeout", Arg: "SECONDS", Verbs: testing, Value: flags.Seconds(&o.testTimeout),
			Help: "Time limit of each test; without it the test's size decides (60, 300, 900, 3600 s)."},
		{Name: "test_tag_filters", Arg: "TAG,-TAG,...", Verbs: testing, Value: flags.LastCommaList(&o.testTags),
			Help: "Only tests with one of the tags, and with none of those after a minus."},
		{Name: "test_size_filters", Arg: "SIZE,-SIZE,...", Verbs: testing, Value: flags.LastCommaList(&o.testSizes),
			Help: "Only tests of these sizes: small, medium, large, enormous."},
		{Name: "build_tests_only", Verbs: testing, Value: flags.Bool(&o.buildTestsOnly),
			Help: "Build nothing that no test needs."},

		// What is shown.
		{Name: "show_result", Arg: "N", Verbs: building, Value: flags.Int(&o.showResult, 0),
			Help: "Show a line for each built target where there are at most N. Tests and failures are always shown."},
		{Name: "verbose_failures", Verbs: building, Value: flags.Bool(&o.verboseFailures),
			Help: "Show the whole command line of an action that failed."},
		{Name: "subcommands", Short: "s", Verbs: building, Value: flags.Bool(&o.subcommands),
			Help: "Show each action when it starts."},
		{Name: "color", Arg: "yes|no|auto", Value: flags.Enum(&o.color, "yes", "no", "auto"),
			Help: "Colours; auto means on a terminal, unless NO_COLOR is set."},
		{Name: "curses", Arg: "yes|no|auto", Value: flags.Enum(&o.curses, "yes", "no", "auto"),
			Help: "The status line that is redrawn; auto means on a terminal."},
		{Name: "log_level", Arg: "debug|info|warn|error", Value: flags.Enum(&o.logLevel, "debug", "info", "warn", "error"),
			Help: "The least severe messages of gorules itself that are shown."},
		{Name: "log_format", Arg: "text|json", Value: flags.Enum(&o.logFormat, "text", "json"),
			Help: "json writes one record a message to standard error, and no status line."},

		// Single verbs.
		{Name: "output", Arg: "label|label_kind|location|json", Verbs: []string{"query"},
			Value: flags.Enum(&o.queryOutput, "label", "label_kind", "location", "json"), Help: "What is printed of each target."},
		{Name: "implicit_deps", Verbs: []string{"query"}, Value: flags.Bool(&o.implicitDeps),
			Help: "Follow dependencies that no BUILD file names, such as toolchains."},
		{Name: "expunge", Verbs: []string{"clean"}, Value: flags.Bool(&o.expunge),
			Help: "Remove everything kept for this workspace, the fetched repositories too."},
		{Name: "budget", Arg: "SIZE", Verbs: []string{"cache"}, Value: flags.Size(&o.gcBudget, false),
			Help: "gc: trim to this size once, in place of --cache_budget."},
		{Name: "kind", Arg: "KIND", Verbs: []string{"cache"}, Value: flags.String(&o.gcKind),
			Help: "gc: remove only what is of this kind: content, results, trees, fetched or states. Without --budget all of it that no running command uses."},
		{Name: "workspace", Arg: "DIR", Verbs: []string{"cache"}, Value: flags.String(&o.gcOwner),
			Help: "gc: remove only what is of this workspace, as stats counts it."},
		{Name: "toolchain", Arg: "NAME", Verbs: []string{"cache"}, Value: flags.String(&o.gcToolchain),
			Help: "gc: remove only what was made by this toolchain, as stats names it."},
		{Name: "mode", Arg: "fix|check|diff", Verbs: []string{"fmt"}, Value: flags.Enum(&o.fmtMode, "fix", "check", "diff"),
			Help: "Rewrite files, name those that would change, or show how."},
		{Name: "strict", Verbs: []string{"init"}, Value: flags.Bool(&o.strict),
			Help: "Write the strict lines live: warnings denied, a coverage floor, formatting in the gate."},

		// rc files.
		{Name: "gorulesrc", Line: true, Arg: "FILE", Value: flags.List(&o.rcFiles),
			Help: "One more rc file, read after the others; /dev/null ends the list."},
		{Name: "system_rc", Line: true, Value: flags.Bool(&o.systemRC), Help: "Read /etc/gorules.gorulesrc."},
		{Name: "workspace_rc", Line: true, Value: flags.Bool(&o.localRC), Help: "Read .gorulesrc at the root of the workspace."},
		{Name: "home_rc", Line: true, Value: flags.Bool(&o.homeRC), Help: "Read .gorulesrc in the home directory."},
		{Name: "ignore_all_rc_files", Line: true, Value: flags.Bool(&o.ignoreRC), Help: "Read no rc file at all."},
		{Name: "announce_rc", Value: flags.Bool(&o.announceRC), Help: "Show what the rc files add to the command line."},
		// Replaced by rc.Words before parsing; the row is here for help.
		{Name: "config", Arg: "NAME", Value: flags.Func(func(string) error { return fmt.Errorf("cannot stand here") }),
			Help: "Add the flags of the lines `VERB:NAME` of the rc files, at this place."},
	}
	return &flags.Table{Flags: f, Label: func(label, value string) error {
		o.labelFlags[label] = value
		return nil
	}}
}

// check finds mistakes that a single flag cannot see.
func (o *options) check() error {
	for _, d := range o.define {
		if name, _, ok := strings.Cut(d, "="); !ok || name == "" {
			return badLine("--define=%s: expected NAME=VALUE", d)
		}
	}
	for _, list := range []struct {
		flag   string
		values []string
	}{{"action_env", o.actionEnv}, {"test_env", o.testEnv}} {
		for _, v := range list.values {
			if name, _, _ := strings.Cut(v, "="); name == "" {
				return badLine("--%s=%s: expected NAME or NAME=VALUE", list.flag, v)
			}
		}
	}
	if p := o.symlinkPrefix; p != "/" && (p == "" || !filepath.IsLocal(p+"bin")) {
		return badLine("--symlink_prefix=%s: expected how names inside the workspace begin, such as gorules- or out/, or / for no links", p)
	}
	for _, s := range o.testSizes {
		switch strings.TrimPrefix(s, "-") {
		case "small", "medium", "large", "enormous":
		default:
			return badLine("--test_size_filters: %q is no size; expected small, medium, large or enormous", s)
		}
	}
	return nil
}

// buildFlags gives the flags that choose a configuration by Bazel's names:
// "//pkg:flag", "compilation_mode", "platforms", and "define NAME" for each define.
func (o *options) buildFlags() map[string]string {
	m := map[string]string{}
	for k, v := range o.labelFlags {
		m[k] = v
	}
	if o.compilationMode != "" {
		m["compilation_mode"] = o.compilationMode
	}
	if o.platforms != "" {
		m["platforms"] = o.platforms
	}
	for _, d := range o.define {
		name, value, _ := strings.Cut(d, "=")
		m["define "+name] = value
	}
	return m
}
