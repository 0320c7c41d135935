package bench_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorules/cmd/gorules-bench/internal/bench"
)

const source = "fn main() {\n    run();\n}\n"

// recorder is a Starter that runs nothing: it notes what was asked, what the
// edited file held, and whether cargo's target folder was there.
type recorder struct {
	t    *testing.T
	dir  string
	fail string // name of a command that exits 1
	got  []string
}

func (r *recorder) Run(_ context.Context, c bench.Command) (bench.Sample, error) {
	line := filepath.Base(c.Dir) + ": " + strings.Join(c.Argv, " ")
	line = strings.ReplaceAll(line, r.dir, "$DIR")
	line = strings.ReplaceAll(line, " --ignore_all_rc_files --output_user_root=$DIR/p/root", "")
	for _, side := range []string{"gorules", "cargo"} {
		text, err := os.ReadFile(filepath.Join(r.dir, "p", side, "main.rs"))
		if err != nil {
			r.t.Fatal(err)
		}
		if string(text) != source {
			line += " +" + side
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, "p", "cargo", "target")); err == nil {
		line += " (target)"
	}
	if c.Name == "cargo build" {
		if err := os.MkdirAll(filepath.Join(c.Dir, "target"), 0o777); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, a := range c.Argv {
		if log, ok := strings.CutPrefix(a, "--execution_log_json_file="); ok {
			const units = `{"mnemonic":"Rustc","digest":{"hash":"a"},"metrics":{"executionWallTime":"3s"}}` + "\n" +
				`{"mnemonic":"Rustc","digest":{"hash":"a"},"metrics":{"executionWallTime":"3s"}}` + "\n" +
				`{"mnemonic":"Rustc","cacheHit":true,"digest":{"hash":"b"},"metrics":{"executionWallTime":"100s"}}` + "\n"
			if err := os.WriteFile(log, []byte(units), 0o666); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if c.Name != "sync" {
		r.got = append(r.got, line)
	}
	s := bench.Sample{Name: c.Name, Wall: 2 * time.Second}
	if r.fail != "" && c.Name == r.fail {
		s.Exit = 1
	}
	return s, nil
}

func newRound(t *testing.T, measures ...bench.Measure) (*bench.Bench, *recorder) {
	dir := t.TempDir()
	for _, f := range []string{"p/gorules/main.rs", "p/cargo/main.rs", "p/cargo/target/old", "p/root/cache", "tiny/BUILD"} {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("left from a round before"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r := &recorder{t: t, dir: dir}
	return &bench.Bench{Gorules: "/bin/gorules", Measures: measures, Rounds: 1, NoopPairs: 2, Tarpaulin: []string{"--out", "lcov"},
		Work: dir, BusyFrom: 0.2, Starter: r, Progress: io.Discard}, r
}

func TestRound(t *testing.T) {
	b, rec := newRound(t, bench.Measures...)
	report, err := b.RunRound(t.Context(), filepath.Join(rec.dir, "p"), "main.rs", source, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tiny: /bin/gorules build //:tiny",
		"gorules: /bin/gorules fetch",
		"gorules: /bin/gorules build //:p",
		"cargo: cargo build",

		"tiny: /bin/gorules build //:tiny",
		"tiny: /bin/gorules test //:coverage --execution_log_json_file=$DIR/p/tool.exec.json",
		"gorules: /bin/gorules fetch",
		"cargo: cargo fmt --check",
		"cargo: cargo clippy --all-targets",
		"cargo: cargo build",
		"cargo: cargo test (target)",
		"cargo: cargo tarpaulin --out lcov (target)",
		"gorules: /bin/gorules test //... //:fmt (target)",
		"gorules: /bin/gorules test //... //:fmt --execution_log_json_file=$DIR/p/own.exec.json -- -//:coverage (target)",

		"gorules: /bin/gorules test //... //:fmt +gorules +cargo (target)",
		"cargo: cargo fmt --check +gorules +cargo (target)",
		"cargo: cargo clippy --all-targets +gorules +cargo (target)",
		"cargo: cargo build +gorules +cargo (target)",
		"cargo: cargo test +gorules +cargo (target)",
		"cargo: cargo tarpaulin --out lcov +gorules +cargo (target)",

		"gorules: /bin/gorules test //... //:fmt +gorules +cargo (target)",
		"cargo: cargo build +gorules +cargo (target)",
		"cargo: cargo build +gorules +cargo (target)",
		"gorules: /bin/gorules test //... //:fmt +gorules +cargo (target)",
		"gorules: /bin/gorules test //... //:fmt +gorules +cargo (target)",
		"cargo: cargo build +gorules +cargo (target)",
	}
	if !slices.Equal(rec.got, want) {
		t.Errorf("commands:\n%s\nwant\n%s", strings.Join(rec.got, "\n"), strings.Join(want, "\n"))
	}
	var got []string
	for _, p := range report.Pairs {
		got = append(got, string(p.Measure)+" "+p.First)
	}
	if want := []string{"build gorules", "gate cargo", "edit gorules", "noop cargo", "noop gorules"}; !slices.Equal(got, want) {
		t.Errorf("pairs = %q, want %q", got, want)
	}
	for _, p := range report.Pairs {
		if p.Measure != bench.Gate {
			continue
		}
		g, c := p.Wall()
		if cpus := p.Charge; cpus <= 0 || cpus > 3*time.Second || g != 2+p.Charge.Seconds() || c != 10 {
			t.Errorf("gate: gorules %v s with a charge of %v, cargo %v s; want 2 s and at most 3 s more, against 5 x 2 s", g, p.Charge, c)
		}
	}
}

func TestRoundStopsAtFailure(t *testing.T) {
	b, rec := newRound(t, bench.Build, bench.Gate, bench.Edit)
	rec.fail = "cargo test"
	report, err := b.RunRound(t.Context(), filepath.Join(rec.dir, "p"), "main.rs", source, 1)
	var failure *bench.Failure
	if !errors.As(err, &failure) || failure.Command.Name != "cargo test" {
		t.Fatalf("error = %v; want a Failure of cargo test", err)
	}
	if len(report.Pairs) != 1 || report.Pairs[0].Measure != bench.Build {
		t.Errorf("pairs = %+v; want that of build, which was complete", report.Pairs)
	}
}
