package rc

import (
	"slices"
	"strings"

	"gorules/cmd/gorules/internal/flags"
	"gorules/executor/diag"
)

// Words returns the words that lines give to a command, followed by those of
// the command line. Chain is the list of commands whose lines apply, the most
// general first: {"build", "test"} for test. As in Bazel, `always` and
// `common` come before them, whatever file they stand in, and a --config is
// replaced where it stands by the lines of that name. A flag on a line of
// another command (`common`, or `build` for `clean`) that the last command of
// the chain does not take is passed over, where some command takes it.
func Words(lines []Line, chain []string, commandLine []flags.Arg) ([]flags.Arg, error) {
	e := expander{lines: lines, chain: append([]string{"always", "common"}, chain...)}
	words, err := e.section("", nil)
	if err != nil {
		return nil, err
	}
	own, err := e.expand(commandLine, nil)
	if err != nil {
		return nil, err
	}
	return append(words, own...), nil
}

type expander struct {
	lines []Line
	chain []string
}

// section returns the words of all lines of one config ("" for those without).
func (e *expander) section(config string, active []string) ([]flags.Arg, error) {
	var out []flags.Arg
	for _, command := range e.chain {
		for i := range e.lines {
			l := &e.lines[i]
			if l.Command != command || l.Config != config {
				continue
			}
			words := make([]flags.Arg, len(l.Words))
			for j, w := range l.Words {
				words[j] = flags.Arg{Text: w, Origin: l.Origin(), Lenient: command != "always" && command != e.chain[len(e.chain)-1]}
			}
			words, err := e.expand(words, active)
			if err != nil {
				return nil, err
			}
			out = append(out, words...)
		}
	}
	return out, nil
}

// expand replaces each --config in words. Active is the chain of configs being
// expanded, to find cycles.
func (e *expander) expand(words []flags.Arg, active []string) ([]flags.Arg, error) {
	var out []flags.Arg
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w.Text == "--" {
			return append(out, words[i:]...), nil
		}
		name, ok := strings.CutPrefix(w.Text, "--config=")
		if !ok && w.Text == "--config" && i+1 < len(words) {
			i++
			name, ok = words[i].Text, true
		}
		if !ok {
			out = append(out, w)
			continue
		}
		fail := func(format string, args ...any) error {
			return diag.Errorf(w.Origin, format, args...)
		}
		if slices.Contains(active, name) {
			return nil, fail("--config=%s leads back to itself: %s", name, strings.Join(append(active, name), " -> "))
		}
		if !e.known(name) {
			if near := flags.Nearest(name, e.configs()); near != "" {
				return nil, fail("--config=%s: no line of an rc file defines it; did you mean %s?", name, near)
			}
			return nil, fail("--config=%s: no line such as `build:%s --flag` in an rc file defines it", name, name)
		}
		section, err := e.section(name, append(slices.Clip(active), name))
		if err != nil {
			return nil, err
		}
		out = append(out, section...)
	}
	return out, nil
}

// known reports whether any line, of whatever command, defines config. A
// config that has lines for other commands only is no error.
func (e *expander) known(config string) bool {
	return slices.Contains(e.configs(), config)
}

func (e *expander) configs() []string {
	var names []string
	for i := range e.lines {
		if c := e.lines[i].Config; c != "" {
			names = append(names, c)
		}
	}
	return names
}
