// Package executor is the engine of gorules: it turns target patterns into
// frozen targets, targets into actions, and actions into results, running each
// in a sandbox at most once per content. It knows no language and prints
// nothing; see package event.
package executor
