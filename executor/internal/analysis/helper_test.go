package analysis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"gorules/executor/diag"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/internal/memo"
	"gorules/executor/label"
)

// repos is a main workspace, other folders by name, and @gorules from the checkout.
type repos map[string]string

func (r repos) View(_ context.Context, repo string) (*loading.View, error) {
	if repo == "gorules" {
		return &loading.View{Repo: repo, Files: os.DirFS("../../../rules")}, nil
	}
	root, ok := r[repo]
	if !ok {
		return nil, fmt.Errorf("no repository @%s", repo)
	}
	return &loading.View{Repo: repo, Root: root, Files: os.DirFS(root)}, nil
}

func (r repos) Mapping(context.Context, string) (func(string) string, error) {
	return func(apparent string) string { return apparent }, nil
}

// write unpacks an archive into a new folder.
func write(t testing.TB, archive string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		p := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// world is an analyzer over archives; an archive's key is its repository.
type world struct {
	*analysis.Analyzer
	t       testing.TB
	root    string
	printed []string
}

var hostTools = &action.Artifact{Path: "/", Dir: true, Source: &action.Source{Host: &action.HostTree{Paths: []string{"/bin/bash"}}}}

func newWorld(t testing.TB, archive string, edit ...func(*analysis.Options)) *world {
	t.Helper()
	return newWorldWith(t, archive, repos{}, edit...)
}

// newWorldWith is newWorld with other repositories.
func newWorldWith(t testing.TB, archive string, r repos, edit ...func(*analysis.Options)) *world {
	t.Helper()
	w := &world{t: t, root: write(t, archive)}
	r[""], r["platforms"] = w.root, write(t, platforms)
	group := &memo.Group{}
	o := analysis.Options{
		Loader: loading.New(loading.Options{Repos: r, Builtins: label.Package{Repo: "gorules", Path: "builtins"}, Group: group}),
		Repos:  r, Group: group,
		HostTools: func() *action.Artifact { return hostTools },
		Print:     func(at diag.Position, text string) { w.printed = append(w.printed, at.String()+": "+text) },
	}
	for _, e := range edit {
		e(&o)
	}
	w.Analyzer = analysis.New(o)
	return w
}

const platforms = `
-- os/BUILD --
package(default_visibility = ["//visibility:public"])
constraint_setting(name = "os")
constraint_value(name = "linux", constraint_setting = ":os")
constraint_value(name = "windows", constraint_setting = ":os")
-- cpu/BUILD --
package(default_visibility = ["//visibility:public"])
constraint_setting(name = "cpu")
constraint_value(name = "x86_64", constraint_setting = ":cpu")
constraint_value(name = "aarch64", constraint_setting = ":cpu")
`

func parse(t testing.TB, text string) label.Label {
	t.Helper()
	l, err := label.Parse(text, label.Package{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) get(text string) *analysis.Configured {
	w.t.Helper()
	c, err := w.Configure(w.t.Context(), parse(w.t, text))
	if err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return c
}

// fails returns the text of the error that analysing a target gives.
func (w *world) fails(text string) string {
	w.t.Helper()
	_, err := w.Configure(w.t.Context(), parse(w.t, text))
	if err == nil {
		w.t.Fatalf("%s: no error", text)
	}
	return strings.ReplaceAll(told(err), w.root+"/", "")
}

func (w *world) failsWith(target string, parts ...string) {
	w.t.Helper()
	text := w.fails(target)
	for _, p := range parts {
		if !strings.Contains(text, p) {
			w.t.Errorf("error of %s:\n%s\ndoes not contain %q", target, text, p)
		}
	}
}

func paths(d *bzl.Depset) []string {
	out := []string{}
	for _, f := range d.Files() {
		out = append(out, f.Path)
	}
	return out
}

// producer returns the action that makes the one default output of a target.
func (w *world) producer(text string) *action.Spec {
	w.t.Helper()
	files := w.get(text).Files.Files()
	if len(files) == 0 || files[0].Artifact.Producer == nil {
		w.t.Fatalf("%s has no output made by an action", text)
	}
	return files[0].Artifact.Producer
}

// dirs answers Expand from a table.
type dirs map[*action.Artifact][]string

func (d dirs) Expand(a *action.Artifact) ([]string, error) { return d[a], nil }

func argv(t testing.TB, s *action.Spec, ex action.Expander) []string {
	t.Helper()
	var out []string
	var err error
	for _, a := range s.Argv {
		if out, err = a.Append(out, ex); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func inputs(s *action.Spec) []string {
	out := []string{}
	s.Inputs.Each(func(in action.Input) bool {
		out = append(out, in.Path)
		return true
	})
	return out
}

func content(t testing.TB, s *action.Spec) string {
	t.Helper()
	b, err := s.Write.Content(dirs{})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func settings(t testing.TB, pairs ...string) map[label.Label]string {
	m := map[label.Label]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[parse(t, pairs[i])] = pairs[i+1]
	}
	return m
}

// told is an error with its hint on a line of its own.
func told(err error) string {
	if hint := diag.Hint(err); hint != "" {
		return err.Error() + "\n    " + hint
	}
	return fmt.Sprint(err)
}
