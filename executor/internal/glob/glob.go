// Package glob is the patterns of Bazel's glob(): "*" is any text within one
// segment of a path, "**" as a segment any number of segments, and all else is
// itself. glob() and subpackages() of BUILD files and the trees of sources that
// rules ask for know no other.
package glob

import (
	"fmt"
	"slices"
	"strings"
)

// A Pattern is the segments of a pattern that Parse found good.
type Pattern []string

// Parse reads a pattern; an error is in Bazel's words.
func Parse(text string) (Pattern, error) {
	bad := func(why string) (Pattern, error) {
		return nil, fmt.Errorf("invalid glob pattern '%s': %s", text, why)
	}
	switch {
	case text == "":
		return bad("pattern cannot be empty")
	case strings.HasPrefix(text, "/"):
		return bad("pattern cannot be absolute")
	case strings.Contains(text, "?"):
		return bad("wildcard ? forbidden")
	}
	p := Pattern(strings.Split(text, "/"))
	for _, s := range p {
		switch {
		case s == "":
			return bad("empty segment not permitted")
		case s == "." || s == "..":
			return bad("segment '" + s + "' not permitted")
		case s != "**" && strings.Contains(s, "**"):
			return bad("recursive wildcard must be its own segment")
		}
	}
	return p, nil
}

// Match reports whether p matches the whole of a path. Where it fails, the last
// "**" takes one more segment: those before it have no need to.
func (p Pattern) Match(path string) bool {
	i, rest, more := 0, path, true // what is left of p and of path
	last, after, afterMore := -1, "", false
	for more || i < len(p) {
		if i < len(p) && p[i] == "**" {
			last, after, afterMore = i, rest, more
			i++
			continue
		}
		if more && i < len(p) {
			name, tail, ok := strings.Cut(rest, "/")
			if MatchSegment(p[i], name) {
				i, rest, more = i+1, tail, ok
				continue
			}
		}
		if last < 0 || !afterMore {
			return false
		}
		_, after, afterMore = strings.Cut(after, "/")
		i, rest, more = last+1, after, afterMore
	}
	return true
}

// MatchSegment matches one segment other than "**". As in Bazel, a leading dot
// is matched by "*" alone or by a dot, not by "*.txt".
func MatchSegment(segment, name string) bool {
	if segment == "*" {
		return true
	}
	if strings.HasPrefix(name, ".") && segment[0] != '.' {
		return false
	}
	first, rest, star := strings.Cut(segment, "*")
	if !star {
		return segment == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}

// A Set matches what one of its patterns matches.
type Set []Pattern

// ParseAll reads patterns; the first bad one is an error.
func ParseAll(texts []string) (Set, error) {
	out := make(Set, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = Parse(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Match reports whether a pattern of s matches path.
func (s Set) Match(path string) bool {
	return slices.ContainsFunc(s, func(p Pattern) bool { return p.Match(path) })
}
