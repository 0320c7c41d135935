package ui_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"gorules/cmd/gorules/internal/ui"
	"gorules/executor/diag"
	"gorules/executor/event"
	"gorules/executor/label"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// buffer is a writer that several goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// gate is the command of the design page: two of four checks fail.
func gate() []event.Event {
	l := func(name string) label.Label { return label.Label{Name: name} }
	return []event.Event{
		event.Output{Owner: l("hello"), Text: "\x1b[33mwarning\x1b[0m: unused variable\x1b[2K"},
		event.TargetDone{Target: l("deps"), Status: event.Built, Summary: "87 crates, each compiled once; 4 in two forms (gorules cargo plan)"},
		event.TargetDone{Target: l("hello"), Status: event.Built, Outputs: []string{"gorules-bin/hello/"}},
		event.TargetDone{Target: l("fmt"), Test: true, Status: event.Passed, Summary: "14 files", Wall: 100 * time.Millisecond},
		event.TargetDone{Target: l("clippy"), Test: true, Status: event.Failed, Summary: "1 denied lint in hello-core", Wall: 700 * time.Millisecond,
			Text: "error: needless return\n", Notes: []string{"fix: gorules run //:clippy -- --fix"}},
		event.TargetDone{Target: l("test"), Test: true, Status: event.Passed, Summary: "61 tests in 5 binaries, 7 doctests; 4 of 5 cached", Wall: 400 * time.Millisecond},
		event.TargetDone{Target: l("coverage"), Test: true, Status: event.Failed, Summary: "78.9 % of lines, floor 80 (BUILD:35): 11 lines short", Wall: 61 * time.Second,
			Notes: []string{"crates/core/src/parse.rs  61.2 %: 88-97, 131 never run"}, Outputs: []string{"gorules-bin/coverage/index.html"}},
		event.Finished{Wall: 4 * time.Second, Processes: 15, ByRunner: map[string]int{"linux-sandbox": 11, "disk cache hit": 4}, Targets: 6, Tests: 4, Failed: 2},
	}
}

// render gives what is shown of a command that ends with the exit code.
func render(t *testing.T, cfg ui.Config, code int, events []event.Event) string {
	t.Helper()
	var out buffer
	cfg.Out, cfg.Err = &out, &out
	c := ui.New(cfg)
	for _, e := range events {
		c.Event(e)
	}
	c.End(code)
	c.Close()
	return out.String()
}

func TestSummary(t *testing.T) {
	cfg := ui.Config{Test: true, TestOutput: "errors", ShowResult: 50, Level: zerolog.InfoLevel}
	golden(t, "gate", render(t, cfg, 3, gate()))
	cfg.OutColor, cfg.ErrColor = true, true
	golden(t, "gate_color", render(t, cfg, 3, gate()))
	cfg.OutColor, cfg.ErrColor = false, false
	cfg.ShowResult, cfg.TestOutput = 1, "summary"
	golden(t, "gate_short", render(t, cfg, 3, gate()))
}

