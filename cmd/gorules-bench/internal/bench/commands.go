package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func (b *Bench) toolLog(d *bed) string { return filepath.Join(d.dir, "tool.exec.json") }
func (b *Bench) ownLog(d *bed) string  { return filepath.Join(d.dir, "own.exec.json") }

// log names the file for the output of a command; later rounds get their own.
func (b *Bench) log(d *bed, m Measure, round int, name string) string {
	return filepath.Join(b.Work, "logs", fmt.Sprintf("%s-%s-%d-%s.log", d.Name, m, round, name))
}

// gorulesCommand is one call of gorules in d, without the user's rc files.
func (b *Bench) gorulesCommand(d *bed, m Measure, round int, verb string, args ...string) Command {
	argv := append([]string{b.Gorules, verb, "--ignore_all_rc_files", "--output_user_root=" + d.root}, args...)
	return Command{Name: "gorules " + verb, Dir: d.gorules, Argv: argv, Env: Environ(os.Environ()), Log: b.log(d, m, round, "gorules-"+verb)}
}

// cargoCommand is one call of cargo in d, as its users write it.
func (b *Bench) cargoCommand(d *bed, m Measure, round int, args ...string) Command {
	return Command{Name: "cargo " + args[0], Dir: d.cargo, Argv: append([]string{"cargo"}, args...), Env: Environ(os.Environ()), Log: b.log(d, m, round, "cargo-"+args[0])}
}

// gateCommands is the gate on gorules' side.
func (b *Bench) gateCommands(d *bed, m Measure, round int) []Command {
	return []Command{b.gorulesCommand(d, m, round, "test", d.gate...)}
}

// peerCommands is the gate as cargo's users run it, one after the other.
func (b *Bench) peerCommands(d *bed, m Measure, round int) []Command {
	return []Command{
		b.cargoCommand(d, m, round, "fmt", "--check"),
		b.cargoCommand(d, m, round, "clippy", "--all-targets"),
		b.cargoCommand(d, m, round, "build"),
		b.cargoCommand(d, m, round, "test"),
		b.cargoCommand(d, m, round, append([]string{"tarpaulin"}, b.Tarpaulin...)...),
	}
}

// processes returns the line of gorules' output that counts its actions.
func processes(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "INFO: "); ok && strings.Contains(rest, " process") {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
