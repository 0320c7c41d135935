package diag

import (
	"cmp"
	"fmt"
)

// Position is a place in a file that a user wrote. It is comparable. The zero
// Position is no place; one without a line means the file as a whole.
type Position struct {
	File   string // as it is shown: relative to the workspace where it is inside
	Line   int    // from 1; 0 if unknown
	Column int    // from 1; 0 if unknown
}

// String returns "file:line:column", as far as that is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// IsZero reports whether p is no place.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions by file, line and column.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}
