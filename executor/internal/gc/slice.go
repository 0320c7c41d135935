package gc

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"gorules/executor/internal/fsx"
	"gorules/executor/internal/lease"

	"golang.org/x/sys/unix"
)

const day = 24 * time.Hour

// noted is what is remembered between slices.
type noted struct {
	Total   int64          // what the last pass left
	Kinds   map[Kind]int64 // of it
	Scanned time.Time      // when it began
	Pass    *pass          `json:",omitempty"` // under way
}

// A pass measures everything, and then removes what is too old.
type pass struct {
	Begun    time.Time
	Sweeping bool
	Cells    []summary       // those that were measured
	Swept    int             // how many of them
	Ages     map[int64]int64 // bytes by age, in units of grain
	Kinds    map[Kind]int64  // bytes
	Total    int64           // bytes
	Cut      int64           // what was not used later goes
	Need     int64           // bytes that are still to go
}

// summary is what a pass knows of a cell: whether there is something to remove.
type summary struct {
	Kind   Kind
	Dir    string
	Gone   bool
	Oldest int64
}

func (s summary) cell() cell { return cell{s.Kind, s.Dir, s.Gone} }

// grain is how exactly a pass sorts by age.
const grain = int64(10 * time.Minute)

// The limits of a slice, unless the budget is far exceeded. What is added grows with the time that commands take, so
// what is done about it does.
const (
	least = 10 * time.Millisecond
	most  = time.Second
	share = 20 // of a command's time, one part
)

// allowance is how long a slice may take after a command that took wall. Far above
// the budget it is five times as long.
func allowance(wall time.Duration, far bool) time.Duration {
	a := min(max(least, wall/share), most)
	if far {
		a *= 5
	}
	return a
}

// Slice notes that a command that took wall added wrote bytes, and does a part of
// the work of keeping f to budget. A negative budget is none. It is for the end of
// a command, and gives way: where it cannot work now, a later one will. Where it
// ends a pass, over is how much more than the budget had to be left, since it is used.
func Slice(ctx context.Context, f Folder, budget, wrote int64, wall time.Duration) (over int64, err error) {
	if wrote > 0 {
		if err := f.grow(wrote); err != nil {
			return 0, err
		}
	}
	if budget < 0 {
		return 0, nil
	}
	n := &noted{}
	if known := readNoted(f.noted(usageName), n); known && n.Pass == nil && !f.due(n, budget) {
		return 0, nil
	}
	until := time.Now().Add(allowance(wall, n.Total+f.grown() > budget/4*5))
	c, close, err := open(ctx, f, false)
	if errors.Is(err, errElsewhere) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer close()
	n = &noted{} // another process may have been faster
	if known := readNoted(f.noted(usageName), n); known && n.Pass == nil && !f.due(n, budget) {
		return 0, nil
	}
	if n.Pass == nil || time.Since(n.Pass.Begun) > day {
		n.Pass = &pass{Begun: time.Now(), Ages: map[int64]int64{}, Kinds: map[Kind]int64{}}
		if err := ignoreMissing(os.Remove(f.noted(grownName))); err != nil {
			return 0, err
		}
	}
	done, err := c.work(ctx, n.Pass, budget, until)
	if errors.Is(err, lease.ErrBusy) {
		err = nil // a later command will go on
	}
	if done {
		p := n.Pass
		*n = noted{Total: p.Total, Kinds: p.Kinds, Scanned: p.Begun}
		if f.grown() == 0 { // otherwise there may be more that can go than was measured
			over = max(0, p.Total-budget)
		}
	}
	return over, errors.Join(err, writeNoted(f.noted(usageName), n))
}

// Forget makes the next slice measure, where something was added that nobody counted.
func Forget(f Folder) error { return ignoreMissing(os.Remove(f.noted(usageName))) }

