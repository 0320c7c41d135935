package analysis

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// Test is the action that runs an executable test once.
type Test struct {
	Spec *action.Spec

	Log      *action.Artifact // what the test printed, stdout and stderr in one
	XML      *action.Artifact // JUnit; the test may not write it
	Outputs  *action.Artifact // TEST_UNDECLARED_OUTPUTS_DIR; may be missing
	ExitCode *action.Artifact // in decimal

	Size    string
	Timeout time.Duration
}

// testSizes gives the timeout in seconds of each size and of each value of timeout.
var testSizes = map[string]int{
	"small": 60, "medium": 300, "large": 900, "enormous": 3600,
	"short": 60, "moderate": 300, "long": 900, "eternal": 3600,
}

// testScript makes the test's folders, starts the test ($0) with its arguments, prints everything to one
// stream, and lets bash run scripts without #! as execvp would.
const testScript = `exec 2>&1
mkdir -p "$TEST_TMPDIR" "$TEST_UNDECLARED_OUTPUTS_DIR"
if [ -x "$0" ]; then exec "$0" "$@"; fi
exec /bin/bash "$0" "$@"`

// localTmp is the folder for temporary files of a test that runs on the host.
const localTmp = "bazel-out/tmp"

// TestAction returns the action that runs the executable of a test in Bazel's
// test environment: cwd is the workspace's folder in the runfiles.
func (a *Analyzer) TestAction(c *Configured) (*Test, error) {
	if c.Executable == nil || !c.Target.IsTest() {
		return nil, fmt.Errorf("%s is a %s without an executable, not a test", c.Label, c.Kind)
	}
	env, err := c.runEnvironment()
	if err != nil {
		return nil, targetError(c.Target, err)
	}
	t := &Test{Size: textOf(c.Attrs["size"])}
	seconds := testSizes[t.Size]
	if s := testSizes[textOf(c.Attrs["timeout"])]; s > 0 {
		seconds = s
	}
	if a.opts.Config.Test.Timeout > 0 {
		seconds = a.opts.Config.Test.Timeout
	}
	t.Timeout = time.Duration(seconds) * time.Second

	dir := path.Join("bazel-out", "testlogs", packageDir(c.Label), c.Label.Name)
	spec := &action.Spec{
		Owner: c.Label, Position: c.Target.Position, Mnemonic: "TestRunner", Progress: "Testing " + c.Label.String(),
		Test: true, Timeout: t.Timeout, Loopback: true, Terminals: true, Optional: map[*action.Artifact]bool{},
		NoSandbox: c.Attrs["local"] == starlark.True || contains(c.Target.Tags(), "local") || contains(c.Target.Tags(), "no-sandbox"),
	}
	if s, _ := bzl.Instance(c.Providers[bzl.ExecutionInfo]); s != nil {
		req, err := stringDict("ExecutionInfo: requirements", bzl.Field(s, "requirements"))
		if err != nil {
			return nil, targetError(c.Target, err)
		}
		for _, k := range []string{"local", "no-sandbox"} {
			_, ok := req[k]
			spec.NoSandbox = spec.NoSandbox || ok
		}
	}
	artifact := func(name string, isDir bool) *action.Artifact {
		return &action.Artifact{Path: path.Join(dir, name), Dir: isDir, Producer: spec}
	}
	t.Spec, t.Log, t.ExitCode = spec, artifact("test.log", false), artifact("test.exit", false)
	t.XML, t.Outputs = artifact("test.xml", false), artifact("test.outputs", true)
	spec.Stdout, spec.ExitCode = t.Log, t.ExitCode
	spec.Outputs = []*action.Artifact{t.XML, t.Outputs}
	spec.Optional[t.XML], spec.Optional[t.Outputs] = true, true

	runfiles := c.Executable.Path + ".runfiles"
	in := &inputSet{files: []*bzl.File{c.Executable}, sets: []*bzl.Depset{c.Runfiles.files}, more: []action.Inputs{a.RunfilesAt(runfiles, c.Runfiles)}}
	if tools := a.hostTools(); tools != nil {
		in.files = append(in.files, tools)
	}
	spec.Inputs = in
	root := action.Abs(runfiles)
	spec.Workdir = path.Join(root, a.opts.Workspace)
	exe := path.Join(root, c.Executable.RunfilesPath(a.opts.Workspace))
	spec.Argv = []action.Arg{action.Lit("/bin/bash"), action.Lit("-c"), action.Lit(testScript), action.Lit(exe)}
	for _, arg := range slices.Concat(c.Arguments, a.opts.Config.Test.Args) {
		spec.Argv = append(spec.Argv, action.Lit(arg))
	}
	spec.Env = a.testEnv(c, root, t, seconds)
	if spec.NoSandbox { // the machine's /tmp is not the test's own
		for _, name := range []string{"HOME", "TEST_TMPDIR", "TMPDIR"} {
			spec.Env[name] = action.Abs(localTmp)
		}
		spec.Env["TEST_PREMATURE_EXIT_FILE"] = action.Abs(localTmp + "/test.exited_prematurely")
		spec.Env["TEST_INFRASTRUCTURE_FAILURE_FILE"] = action.Abs(localTmp + "/test.infrastructure_failure")
	}
	maps.Copy(spec.Env, env)
	maps.Copy(spec.Env, a.opts.Config.Test.Env)
	return t, nil
}

