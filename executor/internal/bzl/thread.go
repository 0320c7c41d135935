package bzl

import (
	"context"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/diag"
)

// NewThread returns a thread for one evaluation: name is what is evaluated, at
// where that stands, c what built-in functions find out. It is under the guard
// of ctx, and ends with ctx. done must be called after whatever is made of the
// result, such as freezing it.
func NewThread(ctx context.Context, name string, at diag.Position, print func(diag.Position, string), c *Context) (t *starlark.Thread, done func()) {
	t = &starlark.Thread{Name: name, Print: Printer(print)}
	e := &evaluation{thread: t, start: at, short: exact, interval: 1, last: time.Now()}
	c.evaluation = e
	t.SetLocal(contextKey, c)
	t.OnMaxSteps = e.step
	t.SetMaxExecutionSteps(1)
	stop := context.AfterFunc(ctx, func() { t.Cancel("interrupted") })
	g := GuardOf(ctx)
	if g == nil {
		return t, func() { stop() }
	}
	g.enter(e)
	return t, func() {
		stop()
		g.leave(e)
	}
}
