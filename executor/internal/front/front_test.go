package front_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/command"
	"gorules/executor/internal/exit"
	"gorules/executor/internal/front"
	"gorules/executor/label"
	"gorules/rules"
)

// open starts a session in a workspace that has these files.
func open(t *testing.T, keepGoing bool, files map[string]string) (*front.Session, *[]event.Event) {
	t.Helper()
	root, ws := t.TempDir(), t.TempDir()
	files["WORKSPACE"] = ""
	for name, text := range files {
		p := filepath.Join(ws, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var said []event.Event
	s, err := front.Open(t.Context(), front.Options{
		Workspace: ws, Root: root, Dir: filepath.Join(root, "workspace"), DiskCache: filepath.Join(root, "cache"),
		Rules: rules.FS, Jobs: 2, KeepGoing: keepGoing, Sink: func(e event.Event) { said = append(said, e) },
	}, analysis.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &said
}

func expand(t *testing.T, s *front.Session, verb command.Verb, patterns ...string) ([]label.Label, []error) {
	t.Helper()
	var ps []label.Pattern
	for _, text := range patterns {
		p, err := label.ParsePattern(text, "")
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	labels, _, errs := s.Expand(t.Context(), ps, verb, false)
	return labels, errs
}

func names(labels []label.Label) string {
	var out []string
	for _, l := range labels {
		out = append(out, l.String())
	}
	return strings.Join(out, " ")
}

func TestExpand(t *testing.T) {
	s, _ := open(t, true, map[string]string{
		"BUILD": `
sh_test(name = "t", srcs = ["t.sh"])
filegroup(name = "f")
filegroup(name = "m", tags = ["manual"])
test_suite(name = "s", tests = [":t"])
`,
		"t.sh":         "",
		"broken/BUILD": "filegroup(\n",
	})
	for _, c := range []struct {
		verb     command.Verb
		patterns string
		want     string
		errors   int
	}{
		{command.Build, "//:all", "//:f //:s //:t", 0},
		{command.Build, "//:m", "//:m", 0},
		{command.Test, "//:s", "//:t", 0},
		{command.Build, "//:f //broken:x", "//:f", 1},
		{command.Build, "//:f //nowhere:x //:none", "//:f", 2},
		{command.Build, "//:all -//:f", "//:s //:t", 0},
	} {
		got, errs := expand(t, s, c.verb, strings.Fields(c.patterns)...)
		slices.SortFunc(got, func(a, b label.Label) int { return strings.Compare(a.String(), b.String()) })
		if names(got) != c.want || len(errs) != c.errors {
			t.Errorf("%s %s: %s and %v, want %s and %d errors", c.verb, c.patterns, names(got), errs, c.want, c.errors)
		}
	}
}

func TestAnalyze(t *testing.T) {
	files := func() map[string]string {
		return map[string]string{"BUILD": `
sh_test(name = "z", srcs = ["z.sh"], tags = ["slow"], size = "large")
filegroup(name = "bad", srcs = [":missing"])
genrule(name = "a", outs = ["a.txt"], cmd = "echo > $@")
`, "z.sh": ""}
	}

	s, _ := open(t, true, files())
	labels, errs := expand(t, s, command.Build, "//:a", "//:bad", "//:z")
	if errs != nil {
		t.Fatal(errs)
	}
	targets, errs := s.Analyze(t.Context(), labels)
	if len(targets) != 2 || targets[0].Label.String() != "//:z" || targets[1].Label.String() != "//:a" {
		t.Fatalf("got %v, want z before a, as in the BUILD file", targets)
	}
	if z := targets[0]; !z.Test || !slices.Contains(z.Tags, "slow") || z.Size != "large" || z.TestAction == nil {
		t.Errorf("the test is %+v", z)
	}
	if a := targets[1]; a.Test || len(a.Files) != 1 || filepath.Base(a.Files[0].Path) != "a.txt" || a.Kind != "genrule rule" {
		t.Errorf("the genrule is %+v", a)
	}
	var not *command.NotAnalyzed
	if len(errs) != 1 || !errors.As(errs[0], &not) || not.Target.String() != "//:bad" || diag.Of(errs[0]).Position().Line != 3 {
		t.Errorf("the errors are %v", errs)
	}

	s, _ = open(t, false, files())
	targets, errs = s.Analyze(t.Context(), labels)
	if targets != nil || len(errs) != 1 {
		t.Errorf("without -k: %v and %v, want no target and one error", targets, errs)
	}
}

func TestGone(t *testing.T) {
	s, _ := open(t, false, map[string]string{
		"BUILD":       `filegroup(name = "f")`,
		"other/BUILD": ``,
	})
	if _, errs := expand(t, s, command.Build, "//:f"); errs != nil {
		t.Fatal(errs)
	}
	for name, want := range map[string]bool{"//:f": false, "//:g": true, "//other:g": false, "no label": true} {
		if got := s.Gone(t.Context(), name); got != want {
			t.Errorf("%s gone: %v, want %v", name, got, want)
		}
	}
}

func TestFail(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	at := diag.Position{File: "BUILD", Line: 3}
	one, two := diag.Errorf(at, "one"), errors.New("two")
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		kind exit.Kind
		said int
	}{
		{"known", t.Context(), fmt.Errorf("in here: %w", exit.New(exit.Environment, "disk")), exit.Environment, 0},
		{"of gorules", t.Context(), &bug.Error{}, exit.Internal, 0},
		{"interrupted", cancelled, one, exit.Interrupted, 0},
		{"of the user", t.Context(), one, exit.AnalysisFailed, 1},
		{"several", t.Context(), errors.Join(one, two), exit.AnalysisFailed, 2},
	} {
		var said []event.Diagnostic
		err := front.Fail(c.ctx, func(e event.Event) { said = append(said, e.(event.Diagnostic)) }, c.err)
		var got *exit.Error
		if !errors.As(err, &got) || got.Kind != c.kind || len(said) != c.said || got.Reported != (c.said > 0) {
			t.Errorf("%s: %v with %v", c.name, err, said)
		}
		if len(said) > 0 && said[0].Position != at {
			t.Errorf("%s is said to be at %v", c.name, said[0].Position)
		}
	}
}
