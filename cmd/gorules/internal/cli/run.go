package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorules/executor"
	"gorules/executor/label"
)

const runText = `Builds the target and starts its program in place of gorules, which keeps its
terminal, standard input and exit code. Words after -- are its arguments. The
folder where you are and the workspace are in BUILD_WORKING_DIRECTORY and
BUILD_WORKSPACE_DIRECTORY. Some checks have a program that repairs what they
found: gorules run //:clippy -- --fix`

func runRun(ctx context.Context, c *command) error {
	operands, args := c.operands, c.rest
	if !c.dashes && len(operands) > 1 { // bazel run //x a b
		operands, args = operands[:1], operands[1:]
	}
	p, l, err := c.oneLabel(operands)
	if err != nil {
		return err
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	p.Package, p.Name, p.Slash = l.Pkg(), l.Name, false
	req := c.buildRequest([]label.Pattern{p})
	spec, err := e.Run(ctx, req)
	if err != nil {
		return err
	}
	if len(spec.Argv) == 0 {
		return &executor.Error{Kind: executor.RunFailed, Err: fmt.Errorf("%s has no program to run", l)}
	}
	// From here on the process is the program: the lock must be free, and the
	// terminal as it was.
	c.engine = nil
	if err := e.Close(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.console.End(0)
	env := setenv(c.Environ, append(spec.Env,
		"BUILD_WORKSPACE_DIRECTORY="+c.ws.Root,
		"BUILD_WORKING_DIRECTORY="+c.Dir))
	err = c.Exec(append(slices.Clip(spec.Argv), args...), env, spec.Dir)
	if err == nil {
		err = errors.New("the program was not started")
	}
	return &executor.Error{Kind: executor.RunFailed, Err: fmt.Errorf("start %s of %s: %w", spec.Argv[0], l, err)}
}

// setenv returns env with each NAME=VALUE of extra in place of what NAME had.
func setenv(env, extra []string) []string {
	name := func(e string) string { n, _, _ := strings.Cut(e, "="); return n }
	out := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		return slices.ContainsFunc(extra, func(x string) bool { return name(x) == name(e) })
	})
	return append(out, extra...)
}
