package run_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/run"
	"gorules/executor/internal/run/runtest"
	"gorules/executor/internal/tree"
)

// fixed is a Runner with one result.
type fixed struct {
	res run.Result
	ran int
}

func (f *fixed) Run(context.Context, *action.Bound, run.Hints) (run.Result, error) {
	f.ran++
	return f.res, nil
}

func TestChecker(t *testing.T) {
	ctx := context.Background()
	store := &cas.Memory{}
	file := func(text string) action.Content {
		d, err := cas.PutBytes(ctx, store, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return action.Content{File: d, Executable: true}
	}
	dir := func(files ...string) action.Content { // "path=text" or "path>target"
		var b tree.Builder
		for _, f := range files {
			if p, target, ok := strings.Cut(f, ">"); ok {
				b.AddLink(p, target)
				continue
			}
			p, text, _ := strings.Cut(f, "=")
			b.AddFile(p, file(text).File, true)
		}
		tr, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return action.Content{Tree: tr}
	}
	for _, c := range []struct {
		name         string
		first, again map[string]action.Content
		exit         int
		want         string // of the failure; "" for none
		kept         string // a file below the folder that is kept, and its text
	}{
		{name: "same", first: map[string]action.Content{"/o/a": file("x"), "/o/d": dir("f=1", "l>f")}, again: map[string]action.Content{"/o/a": file("x"), "/o/d": dir("f=1", "l>f")}},
		{name: "byte", first: map[string]action.Content{"/o/a": file("same1rest")}, again: map[string]action.Content{"/o/a": file("same2rest+")},
			want: "/o/a differs from byte 4 on (9 bytes, then 10)", kept: "again/o/a=same2rest+"},
		{name: "longer", first: map[string]action.Content{"/o/a": file("x")}, again: map[string]action.Content{"/o/a": file("xy")}, want: "differs from byte 1 on (1 bytes, then 2)"},
		{name: "second block", first: map[string]action.Content{"/o/a": file(strings.Repeat("x", 70_000) + "1")}, again: map[string]action.Content{"/o/a": file(strings.Repeat("x", 70_000) + "2")}, want: "from byte 70000 on"},
		{name: "inside", first: map[string]action.Content{"/o/d": dir("s/f=1", "s/g=1", "h=1")}, again: map[string]action.Content{"/o/d": dir("s/f=1", "s/g=2", "h=2")},
			want: "/o/d/h differs from byte 0 on (1 bytes, then 1) when it is made again, and 1 more; both are in ", kept: "first/o/d/s/g=1"},
		{name: "absent", first: map[string]action.Content{"/o/d": dir("f=1", "g=1")}, again: map[string]action.Content{"/o/d": dir("g=1")}, want: "/o/d/f is not there"},
		{name: "new", first: map[string]action.Content{}, again: map[string]action.Content{"/o/a": file("x")}, want: "/o/a was not there at first, and is"},
		{name: "link", first: map[string]action.Content{"/o/d": dir("l>a")}, again: map[string]action.Content{"/o/d": dir("l>b")}, want: "/o/d/l leads to b, not a,"},
		{name: "kind", first: map[string]action.Content{"/o/d": dir("l>a")}, again: map[string]action.Content{"/o/d": dir("l=a")}, want: "/o/d/l is of another kind"},
		{name: "fails", first: map[string]action.Content{"/o/a": file("x")}, again: map[string]action.Content{}, exit: 3, want: "is not reproducible: exit code 3 when it ran again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := runtest.Bound([]string{"x"}, tree.Empty)
			b.Outputs = []action.BoundOutput{{Path: "/o/a", Optional: true}, {Path: "/o/d", Dir: true, Optional: true}}
			first, again := &fixed{res: run.Result{Outputs: c.first}}, &fixed{res: run.Result{Outputs: c.again, ExitCode: c.exit}}
			keep := t.TempDir()
			checker := &run.Checker{Next: first, Again: again, Store: store, Keep: keep}
			res, err := checker.Run(ctx, b, run.Hints{})
			if err != nil {
				t.Fatal(err)
			}
			got := run.Judge(b, res)
			if c.want == "" && (got != "" || checker.Checked() != 1) || !strings.Contains(got, c.want) {
				t.Errorf("judged %q, want %q; %d checked", got, c.want, checker.Checked())
			}
			if c.want != "" && run.Cacheable(b, res) {
				t.Error("the result may be stored")
			}
			if p, text, ok := strings.Cut(c.kept, "="); ok {
				got, err := os.ReadFile(filepath.Join(keep, b.Digest.Hex()[:16], p))
				if err != nil || string(got) != text {
					t.Errorf("kept %q, %v; want %q", got, err, text)
				}
			}
		})
	}
}

// What failed, and what is never stored, does not run again. Two runs start
// some seconds apart.
func TestCheckerLeavesAlone(t *testing.T) {
	b := runtest.Bound([]string{"x"}, tree.Empty)
	again := &fixed{}
	checker := &run.Checker{Next: &fixed{res: run.Result{ExitCode: 1}}, Again: again, Store: &cas.Memory{}, Keep: t.TempDir()}
	if _, err := checker.Run(t.Context(), b, run.Hints{}); err != nil || again.ran != 0 {
		t.Errorf("a failure ran again %d times, %v", again.ran, err)
	}
	checker.Next = &fixed{}
	b.NoSandbox = true
	if _, err := checker.Run(t.Context(), b, run.Hints{}); err != nil || again.ran != 0 {
		t.Errorf("what runs on the host ran again %d times, %v", again.ran, err)
	}
	b.NoSandbox = false
	begin := time.Now()
	checker.Next = &fixed{res: run.Result{Start: begin}}
	if _, err := checker.Run(t.Context(), b, run.Hints{}); err != nil || again.ran != 1 || time.Since(begin) < 2*time.Second {
		t.Errorf("ran again %d times, %v after the first, %v", again.ran, time.Since(begin), err)
	}
}
