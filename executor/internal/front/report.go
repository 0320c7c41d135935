package front

import (
	"context"
	"errors"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/internal/bug"
	"gorules/executor/internal/exit"
)

// Fail reports err as a diagnostic and returns it with its kind.
func (s *Session) Fail(ctx context.Context, err error) error { return Fail(ctx, s.opt.Sink, err) }

// Fail reports err as a diagnostic and returns it with its kind.
func Fail(ctx context.Context, sink event.Sink, err error) error {
	var known *exit.Error
	var fault *bug.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &fault):
		return &exit.Error{Kind: exit.Internal, Err: fault}
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		return exit.New(exit.Interrupted, "interrupted")
	}
	Report(sink, err)
	return &exit.Error{Kind: exit.AnalysisFailed, Err: err, Reported: true}
}

// Report shows an error of the user's files; of joined errors, each.
func Report(sink event.Sink, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			Report(sink, err)
		}
		return
	}
	d := diag.Of(err)
	sink(event.Diagnostic{Severity: event.Error, Position: d.Position(), Text: d.Text(), Hint: d.Hint()})
}
