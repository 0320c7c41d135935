package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// Small measures what an action costs besides its process: Actions copies of a
// file each, all sources changed, by gorules in a sandbox and by ninja bare.
type Small struct {
	Gorules string // program
	Work    string // scratch folder
	Actions int
	Rounds  int
	Starter Starter
}

// Run measures and writes a table. The end of the last line of output is seen
// by the log's modification time.
func (s *Small) Run(ctx context.Context, w io.Writer) error {
	dir := filepath.Join(s.Work, "small")
	if err := removeAll(dir); err != nil {
		return err
	}
	if err := s.workspace(dir); err != nil {
		return err
	}
	log := func(name string) string { return filepath.Join(s.Work, "logs", "small-"+name) }
	env := Environ(os.Environ())
	gorules := Command{Name: "gorules build", Dir: dir, Log: log("gorules"), Env: append(env, "XDG_CACHE_HOME="+filepath.Join(s.Work, "small-cache")),
		Argv: []string{s.Gorules, "build", "//..."}}
	ninja := Command{Name: "ninja", Dir: dir, Log: log("ninja"), Env: env, Argv: []string{"ninja"}}
	var walls, cpus, tails, gw, nw, gc, nc, busy []float64
	for round := range s.Rounds + 1 { // the first brings toolchains, folders and programs in
		if err := s.edit(dir, round); err != nil {
			return err
		}
		var g, n Sample
		for i := range 2 {
			if err := syncDisk(ctx, s.Starter, dir); err != nil {
				return err
			}
			var err error
			if (i == 0) == (round%2 == 0) {
				g, err = must(ctx, s.Starter, gorules)
				tails = append(tails, tailTime(gorules.Log))
			} else {
				n, err = must(ctx, s.Starter, ninja)
			}
			if err != nil {
				return err
			}
		}
		if round == 0 {
			tails = nil
			continue
		}
		if want := fmt.Sprintf("%d processes: %d linux-sandbox", s.Actions, s.Actions); processes(gorules.Log) == "" || !strings.Contains(processes(gorules.Log), want) {
			return fmt.Errorf("gorules said %q, want %q: not every action ran", processes(gorules.Log), want)
		}
		walls, cpus = append(walls, g.Wall.Seconds()/n.Wall.Seconds()), append(cpus, g.CPU.Seconds()/n.CPU.Seconds())
		gw, nw, gc, nc = append(gw, g.Wall.Seconds()), append(nw, n.Wall.Seconds()), append(gc, g.CPU.Seconds()), append(nc, n.CPU.Seconds())
		busy = append(busy, max(g.Foreign, n.Foreign))
	}
	fmt.Fprintf(w, "%d sandboxed cp beside ninja's bare ones, median of %d pairs (foreign CPUs %s)\n", s.Actions, s.Rounds, cores(median(busy)))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tratio\tgorules\tninja\t\n")
	fmt.Fprintf(t, "wall\t%.2f\t%.2f s\t%.2f s\t\n", median(walls), median(gw), median(nw))
	fmt.Fprintf(t, "CPU\t%.2f\t%.2f s\t%.2f s\t\n", median(cpus), median(gc), median(nc))
	fmt.Fprintf(t, "last line to exit\t\t%.0f ms\t\t\n", 1000*median(tails))
	return t.Flush()
}

// tailTime is how long the process whose output went to log lived after it wrote last.
func tailTime(log string) float64 {
	info, err := os.Stat(log)
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime()).Seconds()
}

func (s *Small) workspace(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var ninja strings.Builder
	ninja.WriteString("rule cp\n  command = cp $in $out\n")
	for i := range s.Actions {
		fmt.Fprintf(&ninja, "build ninja-out/%d: cp src/%d\n", i, i)
	}
	build := fmt.Sprintf("[genrule(name = \"cp%%d\" %% i, srcs = [\"src/%%d\" %% i], outs = [\"%%d\" %% i], cmd = \"cp $< $@\") for i in range(%d)]\n", s.Actions)
	for name, text := range map[string]string{"WORKSPACE": "", "BUILD": build, "build.ninja": ninja.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(dir, "src"), 0o777)
}

func (s *Small) edit(dir string, round int) error {
	for i := range s.Actions {
		if err := os.WriteFile(filepath.Join(dir, "src", fmt.Sprint(i)), fmt.Appendf(nil, "source %d, round %d\n", i, round), 0o666); err != nil {
			return err
		}
	}
	return nil
}
