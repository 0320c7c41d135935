// Package diag is what an error in the user's files is made of: where, what,
// and what to do about it. Loading, analysis, repositories, queries and the
// command line use its one Error, which nobody changes after it was made: it
// may be kept for a key and handed to everyone who asks, and whoever knows
// better where it belongs makes a copy.
package diag

import (
	"errors"
	"fmt"
)

// Error is an error with a place and advice. It is immutable.
type Error struct {
	position   Position
	text, hint string
	cause      error // may be nil
}

// Errorf returns an error at a place, which may be the zero Position as long as
// that is unknown. The text is made as fmt.Errorf does; a %w is the cause.
func Errorf(at Position, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{position: at, text: err.Error(), cause: errors.Unwrap(err)}
}

// Wrap returns an error that says text of a cause.
func Wrap(at Position, cause error, text string) *Error {
	return &Error{position: at, text: text, cause: cause}
}

// At returns a copy at another place.
func (e *Error) At(p Position) *Error {
	c := *e
	c.position = p
	return &c
}

// WithHint returns a copy that says what to do.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.hint = hint
	return &c
}

// WithText returns a copy with another text.
func (e *Error) WithText(text string) *Error {
	c := *e
	c.text = text
	return &c
}

// Position returns where the error is.
func (e *Error) Position() Position { return e.position }

// Text returns what is wrong. The first line is the message; further lines are
// detail, such as the Starlark calls that led there.
func (e *Error) Text() string { return e.text }

// Hint returns what to do; it may be empty.
func (e *Error) Hint() string { return e.hint }

// Error returns "position: text". The hint is no part of it, so that it is not
// lost in the middle of a text that wraps this one.
func (e *Error) Error() string {
	if e.position.IsZero() {
		return e.text
	}
	return e.position.String() + ": " + e.text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Placed returns the outermost Error of err that has a place, or nil.
func Placed(err error) *Error {
	var e *Error
	for errors.As(err, &e) {
		if !e.position.IsZero() {
			return e
		}
		err = e.cause
	}
	return nil
}

// Hint returns the advice of err: that of the outermost Error which has one.
func Hint(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.hint != "" {
			return e.hint
		}
		err = e.cause
	}
	return ""
}

// Of returns err as it is shown: its outermost Error that has a place, or else
// all that err says, with the advice in it.
func Of(err error) *Error {
	if e := Placed(err); e != nil {
		return e.WithHint(Hint(err))
	}
	return Wrap(Position{}, err, err.Error()).WithHint(Hint(err))
}

// Place returns err at the place of what it is about, where err is an Error
// and neither it nor its cause has a place. All other errors come back as they are.
func Place(err error, at Position) error {
	e, ok := err.(*Error)
	if !ok || Placed(e) != nil {
		return err
	}
	return e.At(at)
}
