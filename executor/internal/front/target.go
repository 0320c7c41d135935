package front

import (
	"cmp"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/command"
)

// targets are configured targets as a command sees them, in the order of their
// BUILD files.
func (s *Session) targets(configured []*analysis.Configured) []*command.Target {
	slices.SortStableFunc(configured, byPlace)
	out := make([]*command.Target, 0, len(configured))
	for _, c := range configured {
		size, _ := starlark.AsString(c.Attrs["size"])
		t := &command.Target{
			Label: c.Label, Kind: c.Kind, Test: c.Target.IsTest(), Tags: c.Target.Tags(), Size: cmp.Or(size, "medium"),
			Incompatible: c.Incompatible, Files: s.wantedFiles(c), Summary: c.Summary, Verdict: c.Verdict,
			Whole: len(s.groups) == 0 || slices.Contains(s.groups, "default"),
			Args:  c.Arguments, Runfiles: s.Analyzer.RunfilesAt("/", c.Runfiles), Env: c.RunEnvironment,
			TestAction: func() (*analysis.Test, error) { return s.Analyzer.TestAction(c) },
		}
		if c.Executable != nil {
			t.Executable = c.Executable.Artifact
		}
		out = append(out, t)
	}
	return out
}

// byPlace orders targets as their BUILD files do.
func byPlace(x, y *analysis.Configured) int {
	return cmp.Or(
		cmp.Compare(x.Label.Repo, y.Label.Repo),
		cmp.Compare(x.Label.Package, y.Label.Package),
		x.Target.Position.Compare(y.Target.Position),
		x.Label.Compare(y.Label),
	)
}

// wantedFiles are the default outputs, or those of the wanted output groups.
func (s *Session) wantedFiles(c *analysis.Configured) []*action.Artifact {
	groups := s.groups
	if len(groups) == 0 {
		groups = []string{"default"}
	}
	var out []*action.Artifact
	for _, g := range groups {
		d, ok := c.OutputGroup(strings.TrimPrefix(g, "+"))
		if !ok || d == nil {
			continue
		}
		for _, f := range d.Files() {
			out = append(out, f.Artifact)
		}
	}
	return out
}