func TestVerdict(t *testing.T) {
	l := label.Label{Name: "x"}
	done := func(name string, test bool, s event.Status) event.TargetDone {
		return event.TargetDone{Target: label.Label{Name: name}, Test: test, Status: s, Wall: time.Second}
	}
	tests := []struct {
		name   string
		test   bool
		code   int
		events []event.Event
		want   string
	}{
		{"built", false, 0, []event.Event{event.TargetDone{Target: l, Status: event.Built}, event.Finished{Wall: 75 * time.Second, Targets: 1, Processes: 1, ByRunner: map[string]int{"linux-sandbox": 1}}},
			"//:x  built\nINFO: 1 process: 1 linux-sandbox.\nBUILT 1 target in 1:15\n"},
		{"no-op", false, 0, []event.Event{event.Finished{Wall: 30 * time.Millisecond, Targets: 2, Processes: 3, ByRunner: map[string]int{"up to date": 3}, UpToDate: true}},
			"INFO: 3 processes: 3 up to date.\nUP-TO-DATE 2 targets in 30 ms\n"},
		{"hits first", false, 0, []event.Event{event.Finished{Wall: time.Hour + time.Second, Targets: 2, Processes: 9, ByRunner: map[string]int{"linux-sandbox": 2, "local": 3, "remote cache hit": 1, "disk cache hit": 3, "unused": 0}}},
			"INFO: 9 processes: 3 disk cache hit, 1 remote cache hit, 2 linux-sandbox, 3 local.\nBUILT 2 targets in 1:00:01\n"},
		{"not built", true, 1, []event.Event{done("x", false, event.Failed), done("t", true, event.NotBuilt), event.Finished{Wall: time.Second, Targets: 2, Tests: 1, Failed: 2}},
			"//:x  FAILED         1.0 s\n//:t  NOT BUILT\nINFO: 0 processes.\nFAILED 1 of 1 check, 1 target not built in 0:01\n"},
		{"not attempted", true, 1, []event.Event{done("x", false, event.Failed), done("y", false, event.NotAttempted), done("t", true, event.NotAttempted),
			event.Finished{Wall: time.Second, Targets: 3, Tests: 1, Failed: 1, NotAttempted: 2}},
			"//:x  FAILED             1.0 s\n//:y  NOT ATTEMPTED\n//:t  NOT ATTEMPTED\nINFO: 0 processes.\nFAILED 0 of 1 check, 1 target not built, 2 not attempted in 0:01\n"},
		{"not attempted by build", false, 1, []event.Event{done("x", false, event.Failed), done("y", false, event.NotAttempted), done("z", false, event.Built),
			event.Finished{Wall: time.Second, Targets: 3, Failed: 1, NotAttempted: 1}},
			"//:x  FAILED             1.0 s\n//:y  NOT ATTEMPTED\n//:z  built\nINFO: 0 processes.\nFAILED 1 of 3 targets, 1 not attempted in 0:01\n"},
		{"some of everything", true, 1, []event.Event{done("a", true, event.Passed), done("b", true, event.Failed), done("c", true, event.NotAttempted),
			event.Finished{Wall: time.Second, Targets: 3, Tests: 3, Failed: 1, NotAttempted: 1, NotAnalyzed: 2}},
			"//:a  PASSED             1.0 s\n//:b  FAILED             1.0 s\n//:c  NOT ATTEMPTED\nINFO: 0 processes.\nFAILED 1 of 3 checks, 1 not attempted, 2 not analyzed in 0:01\n"},
		{"a check passed, another target was not analyzed", true, 1, []event.Event{done("x", true, event.Passed), event.Finished{Wall: time.Second, Targets: 1, Tests: 1, NotAnalyzed: 1}},
			"//:x  PASSED      1.0 s\nINFO: 0 processes.\nFAILED 0 of 1 check, 1 not analyzed in 0:01\n"},
		{"one was built, another not analyzed", false, 1, []event.Event{done("x", false, event.Built), event.Finished{Wall: time.Second, Targets: 1, NotAnalyzed: 1}},
			"//:x  built\nINFO: 0 processes.\nFAILED 0 of 1 target, 1 not analyzed in 0:01\n"},
		{"all passed, and yet it failed", true, 36, []event.Event{done("x", true, event.Passed), event.Finished{Wall: time.Second, Targets: 1, Tests: 1}},
			"//:x  PASSED      1.0 s\nINFO: 0 processes.\nFAILED in 0:01\n"},
		{"a stored failure", true, 3, []event.Event{done("x", true, event.Failed), event.Finished{Wall: time.Millisecond, Targets: 1, Tests: 1, Failed: 1, UpToDate: true}},
			"//:x  FAILED      1.0 s\nFAILED 1 of 1 check in 1 ms\n"},
		{"nothing was analyzed", false, 1, []event.Event{done("x", false, event.NotAnalyzed), event.Finished{Wall: time.Second, NotAnalyzed: 2}},
			"//:x  NOT ANALYZED\nINFO: 0 processes.\nFAILED 2 not analyzed in 0:01\n"},
		{"nothing was counted", false, 8, nil, ""},
		{"cached", true, 0, []event.Event{event.TargetDone{Target: l, Test: true, Cached: true, Status: event.Passed, Summary: "3 tests", Wall: time.Second}, event.Finished{Wall: time.Second, Targets: 1, Tests: 1}},
			"//:x  PASSED  3 tests; cached    1.0 s\nINFO: 0 processes.\nPASSED 1 check in 0:01\n"},
		{"passed with warnings", true, 0, []event.Event{event.TargetDone{Target: l, Test: true, Status: event.Passed, Text: "warning: unused\n", Wall: time.Second}, event.Finished{Wall: time.Second, Targets: 1, Tests: 1}},
			"==== //:x PASSED ====\nwarning: unused\n//:x  PASSED      1.0 s\nINFO: 0 processes.\nPASSED 1 check in 0:01\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := render(t, ui.Config{Test: test.test, ShowResult: 9, Level: zerolog.InfoLevel}, test.code, test.events)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A long label must not push the columns of all others away.
func TestSummaryColumns(t *testing.T) {
	long := label.Label{Package: strings.Repeat("very/long/", 8) + "path", Name: "test"}
	got := render(t, ui.Config{Test: true, ShowResult: 9, Level: zerolog.ErrorLevel}, 3, []event.Event{
		event.TargetDone{Target: long, Test: true, Status: event.Passed, Wall: time.Second},
		event.TargetDone{Target: label.Label{Name: "größe_日本"}, Test: true, Status: event.TimedOut, Summary: "日本", Wall: time.Second},
		event.TargetDone{Target: label.Label{Name: "x"}, Test: true, Status: event.Passed, Summary: "ok", Wall: time.Second},
		event.Finished{Wall: time.Second, Tests: 3},
	})
	golden(t, "columns", got)
}

func TestDiagnostics(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "BUILD"), []byte("a\n\tx = \"日本\", y\n\nlast"), 0o666); err != nil {
		t.Fatal(err)
	}
	d := func(line, column int) event.Event {
		return event.Diagnostic{Severity: event.Error, Position: diag.Position{File: "BUILD", Line: line, Column: column}, Text: "bad", Hint: "one\ntwo"}
	}
	got := render(t, ui.Config{Root: dir, Level: zerolog.InfoLevel}, 1, []event.Event{
		d(2, 12), d(4, 1), d(4, 5), d(4, 99), d(3, 1), d(9, 1), d(0, 0),
		event.Diagnostic{Severity: event.Warning, Position: diag.Position{File: "none", Line: 1}, Text: "first line\ndetail\n  more"},
		event.Diagnostic{Severity: event.Info, Text: "note"},
		event.Diagnostic{Severity: event.Debug, Text: "hidden"},
	})
	golden(t, "diagnostics", got)
}

// What print() says is the user's own word: no level hides it and no line of it
// is moved.
func TestPrinted(t *testing.T) {
	printed := []event.Event{
		event.Printed{Position: diag.Position{File: "a/BUILD", Line: 2, Column: 6}, Text: "one\n  two"},
		event.Printed{Position: diag.Position{File: "a/BUILD", Line: 3, Column: 6}},
	}
	want := "DEBUG: a/BUILD:2:6: one\n  two\nDEBUG: a/BUILD:3:6: \n"
	for _, level := range []zerolog.Level{zerolog.DebugLevel, zerolog.InfoLevel, zerolog.ErrorLevel} {
		var out, err buffer
		c := ui.New(ui.Config{Out: &out, Err: &err, Level: level})
		for _, e := range printed {
			c.Event(e)
		}
		c.Close()
		if err.String() != want || out.String() != "" {
			t.Errorf("at %s: %q on Err and %q on Out, want %q on Err", level, err.String(), out.String(), want)
		}
	}
	var err buffer
	c := ui.New(ui.Config{Out: &err, Err: &err, JSON: true, Level: zerolog.ErrorLevel})
	c.Event(printed[0])
	c.Close()
	var record map[string]any
	if e := json.Unmarshal([]byte(err.String()), &record); e != nil {
		t.Fatal(e)
	}
	delete(record, "time")
	if fmt.Sprint(record) != `map[column:6 event:print file:a/BUILD level:debug line:2 message:one
  two]` {
		t.Errorf("record %v", record)
	}
}

func TestJSONIsOneRecordALine(t *testing.T) {
	var out, err buffer
	c := ui.New(ui.Config{Out: &out, Err: &err, JSON: true, Live: true, Test: true, ShowResult: 50, Level: zerolog.InfoLevel})
	for _, e := range gate() {
		c.Event(e)
	}
	c.Event(event.ActionFailed{Owner: label.Label{Name: "x"}, Mnemonic: "Rustc", Reason: "exit code 1", Stderr: "a\nb"})
	c.End(3)
	c.Close()
	lines := strings.Split(strings.TrimSpace(err.String()), "\n")
	if len(lines) != 9 {
		t.Errorf("%d records, want 9:\n%s", len(lines), err.String())
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, `{"level":"`) || !strings.HasSuffix(l, "}") {
			t.Errorf("no record: %s", l)
		}
	}
	if !strings.Contains(out.String(), "//:clippy    FAILED") {
		t.Errorf("the table is missing on Out:\n%s", out.String())
	}
}

