package ui

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"gorules/executor/event"
	"gorules/executor/regular"
)

// maxTestLog bounds what --test_output=all reads of one log.
const maxTestLog = 16 << 20

// bad reports whether a status fails the command.
func bad(s event.Status) bool {
	switch s {
	case event.Failed, event.TimedOut, event.NotBuilt, event.NotJudged:
		return true
	}
	return false
}

// target shows a test's text when the mode of --test_output wants it.
func (c *Console) target(t event.TargetDone) {
	if bad(t.Status) || t.Status == event.NotAnalyzed {
	}
	if c.cfg.JSON {
		e := c.log.Info()
		if bad(t.Status) || t.Status == event.NotAnalyzed {
			e = c.log.Error()
		}
		e.Str("event", "target").Stringer("target", t.Target).Str("kind", t.Kind).Str("status", string(t.Status)).
			Bool("cached", t.Cached).Float64("seconds", t.Wall.Seconds()).Strs("outputs", t.Outputs).
			Strs("notes", t.Notes).Str("log", t.Log).Str("xml", t.XML).Str("text", sanitize(t.Text, false)).Msg(t.Summary)
		return
	}
	if !t.Test {
		return
	}
	text := t.Text
	switch c.cfg.TestOutput {
	case "summary":
		return
	case "all", "streamed":
		if log := c.readLog(t.Log); log != "" {
			text = log
		}
	default: // errors; what a check says although it passed is a warning
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	head := paint(c.cfg.OutColor).bold(fmt.Sprintf("==== %s %s ====", t.Target, t.Status))
	c.printOut(head + "\n" + strings.TrimRight(text, "\n") + "\n")
}

func (c *Console) readLog(path string) string {
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.cfg.Root, path)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxTestLog {
		return ""
	}
	data, err := regular.Read(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// finished shows a line for each target, and the counts. The verdict waits for End.
func (c *Console) finished(f event.Finished) {
	c.phase, c.progress = "", event.Progress{}
	c.ended = &f
	c.printOut(table(c.shown(), paint(c.cfg.OutColor)))
	if !c.cfg.JSON && (f.Processes > 0 || !f.UpToDate) {
		c.log.Info().Msg(processes(f))
	}
}

// brokenOff shows a line for each target that is known to have failed.
func (c *Console) brokenOff() {
	c.phase, c.progress = "", event.Progress{}
	c.printOut(table(c.shown(), paint(c.cfg.OutColor)))
}

// verdict shows the last line.
func (c *Console) verdict(f event.Finished, code int) {
	text := c.sum(f, code == 0)
	if c.cfg.JSON {
		c.log.Info().Str("event", "finished").Bool("ok", code == 0).Int("exit_code", code).Float64("seconds", f.Wall.Seconds()).
			Int("processes", f.Processes).Interface("by_runner", f.ByRunner).Int("targets", f.Targets).Int("tests", f.Tests).
			Int("failed", f.Failed).Int("not_attempted", f.NotAttempted).Int("not_analyzed", f.NotAnalyzed).Msg(text)
		return
	}
	p := paint(c.cfg.ErrColor)
	if code == 0 {
		c.printErr(p.green(text))
	} else {
		c.printErr(p.red(text))
	}
}

// shown leaves out lines of built targets where there are too many to read.
// Everything that did not go well, and every test, is always shown.
func (c *Console) shown() []event.TargetDone {
	built := func(t event.TargetDone) bool {
		return !t.Test && !bad(t.Status) && t.Status != event.NotAttempted && t.Status != event.NotAnalyzed
	}
	others := slices.DeleteFunc(slices.Clone(c.targets), built)
	if len(c.targets)-len(others) <= c.cfg.ShowResult {
		return c.targets
	}
	return others
}

// maxLabel bounds the first column: one long label must not push the others away.
const maxLabel = 48

// table lays out the target lines: label, status and summary, time; the notes
// and paths of a target stand under its status.
func table(targets []event.TargetDone, p paint) string {
	labelWidth, statusWidth, textWidth := 0, 0, 0
	for _, t := range targets {
		if w := screen.String(t.Target.String()); w <= maxLabel {
			labelWidth = max(labelWidth, w)
		}
		statusWidth = max(statusWidth, len(shownStatus(t)))
	}
	type row struct{ label, status, text string }
	rows := make([]row, len(targets))
	for i, t := range targets {
		r := row{label: t.Target.String(), status: shownStatus(t), text: oneLine(t.Summary)}
		if t.Cached && t.Test {
			r.text = strings.TrimPrefix(r.text+"; cached", "; ")
		}
		if r.status == "" && r.text == "" {
			r.text = strings.Join(t.Outputs, " ")
			if r.text == "" {
				r.text = strings.ToLower(string(t.Status))
			}
		}
		if r.status != "" {
			r.text = pad(r.status, statusWidth) + "  " + r.text
		}
		if timed(t) {
			textWidth = max(textWidth, min(screen.String(r.text), 80))
		}
		rows[i] = r
	}
	var b strings.Builder
	under := strings.Repeat(" ", labelWidth+2)
	for i, t := range targets {
		r := rows[i]
		text := r.text
		if timed(t) {
			text = pad(text, textWidth) + "  " + fmt.Sprintf("%7s", seconds(t.Wall))
		}
		if r.status != "" {
			text = colorStatus(t.Status, p, r.status) + strings.TrimPrefix(text, r.status)
		}
		b.WriteString(strings.TrimRight(pad(r.label, labelWidth)+"  "+text, " ") + "\n")
		for _, n := range t.Notes {
			b.WriteString(indent(n, under) + "\n")
		}
		if r.text == strings.Join(t.Outputs, " ") {
			continue
		}
		for _, o := range t.Outputs {
			b.WriteString(under + o + "\n")
		}
	}
	return b.String()
}

// timed reports whether a target's line ends with the time it took.
func timed(t event.TargetDone) bool {
	switch t.Status {
	case event.NotBuilt, event.NotAttempted, event.NotAnalyzed, event.Skipped:
		return false
	}
	return t.Test || t.Status == event.Failed
}

// shownStatus is "" for what was simply built: its paths say enough.
func shownStatus(t event.TargetDone) string {
	if !t.Test && (t.Status == event.Built || t.Status == event.UpToDate) {
		return ""
	}
	return string(t.Status)
}

func colorStatus(s event.Status, p paint, text string) string {
	switch {
	case bad(s), s == event.NotAnalyzed:
		return p.red(text)
	case s == event.Passed:
		return p.green(text)
	}
	return p.yellow(text)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-screen.String(s)))
}

