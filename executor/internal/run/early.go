package run

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"gorules/executor/internal/action"
)

// watcher looks in stderr for the lines that announce early outputs, copies
// each announced output into the store, and tells who asked.
type watcher struct {
	ctx  context.Context
	l    *Local
	find finder
	obs  Hints
	take *taker

	pending []action.BoundOutput // only the line method touches it
	wg      sync.WaitGroup

	mu   sync.Mutex // also held while Early is called
	done map[string]action.Content
	err  error
}

func (l *Local) watch(ctx context.Context, b *action.Bound, find finder, obs Hints) *watcher {
	w := &watcher{ctx: ctx, l: l, find: find, obs: obs, take: l.copying(), done: map[string]action.Content{}}
	for _, o := range b.Outputs {
		if len(o.Early) > 0 {
			w.pending = append(w.pending, o)
		}
	}
	return w
}

// line is called with each line of stderr, one at a time.
func (w *watcher) line(b []byte) {
	if len(w.pending) == 0 || len(b) == 0 || b[0] != '{' {
		return
	}
	var fields map[string]any
	if json.Unmarshal(b, &fields) != nil {
		return
	}
	var rest []action.BoundOutput
	for _, o := range w.pending {
		if !matches(o.Early, fields) {
			rest = append(rest, o)
			continue
		}
		w.wg.Go(func() { w.announce(o) })
	}
	w.pending = rest
}

func matches(want map[string]string, fields map[string]any) bool {
	for k, v := range want {
		if s, ok := fields[k].(string); !ok || s != v {
			return false
		}
	}
	return true
}

func (w *watcher) announce(o action.BoundOutput) {
	c, failure, err := w.l.output(w.ctx, o, w.find, w.take)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if w.err == nil {
			w.err = fmt.Errorf("early output %s: %w", o.Path, err)
		}
		return
	}
	if failure != "" {
		return // not there after all; the end of the action will tell
	}
	w.done[o.Path] = c
	if w.obs.Early != nil {
		w.obs.Early(o.Path, c)
	}
}

// wait returns what was announced, when all of it is in the store.
func (w *watcher) wait() (map[string]action.Content, error) {
	w.wg.Wait()
	return w.done, w.err
}
