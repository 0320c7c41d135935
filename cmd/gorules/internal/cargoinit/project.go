// Package cargoinit sets up an existing Cargo project: it reads manifests,
// chooses names, and writes WORKSPACE and BUILD. It starts no process, compiles
// nothing, asks no network and never overwrites a file.
package cargoinit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"gorules/executor/diag"
	"gorules/executor/regular"
)

// Project is what the files of a Cargo project say.
type Project struct {
	Dir       string
	Package   string   // name of the root package; "" in a virtual workspace
	Workspace bool     // has a [workspace] table
	Members   []Member // of the workspace, the root package not included
	Crates    int      // third-party packages in Cargo.lock
	Git       []string // names of those from git
	Sys       []string // names of those that may need something of the host
	Locked    bool     // Cargo.lock exists
	Ignored   bool     // .gitignore names Cargo.lock
	Toolchain string   // file that pins the toolchain; ""
	Channel   string   // what it pins
	FmtCheck  string   // file that shows that the project checks its format; ""
}

// Member is a package of a workspace.
type Member struct {
	Path, Name string
	Binary     bool
	Default    bool // named by default-members
}

type manifest struct {
	Package *struct {
		Name      string
		Workspace string
	}
	Workspace *struct {
		Members        []string
		Exclude        []string
		DefaultMembers []string `toml:"default-members"`
	}
	Bin []struct{ Name string }
}

// Read reads the project whose root manifest is in dir. What is wrong with the
// project is a *diag.Error, with files relative to dir.
func Read(dir string) (*Project, error) {
	m, err := readManifest(dir, "Cargo.toml")
	if errors.Is(err, fs.ErrNotExist) {
		e := diag.Errorf(diag.Position{}, "no Cargo.toml in %s", dir)
		if above := manifestAbove(dir); above != "" {
			return nil, e.WithHint("run `gorules init` in " + above)
		}
		return nil, e.WithHint("gorules init sets up Cargo projects; run it where the project's root Cargo.toml is")
	}
	if err != nil {
		return nil, err
	}
	if m.Package == nil && m.Workspace == nil {
		return nil, diag.Errorf(diag.Position{File: "Cargo.toml"}, "neither [package] nor [workspace] is there").WithHint("`cargo metadata` says what cargo thinks of it")
	}
	if root := workspaceOf(dir, m); root != "" {
		return nil, diag.Errorf(diag.Position{}, "this package is a member of the Cargo workspace in %s", root).WithHint("run `gorules init` in " + root)
	}
	p := &Project{Dir: dir, Workspace: m.Workspace != nil}
	if m.Package != nil {
		p.Package = m.Package.Name
	}
	if m.Workspace != nil {
		if err := p.readMembers(m.Workspace.Members, m.Workspace.Exclude, m.Workspace.DefaultMembers); err != nil {
			return nil, err
		}
	}
	if err := p.readLock(); err != nil {
		return nil, err
	}
	p.readToolchain()
	p.FmtCheck = fmtCheck(dir)
	return p, nil
}

func readManifest(dir, name string) (*manifest, error) {
	data, err := regular.Read(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := toml.Unmarshal(data, &m); err != nil {
		return nil, tomlError(name, err)
	}
	return &m, nil
}

func tomlError(name string, err error) error {
	var d *toml.DecodeError
	if errors.As(err, &d) {
		line, column := d.Position()
		return diag.Wrap(diag.Position{File: name, Line: line, Column: column}, err, strings.TrimPrefix(d.Error(), "toml: "))
	}
	return diag.Errorf(diag.Position{File: name}, "%w", err)
}

func manifestAbove(dir string) string {
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		if exists(d, "Cargo.toml") {
			return d
		}
		if d == filepath.Dir(d) {
			return ""
		}
	}
}

// workspaceOf returns the folder of the workspace that the package in dir
// belongs to, as cargo finds it: named in the manifest, or listed above.
func workspaceOf(dir string, m *manifest) string {
	if m.Workspace != nil {
		return ""
	}
	if m.Package.Workspace != "" {
		return filepath.Join(dir, m.Package.Workspace)
	}
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		if up, err := readManifest(d, "Cargo.toml"); err == nil && up.Workspace != nil {
			rel, err := filepath.Rel(d, dir)
			if err == nil && matches(rel, up.Workspace.Members) && !matches(rel, up.Workspace.Exclude) {
				return d
			}
			return ""
		}
		if d == filepath.Dir(d) {
			return ""
		}
	}
}

