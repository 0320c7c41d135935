package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Project is what is built: a package of the crates registry, or a folder.
type Project struct {
	Name    string // of the package, or the base name of Dir
	Version string // exact; "" for a folder
	Dir     string // absolute; "" for a package of the registry
}

func (p Project) String() string {
	if p.Version != "" {
		return p.Name + " " + p.Version
	}
	return p.Name
}

// Packages are the packages of the crates registry that are measured when
// nothing else is asked for. Each has 70 units or more, a Cargo.lock and its
// tests in its archive, and passes fmt, clippy, build, test and tarpaulin on
// Rust 1.95, as root or not. They differ in kind: an allocator in C behind a
// build script; many small crates and a program whose tests take no time; and
// tests that start the program often.
var Packages = []Project{
	{Name: "fd-find", Version: "10.5.0"},
	{Name: "jaq", Version: "3.1.2"},
	{Name: "hyperfine", Version: "1.20.0"},
}

// ParseProjects reads a comma-separated list of NAME@VERSION, names of
// Packages, "example" and folders. example is the folder that "example" names.
func ParseProjects(list, example string) ([]Project, error) {
	if list == "" {
		return append([]Project{{Name: filepath.Base(example), Dir: example}}, Packages...), nil
	}
	var out []Project
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		p, err := parseProject(word, example)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o Project) bool { return o.Name == p.Name }) {
			return nil, fmt.Errorf("project %q: named twice", word)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseProject(word, example string) (Project, error) {
	if word == "example" {
		word = example
	}
	if strings.ContainsRune(word, filepath.Separator) {
		dir, err := filepath.Abs(word)
		if err != nil {
			return Project{}, fmt.Errorf("project %q: %w", word, err)
		}
		return Project{Name: filepath.Base(dir), Dir: dir}, nil
	}
	if name, version, ok := strings.Cut(word, "@"); ok && name != "" && version != "" {
		return Project{Name: name, Version: version}, nil
	}
	for _, p := range Packages {
		if p.Name == word {
			return p, nil
		}
	}
	return Project{}, fmt.Errorf("project %q: expected NAME@VERSION, example, a folder (with a slash), or one of the packages that `-list` shows", word)
}

// source returns the folder that holds p's sources, below scratch for a
// package of the registry. Only cargo is asked for those: a scratch package
// depends on p, so mirrors and settings of this machine apply.
func (p Project) source(ctx context.Context, scratch string) (string, error) {
	if p.Dir != "" {
		return p.Dir, nil
	}
	dir := filepath.Join(scratch, "get-"+p.Name+"-"+p.Version)
	manifest := fmt.Sprintf("[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n"+
		"[dependencies]\n%q = \"=%s\"\n\n[workspace]\n", p.Name, p.Version)
	if err := writeFiles(dir, map[string]string{"Cargo.toml": manifest, "lib.rs": ""}); err != nil {
		return "", err
	}
	// `cargo metadata` does not list a dependency that has no library, and
	// programs have none; `cargo vendor` lays it out all the same.
	if _, err := cargo(ctx, dir, "vendor", "--versioned-dirs", "vendor"); err != nil {
		return "", fmt.Errorf("package %s: %w", p, err)
	}
	found := filepath.Join(dir, "vendor", p.Name+"-"+p.Version)
	if _, err := os.Stat(filepath.Join(found, "Cargo.toml")); err != nil {
		return "", fmt.Errorf("package %s: `cargo vendor` did not lay it out: %w", p, err)
	}
	return found, nil
}

// units counts the units of `cargo build` in dir. Cargo prints its unit graph
// only with unstable options allowed.
func units(ctx context.Context, dir string) (int, error) {
	cmd := exec.CommandContext(ctx, "cargo", "build", "--offline", "-Zunstable-options", "--unit-graph")
	cmd.Dir = dir
	cmd.Env = append(Environ(os.Environ()), "RUSTC_BOOTSTRAP=1")
	text, err := output(cmd)
	if err != nil {
		return 0, err
	}
	var graph struct{ Units []json.RawMessage }
	if err := json.Unmarshal(text, &graph); err != nil {
		return 0, fmt.Errorf("cargo's unit graph of %s: %w", dir, err)
	}
	return len(graph.Units), nil
}

// cargo runs cargo with the network allowed and returns what it printed.
func cargo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "cargo", args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(Environ(os.Environ()), func(kv string) bool { return strings.HasPrefix(kv, "CARGO_NET_OFFLINE=") })
	return output(cmd)
}

// output runs cmd and returns its standard output; an error ends with its
// standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var diag strings.Builder
	cmd.Stderr = &diag
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("`%s` in %s: %w\n%s", strings.Join(cmd.Args, " "), cmd.Dir, err, strings.TrimSpace(diag.String()))
	}
	return text, nil
}
