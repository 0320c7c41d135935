// Package flags reads command lines and rc lines in Bazel's spelling:
// --name=value, --name value, --noname, -k, -j 4, and labels as flags
// (--//pkg:flag=value). A Table is the only list of flags there is: parsing,
// suggestions and help pages all walk it, so they cannot drift apart. The
// package knows no flag, never prints and never exits.
package flags

import (
	"slices"
	"strings"

	"gorules/executor/diag"
)

// Value is where a flag stores what was given. It is flag.Value of the
// standard library, so its implementations fit too.
type Value interface {
	Set(string) error
	String() string
}

// boolean is the extra method by which a Value says that it needs no text.
type boolean interface{ IsBoolFlag() bool }

// Flag is one row of a Table.
type Flag struct {
	Name  string // without dashes, as Bazel spells it: keep_going
	Short string // one letter, or ""
	Arg   string // placeholder in help: "N", "DIR", "summary|errors"; "" for booleans
	Help  string // one sentence
	Value Value

	// Verbs that take the flag; nil means all.
	Verbs []string

	// Line is set where the flag counts on the command line alone: it says which rc
	// files are read, before one is.
	Line bool
}

// Bool reports whether f may stand without a value and has a --no form.
func (f *Flag) Bool() bool {
	b, ok := f.Value.(boolean)
	return ok && b.IsBoolFlag()
}

// For reports whether verb takes f.
func (f *Flag) For(verb string) bool { return f.Verbs == nil || slices.Contains(f.Verbs, verb) }

// Arg is one word of a command line or of an rc line.
type Arg struct {
	Text   string
	Origin diag.Position // of an rc line; zero for the command line

	// Lenient words come from `common` lines: a flag that some verb takes, but
	// not this one, is passed over.
	Lenient bool
}

// LabelFlag takes flags that are labels: label is "//pkg:flag" or
// "@repo//pkg:flag", value the text given, "true" or "false" for the bare and
// the --no form.
type LabelFlag func(label, value string) error

// Table lists the flags of all verbs.
type Table struct {
	Flags []Flag
	Label LabelFlag
}

// Result is what remains of the words after the flags were taken.
type Result struct {
	Operands []string // words that are no flags
	Rest     []string // words after "--"
	Dashes   bool     // "--" was there
}

// Parse stores every flag in words and returns what is left. Words after "--"
// are never flags. The error names the flag and is a *diag.Error at its origin.
func (t *Table) Parse(verb string, words []Arg) (Result, error) {
	var r Result
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w.Text == "--" {
			r.Dashes = true
			for _, rest := range words[i+1:] {
				r.Rest = append(r.Rest, rest.Text)
			}
			return r, nil
		}
		if !isFlag(w.Text) {
			r.Operands = append(r.Operands, w.Text)
			continue
		}
		var next *string
		if i+1 < len(words) && words[i+1].Origin == w.Origin {
			next = &words[i+1].Text
		}
		used, err := t.one(verb, w, next)
		if err != nil {
			return Result{}, err
		}
		if used {
			i++
		}
	}
	return r, nil
}

// isFlag tells flags from operands. "-" is an operand, and so is a pattern
// that is taken away (-//x, -:x, -@r//x): no flag starts like these.
func isFlag(s string) bool {
	if len(s) < 2 || s[0] != '-' {
		return false
	}
	return s[1] != '/' && s[1] != ':' && s[1] != '@' && s != "-..."
}

// one stores the flag w; used reports whether it took the word after it.
func (t *Table) one(verb string, w Arg, next *string) (used bool, err error) {
	name, value, hasValue := strings.Cut(w.Text, "=")
	if label, ok := labelOf(name); ok && t.Label != nil {
		return false, t.label(w, label, value, hasValue)
	}
	f, no := t.find(name)
	switch {
	case f == nil:
		if v, ok := attached(t, w.Text); ok { // -j4
			f, value, hasValue = v, w.Text[2:], true
			break
		}
		return false, t.unknown(verb, w, name)
	case f.Line && !w.Origin.IsZero():
		return false, failf(w, "%s cannot stand in an rc file: it says which of them are read; give it on the command line", name)
	case verb != "" && !f.For(verb):
		if !w.Lenient {
			return false, failf(w, "%s is no flag of `%s`; it belongs to %s", name, verb, strings.Join(f.Verbs, ", "))
		}
		if hasValue || f.Bool() || next == nil {
			return false, nil
		}
		return true, nil
	}
	if f.Bool() {
		switch {
		case no && hasValue:
			return false, failf(w, "%s takes no value", name)
		case no:
			value = "false"
		case !hasValue:
			value = "true"
		}
	} else if !hasValue {
		if next == nil {
			return false, failf(w, "%s needs a value: --%s=%s", name, f.Name, f.Arg)
		}
		value, used = *next, true
	}
	if err := f.Value.Set(value); err != nil {
		return false, failf(w, "--%s=%s: %w", f.Name, value, err)
	}
	return used, nil
}

// attached finds the flag of a short form with its value, such as -j4.
func attached(t *Table, text string) (*Flag, bool) {
	if len(text) < 3 || text[1] == '-' {
		return nil, false
	}
	f, _ := t.find(text[:2])
	if f == nil || f.Bool() && text[2] != '-' {
		return nil, false
	}
	return f, true
}

// find returns the flag called name (with its dashes), and whether it is the
// --no form.
func (t *Table) find(name string) (f *Flag, no bool) {
	long, isLong := strings.CutPrefix(name, "--")
	for i := range t.Flags {
		f := &t.Flags[i]
		switch {
		case isLong && f.Name == long:
			return f, false
		case isLong && f.Bool() && "no"+f.Name == long:
			return f, true
		case !isLong && f.Short != "" && name == "-"+f.Short:
			return f, false
		}
	}
	return nil, false
}

// labelOf returns the label that a flag such as --//a:b or --no//a:b names.
func labelOf(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "--")
	if !ok {
		return "", false
	}
	rest = strings.TrimPrefix(rest, "no")
	return rest, strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, "@")
}

func (t *Table) label(w Arg, label, value string, hasValue bool) error {
	if strings.HasPrefix(w.Text, "--no") {
		if hasValue {
			return failf(w, "--no%s takes no value", label)
		}
		value = "false"
	} else if !hasValue {
		value = "true"
	}
	if err := t.Label(label, value); err != nil {
		return failf(w, "--%s=%s: %w", label, value, err)
	}
	return nil
}

func failf(w Arg, format string, args ...any) error {
	return diag.Errorf(w.Origin, format, args...)
}
