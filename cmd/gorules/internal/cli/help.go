package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"gorules/cmd/gorules/internal/flags"
	"gorules/cmd/gorules/internal/workspace"
	"gorules/executor"
)

const helpText = `Explains a verb with its flags, a topic, or a rule with its attributes:

    gorules help test
    gorules help exit-codes
    gorules help cargo_clippy
    gorules help //tools:defs.bzl    every rule that a file of yours defines`

func runHelp(ctx context.Context, c *command) error {
	if len(c.operands) == 0 {
		c.say("%s", c.overview())
		return nil
	}
	name := c.operands[0]
	if v := find(name); v.run != nil {
		c.say("%s", verbHelp(v))
		return nil
	}
	for _, t := range topics() {
		if t.name == name {
			c.say("%s\n", strings.TrimSpace(t.text))
			return nil
		}
	}
	if strings.HasPrefix(name, "-") {
		return c.flagHelp(strings.TrimLeft(name, "-"))
	}
	return c.ruleHelp(ctx, c.operands)
}

func (c *command) overview() string {
	var b strings.Builder
	b.WriteString("gorules builds and checks projects: every compiler call sandboxed, cached, and run once.\n\n")
	b.WriteString("usage: gorules VERB [FLAG...] [TARGET...]\n\nVerbs:\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-9s %s\n", v.name, v.short)
	}
	b.WriteString("\nTopics of `gorules help`:\n")
	for _, t := range topics() {
		fmt.Fprintf(&b, "  %-17s %s\n", t.name, t.short)
	}
	b.WriteString("\n`gorules help VERB` lists a verb's flags, `gorules help cargo_test` explains a rule.\n")
	return b.String()
}

// verbHelp is made from the tables that the parser reads.
func verbHelp(v verb) string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n%s\n", strings.TrimSpace("gorules "+v.name+" [FLAG...] "+v.args), strings.TrimSpace(v.long))
	var own, all []flags.Flag
	for _, f := range defaults().table().Flags {
		switch {
		case f.Verbs == nil:
			all = append(all, f)
		case f.For(v.name):
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		b.WriteString("\nFlags:\n")
		for _, f := range own {
			b.WriteString(flagLine(f))
		}
	}
	b.WriteString("\nFlags of every verb:\n")
	for _, f := range all {
		b.WriteString(flagLine(f))
	}
	if slices.Contains(building, v.name) {
		b.WriteString("\nA flag that a rule file defines is set as --//pkg:flag=VALUE.\n")
	}
	return b.String()
}

func flagLine(f flags.Flag) string {
	return "  " + flagName(f) + "\n" + wrap(flagText(f), "      ", 80)
}

// flagName is how a flag is written: --[no]keep_going, -k.
func flagName(f flags.Flag) string {
	name := "--" + f.Name
	switch {
	case f.Bool():
		name = "--[no]" + f.Name
	case f.Arg != "":
		name += "=" + f.Arg
	}
	if f.Short != "" {
		name += ", -" + f.Short
	}
	return name
}

// flagText is what a flag does, and its default.
func flagText(f flags.Flag) string {
	if d := f.Value.String(); d != "" && !(f.Bool() && d == "false") {
		return f.Help + " Default: " + d + "."
	}
	return f.Help
}

func (c *command) flagHelp(name string) error {
	all := defaults().table().Flags
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
		if f.Name == name || f.Bool() && "no"+f.Name == name || f.Short == name {
			c.say("%s", flagLine(f))
			if f.Verbs != nil {
				c.say("      Verbs: %s.\n", strings.Join(f.Verbs, ", "))
			}
			return nil
		}
	}
	if near := flags.Nearest(name, names); near != "" {
		return badLine("there is no flag --%s; did you mean --%s?", name, near)
	}
	return badLine("there is no flag --%s", name)
}

// ruleHelp explains one rule, or all of a file.
func (c *command) ruleHelp(ctx context.Context, words []string) error {
	loads := c.publicLoads()
	name := words[0]
	if strings.HasSuffix(name, ".bzl") {
		loads, name = []string{name}, ""
		if len(words) > 1 {
			name = words[1]
		}
	}
	if own := strings.HasSuffix(words[0], ".bzl"); own {
		var err error
		if c.ws, err = c.findWorkspace(); err != nil {
			return err
		}
	} else {
		// The rules of gorules stand in no workspace. An empty one serves, so
		// that help works everywhere and waits for no other command's lock.
		dir, err := os.MkdirTemp("", "gorules-help-")
		if err != nil {
			return &executor.Error{Kind: executor.Environment, Err: err}
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, "WORKSPACE"), nil, 0o666); err != nil {
			return &executor.Error{Kind: executor.Environment, Err: err}
		}
		c.ws = workspace.Workspace{Root: dir}
		c.opts.outputUserRoot = filepath.Join(dir, "cache")
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	var names []string
	shown := false
	var failed error
	for _, load := range loads {
		if shown && name != "" {
			break
		}
		docs, err := e.RuleDocs(ctx, load)
		if err != nil { // the rule may stand in another file
			failed = errors.Join(failed, err)
			continue
		}
		for _, d := range docs {
			names = append(names, d.Name)
			if name == "" || d.Name == name {
				if shown {
					c.say("\n")
				}
				c.say("%s", ruleText(d))
				shown = true
			}
		}
	}
	switch {
	case shown:
		return nil
	case failed != nil:
		return failed
	case name == "":
		return badLine("%s exports no rule", words[0])
	}
	if near := flags.Nearest(name, slices.Concat(names, verbNames(), topicNames())); near != "" {
		return badLine("there is no verb, topic or rule %q; did you mean %s?", name, near)
	}
	return withHint(badLine("there is no verb, topic or rule %q", name), "rules: "+strings.Join(names, ", "))
}

