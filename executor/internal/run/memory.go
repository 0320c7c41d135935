package run

import (
	"context"
	"fmt"
	"sync"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

// MemoryCache is an action cache in memory, for tests. The zero value is ready.
type MemoryCache struct {
	mu      sync.Mutex
	results map[digest.Digest]Result
}

// Lookup implements ActionCache.
func (c *MemoryCache) Lookup(ctx context.Context, b *action.Bound) (Result, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	res, ok := c.results[b.Digest]
	if ok && fits(b, res) != nil {
		return Result{}, false, nil
	}
	res.Cache = "memory"
	return res, ok, ctx.Err()
}

// Record implements ActionCache.
func (c *MemoryCache) Record(_ context.Context, b *action.Bound, res Result) error {
	if !Cacheable(b, res) {
		return fmt.Errorf("recording action %s: no result to keep", b.Digest)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results == nil {
		c.results = map[digest.Digest]Result{}
	}
	c.results[b.Digest] = res
	return nil
}
