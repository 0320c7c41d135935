package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"gorules/executor"
	"gorules/executor/label"
)

// patterns reads the targets of the command line. None given means everything
// below the current folder, and the user is told so.
func (c *command) patterns() ([]label.Pattern, error) {
	texts := c.operands
	if file := c.opts.targetPatternFile; file != "" {
		if len(texts) > 0 {
			return nil, badLine("--target_pattern_file and targets on the command line exclude each other")
		}
		var err error
		if texts, err = c.readPatterns(file); err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, badLine("--target_pattern_file=%s names no target", file)
		}
	}
	if len(texts) == 0 {
		all := "//..."
		if c.ws.Package != "" {
			all = "//" + c.ws.Package + "/..."
		}
		c.console.Infof("no target given: %s (everything below the current folder)", all)
		texts = []string{all}
	}
	list := make([]label.Pattern, len(texts))
	positive := false
	for i, t := range texts {
		p, err := label.ParsePattern(strings.TrimPrefix(t, "+"), c.ws.Package)
		switch {
		case err != nil && strings.HasPrefix(t, "-"):
			return nil, withHint(badLine("%w", err), "program arguments go to `gorules run TARGET -- ARG...`, those of tests to --test_arg=ARG")
		case err != nil:
			return nil, badLine("%w", err)
		}
		list[i] = p
		positive = positive || !p.Negative
	}
	if !positive {
		return nil, withHint(badLine("the patterns only take targets away"), "add what they are to be taken from: `//... "+texts[0]+"`")
	}
	return list, nil
}

func (c *command) readPatterns(file string) ([]string, error) {
	r := c.Stdin
	if file != "-" {
		f, err := os.Open(c.path(file))
		if err != nil {
			return nil, badLine("--target_pattern_file=%s: %w", file, err)
		}
		defer f.Close()
		r = f
	}
	var list []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		list = append(list, strings.Fields(text)...)
	}
	if err := lines.Err(); err != nil {
		return nil, badLine("--target_pattern_file=%s: %w", file, err)
	}
	return list, nil
}

// oneLabel reads the single target that run and why want.
func (c *command) oneLabel(operands []string) (label.Pattern, label.Label, error) {
	if len(operands) != 1 {
		return label.Pattern{}, label.Label{}, badLine("`gorules %s` wants one target, got %d", c.verb.name, len(operands))
	}
	p, err := label.ParsePattern(operands[0], c.ws.Package)
	if err != nil {
		return p, label.Label{}, badLine("%w", err)
	}
	if p.Kind != label.One || p.Negative {
		return p, label.Label{}, badLine("`gorules %s` wants one target; %s may be several", c.verb.name, p.Text)
	}
	l := label.Label{Repo: p.Package.Repo, Package: p.Package.Path, Name: p.Name}
	if deeper := strings.Trim(p.Package.Path+"/"+p.Name, "/"); p.Slash && c.ws.HasPackage(deeper) {
		l = label.Label{Package: deeper, Name: p.Name[strings.LastIndexByte(p.Name, '/')+1:]}
	}
	return p, l, nil
}

func (c *command) buildRequest(patterns []label.Pattern) executor.BuildRequest {
	return executor.BuildRequest{
		Patterns:     patterns,
		OutputGroups: c.opts.outputGroups,
		Check:        c.opts.checkAgain,
		Flags:        c.opts.buildFlags(),
		ActionEnv:    c.withValues(c.opts.actionEnv),
	}
}

// withValues leaves NAME=VALUE alone and gives NAME the value it has here; a
// name without a value here is dropped, as in Bazel.
func (c *command) withValues(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.Contains(e, "=") {
			if !c.hasenv(e) {
				continue
			}
			e += "=" + c.getenv(e)
		}
		out = append(out, e)
	}
	return out
}

func (a *App) hasenv(name string) bool {
	for _, e := range a.Environ {
		if n, _, ok := strings.Cut(e, "="); ok && n == name {
			return true
		}
	}
	return false
}

// say writes a result to standard output.
func (c *command) say(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }
