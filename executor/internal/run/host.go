package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"gorules/executor/internal/action"
	"gorules/executor/internal/supervise"
	"gorules/executor/internal/tree"
)

func validName(name string) bool { return utf8.ValidString(name) }

// runOnHost runs an action on this machine as it is: tags = ["local"]. The
// workspace part of its input root is copied into a scratch directory, where
// it runs. Words and variables that name a path below /w, where the workspace
// stands in every action's root, are given the copy's path; what else it names by
// absolute path it finds on the machine, or not.
func (l *Local) runOnHost(ctx context.Context, b *action.Bound, obs Hints) (Result, error) {
	dir, err := l.scratch.get()
	if err != nil {
		return Result{}, named(b, err)
	}
	defer l.scratch.put(dir)
	res, err := l.onHost(ctx, b, obs, dir)
	if err != nil {
		return Result{}, named(b, err)
	}
	return res, nil
}

func (l *Local) onHost(ctx context.Context, b *action.Bound, obs Hints, dir string) (Result, error) {
	find := func(p string) (string, string, bool) {
		rel, ok := strings.CutPrefix(p, action.Workspace+"/")
		return dir, path.Join("w", rel), ok
	}
	if err := l.fs.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		return Result{}, err
	}
	if e, ok := b.Root.Lookup(action.Workspace[1:]); ok && e.Kind == tree.Dir {
		if err := l.copyTree(ctx, e.Dir, filepath.Join(dir, "w")); err != nil {
			return Result{}, err
		}
	}
	for _, o := range b.Outputs {
		root, rel, ok := find(o.Path)
		if !ok {
			return Result{Runner: HostRunner, NotStarted: fmt.Sprintf("output %s is outside the workspace, where an action without a sandbox cannot write; remove the tag \"local\"", o.Path)}, nil
		}
		p := filepath.Join(root, rel)
		if !o.Dir {
			p = filepath.Dir(p)
		}
		if err := l.fs.MkdirAll(p, 0o755); err != nil {
			return Result{}, err
		}
	}
	workdir := b.Workdir
	if workdir == action.Workspace || strings.HasPrefix(workdir, action.Workspace+"/") {
		workdir = filepath.Join(dir, workdir)
		if err := l.fs.MkdirAll(workdir, 0o755); err != nil {
			return Result{}, err
		}
	}
	if len(b.Argv) == 0 {
		return Result{Runner: HostRunner, NotStarted: "the command is empty"}, nil
	}

	out, errs := l.capture(nil), l.capture(nil)
	defer out.discard()
	defer errs.discard()
	early := l.watch(ctx, b, find, obs)
	errs.line = early.line
	run, cancel := context.WithTimeout(ctx, timeout(b))
	defer cancel()
	argv := make([]string, len(b.Argv))
	for i, word := range b.Argv {
		argv[i] = onHostPaths(word, dir)
	}
	env := map[string]string{}
	for name, value := range b.Env {
		env[name] = onHostPaths(value, dir)
	}
	res := Result{Start: time.Now(), Key: b.Digest, Runner: HostRunner}
	ws, notStarted, err := (&supervise.Command{Program: argv[0], Argv: argv, Env: environ(env), Dir: workdir, Stdout: out, Stderr: errs}).Run(run)
	res.Wall = time.Since(res.Start)
	announced, earlyErr := early.wait()
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case err != nil:
		return Result{}, err
	case run.Err() != nil:
		res.TimedOut, res.Signal, res.ExitCode = true, int(syscall.SIGKILL), 128+int(syscall.SIGKILL)
	case notStarted != nil:
		res.ExitCode, res.NotStarted = 127, "cannot run "+b.Argv[0]+": "+notStarted.Error()
	case ws.Signaled():
		res.Signal, res.ExitCode = int(ws.Signal()), 128+int(ws.Signal())
	default:
		res.ExitCode = ws.ExitStatus()
	}
	if err := errors.Join(earlyErr, res.texts(ctx, l.store, out, errs)); err != nil {
		return Result{}, err
	}
	err = l.finish(ctx, b, &res, find, announced)
	return res, err
}

// rootPath matches the workspace's place in an action's root as a path of its own
// or the begin of one, not within another path or word.
var rootPath = regexp.MustCompile(`(^|[\s=:,;'"(\[{<>|&@])` + regexp.QuoteMeta(action.Workspace) + `($|[/\s:,;'")\]}<>|&])`)

// onHostPaths replaces paths below the workspace of the action's root in text by
// those of its copy in dir.
func onHostPaths(text, dir string) string {
	to := "${1}" + strings.ReplaceAll(filepath.Join(dir, action.Workspace), "$", "$$") + "${2}"
	// Twice, since two paths may share the character between them.
	return rootPath.ReplaceAllString(rootPath.ReplaceAllString(text, to), to)
}

// copyTree makes the directory dir hold t, as files of its own.
func (l *Local) copyTree(ctx context.Context, t *tree.Tree, dir string) error {
	for _, e := range t.Entries() {
		p := filepath.Join(dir, e.Name)
		var err error
		switch e.Kind {
		case tree.File:
			err = l.blobs.copy(ctx, e, p)
		case tree.Link:
			err = os.Symlink(e.Target, p)
		case tree.Dir:
			if err = l.fs.Mkdir(p, 0o755); err == nil {
				err = l.copyTree(ctx, e.Dir, p)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
