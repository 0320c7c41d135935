package run

import (
	"context"
	"fmt"
	"sync"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// OnlyComplete makes a hit of next a miss unless store has every blob it names. It
// belongs around every action cache: blobs and entries are lost separately.
// Blobs once seen are not looked for again in the life of the decorator.
func OnlyComplete(next ActionCache, store cas.Store) ActionCache {
	return &complete{next: next, store: store}
}

type complete struct {
	next  ActionCache
	store cas.Store
	seen  sync.Map // digest.Digest -> struct{}
	trees sync.Map // digest of a tree -> struct{}: all its files were seen
}

func (c *complete) Lookup(ctx context.Context, b *action.Bound) (Result, bool, error) {
	res, ok, err := c.next.Lookup(ctx, b)
	if err != nil || !ok {
		return Result{}, false, err
	}
	var want []digest.Digest
	var whole []digest.Digest
	need := func(d digest.Digest) {
		if _, ok := c.seen.Load(d); !ok && !d.IsZero() {
			want = append(want, d)
		}
	}
	need(res.Stdout)
	need(res.Stderr)
	for _, o := range res.Outputs {
		switch {
		case o.Tree != nil:
			d := o.Tree.Digest()
			if _, ok := c.trees.Load(d); ok {
				break
			}
			whole = append(whole, d)
			o.Tree.Walk(func(_ string, e tree.Entry) error {
				if e.Kind == tree.File {
					need(e.File)
				}
				return nil
			})
		case o.Symlink == "":
			need(o.File)
		}
	}
	if len(want) > 0 {
		missing, err := c.store.Missing(ctx, want)
		if err != nil {
			return Result{}, false, fmt.Errorf("looking for the blobs of action %s: %w", b.Digest, err)
		}
		if len(missing) > 0 {
			return Result{}, false, nil
		}
	}
	for _, d := range want {
		c.seen.Store(d, struct{}{})
	}
	for _, d := range whole {
		c.trees.Store(d, struct{}{})
	}
	return res, true, nil
}

func (c *complete) Record(ctx context.Context, b *action.Bound, res Result) error {
	return c.next.Record(ctx, b, res)
}
