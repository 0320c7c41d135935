package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// header names the columns of both tables.
var header = []string{"project", "units", "gorules s", "cargo s", "ratio", "min - max", "aim", "CPU ratio", "pairs", "foreign CPUs"}

// cells are the columns of a Row.
func (r Row) cells() []string {
	foreign := cores(r.Foreign)
	if r.Busy > 0 {
		foreign += fmt.Sprintf(" (%d busy)", r.Busy)
	}
	return []string{
		r.Project, fmt.Sprint(r.Units), seconds(r.Gorules), seconds(r.Cargo), fmt.Sprintf("%.2f", r.Ratio),
		fmt.Sprintf("%.2f - %.2f", r.Min, r.Max), fmt.Sprintf("%.2f", r.Measure.Aim()), fmt.Sprintf("%.2f", r.CPU), fmt.Sprint(r.Pairs), foreign,
	}
}

// seconds shows short times with the digits that they have.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3f", s)
	}
	return fmt.Sprintf("%.1f", s)
}

// cores shows a number of foreign CPUs, which may be unknown.
func cores(f float64) string {
	if f < 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f", f)
}

// notes are the sentences below both tables.
func (r *Report) notes() []string {
	out := []string{
		fmt.Sprintf("%d CPUs, %s, %s, %s, %s.", r.Machine.CPUs, r.Machine.OS, r.Machine.Rustc, r.Machine.Gorules, orNone(r.Machine.Cover)),
		"ratio = gorules / cargo, the median over pairs run back to back; seconds are medians, for scale only.",
		"CPU ratio = the same of processor time, which hardly moves when the machine is busy, but does not see a CPU that waits.",
	}
	busy := 0
	for _, row := range r.Rows {
		busy += row.Busy
		if row.Charge > 0 {
			out = append(out, fmt.Sprintf("%s, %s: gorules is charged %.1f s for units that its coverage tool had compiled already.", row.Project, row.Measure, row.Charge))
		}
	}
	if busy > 0 {
		out = append(out, fmt.Sprintf("WARNING: in %d pairs other processes kept %.1f CPUs or more busy; those ratios are uncertain in either direction.", busy, r.BusyFrom))
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "no tarpaulin"
	}
	return s
}

// byMeasure calls f with the rows of each measure.
func (r *Report) byMeasure(f func(Measure, []Row)) {
	for _, m := range Measures {
		var rows []Row
		for _, row := range r.Rows {
			if row.Measure == m {
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			f(m, rows)
		}
	}
}

// WriteText writes the report for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	r.byMeasure(func(m Measure, rows []Row) {
		fmt.Fprintf(tw, "%s: %s\n  %s\n", m, m.Title(), strings.Join(header, "\t"))
		for _, row := range rows {
			fmt.Fprintf(tw, "  %s\n", strings.Join(row.cells(), "\t"))
		}
		fmt.Fprintln(tw)
	})
	if len(r.Apart) > 0 {
		fmt.Fprintf(tw, "in no ratio\n")
		for _, a := range r.Apart {
			fmt.Fprintf(tw, "  %s\t%s s\t%s\n", a.Project, seconds(median(a.Seconds)), a.What)
		}
		fmt.Fprintln(tw)
	}
	for _, n := range r.notes() {
		fmt.Fprintln(tw, n)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(tw, "FAILED %s\n", f)
	}
	return tw.Flush()
}

// WriteMarkdown writes the same as WriteText as Markdown.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	r.byMeasure(func(m Measure, rows []Row) {
		fmt.Fprintf(&b, "### %s: %s\n\n", m, m.Title())
		table(&b, header)
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row.cells(), " | "))
		}
		b.WriteString("\n")
	})
	if len(r.Apart) > 0 {
		b.WriteString("### in no ratio\n\n")
		table(&b, []string{"project", "median s", "what"})
		for _, a := range r.Apart {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", a.Project, seconds(median(a.Seconds)), a.What)
		}
		b.WriteString("\n")
	}
	for _, n := range r.notes() {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	for _, f := range r.Failures {
		first, _, _ := strings.Cut(f, "\n")
		fmt.Fprintf(&b, "- FAILED %s\n", first)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table writes the head of a Markdown table.
func table(b *strings.Builder, columns []string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}
