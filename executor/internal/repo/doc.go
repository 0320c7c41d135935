// Package repo finds the repositories of a build: the main workspace, those
// that WORKSPACE (or MODULE.bazel) declares, those that a workspace consumed
// through local_repository declares itself, and those embedded in the program.
// Its one entry is Repositories:
//
//	r, err := repo.New(repo.Options{Workspace: dir, OutputRoot: out, Embedded: rules.FS, ...})
//	l := r.Loader()                       // loads packages of all repositories
//	v, err := r.View(ctx, "crates")       // where one is; fetched if it is not there yet
//	err = r.FetchAll(ctx)                 // `gorules fetch`
//	regs, err := r.Registered(ctx)        // register_toolchains, register_execution_platforms
//
// A fetched repository is the folder <output root>/external/<name>. It is made
// in place, since rules may write its absolute path into it, and the marker
// beside it, @<name>.marker, is written last: a folder without marker is not
// looked at. The marker holds what the repository was made from: a digest of the
// rule's text and attributes, lines of gorules.lock, and the facts of a
// source.Snapshot that the rule read through (files, listings, names that were
// absent, variables, programs found). The rule runs again only if one does not
// hold, or if the folder does not hold what the rule made: the marker has the
// digest of each file, and all are compared (by stat keys, where the digest of a
// key is known) before anything is read. From then on the source.Fixed of the
// folder answers, so that a later edit is never read. A folder with links that
// lead out of it is read like a workspace instead. While it runs, what was there before is kept aside and is put back if it
// fails.
//
// The package knows source itself, and not an interface like it: facts are worth
// something because one piece of code notes and checks all of them. Those of a
// marker are facts of the command that uses the repository, too.
//
// Names: a repository declared by the root workspace keeps its name, one
// declared by the nested workspace R is R+name. The package must never build
// anything, and nothing it does may depend on which target was asked for.
package repo
