package bench_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorules/cmd/gorules-bench/internal/bench"
)

func TestParseMeasures(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []bench.Measure
		err  string
	}{
		{"", bench.Measures, ""},
		{"all", bench.Measures, ""},
		{"noop, build", []bench.Measure{bench.Build, bench.Noop}, ""},
		{"gates", nil, `measure "gates": expected some of build, gate, edit, noop`},
	} {
		got, err := bench.ParseMeasures(tt.list)
		if text(err) != tt.err || !slices.Equal(got, tt.want) {
			t.Errorf("ParseMeasures(%q) = %v, %v; want %v, %s", tt.list, got, err, tt.want, tt.err)
		}
	}
}

func TestParseProjects(t *testing.T) {
	example := filepath.Join(t.TempDir(), "cargo-hello")
	for _, tt := range []struct {
		list string
		want []string
		err  string
	}{
		{"", []string{"cargo-hello", "fd-find 10.5.0", "jaq 3.1.2", "hyperfine 1.20.0"}, ""},
		{"jaq", []string{"jaq 3.1.2"}, ""},
		{"example,sd@1.0.0", []string{"cargo-hello", "sd 1.0.0"}, ""},
		{"jaq,jaq@3.0.0", nil, "named twice"},
		{"nothing", nil, "expected NAME@VERSION"},
	} {
		got, err := bench.ParseProjects(tt.list, example)
		var names []string
		for _, p := range got {
			names = append(names, p.String())
		}
		if (tt.err == "") != (err == nil) || !strings.Contains(text(err), tt.err) || !slices.Equal(names, tt.want) {
			t.Errorf("ParseProjects(%q) = %q, %v; want %q, %s", tt.list, names, err, tt.want, tt.err)
		}
	}
}

func TestAddLine(t *testing.T) {
	for _, tt := range []struct{ name, source, want string }{
		{"free function", "//! doc\nfn main() {\n    run();\n}\n", "//! doc\nfn main() {\n    std::hint::black_box(7);\n    run();\n}\n"},
		{"method", "impl A {\n    pub(crate) fn a(&self) -> u8 {\n        1\n    }\n}\n", "impl A {\n    pub(crate) fn a(&self) -> u8 {\n        std::hint::black_box(7);\n        1\n    }\n}\n"},
		{"tabs", "fn a() {\n\tb()\n}\n", "fn a() {\n\tstd::hint::black_box(7);\n\tb()\n}\n"},
		{"const and macro functions stay", "const fn a() {\n}\nfn $name() {\n}\nfn b();\npub fn c() {\n}\n", "const fn a() {\n}\nfn $name() {\n}\nfn b();\npub fn c() {\n    std::hint::black_box(7);\n}\n"},
	} {
		got, ok := bench.AddLine(tt.source, 7)
		if !ok || got != tt.want {
			t.Errorf("%s: got %v\n%s\nwant\n%s", tt.name, ok, got, tt.want)
		}
	}
	if got, ok := bench.AddLine("mod a;\nconst fn b() {\n}\n", 7); ok {
		t.Errorf("a file without ordinary functions was edited:\n%s", got)
	}
}

