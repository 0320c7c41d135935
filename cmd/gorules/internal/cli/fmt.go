package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gorules/cmd/gorules/internal/starfmt"
	"gorules/cmd/gorules/internal/ui"
	"gorules/cmd/gorules/internal/workspace"
	"gorules/executor"
	"gorules/executor/event"
)

const fmtText = `Formats BUILD, WORKSPACE, MODULE.bazel and .bzl files as buildifier does: those
named, or all of the workspace. Output folders and version control are left out.
With --mode=check or --mode=diff nothing is written, and the exit code is 1 if a
file would change. A file with a syntax error is named and left as it is (exit
code 1).`

func runFmt(ctx context.Context, c *command) error {
	var files []string
	for _, f := range c.operands {
		if !filepath.IsAbs(f) {
			f = filepath.Join(c.Dir, f)
		}
		info, err := os.Stat(f)
		if err != nil {
			return badLine("%w", err)
		}
		if !info.IsDir() {
			files = append(files, f)
			continue
		}
		found, err := starfmt.Find(f)
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	if len(c.operands) == 0 {
		root := c.ws.Root
		if root == "" {
			_, err := workspace.Find(c.Dir)
			return err
		}
		found, err := starfmt.Find(root)
		if err != nil {
			return err
		}
		files = found
	}
	changed, broken := 0, 0
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		shown := f
		if rel, err := filepath.Rel(c.Dir, f); err == nil && filepath.IsLocal(rel) {
			shown = rel
		}
		r, err := starfmt.File(f, shown)
		if err != nil {
			broken++
			d := described(err)
			d.Position.File = c.shown(f)
			c.console.Diagnose(d)
			continue
		}
		if !r.Changed() {
			continue
		}
		changed++
		switch c.opts.fmtMode {
		case "check":
			c.say("%s\n", shown)
		case "diff":
			c.say("%s", r.Diff())
		default:
			if err := r.Write(); err != nil {
				return &executor.Error{Kind: executor.Environment, Err: err}
			}
			c.say("formatted %s\n", shown)
		}
	}
	switch {
	case broken > 0:
		return &executor.Error{Kind: executor.BuildFailed, Err: fmt.Errorf("a syntax error in %d of %s", broken, ui.Plural(len(files), "file")), Reported: true}
	case changed > 0 && c.opts.fmtMode != "fix":
		c.console.Diagnose(event.Diagnostic{Severity: event.Error, Text: fmt.Sprintf("%d of %s not formatted", changed, ui.Plural(len(files), "file")), Hint: "run `gorules fmt`"})
		return &executor.Error{Kind: executor.BuildFailed, Err: fmt.Errorf("not formatted"), Reported: true}
	}
	return nil
}
