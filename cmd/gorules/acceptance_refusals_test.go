package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestRefusals runs testdata/refusals/*.txtar over the real engine and the real
// cargo: what is refused, what bad input says and leaves behind, what an
// interrupted command leaves. The workspaces are small and share one disk cache.
func TestRefusals(t *testing.T) {
	needGate(t)
	runRefusals(t, "refusals", diskDir(t))
}

// TestConsumers runs testdata/consumers/*.txtar: workspaces that use another
// one. They share the example's disk cache, which has the coverage tool.
func TestConsumers(t *testing.T) { runRefusals(t, "consumers", warm(t).Disk) }

// diskDir is a folder for a disk cache.
func diskDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gorules-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	return dir
}

// runRefusals runs testdata/dir/*.txtar as runAcceptance does, each with a
// TMPDIR of its own, and with more commands:
//
//	halt N FILE=TEXT CODE ARG...   starts gorules ARG..., its output into FILE, sends it N
//	                               times SIGINT when FILE holds TEXT, and wants exit code CODE
//	keep NAME PATH...              remembers what is at the paths
//	kept [-more] NAME PATH...      fails if anything else is there now, but for new files with -more
//	clear                          fails if a process, mount or temporary file is left
//	oneerror                       fails unless the last stderr has one line with ERROR:
//	gitrepo DIR                    makes DIR a git repository of one commit
//	replace FILE OLD NEW           replaces every OLD
//
// $DISK is the disk cache that .gorulesrc names.
func runRefusals(t *testing.T, dir, disk string) {
	cmds := acceptanceCmds()
	cmds["halt"] = halt
	cmds["keep"] = keep
	cmds["kept"] = kept
	cmds["oneerror"] = oneError
	cmds["clear"] = clearOfGorules
	cmds["gitrepo"] = gitRepo
	cmds["replace"] = replaceAll
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(e *testscript.Env) error {
			home, err := os.MkdirTemp("", "gorules-home-")
			if err != nil {
				return err
			}
			e.Defer(func() { removeAll(t, home) })
			for _, v := range append(realEnv(home), "TMPDIR="+filepath.Join(home, "tmp"), "DISK="+disk) {
				name, value, _ := strings.Cut(v, "=")
				e.Setenv(name, value)
			}
			e.Values[keptKey{}] = map[string]map[string]string{}
			rc := fmt.Sprintf("build --disk_cache=%s\n", disk)
			return errors.Join(
				os.Mkdir(filepath.Join(home, "tmp"), 0o700),
				os.WriteFile(filepath.Join(home, ".gorulesrc"), []byte(rc), 0o600),
			)
		},
		Cmds: cmds,
	})
}

// oneError wants one error in what the last command said.
func oneError(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "oneerror")
	text := ts.ReadFile("stderr")
	if n := strings.Count("\n"+text, "\nERROR: "); n != 1 {
		ts.Fatalf("%d errors, want one:\n%s", n, text)
	}
	for _, bad := range []string{"panic:", "goroutine ", "BUG"} {
		if strings.Contains(text, bad) {
			ts.Fatalf("a panic:\n%s", text)
		}
	}
}

// gitRepo makes a folder a git repository whose one commit has all its files.
func gitRepo(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "gitrepo DIR")
	for _, words := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", words...)
		cmd.Dir = ts.MkAbs(args[0])
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("git %s: %v\n%s", strings.Join(words, " "), err, out)
		}
	}
}

// replaceAll replaces every place of a file where a text stands.
func replaceAll(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "replace FILE OLD NEW")
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if !strings.Contains(string(data), args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(string(data), args[1], args[2])), 0o644))
}
