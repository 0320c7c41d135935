package source

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// ignoreLine is one pattern of a .gitignore file, as gitignore(5) and git's
// wildmatch.c define it. (The Go packages for this get "?", anchoring by a slash
// in the middle or a negation in a deeper file wrong, or bring all of a git
// implementation; the test compares with git itself.)
type ignoreLine struct {
	negate  bool
	dirOnly bool
	base    bool           // matched against the last path component alone
	literal string         // where re is nil
	re      *regexp.Regexp // of the whole text
}

func (l *ignoreLine) match(rel string, isDir bool) bool {
	if l.dirOnly && !isDir {
		return false
	}
	if l.base {
		rel = path.Base(rel)
	}
	if l.re == nil {
		return rel == l.literal
	}
	return l.re.MatchString(bytewise(rel))
}

// bytewise turns each byte into a character, since git's "?" matches a byte.
func bytewise(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			b := make([]rune, len(s))
			for i := range len(s) {
				b[i] = rune(s[i])
			}
			return string(b)
		}
	}
	return s
}

// parseIgnore reads a .gitignore file. A line that can match nothing is dropped.
func parseIgnore(b []byte) []ignoreLine {
	var out []ignoreLine
	for text := range strings.SplitSeq(strings.TrimPrefix(string(b), "\ufeff"), "\n") {
		text = strings.TrimSuffix(text, "\r")
		if strings.HasPrefix(text, "#") {
			continue
		}
		text = trimSpaces(text)
		var l ignoreLine
		text, l.negate = strings.CutPrefix(text, "!")
		text, l.dirOnly = strings.CutSuffix(text, "/")
		l.base = !strings.Contains(text, "/")
		if text = strings.TrimPrefix(text, "/"); text == "" {
			continue
		}
		if !strings.ContainsAny(text, `*?[\`) {
			l.literal = text
		} else if expr, ok := wildmatch(bytewise(text)); !ok {
			continue
		} else if l.re, _ = regexp.Compile(expr); l.re == nil {
			continue
		}
		out = append(out, l)
	}
	return out
}

// trimSpaces drops trailing spaces, save one that a backslash quotes.
func trimSpaces(s string) string {
	end := 0 // after the last byte that is no plain space
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = min(i+1, len(s))
	}
	return s[:end]
}

// wildmatch translates a pattern in which "*" and "?" match no slash and a "**"
// that is a whole path component matches any number of them. ok is false if it
// can match nothing.
func wildmatch(p string) (expr string, ok bool) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(p); {
		switch c := p[i]; c {
		case '*':
			end := i
			for end < len(p) && p[end] == '*' {
				end++
			}
			whole := end-i > 1 && (i == 0 || p[i-1] == '/') && (end == len(p) || p[end] == '/')
			switch {
			case whole && end < len(p):
				b.WriteString(`(?:.*/)?`)
				end++
			case whole:
				b.WriteString(`.*`)
			default:
				b.WriteString(`[^/]*`)
			}
			i = end
		case '?':
			b.WriteString(`[^/]`)
			i++
		case '[':
			set, n := bracket(p[i:])
			if n == 0 {
				return "", false
			}
			b.WriteString(set)
			i += n
		case '\\':
			if i++; i == len(p) {
				return "", false
			}
			fallthrough
		default:
			n := strings.IndexAny(p[i+1:], `*?[\`)
			if n < 0 {
				n = len(p) - i - 1
			}
			b.WriteString(regexp.QuoteMeta(p[i : i+1+n]))
			i += 1 + n
		}
	}
	b.WriteString(`\z`)
	return b.String(), true
}

// classes are the POSIX classes that git knows, without the slash.
var classes = map[string]string{
	"alnum": "[:alnum:]", "alpha": "[:alpha:]", "blank": "[:blank:]", "cntrl": "[:cntrl:]", "digit": "[:digit:]", "lower": "[:lower:]",
	"space": "[:space:]", "upper": "[:upper:]", "xdigit": "[:xdigit:]",
	"graph": "!-.0-~", "print": " -.0-~", "punct": "!-.:-@\\[-`{-~",
}

// bracket translates the set at the start of p and returns its length, which is
// 0 if git would let it match nothing. A set never matches a slash.
func bracket(p string) (expr string, length int) {
	i := 1
	open := "["
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		open = "[^/"
		i++
	}
	var set strings.Builder
	for first := i; i >= len(p) || p[i] != ']' || i == first; {
		if i >= len(p) {
			return "", 0
		}
		if strings.HasPrefix(p[i:], "[:") {
			end := strings.IndexByte(p[i+2:], ']')
			if end < 0 {
				return "", 0
			}
			if name, ok := strings.CutSuffix(p[i+2:i+2+end], ":"); ok {
				if classes[name] == "" {
					return "", 0
				}
				set.WriteString(classes[name])
				i += 2 + end + 1
				continue
			}
		}
		lo, n := setRune(p[i:])
		i += n
		hi := lo
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			hi, n = setRune(p[i+1:])
			i += 1 + n
		}
		if n == 0 {
			return "", 0
		}
		hi = max(lo, hi) // the range [b-a] is "b"
		if lo <= '/' && '/' <= hi {
			writeRange(&set, lo, '/'-1)
			lo = '/' + 1
		}
		writeRange(&set, lo, hi)
	}
	if set.Len() == 0 && open == "[" {
		return "", 0
	}
	return open + set.String() + "]", i + 1
}

func writeRange(b *strings.Builder, lo, hi rune) {
	if lo <= hi {
		fmt.Fprintf(b, `\x{%x}-\x{%x}`, lo, hi)
	}
}

// setRune reads one character of a set, perhaps quoted by a backslash.
func setRune(p string) (r rune, length int) {
	quoted := 0
	if strings.HasPrefix(p, `\`) {
		quoted = 1
	}
	r, n := utf8.DecodeRuneInString(p[quoted:])
	if n == 0 {
		return 0, 0
	}
	return r, quoted + n
}
