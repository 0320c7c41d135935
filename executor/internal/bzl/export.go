package bzl

import (
	"slices"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// exporter is a value that takes its name from the global it is bound to.
type exporter interface {
	export(name string, file label.Label) error
}

// Export names the rules, providers, aspects, macros and repository rules that
// the module file defined. Call it once after the module ran, before its
// globals are frozen or seen by another thread. A value that already has a
// name (it was loaded, or is bound twice) keeps it: first gives the names that
// the file binds in their order.
func Export(globals starlark.StringDict, file label.Label, first []string) error {
	for _, name := range slices.Concat(first, globals.Keys()) {
		if x, ok := globals[name].(exporter); ok {
			if err := x.export(name, file); err != nil {
				return err
			}
		}
	}
	return nil
}
