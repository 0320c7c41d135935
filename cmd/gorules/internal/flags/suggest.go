package flags

import (
	"strings"

	"github.com/agext/levenshtein"
)

func (t *Table) unknown(verb string, w Arg, name string) error {
	var names []string
	for i := range t.Flags {
		f := &t.Flags[i]
		if !f.For(verb) {
			continue
		}
		names = append(names, "--"+f.Name)
		if f.Bool() {
			names = append(names, "--no"+f.Name)
		}
	}
	if near := Nearest(name, names); near != "" {
		return failf(w, "unknown flag %s; did you mean %s?", name, near)
	}
	return failf(w, "unknown flag %s; `gorules help %s` lists the flags", name, verb)
}

// Nearest returns the candidate that a user who typed word most likely meant,
// or "" where none is near.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+len(strings.TrimLeft(word, "-"))/3
	for _, c := range candidates {
		if strings.ReplaceAll(c, "-", "_") == strings.ReplaceAll(word, "-", "_") {
			return c // --keep-going
		}
		if d := levenshtein.Distance(word, c, nil); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}
