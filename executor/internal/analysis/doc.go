// Package analysis turns a target and a configuration into providers and
// actions (Configured): it resolves select() and toolchains, checks what a
// target may depend on, calls the rule's implementation with ctx and keeps what
// it declared as action.Specs. Its one entry is Analyzer:
//
//	a := analysis.New(analysis.Options{Loader: loader, Repos: repos, ...})
//	err := a.CheckFlags(ctx)               // --//pkg:flag=value
//	c, err := a.Configure(ctx, label)      // memoised; safe for concurrent use
//	test, err := a.TestAction(c)           // of a test that has an executable
//	err = analysis.Conflicts(targets)      // two outputs with one path
//
// Actions are reached from the artifacts that are wanted, through
// Artifact.Producer; nothing here runs one or reads what it made. Errors in the
// user's files are of type *diag.Error.
//
// # Environment of actions
//
// An action whose executable is an absolute path, or a File at an absolute
// path, gets exactly env=, and no input that is not named. All others
// (run_shell, a File below the workspace, a name to be found on PATH) get the
// default host tools as inputs and these variables, which env= overrides:
//
//	PATH=/usr/local/bin:/usr/bin:/bin
//	HOME=/tmp TMPDIR=/tmp
//	LANG=C.UTF-8 TZ=UTC
//
// followed by --action_env. A name without a slash is found on that PATH by
// /usr/bin/env. use_default_shell_env = True asks for the same.
package analysis
