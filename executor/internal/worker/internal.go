package worker

import (
	"context"
	"fmt"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/tree"
)

// Internal implements schedule.Worker.
func (w *Worker) Internal(ctx context.Context, s *action.Spec, in action.Resolver) (action.Content, error) {
	switch {
	case s.Write != nil:
		return w.write(ctx, s.Write, in)
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
		return assemble(s.Assemble, in)
	}
	return action.Content{}, fmt.Errorf("%s: an action without anything to do", s.Mnemonic)
}

func assemble(s *action.Assemble, in action.Resolver) (action.Content, error) {
	var b tree.Builder
	for name, a := range s.Entries {
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

func (w *Worker) write(ctx context.Context, s *action.Write, in action.Resolver) (action.Content, error) {
	text, err := w.writeText(ctx, s, in)
	if err != nil {
		return action.Content{}, err
	}
	d, err := cas.PutBytes(ctx, w.Store, text)
	return action.Content{File: d, Executable: true}, err // as every output, see run.Local
}

func (w *Worker) writeText(ctx context.Context, s *action.Write, in action.Resolver) ([]byte, error) {
	if s.Template == nil {
		return s.Content(in)
	}
	c, err := in.Content(s.Template)
	if err != nil {
		return nil, err
	}
	text, err := w.Text(ctx, c)
	if err != nil {
		return nil, err
	}
	out, err := s.Replace(string(text))
	return []byte(out), err
}
