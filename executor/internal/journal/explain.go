package journal

import (
	"fmt"
	"regexp"
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
		if s := diffInputs(old.Inputs, e.Inputs, view); s != "" {
			return s
		}
	}
	if s := diffSet("execution property", old.Platform, e.Platform); s != "" {
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

// diffInputs names the first changed file; the user's own files come before
// what other actions made, since they are the cause of those. Files are the
// same file if view of their paths is.
func diffInputs(old, now []File, view func(string) string) string {
	same := make(map[File]bool, len(old)) // so that a crate in two forms is not taken for its other form
	for _, f := range old {
		same[f] = true
	}
	was := make(map[string]File, len(old))
	unchanged := make(map[File]bool, len(now))
	for _, f := range now {
		unchanged[f] = same[f]
	}
	for _, f := range old {
		if !unchanged[f] {
			was[view(f.Path)] = f
		}
	}
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
	for _, f := range now {
		if unchanged[f] {
			continue
		}
		p := view(f.Path)
		before, ok := was[p]
		delete(was, p)
		s := ""
		switch {
		case !ok:
			s = note(f, show(f.Path)+" was added")
		case before.Digest != f.Digest || before.Link != f.Link || before.Tree != f.Tree:
			s = note(f, show(f.Path)+" changed")
		case f.Executable && !before.Executable:
			s = note(f, show(f.Path)+" became executable")
		case before.Executable && !f.Executable:
			s = note(f, show(f.Path)+" is no longer executable")
		}
		if s != "" {
			return s
		}
	}
	for _, f := range old {
		if _, gone := was[view(f.Path)]; gone && !unchanged[f] {
			if s := note(f, show(f.Path)+" was removed"); s != "" {
				return s
			}
		}
	}
	return derived
}

// show turns a path of the action's root into the user's.
func show(p string) string { return strings.TrimPrefix(p, action.Workspace+"/") }
