package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"
)

// maxLines bounds the lines of the live view that tell of single actions.
const maxLines = 8

// screen measures as a terminal does: colours take no room, a wide rune two columns.
var screen = displaywidth.Options{ControlSequences: true}

// refresh brings the status up to date; the caller holds the lock.
func (c *Console) refresh() {
	now := c.cfg.Now()
	if !c.cfg.Live {
		if now.Sub(c.said) >= plainEvery {
			c.said = now
			c.sayStatus(now)
		}
		return
	}
	columns, rows := 80, 24
	if c.cfg.Size != nil {
		columns, rows = c.cfg.Size()
	}
	lines := c.view(now, max(columns, 20), rows)
	if slices.Equal(lines, c.drawn) {
		return
	}
	var b strings.Builder
	c.eraseTo(&b, columns)
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	io.WriteString(c.cfg.Err, b.String())
	c.drawn = lines
}

// sayStatus writes one plain line, so that a log of a long build shows life.
func (c *Console) sayStatus(now time.Time) {
	text := c.status(now)
	if text == "" {
		return
	}
	if long := c.longest(now); len(long) > 0 {
		text += fmt.Sprintf("; longest: %s, %s", actionName(long[0].Mnemonic, long[0].Progress), seconds(now.Sub(long[0].Start)))
	}
	c.log.Info().Msg(text)
}

// view returns the lines of the live view, none longer than the screen is wide.
func (c *Console) view(now time.Time, columns, rows int) []string {
	status := c.status(now)
	if status == "" {
		return nil
	}
	p := paint(c.cfg.ErrColor)
	fit := func(s string) string { return screen.TruncateString(s, columns-1, "…") }
	lines := []string{p.bold(fit(status))}
	long := c.longest(now)
	limit := max(1, min(maxLines, rows/3))
	for i, a := range long {
		if i == limit-1 && len(long) > limit {
			lines = append(lines, p.dim(fit(fmt.Sprintf("    and %d more", len(long)-i))))
			break
		}
		name := screen.TruncateString(oneLine(actionName(a.Mnemonic, a.Progress)), max(8, columns-16), "…")
		lines = append(lines, fit(fmt.Sprintf("    %s  %s", name, wholeSeconds(now.Sub(a.Start)))))
	}
	return lines
}

// status is the one line that says how far the command is.
func (c *Console) status(now time.Time) string {
	var parts []string
	pr := c.progress
	switch {
	case pr.Total > 0:
		head := fmt.Sprintf("[%d/%d]", pr.Done, pr.Total)
		if c.phase != "" && c.phase != "Running" {
			head += " " + oneLine(c.phase) + ";"
		}
		parts = append(parts, fmt.Sprintf("%s %d cached, %d ran, %d running", head, pr.Cached, pr.Ran, pr.Running))
		if pr.Estimate >= time.Second {
			parts = append(parts, "about "+clock(pr.Estimate)+" left")
		}
	case c.phase != "":
		parts = append(parts, oneLine(c.phase))
	default:
		return ""
	}
	return strings.Join(append(parts, clock(now.Sub(c.start))), "; ")
}

// erase removes the live view from the screen; the caller holds the lock.
func (c *Console) erase() {
	if len(c.drawn) == 0 {
		return
	}
	columns := 80
	if c.cfg.Size != nil {
		columns, _ = c.cfg.Size()
	}
	var b strings.Builder
	c.eraseTo(&b, columns)
	io.WriteString(c.cfg.Err, b.String())
}

// eraseTo counts the rows that the drawn lines take now: a window that became
// narrower has wrapped them.
func (c *Console) eraseTo(b *strings.Builder, columns int) {
	rows := 0
	for _, l := range c.drawn {
		rows += 1 + max(0, screen.String(l)-1)/max(1, columns)
	}
	if rows > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r\x1b[J", rows)
	}
	c.drawn = nil
}
