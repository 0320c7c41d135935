//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// The tests of this file are the table of what an action tries and is told. Each
// row has a name that stays: what it tries to get at, and how. They run as whoever
// runs the tests and, if that is root, as another user too (TestOtherUser). What an
// action tries with its outputs is in package run.

// A try is one row.
type try struct {
	name string
	args []string // the probe and its arguments
	want string   // what it is told; where kernels or users differ, one of several with "|" between
}

func raw(nr int, args ...int) []string {
	out := []string{"raw", fmt.Sprint(nr)}
	for _, a := range args {
		out = append(out, fmt.Sprint(a))
	}
	return out
}

func words(a ...any) (out []string) {
	for _, v := range a {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// ours is what a program is that has no privilege: all four ids, and the five sets
// of capabilities, no_new_privs, and the filter.
const ours = "1000 1000 1000 1000 ,,,,,1,2"

func TestEscape(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	// Supplementary groups and an affinity that actions must not inherit. Both are
	// the thread's from which the helper is started.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprint(len(groups), " allowed")
	if syscall.Setgroups([]int{4, 24}) == nil {
		left = "0 allowed"
		defer syscall.Setgroups(groups)
	}
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)

	home := t.TempDir()
	workspace := t.TempDir()
	input := filepath.Join(workspace, "a")
	for p, text := range map[string]string{
		filepath.Join(home, "secret"):           "secret",
		filepath.Join(home, ".ssh/id_ed25519"):  "secret",
		filepath.Join(home, ".aws/credentials"): "secret",
		filepath.Join(input, "f"):               "in",
		filepath.Join(input, "f2"):              "in",
		filepath.Join(input, "d/g"):             "in",
		filepath.Join(workspace, "b/f"):         "sibling",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	// A program of another user's, or of ours, that runs as its owner, and one with
	// all capabilities. Only root can make them so.
	privileged := func(name string, mode os.FileMode) {
		b, err := os.ReadFile("/proc/self/exe")
		if err == nil {
			err = os.WriteFile(filepath.Join(input, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			err = os.Chown(filepath.Join(input, name), 1, 1)
		}
		if err = errors.Join(err, os.Chmod(filepath.Join(input, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	privileged("setuid", 0o755|os.ModeSetuid|os.ModeSetgid)
	privileged("capable", 0o755)
	if err := unix.Setxattr(filepath.Join(input, "capable"), "security.capability",
		[]byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 0); err != nil && os.Getuid() == 0 && err != unix.ENOTSUP {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	service := l.Addr().String()
	name := fmt.Sprintf("gorules-test-%d", os.Getpid())
	al, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer al.Close()
	pl, err := net.Listen("unix", filepath.Join(home, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer pl.Close()
	if id, _, e := unix.RawSyscall(unix.SYS_SHMGET, ipcKey, 4096, unix.IPC_CREAT|0o666); e == 0 {
		defer unix.RawSyscall(unix.SYS_SHMCTL, id, unix.IPC_RMID, 0)
	}
	t.Setenv("SANDBOX_TEST_LEAK", "1")
	signal.Ignore(syscall.SIGUSR1) // must not be inherited
	defer signal.Reset(syscall.SIGUSR1)
	top := "allowed"
	for _, d := range []string{"usr", "tmp", "sys", "proc", "probe", "memory", "lib64", "lib", "in", "home", "etc", "dev", "bin"} {
		if _, err := os.Stat("/" + d); err == nil || d == "probe" || d == "memory" || d == "in" {
			top = d + "," + top
		}
	}
	pid, group := os.Getpid(), unix.Getpgrp()
	proc := fmt.Sprintf("/proc/%d/", pid)

	tries := []try{
		// Files.
		{"home/list", words("list", home), "ENOENT"},
		{"home/list above", words("list", filepath.Dir(home)), "ENOENT"},
		{"home/read", words("read", home+"/secret"), "ENOENT"},
		{"credentials/ssh", words("read", home+"/.ssh/id_ed25519"), "ENOENT"},
		{"credentials/cloud", words("read", home+"/.aws/credentials"), "ENOENT"},
		{"credentials/shadow", words("read", "/etc/shadow"), "ENOENT"},
		{"credentials/HOME", words("list", "/home/gorules"), "allowed"},
		{"undeclared/sibling", words("read", workspace+"/b/f"), "ENOENT"},
		{"undeclared/from an input", words("read", "/in/../b/f"), "ENOENT"},
		{"undeclared/root", words("list", "/"), top},
		{"undeclared/sys", words("list", "/sys"), "allowed"},
		{"undeclared/helper's view", words("read", "/host/etc/passwd"), "ENOENT"},
		{"write/root", words("write", "/x"), "EROFS"},
		{"write/etc", words("write", "/etc/passwd"), "EROFS"},
		{"write/home", words("write", "/home/gorules/x"), "EROFS"},
		{"write/dev", words("write", "/dev/x"), "EROFS"},
		{"write/tmp", words("write", "/tmp/x"), "allowed"},
		{"write/shm", words("write", "/dev/shm/x"), "allowed"},
		{"write/stdout", words("write", "/dev/stdout"), "xallowed"},
		{"write/rename in tmp", words("rename"), "allowed"},
		{"input/read", words("cat", "/in/f"), "inallowed"},
		{"input/write", words("write", "/in/f"), "EROFS"},
		{"input/append", words("append", "/in/f"), "EROFS"},
		{"input/new file", words("write", "/in/new"), "EROFS"},
		{"input/truncate", words("alter", "truncate", "/in/f"), "EROFS"},
		{"input/open and truncate", words("alter", "open and truncate", "/in/f"), "EROFS"},
		{"input/reopen", words("alter", "reopen", "/in/f"), "EROFS"},
		{"input/map", words("alter", "map", "/in/f"), "EACCES"},
		{"input/protect a map", words("alter", "protect", "/in/f"), "EACCES"},
		{"input/punch a hole", words("alter", "punch a hole", "/in/f"), "EBADF"},
		{"input/copy a range", words("alter", "copy", "/in/f"), "EBADF"},
		{"input/times", words("alter", "times", "/in/f"), "EROFS"},
		{"input/owner", words("alter", "owner", "/in/f"), "EROFS"},
		{"input/flags", words("inodeflags"), "ENOTTY"},
		{"input/in memory", words("append", "/memory/f"), "EROFS"},
		{"input/in memory, mode", words("chmod", "/memory/f"), "EROFS"},
		{"stored/mode", words("chmod", "/in/f"), "EROFS"},
		{"stored/mode by descriptor", words("alter", "mode by descriptor", "/in/f"), "EROFS"},
		{"stored/lease", words("fcntl", "file", unix.F_SETLEASE, unix.F_WRLCK), "EINVAL"},
		{"stored/notices", words("fcntl", "folder", unix.F_NOTIFY, 4), "EINVAL"}, // DN_CREATE
		{"stored/other fcntl", words("fcntl", "file", unix.F_GETFL, 0), "allowed"},
		{"input folder/remove", words("remove", "/in/f"), "EROFS"},
		{"input folder/rename", words("alter", "rename", "/in/d"), "EROFS"},
		{"input folder/rename out", words("alter", "rename out", "/in/d"), "EXDEV"},
		{"input folder/rename the mount", words("alter", "rename", "/in"), "EROFS"},
		{"input folder/exchange", words("alter", "exchange", "/in/f"), "EROFS"},
		{"toolchain/write", words("append", "/usr/bin/id"), "EROFS|EACCES"},
		{"toolchain/new file", words("write", "/usr/bin/new"), "EROFS"},
		{"toolchain/remove", words("remove", "/usr/bin/id"), "EROFS"},
		{"magic links/dots", words("walk", home+"/secret"), "nothing"},
		{"magic links/root", words("read", "/proc/self/root/etc/shadow"), "ENOENT"},
		{"magic links/pid 1's root", words("read", "/proc/1/root/etc/passwd"), "EACCES"},
		{"magic links/pid 1's folder", words("read", "/proc/1/cwd/etc/passwd"), "EACCES"},
		{"magic links/pid 1's descriptors", words("read", "/proc/1/fd/0"), "EACCES"},
		{"magic links/dots and host", words("read", "/../host/etc/hostname"), "ENOENT"},
		{"handles/open", words("handle", "/in/f"), "EPERM"},
		{"handles/raw", raw(unix.SYS_OPEN_BY_HANDLE_AT), "EPERM"},
		{"mounts/mount", words("mount"), "EPERM"},
		{"mounts/remount", raw(unix.SYS_MOUNT, 0, 0, 0, unix.MS_REMOUNT|unix.MS_BIND), "EPERM"},
		{"mounts/umount", words("umount"), "EPERM"},
		{"mounts/open_tree", raw(unix.SYS_OPEN_TREE, -100), "EPERM"},
		{"mounts/move_mount", raw(unix.SYS_MOVE_MOUNT), "EPERM"},
		{"mounts/fsopen", raw(unix.SYS_FSOPEN), "EPERM"},
		{"mounts/fsconfig", raw(unix.SYS_FSCONFIG), "EPERM"},
		{"mounts/fsmount", raw(unix.SYS_FSMOUNT), "EPERM"},
		{"mounts/fspick", raw(unix.SYS_FSPICK), "EPERM"},
		{"mounts/mount_setattr", raw(unix.SYS_MOUNT_SETATTR), "EPERM"},
		{"root/pivot_root", raw(unix.SYS_PIVOT_ROOT), "EPERM"},
		{"root/chroot", words("chroot"), "EPERM"},
		{"descriptors/open", words("fds"), "0,1,2"},
		{"descriptors/folder", words("cwd"), "/ allowed"},

		// Processes.
		{"host processes/list", words("procs"), "1,2"},
		{"host processes/environment", words("read", proc+"environ"), "ENOENT"},
		{"host processes/arguments", words("read", proc+"cmdline"), "ENOENT"},
		{"host processes/memory", words("read", proc+"mem"), "ENOENT"},
		{"host processes/limit", words("limit", pid), "ESRCH"},
		{"host processes/scheduler", raw(unix.SYS_SCHED_GETSCHEDULER, pid), "ESRCH"},
		{"host processes/compare", raw(unix.SYS_KCMP, pid, pid), "ESRCH"},
		{"host processes/move memory", raw(unix.SYS_MIGRATE_PAGES, pid), "ESRCH"},
		{"host processes/robust list", raw(unix.SYS_GET_ROBUST_LIST, pid), "ESRCH"},
		{"helper/memory and ptrace", words("init"), "EACCES,EACCES,EACCES,EPERM"},
		{"helper/limits", words("prlimit1"), "EPERM"},
		{"signals/process", words("kill", pid), "ESRCH"},
		{"signals/group", words("kill", -group), "ESRCH"},
		{"signals/thread", raw(unix.SYS_TKILL, pid, 9), "ESRCH"},
		{"signals/descriptor", raw(unix.SYS_PIDFD_OPEN, pid, 0), "ESRCH"},
		{"signals/owner of a pipe", words("owner of signals", pid), "ESRCH"},
		{"signals/all", words("killall"), "ESRCH"},
		{"signals/pid 1", words("kill1"), "alive"},
		{"signals/inherited", words("sigs"), "clean"},
		{"ptrace/attach", raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, pid), "ESRCH"},
		{"ptrace/seize", raw(unix.SYS_PTRACE, unix.PTRACE_SEIZE, pid), "ESRCH"},
		{"ptrace/own child", words("ptracechild"), "allowed"},
		{"process memory/read", raw(unix.SYS_PROCESS_VM_READV, 1), "EPERM"},
		{"process memory/write", raw(unix.SYS_PROCESS_VM_WRITEV, 1), "EPERM"},
		{"process descriptors/pidfd_getfd", raw(unix.SYS_PIDFD_GETFD), "EPERM"},
		{"namespaces/setns", words("setns"), "EPERM"},
		{"namespaces/pid 1's", words("read", "/proc/1/ns/mnt"), "EACCES"},
		{"namespaces/around pid", words("namespace", "pid", unix.NS_GET_PARENT), "EPERM"},
		{"namespaces/around user", words("namespace", "user", unix.NS_GET_PARENT), "EPERM"},
		{"namespaces/owner", words("namespace", "user", unix.NS_GET_USERNS), "EPERM"},
		{"nested/unshare", words("userns"), "EPERM"},
		{"nested/clone", words("cloneuser"), "EPERM"},
		{"nested/clone3", words("clone3"), "ENOSYS"},
		{"nested/time", raw(unix.SYS_UNSHARE, unix.CLONE_NEWTIME), "EPERM"},
		{"priority/nice", raw(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, -5), "EACCES"},
		{"priority/user's processes", words("nice", unix.PRIO_USER), "allowed"}, // its own; see below
		{"priority/real time", words("scheduler"), "EPERM"},
		{"priority/disk", raw(unix.SYS_IOPRIO_SET, 1, 0, 1<<13), "EPERM"},
		{"priority/victim", words("append", "/proc/self/oom_score_adj"), "EROFS"},
		{"priority/limits", words("raise limit"), "EPERM"},

		// IPC. Action to action is in TestEscapeToAnother.
		{"abstract socket/host", words("abstract", name), "ECONNREFUSED"},
		{"path socket/host", words("connect", "unix", home+"/agent"), "ENOENT"},
		{"path socket/docker", words("connect", "unix", "/run/docker.sock"), "ENOENT"},
		{"path socket/listed", words("unix sockets"), "0 allowed"},
		{"sysv/host's", words("sysv", "shm"), "ENOENT"},
		{"sysv/earlier action's", words("shared memory"), "new"},
		{"sysv/earlier action's again", words("shared memory"), "new"},
		{"message queue/open", words("mq"), "ENOSYS"},
		{"shm/host's", words("list", "/dev/shm"), "allowed"},
		{"keyring/search", words("keyctl"), "EPERM"},
		{"keyring/add", raw(unix.SYS_ADD_KEY), "EPERM"},
		{"keyring/request", raw(unix.SYS_REQUEST_KEY), "EPERM"},
		{"keyring/list", words("cat", "/proc/keys"), "allowed"},
		{"keyring/users", words("cat", "/proc/key-users"), "allowed"},
		{"watch/host's", raw(unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_CONTENT), "EPERM"},
		{"watch/file system", words("fanotify", unix.FAN_MARK_FILESYSTEM), "EPERM"},
		{"watch/mount", words("fanotify", unix.FAN_MARK_MOUNT), "EPERM"},
		{"watch/own", words("watch"), "allowed"},

		// Network.
		{"internet/tcp", words("connect", "tcp", "192.0.2.1:80"), "ENETUNREACH"},
		{"internet/tcp6", words("connect", "tcp", "[2001:db8::1]:80"), "EADDRNOTAVAIL|ENETUNREACH"},
		{"internet/fast open", words("fast open"), "ENETUNREACH"},
		{"internet/udp", words("connect", "udp", "192.0.2.1:53"), "ENETUNREACH"},
		{"internet/udp without connect", words("send", "192.0.2.1:53"), "ENETUNREACH"},
		{"internet/broadcast", words("send", "255.255.255.255:67"), "ENETUNREACH"},
		{"internet/multicast", words("send", "224.0.0.251:5353"), "ENETUNREACH"},
		{"internet/icmp", raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), "EPERM"},
		{"internet/ping", raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP), "EACCES"},
		{"host service/tcp", words("connect", "tcp", service), "ENETUNREACH"},
		{"host service/udp", words("send", service), "ENETUNREACH"},
		{"host service/own loopback", words("loopback"), "ENETUNREACH"},
		{"names/resolve", words("resolve", "example.com"), "unknown"},
		{"names/server", words("cat", "/etc/resolv.conf"), "# There is no name server.\nallowed"},
		{"names/hosts", words("cat", "/etc/hosts"), "127.0.0.1 localhost gorules\n::1 localhost\nallowed"},
		{"vsock/socket", words("vsock"), "EAFNOSUPPORT"},
		{"link layer/packet", words("packet"), "EAFNOSUPPORT"},
		{"link layer/crypto", raw(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET), "EAFNOSUPPORT"},
		{"link layer/new link", words("netlink", unix.RTM_NEWLINK), "EPERM"},
		{"link layer/new address", words("netlink", unix.RTM_NEWADDR), "EPERM"},
		{"link layer/new route", words("netlink", unix.RTM_NEWROUTE), "EPERM"},
		{"link layer/interface up", words("interface"), "EPERM"},
		{"metadata/connect", words("connect", "tcp", "169.254.169.254:80"), "ENETUNREACH"},

		// Privilege, and the kernel.
		{"setuid/host's program", words("run as", "/in/setuid"), ours},
		{"setuid/by chmod", words("setuid", "chmod"), ours},
		{"setuid/by fchmod", words("setuid", "fchmod"), ours},
		{"setuid/by fchmodat", words("setuid", "fchmodat"), ours},
		{"setuid/by fchmodat2", words("setuid", "fchmodat2"), ours},
		{"setuid/by open", words("setuid", "open"), ours},
		{"setuid/by creat", words("setuid", "creat"), ours},
		{"setuid/by openat2", words("setuid", "openat2"), ours},
		{"setuid/by mknod", words("setuid", "mknod"), ours},
		{"setuid/by io_uring", words("io_uring"), "ENOSYS"},
		{"setuid/become root", raw(unix.SYS_SETUID, 0), "EINVAL"},
		{"setuid/become another", raw(unix.SYS_SETRESUID, 1, 1, 1), "EINVAL"},
		{"setuid/groups", raw(unix.SYS_SETGROUPS, 0, 0), "EPERM"},
		{"capabilities/none", words("caps"), ",,,,,1,2"},
		{"capabilities/of a file", words("run as", "/in/capable"), ours},
		{"capabilities/ids", words("ids"), "1000 1000 1000 1000"},
		{"xattr/capability", words("xattr", "setxattr", "security.capability"), "ENOTSUP"},
		{"xattr/user", words("xattr", "setxattr", "user.x"), "ENOTSUP"},
		{"xattr/acl", words("xattr", "lsetxattr", "system.posix_acl_access"), "ENOTSUP"},
		{"xattr/by descriptor", words("xattr", "fsetxattr", "security.capability"), "ENOTSUP"},
		{"xattr/new call", words("newcall"), "ENOSYS"},
		{"device/character", words("mknod", unix.S_IFCHR, 1<<8|3), "EACCES|EPERM"}, // Landlock; then the kernel
		{"device/block", words("mknod", unix.S_IFBLK, 7<<8), "EACCES|EPERM"},
		{"device/whiteout", words("whiteout", "mknod"), "EACCES"}, // Landlock alone; as an output it is refused
		{"device/list", words("devices"), "fd,full,null,ptmx,pts,random,shm,stderr,stdin,stdout,urandom,zero allowed"},
		{"kernel/bpf", words("bpf"), "EPERM"},
		{"kernel/perf", raw(unix.SYS_PERF_EVENT_OPEN), "EPERM"},
		{"kernel/userfaultfd", raw(unix.SYS_USERFAULTFD), "EPERM"},
		{"kernel/kexec", raw(unix.SYS_KEXEC_LOAD), "EPERM"},
		{"kernel/kexec file", raw(unix.SYS_KEXEC_FILE_LOAD), "EPERM"},
		{"kernel/init_module", raw(unix.SYS_INIT_MODULE), "EPERM"},
		{"kernel/finit_module", raw(unix.SYS_FINIT_MODULE), "EPERM"},
		{"kernel/delete_module", raw(unix.SYS_DELETE_MODULE), "EPERM"},
		{"kernel/io_uring", raw(unix.SYS_IO_URING_ENTER), "ENOSYS"},
		{"kernel/io_uring register", raw(unix.SYS_IO_URING_REGISTER), "ENOSYS"},
		{"kernel/log", raw(unix.SYS_SYSLOG, 3), "EPERM"},
		{"kernel/quota", raw(unix.SYS_QUOTACTL), "EPERM"},
		{"kernel/swap", raw(unix.SYS_SWAPON), "EPERM"},
		{"kernel/reboot", raw(unix.SYS_REBOOT), "EPERM"},
		{"kernel/acct", raw(unix.SYS_ACCT), "EPERM"},
		{"kernel/clock", raw(unix.SYS_SETTIMEOFDAY), "EPERM"},
		{"kernel/host name", raw(unix.SYS_SETHOSTNAME), "EPERM"},
		{"kernel/name seen", words("host"), "gorules allowed"},
		{"proc/sys", words("write", "/proc/sys/kernel/hostname"), "EROFS"},
		{"proc/core_pattern", words("append", "/proc/sys/kernel/core_pattern"), "EROFS"},
		{"proc/drop_caches", words("append", "/proc/sys/vm/drop_caches"), "EROFS"},
		{"proc/namespaces", words("append", "/proc/sys/user/max_user_namespaces"), "EROFS"},
		{"proc/sysrq", words("append", "/proc/sysrq-trigger"), "EROFS|ENOENT"},
		{"proc/uid_map", words("append", "/proc/self/uid_map"), "EROFS"},
		{"terminal/push input", words("terminal", unix.TIOCSTI), "EPERM"},
		{"terminal/high bits", words("terminal", uint64(unix.TIOCSTI)|1<<32), "EPERM"},
		{"terminal/console", words("terminal", 0x541c), "EPERM"}, // TIOCLINUX
		{"terminal/open", words("append", "/dev/tty"), "ENOENT"},
		{"terminal/new", words("append", "/dev/ptmx"), "ENOENT"},

		// An input's inode cannot come out as an output's.
		{"link to an input/link", words("link", "/in/f", "/tmp/f"), "EXDEV"},
		{"link to an input/by descriptor", words("alter", "link by descriptor", "/in/f"), "EXDEV"},
		{"link to an input/in memory", words("link", "/memory/f", "/tmp/f"), "EXDEV"},

		// What is seen of the caller.
		{"seen/environment", words("env"), ""},
		{"seen/groups", words("groups"), left},
		{"seen/cpus", words("cpus"), fmt.Sprint(all.Count())},
		{"seen/pid", words("pid"), "2 1"},
		{"seen/cgroup", words("cgroup"), "allowed"},
		{"seen/personality", words("cat", "/proc/self/personality"), "00000000\nallowed"},
		{"seen/limits", words("rlimits"), "core 0 umask 022"},
	}
	if runtime.GOARCH == "amd64" {
		const x32 = 0x40000000
		tries = append(tries,
			try{"setuid/by 32-bit call", words("32 bit"), "killed by SIGSYS"},
			try{"setuid/by x32 call", raw(x32 | unix.SYS_FCHMODAT), "killed by SIGSYS"})
	}
	names := map[string]bool{}
	for _, c := range tries {
		if names[c.name] {
			t.Errorf("two rows are called %s", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			plan := probe(c.args...)
			plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/in", Source: input, Kind: sandbox.BindRO},
				sandbox.Mount{Target: "/memory", Kind: sandbox.Memory})
			plan.Files = []sandbox.File{{Path: "/memory/f", Data: []byte("in")}}
			res, out := run(t, p, plan)
			if res.Signal != 0 {
				out += "killed by " + unix.SignalName(res.Signal)
			}
			if got := strings.TrimSpace(out); !slices.Contains(strings.Split(c.want, "|"), got) {
				t.Errorf("%q: got %q, want %q", c.args, got, c.want)
			}
		})
	}
	for _, name := range []string{"f", "f2", "d/g"} {
		if b, err := os.ReadFile(filepath.Join(input, name)); err != nil || string(b) != "in" {
			t.Errorf("the input %s changed: %q, %v", name, b, err)
		}
	}
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || now != nice {
		t.Errorf("this process has another priority: %d, was %d (%v)", now, nice, err)
	}
}

// Two actions that run at once, with or without a loopback, meet nowhere: in the
// next slot, nor in the same one afterwards. Nor does the host reach into one.
func TestEscapeToAnother(t *testing.T) {
	p := newPool(t, 2, sandbox.Options{Grace: 10 * time.Millisecond})
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(root+"/in", 0o755), os.WriteFile(root+"/in/f", []byte("in"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		args     []string // of hold and of reach
		loopback bool
		want     string
		host     func() error // the same from the host
	}{
		{"abstract socket/action", words("abstract"), false, "ECONNREFUSED", func() error { _, err := net.Dial("unix", "@gorules-held"); return err }},
		{"abstract socket/action with a loopback", words("abstract"), true, "ECONNREFUSED", nil},
		{"path socket/tmp", words("path", "/tmp/held"), false, "ENOENT", func() error { _, err := net.Dial("unix", "/tmp/held"); return err }},
		{"path socket/shm", words("path", "/dev/shm/held"), false, "ENOENT", nil},
		{"path socket/output folder", words("path", "/o/held"), false, "ENOENT", nil},
		{"shm/tmp", words("file", "/tmp/held"), false, "ENOENT", func() error { _, err := os.Stat("/tmp/held"); return err }},
		{"shm/action", words("file", "/dev/shm/held"), false, "ENOENT", func() error { _, err := os.Stat("/dev/shm/held"); return err }},
		{"sysv/memory", words("sysv", "shm"), false, "ENOENT", nil},
		{"sysv/semaphore", words("sysv", "sem"), false, "ENOENT", nil},
		{"sysv/messages", words("sysv", "msg"), false, "ENOENT", nil},
		{"host service/action", words("tcp"), true, "ECONNREFUSED", func() error { _, err := net.Dial("tcp", tcpAddr); return err }},
		{"lock/file", words("flock", "/in/f"), false, "allowed", nil},
		{"lock/folder", words("flock", "/in"), false, "allowed", nil},
		{"lock/range", words("ofd", "/in/f"), false, "allowed", nil},
		{"watch/file", words("watch", "/in/f"), false, "allowed", nil}, // and the holder sees nothing
		{"watch/folder", words("watch", "/in"), false, "allowed", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := func(what string) *sandbox.Process {
				plan := probe(append([]string{what}, c.args...)...)
				plan.Loopback = c.loopback
				plan.Mounts = append(plan.Mounts,
					sandbox.Mount{Target: "/in", Root: root, Source: root + "/in", Kind: sandbox.Apart},
					sandbox.Mount{Target: "/in2/f", Root: root, Source: root + "/in/f", Kind: sandbox.Apart},
					sandbox.Mount{Target: "/o", Source: t.TempDir(), Kind: sandbox.BindRW})
				return plan
			}
			held := plan("hold")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			said, done := make(said, 10), make(chan error, 1)
			held.Stdout = said
			go func() {
				_, err := p.Run(ctx, held)
				done <- err
			}()
			select {
			case got := <-said:
				if got != "allowed\n" {
					t.Fatalf("it cannot be held: %q", got)
				}
			case err := <-done:
				t.Fatalf("the holder ended: %v", err)
			}
			want(t, p, plan("reach"), c.want)
			if c.host != nil && c.host() == nil {
				t.Error("the host reaches it")
			}
			time.Sleep(10 * time.Millisecond)
			cancel()
			if len(said) > 0 {
				t.Errorf("the holder noticed: %s", <-said)
			}
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("the holder: %v", err)
			}
			for range 2 { // one of them in the holder's slot
				want(t, p, plan("reach"), c.want)
			}
			if es, err := os.ReadDir(held.Mounts[len(held.Mounts)-1].Source); err != nil || len(es) > 1 {
				t.Errorf("a descriptor got to another action: %v %v", es, err)
			}
		})
	}
}

// said gets what an action prints.
type said chan string

func (s said) Write(b []byte) (int, error) {
	s <- string(b)
	return len(b), nil
}

// A process that an action left behind does not write to an output afterwards.
func TestEscapeLater(t *testing.T) {
	p := newPool(t, 1, sandbox.Options{})
	dir := t.TempDir()
	plan := probe("daemon")
	plan.Mounts = append(plan.Mounts, sandbox.Mount{Target: "/o", Source: dir, Kind: sandbox.BindRW})
	want(t, p, plan, "allowed")
	file := filepath.Join(dir, "f")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, was) {
		t.Errorf("%d bytes when the action had ended, %d later (%v)", len(was), len(now), err)
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
