package main_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A bomb is a workspace whose Starlark code would exhaust the process.
type bomb struct {
	name  string
	files string // more of them, as "-- NAME --" and the text; d.bzl where no name is said
	want  string // of the message: its place, and what it says
	args  []string
}

// builds is the BUILD file of bombs that say no other: d.bzl binds x.
const builds = `load(":d.bzl", "x")`

var bombs = []bomb{
	// Steps.
	{name: "endless loop", files: "def f():\n    for i in range(1 << 40):\n        pass\nf()\nx = 1", want: `d.bzl:\d+:\d+: more than 200000000 steps`},
	{name: "endless sum", files: "def f():\n    n = 0\n    for i in range(1 << 40):\n        n += i\nf()\nx = 1", want: `d.bzl:\d+:\d+: more than 200000000 steps`},
	{name: "endless comprehension", files: "-- BUILD --\n[0 for i in range(1 << 40) if i < 0]", want: `BUILD:1:\d+: more than 200000000 steps`},
	{name: "endless loop in WORKSPACE", files: "-- WORKSPACE --\n[0 for i in range(1 << 40) if i < 0]", want: `WORKSPACE:1:\d+: more than 200000000 steps`},

	// Sequences whose length costs nothing.
	{name: "sorted", files: "x = sorted(range(1 << 40))", want: `d.bzl:1:11: sorted: a sequence`},
	{name: "list with key", files: "x = sorted(list(range(1 << 31)), key = lambda i: -i)", want: `d.bzl:1:16: list: a sequence`},
	{name: "max", files: "x = max(range(1 << 40))", want: `d.bzl:1:8: max: a sequence`},
	{name: "enumerate", files: "x = enumerate(range(1 << 40))", want: `d.bzl:1:14: enumerate: a sequence`},
	{name: "zip", files: "x = zip(*[range(19000000)] * 1000)", want: `d.bzl:1:8: zip: a list`},
	{name: "bytes", files: "x = bytes(range(1 << 40))", want: `d.bzl:1:10: bytes: a sequence`},
	{name: "repeat of a list", files: "x = [0] * (1 << 29)", want: `d.bzl:1:9: excessive repeat`},
	{name: "repeat of a tuple in place", files: "def f():\n    x = (0,)\n    x *= 1 << 29\n    return x\nx = f()", want: `d.bzl:3:7: excessive repeat`},
	{name: "extend", files: "x = []\nx.extend(range(1 << 40))", want: `d.bzl:2:9: extend: a list`},
	{name: "add in place", files: "def f():\n    x = []\n    y = range(1 << 40)\n    x += y\n    return x\nx = f()", want: `d.bzl:4:7: a list`},
	{name: "arguments", files: "def f(*a):\n    return a\nx = f(*range(1 << 40))", want: `d.bzl:3:\d+: this needs more memory`},

	// Texts and numbers.
	{name: "replace", files: `s = "a" * (1 << 20)` + "\n" + `x = s.replace("a", s)`, want: `d.bzl:2:14: replace: a text`},
	{name: "replace by getattr", files: `s = "a" * (1 << 20)` + "\n" + `x = getattr(s, "replace")("a", s)`, want: `d.bzl:2:26: replace: a text`},
	{name: "join", files: `x = ("a" * (1 << 20)).join(["b"] * 1000000)`, want: `d.bzl:1:27: join: the text`},
	{name: "split", files: `x = ("," * (1 << 28)).split(",")`, want: `d.bzl:1:28: split: a list`},
	{name: "doubling a text", files: "def f():\n    x = \"a\"\n    for i in range(60):\n        x = x + x\n    return x\nx = f()", want: `d.bzl:4:15: a string of`},
	{name: "doubling in a dict", files: "def f():\n    x = {0: \"a\"}\n    for i in range(60):\n        x[0] += x[0]\n    return x\nx = f()", want: `d.bzl:4:14: a string of`},
	{name: "big integers", files: "def f():\n    x = 3\n    for i in range(60):\n        x = x * x\n    return x\nx = f()", want: `d.bzl:4:15: an integer of`},
	{name: "long shift", files: "x = 1 << (1 << 30)", want: `d.bzl:1:7: shift count too large`},
	{name: "int", files: `x = int("9" * 100000000)`, want: `d.bzl:1:8: int: a number`},

	// Memory that grows step by step.
	{name: "list of lists", files: "def f():\n    x = []\n    for i in range(1 << 40):\n        x.append([i])\n    return x\nx = f()", want: `d.bzl:\d+:\d+: this needs more memory`},
	{name: "growing dict", files: "def f():\n    x = {}\n    for i in range(1 << 40):\n        x[i] = str(i)\n    return x\nx = f()", want: `d.bzl:\d+:\d+: this needs more memory`},
	{name: "format of many", files: `x = ("%s" * 1000) % tuple(["a" * (1 << 28)] * 1000)`, want: `d.bzl:1:19: format: the value \(tuple\) is too long`},
	{name: "format of one many times", files: `x = ("{0}" * 1000).format("a" * (1 << 27))`, want: `d.bzl:1:26: format: the text is too long`},
	{name: "format of a dict", files: `x = ("%(a)s" * 1000) % {"a": "a" * (1 << 27)}`, want: `d.bzl:1:22: format: the text is too long`},
	{name: "json of shared parts", files: "def f():\n    x = [1]\n    for i in range(900):\n        x = [x, x]\n    return json.encode(x)\nx = f()", want: `d.bzl:5:23: json.encode: the value \(list\) is too long`},
	{name: "str of shared parts", files: "def f():\n    x = [\"a\" * 1000000]\n    for i in range(60):\n        x = [x, x]\n    return str(x)\nx = f()", want: `d.bzl:5:15: str: the value \(list\) is too long`},

	// Depth.
	{name: "json.decode", files: `x = json.decode("[" * 3000000)`, want: `d.bzl:1:16: json.decode: the text is nested`},
	{name: "toml", files: `x = gorules.toml_decode("a = " + "[" * 3000000)`, want: `d.bzl:1:24: toml_decode: line 1, column 10005: .*nested`},
	{name: "deep list", files: "def f():\n    x = []\n    for i in range(5000000):\n        x = [x]\n    return x\nx = f()", want: `d.bzl:6:1: global x: the value \(list\) is nested`},
	{name: "deep closure", files: "def g(x):\n    return lambda: x\ndef f():\n    x = None\n    for i in range(1000000):\n        x = g(x)\n    return x\nx = f()", want: `d.bzl:8:1: global x: the value \(function\) is nested`},
	{name: "print deep", files: "def f():\n    x = ()\n    for i in range(1000000):\n        x = (x,)\n    print(x)\nf()\nx = 1", want: `d.bzl:5:10: print: the value \(tuple\) is nested`},
	{name: "format deep", files: "def f():\n    x = []\n    for i in range(1000000):\n        x = [x]\n    return \"%s {}\".format(x) % x\nx = f()", want: `d.bzl:5:26: format: the value \(list\) is nested`},
	{name: "hash of a deep value", files: "def f():\n    x = ()\n    for i in range(10000000):\n        x = (x,)\n    return {x: 1}\nx = f()", want: `d.bzl:\d+:\d+: a value is nested too deep`},
	{name: "depsets of depsets", files: "def f():\n    x = depset([1])\n    for i in range(5000000):\n        x = depset([i], transitive = [x])\n    return x.to_list()\nx = f()", want: `d.bzl:4:19: depset: the depset is made of others`},
	{name: "deep attribute", files: "-- BUILD --\nload(\":d.bzl\", \"f\")\nf()\n-- d.bzl --\ndef f():\n    x = []\n    for i in range(1000000):\n        x = [x]\n    native.filegroup(name = \"a\", srcs = x)", want: `d.bzl:5:21: .*nested too deep to be shown`},
	{name: "deep provider", files: "-- BUILD --\nload(\":d.bzl\", \"r\")\nr(name = \"a\")\n-- d.bzl --\nI = provider()\ndef _i(ctx):\n    x = []\n    for i in range(1000000):\n        x = [x]\n    return [I(x = x)]\nr = rule(implementation = _i)", want: `BUILD:2:2: .*the value \(struct\) is nested`},
	{name: "deep value in a plan", args: []string{"test"}, files: `-- BUILD --
load(":d.bzl", "r_test")
r_test(name = "a")
-- d.bzl --
def _plan(c):
    x = []
    for i in range(1000000):
        x = [x]
    return x
def _i(ctx):
    f = ctx.actions.declare_file("f")
    ctx.actions.write(f, "")
    return [TestResultsInfo(verdict = ctx.actions.plan(inputs = [f], implementation = _plan))]
r_test = rule(implementation = _i, test = True)`, want: `BUILD:2:7: .*the value \(list\) is nested`},

	// One call without an end.
	{name: "hash of shared parts", args: []string{"build", "--starlark_call_timeout=1"}, files: "def f():\n    x = ()\n    for i in range(60):\n        x = (x, x)\n    return {x: 1}\nx = f()", want: `d.bzl:\d+:\d+: this made no headway for more than 1s`},
	{name: "a call in a plan", args: []string{"test", "--starlark_call_timeout=1"}, files: `-- BUILD --
load(":d.bzl", "r_test")
r_test(name = "a")
-- d.bzl --
def _plan(c):
    x = ()
    for i in range(60):
        x = (x, x)
    return {x: 1}
def _i(ctx):
    f = ctx.actions.declare_file("f")
    ctx.actions.write(f, "")
    return [TestResultsInfo(verdict = ctx.actions.plan(inputs = [f], implementation = _plan))]
r_test = rule(implementation = _i, test = True)`, want: `d.bzl:\d+:\d+: this made no headway for more than 1s`},
	{name: "a call in a repository rule", args: []string{"fetch", "--starlark_call_timeout=1"}, files: `-- WORKSPACE --
load("//:d.bzl", "r")
r(name = "a")
-- d.bzl --
def _i(ctx):
    x = ()
    for i in range(60):
        x = (x, x)
    return {x: 1}
r = repository_rule(implementation = _i)`, want: `d.bzl:\d+:\d+: this made no headway for more than 1s`},
	{name: "map_each", args: []string{"build", "--starlark_call_timeout=1"}, files: `-- BUILD --
load(":d.bzl", "r")
r(name = "a")
-- d.bzl --
def _map(f):
    x = ()
    for i in range(60):
        x = (x, x)
    return {x: 1}
def _i(ctx):
    f = ctx.actions.declare_file("f")
    a = ctx.actions.args()
    a.add_all(["a"], map_each = _map)
    ctx.actions.write(f, a)
    return [DefaultInfo(files = depset([f]))]
r = rule(implementation = _i)`, want: `d.bzl:\d+:\d+: this made no headway for more than 1s`},
}