func matches(rel string, globs []string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := filepath.Match(filepath.Clean(g), rel)
		return ok && err == nil
	})
}

func (p *Project) readMembers(globs, exclude, defaults []string) error {
	seen := map[string]bool{}
	for _, g := range globs {
		dirs, err := filepath.Glob(filepath.Join(p.Dir, g))
		if err != nil {
			return diag.Errorf(diag.Position{File: "Cargo.toml"}, "members: %q: %w", g, err)
		}
		for _, d := range dirs {
			rel, err := filepath.Rel(p.Dir, d)
			if err != nil || rel == "." || seen[rel] || matches(rel, exclude) {
				continue
			}
			seen[rel] = true
			m, err := readManifest(p.Dir, filepath.Join(rel, "Cargo.toml"))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || isNotDir(d) {
				continue // cargo passes over such matches of a glob
			}
			if err != nil {
				return err
			}
			if m.Package == nil {
				continue
			}
			p.Members = append(p.Members, Member{
				Path: filepath.ToSlash(rel), Name: m.Package.Name,
				Binary:  len(m.Bin) > 0 || exists(d, "src/main.rs") || exists(d, "src/bin"),
				Default: matches(rel, defaults),
			})
		}
	}
	return nil
}

func isNotDir(path string) bool {
	info, err := os.Stat(path)
	return err != nil || !info.IsDir()
}

type lockfile struct {
	Package []struct {
		Name, Source string
	}
}

func (p *Project) readLock() error {
	if data, err := regular.Read(filepath.Join(p.Dir, ".gitignore")); err == nil {
		for line := range strings.Lines(string(data)) {
			p.Ignored = p.Ignored || strings.TrimPrefix(strings.TrimSpace(line), "/") == "Cargo.lock"
		}
	}
	data, err := regular.Read(filepath.Join(p.Dir, "Cargo.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diag.Errorf(diag.Position{File: "Cargo.lock"}, "%w", err)
	}
	var l lockfile
	if err := toml.Unmarshal(data, &l); err != nil {
		return tomlError("Cargo.lock", err)
	}
	p.Locked = true
	for _, k := range l.Package {
		if k.Source == "" {
			continue // of the workspace itself
		}
		p.Crates++
		if strings.HasPrefix(k.Source, "git+") {
			p.Git = append(p.Git, k.Name)
		}
		if _, ok := hostNeeds[k.Name]; ok && !slices.Contains(p.Sys, k.Name) {
			p.Sys = append(p.Sys, k.Name)
		}
	}
	return nil
}

func (p *Project) readToolchain() {
	for _, name := range []string{"rust-toolchain", "rust-toolchain.toml"} { // rustup's order
		data, err := regular.Read(filepath.Join(p.Dir, name))
		if err != nil {
			continue
		}
		var f struct {
			Toolchain struct{ Channel, Path string }
		}
		p.Toolchain = name
		if toml.Unmarshal(data, &f) == nil {
			p.Channel = f.Toolchain.Channel + f.Toolchain.Path
		} else if text := strings.TrimSpace(string(data)); !strings.ContainsAny(text, "\n =") {
			p.Channel = text // the old form: only the name
		}
		return
	}
}

// checksFormat matches `cargo fmt --check` in its spellings, but not with
// another toolchain (cargo +nightly fmt), whose format differs.
const checksFormat = `(?m)^[^#\n]*\b(cargo fmt|rustfmt)\b[^+\n]*--check\b`

// fmtCheck returns the file that shows that the project's own CI checks its
// format; nothing is run to find that out.
func fmtCheck(dir string) string {
	var files []string
	for _, g := range []string{".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".travis.yml",
		".cirrus.yml", "Makefile", "justfile", "Justfile", "Makefile.toml", "ci/*.sh", "bors.toml"} {
		found, err := filepath.Glob(filepath.Join(dir, g))
		if err == nil {
			files = append(files, found...)
		}
	}
	check := regexp.MustCompile(checksFormat)
	for _, f := range files {
		data, err := regular.Read(f)
		if err != nil || !check.Match(data) {
			continue
		}
		if rel, err := filepath.Rel(dir, f); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return ""
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