// testEnv is Bazel's test environment.
func (a *Analyzer) testEnv(c *Configured, root string, t *Test, seconds int) map[string]string {
	rel, err := pathFrom(root, action.Abs(c.Executable.Path))
	if err != nil {
		rel = c.Executable.ShortPath()
	}
	env := map[string]string{
		"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin:.", "HOME": "/tmp/test", "TEST_TMPDIR": "/tmp/test", "TMPDIR": "/tmp",
		"TZ": "UTC", "USER": "gorules", "LOGNAME": "gorules", "SHLVL": "1",
		"TEST_SRCDIR": root, "RUNFILES_DIR": root, "JAVA_RUNFILES": root, "PYTHON_RUNFILES": root,
		"TEST_WORKSPACE": a.opts.Workspace, "TEST_TARGET": c.Label.String(), "TEST_BINARY": rel,
		"TEST_SIZE": t.Size, "TEST_TIMEOUT": strconv.Itoa(seconds),
		"TEST_RUN_NUMBER": "1", "TEST_UNDECLARED_OUTPUTS_DIR": action.Abs(t.Outputs.Path),
		"TEST_PREMATURE_EXIT_FILE": "/tmp/test.exited_prematurely", "TEST_INFRASTRUCTURE_FAILURE_FILE": "/tmp/test.infrastructure_failure",
		"XML_OUTPUT_FILE": action.Abs(t.XML.Path), "RUNFILES_MANIFEST_ONLY": "0",
		"BAZEL_TEST": "1", "GORULES": "1",
	}
	if f := a.opts.Config.Test.Filter; f != "" {
		env["TESTBRIDGE_TEST_ONLY"] = f
	}
	return env
}

func pathFrom(root, p string) (string, error) {
	ws := action.Workspace + "/"
	if !strings.HasPrefix(p, ws) {
		return "", fmt.Errorf("%s is not below %s", p, ws)
	}
	return strings.TrimPrefix(p, ws), nil
}

// runEnvironment is what RunEnvironmentInfo and the attribute env say.
func (c *Configured) runEnvironment() (map[string]string, error) {
	env := map[string]string{}
	if s, _ := bzl.Instance(c.Providers[bzl.RunEnvironmentInfo]); s != nil {
		v, err := stringDict("RunEnvironmentInfo: environment", bzl.Field(s, "environment"))
		if err != nil {
			return nil, err
		}
		maps.Copy(env, v)
	}
	return env, nil
}

// RunEnvironment is the environment that `run` adds for the target.
func (c *Configured) RunEnvironment() (map[string]string, error) { return c.runEnvironment() }
