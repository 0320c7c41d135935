package executor

import (
	"context"
	"errors"
)

// Query evaluates a query expression.
func (e *Engine) Query(ctx context.Context, expr string, o QueryOptions) ([]Target, error) {
	return nil, errors.New("query is not wired yet")
}
