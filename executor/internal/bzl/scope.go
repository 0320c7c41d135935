package bzl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// Scope says how the labels written in one file are read.
type Scope struct {
	Package label.Package

	// Repo maps the repository name as written after one @ to the one it means;
	// nil leaves names as they are.
	Repo func(apparent string) string
}

// Label reads a label written in the scope's file. After @@ a repository name
// is taken as it stands.
func (s Scope) Label(text string) (label.Label, error) {
	l, err := label.Parse(text, s.Package)
	if err != nil {
		return label.Label{}, err
	}
	if s.Repo != nil && strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "@@") && l.Repo != "" {
		l.Repo = s.Repo(l.Repo)
	}
	return l, nil
}

// ToLabel takes a Label value or its text.
func (s Scope) ToLabel(v starlark.Value) (label.Label, error) {
	switch v := v.(type) {
	case Label:
		return v.Label, nil
	case starlark.String:
		return s.Label(string(v))
	}
	return label.Label{}, fmt.Errorf("expected a label, got %s", Describe(v))
}