// due reports whether a pass should begin: once a day, and where the budget is
// exceeded, unless the last pass could do nothing about that and little has changed.
func (f Folder) due(n *noted, budget int64) bool {
	age, grown := time.Since(n.Scanned), f.grown()
	return age > day || age < 0 || n.Total+grown > budget && (grown > budget/100 || age > time.Hour)
}

// grow notes that bytes were added. Appending is atomic and waits for nobody.
func (f Folder) grow(bytes int64) error {
	g, err := os.OpenFile(f.noted(grownName), os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_, err = g.Write(binary.LittleEndian.AppendUint64(nil, uint64(bytes)))
	return errors.Join(err, g.Close())
}

// maxGrown bounds what is read of the notes of one pass.
const maxGrown = 64 << 20

// grown is what was added since the last pass began.
func (f Folder) grown() (bytes int64) {
	b, err := fsx.Plain.ReadFile(f.noted(grownName), maxGrown)
	if err != nil {
		return 0
	}
	for ; len(b) >= 8; b = b[8:] {
		bytes += int64(binary.LittleEndian.Uint64(b))
	}
	return bytes
}

// work goes on with p until it is done or the time is up. At least one cell is
// done, so that it ends however slow the disk is.
func (c *collector) work(ctx context.Context, p *pass, budget int64, until time.Time) (done bool, err error) {
	if !p.Sweeping {
		measured := map[cell]bool{}
		for _, s := range p.Cells {
			measured[s.cell()] = true
		}
		cells, err := c.cells()
		if err != nil {
			return false, err
		}
		for _, in := range cells {
			if measured[in] {
				continue
			}
			if err := c.measureCell(ctx, p, in); err != nil {
				return false, err
			}
			if time.Now().After(until) {
				return false, nil
			}
		}
		p.decide(budget)
	}
	for p.Need > 0 {
		if p.Swept == len(p.Cells) { // some of what is old enough is used, or linked by what is not
			if !p.further() {
				break
			}
			p.Swept = 0
		}
		s := p.Cells[p.Swept]
		if s.Oldest <= p.Cut {
			if err := c.sweepCell(ctx, p, s); err != nil {
				return false, err
			}
		}
		p.Swept++
		if s.Oldest <= p.Cut && p.Need > 0 && time.Now().After(until) {
			return false, nil
		}
	}
	return true, nil
}

// measureCell adds what is in a cell to the sums.
func (c *collector) measureCell(ctx context.Context, p *pass, in cell) error {
	items, err := c.items(ctx, in)
	if err != nil {
		return err
	}
	s := summary{in.kind, in.dir, in.gone, 1<<63 - 1}
	for _, it := range items {
		p.Ages[it.age/grain] += it.bytes
		p.Kinds[it.kind] += it.bytes
		p.Total += it.bytes
		s.Oldest = min(s.Oldest, it.age)
	}
	p.Cells = append(p.Cells, s)
	return nil
}

// decide finds how old what is removed must be.
func (p *pass) decide(budget int64) {
	p.Sweeping = true
	if p.Total <= budget {
		return
	}
	p.Need = p.Total - budget/10*9
	p.Cut = -1
	p.further()
}

// further moves the cut on to where there is what is needed; false if it is at
// the end.
func (p *pass) further() bool {
	need, moved := p.Need, false
	for _, at := range slices.Sorted(maps.Keys(p.Ages)) {
		if cut := (at+1)*grain - 1; cut > p.Cut {
			p.Cut, moved = cut, true
			if need -= p.Ages[at]; need <= 0 {
				break
			}
		}
	}
	return moved
}

// sweepCell removes what is too old of a cell.
func (c *collector) sweepCell(ctx context.Context, p *pass, s summary) error {
	items, err := c.items(ctx, s.cell())
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(it item) bool { return it.age > p.Cut })
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.age, b.age) })
	return c.remove(ctx, items, p.Cut, &p.Need, func(it item) {
		p.Kinds[it.kind] -= it.bytes
		p.Total -= it.bytes
	})
}
