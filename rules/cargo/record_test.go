package cargo_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Recordings are what cargo prints and runs for two workspaces: the example, and
// the variant that testdata/variant.patch makes of it. They are taken from a
// copy, offline, with vendored crates, by the toolchain that rustc on PATH
// belongs to.
//
// cargo starts the compiler, rustdoc and build scripts through this test binary,
// which notes the call and then does it.

var update = flag.Bool("update", false, "record testdata/*.json.gz anew with the toolchain of the rustc on PATH")

// recordInto is the variable that makes this binary a recorder: the folder for its notes.
const recordInto = "GORULES_TEST_RECORD_INTO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(recordInto); dir != "" {
		os.Exit(noteAndRun(dir))
	}
	flag.Parse()
	if *update {
		if err := recordAll(); err != nil {
			fmt.Fprintln(os.Stderr, "recording:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// noteAndRun is one process that cargo started. By the name it goes by it stands
// for the compiler, for rustdoc, or for a build script.
func noteAndRun(dir string) int {
	c := call{Argv: os.Args, Env: map[string]string{}}
	var env []string
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		switch name {
		case recordInto, "RUSTC_WRAPPER": // ours; what a build script compiles is no call of cargo
			continue
		case "RUSTDOC":
			value = "rustdoc"
		}
		c.Env[name] = value
		env = append(env, name+"="+value)
	}
	var run []string
	switch filepath.Base(os.Args[0]) {
	case "record-rustc":
		c.Kind, c.Argv = "rustc", os.Args[1:]
		run = c.Argv
	case "record-rustdoc":
		c.Kind, c.Argv = "rustdoc", append([]string{"rustdoc"}, os.Args[1:]...)
		run = c.Argv
	default:
		c.Kind = "build-script"
		run = append([]string{filepath.Join(filepath.Dir(os.Args[0]), realScript)}, os.Args[1:]...)
	}
	cmd := exec.Command(run[0], run[1:]...)
	var stdout bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	if c.Kind == "build-script" {
		cmd.Stdout = &stdout
	}
	err := cmd.Run()
	c.Stdout = stdout.String()
	_, werr := os.Stdout.WriteString(c.Stdout)
	err = errors.Join(err, werr)
	if err == nil && c.Kind == "rustc" {
		err = interpose(c.Argv)
	}
	if err == nil && (c.Kind == "build-script" || after(c.Argv, "--crate-name") != "" && after(c.Argv, "--crate-name") != "___") {
		err = c.note(dir) // all but the questions that cargo asks its tools
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "recorder:", err)
		return 1
	}
	return 0
}

func (c call) note(dir string) error {
	var err error
	if c.Cwd, err = os.Getwd(); err != nil {
		return err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "*.json")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// realScript is what a build script is called once the recorder stands in its place.
const realScript = "real"

// interpose puts the recorder in the place of a build script that was compiled.
func interpose(argv []string) error {
	name := after(argv, "--crate-name")
	if !strings.HasPrefix(name, "build_script_") || after(argv, "--crate-type") != "bin" {
		return nil
	}
	script := filepath.Join(after(argv, "--out-dir"), name+"-"+hashOf(argv))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(script, filepath.Join(filepath.Dir(script), realScript)), os.Symlink(self, script))
}

// hashOf is what cargo adds to the names of a call's outputs.
func hashOf(argv []string) string {
	for _, w := range argv {
		if m := extraFilename.FindStringSubmatch(w); m != nil {
			return m[1]
		}
	}
	return ""
}

// after returns the word after the first one that is flag; "" if there is none.
func after(argv []string, flag string) string {
	for i, w := range argv[:max(len(argv)-1, 0)] {
		if w == flag {
			return argv[i+1]
		}
	}
	return ""
}

// commands are what is recorded as a graph of this name: how cargo is asked for
// the graph, and what is run.
var commands = map[string]struct{ graph, run []string }{
	"build": {[]string{"build"}, []string{"build"}},
	"test":  {[]string{"test", "--workspace"}, []string{"test", "--workspace"}},
	"check": {[]string{"check", "--workspace", "--all-targets"}, []string{"clippy", "--workspace", "--all-targets"}},
}

func recordAll() error {
	for _, r := range []struct {
		workspace
		patch string
	}{{example, ""}, {variant, "testdata/variant.patch"}} {
		if err := record(r.workspace, r.patch); err != nil {
			return fmt.Errorf("the workspace %s: %w", r.name, err)
		}
	}
	return nil
}

// A recording is the place where a workspace is recorded.
type recording struct {
	root, toolchain string
	env             []string
}

func (r recording) workspace() string { return filepath.Join(r.root, "w") }
func (r recording) vendor() string    { return filepath.Join(r.root, "vendor") }
func (r recording) home() string      { return filepath.Join(r.root, "home") }
func (r recording) cargo() string     { return filepath.Join(r.toolchain, "bin", "cargo") }

func record(w workspace, patch string) error {
	tmp, err := os.MkdirTemp("", "gorules-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	r, err := newRecording(tmp, patch)
	if err != nil {
		return err
	}
	metadata, err := r.ask("metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", hostTriple)
	if err != nil {
		return err
	}
	manifests, err := r.manifests()
	if err != nil {
		return err
	}
	save := func(name string, data []byte) error { return writeFixture(w.name+"-"+name+".json", data) }
	if err := errors.Join(save("metadata", metadata), save("manifests", manifests)); err != nil {
		return err
	}
	for _, g := range w.graphs {
		graph, err := r.ask(append(commands[g].graph, "--unit-graph", "-Zunstable-options", "--locked", "--offline")...)
		if err != nil {
			return err
		}
		calls, err := r.calls(commands[g].run)
		if err != nil {
			return err
		}
		if err := assignUnits(calls, metadata, graph); err != nil {
			return fmt.Errorf("cargo %s: %w", g, err)
		}
		data, err := json.Marshal(map[string]any{"command": "cargo " + strings.Join(commands[g].run, " "), "records": calls})
		if err != nil {
			return err
		}
		if err := errors.Join(save("graph-"+g, graph), save("calls-"+g, data)); err != nil {
			return err
		}
	}
	return nil
}

// newRecording copies the example, patches it and vendors its crates.
func newRecording(root, patch string) (recording, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return recording{}, err
	}
	sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
	if err != nil {
		return recording{}, fmt.Errorf("rustc --print sysroot: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return recording{}, err
	}
	r := recording{root: root, toolchain: strings.TrimSpace(string(sysroot))}
	r.env = []string{
		"HOME=" + r.home(),
		"PATH=" + filepath.Join(r.toolchain, "bin") + ":/usr/bin:/bin",
		recordInto + "=" + filepath.Join(root, "calls"),
	}
	bin, config := filepath.Join(root, "bin"), filepath.Join(r.home(), ".cargo")
	if err := errors.Join(
		copyWorkspace("../../examples/cargo-hello", r.workspace()),
		os.Mkdir(bin, 0o700), os.MkdirAll(config, 0o700), os.Mkdir(filepath.Join(root, "calls"), 0o700),
		os.Symlink(self, filepath.Join(bin, "record-rustc")), os.Symlink(self, filepath.Join(bin, "record-rustdoc")),
	); err != nil {
		return recording{}, err
	}
	if patch != "" {
		text, err := os.ReadFile(patch)
		if err != nil {
			return recording{}, err
		}
		cmd := exec.Command("git", "apply")
		cmd.Dir, cmd.Stdin = r.workspace(), bytes.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return recording{}, fmt.Errorf("%s does not fit the example any more: %w\n%s", patch, err, out)
		}
	}
	// The user's own cargo, so that its cache, mirrors and tokens count.
	vendor := exec.Command(r.cargo(), "vendor", "--locked", "--versioned-dirs", "--respect-source-config", r.vendor())
	vendor.Dir, vendor.Stderr = r.workspace(), os.Stderr
	source, err := vendor.Output()
	if err != nil {
		return recording{}, fmt.Errorf("cargo vendor: %w", err)
	}
	text := fmt.Sprintf("%s\n[build]\njobs = 2\nrustc-wrapper = %q\nrustdoc = %q\n", source, filepath.Join(bin, "record-rustc"), filepath.Join(bin, "record-rustdoc"))
	return r, os.WriteFile(filepath.Join(config, "config.toml"), []byte(text), 0o600)
}

// copyWorkspace copies a workspace without what was built in it.
func copyWorkspace(from, to string) error {
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		switch {
		case e.Name() == "target" || strings.HasPrefix(e.Name(), "gorules-"):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
}

// ask returns what cargo prints about the workspace, as it prints it in the
// sandbox (planning.bzl).
func (r recording) ask(words ...string) ([]byte, error) {
	cmd := exec.Command(r.cargo(), words...)
	cmd.Dir, cmd.Stderr = r.workspace(), os.Stderr
	cmd.Env = append([]string{"RUSTC_BOOTSTRAP=1"}, r.env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cargo %s: %w", strings.Join(words, " "), err)
	}
	return []byte(strings.NewReplacer(r.workspace(), "/w", r.vendor(), "/vendor").Replace(string(out))), nil
}

// manifests returns what planning reads of them: those of members, and the lints
// of vendored ones.
func (r recording) manifests() ([]byte, error) {
	texts := map[string]string{}
	for at, in := range map[string]string{"/w": r.workspace(), "/vendor": r.vendor()} {
		err := filepath.WalkDir(in, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "Cargo.toml" {
				return err
			}
			data, err := os.ReadFile(p)
			text := string(data)
			if at == "/vendor" {
				_, lints, ok := strings.Cut("\n"+text, "\n[lints")
				if !ok || strings.Count(p, "/") != strings.Count(in, "/")+2 {
					return err
				}
				text = "[lints" + lints
			}
			texts[at+strings.TrimPrefix(p, in)] = text
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(texts)
}

// calls runs cargo with nothing built yet and returns what it ran.
func (r recording) calls(words []string) ([]call, error) {
	notes := filepath.Join(r.root, "calls")
	if err := errors.Join(os.RemoveAll(filepath.Join(r.workspace(), "target")), os.RemoveAll(notes), os.Mkdir(notes, 0o700)); err != nil {
		return nil, err
	}
	cmd := exec.Command(r.cargo(), append(words, "--locked", "--offline")...)
	cmd.Dir, cmd.Env = r.workspace(), r.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cargo %s: %w\n%s", strings.Join(words, " "), err, out)
	}
	files, err := filepath.Glob(filepath.Join(notes, "*.json"))
	if err != nil {
		return nil, err
	}
	places := strings.NewReplacer(r.workspace(), "{WORKSPACE}", r.vendor(), "{VENDOR}", r.toolchain, "{TOOLCHAIN}", r.home(), "{HOME}")
	var calls []call
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var c call
		if err := json.Unmarshal([]byte(places.Replace(string(data))), &c); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// writeFixture writes what fixture reads.
func writeFixture(name string, data []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join("testdata", name+".gz"), b.Bytes(), 0o644)
}
