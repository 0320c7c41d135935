package main_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// acceptanceCmds are the commands of acceptance scripts:
//
//	code N COMMAND ARG...          runs it and wants exit code N
//	example DIR                    copies examples/cargo-hello there
//	edit FILE OLD NEW              replaces the one place where OLD stands (\n is a newline)
//	ran LOG NAME=N...              exactly these actions ran, and no others
//	hits LOG NAME=N...             so many of each came from a cache or were up to date
//	[!] none LOG                   no action ran (or some did), and there were some
//	spared LOG                     no action of a third-party crate ran
//
// LOG is an --execution_log_json_file. NAME is a mnemonic, or MNEMONIC@LABEL
// for those of one target.
func acceptanceCmds() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"code": code,
		"example": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "example DIR")
			ts.Check(copyExample(ts.MkAbs(args[0])))
		},
		"edit": edit,
		"ran": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) >= 2, "ran LOG NAME=N...")
			log := scriptLog(ts, args[0])
			total := 0
			for name, want := range counts(ts, args[1:]) {
				total += want
				if got := log.count(name, false); got != want {
					ts.Fatalf("%d of %s ran, want %d; what ran:\n%s", got, name, want, log.ran())
				}
			}
			if got := len(log.ran()); got != total {
				ts.Fatalf("%d actions ran, want %d; what ran:\n%s", got, total, log.ran())
			}
		},
		"hits": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) >= 2, "hits LOG NAME=N...")
			log := scriptLog(ts, args[0])
			for name, want := range counts(ts, args[1:]) {
				if got := log.count(name, true); got != want {
					ts.Fatalf("%d of %s were hits, want %d; what ran:\n%s", got, name, want, log.ran())
				}
			}
		},
		"spared": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "spared LOG")
			log := scriptLog(ts, args[0])
			if log.where(spawn.thirdParty).count("Rustc", true) == 0 {
				ts.Fatalf("%s tells of no third-party crate", args[0])
			}
			if ran := log.ran().where(spawn.thirdParty); len(ran) > 0 {
				ts.Fatalf("%d actions of third-party crates ran:\n%s", len(ran), ran)
			}
		},
		"none": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, len(args) == 1, "[!] none LOG")
			log := scriptLog(ts, args[0])
			if len(log) == 0 {
				ts.Fatalf("%s is empty: it should tell of the actions that were up to date", args[0])
			}
			ran := log.ran()
			if neg && len(ran) == 0 {
				ts.Fatalf("no action ran")
			}
			if !neg && len(ran) > 0 {
				ts.Fatalf("%d actions ran, want none:\n%s", len(ran), ran)
			}
		},
	}
}

func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func scriptLog(ts *testscript.TestScript, name string) execLog {
	log, err := readLog(ts.MkAbs(name))
	ts.Check(err)
	return log
}

// counts reads NAME=N arguments.
func counts(ts *testscript.TestScript, args []string) map[string]int {
	out := make(map[string]int)
	for _, arg := range args {
		name, number, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(number)
		if err != nil || name == "" {
			ts.Fatalf("%q is not NAME=N", arg)
		}
		out[name] = n
	}
	return out
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "edit FILE OLD NEW")
	lines := strings.NewReplacer(`\n`, "\n")
	ts.Check(editFile(ts.MkAbs(args[0]), lines.Replace(args[1]), lines.Replace(args[2])))
}

// editFile replaces the one place of a file where old stands.
func editFile(path, old, new string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(data), old); n != 1 {
		return fmt.Errorf("%s holds %q %d times, want once", path, old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o644)
}

// String lists actions a line each, for a failing test.
func (l execLog) String() string {
	lines := make(map[string]int)
	for _, s := range l {
		lines[s.String()]++
	}
	var b strings.Builder
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "  %d x %s\n", lines[line], line)
	}
	return b.String()
}
