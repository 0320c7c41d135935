package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gorules/cmd/gorules/internal/flags"
	"gorules/executor"
)

const queryText = `Evaluates an expression over the targets that BUILD files declare:

    deps(//:hello)                   what it needs, itself included
    deps(//:hello, 1)                only directly
    rdeps(//..., //:deps)            what needs it, within //...
    somepath(//:hello, //:clippy)    one way between, or nothing
    allpaths(A, B)                   everything between
    kind("cargo_.* rule", //...)     by kind
    attr(tags, "manual", //...)      by an attribute's text
    filter("_test$", //...)          by label
    tests(//...)                     tests, with suites resolved
    A + B, A - B, A ^ B              union, except, intersect; also as words

Nothing is built or fetched beyond what loading the packages needs.`

func runQuery(ctx context.Context, c *command) error {
	expr := strings.TrimSpace(strings.Join(c.operands, " "))
	if expr == "" {
		return withHint(badLine("an expression is missing"), "`gorules query //...` lists all targets; `gorules help query` shows more")
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	targets, err := e.Query(ctx, expr, executor.QueryOptions{ImplicitDeps: c.opts.implicitDeps, KeepGoing: c.opts.keepGoing, Package: c.ws.Package})
	if err != nil && len(targets) == 0 {
		return err
	}
	if perr := c.printTargets(targets); perr != nil {
		return perr
	}
	if err != nil {
		return &partial{err}
	}
	return nil
}

// partial is why what was shown is not all: with -k something could not be loaded.
type partial struct{ error }

func (p *partial) Unwrap() error { return p.error }

func (c *command) printTargets(targets []executor.Target) error {
	if c.opts.queryOutput != "json" {
		for _, t := range targets {
			switch c.opts.queryOutput {
			case "label_kind":
				c.say("%s %s\n", t.Kind, t.Label)
			case "location":
				c.say("%s: %s %s\n", t.Location, t.Kind, t.Label)
			default:
				c.say("%s\n", t.Label)
			}
		}
		return nil
	}
	type shown struct {
		Label      string         `json:"label"`
		Kind       string         `json:"kind"`
		Location   string         `json:"location,omitempty"`
		Attributes map[string]any `json:"attributes,omitempty"`
	}
	// One array, one target a line: for jq and for grep.
	c.say("[")
	for i, t := range targets {
		line, err := json.Marshal(shown{t.Label.String(), t.Kind, t.Location.String(), t.Attributes})
		if err != nil {
			return fmt.Errorf("write %s as JSON: %w", t.Label, err)
		}
		if i > 0 {
			c.say(",")
		}
		c.say("\n%s", line)
	}
	c.say("\n]\n")
	return nil
}

const whyText = `Lists the actions of the last build that ran for a target, not served from a
cache, each with the first input, argument or variable that differs from the
result it replaced.`

func runWhy(ctx context.Context, c *command) error {
	_, l, err := c.oneLabel(c.operands)
	if err != nil {
		return err
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	entries, err := e.Why(ctx, l)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		c.say("%s: the last build ran nothing for it; every result was known\n", l)
		return nil
	}
	for _, w := range entries {
		name := w.Progress
		if !strings.HasPrefix(name, w.Mnemonic) {
			name = strings.TrimSpace(w.Mnemonic + " " + name)
		}
		owner := ""
		if w.Owner != l && !w.Owner.IsZero() {
			owner = " (of " + w.Owner.String() + ")"
		}
		c.say("%s%s: %s\n", name, owner, w.Reason)
	}
	return nil
}

const fetchText = `Gets everything that a build of this workspace needs from outside: crates,
archives, repositories. Afterwards builds need no network.`

func runFetch(ctx context.Context, c *command) error {
	if len(c.operands) > 0 {
		return badLine("`gorules fetch` takes no operands, got %q", c.operands[0])
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	return e.Fetch(ctx)
}

const cleanText = `Removes the outputs and the remembered state of this workspace; the next build
is served from the disk cache. With --expunge also what was fetched for it. A
store named by --disk_cache is never touched.`

func runClean(ctx context.Context, c *command) error {
	if len(c.operands) > 0 {
		return badLine("`gorules clean` takes no operands, got %q", c.operands[0])
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	return e.Clean(ctx, c.opts.expunge)
}

const infoText = `Prints facts about this workspace and machine as KEY: VALUE; with one KEY only
its value.`

func runInfo(ctx context.Context, c *command) error {
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	all, err := e.Info(ctx)
	if err != nil {
		return err
	}
	if len(c.operands) == 0 {
		for _, i := range all {
			c.say("%s: %s\n", i.Key, i.Value)
		}
		return nil
	}
	var keys []string
	byKey := map[string]string{}
	for _, i := range all {
		keys = append(keys, i.Key)
		byKey[i.Key] = i.Value
	}
	for _, k := range c.operands {
		v, ok := byKey[k]
		if !ok {
			if near := flags.Nearest(k, keys); near != "" {
				return badLine("unknown key %q; did you mean %s?", k, near)
			}
			return withHint(badLine("unknown key %q", k), "known: "+strings.Join(keys, ", "))
		}
		if len(c.operands) == 1 {
			c.say("%s\n", v)
		} else {
			c.say("%s: %s\n", k, v)
		}
	}
	return nil
}
