package cargo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// The shop crate has a line of each kind that is easy to get wrong; the comments are what coverageOfShop expects.
var shopCrate = map[string]string{
	"src/lib.rs": `/// Runs in the doctest only.
///
/// ` + "```" + `
/// assert_eq!(shop::doc_only(1), 2);
/// ` + "```" + `
pub fn doc_only(n: u32) -> u32 {
    n + 1
}
pub fn unit_only() -> u32 {
    7
}
pub fn never_run() -> u32 {
    8
}
pub fn never_instantiated<T: Default>() -> T {
    T::default()
}
#[inline(always)]
pub fn always_inlined(n: u32) -> u32 {
    n * 2
}
pub fn largest<T: PartialOrd + Copy>(all: &[T]) -> Option<T> {
    let mut best = *all.first()?;
    for one in all {
        if *one > best {
            best = *one;
        }
    }
    Some(best)
}
#[cfg(test)]
mod tests {
    #[test]
    fn unit() {
        assert_eq!(super::unit_only(), 7);
    }
}
`,
	"src/main.rs": `fn usage() {
    std::process::exit(2);
}
fn main() {
    if std::env::args().count() > 1 {
        usage();
    }
    println!("{:?}", shop::largest(&[3u8, 9, 4]));
}
`,
	"tests/it.rs": `#[test]
fn child() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_shop")).output().unwrap();
    assert_eq!(out.stdout, b"Some(9)\n");
    assert_eq!(shop::always_inlined(2), 4);
}
`,
	"tests/other.rs": `#[test]
fn nothing() {
    assert_eq!(shop::largest::<u8>(&[]), None);
}
`,
}

// Lines of the shop that are in the denominator: a "+" ran, a "-" did not.
const coverageOfShop = `src/lib.rs +6 +7 +8 +9 +10 +11 -12 -13 -14 -15 -16 -17 +19 +20 +21 +22 +23 +24 +25 +26 +27 +29 +30
src/main.rs -1 -2 +4 +5 -6 +7 +8 +9
`

// shop is the instrumented crate after its tests ran.
type shop struct {
	dir             string
	base, harnesses []string
}

func command(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stderr = &strings.Builder{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(argv, " "), err, out, cmd.Stderr)
	}
	return string(out)
}

