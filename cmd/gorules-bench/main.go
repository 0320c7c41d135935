// Command gorules-bench measures gorules pairwise against what cargo's users
// run and prints ratios. It is no test: it never fails because something was
// slow, only because something did not run.
//
//	go run ./cmd/gorules-bench -rounds=3 -markdown=out.md
//
// docs/benchmarks.md says what is measured and how to read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"gorules/cmd/gorules-bench/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	gorules, example, projects, measures, work, jsonOut, markdown, tarpaulin string
	rounds, noops, small                                                     int
	busy                                                                     float64
	install, keep, list                                                      bool
}

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	f := flag.NewFlagSet("gorules-bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.gorules, "gorules", "", "the `program` to measure; without it ./cmd/gorules is built")
	f.StringVar(&o.example, "example", filepath.Join("examples", "cargo-hello"), "the `folder` that the project named example stands for")
	f.StringVar(&o.projects, "projects", "", "comma-separated `list` of NAME@VERSION, example, folders, or names that -list shows; without it all of those")
	f.StringVar(&o.measures, "measures", "all", "comma-separated `list` of build, gate, edit, noop")
	f.IntVar(&o.rounds, "rounds", 3, "pairs of each measure and project")
	f.IntVar(&o.noops, "noops", 5, "pairs of noop in each round")
	f.IntVar(&o.small, "small", 0, "measure nothing but this `number` of small actions beside ninja, such as 2000")
	f.StringVar(&o.work, "work", "", "scratch `folder`, some gigabytes, on the file system to be measured; without it a temporary one")
	f.BoolVar(&o.keep, "keep", false, "leave the scratch folder, with the output of every command in logs/")
	f.StringVar(&o.jsonOut, "json", "", "write everything that was measured to this `file`")
	f.StringVar(&o.markdown, "markdown", "", "write the tables as Markdown to this `file`")
	f.StringVar(&o.tarpaulin, "tarpaulin", "--out lcov --output-dir target/tarpaulin", "`arguments` of cargo tarpaulin")
	f.Float64Var(&o.busy, "busy", 0.2, "warn from so many `CPUs` that other processes keep busy")
	f.BoolVar(&o.install, "install", false, "install cargo-tarpaulin through cargo where it is missing")
	f.BoolVar(&o.list, "list", false, "show the projects that are measured without -projects")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q: expected flags only", f.Arg(0))
	}
	if o.rounds < 1 || o.noops < 1 {
		return nil, errors.New("-rounds and -noops must be at least 1")
	}
	return &o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	example, err := filepath.Abs(o.example)
	if err != nil {
		return err
	}
	projects, err := bench.ParseProjects(o.projects, example)
	if err != nil {
		return err
	}
	if o.list {
		for _, p := range projects {
			fmt.Fprintln(stdout, p)
		}
		return nil
	}
	measures, err := bench.ParseMeasures(o.measures)
	if err != nil {
		return err
	}
	b := &bench.Bench{
		Projects: projects, Measures: measures, Rounds: o.rounds, NoopPairs: o.noops,
		Tarpaulin: strings.Fields(o.tarpaulin), BusyFrom: o.busy, Starter: bench.Processes{}, Progress: stderr,
	}
	if o.small == 0 && b.NeedsTarpaulin() {
		if err := tarpaulin(ctx, o.install, stderr); err != nil {
			return err
		}
	}
	if err := scratch(ctx, o, b); err != nil {
		return err
	}
	if !o.keep && o.work == "" {
		defer os.RemoveAll(b.Work)
	} else {
		fmt.Fprintf(stderr, "scratch folder: %s\n", b.Work)
	}
	if o.small > 0 {
		s := &bench.Small{Gorules: b.Gorules, Work: b.Work, Actions: o.small, Rounds: o.rounds, Starter: b.Starter}
		return s.Run(ctx, stdout)
	}
	report, err := b.Run(ctx)
	if report == nil {
		return err
	}
	return errors.Join(err, write(o, report, stdout))
}

// scratch makes the scratch folder and, where none was given, the program.
func scratch(ctx context.Context, o *options, b *bench.Bench) error {
	var err error
	if o.work == "" {
		b.Work, err = os.MkdirTemp("", "gorules-bench-")
	} else {
		if b.Work, err = filepath.Abs(o.work); err == nil {
			err = os.MkdirAll(b.Work, 0o777)
		}
	}
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	if o.gorules != "" {
		if b.Gorules, err = filepath.Abs(o.gorules); err != nil {
			return err
		}
		if _, err := os.Stat(b.Gorules); err != nil {
			return fmt.Errorf("-gorules: %w", err)
		}
		return nil
	}
	b.Gorules = filepath.Join(b.Work, "bin", "gorules")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.Gorules, "gorules/cmd/gorules")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("`go build gorules/cmd/gorules` (start this command below the checkout, or name a program with -gorules): %w\n%s", err, text)
	}
	return nil
}

// tarpaulin makes sure that the peer's coverage tool is there.
func tarpaulin(ctx context.Context, install bool, stderr io.Writer) error {
	err := bench.CheckTarpaulin(ctx)
	if err == nil || !install || !errors.Is(err, bench.ErrNoTarpaulin) {
		return err
	}
	return bench.InstallTarpaulin(ctx, stderr)
}

// write prints the tables and writes the files that were asked for.
func write(o *options, report *bench.Report, stdout io.Writer) error {
	if err := report.WriteText(stdout); err != nil {
		return err
	}
	if o.jsonOut != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return fmt.Errorf("-json: %w", err)
		}
		if err := os.WriteFile(o.jsonOut, append(text, '\n'), 0o666); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if o.markdown != "" {
		var b strings.Builder
		if err := report.WriteMarkdown(&b); err != nil {
			return err
		}
		if err := os.WriteFile(o.markdown, []byte(b.String()), 0o666); err != nil {
			return fmt.Errorf("-markdown: %w", err)
		}
	}
	if n := len(report.Failures); n > 0 {
		return fmt.Errorf("%d of the measurements could not be completed", n)
	}
	return nil
}
