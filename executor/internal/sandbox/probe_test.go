//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"gorules/executor/internal/sandbox"
)

func TestProbe(t *testing.T) {
	tier, err := sandbox.Probe(context.Background())
	var refused *sandbox.StepError
	switch {
	case errors.As(err, &refused) && refused.Step != "" && tier == sandbox.TierNone:
		t.Skipf("this host refuses the sandbox: %v", err)
	case err != nil || tier != sandbox.TierFull:
		t.Fatalf("Probe() = %v, %v", tier, err)
	}
}

func TestFix(t *testing.T) {
	apparmor := map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1", "user/max_user_namespaces": "1000"}
	for _, c := range []struct {
		name      string
		euid      int
		sysctls   map[string]string
		container bool
		step      string
		err       syscall.Errno
		want      string
	}{
		{"Ubuntu 24.04", 1000, apparmor, false, "mount tmpfs", syscall.EACCES, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"Ubuntu 24.04 as root", 0, apparmor, false, "mount tmpfs", syscall.EACCES, ""},
		{"Debian", 1000, map[string]string{"kernel/unprivileged_userns_clone": "0"}, false, "create user namespace", syscall.EPERM, "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{"limit", 0, map[string]string{"user/max_user_namespaces": "0"}, false, "create user namespace", syscall.ENOSPC, "sudo sysctl -w user.max_user_namespaces=65536"},
		{"docker", 0, nil, true, "mount proc", syscall.EPERM, "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"},
		{"a plan's mistake", 1000, apparmor, true, "mount point", syscall.ENOENT, ""},
	} {
		got := sandbox.Fix(c.euid, c.sysctls, c.container, c.step, c.err)
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
