// Package rules holds the Starlark that gorules brings along: the @gorules
// repository and the other embedded ones. It is text only; nothing here is Go
// that runs.
package rules

import "embed"

// FS is the root of the embedded repositories: cargo/ is @gorules//cargo.
//
//go:embed cargo/*.bzl cargo/coverage_tool builtins/*.bzl embedded
var FS embed.FS
