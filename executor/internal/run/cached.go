package run

import (
	"context"

	"gorules/executor/internal/action"
)

// Cached answers from cache where it can, and asks next otherwise. It records
// nothing: when a result is final only the caller knows.
func Cached(next Runner, cache ActionCache) Runner { return &cached{next, cache} }

type cached struct {
	next  Runner
	cache ActionCache
}

func (c *cached) Run(ctx context.Context, b *action.Bound, h Hints) (Result, error) {
	if !h.NoLookup && !b.NoSandbox {
		res, ok, err := c.cache.Lookup(ctx, b)
		if ok || err != nil {
			return res, err
		}
	}
	return c.next.Run(ctx, b, h)
}
