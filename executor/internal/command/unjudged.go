package command

import (
	"slices"

	"gorules/executor/internal/action"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/layout"
	"gorules/executor/internal/resume"
	"gorules/executor/label"
)

// What a command was asked to judge and did not judge has no result: who collects
// the reports of tests afterwards would take one of an earlier command for its
// verdict.

// ForgetAll removes the results of all tests that the request r of key asks for,
// as far as its patterns and what it judged before say that: of a command that
// knows no targets.
func ForgetAll(l *layout.Layout, m *resume.Memory, r Request, key string) {
	before := m.Tests(key)
	r.forget(l, func(t label.Label) bool { return label.Match(r.Patterns, t) || slices.Contains(before, t) })
}

// forget removes the results of tests of which unjudged says so. Where that fails
// there is a reason why the command fails, or the next one will say so.
func (r Request) forget(l *layout.Layout, unjudged func(label.Label) bool) {
	if r.Verb != Test {
		return
	}
	_ = l.Forget(func(k layout.Kind, name string) bool {
		if k != layout.Results {
			return false
		}
		test, err := label.Parse(name, label.Package{})
		return err == nil && unjudged(test)
	})
	_ = l.Close()
}

// forgetUnjudged does so before anything runs, once it is known what will not be
// judged. end is what ends the command there.
func (c *Command) forgetUnjudged(end error) {
	if e, ok := end.(*exit.Error); ok && e.Kind == exit.NoTests {
		return // the filters leave nothing that was asked for
	}
	wanted := map[label.Label]*wanted{}
	for _, w := range c.wanted {
		wanted[w.Label] = w
	}
	var before []label.Label // a suite that cannot be read may stand for any of these
	if end != nil || c.problems > 0 {
		before = c.Memory.Tests(c.Key)
	}
	c.forget(c.Layout, func(l label.Label) bool {
		w := wanted[l]
		switch {
		case w != nil && w.passed:
			return false
		case w != nil:
			return end != nil || !w.judged
		case slices.Contains(c.found, l), slices.Contains(c.lost, l), slices.Contains(before, l):
			return true // not analyzed, or not even loaded
		}
		// What stands in a package that was loaded was passed over by the patterns.
		return label.Match(c.Patterns, l) && (c.found == nil || !c.Front.Loaded(l))
	})
}

// outdated removes the results of a test as soon as it is known that something
// must run before it is judged: the command may be killed at any time.
func (c *Command) outdated() func(*action.Spec) {
	tests := map[*action.Spec]*wanted{}
	for _, w := range c.wanted {
		switch {
		case w.single != nil:
			tests[w.single.Spec] = w
		case w.judged:
			tests[w.Verdict] = w
		}
	}
	return func(s *action.Spec) {
		if w := tests[s]; w != nil {
			_ = c.Layout.Target(w.Label, layout.Results).Done() // the end does it again, and says what is wrong
		}
	}
}
