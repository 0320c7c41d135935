package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"gorules/executor/internal/action"
	"gorules/executor/internal/tree"
)

func validName(name string) bool { return utf8.ValidString(name) }

// runOnHost runs an action on this machine as it is: tags = ["local"]. The
// workspace part of its input root is copied into a scratch directory, where
// it runs; what it names by absolute path it finds on the machine, or not.
func (l *Local) runOnHost(ctx context.Context, b *action.Bound, obs Hints) (Result, error) {
	dir, err := l.scratch.get()
	if err != nil {
		return Result{}, named(b, err)
	}
	defer l.scratch.put([]string{dir})
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
	cmd := exec.CommandContext(run, b.Argv[0], b.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = workdir, environ(b.Env), out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second

	res := Result{Start: time.Now(), Key: b.Digest, Runner: HostRunner}
	err := cmd.Run()
	res.Wall = time.Since(res.Start)
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left running
	}
	announced, earlyErr := early.wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	var exit *exec.ExitError
	switch {
	case run.Err() != nil:
		res.TimedOut = true
	case errors.As(err, &exit), errors.Is(err, exec.ErrWaitDelay):
	case err != nil:
		res.ExitCode, res.NotStarted = 127, "cannot run "+b.Argv[0]+": "+err.Error()
	}
	if st := cmd.ProcessState; st != nil {
		res.ExitCode = st.ExitCode()
		if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			res.Signal, res.ExitCode = int(ws.Signal()), 128+int(ws.Signal())
		}
	}
	if err := errors.Join(earlyErr, res.texts(ctx, l.store, out, errs)); err != nil {
		return Result{}, err
	}
	err = l.finish(ctx, b, &res, find, announced)
	return res, err
}

// copyTree makes the directory dir hold t, as files of its own.
func (l *Local) copyTree(ctx context.Context, t *tree.Tree, dir string) error {
	for _, e := range t.Entries() {
		p := filepath.Join(dir, e.Name)
		var err error
		switch e.Kind {
		case tree.File:
			err = l.blobs.copy(ctx, e, t.Origin, p)
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
