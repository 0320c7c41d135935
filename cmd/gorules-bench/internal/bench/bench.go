package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Bench is one run of the benchmark.
type Bench struct {
	Gorules   string    // the program to measure, absolute
	Projects  []Project // what it builds
	Measures  []Measure // what is measured, in the order of Measures
	Rounds    int       // pairs of each measure and project
	NoopPairs int       // pairs of Noop in each round, for they are short
	Tarpaulin []string  // arguments of `cargo tarpaulin`
	Work      string    // folder for everything that is made, absolute
	BusyFrom  float64   // foreign cores from which on a pair counts as busy

	Starter  Starter
	Progress io.Writer // one line a run
}

// A Report is all that was measured.
type Report struct {
	Machine  Machine  `json:"machine"`
	BusyFrom float64  `json:"busy_from_cores"`
	Rows     []Row    `json:"rows"`
	Apart    []Apart  `json:"apart"`    // what is in no ratio
	Failures []string `json:"failures"` // pairs that could not be completed, and why
	Pairs    []Pair   `json:"pairs"`
}

// An Apart is a time that is printed but in no ratio.
type Apart struct {
	What    string    `json:"what"`
	Project string    `json:"project"`
	Seconds []float64 `json:"seconds"`
}

// bed is one project laid out twice.
type bed struct {
	Project
	dir      string // of all that follows
	gorules  string // copy with BUILD and WORKSPACE
	cargo    string // the same without
	root     string // --output_user_root
	pack     string // label of the package
	gate     []string
	coverage []string // labels of the coverage targets
	units    int
	edit     edit
	charge   time.Duration // see Bench.charge; negative while unknown
}

// Run measures. Projects that fail are left out of the rows and named in
// Failures; the error is for what makes the whole run pointless. When ctx ends,
// the report holds the pairs that were complete by then, beside the error.
func (b *Bench) Run(ctx context.Context) (*Report, error) {
	r := &Report{Machine: machine(ctx, b.Gorules), BusyFrom: b.BusyFrom}
	if err := b.tiny(ctx); err != nil {
		return nil, err
	}
	var beds []*bed
	units := map[string]int{}
	for _, p := range b.Projects {
		bed, err := b.prepare(ctx, p)
		if err != nil {
			if ctx.Err() != nil {
				return r, err
			}
			r.fail(b, p.Name, 0, err)
			continue
		}
		beds = append(beds, bed)
		units[p.Name] = bed.units
	}
	err := b.rounds(ctx, r, beds)
	r.Rows = Summarise(r.Pairs, units, b.BusyFrom)
	return r, err
}

// rounds is the outer loop, so that a drift of the machine falls on all projects.
func (b *Bench) rounds(ctx context.Context, r *Report, beds []*bed) error {
	for round := 1; round <= b.Rounds; round++ {
		for _, bed := range beds {
			if err := b.round(ctx, r, bed, round); err != nil {
				if ctx.Err() != nil {
					return err
				}
				r.fail(b, bed.Name, round, err)
			}
		}
	}
	return nil
}

func (r *Report) fail(b *Bench, project string, round int, err error) {
	text := fmt.Sprintf("%s, round %d: %v", project, round, err)
	if round == 0 {
		text = fmt.Sprintf("%s: %v", project, err)
	}
	r.Failures = append(r.Failures, text)
	fmt.Fprintf(b.Progress, "FAILED %s\n", text)
}

// apart notes a time that is in no ratio.
func (r *Report) apart(what, project string, s Sample) {
	for i := range r.Apart {
		if r.Apart[i].What == what && r.Apart[i].Project == project {
			r.Apart[i].Seconds = append(r.Apart[i].Seconds, s.Wall.Seconds())
			return
		}
	}
	r.Apart = append(r.Apart, Apart{what, project, []float64{s.Wall.Seconds()}})
}

func (b *Bench) has(m Measure) bool {
	return slices.Contains(b.Measures, m)
}

// NeedsTarpaulin says whether what is measured includes the peer's gate.
func (b *Bench) NeedsTarpaulin() bool { return b.has(Gate) || b.has(Edit) }

func (b *Bench) tinyDir() string { return filepath.Join(b.Work, "tiny") }

// tiny lays out a package without dependencies. Building it in an empty cache
// leaves there what depends on the machine only: the digest and trees of the
// toolchain, and, with its coverage target, the coverage tool.
func (b *Bench) tiny(ctx context.Context) error {
	err := writeFiles(b.tinyDir(), map[string]string{
		"Cargo.toml":  "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
		"src/main.rs": "fn main() {\n    println!(\"tiny\");\n}\n\n#[test]\nfn works() {}\n",
	})
	if err != nil {
		return fmt.Errorf("package without dependencies: %w", err)
	}
	if _, err := cargo(ctx, b.tinyDir(), "generate-lockfile"); err != nil {
		return err
	}
	return b.init(ctx, b.tinyDir())
}

