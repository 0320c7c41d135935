package bench

import (
	"context"
	"time"
)

// What tests of package bench_test reach beyond the exported names.
var (
	ParseStat   = parseStat
	Foreign     = foreign
	CopySources = copySources
	RemoveAll   = removeAll
)

// SharedTime reads two execution logs and returns what the second one's actions took in the first.
func SharedTime(earlier, wanted string) (time.Duration, error) {
	a, err := readLog(earlier)
	if err != nil {
		return 0, err
	}
	b, err := readLog(wanted)
	if err != nil {
		return 0, err
	}
	return shared(a, b)
}

// RunRound runs one round on a project laid out in dir, whose edited file is
// file with the text source.
func (b *Bench) RunRound(ctx context.Context, dir, file, source string, round int) (*Report, error) {
	r := &Report{}
	d := &bed{Project: Project{Name: "p"}, dir: dir, gorules: dir + "/gorules", cargo: dir + "/cargo", root: dir + "/root",
		pack: "//:p", gate: []string{"//...", "//:fmt"}, coverage: []string{"//:coverage"}, edit: edit{file, source}, charge: -1}
	err := b.round(ctx, r, d, round)
	return r, err
}
