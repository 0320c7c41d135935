package memo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gorules/executor/internal/memo"
)

func TestOncePerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		c := memo.New(&memo.Group{}, func(_ context.Context, k string) (string, error) {
			runs.Add(1)
			time.Sleep(time.Second)
			return k + "!", nil
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if v, err := c.Get(t.Context(), "a"); v != "a!" || err != nil {
					t.Errorf("Get = %q, %v", v, err)
				}
			})
		}
		wg.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("computed %d times, want 1", n)
		}
	})
}

func TestErrorIsKept(t *testing.T) {
	runs := 0
	c := memo.New(&memo.Group{}, func(context.Context, int) (int, error) {
		runs++
		return 0, errors.New("no")
	})
	for range 2 {
		if _, err := c.Get(t.Context(), 1); err == nil || err.Error() != "no" {
			t.Fatalf("err = %v", err)
		}
	}
	if runs != 1 {
		t.Errorf("computed %d times, want 1", runs)
	}
}

func TestCycles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edges map[string]string // key -> keys it asks for, each one letter
		from  string
		want  string
	}{
		{"self", map[string]string{"a": "a"}, "a", "cycle:\n    a ->\n    a"},
		{"two", map[string]string{"a": "b", "b": "a"}, "b", "cycle:\n    a ->\n    b ->\n    a"},
		{"behind", map[string]string{"x": "a", "a": "bd", "b": "c", "c": "a", "d": ""}, "x",
			"cycle:\n    a ->\n    b ->\n    c ->\n    a"},
		{"diamond", map[string]string{"a": "bc", "b": "d", "c": "d", "d": ""}, "a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *memo.Cache[string, string]
				c = memo.New(&memo.Group{}, func(ctx context.Context, k string) (string, error) {
					time.Sleep(time.Second)
					var first error
					var mu sync.Mutex
					var wg sync.WaitGroup
					for _, d := range strings.Split(tt.edges[k], "") {
						wg.Go(func() {
							if _, err := c.Get(ctx, d); err != nil {
								mu.Lock()
								first = err
								mu.Unlock()
							}
						})
					}
					wg.Wait()
					return k, first
				})
				_, err := c.Get(t.Context(), tt.from)
				if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
					t.Errorf("error = %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// Two goroutines enter one cycle at different places: neither may hang.
func TestCycleFromBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := map[string]string{"a": "b", "b": "a"}
		var c *memo.Cache[string, int]
		c = memo.New(&memo.Group{}, func(ctx context.Context, k string) (int, error) {
			time.Sleep(time.Second)
			return c.Get(ctx, next[k])
		})
		var wg sync.WaitGroup
		for _, k := range []string{"a", "b"} {
			wg.Go(func() {
				_, err := c.Get(t.Context(), k)
				var cycle *memo.CycleError
				if !errors.As(err, &cycle) || len(cycle.Path) != 2 || cycle.Path[0] != "a" {
					t.Errorf("from %s: %v", k, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestCancelWhenLastWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, stopped atomic.Int32
		c := memo.New(&memo.Group{}, func(ctx context.Context, _ int) (string, error) {
			runs.Add(1)
			select {
			case <-ctx.Done():
				stopped.Add(1)
				return "", ctx.Err()
			case <-time.After(10 * time.Second):
				return "value", nil
			}
		})
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		long, cancelLong := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancelLong()
		var wg sync.WaitGroup
		for _, ctx := range []context.Context{short, long} {
			wg.Go(func() {
				if _, err := c.Get(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("err = %v", err)
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		if stopped.Load() != 0 {
			t.Error("cancelled while one waiter was left")
		}
		wg.Wait()
		synctest.Wait()
		if stopped.Load() != 1 {
			t.Error("not cancelled after the last waiter left")
		}
		if v, err := c.Get(t.Context(), 1); v != "value" || err != nil {
			t.Errorf("second try = %q, %v", v, err)
		}
		if runs.Load() != 2 {
			t.Errorf("computed %d times, want 2", runs.Load())
		}
	})
}
