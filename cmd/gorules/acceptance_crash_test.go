package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crashWorkspace writes a small workspace: two Cargo packages, one with a build
// script, and a genrule.
func crashWorkspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"WORKSPACE": `load("@gorules//cargo:repositories.bzl", "cargo_vendor", "cc_toolchain", "rust_toolchain")
rust_toolchain(name = "rust")
cc_toolchain(name = "cc")
cargo_vendor(name = "crates", lockfile = "//:Cargo.lock")
`,
		"BUILD": `load("@gorules//cargo:defs.bzl", "cargo_deps", "cargo_package", "cargo_test")
cargo_deps(name = "deps", vendor = "@crates")
cargo_package(name = "all", deps = ":deps")
cargo_test(name = "test", package = ":all")
genrule(name = "made", srcs = [":all"], outs = ["made.txt"], cmd = "$(location :all)/bin/tool > $@")
`,
		"Cargo.toml":       "[workspace]\nmembers = [\"part\", \"tool\"]\nresolver = \"2\"\n",
		"Cargo.lock":       "version = 4\n\n[[package]]\nname = \"part\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"tool\"\nversion = \"0.1.0\"\ndependencies = [\n \"part\",\n]\n",
		"part/Cargo.toml":  "[package]\nname = \"part\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
		"part/build.rs":    "fn main() {\n    std::fs::write(format!(\"{}/x.rs\", std::env::var(\"OUT_DIR\").unwrap()), \"42\").unwrap();\n}\n",
		"part/src/lib.rs":  "pub fn part() -> i32 {\n    include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\"))\n}\n#[test]\nfn is() {\n    assert_eq!(part(), 42);\n}\n",
		"tool/Cargo.toml":  "[package]\nname = \"tool\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\npart = { path = \"../part\" }\n",
		"tool/src/main.rs": "fn main() {\n    println!(\"{}\", part::part());\n}\n",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// homeDir is an empty HOME whose caches may be removed.
func homeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gorules-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	return dir
}

// gorulesCommand is this test binary as gorules in folder dir.
func gorulesCommand(t *testing.T, dir, home string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("gorules")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, realEnv(home)
	return cmd
}

// Whenever gorules is killed, the next build gives what a clean one gives, and
// nothing of the killed one goes on.
func TestKilledAtAnyMoment(t *testing.T) {
	needGate(t)
	rounds := 12
	space := crashWorkspace(t)
	clean := homeDir(t)
	began := time.Now()
	if out, err := gorulesCommand(t, space, clean, "test", "//...").CombinedOutput(); err != nil {
		t.Fatalf("the clean build: %v\n%s", err, out)
	}
	whole := time.Since(began)
	want := builtOutputs(t, space)
	if len(want) < 3 {
		t.Fatalf("the clean build made %v", want)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("a clean build takes %s; seed %d", whole.Round(time.Millisecond), seed)
	random := rand.New(rand.NewPCG(seed, 0))

	home := homeDir(t)
	for round := range rounds {
		if round%4 == 0 { // some rounds go on from what others left
			removeAll(t, home)
			if err := os.Mkdir(home, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		after := time.Duration(random.Int64N(int64(whole)))
		cmd := gorulesCommand(t, space, home, "test", "//...")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		killed.Stop()
		var left []string
		for range 100 {
			if left = processesOf(home); len(left) == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(left) > 0 {
			t.Fatalf("round %d, killed after %s: 2 s later there are\n%s", round, after, strings.Join(left, "\n"))
		}
		if round%2 == 0 && err != nil {
			continue // the next round meets two kills
		}
		if out, err := gorulesCommand(t, space, home, "test", "//...").CombinedOutput(); err != nil {
			t.Fatalf("round %d, killed after %s: the next build: %v\n%s", round, after, err, out)
		}
		if changes := differences(want, builtOutputs(t, space)); len(changes) > 0 {
			t.Fatalf("round %d, killed after %s: other outputs than those of a clean build:\n%s", round, after, strings.Join(changes, "\n"))
		}
		if ps, _ := filepath.Glob(filepath.Join(home, "cache/gorules/scratch/*")); len(ps) > 0 {
			t.Errorf("round %d: scratch folders of killed processes stay: %v", round, ps)
		}
	}
}

// builtOutputs is what gorules-bin holds.
func builtOutputs(t *testing.T, space string) map[string]string {
	t.Helper()
	found, err := contentsOf(filepath.Join(space, "gorules-bin"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A full disk is one error that says so; with room again the build goes on.
func TestDiskFull(t *testing.T) {
	needGate(t)
	space, home := crashWorkspace(t), homeDir(t)
	if out, err := gorulesCommand(t, space, home, "build", "//...").CombinedOutput(); err != nil {
		t.Fatalf("a build on a disk with room: %v\n%s", err, out)
	}
	for _, tc := range []struct {
		flag, size string
		code       string
	}{
		{"--output_user_root", "1m", "1"}, // while a repository is fetched
		{"--disk_cache", "16k", "36"},
		{"--disk_cache", "1m", "36"},
		{"--disk_cache", "12m", "36"},
		{"--disk_cache", "30m", "36"},
	} {
		t.Run(tc.flag+tc.size, func(t *testing.T) {
			full, said := filepath.Join(t.TempDir(), "full"), filepath.Join(t.TempDir(), "said")
			if err := os.Mkdir(full, 0o755); err != nil {
				t.Fatal(err)
			}
			script := fmt.Sprintf(`mount -t tmpfs -o size=%s tmpfs "$1" || exit 99
gorules build %s="$1" //... >"$2" 2>&1; echo "exit code $?" >>"$2"
mount -o remount,size=2g "$1" || exit 99
exec gorules build %s="$1" //...`, tc.size, tc.flag, tc.flag)
			cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", full, said)
			cmd.Dir, cmd.Env = space, realEnv(home)
			out, err := cmd.CombinedOutput()
			first, _ := os.ReadFile(said)
			if err != nil {
				t.Fatalf("with room: %v\n%s\nbefore:\n%s", err, out, first)
			}
			text := "\n" + string(first)
			switch n := strings.Count(text, "\nERROR: "); {
			case strings.HasSuffix(text, "exit code 0\n"):
				t.Fatalf("%s were enough; choose less", tc.size)
			case !strings.HasSuffix(text, "\nexit code "+tc.code+"\n"):
				t.Errorf("want exit code %s", tc.code)
			case n != 1:
				t.Errorf("%d errors, want one", n)
			case !strings.Contains(strings.ToLower(text), "no space left on device"):
				t.Error("the error does not say that there is no space")
			case strings.Contains(text, "panic") || strings.Contains(text, "goroutine "):
				t.Error("a panic")
			}
			if t.Failed() {
				t.Logf("%s", first)
			}
		})
	}
}

// A host that allows no user namespaces: the error names the refused step and
// the command that allows it.
func TestNoNamespaces(t *testing.T) {
	needGate(t)
	space := crashWorkspace(t)
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c",
		"echo 0 >/proc/sys/user/max_user_namespaces || exit 99; exec gorules build //...")
	cmd.Dir, cmd.Env = space, realEnv(homeDir(t))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 36 {
		t.Errorf("%v, want exit code 36", err)
	}
	text := "\n" + string(out)
	if n := strings.Count(text, "\nERROR: "); n != 1 {
		t.Errorf("%d errors, want one", n)
	}
	for _, want := range []string{"user namespace", "sysctl -w user.max_user_namespaces="} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in what it says", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
