package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Command is one process to start and wait for.
type Command struct {
	Name string   // for people: "clippy", "gorules test"
	Dir  string   // absolute
	Argv []string // Argv[0] is looked up on PATH
	Env  []string // the whole environment
	Log  string   // file that gets standard output and error, replaced; "" drops them
}

// A Sample is what one process took.
type Sample struct {
	Name    string        `json:"name"`
	Wall    time.Duration `json:"wall_ns"`
	CPU     time.Duration `json:"cpu_ns"`        // user and system, of the process and the descendants it waited for
	Foreign float64       `json:"foreign_cores"` // CPUs that other processes kept busy meanwhile; negative where unknown
	Exit    int           `json:"exit"`          // its exit code
	Log     string        `json:"log,omitempty"` // Command.Log
}

// A Starter runs processes. The real one is Processes; tests bring their own.
type Starter interface {
	// Run starts c and waits for it. A process that exits non-zero is a Sample
	// with its exit code, not an error.
	Run(ctx context.Context, c Command) (Sample, error)
}

// Processes starts real processes.
type Processes struct{}

// Run implements Starter. When ctx ends, the process is asked to stop with an
// interrupt and killed after ten seconds.
func (Processes) Run(ctx context.Context, c Command) (Sample, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if c.Log != "" {
		if err := os.MkdirAll(filepath.Dir(c.Log), 0o777); err != nil {
			return Sample{}, fmt.Errorf("log of %s: %w", c.Name, err)
		}
		f, err := os.Create(c.Log)
		if err != nil {
			return Sample{}, fmt.Errorf("log of %s: %w", c.Name, err)
		}
		defer f.Close()
		cmd.Stdout, cmd.Stderr = f, f
	}
	before := busyTime()
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	after := busyTime()
	if ctx.Err() != nil {
		return Sample{}, fmt.Errorf("%s: %w", c.Name, ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Sample{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	s := Sample{Name: c.Name, Wall: wall, Exit: cmd.ProcessState.ExitCode(), Log: c.Log}
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.Foreign = foreign(before, after, s.CPU, wall)
	return s, nil
}

// Failure is a process that had to succeed and did not.
type Failure struct {
	Command Command
	Exit    int
	Tail    string // the last lines of its output
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s (%s, in %s) exited %d:\n%s", f.Command.Name, strings.Join(f.Command.Argv, " "), f.Command.Dir, f.Exit, f.Tail)
}

// must runs c and turns a non-zero exit into a Failure.
func must(ctx context.Context, s Starter, c Command) (Sample, error) {
	sample, err := s.Run(ctx, c)
	if err != nil {
		return sample, err
	}
	if sample.Exit != 0 {
		return sample, &Failure{Command: c, Exit: sample.Exit, Tail: tail(c.Log, 15)}
	}
	return sample, nil
}

// tail returns the last n lines of a file, or nothing where there is no file.
func tail(file string, n int) string {
	if file == "" {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "  " + strings.Join(lines, "\n  ")
}

// Environ is env without the variables by which a user's shell could make
// cargo, rustc or gorules do something else than their defaults, and with cargo
// offline: everything was fetched before.
func Environ(env []string) []string {
	keep := map[string]bool{"CARGO_HOME": true, "RUSTUP_HOME": true, "RUSTUP_TOOLCHAIN": true}
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		changes := strings.HasPrefix(name, "CARGO") || strings.HasPrefix(name, "RUST") || strings.HasPrefix(name, "GORULES")
		if changes && !keep[name] {
			continue
		}
		out = append(out, kv)
	}
	return append(out, "CARGO_NET_OFFLINE=true", "CARGO_TERM_COLOR=never")
}
