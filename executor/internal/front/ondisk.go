package front

import (
	"context"
	"sync"

	"gorules/executor/internal/loading"
	"gorules/executor/internal/repo"
)

// onDisk is the repositories as actions need them: one that is part of this
// program is written to a folder first, since actions read files.
type onDisk struct {
	*repo.Repositories
	mu   sync.Mutex
	seen map[string]*loading.View
}

// View returns a repository that has a folder.
func (o *onDisk) View(ctx context.Context, name string) (*loading.View, error) {
	v, err := o.Repositories.View(ctx, name)
	if err != nil || v.Root != "" {
		return v, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.seen[name]; w != nil {
		return w, nil
	}
	dir, err := o.Materialize(ctx, name)
	if err != nil {
		return nil, err
	}
	w := *v
	w.Root = dir
	o.seen[name] = &w
	return &w, nil
}
