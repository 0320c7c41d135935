package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/run"
	"gorules/executor/internal/schedule"
	"gorules/executor/internal/source"
	"gorules/executor/internal/tree"
)

// maxText bounds what a plan may read of one file: it is held in memory as a
// Starlark string.
const maxText = 256 << 20

// peer is the schedule.Executor of this machine: a runner, a cache beside it,
// and the store between them.
type peer struct {
	store   cas.Store
	cache   run.ActionCache
	runner  run.Runner
	sources *source.Snapshot
}

var _ schedule.Executor = (*peer)(nil)

func (p *peer) Lookup(ctx context.Context, b *action.Bound) (*schedule.Outcome, bool, error) {
	if b.NoSandbox {
		return nil, false, nil
	}
	res, ok, err := p.cache.Lookup(ctx, b)
	if err != nil || !ok {
		return nil, false, err
	}
	o, err := p.outcome(ctx, b, res)
	if err != nil {
		return nil, false, err
	}
	o.Cached, o.Runner = true, res.Cache
	return o, true, nil
}

func (p *peer) Run(ctx context.Context, b *action.Bound, early func(string, action.Content)) (*schedule.Outcome, error) {
	res, err := p.runner.Run(ctx, b, observer(early))
	if err != nil {
		return nil, err
	}
	return p.outcome(ctx, b, res)
}

type observer func(string, action.Content)

// Early passes the announcement on.
func (o observer) Early(path string, c action.Content) { o(path, c) }

// outcome turns a result into what the graph needs. A test that was killed or
// ran out of time is a stored result with an exit code of its own, not a
// failure of the build.
func (p *peer) outcome(ctx context.Context, b *action.Bound, res run.Result) (*schedule.Outcome, error) {
	o := &schedule.Outcome{
		Outputs:  res.Outputs,
		Stdout:   action.Content{File: res.Stdout},
		Stderr:   action.Content{File: res.Stderr},
		ExitCode: res.ExitCode,
		Runner:   res.Runner,
		Start:    res.Start,
		Wall:     res.Wall,
		Notes:    notes(b.Spec, res.Accesses),
	}
	switch {
	case res.Failure != "":
		o.Failure = res.Failure
	case res.TimedOut && b.Stored:
		o.ExitCode = exitTimeout
	case res.TimedOut:
		o.Failure = fmt.Sprintf("timed out after %s", b.Timeout)
	case b.Stored:
	case res.Signal != 0:
		o.Failure = fmt.Sprintf("killed by signal %d", res.Signal)
	case res.ExitCode != 0:
		o.Failure = fmt.Sprintf("exit code %d", res.ExitCode)
	}
	o.Storable = run.Cacheable(b, res)
	if b.Stored && len(o.Notes) > 0 {
		// What a stored failure was refused is shown with it, also from a cache.
		if err := p.annotate(ctx, o); err != nil {
			return nil, err
		}
	}
	if b.Stored {
		if _, err := cas.PutBytes(ctx, p.store, schedule.ExitText(o.ExitCode)); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// annotate adds the notes to what the process printed.
func (p *peer) annotate(ctx context.Context, o *schedule.Outcome) error {
	var said []byte
	if o.Stderr.File.Size > 0 {
		var err error
		if said, err = cas.ReadAll(ctx, p.store, o.Stderr.File); err != nil {
			return err
		}
	}
	said = append(said, strings.Join(o.Notes, "\n")+"\n"...)
	d, err := cas.PutBytes(ctx, p.store, said)
	o.Stderr.File = d
	return err
}

// exitTimeout is the exit code that timeout(1) gives.
const exitTimeout = 124

func (p *peer) Record(ctx context.Context, b *action.Bound, o *schedule.Outcome) error {
	if !o.Storable {
		return nil
	}
	return p.cache.Record(ctx, b, run.Result{
		ExitCode: o.ExitCode,
		Outputs:  o.Outputs,
		Stdout:   o.Stdout.File,
		Stderr:   o.Stderr.File,
		Start:    o.Start,
		Wall:     o.Wall,
		Runner:   o.Runner,
	})
}

func (p *peer) Source(src *action.Source) (action.Content, error) { return p.sources.Resolve(src) }

func (p *peer) Text(ctx context.Context, c action.Content) ([]byte, error) {
	if c.File.Size > maxText {
		return nil, fmt.Errorf("a plan may read files up to %d MiB, this one has %d", maxText>>20, c.File.Size>>20)
	}
	return cas.ReadAll(ctx, p.store, c.File)
}

func (p *peer) Internal(ctx context.Context, s *action.Spec, in action.Resolver) (action.Content, error) {
	switch {
	case s.Write != nil:
		return p.write(ctx, s.Write, in)
	case s.Link != nil:
		if s.Link.Target == nil {
			return action.Content{Symlink: s.Link.Path}, nil
		}
		c, err := in.Content(s.Link.Target)
		if err == nil && s.Link.Executable && c.Tree == nil && !c.Executable {
			err = fmt.Errorf("%s is not executable, as the symlink to it asks", s.Link.Target.Path)
		}
		return c, err
	case s.Assemble != nil:
		var b tree.Builder
		for name, a := range s.Assemble.Entries {
			c, err := in.Content(a)
			if err != nil {
				return c, err
			}
			switch {
			case c.Tree != nil:
				err = b.AddTree(name, c.Tree)
			case c.Symlink != "":
				err = b.AddLink(name, c.Symlink)
			default:
				err = b.AddFile(name, c.File, c.Executable)
			}
			if err != nil {
				return action.Content{}, err
			}
		}
		t, err := b.Build()
		return action.Content{Tree: t}, err
	}
	return action.Content{}, fmt.Errorf("%s: an action without anything to do", s.Mnemonic)
}

func (p *peer) write(ctx context.Context, w *action.Write, in action.Resolver) (action.Content, error) {
	var text []byte
	var err error
	if w.Template != nil {
		c, cerr := in.Content(w.Template)
		if cerr != nil {
			return action.Content{}, cerr
		}
		if text, err = p.Text(ctx, c); err != nil {
			return action.Content{}, err
		}
		var s string
		if s, err = w.Replace(string(text)); err != nil {
			return action.Content{}, err
		}
		text = []byte(s)
	} else if text, err = w.Content(in); err != nil {
		return action.Content{}, err
	}
	d, err := cas.PutBytes(ctx, p.store, text)
	return action.Content{File: d, Executable: w.Executable}, err
}

// sourceStore serves blobs of source files that are not in the store yet:
// what was digested is copied in when an action is about to see it, and checked
// on the way, so that an edit during the build is an error and not an input.
type sourceStore struct {
	cas.Store
	sources *source.Snapshot
}

func (s sourceStore) Get(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, d)
	if !errors.Is(err, cas.ErrNotFound) {
		return r, err
	}
	name, ok := s.sources.Blob(d)
	if !ok {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return cas.Verify(d, f), nil
}

// envMap reads NAME=VALUE and NAME (from this process) settings.
func envMap(settings []string) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			value, ok = os.LookupEnv(name)
		}
		if ok {
			m[name] = value
		}
	}
	return m
}