func TestSummarise(t *testing.T) {
	pair := func(g, c time.Duration, foreign float64) bench.Pair {
		return bench.Pair{Measure: bench.Build, Project: "p",
			Gorules: []bench.Sample{{Wall: g, CPU: g, Foreign: 0.1}}, Cargo: []bench.Sample{{Wall: c / 2, CPU: c}, {Wall: c / 2, CPU: c, Foreign: foreign}}}
	}
	gate := bench.Pair{Measure: bench.Gate, Project: "p", Charge: time.Second,
		Gorules: []bench.Sample{{Wall: 4 * time.Second, Foreign: -1}}, Cargo: []bench.Sample{{Wall: 10 * time.Second, Foreign: -1}}}
	// The median ratio, 0.5, is that of the slowest pair: a ratio of medians would be 1.
	rows := bench.Summarise([]bench.Pair{gate, pair(1*time.Second, 4*time.Second, 0), pair(8*time.Second, 16*time.Second, 0.5), pair(9*time.Second, 3*time.Second, 0)}, map[string]int{"p": 70}, 0.2)
	if len(rows) != 2 || rows[0].Measure != bench.Build || rows[1].Measure != bench.Gate {
		t.Fatalf("rows = %+v; want build before gate", rows)
	}
	b := rows[0]
	if b.Ratio != 0.5 || b.Min != 0.25 || b.Max != 3 || b.Pairs != 3 || b.Busy != 1 || b.Units != 70 || b.Foreign != 0.5 || b.CPU != 0.25 {
		t.Errorf("build row = %+v", b)
	}
	if g := rows[1]; g.Ratio != 0.5 || g.Gorules != 5 || g.Charge != 1 || g.Foreign != -1 || g.Busy != 0 {
		t.Errorf("gate row, 4 s + 1 s charge against 10 s = %+v", g)
	}
}

func TestTables(t *testing.T) {
	r := &bench.Report{BusyFrom: 0.2, Rows: []bench.Row{
		{Measure: bench.Build, Project: "p", Units: 70, Pairs: 3, Gorules: 12.34, Cargo: 13, Ratio: 0.95, Min: 0.9, Max: 1, CPU: 0.97, Foreign: 0.5, Busy: 2},
		{Measure: bench.Noop, Project: "p", Units: 70, Pairs: 3, Gorules: 0.0551, Cargo: 0.05, Ratio: 1.1, Min: 1, Max: 1.2, Foreign: -1},
	}, Apart: []bench.Apart{{What: "coverage tool", Project: "p", Seconds: []float64{30, 32}}}, Failures: []string{"q: went wrong\ndetail"}}
	var txt, md strings.Builder
	if err := r.WriteText(&txt); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| p | 70 | 12.3 | 13.0 | 0.95 | 0.90 - 1.00 | 1.10 | 0.97 | 3 | 0.50 (2 busy) |", "| p | 70 | 0.055 | 0.050 | 1.10 |", "| p | 31.0 | coverage tool |", "WARNING: in 2 pairs", "- FAILED q: went wrong\n"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, &md)
		}
	}
	for _, want := range []string{"build: cold build", "0.50 (2 busy)", "31.0 s", "detail"} {
		if !strings.Contains(txt.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &txt)
		}
	}
}

func TestProcessesRun(t *testing.T) {
	log := filepath.Join(t.TempDir(), "logs", "out")
	s, err := bench.Processes{}.Run(t.Context(), bench.Command{Name: "shell", Dir: t.TempDir(), Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, Env: os.Environ(), Log: log})
	if err != nil || s.Exit != 3 || s.Wall <= 0 {
		t.Fatalf("Run = %+v, %v; want exit 3, a sample and no error", s, err)
	}
	if got, err := os.ReadFile(log); err != nil || string(got) != "out\nerr\n" {
		t.Errorf("log = %q, %v", got, err)
	}
	if _, err := (bench.Processes{}).Run(t.Context(), bench.Command{Name: "none", Dir: t.TempDir(), Argv: []string{"/no/such/program"}}); err == nil {
		t.Error("a program that does not exist gave no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (bench.Processes{}).Run(ctx, bench.Command{Name: "sleep", Dir: t.TempDir(), Argv: []string{"sleep", "60"}}); err == nil {
		t.Error("a run that was stopped gave no error")
	}
}

func TestEnviron(t *testing.T) {
	got := bench.Environ([]string{"PATH=/bin", "RUSTFLAGS=-g", "CARGO_INCREMENTAL=0", "CARGO_HOME=/c", "RUSTUP_HOME=/r", "GORULES_X=1"})
	want := []string{"PATH=/bin", "CARGO_HOME=/c", "RUSTUP_HOME=/r", "CARGO_NET_OFFLINE=true", "CARGO_TERM_COLOR=never"}
	if !slices.Equal(got, want) {
		t.Errorf("Environ = %q, want %q", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
