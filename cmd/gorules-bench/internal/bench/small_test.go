package bench_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorules/cmd/gorules-bench/internal/bench"
)

// smallSides plays gorules and ninja.
type smallSides struct {
	ran   int // actions that gorules says it ran
	order []string
}

func (s *smallSides) Run(_ context.Context, c bench.Command) (bench.Sample, error) {
	if c.Name == "sync" {
		return bench.Sample{}, nil
	}
	s.order = append(s.order, c.Name)
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o777); err != nil {
		return bench.Sample{}, err
	}
	text := fmt.Sprintf("INFO: %d processes: %d linux-sandbox.\n", s.ran, s.ran)
	if err := os.WriteFile(c.Log, []byte(text), 0o666); err != nil {
		return bench.Sample{}, err
	}
	if c.Name == "ninja" {
		return bench.Sample{Wall: 2 * time.Second, CPU: 4 * time.Second}, nil
	}
	return bench.Sample{Wall: 3 * time.Second, CPU: 10 * time.Second}, nil
}

func TestSmall(t *testing.T) {
	sides := &smallSides{ran: 5}
	s := bench.Small{Gorules: "gorules", Work: t.TempDir(), Actions: 5, Rounds: 2, Starter: sides}
	var out strings.Builder
	if err := s.Run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"wall   1.50   3.00 s  2.00 s", "CPU   2.50  10.00 s  4.00 s", "median of 2 pairs"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if got := strings.Join(sides.order, ", "); got != "gorules build, ninja, ninja, gorules build, gorules build, ninja" {
		t.Errorf("order: %s", got)
	}
	sides.ran = 4
	if err := s.Run(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "not every action ran") {
		t.Errorf("with an action that did not run: %v", err)
	}
}