// screenOf plays what was written to a terminal and returns what stands there.
func screenOf(t *testing.T, written string, columns int) []string {
	t.Helper()
	rows := []string{""}
	y := 0
	for i := 0; i < len(written); {
		rest := written[i:]
		switch {
		case strings.HasPrefix(rest, "\x1b["):
			end := strings.IndexAny(rest[2:], "ABCDJKm")
			if end < 0 {
				t.Fatalf("unfinished escape %q", rest)
			}
			arg, op := rest[2:2+end], rest[2+end]
			i += end + 3
			switch op {
			case 'A':
				n, err := strconv.Atoi(arg)
				if err != nil || n > y {
					t.Fatalf("cursor up %q from row %d", arg, y)
				}
				y -= n
			case 'J':
				rows = append(rows[:y:y], "")
			}
		case rest[0] == '\n':
			y++
			if y == len(rows) {
				rows = append(rows, "")
			}
			i++
		case rest[0] == '\r':
			i++
		default:
			r := []rune(rest)[0]
			if len([]rune(rows[y])) == columns { // the terminal wraps
				y++
				if y == len(rows) {
					rows = append(rows, "")
				}
			}
			rows[y] += string(r)
			i += len(string(r))
		}
	}
	return rows
}

func TestLiveView(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	columns := 60
	var out buffer
	c := ui.New(ui.Config{Out: &out, Err: &out, Live: true, Now: clock, Level: zerolog.InfoLevel, ShowResult: 9,
		Size: func() (int, int) { mu.Lock(); defer mu.Unlock(); return columns, 12 }})

	expect := func(want ...string) {
		t.Helper()
		c.Refresh()
		got := screenOf(t, out.String(), columns)
		if d := cmp.Diff(append(want, ""), got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	}
	start := func(id int, name string) {
		c.Event(event.ActionStarted{ID: id, Mnemonic: "Rustc", Progress: name, Start: clock()})
	}
	expect()
	c.Event(event.Phase{Text: "Loading"})
	expect("Loading; 0:00")
	c.Event(event.Phase{Text: "Running"})
	c.Event(event.Progress{Total: 57, Done: 12, Cached: 10, Ran: 2, Running: 2, Estimate: 12 * time.Second})
	start(1, "serde_derive with a name that is much too long for this window")
	start(2, "tokio")
	pass(3 * time.Second)
	expect("[12/57] 10 cached, 2 ran, 2 running; about 0:12 left; 0:03",
		"    Rustc serde_derive with a name that is much…  3 s",
		"    Rustc tokio  3 s")

	// What is printed stands above the view.
	c.Event(event.Output{Text: "warning: x"})
	expect("warning: x",
		"[12/57] 10 cached, 2 ran, 2 running; about 0:12 left; 0:03",
		"    Rustc serde_derive with a name that is much…  3 s",
		"    Rustc tokio  3 s")

	// A finished action leaves; one that is quick never shows.
	c.Event(event.ActionFinished{ID: 1})
	start(3, "quick")
	expect("warning: x",
		"[12/57] 10 cached, 2 ran, 2 running; about 0:12 left; 0:03",
		"    Rustc tokio  3 s")

	// No more lines than a third of the window.
	for i := range 9 {
		start(10+i, "many")
	}
	pass(2 * time.Second)
	expect("warning: x",
		"[12/57] 10 cached, 2 ran, 2 running; about 0:12 left; 0:05",
		"    Rustc tokio  5 s",
		"    Rustc quick  2 s",
		"    Rustc many  2 s",
		"    and 8 more")

	c.Event(event.Finished{Wall: 5 * time.Second, Targets: 1, Processes: 1, ByRunner: map[string]int{"linux-sandbox": 1}})
	c.End(0)
	c.Close()
	got := screenOf(t, out.String(), columns)
	if d := cmp.Diff([]string{"warning: x", "INFO: 1 process: 1 linux-sandbox.", "BUILT 1 target in 0:05", ""}, got); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
}

// A window that became narrower has wrapped the drawn lines; all their rows go.
func TestLiveViewResized(t *testing.T) {
	columns := 60
	var out buffer
	c := ui.New(ui.Config{Out: &out, Err: &out, Live: true, Size: func() (int, int) { return columns, 30 }, Level: zerolog.InfoLevel})
	c.Event(event.Phase{Text: strings.Repeat("x", 50)})
	c.Refresh()
	before := out.String()
	c.Close() // ends the ticker, so that columns may change
	after := strings.TrimPrefix(out.String(), before)
	if want := "\x1b[1A\r\x1b[J"; after != want {
		t.Errorf("erased with %q, want %q", after, want)
	}

	var narrow buffer
	size := make(chan int, 1)
	size <- 60
	c = ui.New(ui.Config{Out: &narrow, Err: &narrow, Live: true, Level: zerolog.InfoLevel, Size: func() (int, int) { n := <-size; size <- n; return n, 30 }})
	c.Event(event.Phase{Text: strings.Repeat("x", 50)}) // 56 columns with the time
	c.Refresh()
	<-size
	size <- 20
	c.Event(event.Output{Text: "text"})
	c.Close()
	if !strings.Contains(narrow.String(), "\x1b[3A\r\x1b[Jtext\n") {
		t.Errorf("56 columns in a window of 20 are three rows: %q", narrow.String())
	}
}

func TestPlainStatusInLongBuilds(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	var out buffer
	c := ui.New(ui.Config{Out: &out, Err: &out, Now: clock, Level: zerolog.InfoLevel})
	c.Event(event.Phase{Text: "Fetching @crates"})
	c.Event(event.Phase{Text: "Running"})
	c.Event(event.Progress{Total: 9, Done: 1, Ran: 1, Running: 1})
	c.Event(event.ActionStarted{ID: 1, Mnemonic: "Rustc", Progress: "syn", Start: clock()})
	c.Refresh()
	mu.Lock()
	now = now.Add(11 * time.Second)
	mu.Unlock()
	c.Refresh()
	c.Refresh()
	c.Close()
	want := "INFO: Fetching @crates\nINFO: [1/9] 0 cached, 1 ran, 1 running; 0:11; longest: Rustc syn, 11.0 s\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConcurrentUse(t *testing.T) {
	var out buffer
	c := ui.New(ui.Config{Out: &out, Err: &out, Live: true, Size: func() (int, int) { return 80, 24 }, Level: zerolog.InfoLevel})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				c.Event(event.ActionStarted{ID: i*100 + j, Mnemonic: "Rustc", Start: time.Now()})
				c.Event(event.Progress{Total: 800, Done: j})
				c.Infof("line")
				c.Refresh()
			}
		})
	}
	wg.Wait()
	c.Close()
	if n := strings.Count(out.String(), "INFO: line\n"); n != 800 {
		t.Errorf("%d lines, want 800", n)
	}
}