// publicLoads lists the files of the @gorules repository that users load, and
// "" for the rules that need no load.
func (c *command) publicLoads() []string {
	loads := []string{""}
	if c.Rules == nil {
		return loads
	}
	for _, file := range []string{"defs.bzl", "repositories.bzl"} {
		found, err := fs.Glob(c.Rules, "*/"+file)
		if err != nil {
			continue // only a malformed pattern is an error
		}
		for _, f := range found {
			loads = append(loads, "@gorules//"+path.Dir(f)+":"+file)
		}
	}
	return loads
}

func ruleText(d executor.RuleDoc) string {
	var b strings.Builder
	kind := d.Kind
	if kind == "" {
		kind = "rule"
	}
	fmt.Fprintf(&b, "%s (%s)\n", d.Name, kind)
	if doc := strings.TrimSpace(d.Doc); doc != "" {
		fmt.Fprintf(&b, "\n%s\n", doc)
	}
	if len(d.Attributes) > 0 {
		b.WriteString("\nAttributes:\n")
	}
	for _, a := range d.Attributes {
		state := "default " + a.Default
		if a.Default == "" {
			state = "optional"
		}
		if a.Mandatory {
			state = "mandatory"
		}
		fmt.Fprintf(&b, "  %s: %s; %s\n", a.Name, a.Type, state)
		if a.Doc != "" {
			b.WriteString(wrap(a.Doc, "      ", 80))
		}
	}
	title, text := "Example", example(d)
	if d.Example == "" && strings.Contains(d.Doc, "    "+d.Name+"(") { // the text above has one
		title, text = "Loaded by", loadLine(d)
	}
	if text != "" {
		fmt.Fprintf(&b, "\n%s:\n%s\n", title, indentText(text, "    "))
	}
	return b.String()
}

// loadLine makes a rule known to a file; "" for rules that need no load.
func loadLine(d executor.RuleDoc) string {
	if d.Load == "" {
		return ""
	}
	return fmt.Sprintf("load(%q, %q)", d.Load, d.Name)
}

// example returns the rule's own, or the shortest call that loads.
func example(d executor.RuleDoc) string {
	if d.Example != "" {
		return strings.Trim(d.Example, "\n")
	}
	var b strings.Builder
	if load := loadLine(d); load != "" {
		b.WriteString(load + "\n\n")
	}
	fmt.Fprintf(&b, "%s(\n    name = %q,\n", d.Name, strings.TrimPrefix(strings.TrimPrefix(d.Name, "cargo_"), "rust_"))
	for _, a := range d.Attributes {
		if a.Mandatory && a.Name != "name" {
			fmt.Fprintf(&b, "    %s = %s,\n", a.Name, sample(a.Type))
		}
	}
	b.WriteString(")")
	return b.String()
}

func sample(kind string) string {
	switch {
	case strings.HasPrefix(kind, "list of label"):
		return `[":target"]`
	case strings.HasPrefix(kind, "list"):
		return `["..."]`
	case strings.HasPrefix(kind, "dict"):
		return `{}`
	case strings.HasPrefix(kind, "label"):
		return `":target"`
	case strings.HasPrefix(kind, "bool"):
		return "True"
	case strings.HasPrefix(kind, "int"):
		return "1"
	}
	return `"..."`
}

func indentText(s, by string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = by + l
		}
	}
	return strings.Join(lines, "\n")
}

// wrap breaks text into lines of at most width columns, each after by.
func wrap(text, by string, width int) string {
	var b strings.Builder
	column := 0
	for _, w := range strings.Fields(text) {
		switch {
		case column == 0:
			b.WriteString(by + w)
			column = len(by) + len(w)
		case column+1+len(w) > width:
			b.WriteString("\n" + by + w)
			column = len(by) + len(w)
		default:
			b.WriteString(" " + w)
			column += 1 + len(w)
		}
	}
	if column > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

func runVersion(_ context.Context, c *command) error {
	for _, line := range c.release() {
		c.say("%s\n", line)
	}
	return nil
}

// release says which gorules this is.
func (a *App) release() []string {
	lines := []string{"gorules " + a.Version}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				lines = append(lines, "commit: "+s.Value)
			}
		}
	}
	return append(lines, fmt.Sprintf("go: %s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH))
}
