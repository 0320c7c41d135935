package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/tree"
)

// A Checker is a Runner that runs each action which comes to a good result once
// more, by a Runner that makes another world of it, and compares what both made:
// a stored result must depend on nothing but the action. A difference is a
// failure, and what differs is kept.
type Checker struct {
	Next  Runner // its result is that of the Checker
	Again Runner // the other world
	Store cas.Store
	Keep  string // folder for what differs

	checked atomic.Int64
}

// Checked is how many actions ran again with the same outcome.
func (c *Checker) Checked() int { return int(c.checked.Load()) }

// apart is the least time between the starts of both runs: clocks that outputs
// bear often count seconds, and in archives every second one.
const apart = 2100 * time.Millisecond

// Run implements Runner. What runs on the host as it is is not checked: it is
// never stored.
func (c *Checker) Run(ctx context.Context, b *action.Bound, h Hints) (Result, error) {
	res, err := c.Next.Run(ctx, b, h)
	if err != nil || !Cacheable(b, res) {
		return res, err
	}
	select {
	case <-time.After(time.Until(res.Start.Add(apart))):
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
	narrowed, err := c.narrowed(ctx, b, res)
	if err != nil {
		return Result{}, err
	}
	again, err := c.Again.Run(ctx, narrowed, Hints{Slot: h.Slot, Start: h.Start})
	if err != nil {
		return Result{}, err
	}
	dir := filepath.Join(c.Keep, b.Digest.Hex()[:16])
	if !again.OK(b) || again.ExitCode != res.ExitCode {
		said := []difference{
			{"stdout", action.Content{File: res.Stdout}, action.Content{File: again.Stdout}},
			{"stderr", action.Content{File: res.Stderr}, action.Content{File: again.Stderr}},
		}
		if err := c.keep(ctx, dir, said); err != nil {
			return Result{}, fmt.Errorf("keeping what both said: %w", err)
		}
		res.Unlike = fmt.Sprintf("is not reproducible: %s when it ran again in another world (one CPU, other order of folders, nothing but what it had looked at); what both said is in %s",
			cmp.Or(Judge(b, again), fmt.Sprintf("exit code %d", again.ExitCode)), dir)
		return res, nil
	}
	ds := differences(res.Outputs, again.Outputs)
	if len(ds) == 0 {
		c.checked.Add(1)
		return res, nil
	}
	if err := c.keep(ctx, dir, ds); err != nil {
		return Result{}, fmt.Errorf("keeping what differs: %w", err)
	}
	where, err := c.where(ctx, ds[0])
	if err != nil {
		return Result{}, err
	}
	more := ""
	if n := len(ds) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	res.Unlike = fmt.Sprintf("is not reproducible: %s %s when it is made again%s; both are in %s", ds[0].path, where, more, dir)
	return res, nil
}

// narrowed is b with nothing of its scopes but what the run of res looked at: what it
// did not look at must not matter. What b changes in a scope needs the scope.
func (c *Checker) narrowed(ctx context.Context, b *action.Bound, res Result) (*action.Bound, error) {
	if res.Bound == nil || slices.ContainsFunc(b.Outputs, func(o action.BoundOutput) bool { return o.Changes }) {
		return b, nil
	}
	n := *res.Bound
	n.Scopes = nil
	for size := range action.Sizes(res.Bound) {
		if err := c.Store.Put(ctx, size, io.LimitReader(action.Zeros{}, size.Size)); err != nil {
			return nil, fmt.Errorf("zeros in the place of a file of which only the size was asked: %w", err)
		}
	}
	return &n, nil
}

// A difference is a file or link that is not the same on both sides; the zero
// Content where it is absent.
type difference struct {
	path         string
	first, again action.Content
}

func differences(first, again map[string]action.Content) (ds []difference) {
	paths := maps.Clone(first)
	maps.Copy(paths, again)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		ds = compare(ds, p, first[p], again[p])
	}
	return ds
}

func compare(ds []difference, p string, a, b action.Content) []difference {
	if a.Tree == nil || b.Tree == nil {
		if a != b {
			ds = append(ds, difference{p, a, b})
		}
		return ds
	}
	if a.Tree.Digest() == b.Tree.Digest() {
		return ds
	}
	names := map[string]bool{}
	for _, t := range []*tree.Tree{a.Tree, b.Tree} {
		for _, e := range t.Entries() {
			names[e.Name] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		ds = compare(ds, p+"/"+n, entry(a.Tree, n), entry(b.Tree, n))
	}
	return ds
}

func entry(t *tree.Tree, name string) action.Content {
	e, ok := t.Lookup(name)
	if !ok {
		return action.Content{}
	}
	return action.Content{File: e.File, Executable: e.Executable, Tree: e.Dir, Symlink: e.Target}
}

func isFile(c action.Content) bool { return c.Tree == nil && c.Symlink == "" && c != action.Content{} }

// where says in what the two sides of d differ.
func (c *Checker) where(ctx context.Context, d difference) (string, error) {
	switch {
	case d.first == action.Content{}:
		return "was not there at first, and is", nil
	case d.again == action.Content{}:
		return "is not there", nil
	case d.first.Symlink != "" && d.again.Symlink != "":
		return fmt.Sprintf("leads to %s, not %s,", d.again.Symlink, d.first.Symlink), nil
	case !isFile(d.first) || !isFile(d.again):
		return "is of another kind", nil
	}
	a, err := c.Store.Get(ctx, d.first.File)
	if err != nil {
		return "", err
	}
	defer a.Close()
	b, err := c.Store.Get(ctx, d.again.File)
	if err != nil {
		return "", err
	}
	defer b.Close()
	at, err := firstDifference(a, b)
	return fmt.Sprintf("differs from byte %d on (%d bytes, then %d)", at, d.first.File.Size, d.again.File.Size), err
}

// firstDifference returns the offset of the first byte that is not the same.
func firstDifference(a, b io.Reader) (int64, error) {
	const size = 64 << 10
	x, y := make([]byte, size), make([]byte, size)
	for at := int64(0); ; {
		n, err := io.ReadFull(a, x)
		m, errb := io.ReadFull(b, y)
		for i := range min(n, m) {
			if x[i] != y[i] {
				return at + int64(i), nil
			}
		}
		at += int64(min(n, m))
		for _, e := range []error{err, errb} {
			if e != nil && e != io.EOF && e != io.ErrUnexpectedEOF {
				return at, e
			}
		}
		if n != m || n < size {
			return at, nil
		}
	}
}

// keep puts both sides of each difference below dir, in first and again.
func (c *Checker) keep(ctx context.Context, dir string, ds []difference) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range ds {
		for side, content := range map[string]action.Content{"first": d.first, "again": d.again} {
			if err := c.put(ctx, filepath.Join(dir, side, strings.TrimPrefix(d.path, "/")), content); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Checker) put(ctx context.Context, p string, content action.Content) error {
	if content == (action.Content{}) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	switch {
	case content.Tree != nil:
		err := os.Mkdir(p, 0o755)
		for _, e := range content.Tree.Entries() {
			err = errors.Join(err, c.put(ctx, filepath.Join(p, e.Name), entry(content.Tree, e.Name)))
		}
		return err
	case content.Symlink != "":
		return os.Symlink(content.Symlink, p)
	}
	r, err := c.Store.Get(ctx, content.File)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Create(p)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
