package journal

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"gorules/executor/internal/action"
)

// Explain names the first thing in which e differs from old, the result it
// replaced, in the words of the user's files. It walks the very fields that
// make the key, so that "nothing" means the same key.
func Explain(old, e *Entry) string {
	if old == nil {
		return "no earlier result to compare with"
	}
	if old.Digest == e.Digest {
		return "nothing changed: its result was not in the cache"
	}
	// An identity in an argument or a path changes because something else did:
	// what else differs is the reason, if anything does.
	for _, view := range []func(string) string{masked, func(s string) string { return s }} {
		if s := diffArgs(each(old.Argv, view), each(e.Argv, view)); s != "" {
			return s
		}
		if s := diffSet("variable", each(old.Env, view), each(e.Env, view)); s != "" {
			return s
		}
		if s := diffInputs(old, e, view); s != "" {
			return s
		}
	}
	if s := diffSet("execution property", properties(old), properties(e)); s != "" {
		return s
	}
	switch {
	case old.Workdir != e.Workdir:
		return fmt.Sprintf("working directory: %s, was %s", show(e.Workdir), show(old.Workdir))
	case old.Timeout != e.Timeout:
		return fmt.Sprintf("timeout: %s, was %s", e.Timeout, old.Timeout)
	case strings.Join(old.Expected, "\x00") != strings.Join(e.Expected, "\x00"):
		return "its list of outputs changed"
	}
	return "gorules itself changed how actions run"
}

// identity is what the rules name units by: a hash in hexadecimal.
var identity = regexp.MustCompile(`[0-9a-f]{16,}`)

func masked(s string) string { return identity.ReplaceAllString(s, "…") }

func each(list []string, f func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = f(s)
	}
	return out
}

// diffArgs finds the first argument added, removed or replaced.
func diffArgs(old, now []string) string {
	i := 0
	for i < len(old) && i < len(now) && old[i] == now[i] {
		i++
	}
	switch {
	case i == len(old) && i == len(now):
		return ""
	case i == len(old), i < len(now) && count(old, now[i]) < count(now, now[i]) && len(now) > len(old):
		return fmt.Sprintf("argument %s was added", withValue(now, i))
	case i == len(now), count(now, old[i]) < count(old, old[i]) && len(old) > len(now):
		return fmt.Sprintf("argument %s was removed", withValue(old, i))
	}
	return fmt.Sprintf("argument %s, was %s", withValue(now, i), withValue(old, i))
}

func count(list []string, s string) int {
	n := 0
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

// withValue shows a flag together with the word that belongs to it.
func withValue(argv []string, i int) string {
	if i+1 < len(argv) && strings.HasPrefix(argv[i], "-") && !strings.Contains(argv[i], "=") && !strings.HasPrefix(argv[i+1], "-") {
		return argv[i] + " " + argv[i+1]
	}
	if i > 0 && argv[i-1] != "" && strings.HasPrefix(argv[i-1], "-") && !strings.HasPrefix(argv[i], "-") && !strings.Contains(argv[i-1], "=") {
		return argv[i-1] + " " + argv[i]
	}
	return argv[i]
}

func diffSet(what string, old, now []string) string {
	was := map[string]string{}
	for _, kv := range old {
		k, v, _ := strings.Cut(kv, "=")
		was[k] = v
	}
	for _, kv := range now {
		k, v, _ := strings.Cut(kv, "=")
		before, ok := was[k]
		delete(was, k)
		switch {
		case !ok:
			return fmt.Sprintf("%s %s was added: %q", what, k, v)
		case before != v:
			return fmt.Sprintf("%s %s: %q, was %q", what, k, v, before)
		}
	}
	for _, kv := range old {
		k, _, _ := strings.Cut(kv, "=")
		if _, gone := was[k]; gone {
			return fmt.Sprintf("%s %s was removed", what, k)
		}
	}
	return ""
}

// properties are those that say something to people: what an action looked at is
// told by its files.
func properties(e *Entry) []string {
	return slices.DeleteFunc(slices.Clone(e.Platform), func(p string) bool { return strings.HasPrefix(p, "gorules-observed=") })
}

// diffInputs names the first changed file; the user's own files come before
// what other actions made, since they are the cause of those. Files are the
// same file if view of their paths is. What only one of both looked at has not
// changed because of that: it is looked at because something else changed.
func diffInputs(old, now *Entry, view func(string) string) string {
	same := make(map[File]bool, len(old.Inputs)) // so that a crate in two forms is not taken for its other form
	for _, f := range old.Inputs {
		same[f] = true
	}
	was := make(map[string]File, len(old.Inputs))
	unchanged := make(map[File]bool, len(now.Inputs))
	for _, f := range now.Inputs {
		unchanged[f] = same[f]
	}
	for _, f := range old.Inputs {
		if !unchanged[f] {
			was[view(f.Path)] = f
		}
	}
	sawOld, sawNow := looksOf(old), looksOf(now)
	var derived string
	note := func(f File, text string) string {
		if strings.HasPrefix(f.Path, action.Workspace+"/") && !strings.HasPrefix(f.Path, action.Workspace+"/bazel-out/") {
			return text
		}
		if derived == "" {
			derived = text
		}
		return ""
	}
	for _, f := range now.Inputs {
		if unchanged[f] {
			continue
		}
		p := view(f.Path)
		before, ok := was[p]
		delete(was, p)
		how, comparable := sawNow.and(sawOld, f.Path, ok)
		if !comparable {
			continue
		}
		s := ""
		switch {
		case !ok:
			s = note(f, show(f.Path)+" was added"+how)
		case before.Digest != f.Digest || before.Link != f.Link || before.Tree != f.Tree:
			s = note(f, show(f.Path)+" changed"+how)
		case f.Executable && !before.Executable:
			s = note(f, show(f.Path)+" became executable"+how)
		case before.Executable && !f.Executable:
			s = note(f, show(f.Path)+" is no longer executable"+how)
		}
		if s != "" {
			return s
		}
	}
	for _, f := range old.Inputs {
		if _, gone := was[view(f.Path)]; !gone || unchanged[f] {
			continue
		}
		if how, comparable := sawOld.and(sawNow, f.Path, false); comparable {
			if s := note(f, show(f.Path)+" was removed"+how); s != "" {
				return s
			}
		}
	}
	return derived
}

// saw is what an action looked at.
type saw map[string]action.What

func looksOf(e *Entry) saw {
	s := make(saw, len(e.Looks))
	for _, l := range e.Looks {
		s[l.Path] = l.What
	}
	return s
}

// at returns what was learned of p; ok is false if nothing was.
func (s saw) at(p string) (w action.What, ok bool) {
	if w, ok := s[p]; ok {
		return w, true
	}
	return 0, s[path.Dir(p)]&action.Names != 0
}

// and says how the file at p, which s has, came to be among the inputs, and
// whether other learned as much of it, so that both can be compared. both says that
// other has it too.
func (s saw) and(other saw, p string, both bool) (how string, comparable bool) {
	w, looked := s.at(p)
	if !looked {
		return "", true // declared
	}
	v, ok := other.at(p)
	if !ok || both && v != w {
		return "", false
	}
	switch {
	case w&action.Bytes != 0 && v&action.Bytes != 0:
		return ", which it read", true
	case w == 0 || v == 0:
		return ", whose folder it listed", true
	}
	return ", which it looked for", true
}

// show turns a path of the action's root into the user's.
func show(p string) string { return strings.TrimPrefix(p, action.Workspace+"/") }
