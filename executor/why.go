package executor

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"path/filepath"

	"gorules/executor/internal/analysis"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

const whyMagic = "gorules why 1\n"

func (e *Engine) whyPath() string { return filepath.Join(e.dir, "why") }

func (e *Engine) saveWhy(why []WhyEntry) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(why); err != nil {
		return fmt.Errorf("why: %w", err)
	}
	return source.WriteChecked(e.whyPath(), whyMagic, b.Bytes())
}

// Why tells, for each action of l and of what it depends on that the last build
// ran, the first thing that differs from the result it replaced.
func (e *Engine) Why(ctx context.Context, l label.Label) ([]WhyEntry, error) {
	s, err := e.open(ctx, analysis.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	below, err := s.closure(ctx, l)
	if err != nil {
		return nil, e.userError(err)
	}
	b, ok := source.ReadChecked(e.whyPath(), whyMagic)
	if !ok {
		return nil, nil // nothing ran yet
	}
	var all, out []WhyEntry
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&all); err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	for _, w := range all {
		if below[w.Owner] {
			out = append(out, w)
		}
	}
	return out, nil
}

// closure returns l and every target that it depends on.
func (s *session) closure(ctx context.Context, l label.Label) (map[label.Label]bool, error) {
	seen := map[label.Label]bool{}
	todo := []label.Label{l}
	for len(todo) > 0 {
		l := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[l] {
			continue
		}
		t, err := s.loader.Target(ctx, l)
		if err != nil {
			return nil, err
		}
		seen[l] = true
		for _, d := range t.Dependencies() {
			todo = append(todo, d.Label)
		}
	}
	return seen, nil
}