func (b *Bench) init(ctx context.Context, dir string) error {
	_, err := must(ctx, b.Starter, Command{Name: "gorules init", Dir: dir, Argv: []string{b.Gorules, "init", "--ignore_all_rc_files"},
		Env: Environ(os.Environ()), Log: filepath.Join(b.Work, "logs", filepath.Base(filepath.Dir(dir))+"-init.log")})
	return err
}

// prepare lays out p twice, fetches its crates and asks gorules for its targets.
func (b *Bench) prepare(ctx context.Context, p Project) (*bed, error) {
	fmt.Fprintf(b.Progress, "preparing %s\n", p)
	from, err := p.source(ctx, b.Work)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Work, p.Name)
	d := &bed{Project: p, dir: dir, gorules: filepath.Join(dir, "gorules"), cargo: filepath.Join(dir, "cargo"), root: filepath.Join(dir, "root"), charge: -1}
	if err := removeAll(dir); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	for _, to := range []string{d.gorules, d.cargo} {
		if err := copySources(from, to); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(d.cargo, "Cargo.lock")); err != nil {
		return nil, fmt.Errorf("project %s: a Cargo.lock is needed, so that both sides build the same: %w", p, err)
	}
	if _, err := cargo(ctx, d.cargo, "fetch", "--locked"); err != nil {
		return nil, err
	}
	if err := b.init(ctx, d.gorules); err != nil {
		return nil, err
	}
	if d.units, err = units(ctx, d.cargo); err != nil {
		return nil, err
	}
	if d.edit, err = findEdit(ctx, d.cargo); err != nil {
		return nil, err
	}
	packs, err := b.query(ctx, d, "cargo_package")
	if err != nil {
		return nil, err
	}
	if len(packs) == 0 {
		return nil, fmt.Errorf("project %s: its BUILD file declares no cargo_package", p)
	}
	d.pack = packs[0]
	formats, err := b.query(ctx, d, "cargo_fmt")
	if err != nil {
		return nil, err
	}
	if d.coverage, err = b.query(ctx, d, "cargo_coverage"); err != nil {
		return nil, err
	}
	// init may leave :fmt out of //..., and the other side runs cargo fmt.
	d.gate = append([]string{"//..."}, formats...)
	return d, nil
}

// query returns the labels of the rules of one kind.
func (b *Bench) query(ctx context.Context, d *bed, kind string) ([]string, error) {
	cmd := exec.CommandContext(ctx, b.Gorules, "query", "--ignore_all_rc_files", "--output_user_root="+d.root, "kind('^"+kind+" rule$', //...)")
	cmd.Dir, cmd.Env = d.gorules, Environ(os.Environ())
	text, err := output(cmd)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}

// A Machine is what the numbers were taken on.
type Machine struct {
	CPUs    int    `json:"cpus"`
	OS      string `json:"os"`
	Rustc   string `json:"rustc"`
	Gorules string `json:"gorules"`
	Cover   string `json:"tarpaulin,omitempty"`
}

func machine(ctx context.Context, gorules string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH}
	for _, ask := range []struct {
		to   *string
		argv []string
	}{
		{&m.Rustc, []string{"rustc", "-V"}},
		{&m.Gorules, []string{gorules, "version"}},
		{&m.Cover, []string{"cargo", "tarpaulin", "--version"}},
	} {
		text, err := exec.CommandContext(ctx, ask.argv[0], ask.argv[1:]...).Output()
		if err == nil {
			first, _, _ := strings.Cut(string(text), "\n")
			*ask.to = strings.TrimSpace(first)
		}
	}
	return m
}

// ErrNoTarpaulin says that the peer's coverage tool is missing.
var ErrNoTarpaulin = errors.New("cargo-tarpaulin is not installed")

// CheckTarpaulin returns ErrNoTarpaulin, with what to do, where cargo does not
// find the tool.
func CheckTarpaulin(ctx context.Context) error {
	if err := exec.CommandContext(ctx, "cargo", "tarpaulin", "--version").Run(); err != nil {
		return fmt.Errorf("%w, and the gate cannot be compared without it: run `cargo install --locked cargo-tarpaulin` (some minutes), "+
			"or start this command with -install, or measure without the gate: -measures=build", ErrNoTarpaulin)
	}
	return nil
}

// InstallTarpaulin builds and installs the peer's coverage tool through cargo.
func InstallTarpaulin(ctx context.Context, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "cargo", "install", "--locked", "cargo-tarpaulin")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("`cargo install --locked cargo-tarpaulin`: %w", err)
	}
	return nil
}
