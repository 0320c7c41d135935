//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// evaluate interprets the filter as the kernel does.
func evaluate(t *testing.T, f []unix.SockFilter, arch uint32, nr uint32, args ...uint32) uint32 {
	t.Helper()
	var data [64]byte
	binary.LittleEndian.PutUint32(data[0:], nr)
	binary.LittleEndian.PutUint32(data[4:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint32(data[16+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(f); pc++ {
		in := f[pc]
		jump := func(c bool) {
			if c {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&in.K != 0)
		default:
			t.Fatalf("instruction %d: unknown code %#x", pc, in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestFilter(t *testing.T) {
	f := sandbox.BuildFilter()
	const allow, kill = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	for nr := range 1000 {
		want := uint32(allow)
		switch {
		case slices.Contains(sandbox.DeniedENOSYS, nr) || nr > sandbox.LastKnown:
			want = errno(unix.ENOSYS)
		case slices.Contains(sandbox.DeniedEPERM, nr):
			want = errno(unix.EPERM)
		case slices.Contains(sandbox.DeniedENOTSUP, nr):
			want = errno(unix.ENOTSUP)
		case nr == unix.SYS_SOCKET || nr == unix.SYS_SOCKETPAIR:
			want = errno(unix.EAFNOSUPPORT) // family 0
		}
		if got := evaluate(t, f, sandbox.AuditArch, uint32(nr)); got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
	for _, c := range []struct {
		nr   uint32
		args []uint32
		want uint32
	}{
		{unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_VFORK | 17}, allow},
		{unix.SYS_CLONE, []uint32{unix.CLONE_NEWUSER | 17}, errno(unix.EPERM)},
		{unix.SYS_CLONE, []uint32{unix.CLONE_NEWNS}, errno(unix.EPERM)},
		{unix.SYS_UNSHARE, []uint32{unix.CLONE_FILES}, allow},
		{unix.SYS_UNSHARE, []uint32{unix.CLONE_NEWNET}, errno(unix.EPERM)},
		{unix.SYS_SOCKET, []uint32{unix.AF_UNIX}, allow},
		{unix.SYS_SOCKET, []uint32{unix.AF_INET6}, allow},
		{unix.SYS_SOCKET, []uint32{unix.AF_NETLINK}, allow},
		{unix.SYS_SOCKET, []uint32{unix.AF_VSOCK}, errno(unix.EAFNOSUPPORT)},
		{unix.SYS_IOCTL, []uint32{0, unix.TIOCSTI}, errno(unix.EPERM)},
		{unix.SYS_IOCTL, []uint32{0, 0x541c}, errno(unix.EPERM)},
		{unix.SYS_IOCTL, []uint32{0, unix.TCGETS}, allow},
		{0x40000000, nil, kill},
		{0x40000000 | unix.SYS_MOUNT, nil, kill},
		{^uint32(0), nil, kill},
	} {
		if got := evaluate(t, f, sandbox.AuditArch, c.nr, c.args...); got != c.want {
			t.Errorf("call %d%v: %#x, want %#x", c.nr, c.args, got, c.want)
		}
	}
	const i386 = 0x40000003
	if got := evaluate(t, f, i386, unix.SYS_READ); got != kill {
		t.Errorf("another architecture: %#x", got)
	}
}
