// Package query evaluates Bazel's query language over loaded packages:
//
//	r, err := query.Eval(ctx, loader, "deps(//:hello) except //vendor/...", query.Options{})
//
// It knows target patterns, set(...), let NAME = X in Y, the operators + - ^
// (union, except, intersect; one precedence, left to right) and the functions
// listed in Functions. Edges are all labels in attributes, those of every
// branch of a select() included, since no configuration is chosen. The result
// is sorted. The package renders single targets (Attributes) but
// prints nothing and runs no rule.
package query