// TestBombs runs each file of the table in a process of its own, with little
// memory: each ends soon, with a place and in order.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute of a CPU")
	}
	// As users have it: the race detector takes all addresses there are, and ten times as long.
	gorules := filepath.Join(t.TempDir(), "gorules")
	if out, err := exec.Command("go", "build", "-o", gorules, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, b := range bombs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("WORKSPACE", "")
			write("BUILD", builds)
			if !strings.HasPrefix(b.files, "-- ") {
				b.files = "-- d.bzl --\n" + b.files
			}
			for _, part := range strings.Split("\n"+b.files, "\n-- ")[1:] {
				name, text, _ := strings.Cut(part, " --\n")
				write(name, text)
			}
			home := filepath.Join(t.TempDir(), "home")
			t.Cleanup(func() { removeAll(t, home) })
			args := append(b.args, "--starlark_memory=600")
			if len(b.args) == 0 {
				args = []string{"build", "--starlark_memory=600"}
			}
			if args[0] != "fetch" {
				args = append(args, "//...")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", `ulimit -v 10000000; exec "$@"`, "bash", gorules}, args...)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			start := time.Now()
			err := cmd.Run()
			t.Logf("%.1f s, %d MiB: %.300s", time.Since(start).Seconds(), maxRSS(cmd)>>10, &out)
			want := 1
			if args[0] == "fetch" {
				want = 7
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != want {
				t.Errorf("%v, want exit code %d", err, want)
			}
			if !regexp.MustCompile(`(?m)^ERROR: (\S*/)?` + b.want).Match(out.Bytes()) {
				t.Errorf("no match of %q in\n%.2000s", b.want, &out)
			}
			if strings.Contains(out.String(), "goroutine ") {
				t.Error("a dump of goroutines")
			}
		})
	}
}

// maxRSS is the most memory that a process had, in KiB.
func maxRSS(cmd *exec.Cmd) int64 {
	u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return u.Maxrss
}
