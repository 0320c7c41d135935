package ui

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// paint colours text, or leaves it, by its value.
type paint bool

func (p paint) code(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) red(s string) string    { return p.code("1;31", s) }
func (p paint) green(s string) string  { return p.code("1;32", s) }
func (p paint) yellow(s string) string { return p.code("1;33", s) }
func (p paint) bold(s string) string   { return p.code("1", s) }
func (p paint) dim(s string) string    { return p.code("2", s) }

// escapes matches CSI, OSC and two-character escape sequences.
var escapes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b[@-Z\\\\^_]")
})

// sanitize takes from a tool's text what would move the cursor or retitle the
// window, and its colours too unless color is set.
func sanitize(s string, color bool) string {
	if strings.ContainsRune(s, '\x1b') {
		s = escapes().ReplaceAllStringFunc(s, func(e string) string {
			if color && strings.HasPrefix(e, "\x1b[") && strings.HasSuffix(e, "m") {
				return e
			}
			return ""
		})
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\x1b' || r == 0x7f || r == '\x1b' && !color {
			return -1
		}
		return r
	}, s)
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(sanitize(s, false)), " ")
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by)
}

// seconds shows a duration as the summary does: 0.1 s, 12.3 s, 2:05.
func seconds(d time.Duration) string {
	if d >= time.Minute {
		return clock(d)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func wholeSeconds(d time.Duration) string {
	if d >= time.Minute {
		return clock(d)
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// clock shows a duration as 0:04, 12:34 or 1:02:03.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// total shows how long the command took: 8 ms, 0.42 s, 0:04.
func total(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return clock(d)
}

// commandLine quotes argv so that it can be pasted into a shell.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = shellWord(a)
	}
	return strings.Join(words, " ")
}

func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+,./:@%^", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Plural gives "1 file", "2 files".
func Plural(n int, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	if strings.HasSuffix(noun, "s") {
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
