package flags

import (
	"strings"
)

// Scan stores only flags that count on the command line alone and passes over
// everything else, known or not. It serves what must be known before the other
// flags can be read: which rc files there are.
func (t *Table) Scan(words []Arg) error {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w.Text == "--" {
			return nil
		}
		name, _, hasValue := strings.Cut(w.Text, "=")
		f, _ := t.find(name)
		if f == nil {
			continue
		}
		if !f.Line {
			if !hasValue && !f.Bool() {
				i++
			}
			continue
		}
		var next *string
		if i+1 < len(words) {
			next = &words[i+1].Text
		}
		used, err := t.one("", Arg{Text: w.Text, Origin: w.Origin, Lenient: true}, next)
		if err != nil {
			return err
		}
		if used {
			i++
		}
	}
	return nil
}

// Verb returns the index of the first word that is neither a flag nor the
// value of one, or -1. Flags may stand before it, as Bazel's startup options do.
func (t *Table) Verb(words []string) int {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--" {
			return -1
		}
		if !isFlag(w) {
			return i
		}
		if f, _ := t.find(w); f != nil && !f.Bool() {
			i++
		}
	}
	return -1
}
