package loading_test

import (
	"strings"
	"testing"

	"gorules/executor/diag"
	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
)

// What the parser reads in a loop is bounded, since what comes after it is recursive.
func TestDepth(t *testing.T) {
	for name, tt := range map[string]struct{ head, again, tail string }{
		"operators":     {"x = 1", "+1", "\n"},
		"or":            {"x = 1", " or 1", "\n"},
		"attributes":    {"x = a", ".a", "\n"},
		"calls":         {"x = f", "()", "\n"},
		"indices":       {"x = a", "[0]", "\n"},
		"slices":        {"x = a", "[:]", "\n"},
		"elif":          {"if 1:\n  pass\n", "elif 1:\n  pass\n", ""},
		"comprehension": {"x = [1 for a in []", " for a in []", "]\n"},
		"if in it":      {"x = [1 for a in []", " if 1", "]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			text := func(n int) []byte { return []byte(tt.head + strings.Repeat(tt.again, n) + tt.tail) }
			if _, err := loading.Parse(text(9_900), "d.bzl", bzl.BzlFile); err != nil {
				t.Errorf("9,900 deep: %v", err)
			}
			_, err := loading.Parse(text(10_100), "d.bzl", bzl.BzlFile)
			if err == nil || !strings.Contains(err.Error(), "inside each other") || diag.Of(err).Position().Line == 0 {
				t.Errorf("10,100 deep: %v, want an error with a place", err)
			}
		})
	}
}
