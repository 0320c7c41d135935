// Package bug is for states that cannot be: a panic anywhere in the engine
// becomes an error, so that the command ends with a report and loses nothing.
// It must never be used for what input can cause.
package bug

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// An Error is a fault in gorules itself.
type Error struct {
	Value any    // what was panicked with
	Stack string // of the goroutine that did
}

// Error says what happened and where: the stack's first frames of this module.
func (e *Error) Error() string {
	text := fmt.Sprintf("%v", e.Value)
	for _, f := range e.frames(5) {
		text += "\n    at " + f
	}
	return text
}

// frames lists the first n places of the module in the stack below the panic.
func (e *Error) frames(n int) []string {
	_, below, ok := strings.Cut(e.Stack, "\npanic(")
	if !ok {
		below = e.Stack
	}
	var out []string
	lines := strings.Split(below, "\n")
	for i := 0; i+1 < len(lines) && len(out) < n; i++ {
		if !strings.HasPrefix(lines[i], "gorules/") {
			continue
		}
		place := strings.TrimSpace(lines[i+1])
		place, _, _ = strings.Cut(place, " +0x")
		if j := strings.LastIndexByte(place, '/'); j >= 0 {
			place = place[j+1:]
		}
		name := lines[i]
		if j := strings.LastIndexByte(name, '('); j > 0 {
			name = name[:j]
		}
		out = append(out, name+" ("+place+")")
	}
	return out
}

// Recovered turns what recover returned into an error; nil for nil. It must be
// called by the deferred function itself.
func Recovered(v any) error {
	if v == nil {
		return nil
	}
	if e, ok := v.(*Error); ok {
		return e
	}
	return &Error{v, string(debug.Stack())}
}

// Catch is to be deferred: it makes a panic of the function the error *err.
func Catch(err *error) {
	if b := Recovered(recover()); b != nil {
		*err = b
	}
}
