package diag_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"gorules/executor/diag"
)

func TestPosition(t *testing.T) {
	for _, tt := range []struct {
		position diag.Position
		want     string
	}{
		{diag.Position{}, ""},
		{diag.Position{File: "a/BUILD"}, "a/BUILD"},
		{diag.Position{File: ".gorulesrc", Line: 3}, ".gorulesrc:3"},
		{diag.Position{File: "C:/x", Line: 3, Column: 14}, "C:/x:3:14"},
	} {
		if got := tt.position.String(); got != tt.want {
			t.Errorf("%#v: %q, want %q", tt.position, got, tt.want)
		}
		if tt.position.IsZero() != (tt.want == "") {
			t.Errorf("IsZero of %#v", tt.position)
		}
	}
	sorted := []diag.Position{{}, {File: "a", Line: 2, Column: 9}, {File: "a", Line: 10, Column: 1}, {File: "a", Line: 10, Column: 2}, {File: "b", Line: 1}}
	mixed := []diag.Position{sorted[4], sorted[2], sorted[0], sorted[3], sorted[1]}
	slices.SortFunc(mixed, diag.Position.Compare)
	if !slices.Equal(mixed, sorted) {
		t.Errorf("sorted: %v", mixed)
	}
}

// Whoever places an error, or adds advice, leaves the one that others hold alone.
func TestErrorIsImmutable(t *testing.T) {
	kept := diag.Errorf(diag.Position{}, "no such package: %w", fs.ErrNotExist)
	before := *kept
	here, there := diag.Position{File: "a/BUILD", Line: 1, Column: 2}, diag.Position{File: "b/BUILD", Line: 3, Column: 4}
	for _, at := range []diag.Position{here, there} {
		if got, want := diag.Place(kept, at).Error(), at.String()+": no such package: file does not exist"; got != want {
			t.Errorf("placed: %q, want %q", got, want)
		}
	}
	placed := kept.At(here).WithHint("make it").WithText("gone")
	if placed.Error() != "a/BUILD:1:2: gone" || placed.Hint() != "make it" || !errors.Is(placed, fs.ErrNotExist) {
		t.Errorf("copy: %v, hint %q", placed, placed.Hint())
	}
	if *kept != before {
		t.Errorf("the error became %v", kept)
	}
}

func TestPlaceOnce(t *testing.T) {
	here, there := diag.Position{File: "a", Line: 1, Column: 2}, diag.Position{File: "b", Line: 3, Column: 4}
	plain := errors.New("plain")
	inner := diag.Errorf(here, "x")
	for _, err := range []error{plain, inner, diag.Errorf(diag.Position{}, "around: %w", inner), fmt.Errorf("around: %w", inner)} {
		if got := diag.Place(err, there); got != err {
			t.Errorf("%v was placed again: %v", err, got)
		}
	}
	if diag.Placed(plain) != nil || diag.Placed(diag.Errorf(diag.Position{}, "around: %w", inner)) != inner {
		t.Error("Placed does not find the error with a place")
	}
}

// What wraps an error without a place is shown, and its advice is not lost.
func TestOf(t *testing.T) {
	here := diag.Position{File: "a", Line: 1, Column: 2}
	advised := diag.Errorf(diag.Position{}, "x").WithHint("do y")
	for _, tt := range []struct {
		err        error
		want, hint string
	}{
		{errors.New("plain"), "plain", ""},
		{fmt.Errorf("--flag: %w", advised), "--flag: x", "do y"},
		{fmt.Errorf("outside: %w", diag.Errorf(here, "in it: %w", advised)), "a:1:2: in it: x", "do y"},
	} {
		if e := diag.Of(tt.err); e.Error() != tt.want || e.Hint() != tt.hint {
			t.Errorf("Of(%v) = %v, hint %q, want %s, hint %q", tt.err, e, e.Hint(), tt.want, tt.hint)
		}
	}
}
