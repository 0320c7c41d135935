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

	"gorules/executor/internal/bug"
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

// A chain costs its length, not the square of it: neither finding that it closes
// nor looking up what contexts carry may walk all of it for each computation.
func TestLongCycle(t *testing.T) {
	type carried struct{}
	const n = 20_000
	var g memo.Group
	var c *memo.Cache[int, int]
	c = memo.New(&g, func(ctx context.Context, k int) (int, error) {
		if ctx.Value(carried{}) != "value" {
			t.Errorf("%d: the value is lost", k)
		}
		return c.Get(ctx, (k+1)%n)
	})
	begin := time.Now()
	_, err := c.Get(context.WithValue(t.Context(), carried{}, "value"), 0)
	var cycle *memo.CycleError
	if !errors.As(err, &cycle) || len(cycle.Path) != n {
		t.Fatalf("%T, want a cycle of %d", err, n)
	}
	if d := time.Since(begin); d > 20*time.Second { // it takes half a second; squares take minutes
		t.Errorf("it took %v", d)
	}
}

// A fault in a computation is its error, for all who wait.
func TestPanic(t *testing.T) {
	var g memo.Group
	c := memo.New(&g, func(context.Context, int) (int, error) { panic("lost") })
	for range 2 {
		var b *bug.Error
		if _, err := c.Get(t.Context(), 1); !errors.As(err, &b) || b.Value != "lost" {
			t.Errorf("%v", err)
		}
	}
}

func TestPeek(t *testing.T) {
	var g memo.Group
	c := memo.New(&g, func(_ context.Context, k int) (int, error) {
		if k == 2 {
			return 0, errors.New("no")
		}
		return k * k, nil
	})
	if _, ok := c.Peek(3); ok {
		t.Error("known before it was computed")
	}
	_, _ = c.Get(t.Context(), 2)
	if v, err := c.Get(t.Context(), 3); err != nil || v != 9 {
		t.Fatal(v, err)
	}
	if v, ok := c.Peek(3); !ok || v != 9 {
		t.Error(v, ok)
	}
	if _, ok := c.Peek(2); ok {
		t.Error("an error is no value")
	}
}
