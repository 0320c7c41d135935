package cargo_test

import (
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

func str(s string) starlark.String { return starlark.String(s) }

func TestDirectives(t *testing.T) {
	l := newLoader()
	parse := func(text string) (starlark.Value, error) {
		return l.tryCall("build_script.bzl", "parse_directives", starlark.Tuple{str(text), str("/unit/x-1/out"), str("x v1.0.0")})
	}
	p, err := parse(strings.Join([]string{
		"cargo:rustc-link-search=native=/usr/lib/x",
		"cargo::rustc-link-search=native=/unit/x-1/out/lib",
		"cargo:rustc-link-lib=static=z",
		"cargo:rustc-flags=-l dylib=q -L/opt/q",
		"cargo:rustc-cfg=fast",
		"cargo::rustc-check-cfg=cfg(fast)",
		"cargo::rustc-env=NAME=a=b",
		"cargo:root=/unit/x-1/out",
		"cargo::metadata=include=/i",
		"cargo:warning=careful",
		"cargo::error=no",
		"cargo:rerun-if-changed=build.rs",
		"CC = None",
		"",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		// What lies in OUT_DIR is searched first, as in cargo.
		"search":     {"native=/unit/x-1/out/lib", "native=/usr/lib/x", "/opt/q"},
		"libs":       {"static=z", "dylib=q"},
		"cfgs":       {"fast"},
		"check_cfgs": {"cfg(fast)"},
		"warnings":   {"careful"},
		"errors":     {"no"},
	} {
		if got := words(field(t, p, name)); !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := vars(field(t, p, "env")); got["NAME"] != "a=b" {
		t.Errorf("env is %v", got)
	}
	if got := field(t, p, "metadata").String(); got != `[("root", "/unit/x-1/out"), ("include", "/i")]` {
		t.Errorf("metadata is %s", got)
	}
	for text, want := range map[string]string{
		"cargo::unheard-of=1":               "unknown directive",
		"cargo::rustc-cfg":                  "no value",
		"cargo:rustc-env=RUSTC_BOOTSTRAP=1": "RUSTC_BOOTSTRAP",
		"cargo:rustc-flags=-O":              "only -l and -L",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestConfigFlags(t *testing.T) {
	l := newLoader()
	cfgs := toStarlark(t, hostCfgs)
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   []string
	}{
		{"nothing", map[string]any{}, nil},
		{"build, as one string", map[string]any{"build": map[string]any{"rustflags": "-C  target-cpu=native"}}, []string{"-C", "target-cpu=native"}},
		{"target keeps build out", map[string]any{
			"build":  map[string]any{"rustflags": []string{"-A"}},
			"target": map[string]any{hostTriple: map[string]any{"rustflags": []string{"-B"}}},
		}, []string{"-B"}},
		{"cfg that holds", map[string]any{"target": map[string]any{
			`cfg(all(unix, not(any(windows, target_os = "macos"))))`: map[string]any{"rustflags": []string{"-U"}},
		}}, []string{"-U"}},
		{"cfg that does not", map[string]any{"target": map[string]any{
			`cfg(target_env = "musl")`: map[string]any{"rustflags": []string{"-M"}},
		}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := words(l.call(t, "package.bzl", "config_flags", starlark.Tuple{toStarlark(t, tt.config), str(hostTriple), cfgs, str("rustflags")}))
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestLibtest(t *testing.T) {
	l := newLoader()
	const printed = `
running 4 tests
test a ... ok
test tests::b ... FAILED
test c - should panic ... ok
test slow ... ignored, takes long

failures:

---- tests::b stdout ----
left: 1

failures:
    tests::b

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
`
	r := l.call(t, "test.bzl", "read_result", starlark.Tuple{str("x: tests/t.rs"), str("program"), str(printed), str(""), str("101")})
	if got := field(t, r, "failed").String(); got != "1" {
		t.Errorf("failed is %s", got)
	}
	if field(t, r, "broken") == starlark.True {
		t.Error("a failing test is not a broken program")
	}
	var names []string
	for c := range starlark.Elements(field(t, r, "cases").(starlark.Iterable)) {
		names = append(names, text(field(t, c, "name"))+" "+text(field(t, c, "status")))
	}
	if want := []string{"a ok", "tests::b failed", "c ok", "slow ignored"}; !slices.Equal(names, want) {
		t.Errorf("cases %q, want %q", names, want)
	}
	died := l.call(t, "test.bzl", "read_result", starlark.Tuple{str("x"), str("program"), str("\nrunning 2 tests\ntest a ... ok\n"), str("killed"), str("139")})
	if field(t, died, "broken") != starlark.True {
		t.Error("a program that dies in the middle counts as passed")
	}
	own := l.call(t, "test.bzl", "read_result", starlark.Tuple{str("x"), str("program"), str("whatever"), str(""), str("0")})
	summary := text(l.call(t, "test.bzl", "summary_of", starlark.Tuple{starlark.NewList([]starlark.Value{r, own})}))
	if want := "1 failed: 4 tests in 2 binaries, 1 ignored"; summary != want {
		t.Errorf("summary %q, want %q", summary, want)
	}
}

func TestDiagnostics(t *testing.T) {
	l := newLoader()
	const printed = `{"$message_type":"artifact","artifact":"/out/a.d","emit":"dep-info"}
{"$message_type":"diagnostic","message":"unused","code":{"code":"unused"},"level":"error","spans":[{}],"rendered":"error: unused\n"}
{"$message_type":"diagnostic","message":"1 warning emitted","code":null,"level":"warning","spans":[],"rendered":"warning: 1 warning emitted\n"}
thread 'rustc' panicked
`
	found := l.call(t, "clippy.bzl", "read_diagnostics", starlark.Tuple{str(printed)})
	var got []string
	for d := range starlark.Elements(found.(starlark.Iterable)) {
		got = append(got, text(field(t, d, "text")))
	}
	if want := []string{"error: unused\n", "thread 'rustc' panicked\n"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPlanningRefusals(t *testing.T) {
	l := newLoader()
	for said, want := range map[string]string{
		"error: cannot update the lock file /w/Cargo.lock because --locked was passed": "cargo update --workspace",
		"error: no matching package named `x` found":                                   "gorules fetch",
		"error: unclosed array": "cargo metadata",
	} {
		got := text(l.call(t, "planning.bzl", "explain_refusal", starlark.Tuple{str("cargo metadata"), str(said)}))
		if !strings.Contains(got, want) || !strings.Contains(got, said) {
			t.Errorf("%q: %q lacks %q or cargo's words", said, got, want)
		}
	}
}

func TestJUnit(t *testing.T) {
	l := newLoader()
	suites := toStarlark(t, []int{})
	if got := text(l.call(t, "verdict.bzl", "junit", starlark.Tuple{suites})); !strings.Contains(got, "<testsuites>") {
		t.Error(got)
	}
	if got := text(l.call(t, "verdict.bzl", "xml_escape", starlark.Tuple{str("\x1b[1ma<b\x1b[0m\x01")})); got != "a&lt;b" {
		t.Errorf("%q", got)
	}
}

func TestLockfile(t *testing.T) {
	l := newLoader()
	const head = "version = 4\n[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n"
	entry := func(name, source, checksum string) string {
		out := "[[package]]\nname = \"" + name + "\"\nversion = \"1.0.0\"\nsource = \"" + source + "\"\n"
		if checksum != "" {
			out += "checksum = \"" + checksum + "\"\n"
		}
		return out
	}
	const registry = "registry+https://github.com/rust-lang/crates.io-index"
	read := func(text string) (starlark.Value, error) {
		return l.tryCall("lockfile.bzl", "read_lock", starlark.Tuple{str(text), str("Cargo.lock")})
	}
	packages, err := read(head + entry("a", registry, "aa") + entry("g", "git+https://example.com/g?rev=abc#abcdef", ""))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for p := range starlark.Elements(packages.(starlark.Iterable)) {
		folders = append(folders, text(field(t, p, "folder")))
	}
	if want := []string{"a-1.0.0", "g-1.0.0"}; !slices.Equal(folders, want) {
		t.Errorf("folders %q, want %q: members are not fetched", folders, want)
	}
	config := text(l.call(t, "lockfile.bzl", "source_config", starlark.Tuple{packages}))
	for _, want := range []string{
		"[source.crates-io]\nreplace-with = \"vendored-sources\"",
		"[source.\"git+https://example.com/g?rev=abc\"]\ngit = \"https://example.com/g\"\nrev = \"abc\"\nreplace-with",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("config lacks %q:\n%s", want, config)
		}
	}
	old := "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"" + registry + "\"\n[metadata]\n\"checksum a 1.0.0 (" + registry + ")\" = \"aa\"\n"
	if packages, err = read(old); err != nil {
		t.Errorf("format 1: %v", err)
	} else if got := text(field(t, packages.(starlark.Indexable).Index(0), "checksum")); got != "aa" {
		t.Errorf("format 1: checksum %q, want aa", got)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"no checksum":  {head + entry("a", registry, ""), "without a checksum"},
		"two sources":  {head + entry("a", registry, "aa") + entry("a", "git+https://example.com/a#1", ""), "two sources"},
		"no TOML text": {"version = [", "toml"},
	} {
		if _, err := read(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}
