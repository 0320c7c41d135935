package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"

	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/regular"
)

// newLogger returns the logger that all diagnostics go through: JSON records
// as zerolog writes them, or lines for people.
func newLogger(c *Console) zerolog.Logger {
	if c.cfg.JSON {
		return zerolog.New(c.cfg.Err).Level(c.cfg.Level).With().Timestamp().Logger()
	}
	return zerolog.New(lines{c}).Level(c.cfg.Level)
}

// diagnostic sends d to the logger.
func (c *Console) diagnostic(d event.Diagnostic) {
	e := c.log.WithLevel(levelOf(d.Severity))
	if c.log.GetLevel() > levelOf(d.Severity) {
		return // WithLevel does not look at the logger's level
	}
	e = at(e, d.Position)
	if d.Hint != "" {
		e = e.Str("hint", d.Hint)
	}
	e.Msg(d.Text)
}

// printed shows what print() said, whatever the level: it is the user's word,
// not gorules'. As in Bazel it is marked DEBUG.
func (c *Console) printed(p event.Printed) {
	at(c.log.Log().Str("level", "debug"), p.Position).Str("event", "print").Msg(p.Text)
}

// at adds a position to a record.
func at(e *zerolog.Event, p diag.Position) *zerolog.Event {
	if p.File != "" {
		e = e.Str("file", p.File)
	}
	if p.Line > 0 {
		e = e.Int("line", p.Line)
	}
	if p.Column > 0 {
		e = e.Int("column", p.Column)
	}
	return e
}

func levelOf(s event.Severity) zerolog.Level {
	switch s {
	case event.Debug:
		return zerolog.DebugLevel
	case event.Info:
		return zerolog.InfoLevel
	case event.Warning:
		return zerolog.WarnLevel
	}
	return zerolog.ErrorLevel
}

// record is a line of zerolog as far as people want to read it.
type record struct {
	Level   string `json:"level"`
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Hint    string `json:"hint"`
	Event   string `json:"event"`
}

// lines is the writer behind the logger where people read. The Console's lock
// is held whenever the logger is used.
type lines struct{ c *Console }

func (l lines) Write(p []byte) (int, error) {
	var r record
	if err := json.Unmarshal(p, &r); err != nil {
		return 0, fmt.Errorf("render a log record: %w", err)
	}
	l.c.printErr(l.c.render(r))
	return len(p), nil
}

// render writes a diagnostic as compilers do: where and what, the line of
// source with a mark under it, and what to do.
func (c *Console) render(r record) string {
	p := paint(c.cfg.ErrColor)
	var b strings.Builder
	switch r.Level {
	case "error":
		b.WriteString(p.red("ERROR:"))
	case "warn":
		b.WriteString(p.yellow("WARNING:"))
	case "debug":
		b.WriteString(p.dim("DEBUG:"))
	default:
		b.WriteString(p.green("INFO:"))
	}
	b.WriteByte(' ')
	at := diag.Position{File: r.File, Line: r.Line, Column: r.Column}
	if r.File != "" {
		b.WriteString(at.String() + ": ")
	}
	if r.Event == "print" { // as it was printed
		return b.String() + r.Message + "\n"
	}
	first, detail, _ := strings.Cut(r.Message, "\n")
	b.WriteString(first + "\n")
	if r.Line > 0 && (r.Level == "error" || r.Level == "warn") {
		b.WriteString(excerpt(c.cfg.Root, at, p))
	}
	if detail != "" {
		b.WriteString(indent(detail, "  ") + "\n")
	}
	if r.Hint != "" {
		b.WriteString(p.bold("  hint:") + " " + strings.TrimPrefix(indent(r.Hint, "        "), "        ") + "\n")
	}
	return b.String()
}

// Bounds of what is read and shown for an excerpt.
const (
	maxSource  = 4 << 20
	maxExcerpt = 160
)

// excerpt returns the named line with a caret under the column, or "" where it
// cannot be shown well.
func excerpt(root string, at diag.Position, p paint) string {
	file, line, column := at.File, at.Line, at.Column
	if file == "" {
		return ""
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(root, filepath.FromSlash(file))
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return ""
	}
	data, err := regular.Read(file)
	if err != nil {
		return ""
	}
	for range line - 1 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return ""
		}
		data = data[i+1:]
	}
	text, _, _ := strings.Cut(string(data), "\n")
	text = strings.TrimSuffix(text, "\r")
	if strings.TrimSpace(text) == "" || len(text) > maxExcerpt {
		return ""
	}
	gutter := fmt.Sprintf("%5d | ", line)
	out := p.dim(gutter) + sanitize(text, false) + "\n"
	if column > 0 && column <= len([]rune(text))+1 {
		before := string([]rune(text)[:column-1])
		pad := make([]byte, 0, len(before))
		for _, r := range before {
			if r == '\t' {
				pad = append(pad, '\t')
				continue
			}
			pad = append(pad, strings.Repeat(" ", screen.String(string(r)))...)
		}
		out += p.dim(strings.Repeat(" ", len(gutter)-2)+"| ") + string(pad) + p.red("^") + "\n"
	}
	return out
}
