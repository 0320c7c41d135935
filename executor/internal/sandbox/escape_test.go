//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

func errText(err error) string {
	if err == nil {
		return "allowed"
	}
	if e, ok := err.(syscall.Errno); ok {
		return unix.ErrnoName(e)
	}
	for err != nil {
		if e, ok := err.(syscall.Errno); ok {
			return unix.ErrnoName(e)
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return fmt.Sprint(err)
}

func rawCall(nr uintptr, a ...uintptr) string {
	var v [6]uintptr
	copy(v[:], a)
	_, _, e := unix.RawSyscall6(nr, v[0], v[1], v[2], v[3], v[4], v[5])
	if e != 0 {
		return unix.ErrnoName(e)
	}
	return "allowed"
}

// probes are what an action tries. Each returns what it was told.
var probes = map[string]func(args []string) string{
	"read":  func(a []string) string { b, err := os.ReadFile(a[0]); _ = b; return errText(err) },
	"cat":   func(a []string) string { b, err := os.ReadFile(a[0]); return string(b) + errText(err) },
	"write": func(a []string) string { return errText(os.WriteFile(a[0], []byte("x"), 0o644)) },
	"append": func(a []string) string {
		f, err := os.OpenFile(a[0], os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			err = f.Close()
		}
		return errText(err)
	},
	"remove": func(a []string) string { return errText(os.Remove(a[0])) },
	"chmod":  func(a []string) string { return errText(os.Chmod(a[0], 0o777)) },
	"link":   func(a []string) string { return errText(os.Link(a[0], a[1])) },
	"connect": func(a []string) string {
		c, err := net.DialTimeout(a[0], a[1], 5*time.Second)
		_ = c
		return errText(err)
	},
	"kill": func(a []string) string { n, _ := strconv.Atoi(a[0]); return errText(syscall.Kill(n, 0)) },
	"kill1": func([]string) string {
		_ = syscall.Kill(1, syscall.SIGKILL)
		time.Sleep(50 * time.Millisecond)
		return "alive"
	},
	"mount":     func([]string) string { return errText(unix.Mount("x", "/tmp", "tmpfs", 0, "")) },
	"umount":    func([]string) string { return errText(unix.Unmount("/proc", unix.MNT_DETACH)) },
	"chroot":    func([]string) string { return errText(unix.Chroot("/tmp")) },
	"userns":    func([]string) string { return errText(unix.Unshare(unix.CLONE_NEWUSER)) },
	"cloneuser": func([]string) string { return rawCall(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)) },
	"clone3":    func([]string) string { return rawCall(unix.SYS_CLONE3) },
	"io_uring":  func([]string) string { return rawCall(unix.SYS_IO_URING_SETUP, 1) },
	"bpf":       func([]string) string { return rawCall(unix.SYS_BPF) },
	"keyctl":    func([]string) string { return rawCall(unix.SYS_KEYCTL, 0, ^uintptr(2)) },
	"newcall":   func([]string) string { return rawCall(463) },
	"setxattr":  func([]string) string { return errText(unix.Setxattr("/tmp", "user.x", []byte("1"), 0)) },
	"vsock":     func([]string) string { _, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); return errText(err) },
	"packet":    func([]string) string { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return errText(err) },
	"mknod":     func([]string) string { return errText(unix.Mknod("/tmp/d", unix.S_IFCHR|0o666, 1<<8|3)) },
	"ids":       func([]string) string { return fmt.Sprint(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid()) },
	"host":      func([]string) string { h, err := os.Hostname(); return h + " " + errText(err) },
	"env":       func([]string) string { return strings.Join(os.Environ(), ",") },
	"pid":       func([]string) string { return fmt.Sprint(os.Getpid(), os.Getppid()) },
	"cwd":       func([]string) string { d, err := os.Getwd(); return d + " " + errText(err) },
	"caps": func([]string) string {
		var out []string
		b, _ := os.ReadFile("/proc/self/status")
		for _, l := range strings.Split(string(b), "\n") {
			if f := strings.Fields(l); len(f) == 2 && (strings.HasPrefix(f[0], "Cap") || f[0] == "NoNewPrivs:" || f[0] == "Seccomp:") {
				out = append(out, strings.TrimLeft(f[1], "0"))
			}
		}
		return strings.Join(out, ",")
	},
	"sigs": func([]string) string {
		b, _ := os.ReadFile("/proc/self/status")
		for _, l := range strings.Split(string(b), "\n") {
			if strings.HasPrefix(l, "SigIgn:") || strings.HasPrefix(l, "SigBlk:") {
				if f := strings.Fields(l); strings.Trim(f[1], "0") != "" {
					return l
				}
			}
		}
		return "clean"
	},
	"procs": func([]string) string {
		var pids []string
		es, _ := os.ReadDir("/proc")
		for _, e := range es {
			if _, err := strconv.Atoi(e.Name()); err == nil {
				pids = append(pids, e.Name())
			}
		}
		sort.Strings(pids)
		return strings.Join(pids, ",")
	},
	// fds lists the open descriptors but the ones that listing needs.
	"fds": func([]string) string {
		var open []string
		for fd := range 200 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
				continue
			}
			if l, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasPrefix(l, "anon_inode:") {
				continue // the Go runtime's own
			}
			open = append(open, strconv.Itoa(fd))
		}
		return strings.Join(open, ",")
	},
	"init": func([]string) string {
		var out []string
		for _, f := range []string{"environ", "maps", "mem"} {
			_, err := os.ReadFile("/proc/1/" + f)
			out = append(out, errText(err))
		}
		return strings.Join(append(out, rawCall(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1)), ",")
	},
	"abstract": func(a []string) string { c, err := net.Dial("unix", "@"+a[0]); _ = c; return errText(err) },
	"setuid": func([]string) string {
		b, err := os.ReadFile("/usr/bin/id")
		if err != nil {
			return errText(err)
		}
		if err := os.WriteFile("/tmp/id", b, 0o755); err != nil {
			return errText(err)
		}
		_ = os.Chmod("/tmp/id", 0o755|os.ModeSetuid|os.ModeSetgid)
		out, err := exec.Command("/tmp/id", "-u").Output()
		return string(out) + errText(err)
	},
	"args": func(a []string) string { return fmt.Sprint(len(a), " ", len(strings.Join(a, ""))) },
	"rlimits": func([]string) string {
		var core, files unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_CORE, &core)
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &files)
		old := unix.Umask(0)
		return fmt.Sprintf("core %d umask %03o", core.Max, old)
	},
	"devices": func([]string) string {
		var out []string
		es, err := os.ReadDir("/dev")
		for _, e := range es {
			out = append(out, e.Name())
		}
		if err := os.WriteFile("/dev/null", []byte("x"), 0); err != nil {
			out = append(out, errText(err))
		}
		return strings.Join(out, ",") + " " + errText(err)
	},
	"tiocsti": func([]string) string {
		c := byte('x')
		return rawCall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	},
	"ptracechild": func([]string) string { return rawCall(unix.SYS_PTRACE, unix.PTRACE_TRACEME) },
	"rename": func([]string) string {
		_ = os.MkdirAll("/tmp/a", 0o755)
		_ = os.MkdirAll("/tmp/b", 0o755)
		if err := os.WriteFile("/tmp/a/f", nil, 0o644); err != nil {
			return errText(err)
		}
		return errText(os.Rename("/tmp/a/f", "/tmp/b/f"))
	},
	"loopback": func([]string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return errText(err)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		_ = c
		return errText(err)
	},
}

