package cli

import "context"

// verb is one command of gorules. The table below is the only list of them.
type verb struct {
	name     string
	args     string // what stands after the flags
	short    string // one line for the overview
	long     string // more for `gorules help VERB`
	inherits []string

	workspace bool // must be run inside a workspace
	anywhere  bool // needs no current folder
	rest      bool // takes words after -- for a program
	rc        bool // reads rc files
	run       func(context.Context, *command) error
}

// verbs is a function, not a variable: help itself walks it.
func verbs() []verb {
	return []verb{
		{name: "build", args: "[TARGET...]", short: "build targets", long: buildText, workspace: true, rc: true, run: runBuild},
		{name: "test", args: "[TARGET...]", short: "build and run tests", long: testText, inherits: []string{"build"}, workspace: true, rc: true, run: runTest},
		{name: "run", args: "TARGET [-- ARG...]", short: "build a target and run its program", long: runText, inherits: []string{"build"}, workspace: true, rest: true, rc: true, run: runRun},
		{name: "query", args: "EXPRESSION", short: "ask about the target graph", long: queryText, workspace: true, rc: true, run: runQuery},
		{name: "why", args: "TARGET", short: "say why the last build ran an action", long: whyText, inherits: []string{"build"}, workspace: true, rc: true, run: runWhy},
		{name: "init", args: "[DIR]", short: "write WORKSPACE and BUILD for a Cargo project", long: initText, run: runInit},
		{name: "fmt", args: "[FILE...]", short: "format BUILD, WORKSPACE and .bzl files", long: fmtText, rc: true, run: runFmt},
		{name: "fetch", short: "get everything that a build needs from outside", long: fetchText, inherits: []string{"build"}, workspace: true, rc: true, run: runFetch},
		{name: "clean", short: "remove outputs", long: cleanText, inherits: []string{"build"}, workspace: true, rc: true, run: runClean},
		{name: "cache", args: "stats|gc|verify", short: "show, trim or check what is stored", long: cacheText, inherits: []string{"build"}, rc: true, run: runCache},
		{name: "info", args: "[KEY...]", short: "show paths and facts", long: infoText, inherits: []string{"build"}, workspace: true, rc: true, run: runInfo},
		{name: "help", args: "[VERB|TOPIC|RULE]", short: "explain verbs, topics and rules", long: helpText, anywhere: true, run: runHelp},
		{name: "version", short: "show the version", long: "Prints the version of gorules, and of the Go toolchain that built it.", anywhere: true, run: runVersion},
	}
}

func verbNames() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

// elsewhere names what serves a word that other build tools have.
var elsewhere = map[string]string{
	"coverage": "coverage is a test target here: `gorules test //:coverage`",
	"cquery":   "`gorules query` serves",
	"aquery":   "`gorules query` lists targets; `gorules build --execution_log_json_file=FILE` lists actions",
	"shutdown": "there is no server to stop",
	"vendor":   "`gorules fetch` gets everything that a later build needs",
	"sync":     "`gorules fetch` gets everything that a later build needs",
	"check":    "`gorules build` compiles, `gorules test //:clippy` lints",
	"clippy":   "`gorules test //:clippy` lints",
	"gc":       "`gorules cache gc` trims what is stored",
	"prune":    "`gorules cache gc` trims what is stored",
	"fsck":     "`gorules cache verify` checks what is stored",
	"new":      "`gorules init` sets up an existing Cargo project",
	"format":   "`gorules fmt` formats BUILD files; `gorules test //:fmt` checks Rust files",
}
