// Package loading turns BUILD and .bzl files into frozen packages and target
// patterns into labels. Its one entry is Loader:
//
//	l := loading.New(loading.Options{Repos: repos})
//	p, err := l.Package(ctx, label.Package{Path: "a/b"})   // all targets of //a/b
//	t, err := l.Target(ctx, lab)                           // one of them, or a clear error
//	m, err := l.Module(ctx, lab)                           // the globals of a .bzl file
//	x, err := l.Expand(ctx, patterns, loading.ExpandOptions{KeepGoing: true})
//	ok, err := l.Visible(ctx, t, from)
//
// All of these are safe for concurrent use; each file is read and evaluated
// once per Loader, and a cycle of load() statements is an error with its path.
// Errors in the user's files are of type *diag.Error.
//
// The package reads through Files only, so that a recorder behind it sees every
// file, probe and listing the result depends on. It must never run a rule,
// choose a branch of a select() or look at an output.
package loading
