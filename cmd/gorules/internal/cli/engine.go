package cli

import (
	"context"

	"gorules/executor"
	"gorules/executor/label"
)

// Engine is what the command line needs of the executor. Its errors are
// *executor.Error where the exit code is not 37.
type Engine interface {
	Build(context.Context, executor.BuildRequest) error
	Test(context.Context, executor.TestRequest) error
	Query(ctx context.Context, expr string, o executor.QueryOptions) ([]executor.Target, error)

	// Why explains the actions of the last build that ran for a target.
	Why(context.Context, label.Label) ([]executor.WhyEntry, error)

	// Fetch gets everything that a later build needs from outside.
	Fetch(context.Context) error

	// Clean removes the outputs and the state of the workspace; with expunge
	// everything that is kept for it.
	Clean(ctx context.Context, expunge bool) error

	// Info returns facts in the order to be shown.
	Info(context.Context) ([]executor.InfoEntry, error)

	// Run builds the one target of the request and says how to start its program.
	Run(context.Context, executor.BuildRequest) (executor.RunSpec, error)

	// RuleDocs describes the rules that a .bzl file exports; "" means those
	// that every BUILD file has.
	RuleDocs(ctx context.Context, load string) ([]executor.RuleDoc, error)

	// CacheStats tells what is stored, CacheGC trims it, and CacheVerify removes
	// what is wrong.
	CacheStats(context.Context) ([]executor.CacheFolder, error)
	CacheGC(context.Context, executor.CacheGCRequest) ([]executor.CacheFolder, error)
	CacheVerify(context.Context) ([]executor.CacheFolder, error)

	// Close frees the lock on the workspace; no action runs any more.
	Close() error
}

// Aborter is implemented by an Engine that can kill every process at once; it
// serves the second Ctrl-C.
type Aborter interface{ Abort() }
