package bench

import (
	"slices"
	"time"
)

// A Pair is one run of each side, back to back.
type Pair struct {
	Measure Measure `json:"measure"`
	Project string  `json:"project"`
	Round   int     `json:"round"`
	First   string  `json:"first"` // which side ran first: "gorules" or "cargo"

	Gorules []Sample `json:"gorules"`
	Cargo   []Sample `json:"cargo"`

	// Charge is added to the time of gorules: see Bench.charge.
	Charge time.Duration `json:"charge_ns,omitempty"`

	// Processes is the line in which gorules counted its actions.
	Processes string `json:"processes,omitempty"`
}

// Wall returns the time of each side in seconds, charges included.
func (p Pair) Wall() (gorules, cargo float64) {
	return sum(p.Gorules) + p.Charge.Seconds(), sum(p.Cargo)
}

// Ratio is the time of gorules divided by that of cargo; below 1 is faster.
func (p Pair) Ratio() float64 {
	g, c := p.Wall()
	if c == 0 {
		return 0
	}
	return g / c
}

// CPU returns the processor time of each side in seconds, without charges.
func (p Pair) CPU() (gorules, cargo float64) {
	for _, s := range p.Gorules {
		gorules += s.CPU.Seconds()
	}
	for _, s := range p.Cargo {
		cargo += s.CPU.Seconds()
	}
	return gorules, cargo
}

// Foreign is the largest share of foreign CPU in any run of the pair.
func (p Pair) Foreign() float64 {
	most := -1.0
	for _, s := range slices.Concat(p.Gorules, p.Cargo) {
		most = max(most, s.Foreign)
	}
	return most
}

func sum(samples []Sample) float64 {
	var d time.Duration
	for _, s := range samples {
		d += s.Wall
	}
	return d.Seconds()
}

// median returns the middle of v, or the mean of the two in the middle; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// A Row sums up the pairs of one measure on one project.
type Row struct {
	Measure Measure `json:"measure"`
	Project string  `json:"project"`
	Units   int     `json:"units"` // of cargo's build graph
	Pairs   int     `json:"pairs"`

	Gorules float64 `json:"gorules_s"` // median seconds, for scale only
	Cargo   float64 `json:"cargo_s"`
	Ratio   float64 `json:"ratio"` // median of the pairs' ratios, not the ratio of the medians
	Min     float64 `json:"ratio_min"`
	Max     float64 `json:"ratio_max"`
	CPU     float64 `json:"cpu_ratio"`     // median; hardly moves when the machine is busy, and cannot see a wait
	Busy    int     `json:"busy_pairs"`    // pairs in which the machine was busy with something else
	Foreign float64 `json:"foreign_cores"` // the largest foreign share; negative where unknown
	Charge  float64 `json:"charge_s"`      // median
}

// Summarise makes one Row of each measure and project, in the order in which
// they first appear. A pair counts as busy from busyFrom foreign cores on.
func Summarise(pairs []Pair, units map[string]int, busyFrom float64) []Row {
	type key struct {
		m Measure
		p string
	}
	var order []key
	groups := map[key][]Pair{}
	for _, p := range pairs {
		k := key{p.Measure, p.Project}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], p)
	}
	slices.SortStableFunc(order, func(a, b key) int {
		return slices.Index(Measures, a.m) - slices.Index(Measures, b.m)
	})
	var rows []Row
	for _, k := range order {
		r := Row{Measure: k.m, Project: k.p, Units: units[k.p], Pairs: len(groups[k]), Foreign: -1}
		var gs, cs, ratios, cpus, charges []float64
		for _, p := range groups[k] {
			g, c := p.Wall()
			gs, cs = append(gs, g), append(cs, c)
			ratios = append(ratios, p.Ratio())
			if g, c := p.CPU(); c > 0 {
				cpus = append(cpus, g/c)
			}
			charges = append(charges, p.Charge.Seconds())
			f := p.Foreign()
			if f >= busyFrom {
				r.Busy++
			}
			r.Foreign = max(r.Foreign, f)
		}
		r.Gorules, r.Cargo, r.Ratio, r.CPU, r.Charge = median(gs), median(cs), median(ratios), median(cpus), median(charges)
		r.Min, r.Max = slices.Min(ratios), slices.Max(ratios)
		rows = append(rows, r)
	}
	return rows
}
