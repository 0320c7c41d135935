// Package bzl holds the Starlark values and built-in functions that .bzl, BUILD
// and WORKSPACE files see: labels, depsets, providers, files, select(), attr.*,
// rule() and the modules around them, with Bazel's names and meanings.
//
// It knows what a rule class is and how raw attribute values become typed ones.
// It must never read a file, load a module, look up a target or run a rule: that
// is for packages loading, repo and analysis, which it does not import.
package bzl
