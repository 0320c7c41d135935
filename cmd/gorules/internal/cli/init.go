package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"gorules/cmd/gorules/internal/cargoinit"
	"gorules/cmd/gorules/internal/ui"
	"gorules/executor"
	"gorules/executor/diag"
)

const initText = `Sets up an existing Cargo project: writes WORKSPACE and BUILD with the targets
:deps, the package, :fmt, :clippy, :test and :coverage. Compiles nothing, starts
no process, and never overwrites a file.

The gate it writes passes where cargo's plain commands pass today: clippy's
warnings are shown but not denied, and no coverage is demanded. Whether the
files are formatted cannot be known without running rustfmt, so :fmt is tagged
manual (left out of //...) unless the project's own CI runs cargo fmt --check.
The strict lines stand beside as comments; --strict writes them live.`

func runInit(_ context.Context, c *command) error {
	if len(c.operands) > 1 {
		return badLine("`gorules init` takes one folder, got %d operands", len(c.operands))
	}
	dir := c.Dir
	if len(c.operands) == 1 {
		dir = c.path(c.operands[0])
	}
	p, err := cargoinit.Read(dir)
	var bad *diag.Error
	if errors.As(err, &bad) {
		at := bad.Position()
		if at.File != "" && !filepath.IsAbs(at.File) {
			at.File = filepath.Join(dir, at.File)
		}
		return &executor.Error{Kind: executor.BadCommandLine, Err: bad.At(at)}
	}
	if err != nil {
		return &executor.Error{Kind: executor.Environment, Err: err}
	}
	files, err := p.Plan(c.opts.strict)
	if err != nil {
		return err
	}
	c.sayProject(p)
	for _, f := range files {
		if f.Exists != "" {
			c.say("kept   %-11s it exists; nothing in it was changed\n", f.Exists)
			continue
		}
		if err := f.Write(dir); err != nil {
			return &executor.Error{Kind: executor.Environment, Err: err}
		}
		c.say("wrote  %-11s %s\n", f.Name, c.contents(p, f.Name))
	}
	added, err := p.Ignore()
	if err != nil {
		return &executor.Error{Kind: executor.Environment, Err: err}
	}
	if len(added) > 0 {
		c.say("added  %-11s %s\n", ".gitignore", strings.Join(added, " "))
	}
	c.sayNext(p, dir)
	return nil
}

func (c *command) sayProject(p *cargoinit.Project) {
	kind := "Cargo package"
	if p.Workspace {
		n := len(p.Members)
		if p.Package != "" {
			n++
		}
		kind = "Cargo workspace, " + ui.Plural(n, "member")
	}
	name := p.PackageName()
	c.say("found  %s; its target is :%s (%s)\n", kind, name.Name, name.Why)
}

func (c *command) contents(p *cargoinit.Project, file string) string {
	switch file {
	case "WORKSPACE":
	case ".bazelignore":
		return "folders that have a BUILD file of something else"
	default:
		return fmt.Sprintf(":deps :%s :fmt :clippy :test :coverage", p.PackageName().Name)
	}
	rust := "the default Rust toolchain of this machine"
	if p.Toolchain != "" {
		rust = "Rust " + strings.TrimSpace(p.Channel+" ("+p.Toolchain+")")
	}
	crates := "the crates of Cargo.lock"
	if p.Locked {
		crates = ui.Plural(p.Crates, "crate") + " of Cargo.lock"
	}
	return rust + ", the host's C toolchain, " + crates
}

func (c *command) sayNext(p *cargoinit.Project, dir string) {
	c.say("\n")
	if c.opts.strict {
		c.say("The gate is strict: warnings of clippy are denied, 80 %% of lines must be covered, files must be formatted.\n")
	} else {
		c.say("The gate passes where cargo's plain commands pass: no denied warnings, no coverage floor.\n")
		if p.FmtCheck != "" {
			c.say(":fmt is part of it, since %s checks the format.\n", p.FmtCheck)
		} else {
			c.say(":fmt is not part of it: try `gorules test //:fmt`, and delete its tags = [\"manual\"] where it passes.\n")
		}
		c.say("BUILD has the strict lines as comments; `gorules init --strict` writes them live.\n")
	}
	if p.Toolchain == "" {
		c.say("No rust-toolchain.toml: machines with another default toolchain share no results.\n")
	}
	if p.Ignored {
		c.say("Cargo.lock is in .gitignore: commit it, or every machine builds other versions.\n")
	}
	if n := len(p.Git); n > 0 {
		c.say("%s from git: the first fetch pins their trees in gorules.lock; commit it.\n", some(p.Git))
	}
	if c.opts.strict && len(p.Sys) > 0 {
		c.say("%s may want something of the host: WORKSPACE has the lines as comments.\n", some(p.Sys))
	}
	c.say("\nNext:\n")
	if rel, err := filepath.Rel(c.Dir, dir); err == nil && rel != "." {
		c.say("  cd %s\n", rel)
	}
	if !p.Locked {
		c.say("  cargo generate-lockfile     # there is no Cargo.lock yet; gorules never writes one\n")
	}
	what := "lints, tests, coverage"
	if c.opts.strict || p.FmtCheck != "" {
		what = "format, " + what
	}
	c.say("  gorules test //...          # everything: %s\n", what)
	c.say("  gorules build //:%s\n", p.PackageName().Name)
}

// some shortens a list for a sentence.
func some(list []string) string {
	if len(list) <= 3 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
}
