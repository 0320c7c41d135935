package analysis

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// A Verdict is what a test target came to: the TestVerdictInfo that the plan of
// its TestResultsInfo returned.
type Verdict struct {
	Status  event.Status
	Summary string
	Text    string // the tools' own words
	Notes   []string
	Log     *action.Artifact // nil if there is none
	XML     *action.Artifact
	Outputs []*action.Artifact

	// Tests is how many tests --test_filter left, -1 for a check that has none.
	Tests int
}

// Files are all that people may read.
func (v *Verdict) Files() []*action.Artifact {
	var out []*action.Artifact
	for _, a := range []*action.Artifact{v.Log, v.XML} {
		if a != nil {
			out = append(out, a)
		}
	}
	return append(out, v.Outputs...)
}

// ReadVerdict reads the value of a plan that was a goal, so that it is a verdict
// without a mistake; see planCall.
func ReadVerdict(value any) (*Verdict, error) {
	v, _ := value.(starlark.Value)
	s, p := bzl.Instance(v)
	if p != bzl.TestVerdictInfo {
		return nil, fmt.Errorf("a %T is no verdict", value)
	}
	return readVerdict(s)
}

func isVerdict(v starlark.Value) bool {
	_, p := bzl.Instance(v)
	return p == bzl.TestVerdictInfo
}

func readVerdict(s *starlarkstruct.Struct) (*Verdict, error) {
	v := &Verdict{Tests: -1}
	wrong := func(field, want string, got starlark.Value) error {
		return fmt.Errorf("TestVerdictInfo: %s: expected %s, got %s", field, want, got.Type())
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{"status", (*string)(&v.Status)}, {"summary", &v.Summary}, {"text", &v.Text}} {
		x := bzl.Field(s, f.name)
		if !isSet(x) {
			continue
		}
		text, ok := starlark.AsString(x)
		if !ok {
			return nil, wrong(f.name, "a string", x)
		}
		*f.to = text
	}
	switch v.Status {
	case event.Passed, event.Failed, event.TimedOut, event.Flaky, event.NotJudged:
	default:
		return nil, fmt.Errorf("TestVerdictInfo: status is %q; expected PASSED, FAILED, TIMEOUT, FLAKY or NOT JUDGED", v.Status)
	}
	notes, err := elements("TestVerdictInfo: notes", bzl.Field(s, "notes"))
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		text, ok := starlark.AsString(n)
		if !ok {
			return nil, wrong("notes", "strings", n)
		}
		v.Notes = append(v.Notes, text)
	}
	for name, to := range map[string]**action.Artifact{"log": &v.Log, "xml": &v.XML} {
		switch x := bzl.Field(s, name).(type) {
		case nil, starlark.NoneType:
		case *bzl.File:
			*to = x.Artifact
		default:
			return nil, wrong(name, "a File", x)
		}
	}
	files, err := fileList("TestVerdictInfo: outputs", bzl.Field(s, "outputs"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		v.Outputs = append(v.Outputs, f.Artifact)
	}
	if x := bzl.Field(s, "tests"); isSet(x) {
		if err := starlark.AsInt(x, &v.Tests); err != nil {
			return nil, wrong("tests", "a number", x)
		}
	}
	return v, nil
}

// SummaryOf returns the field summary of a plan's value, or "".
func SummaryOf(value any) string {
	attrs, ok := value.(starlark.HasAttrs)
	if !ok {
		return ""
	}
	v, err := attrs.Attr("summary")
	if err != nil || v == nil {
		return ""
	}
	s, _ := starlark.AsString(v)
	return s
}
