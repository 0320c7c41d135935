package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killed is a workspace of which commands are killed: chains of actions, tests,
// and an action on the host that leaves a process behind. unique stands in the
// command lines of that.
const killed = `
[genrule(
    name = "g%%d" %% i,
    srcs = ["in"] + ([":g%%d" %% (i - 1)] if i %% 4 else []),
    outs = ["o%%d" %% i],
    cmd = "sleep 0.01; cat $(SRCS) > $@; echo %%d >> $@" %% i,
) for i in range(%d)]

[sh_test(name = "t%%d" %% i, srcs = ["t.sh"], data = ["o%%d" %% i]) for i in range(6)]

genrule(name = "host", outs = ["host.out"], cmd = "setsid sleep %s & sleep 0.02; echo > $@", local = True)
`

const chained = 24

// chainContents is what the outputs hold.
func chainContents(in string) []string {
	var out []string
	for i := range chained {
		text := in
		if i%4 > 0 {
			text += out[i-1]
		}
		out = append(out, fmt.Sprintf("%s%d\n", text, i))
	}
	return out
}

// TestKilledTogether kills commands at random moments, eight at a time in eight
// workspaces and on one cache: what the next command makes is right, and nothing
// of theirs is left. GORULES_KILLS says how many (40).
func TestKilledTogether(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this host refuses user namespaces: %v %s", err, out)
	}
	kills := 40
	if text := os.Getenv("GORULES_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "gorules-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, home) })
	unique := fmt.Sprintf("%d.0625", 500+os.Getpid())
	gorules := func(dir string, args ...string) *exec.Cmd {
		cmd := exec.Command(self, args...)
		cmd.Args[0], cmd.Dir = "gorules", dir
		cmd.Env = append(os.Environ(), useEngine+"=real", "HOME="+home, "XDG_CACHE_HOME="+home, "GORACE=atexit_sleep_ms=0")
		return cmd
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var dirs []string
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		dir := t.TempDir()
		write(dir, "WORKSPACE", "")
		write(dir, "BUILD", fmt.Sprintf(killed, chained, unique))
		write(dir, "t.sh", "#!/bin/bash\nexit 0\n")
		write(dir, "in", "0\n")
		dirs = append(dirs, dir)
	}
	check := func() {
		t.Helper()
		for _, dir := range dirs {
			var said bytes.Buffer
			cmd := gorules(dir, "test", "//...")
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			in, err := os.ReadFile(filepath.Join(dir, "in"))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range chainContents(string(in)) {
				if got, err := os.ReadFile(filepath.Join(dir, "gorules-bin", fmt.Sprint("o", i))); err != nil || string(got) != want {
					t.Fatalf("o%d of %s is %q, want %q (%v)", i, dir, got, want, err)
				}
			}
		}
	}
	for done, checked := 0, 0; done < kills; {
		var cmds []*exec.Cmd
		for range 8 {
			dir := dirs[rng.IntN(len(dirs))]
			if rng.IntN(5) < 2 {
				write(dir, "in", fmt.Sprintf("%d\n", rng.IntN(1_000_000)))
			}
			cmd := gorules(dir, [][]string{{"build", "//..."}, {"test", "//..."}, {"build", "-k", "//..."}}[rng.IntN(3)]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, cmd)
		}
		for _, i := range rng.Perm(len(cmds)) {
			time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
			if err := cmds[i].Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmds[i].Wait()
			if cmds[i].ProcessState.Sys().(syscall.WaitStatus).Signaled() { // otherwise it had ended
				done++
			}
		}
		if done-checked >= 100 {
			checked = done
			check()
		}
	}
	check()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var left []string
		names, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if b, err := os.ReadFile(n); err == nil && (strings.Contains(string(b), unique) || strings.HasPrefix(string(b), "gorules") && strings.Contains(string(b), home)) {
				left = append(left, string(b))
			}
		}
		if len(left) == 0 {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("left running: %q", left)
		}
	}
}
