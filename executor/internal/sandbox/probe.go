//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// Probe runs a process of a few instructions in a real sandbox and reports the
// tier of this host. If the host refuses a step, the tier is TierNone and the
// error is a *StepError that names the step and, where it can be known, one
// command that allows it.
func Probe(ctx context.Context) (Tier, error) {
	const want = 42
	p := NewPool(1, Options{})
	defer p.Close()
	res, err := p.Run(ctx, &Process{
		Files:    []File{{Path: "/probe", Data: probeELF(), Exec: true}},
		Argv:     []string{"/probe"},
		Loopback: true,
	})
	if err != nil {
		return TierNone, err
	}
	if res.ExitCode != want {
		return TierNone, &StepError{Step: "run the probe", Reason: fmt.Sprintf("exit code %d instead of %d", res.ExitCode, want)}
	}
	return TierFull, nil
}

// probeELF is a static program that exits with status 42.
func probeELF() []byte {
	const base, head = 0x400000, 64 + 56
	size := uint64(head + len(probeCode))
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	for _, v := range []any{
		uint16(2), uint16(probeMachine), uint32(1), uint64(base + head), uint64(64), uint64(0),
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		// the one segment
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(4096),
	} {
		_ = binary.Write(&b, binary.LittleEndian, v) // a Buffer takes everything
	}
	b.WriteString(probeCode)
	return b.Bytes()
}

// facts is what decides which command would allow a refused step.
type facts struct {
	euid      int
	sysctl    func(name string) string // "" if there is none
	container bool
}

func hostFacts() facts {
	return facts{
		euid: os.Geteuid(),
		sysctl: func(name string) string {
			b, err := os.ReadFile(path.Join("/proc/sys", name))
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(b))
		},
		container: inContainer(),
	}
}

// inContainer looks for the marks of container engines, and for a seccomp
// filter, which they install and hosts do not.
func inContainer() bool {
	for _, f := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	b, _ := os.ReadFile("/proc/self/status")
	return bytes.Contains(b, []byte("\nSeccomp:\t2"))
}

// fix is the one command that would allow step; "" if that is not known.
func (f facts) fix(step string, e syscall.Errno) string {
	switch {
	case !errors.Is(e, os.ErrPermission) && e != syscall.ENOSPC && e != syscall.EUSERS && e != syscall.EROFS:
		return ""
	case strings.HasPrefix(step, "create ") && f.sysctl("user/max_user_namespaces") == "0":
		return "sudo sysctl -w user.max_user_namespaces=65536"
	case f.euid != 0 && f.sysctl("kernel/unprivileged_userns_clone") == "0":
		return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case f.euid != 0 && f.sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case f.container:
		return "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined ... " +
			"(start the container again with these options)"
	}
	return ""
}
