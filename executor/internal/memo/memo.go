// Package memo computes a value once per key, however many goroutines ask for
// it. A computation that waits for itself, directly or through others, gets a
// CycleError with the path instead of a deadlock. When the last goroutine that
// waits for a computation gives up, the computation is cancelled and forgotten.
//
// The package knows nothing about what is computed. It must never keep the
// outcome of a cancelled computation: asking again starts anew.
package memo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gorules/executor/internal/bug"
)

// A Group is a set of caches whose computations may wait for one another;
// cycles are found across all caches of one Group.
type Group struct{ mu sync.Mutex }

// A Cache holds the value, or the error, of each key. It is safe for
// concurrent use.
type Cache[K comparable, V any] struct {
	group   *Group
	compute func(context.Context, K) (V, error)
	entries map[K]*entry[V] // guarded by group.mu
}

type entry[V any] struct {
	node   *node
	done   chan struct{}
	cancel context.CancelFunc
	users  int // goroutines waiting; guarded by Group.mu

	value V // written before done is closed
	err   error
}

// node is a computation in the graph of who waits for whom.
type node struct {
	key   any
	waits map[*node]int // guarded by Group.mu
}

type nodeKey struct{ g *Group }

// New returns a cache in g whose values compute makes. The context given to
// compute must be used for whatever the computation asks of caches of g.
func New[K comparable, V any](g *Group, compute func(context.Context, K) (V, error)) *Cache[K, V] {
	return &Cache[K, V]{group: g, compute: compute, entries: map[K]*entry[V]{}}
}

// Get returns the value of key, computing it unless that was done or is under
// way. It returns the context's error when ctx ends first, and a *CycleError
// when key is computed by a computation that waits for the caller.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	var zero V
	if err := ctx.Err(); err != nil {
		return zero, context.Cause(ctx)
	}
	from, _ := ctx.Value(nodeKey{c.group}).(*node)
	c.group.mu.Lock()
	e := c.entries[key]
	if e == nil {
		e = c.start(ctx, key)
	}
	select {
	case <-e.done:
		c.group.mu.Unlock()
		return e.value, e.err
	default:
	}
	if from != nil {
		if path := e.node.pathTo(from); path != nil {
			c.group.mu.Unlock()
			return zero, newCycle(path)
		}
		from.waits[e.node]++
	}
	e.users++
	c.group.mu.Unlock()

	var err error
	select {
	case <-e.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}

	if last := c.leave(key, e, from, err != nil); last {
		// Nothing is left half done when the one who gave up goes on, to end the
		// process perhaps.
		e.cancel()
		<-e.done
	}
	if err != nil {
		return zero, err
	}
	return e.value, e.err
}

// leave takes off one who waited for e. last says that it gave up as the last one, and
// e is forgotten: its outcome stays if it finished meanwhile.
func (c *Cache[K, V]) leave(key K, e *entry[V], from *node, gaveUp bool) (last bool) {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	if from != nil {
		if from.waits[e.node]--; from.waits[e.node] == 0 {
			delete(from.waits, e.node)
		}
	}
	e.users--
	if !gaveUp || e.users > 0 {
		return false
	}
	select {
	case <-e.done:
		return false
	default:
	}
	c.forget(key, e)
	return true
}

// nodeContext is the context of a computation. It remembers the values that were
// looked up in it: each computation's context is built on that of the one that
// asked for it, and a look-up that walked them all would make long chains cost
// the square of their length.
type nodeContext struct {
	context.Context
	group *Group
	node  *node
	known sync.Map // key to value
}

// Value implements context.Context.
func (c *nodeContext) Value(key any) any {
	if key == (nodeKey{c.group}) {
		return c.node
	}
	if v, ok := c.known.Load(key); ok {
		return v
	}
	v := c.Context.Value(key)
	c.known.Store(key, v)
	return v
}

// Peek returns the value of key if it was computed already.
func (c *Cache[K, V]) Peek(key K) (v V, ok bool) {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return v, false
	}
	select {
	case <-e.done:
		return e.value, e.err == nil
	default:
		return v, false
	}
}

// start begins the computation of key; the group is locked.
func (c *Cache[K, V]) start(ctx context.Context, key K) *entry[V] {
	n := &node{key: key, waits: map[*node]int{}}
	run, cancel := context.WithCancel(&nodeContext{Context: context.WithoutCancel(ctx), group: c.group, node: n})
	e := &entry[V]{node: n, done: make(chan struct{}), cancel: cancel}
	c.entries[key] = e
	go func() {
		defer cancel()
		v, err := c.computed(run, key)
		c.group.mu.Lock()
		defer c.group.mu.Unlock()
		e.value, e.err = v, err
		if run.Err() != nil {
			c.forget(key, e)
		}
		close(e.done)
	}()
	return e
}

// computed is compute; a fault in it is the error of the computation.
func (c *Cache[K, V]) computed(ctx context.Context, key K) (v V, err error) {
	defer bug.Catch(&err)
	return c.compute(ctx, key)
}

// forget drops e unless key has a newer entry; the group is locked.
func (c *Cache[K, V]) forget(key K, e *entry[V]) {
	if c.entries[key] == e {
		delete(c.entries, key)
	}
}

// pathTo returns the nodes from n to target along waits, or nil; the group is
// locked. Waits never form a cycle, since Get refuses the edge that would.
func (n *node) pathTo(target *node) []*node {
	if n == target {
		return []*node{n}
	}
	before := map[*node]*node{n: nil}
	for todo := []*node{n}; len(todo) > 0; {
		last := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for m := range last.waits {
			if _, seen := before[m]; seen {
				continue
			}
			before[m] = last
			if m == target {
				var path []*node
				for ; m != nil; m = before[m] {
					path = append(path, m)
				}
				slices.Reverse(path)
				return path
			}
			todo = append(todo, m)
		}
	}
	return nil
}

// CycleError says that keys wait for one another.
type CycleError struct {
	// Path holds the keys, each waiting for the next and the last for the
	// first. It starts at the least in text order, so that it does not depend
	// on which goroutine came first.
	Path []any
}

func newCycle(path []*node) *CycleError {
	least, text := 0, fmt.Sprint(path[0].key)
	for i, n := range path {
		if t := fmt.Sprint(n.key); t < text {
			least, text = i, t
		}
	}
	e := &CycleError{}
	for _, n := range slices.Concat(path[least:], path[:least]) {
		e.Path = append(e.Path, n.key)
	}
	return e
}

// Error lists the path, one key a line, the first one repeated at the end.
func (e *CycleError) Error() string {
	var b strings.Builder
	b.WriteString("cycle:")
	for _, k := range e.Path {
		fmt.Fprintf(&b, "\n    %v ->", k)
	}
	fmt.Fprintf(&b, "\n    %v", e.Path[0])
	return b.String()
}