// runShop compiles the shop as cargo_coverage does (non-test objects, harnesses, doctests) and runs its tests.
func runShop(t *testing.T) shop {
	t.Helper()
	dir := t.TempDir()
	for name, text := range shopCrate {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rustc := func(args ...string) {
		t.Helper()
		common := []string{"rustc", "--edition=2021", "-C", "instrument-coverage", "-C", "codegen-units=16"}
		command(t, dir, []string{"CARGO_BIN_EXE_shop=" + dir + "/out/shop"}, append(common, args...)...)
	}
	lib := []string{"--extern", "shop=out/libshop.rlib"}
	rustc("--crate-name=shop", "--crate-type=lib", "--emit=metadata,link", "-C", "metadata=lib", "--out-dir=out", "src/lib.rs")
	rustc(append(lib, "--crate-name=shop", "--crate-type=bin", "-C", "metadata=bin", "-o", "out/shop", "src/main.rs")...)
	rustc("--crate-name=shop", "--test", "-C", "metadata=unit", "-o", "out/unit", "src/lib.rs")
	rustc(append(lib, "--crate-name=it", "--test", "-o", "out/it", "tests/it.rs")...)
	rustc(append(lib, "--crate-name=other", "--test", "-o", "out/other", "tests/other.rs")...)
	for _, harness := range []string{"unit", "it", "other"} {
		command(t, dir, []string{"LLVM_PROFILE_FILE=" + dir + "/profiles/" + harness + "/%m.profraw"}, "out/"+harness)
	}
	command(t, dir, []string{"LLVM_PROFILE_FILE=" + dir + "/profiles/doc/%p-%m.profraw"}, append([]string{"rustdoc", "--test",
		"--edition=2021", "--crate-name=shop", "-C", "instrument-coverage", "src/lib.rs"}, lib...)...)
	return shop{
		dir:       dir,
		base:      []string{"out/libshop.rlib", "out/shop"},
		harnesses: []string{"out/unit", "out/it", "out/other"},
	}
}

// buildReader builds gorules-coverage with cargo; the crates come from cargo's registry or its cache.
func buildReader(t *testing.T) string {
	t.Helper()
	target := t.TempDir()
	command(t, "coverage_tool", []string{"CARGO_TARGET_DIR=" + target}, "cargo", "build", "--locked", "--quiet")
	return filepath.Join(target, "debug", "gorules-coverage")
}

// llvmTool finds a tool of the toolchain's LLVM: the llvm-tools component, or the distribution's of the same version.
func llvmTool(t *testing.T, name string) string {
	t.Helper()
	version := command(t, ".", nil, "rustc", "-vV")
	_, after, _ := strings.Cut(version, "LLVM version: ")
	major, _, _ := strings.Cut(after, ".")
	_, after, _ = strings.Cut(version, "host: ")
	host, _, _ := strings.Cut(after, "\n")
	sysroot := strings.TrimSpace(command(t, ".", nil, "rustc", "--print=sysroot"))
	for _, candidate := range []string{filepath.Join(sysroot, "lib/rustlib", host, "bin", name), name + "-" + major} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Skipf("no %s of LLVM %s: rustup component add llvm-tools, or apt install llvm-%s", name, major, major)
	return ""
}

// readWithReader gives lcov of counts and baseline as gorules-coverage writes them.
func readWithReader(t *testing.T, s shop, tool string) (counts, baseline string) {
	t.Helper()
	argv := []string{tool, "--out=counts.lcov", "--baseline_out=baseline.lcov", "--profiles=profiles"}
	for _, object := range s.base {
		argv = append(argv, "--base="+object)
	}
	for _, object := range s.harnesses {
		argv = append(argv, "--object="+object)
	}
	command(t, s.dir, nil, argv...)
	return readText(t, filepath.Join(s.dir, "counts.lcov")), readText(t, filepath.Join(s.dir, "baseline.lcov"))
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readWithLLVM gives the same from LLVM's tools: the baseline, and one lcov for each set of objects.
func readWithLLVM(t *testing.T, s shop) (counts []string, baseline string) {
	t.Helper()
	cov, profdata, ar := llvmTool(t, "llvm-cov"), llvmTool(t, "llvm-profdata"), llvmTool(t, "llvm-ar")
	command(t, s.dir, nil, profdata, "merge", "-sparse", "--failure-mode=all", "-o", "merged.profdata", "profiles")
	command(t, s.dir, nil, ar, "x", "--output="+filepath.Join(s.dir, "objects"), s.base[0])
	objects, err := filepath.Glob(filepath.Join(s.dir, "objects", "*.o"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("the rlib has no objects: %v", err)
	}
	export := func(mode string, objects ...string) string {
		argv := []string{cov, "export", "-format=lcov", "--skip-functions", "--skip-branches", mode}
		for _, object := range objects {
			argv = append(argv, "-object", object)
		}
		return command(t, s.dir, nil, argv...)
	}
	const profile = "-instr-profile=merged.profdata"
	base := append(objects, s.base[1:]...)
	counts = []string{export(profile, append(base[:len(base):len(base)], s.harnesses...)...), export(profile, base...)}
	for _, harness := range s.harnesses {
		counts = append(counts, export(profile, harness))
	}
	return counts, export("--empty-profile", base...)
}

// restricted parses and combines lcov texts as the rule does.
func restricted(t *testing.T, dir, baseline string, counts ...string) *starlark.Dict {
	t.Helper()
	texts := make([]starlark.Value, len(counts))
	for i, text := range counts {
		texts[i] = starlark.String(text)
	}
	value, err := evalStarlark(t, `restrict(merge_max([parse_lcov(c) for c in counts]), parse_lcov(baseline), dir)`, starlark.StringDict{
		"counts": starlark.NewList(texts), "baseline": starlark.String(baseline), "dir": starlark.String(dir + "/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return value.(*starlark.Dict)
}

// TestCoverageReaderAndLLVM runs a whole coverage by hand: what counts, what ran, and that both readers agree on every count.
func TestCoverageReaderAndLLVM(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the coverage reader: some ten seconds")
	}
	for _, tool := range []string{"rustc", "rustdoc", "cargo"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	s := runShop(t)
	counts, baseline := readWithReader(t, s, buildReader(t))
	ours := restricted(t, s.dir, baseline, counts)
	signs, err := evalStarlark(t,
		`"".join(["%s %s\n" % (p, " ".join([("+" if n else "-") + str(l) for l, n in c[p].items()])) for p in c])`,
		starlark.StringDict{"c": ours})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(signs.(starlark.String)); got != coverageOfShop {
		t.Errorf("coverage of the shop:\n%swant\n%s", got, coverageOfShop)
	}
	t.Run("LLVM", func(t *testing.T) {
		counts, baseline := readWithLLVM(t, s)
		if theirs := restricted(t, s.dir, baseline, counts...); theirs.String() != ours.String() {
			t.Errorf("LLVM's tools:\n%s\ngorules-coverage:\n%s", theirs, ours)
		}
	})
}
