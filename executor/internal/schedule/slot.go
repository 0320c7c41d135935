package schedule

import (
	"container/heap"
	"context"
)

// A request is a node's wait for a slot.
type request struct {
	n       *node
	index   int        // in the heap; -1 outside it
	granted chan error // nil for a slot, ErrStopped for none
	has     bool       // was granted and not given back
}

// slot waits on a worker until the loop grants n a slot.
func (g *graph) slot(ctx context.Context, n *node) (release func(), err error) {
	r := &request{n: n, index: -1, granted: make(chan error, 1)}
	g.inbox <- slotWanted{r}
	select {
	case err := <-r.granted:
		if err != nil {
			return nil, err
		}
		return func() { g.inbox <- slotGone{r} }, nil
	case <-ctx.Done():
		g.inbox <- slotGone{r}
		return nil, context.Cause(ctx)
	}
}

type slotWanted struct{ r *request }

func (m slotWanted) apply(g *graph) {
	n := m.r.n
	if g.halted() {
		m.r.granted <- ErrStopped
		return
	}
	if n.state == starting {
		g.set(n, queued)
	}
	n.request = m.r
	g.queue.push(m.r)
	g.outdate(n)
}

// slotGone gives a slot back, or takes the request for one back.
type slotGone struct{ r *request }

func (m slotGone) apply(g *graph) {
	if m.r.n.request == m.r {
		m.r.n.request = nil
	}
	switch {
	case m.r.has:
		m.r.has = false
		g.running--
	case m.r.index >= 0:
		g.queue.remove(m.r)
	}
}

// grant gives free slots to those who wait for one, and turns all of them away
// if nothing new may start.
func (g *graph) grant() {
	for g.queue.len() > 0 && (g.halted() || g.running < g.opt.Jobs) {
		r := g.queue.pop()
		r.n.request = nil
		if g.halted() {
			r.granted <- ErrStopped
			continue
		}
		if r.n.state == failed {
			continue // its Slot ends with its context
		}
		r.has, r.n.began = true, true
		g.running++
		if r.n.state == queued {
			g.set(r.n, running)
		}
		if g.opt.Watcher != nil && r.n.bound != nil {
			g.opt.Watcher.Started(r.n.id, r.n.bound)
		}
		r.granted <- nil
	}
}

// queue is a heap of requests: highest priority first, then oldest.
type queue struct{ h requests }

func (q *queue) push(r *request)   { heap.Push(&q.h, r) }
func (q *queue) pop() *request     { return heap.Pop(&q.h).(*request) }
func (q *queue) fix(r *request)    { heap.Fix(&q.h, r.index) }
func (q *queue) remove(r *request) { heap.Remove(&q.h, r.index) }
func (q *queue) len() int          { return len(q.h) }

type requests []*request

func (h requests) Len() int { return len(h) }
func (h requests) Less(i, j int) bool {
	if h[i].n.priority != h[j].n.priority {
		return h[i].n.priority > h[j].n.priority
	}
	return h[i].n.id < h[j].n.id
}
func (h requests) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *requests) Push(x any) {
	r := x.(*request)
	r.index = len(*h)
	*h = append(*h, r)
}
func (h *requests) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	r.index = -1
	return r
}
