package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"gorules/executor/internal/supervise"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// failedToRun is the return code of a program that could not be started or
// took too long, as in Bazel.
const failedToRun = 256

func (c *repoContext) execute(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var arguments *starlark.List
	timeout := starlark.MakeInt(600)
	var environment *starlark.Dict
	quiet, workdir := true, ""
	if err := starlark.UnpackArgs(name, args, kwargs, "arguments", &arguments, "timeout?", &timeout,
		"environment?", &environment, "quiet?", &quiet, "working_directory?", &workdir); err != nil {
		return nil, err
	}
	var argv []string
	for v := range arguments.Elements() {
		word, err := c.word(v)
		if err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		argv = append(argv, word)
	}
	if len(argv) == 0 {
		return nil, fmt.Errorf("arguments: the list is empty")
	}
	seconds, ok := timeout.Int64()
	if !ok || seconds <= 0 {
		return nil, fmt.Errorf("timeout: expected a positive number of seconds, got %s", timeout)
	}
	env, err := c.environ(environment)
	if err != nil {
		return nil, err
	}
	dir := c.dir
	if workdir != "" {
		if dir, err = c.path(starlark.String(workdir)); err != nil {
			return nil, err
		}
	}
	return c.run(argv, env, dir, time.Duration(seconds)*time.Second)
}

// word is the text of an argument; labels and paths become absolute paths.
func (c *repoContext) word(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), nil
	case starlark.Int:
		return v.String(), nil
	}
	return c.path(v)
}

// environ is the environment of the command with changes; None takes a variable away.
func (c *repoContext) environ(changes *starlark.Dict) ([]string, error) {
	env := map[string]string{}
	for k, v := range c.r.opts.Env {
		env[k] = v
	}
	if changes != nil {
		for _, item := range changes.Items() {
			key, ok := starlark.AsString(item[0])
			if !ok {
				return nil, fmt.Errorf("environment: expected names as keys, got %s", item[0].Type())
			}
			if item[1] == starlark.None {
				delete(env, key)
				continue
			}
			word, err := c.word(item[1])
			if err != nil {
				return nil, fmt.Errorf("environment: %s: %w", key, err)
			}
			env[key] = word
		}
	}
	var out []string
	for _, k := range sorted(env) {
		out = append(out, k+"="+env[k])
	}
	return out, nil
}

// run runs a program. What it leaves running is killed when it ends, when time is up
// or when the command ends, be it by SIGKILL.
func (c *repoContext) run(argv, env []string, dir string, timeout time.Duration) (starlark.Value, error) {
	program := argv[0]
	switch {
	case !strings.Contains(program, "/"):
		if program = c.files.Which(argv[0]); program == "" {
			return execResult("", fmt.Sprintf("%s: not found in PATH", argv[0]), failedToRun), nil
		}
	case !filepath.IsAbs(program):
		program = filepath.Join(dir, program)
	}
	if !c.inside(program) {
		c.files.Program(program)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := supervise.Command{Program: program, Argv: argv, Env: env, Dir: dir, Stdout: &stdout, Stderr: &stderr}
	ws, notStarted, err := cmd.Run(ctx)
	switch {
	case c.ctx.Err() != nil:
		return nil, context.Cause(c.ctx)
	case ctx.Err() != nil:
		return execResult(stdout.String(), stderr.String()+fmt.Sprintf("\n%s timed out after %v", argv[0], timeout), failedToRun), nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOTDIR): // the folder to run in
		return execResult(stdout.String(), err.Error(), failedToRun), nil
	case err != nil:
		return nil, err
	case notStarted != nil:
		return execResult(stdout.String(), notStarted.Error(), failedToRun), nil
	case ws.Signaled():
		return execResult(stdout.String(), stderr.String(), 128+int(ws.Signal())), nil
	}
	return execResult(stdout.String(), stderr.String(), ws.ExitStatus()), nil
}

func execResult(stdout, stderr string, code int) starlark.Value {
	return starlarkstruct.FromStringDict(starlark.String("exec_result"), starlark.StringDict{
		"stdout": starlark.String(stdout), "stderr": starlark.String(stderr), "return_code": starlark.MakeInt(code),
	})
}
