//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/sandbox"
)

func TestTrace(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{Grace: 200 * time.Millisecond})
	in := t.TempDir()
	plan := shell(`
cat /etc/shadow
cd /in && cat missing && exit 1
(cat ../in/x/../missing2) &
wait
echo x >/in/new
mkdir /in/dir
rm -f /in/none
/no/such/program
perl -e 'use Socket; socket(S, AF_INET, SOCK_STREAM, 0); connect(S, pack_sockaddr_in(80, inet_aton("192.0.2.1")));'
perl -e 'use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un("/run/docker.sock"));'
perl -e 'opendir(D, "/tmp"); mkdir "/tmp/a"; open(F, "<", "/tmp/a/b"); '
echo fine >/tmp/fine
exit 5`)
	plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/in", Source: in, Kind: sandbox.BindRO})
	plan.Env = []string{"PATH=/usr/bin:/bin"}
	plan.Trace = true
	res, out := run(t, p, plan)
	if res.ExitCode != 5 {
		t.Errorf("exit code %d\n%s", res.ExitCode, out)
	}
	last := -1
	for _, want := range []sandbox.Access{
		{Kind: sandbox.AccessRead, Path: "/etc/shadow", Err: syscall.ENOENT, Program: "cat"},
		{Kind: sandbox.AccessRead, Path: "/in/missing", Err: syscall.ENOENT, Program: "cat"},
		{Kind: sandbox.AccessRead, Path: "/in/missing2", Err: syscall.ENOENT, Program: "cat"},
		{Kind: sandbox.AccessWrite, Path: "/in/new", Err: syscall.EROFS, Program: "/bin/sh"},
		{Kind: sandbox.AccessWrite, Path: "/in/dir", Err: syscall.EROFS, Program: "mkdir"},
		{Kind: sandbox.AccessExec, Path: "/no/such/program", Err: syscall.ENOENT, Program: "/bin/sh"},
		{Kind: sandbox.AccessConnect, Addr: "192.0.2.1:80", Err: syscall.ENETUNREACH, Program: "perl"},
		{Kind: sandbox.AccessConnect, Addr: "/run/docker.sock", Err: syscall.ENOENT, Program: "perl"},
		{Kind: sandbox.AccessRead, Path: "/tmp/a/b", Err: syscall.ENOENT, Program: "perl"},
	} {
		i := slices.Index(res.Refused, want)
		if i < 0 || i < last {
			t.Errorf("%+v is missing or out of order", want)
		}
		last = max(i, last)
	}
	seen := map[sandbox.Access]bool{}
	for _, a := range res.Refused {
		a.Program = ""
		if seen[a] || a.Path == "/tmp/fine" {
			t.Errorf("repeated or not refused: %+v", a)
		}
		seen[a] = true
	}
	if t.Failed() {
		t.Logf("%s\n%+v", out, res.Refused)
	}
}

func TestTraceEnds(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{Grace: 200 * time.Millisecond})
	plan := shell("trap '' TERM; setsid sleep 1000 & kill -STOP $! ; sleep 1000")
	plan.Trace = true
	plan.Timeout = 200 * time.Millisecond
	if res, _ := run(t, p, plan); !res.TimedOut {
		t.Errorf("got %+v", res)
	}
	plan = shell("kill -ABRT $$")
	plan.Trace = true
	if res, _ := run(t, p, plan); res.Signal != syscall.SIGABRT {
		t.Errorf("got %+v", res)
	}
	// The slot serves plain actions as before, and traces again.
	want(t, p, shell("echo ok"), "ok")
	var out bytes.Buffer
	plan = shell("cat /nope")
	plan.Stdout, plan.Trace = &out, true
	res, err := p.Run(context.Background(), plan)
	if err != nil || !slices.ContainsFunc(res.Refused, func(a sandbox.Access) bool { return a.Path == "/nope" }) {
		t.Errorf("got %+v %v", res, err)
	}
}
