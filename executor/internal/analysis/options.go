package analysis

import (
	"context"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/label"
)

// A Loader finds targets; *loading.Loader is one.
type Loader interface {
	Target(ctx context.Context, l label.Label) (*loading.Target, error)
	Package(ctx context.Context, p label.Package) (*loading.Package, error)
	Visible(ctx context.Context, t *loading.Target, from label.Package) (bool, error)
}

// Options configure an Analyzer.
type Options struct {
	Loader Loader
	Repos  loading.Repos

	// Group, where not nil, is shared with the loader, so that cycles through both are found.
	Group *memo.Group

	// HostTools returns the default host tools (bash, coreutils, ...) as a
	// directory at "/"; nil means none.
	HostTools func() *action.Artifact

	// Workspace is what ctx.workspace_name gives and where runfiles of the main
	// workspace stand; "" means "_main".
	Workspace string

	// Toolchains are the targets of register_toolchains, in the order in which they are tried.
	Toolchains []label.Label

	// ExecutionPlatforms are the targets of register_execution_platforms; the
	// host platform comes after them.
	ExecutionPlatforms []label.Label

	Config Config

	// Print gets what print() prints; nil drops it.
	Print func(at diag.Position, text string)

	// Guard watches functions that are called outside of an analysis, for the
	// arguments of an action; nil means nobody does.
	Guard *bzl.Guard
}

// Config is what the command line says about how to build.
type Config struct {
	// BuildSettings are the values of --//pkg:flag=value by label, as typed.
	BuildSettings map[label.Label]string

	// Options are other options by Bazel's names without dashes, e.g.
	// "compilation_mode", "cpu", "stamp".
	Options map[string]string

	// Define are --define NAME=VALUE.
	Define map[string]string

	// ActionEnv are --action_env variables with their values.
	ActionEnv map[string]string

	// Platform is --platforms; zero means the host.
	Platform label.Label

	// Test is what `test` says.
	Test TestOptions
}

// TestOptions are the options of the command test that reach test actions.
type TestOptions struct {
	Filter string            // --test_filter
	Args   []string          // --test_arg
	Env    map[string]string // --test_env

	// Timeout in seconds overrides that of the size; 0 means by size.
	Timeout int
}
