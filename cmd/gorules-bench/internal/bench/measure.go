package bench

import (
	"fmt"
	"slices"
	"strings"
)

// A Measure is one question that a pair of runs answers.
type Measure string

// The measures.
const (
	// Build is `gorules build` of the package with empty caches, against
	// `cargo build` without target/.
	Build Measure = "build"

	// Gate is `gorules test //...` with empty caches, against cargo fmt
	// --check, clippy --all-targets, build, test and tarpaulin without target/.
	Gate Measure = "gate"

	// Edit is the gate again after one line was added to a function body.
	Edit Measure = "edit"

	// Noop is `gorules test //...` with nothing changed, against `cargo build`
	// alone with nothing changed.
	Noop Measure = "noop"
)

// Measures are all measures, in the order in which they run.
var Measures = []Measure{Build, Gate, Edit, Noop}

// Title says what is compared, for a reader of the table.
func (m Measure) Title() string {
	switch m {
	case Build:
		return "cold build of the package / cargo build"
	case Gate:
		return "cold gate / fmt + clippy + build + test + tarpaulin"
	case Edit:
		return "gate after a one-line edit / the same five"
	case Noop:
		return "gate, nothing changed / no-op cargo build alone"
	}
	return string(m)
}

// Aim is the ratio that the project wants to stay below.
func (m Measure) Aim() float64 {
	switch m {
	case Build:
		return 1.1
	case Gate:
		return 0.5
	case Edit:
		return 0.6
	case Noop:
		return 1.5
	}
	return 0
}

// ParseMeasures reads a comma-separated list; "" or "all" means all. The order
// is that of Measures, however they were written.
func ParseMeasures(list string) ([]Measure, error) {
	if list == "" || list == "all" {
		return slices.Clone(Measures), nil
	}
	asked := map[Measure]bool{}
	for _, word := range strings.Split(list, ",") {
		m := Measure(strings.TrimSpace(word))
		if !slices.Contains(Measures, m) {
			return nil, fmt.Errorf("measure %q: expected some of build, gate, edit, noop", word)
		}
		asked[m] = true
	}
	var out []Measure
	for _, m := range Measures {
		if asked[m] {
			out = append(out, m)
		}
	}
	return out, nil
}
