package cargoinit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorules/cmd/gorules/internal/starfmt"
	"gorules/executor/regular"
)

// hostNeeds names crates whose build scripts look for something of the host,
// and the line of WORKSPACE that would declare it.
var hostNeeds = map[string]string{
	"openssl-sys":             `host_library(name = "openssl")`,
	"libsqlite3-sys":          `host_library(name = "sqlite3")`,
	"pq-sys":                  `host_library(name = "libpq")`,
	"libdbus-sys":             `host_library(name = "dbus-1")`,
	"libudev-sys":             `host_library(name = "libudev")`,
	"alsa-sys":                `host_library(name = "alsa")`,
	"glib-sys":                `host_library(name = "glib-2.0")`,
	"yeslogic-fontconfig-sys": `host_library(name = "fontconfig")`,
	"freetype-sys":            `host_library(name = "freetype2")`,
	"libpulse-sys":            `host_library(name = "libpulse")`,
	"prost-build":             `host_tool(name = "protoc")`,
	"cmake":                   `host_tool(name = "cmake")`,
}

// targets are the names that every set-up has besides that of the package.
var targets = []string{"deps", "fmt", "clippy", "test", "coverage"}

// Choice is a name and why it was taken.
type Choice struct{ Name, Why string }

// PackageName chooses the name of the cargo_package target.
func (p *Project) PackageName() Choice {
	c := p.chooseName()
	c.Name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, c.Name)
	if c.Name == "" || c.Name == "." || c.Name == ".." {
		c.Name = "package"
	}
	if slices.Contains(targets, c.Name) {
		c.Name += "_package"
	}
	return c
}

func (p *Project) chooseName() Choice {
	if p.Package != "" {
		return Choice{p.Package, "the root package"}
	}
	only := func(want func(Member) bool) string {
		name, n := "", 0
		for _, m := range p.Members {
			if want(m) {
				name, n = m.Name, n+1
			}
		}
		if n == 1 {
			return name
		}
		return ""
	}
	if name := only(func(m Member) bool { return m.Default }); name != "" {
		return Choice{name, "the default member"}
	}
	if name := only(func(m Member) bool { return m.Binary }); name != "" {
		return Choice{name, "the only member with a binary"}
	}
	return Choice{filepath.Base(p.Dir), "the folder"}
}

// File is one file of the set-up.
type File struct {
	Name   string
	Text   []byte
	Exists string // the file that is there already; nothing is written then
}

// Plan returns WORKSPACE and BUILD for p. With strict the gate denies
// warnings, wants coverage and checks the format, and nothing of the machine is
// seen that is not declared.
func (p *Project) Plan(strict bool) ([]File, error) {
	ws := File{Name: "WORKSPACE", Text: []byte(p.workspaceText(strict))}
	build := File{Name: "BUILD", Text: []byte(p.buildText(strict))}
	ws.Exists = firstExisting(p.Dir, "WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel")
	build.Exists = firstExisting(p.Dir, "BUILD.bazel", "BUILD")
	if info, err := os.Stat(filepath.Join(p.Dir, "BUILD")); err == nil && info.IsDir() && build.Exists == "BUILD" {
		build.Name, build.Exists = "BUILD.bazel", ""
	}
	files := []File{ws, build}
	foreign, err := p.foreign()
	if err != nil {
		return nil, err
	}
	if len(foreign) > 0 && ws.Exists == "" {
		files = append(files, File{Name: ignoreFile, Exists: firstExisting(p.Dir, ignoreFile),
			Text: []byte("# Folders with a BUILD file of something else: a test's fixture, another tool's.\n" + strings.Join(foreign, "\n") + "\n")})
	}
	for i := range files {
		if files[i].Name == ignoreFile {
			continue
		}
		text, err := starfmt.Text(files[i].Name, files[i].Text)
		if err != nil {
			return nil, fmt.Errorf("format the new %s: %w", files[i].Name, err)
		}
		files[i].Text = text
	}
	return files, nil
}

// ignoreFile names folders that are no packages, as in Bazel.
const ignoreFile = ".bazelignore"