// processes gives the counts by runner as Bazel does, hits first.
func processes(f event.Finished) string {
	names := make([]string, 0, len(f.ByRunner))
	for name, n := range f.ByRunner {
		if n > 0 {
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		switch {
		case name == "up to date":
			return 0
		case strings.HasSuffix(name, "cache hit"):
			return 1
		}
		return 2
	}
	sort.Slice(names, func(i, j int) bool {
		if a, b := rank(names[i]), rank(names[j]); a != b {
			return a < b
		}
		return names[i] < names[j]
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%d %s", f.ByRunner[name], name)
	}
	text := Plural(f.Processes, "process")
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text + "."
}

// sum says in one line what the command came to.
func (c *Console) sum(f event.Finished, ok bool) string {
	tests, failedTests, failedTargets := 0, 0, 0
	for _, t := range c.targets {
		switch {
		case t.Test && c.cfg.Test:
			tests++
			if bad(t.Status) {
				failedTests++
			}
		case bad(t.Status):
			failedTargets++
		}
	}
	tests = max(tests, f.Tests)
	checks := c.cfg.Test && tests > 0
	in := " in " + total(f.Wall)
	switch {
	case !ok:
	case checks:
		return "PASSED " + Plural(tests, "check") + in
	case f.UpToDate:
		return "UP-TO-DATE " + Plural(f.Targets, "target") + in
	default:
		return "BUILT " + Plural(f.Targets, "target") + in
	}
	failedTargets = max(failedTargets, f.Failed-failedTests)
	var parts []string
	switch {
	case failedTests+failedTargets+f.NotAttempted+f.NotAnalyzed == 0:
		return "FAILED" + in // for a reason that was said, and that is no target's
	case checks:
		parts = append(parts, fmt.Sprintf("%d of %s", failedTests, Plural(tests, "check")))
		if failedTargets > 0 {
			parts = append(parts, Plural(failedTargets, "target")+" not built")
		}
	case f.Targets+failedTargets > 0:
		parts = append(parts, fmt.Sprintf("%d of %s", failedTargets, Plural(max(f.Targets, failedTargets), "target")))
	}
	if f.NotAttempted > 0 {
		parts = append(parts, fmt.Sprintf("%d not attempted", f.NotAttempted))
	}
	if f.NotAnalyzed > 0 {
		parts = append(parts, fmt.Sprintf("%d not analyzed", f.NotAnalyzed))
	}
	return "FAILED " + strings.Join(parts, ", ") + in
}
