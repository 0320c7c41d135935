package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// round runs each measure once on one project (Noop several times).
func (b *Bench) round(ctx context.Context, r *Report, d *bed, round int) error {
	for _, dir := range []string{d.gorules, d.cargo} {
		if err := d.edit.apply(dir, 0); err != nil {
			return err
		}
	}
	// Who runs first changes from round to round and from measure to measure.
	if b.has(Build) {
		if err := b.cold(ctx, r, d, false); err != nil {
			return err
		}
		err := b.pair(ctx, r, d, Build, round, round%2 == 1,
			[]Command{b.gorulesCommand(d, Build, round, "build", d.pack)}, []Command{b.cargoCommand(d, Build, round, "build")})
		if err != nil {
			return err
		}
	}
	if !b.has(Gate) && !b.has(Edit) && !b.has(Noop) {
		return nil
	}
	if b.has(Gate) {
		if err := b.cold(ctx, r, d, true); err != nil {
			return err
		}
		if err := b.pair(ctx, r, d, Gate, round, round%2 == 0, b.gateCommands(d, Gate, round), b.peerCommands(d, Gate, round)); err != nil {
			return err
		}
	} else {
		// The measures that remain need warm state; nobody asked what that costs.
		commands := b.gateCommands(d, Gate, round)
		if b.has(Edit) {
			commands = append(commands, b.peerCommands(d, Gate, round)...)
		}
		for _, c := range commands {
			if _, err := must(ctx, b.Starter, c); err != nil {
				return err
			}
		}
	}
	if b.has(Edit) {
		for _, dir := range []string{d.gorules, d.cargo} {
			if err := d.edit.apply(dir, round); err != nil {
				return err
			}
		}
		if err := b.pair(ctx, r, d, Edit, round, round%2 == 1, b.gateCommands(d, Edit, round), b.peerCommands(d, Edit, round)); err != nil {
			return err
		}
	}
	if !b.has(Noop) {
		return nil
	}
	noop := b.cargoCommand(d, Noop, round, "build")
	// Tarpaulin ran last, with other flags: only a second `cargo build` does nothing.
	for _, c := range append(b.gateCommands(d, Noop, round), noop) {
		if _, err := must(ctx, b.Starter, c); err != nil {
			return err
		}
	}
	for i := range b.NoopPairs {
		if err := b.pair(ctx, r, d, Noop, round, (round+i)%2 == 0, b.gateCommands(d, Noop, round), []Command{noop}); err != nil {
			return err
		}
	}
	return nil
}

// cold empties the caches of both sides, and brings back on gorules' side what
// is in no ratio: toolchain, crates and, where tool is set, the coverage tool.
func (b *Bench) cold(ctx context.Context, r *Report, d *bed, tool bool) error {
	for _, dir := range []string{d.root, filepath.Join(d.cargo, "target")} {
		if err := removeAll(dir); err != nil {
			return fmt.Errorf("cold state: %w", err)
		}
	}
	links, err := filepath.Glob(filepath.Join(d.gorules, "gorules-*"))
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := os.Remove(l); err != nil {
			return fmt.Errorf("cold state: %w", err)
		}
	}
	type step struct {
		what string
		c    Command
	}
	tiny := *d
	tiny.gorules = b.tinyDir()
	steps := []step{{"toolchain never seen before (a package without dependencies, from nothing)", b.gorulesCommand(&tiny, "tiny", 0, "build", "//:tiny")}}
	if tool {
		steps = append(steps, step{"coverage tool", b.gorulesCommand(&tiny, "tool", 0, "test", "//:coverage", "--execution_log_json_file="+b.toolLog(d))})
	}
	steps = append(steps, step{"gorules fetch, crates in cargo's cache", b.gorulesCommand(d, "fetch", 0, "fetch")})
	for _, s := range steps {
		sample, err := must(ctx, b.Starter, s.c)
		if err != nil {
			return err
		}
		r.apart(s.what, d.Name, sample)
	}
	return nil
}

// pair runs both sides, writes dirty pages to disk before each so that nobody
// pays for the other's, and adds the pair to the report.
func (b *Bench) pair(ctx context.Context, r *Report, d *bed, m Measure, round int, gorulesFirst bool, gorules, cargo []Command) error {
	p := Pair{Measure: m, Project: d.Name, Round: round, First: "cargo"}
	sides := []struct {
		to       *[]Sample
		commands []Command
	}{{&p.Cargo, cargo}, {&p.Gorules, gorules}}
	if gorulesFirst {
		p.First = "gorules"
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := syncDisk(ctx, b.Starter, d.dir); err != nil {
			return err
		}
		for _, c := range side.commands {
			s, err := must(ctx, b.Starter, c)
			if err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			*side.to = append(*side.to, s)
		}
	}
	p.Processes = processes(gorules[len(gorules)-1].Log)
	if m == Gate {
		if err := b.charge(ctx, d); err != nil {
			return err
		}
		p.Charge = d.charge
	}
	r.Pairs = append(r.Pairs, p)
	g, c := p.Wall()
	fmt.Fprintf(b.Progress, "%-12s %-6s round %d: gorules %7.2f s, cargo %7.2f s, ratio %.3f, foreign %s  %s\n",
		d.Name, m, round, g, c, p.Ratio(), cores(p.Foreign()), p.Processes)
	return nil
}

func syncDisk(ctx context.Context, s Starter, dir string) error {
	_, err := s.Run(ctx, Command{Name: "sync", Dir: dir, Argv: []string{"sync"}, Env: os.Environ()})
	return err
}

// charge finds what a cold gate got for free from the coverage tool, whose
// units are in the cache already: actions of the project's own graph that ran
// when the tool was built. Their time, divided by the CPUs, is added to the
// gate's. It is the same in each round, so it is found once.
func (b *Bench) charge(ctx context.Context, d *bed) error {
	if d.charge >= 0 {
		return nil
	}
	args := append(slices.Clone(d.gate), "--execution_log_json_file="+b.ownLog(d))
	if len(d.coverage) > 0 {
		args = append(args, "--")
		for _, c := range d.coverage {
			args = append(args, "-"+c)
		}
	}
	if _, err := must(ctx, b.Starter, b.gorulesCommand(d, "own", 0, "test", args...)); err != nil {
		return err
	}
	tool, err := readLog(b.toolLog(d))
	if err != nil {
		return err
	}
	own, err := readLog(b.ownLog(d))
	if err != nil {
		return err
	}
	all, err := shared(tool, own)
	if err != nil {
		return err
	}
	d.charge = all / time.Duration(runtime.NumCPU())
	return nil
}