// foreign lists the folders below p's that have a BUILD file already: there is no
// gorules workspace yet, so it is not one of ours.
func (p *Project) foreign() ([]string, error) {
	var out []string
	err := filepath.WalkDir(p.Dir, func(at string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || at == p.Dir:
			return err
		case e.IsDir():
			_, err := os.Lstat(filepath.Join(at, "CACHEDIR.TAG"))
			if e.Name() == ".git" || err == nil {
				return fs.SkipDir
			}
			for _, name := range []string{"BUILD", "BUILD.bazel"} {
				if info, err := os.Lstat(filepath.Join(at, name)); err == nil && info.Mode().IsRegular() {
					rel, err := filepath.Rel(p.Dir, at)
					if err != nil {
						return err
					}
					out = append(out, filepath.ToSlash(rel))
					return fs.SkipDir
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for BUILD files: %w", err)
	}
	return out, nil
}

func firstExisting(dir string, names ...string) string {
	for _, n := range names {
		if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
			return n
		}
	}
	return ""
}

// Write creates f in dir; it fails where the file exists.
func (f *File) Write(dir string) error {
	out, err := os.OpenFile(filepath.Join(dir, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	_, err = out.Write(f.Text)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	return nil
}

func (p *Project) workspaceText(strict bool) string {
	var b strings.Builder
	b.WriteString(`# What this workspace takes from outside. ` + "`gorules help cargo_vendor`" + ` explains a rule.
load("@gorules//cargo:repositories.bzl", "cargo_vendor", "cc_toolchain", "rust_toolchain")

`)
	if p.Toolchain != "" {
		fmt.Fprintf(&b, "# %s decides which.\n", p.Toolchain)
	} else {
		b.WriteString("# The default toolchain of this machine; a rust-toolchain.toml would pin one for everybody.\n")
	}
	b.WriteString(`rust_toolchain(name = "rust")

# The host's C compiler and linker: rustc links with them, build scripts compile C with them.
cc_toolchain(name = "cc")

# The crates that Cargo.lock names, fetched by cargo and checked; builds are offline afterwards.
cargo_vendor(
    name = "crates",
    lockfile = "//:Cargo.lock",
)
`)
	if strict && len(p.Sys) > 0 {
		b.WriteString("\n# Crates that may look for a program or library of the host. Load the rule, take the line in,\n" +
			"# and name it in `tools` or `libs` of :deps, if the build says that one is missing:\n")
		for _, s := range p.Sys {
			fmt.Fprintf(&b, "#   %s  # %s\n", hostNeeds[s], s)
		}
	}
	return b.String()
}

// strictFloor is the coverage floor that the strict lines ask for, in percent.
const strictFloor = 80

func (p *Project) buildText(strict bool) string {
	name := p.PackageName().Name
	var b strings.Builder
	b.WriteString(`# What is built and checked. ` + "`gorules help cargo_test`" + ` explains a rule.
load("@gorules//cargo:defs.bzl", "cargo_clippy", "cargo_coverage", "cargo_deps", "cargo_fmt", "cargo_package", "cargo_test")

# Third-party crates, each compiled once for all targets below.
cargo_deps(
    name = "deps",
`)
	if !strict {
		b.WriteString(`    # Build scripts, links and tests may look at this machine's programs and libraries; what they
    # read is their input. strict: without this line, each is declared in WORKSPACE.
    host = "observed",
`)
	}
	b.WriteString(`    vendor = "@crates",
)

# Libraries and binaries of the workspace; reaches no lint, test or floor.
`)
	fmt.Fprintf(&b, "cargo_package(\n    name = %q,\n    visibility = [\"//visibility:public\"],\n    deps = \":deps\",\n)\n", name)
	rule := func(kind, target string, lines ...string) {
		fmt.Fprintf(&b, "\n%s(\n    name = %q,\n    package = %q,\n", kind, target, ":"+name)
		for _, l := range lines {
			b.WriteString("    " + l + "\n")
		}
		b.WriteString(")\n")
	}
	switch {
	case strict || p.FmtCheck != "":
		rule("cargo_fmt", "fmt")
	default:
		rule("cargo_fmt", "fmt",
			"# Left out of //... until `gorules test //:fmt` passes; strict: without this line.",
			`tags = ["manual"],`)
	}
	if strict {
		rule("cargo_clippy", "clippy", `clippy_flags = ["--deny", "warnings"],`)
	} else {
		rule("cargo_clippy", "clippy", "# Warnings are shown and pass, as with `cargo clippy`; strict:", `# clippy_flags = ["--deny", "warnings"],`)
	}
	rule("cargo_test", "test")
	if strict {
		rule("cargo_coverage", "coverage", fmt.Sprintf("min_line_coverage = %d,", strictFloor))
	} else {
		rule("cargo_coverage", "coverage", "# Percent of lines that tests must run; strict:", fmt.Sprintf("# min_line_coverage = %d,", strictFloor))
	}
	return b.String()
}

// outputLinks are what a build leaves in the workspace.
var outputLinks = []string{"/gorules-bin", "/gorules-testlogs"}

// Ignore adds the output links to .gitignore and returns those it added.
func (p *Project) Ignore() ([]string, error) {
	path := filepath.Join(p.Dir, ".gitignore")
	data, err := regular.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read .gitignore: %w", err)
	}
	has := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		has["/"+strings.Trim(strings.TrimSpace(line), "/")] = true
	}
	var add []string
	for _, l := range outputLinks {
		if !has[l] && !has["/gorules-*"] {
			add = append(add, l)
		}
	}
	if len(add) == 0 {
		return nil, nil
	}
	text := strings.Join(add, "\n") + "\n"
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		text = "\n" + text
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("add to .gitignore: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("add to .gitignore: %w", err)
	}
	return add, nil
}
