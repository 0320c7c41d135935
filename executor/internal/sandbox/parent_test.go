//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/sandbox"
)

// parentMain plays gorules in a process of its own, which a test kills or runs
// as another user.
func parentMain() {
	switch os.Getenv("SANDBOX_TEST_PARENT") {
	case "hang":
		p := sandbox.NewPool(2, sandbox.Options{})
		for range 2 {
			plan := shell("trap '' TERM; setsid sleep 4242 & sleep 4242")
			go func() {
				_, err := p.Run(context.Background(), plan)
				fmt.Println("ended", err)
			}()
		}
		time.Sleep(300 * time.Millisecond)
		fmt.Println("running")
		select {}
	case "user":
		p := sandbox.NewPool(1, sandbox.Options{})
		plan := shell("id -u; id -g; hostname 2>/dev/null || uname -n; echo x >/tmp/x && cat /tmp/x; echo y >/ov/y && cat /ov/y; (echo z >/in/z) 2>/dev/null || echo ro")
		dir := os.Getenv("SANDBOX_TEST_DIR")
		plan.Mounts = append(plan.Mounts,
			sandbox.Mount{Target: "/ov", Source: dir, Kind: sandbox.Overlay},
			sandbox.Mount{Target: "/in", Source: dir, Kind: sandbox.BindRO})
		plan.Loopback = true
		plan.Stdout, plan.Stderr = os.Stdout, os.Stdout
		res, err := p.Run(context.Background(), plan)
		fmt.Println(res.ExitCode, err, p.Close())
		tier, err := sandbox.Probe(context.Background())
		fmt.Println(tier, err)
	}
}

func parentCommand(mode string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"SANDBOX_TEST_PARENT=" + mode}
	cmd.Stderr = os.Stderr
	return cmd
}

// children are the processes whose parent is pid.
func children(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // gone
		}
		text := string(b)
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if f[1] == strconv.Itoa(pid) && f[0] != "Z" {
			p, _ := strconv.Atoi(text[:strings.IndexByte(text, ' ')])
			out = append(out, p)
		}
	}
	return out
}

func descendants(t *testing.T, pid int) []int {
	all := children(t, pid)
	for i := 0; i < len(all); i++ {
		all = append(all, children(t, all[i])...)
	}
	return all
}

func TestParentKilled(t *testing.T) {
	newPool(t, 1, sandbox.Options{})
	cmd := parentCommand("hang")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	all := descendants(t, cmd.Process.Pid)
	if line != "running\n" || len(all) < 2*4 { // helper, pid 1, shell, two sleeps
		t.Errorf("said %q, has processes %v", line, all)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	alive := func() (left []int) {
		for _, pid := range all {
			if syscall.Kill(pid, 0) == nil {
				left = append(left, pid)
			}
		}
		return left
	}
	for deadline := time.Now().Add(5 * time.Second); len(alive()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes left: %v", alive())
		}
	}
}

func TestOtherUser(t *testing.T) {
	newPool(t, 1, sandbox.Options{})
	if os.Getuid() != 0 {
		t.Skip("becoming another user needs root; the other tests ran without it")
	}
	const uid = 12345 // in no passwd file
	dir, err := os.MkdirTemp("", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "exe")
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "own")
	for _, err := range []error{os.WriteFile(exe, b, 0o755), os.Chmod(dir, 0o755), os.Mkdir(own, 0o755), os.Chown(own, uid, uid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := parentCommand("user")
	cmd.Path = exe
	cmd.Args = []string{exe}
	cmd.Env = append(cmd.Env, "SANDBOX_TEST_DIR="+own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: false}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const want = "1000\n1000\ngorules\nx\ny\nro\n0 <nil> <nil>\nfull <nil>\n"
	if string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if es, err := os.ReadDir(own); err != nil || len(es) != 0 {
		t.Errorf("left behind: %v %v", es, err)
	}
	// Every probe, too.
	probes := exec.Command(exe, "-test.run=^TestEscape", "-test.v")
	probes.Dir, probes.Env = own, append(os.Environ(), "TMPDIR="+own)
	probes.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err = probes.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestEscape/") {
		t.Errorf("the probes as user %d: %v\n%s", uid, err, out)
	}
}
