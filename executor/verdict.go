package executor

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/event"
	"gorules/executor/internal/action"
	"gorules/executor/internal/analysis"
	"gorules/executor/internal/bzl"
)

// A verdict is what a test target came to.
type verdict struct {
	status  event.Status
	summary string
	text    string
	notes   []string
	log     *action.Artifact
	xml     *action.Artifact
	junit   []byte // where the test wrote no xml itself
	outputs []*bzl.File
	wall    time.Duration
	cached  bool
}

func (v *verdict) files() []*action.Artifact {
	var out []*action.Artifact
	for _, a := range []*action.Artifact{v.log, v.xml} {
		if a != nil {
			out = append(out, a)
		}
	}
	for _, f := range v.outputs {
		out = append(out, f.Artifact)
	}
	return out
}

func (v *verdict) fill(d *event.TargetDone) {
	d.Status, d.Summary, d.Text, d.Notes = v.status, v.summary, v.text, v.notes
	d.Wall, d.Cached = v.wall, v.cached
}

// judge returns the verdict of a test target, and nil for others.
func (b *building) judge(ctx context.Context, t *target) (*verdict, error) {
	var v *verdict
	var err error
	switch {
	case t.verdict != nil:
		value, ok := b.back.graph.Value(t.verdict)
		if !ok {
			return &verdict{status: event.NotBuilt}, nil
		}
		v, err = readVerdict(value)
		if err != nil {
			return nil, &Error{Kind: AnalysisFailed, Err: fmt.Errorf("verdict of %s: %w", t.Label, err)}
		}
	case t.single != nil:
		v, err = b.judgeSingle(ctx, t.single)
	default:
		return nil, nil
	}
	if v != nil {
		v.wall, v.cached = b.back.watch.testTime(t.Label)
	}
	return v, err
}

// judgeSingle is the verdict of one test program by its exit code.
func (b *building) judgeSingle(ctx context.Context, t *analysis.Test) (*verdict, error) {
	read := func(a *action.Artifact) ([]byte, error) {
		c, err := b.back.graph.Content(a)
		if err != nil {
			return nil, err
		}
		return b.back.peer.Text(ctx, c)
	}
	code, err := read(t.ExitCode)
	if err != nil {
		return &verdict{status: event.NotBuilt}, nil
	}
	n, err := strconv.Atoi(string(code))
	if err != nil {
		return nil, fmt.Errorf("exit code %q: %w", code, err)
	}
	log, err := read(t.Log)
	if err != nil {
		return nil, err
	}
	v := &verdict{status: event.Passed, log: t.Log}
	switch {
	case n == exitTimeout:
		v.status, v.summary = event.TimedOut, "no end after "+t.Timeout.String()
	case n != 0:
		v.status, v.summary = event.Failed, "exit code "+strconv.Itoa(n)
	}
	if n != 0 {
		v.text = string(log)
	}
	if c, err := b.back.graph.Content(t.XML); err == nil && c.File.Size > 0 {
		v.xml = t.XML
	} else if v.junit, err = junit(t.Spec.Owner.String(), v, log); err != nil {
		return nil, err
	}
	return v, nil
}

// junit is the report of a test that wrote none: one case, with its log.
func junit(name string, v *verdict, log []byte) ([]byte, error) {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Out     string   `xml:"system-out"`
	}
	type suite struct {
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Case     testcase `xml:"testcase"`
	}
	doc := struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   suite    `xml:"testsuite"`
	}{Suite: suite{Name: name, Tests: 1, Case: testcase{Name: name, Out: string(log)}}}
	if v.status != event.Passed {
		doc.Suite.Failures, doc.Suite.Case.Failure = 1, &failure{v.summary}
	}
	b, err := xml.MarshalIndent(doc, "", "  ")
	return append([]byte(xml.Header), b...), err
}

// summaryOf returns the field summary of a plan's value, or "".
func summaryOf(value any) string {
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

// readVerdict reads the struct that the plan of TestResultsInfo returned.
func readVerdict(value any) (*verdict, error) {
	attrs, ok := value.(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("want a struct(status, summary, ...), got %T", value)
	}
	v := &verdict{}
	get := func(name string) starlark.Value {
		x, aerr := attrs.Attr(name)
		if aerr != nil || x == nil {
			return starlark.None
		}
		return x
	}
	status, _ := starlark.AsString(get("status"))
	switch event.Status(status) {
	case event.Passed, event.Failed, event.TimedOut, event.Flaky, event.NotJudged:
		v.status = event.Status(status)
	default:
		return nil, fmt.Errorf("status is %q; want PASSED, FAILED, TIMEOUT, FLAKY or NOT JUDGED", status)
	}
	v.summary, _ = starlark.AsString(get("summary"))
	v.text, _ = starlark.AsString(get("text"))
	if it, ok := get("notes").(starlark.Iterable); ok {
		for x := range starlark.Elements(it) {
			note, _ := starlark.AsString(x)
			v.notes = append(v.notes, note)
		}
	}
	if f, ok := get("log").(*bzl.File); ok {
		v.log = f.Artifact
	}
	if f, ok := get("xml").(*bzl.File); ok {
		v.xml = f.Artifact
	}
	if it, ok := get("outputs").(starlark.Iterable); ok {
		for x := range starlark.Elements(it) {
			f, ok := x.(*bzl.File)
			if !ok {
				return nil, fmt.Errorf("outputs: want Files, got %s", x.Type())
			}
			v.outputs = append(v.outputs, f)
		}
	}
	return v, nil
}
