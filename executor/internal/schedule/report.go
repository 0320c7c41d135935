package schedule

import (
	"fmt"

	"gorules/executor/internal/action"
)

// A Report is what became of the goals of one Run.
type Report struct{ g *graph }

// Failures lists what failed by itself, in the order in which it did.
func (r *Report) Failures() []*Failure { return r.g.failures }

// Content returns what a turned out to be. The error is a *Failure, the first
// cause why a could not be made, or a *NotAttempted.
func (r *Report) Content(a *action.Artifact) (action.Content, error) {
	c := r.g.find(a)
	switch {
	case c != nil && c.failure != nil:
		return action.Content{}, c.failure
	case c != nil && c.refusal != nil:
		return action.Content{}, &Failure{Spec: &action.Spec{}, Err: c.refusal}
	case c == nil || !c.ready || c.maker != nil && !c.maker.settled:
		return action.Content{}, r.notAttempted()
	}
	return c.content, nil
}

// Value returns what plan p came to. The error is as Content's.
func (r *Report) Value(p *action.Spec) (any, error) {
	n := r.g.nodes[p]
	switch {
	case n != nil && n.value.failure != nil:
		return nil, n.value.failure
	case n == nil || !n.value.ready:
		return nil, r.notAttempted()
	}
	return n.value.of, nil
}

func (r *Report) notAttempted() *NotAttempted {
	g := r.g
	switch {
	case g.broken != nil:
		return &NotAttempted{g.broken}
	case g.stopped != nil:
		return &NotAttempted{g.stopped}
	}
	return &NotAttempted{}
}

// NotAttempted is why something that was neither made nor failed is not there.
type NotAttempted struct {
	// Cause is what failed first and so stopped the rest, or what ended Run.
	// It is nil for what no goal needed.
	Cause error
}

func (n *NotAttempted) Error() string {
	if n.Cause == nil {
		return "not asked for"
	}
	return "not attempted: " + n.Cause.Error()
}

// Unwrap returns Cause.
func (n *NotAttempted) Unwrap() error { return n.Cause }

// A Failure is the first cause why something could not be made.
type Failure struct {
	Spec    *action.Spec // whose failure it is; never nil
	Bound   *action.Bound
	Outcome *Outcome // of a command that failed
	Err     error    // otherwise: an error of the user's files, or of a tool
}

// of returns whose failure f is; nil for nil.
func (f *Failure) of() *action.Spec {
	if f == nil {
		return nil
	}
	return f.Spec
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return fmt.Sprintf("%s of %s: %s", f.Spec.Mnemonic, f.Spec.Owner, f.Outcome.Failure)
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }
