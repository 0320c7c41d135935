package analysis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
)

// errorf is an error of something that a target's rule did; targetError gives it a place.
func errorf(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, format, args...)
}

// targetError places err at t. Errors that are placed already are returned as
// they are: targets that depend on t fail with the same error.
func targetError(t *loading.Target, err error) error {
	if diag.Placed(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	what := fmt.Sprintf("in %s %s: ", t.KindString(), t.Label)
	var cycle *memo.CycleError
	if errors.As(err, &cycle) {
		if !ours(cycle) { // of load() statements, which package loading words
			return err
		}
		return diag.Wrap(t.Position, err, what+cycleText(cycle))
	}
	return diag.Wrap(t.Position, err, what+err.Error()+traceback(err)).WithHint(diag.Hint(err))
}

// ours reports whether a cycle is one of targets.
func ours(c *memo.CycleError) bool {
	for _, k := range c.Path {
		switch k.(type) {
		case key, aspectKey, platformKey:
		default:
			return false
		}
	}
	return true
}

// maxCycle bounds how many targets of a long cycle are shown.
const maxCycle = 20

// cycleText words a cycle as Bazel does, the first target repeated at the end.
func cycleText(c *memo.CycleError) string {
	var b strings.Builder
	b.WriteString("cycle in dependency graph:")
	for i := range len(c.Path) + 1 {
		if more := len(c.Path) - maxCycle; more > 1 && i >= maxCycle && i < len(c.Path) {
			if i == maxCycle {
				fmt.Fprintf(&b, "\n|   (%d more)", more)
			}
			continue
		}
		k := c.Path[i%len(c.Path)]
		mark := "    "
		if i == 0 || i == len(c.Path) {
			mark = ".-> "
			if i > 0 {
				mark = "`-- "
			}
		} else {
			mark = "|   "
		}
		fmt.Fprintf(&b, "\n%s%v", mark, k)
	}
	return b.String()
}

// traceback returns the Starlark calls that led to err, the innermost last. It
// is empty where all of them lie in gorules' own rules: a rule refused something
// in so many words, and where it did so helps nobody.
func traceback(err error) string {
	var eval *starlark.EvalError
	if !errors.As(err, &eval) {
		return ""
	}
	var b strings.Builder
	theirs := false
	for _, f := range eval.CallStack {
		if f.Pos.Line > 0 {
			theirs = theirs || !strings.HasPrefix(f.Pos.Filename(), "@gorules//")
			fmt.Fprintf(&b, "\n    File \"%s\", line %d, column %d, in %s", f.Pos.Filename(), f.Pos.Line, f.Pos.Col, f.Name)
		}
	}
	if !theirs {
		return ""
	}
	return "\nTraceback (most recent call last):" + b.String()
}