func TestEscape(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	input := t.TempDir()
	if err := os.WriteFile(filepath.Join(input, "f"), []byte("in"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := fmt.Sprintf("gorules-test-%d", os.Getpid())
	al, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer al.Close()
	t.Setenv("SANDBOX_TEST_LEAK", "1")
	signal.Ignore(syscall.SIGUSR1) // must not be inherited
	defer signal.Reset(syscall.SIGUSR1)

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"read", secret}, "ENOENT"},
		{[]string{"read", "/etc/shadow"}, "ENOENT"},
		{[]string{"read", "/host/etc/passwd"}, "ENOENT"},
		{[]string{"read", "/../host/etc/hostname"}, "ENOENT"},
		{[]string{"read", "/proc/1/root/etc/passwd"}, "EACCES"},
		{[]string{"cat", "/in/f"}, "inallowed"},
		{[]string{"write", "/in/f"}, "EROFS"},
		{[]string{"append", "/in/f"}, "EROFS"},
		{[]string{"write", "/in/new"}, "EROFS"},
		{[]string{"remove", "/in/f"}, "EROFS"},
		{[]string{"chmod", "/in/f"}, "EROFS"},
		{[]string{"link", "/in/f", "/tmp/f"}, "EXDEV"},
		{[]string{"write", "/x"}, "EROFS"},
		{[]string{"write", "/etc/passwd"}, "EROFS"},
		{[]string{"write", "/home/gorules/x"}, "EROFS"},
		{[]string{"write", "/dev/x"}, "EROFS"},
		{[]string{"write", "/tmp/x"}, "allowed"},
		{[]string{"write", "/dev/shm/x"}, "allowed"},
		{[]string{"write", "/dev/stdout"}, "xallowed"},
		{[]string{"write", "/proc/sys/kernel/hostname"}, "EROFS"},
		{[]string{"append", "/proc/sys/kernel/core_pattern"}, "EROFS"},
		{[]string{"append", "/proc/self/oom_score_adj"}, "EROFS"},
		{[]string{"rename"}, "allowed"},
		{[]string{"connect", "tcp", l.Addr().String()}, "ENETUNREACH"},
		{[]string{"connect", "tcp", "192.0.2.1:80"}, "ENETUNREACH"},
		{[]string{"connect", "udp", "192.0.2.1:53"}, "ENETUNREACH"},
		{[]string{"abstract", name}, "ECONNREFUSED"},
		{[]string{"kill", strconv.Itoa(os.Getpid())}, "ESRCH"},
		{[]string{"kill1"}, "alive"},
		{[]string{"mount"}, "EPERM"},
		{[]string{"umount"}, "EPERM"},
		{[]string{"chroot"}, "EPERM"},
		{[]string{"userns"}, "EPERM"},
		{[]string{"cloneuser"}, "EPERM"},
		{[]string{"clone3"}, "ENOSYS"},
		{[]string{"io_uring"}, "ENOSYS"},
		{[]string{"bpf"}, "EPERM"},
		{[]string{"keyctl"}, "EPERM"},
		{[]string{"newcall"}, "ENOSYS"},
		{[]string{"setxattr"}, "ENOTSUP"},
		{[]string{"vsock"}, "EAFNOSUPPORT"},
		{[]string{"packet"}, "EAFNOSUPPORT"},
		{[]string{"mknod"}, "EACCES"}, // Landlock; EPERM without it
		{[]string{"tiocsti"}, "EPERM"},
		{[]string{"ptracechild"}, "allowed"},
		{[]string{"ids"}, "1000 1000 1000 1000"},
		{[]string{"host"}, "gorules allowed"},
		{[]string{"env"}, ""},
		{[]string{"pid"}, "2 1"},
		{[]string{"cwd"}, "/ allowed"},
		{[]string{"caps"}, ",,,,,1,2"},
		{[]string{"sigs"}, "clean"},
		{[]string{"procs"}, "1,2"},
		{[]string{"fds"}, "0,1,2"},
		{[]string{"init"}, "EACCES,EACCES,EACCES,EPERM"},
		{[]string{"setuid"}, "1000\nallowed"},
		{[]string{"rlimits"}, "core 0 umask 022"},
		{[]string{"devices"}, "fd,full,null,random,shm,stderr,stdin,stdout,urandom,zero allowed"},
		{[]string{"cat", "/etc/hosts"}, "127.0.0.1 localhost gorules\n::1 localhost\nallowed"},
		{[]string{"loopback"}, "ENETUNREACH"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			plan := probe(c.args...)
			plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/in", Source: input, Kind: sandbox.BindRO})
			_, out := run(t, p, plan)
			if got := strings.TrimSpace(out); got != c.want && !(got == "EPERM" && c.want == "EACCES") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if b, err := os.ReadFile(filepath.Join(input, "f")); err != nil || string(b) != "in" {
		t.Errorf("the input changed: %q, %v", b, err)
	}
}

func TestLoopback(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"loopback"}, "allowed"},
		{[]string{"connect", "tcp", l.Addr().String()}, "ECONNREFUSED"},
		{[]string{"connect", "tcp", "192.0.2.1:80"}, "ENETUNREACH"},
	} {
		plan := probe(c.args...)
		plan.Loopback = true
		want(t, p, plan, c.want)
	}
}
