//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
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
	"prlimit1": func([]string) string {
		l := unix.Rlimit{Cur: 10, Max: 10}
		return rawCall(unix.SYS_PRLIMIT64, 1, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l)))
	},
	"fcntl": func(a []string) string { // of a file or folder of its own
		f, err := os.Create("/tmp/fcntl")
		if a[0] == "folder" {
			f, err = os.Open("/tmp")
		}
		if err != nil {
			return errText(err)
		}
		defer f.Close()
		cmd, _ := strconv.Atoi(a[1])
		arg, _ := strconv.Atoi(a[2])
		_, err = unix.FcntlInt(f.Fd(), cmd, arg)
		return errText(err)
	},
	"inodeflags": func([]string) string {
		f, err := os.Create("/tmp/flags")
		if err != nil {
			return errText(err)
		}
		defer f.Close()
		return errText(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0))
	},
	"watch": func([]string) string { // an action's own files tell of themselves
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, "/tmp", unix.IN_CREATE)
		}
		if err == nil {
			err = os.WriteFile("/tmp/watched", nil, 0o644)
		}
		if err == nil {
			_, err = unix.Read(fd, make([]byte, 4096))
		}
		return errText(err)
	},
	"cgroup": func([]string) string {
		b, err := os.ReadFile("/proc/self/cgroup")
		for line := range strings.Lines(string(b)) {
			if !strings.HasSuffix(line, ":/\n") {
				return line
			}
		}
		return errText(err)
	},
	"cpus": func([]string) string {
		var s unix.CPUSet
		if err := unix.SchedGetaffinity(0, &s); err != nil {
			return errText(err)
		}
		return fmt.Sprint(s.Count())
	},
	"raw": func(a []string) string { // number of the call and arguments
		var v []uintptr
		for _, t := range a {
			n, _ := strconv.ParseInt(t, 10, 64)
			v = append(v, uintptr(n))
		}
		return rawCall(v[0], v[1:]...)
	},
	"shared memory": func([]string) string { // what an action before this one left
		for i := range 16 {
			if _, _, e := unix.RawSyscall(unix.SYS_SHMGET, uintptr(0x676f72+i), 4096, 0); e == 0 {
				return "found"
			}
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SHMGET, 0x676f72, 4096, unix.IPC_CREAT|0o600); e != 0 {
			return e.Error()
		}
		return "new"
	},
	"groups": func([]string) string { g, err := os.Getgroups(); return fmt.Sprint(len(g), " ", errText(err)) },
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
	"vsock":     func([]string) string { _, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); return errText(err) },
	"packet":    func([]string) string { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return errText(err) },
	"mknod": func(a []string) string {
		typ, _ := strconv.Atoi(a[0])
		dev, _ := strconv.Atoi(a[1])
		return errText(unix.Mknod("/tmp/d", uint32(typ)|0o666, dev))
	},
	"ids":  func([]string) string { return fmt.Sprint(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid()) },
	"host": func([]string) string { h, err := os.Hostname(); return h + " " + errText(err) },
	"env":  func([]string) string { return strings.Join(os.Environ(), ",") },
	"pid":  func([]string) string { return fmt.Sprint(os.Getpid(), os.Getppid()) },
	"cwd":  func([]string) string { d, err := os.Getwd(); return d + " " + errText(err) },
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
	"args":     func(a []string) string { return fmt.Sprint(len(a), " ", len(strings.Join(a, ""))) },
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
	"list": func(a []string) string {
		es, err := os.ReadDir(a[0])
		var names []string
		for _, e := range es {
			names = append(names, e.Name())
		}
		return strings.Join(append(names, errText(err)), ",")
	},
	// walk goes up from each place there is, magic links among them, and looks from
	// there for a path of the host.
	"walk": func(a []string) string {
		for _, from := range []string{"/", ".", "/in", "/dev/fd", "/proc/self/cwd", "/proc/self/root", "/proc/2/root", "/proc/thread-self/root", "/proc/self/fd"} {
			for _, p := range []string{a[0], "/host" + a[0]} {
				q := from + strings.Repeat("/..", 40) + p
				if _, err := os.Lstat(q); err == nil {
					return q
				}
				fd, err := unix.Open(from, unix.O_PATH|unix.O_DIRECTORY, 0)
				if err != nil {
					return errText(err)
				}
				for range 40 {
					up, err := unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
					if err != nil {
						return errText(err)
					}
					_ = unix.Close(fd)
					fd = up
				}
				var st unix.Stat_t
				if err := unix.Fstatat(fd, p[1:], &st, 0); err == nil {
					return "from " + from
				}
				_ = unix.Close(fd)
			}
		}
		return "nothing"
	},
	"handle": func(a []string) string {
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, a[0], 0)
		if err == nil {
			_, err = unix.OpenByHandleAt(unix.AT_FDCWD, h, unix.O_RDONLY)
		}
		return errText(err)
	},
	"alter": func(a []string) string { // an input, by ways other than opening it for writing
		name := a[1]
		f, err := os.Open(name)
		if err != nil {
			return errText(err)
		}
		fd := int(f.Fd())
		switch a[0] {
		case "truncate":
			err = os.Truncate(name, 0)
		case "open and truncate":
			_, err = os.OpenFile(name, os.O_RDONLY|os.O_TRUNC, 0)
		case "reopen":
			_, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY, 0)
		case "map":
			_, err = unix.Mmap(fd, 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		case "protect":
			var m []byte
			if m, err = unix.Mmap(fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED); err == nil {
				err = unix.Mprotect(m, unix.PROT_READ|unix.PROT_WRITE)
			}
		case "punch a hole":
			err = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1)
		case "times":
			err = os.Chtimes(name, time.Now(), time.Now())
		case "owner":
			err = os.Chown(name, 1000, 1000)
		case "mode by descriptor":
			err = f.Chmod(0o777)
		case "link by descriptor":
			err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, "/tmp/l", unix.AT_SYMLINK_FOLLOW)
		case "copy":
			_, err = unix.CopyFileRange(fd, nil, fd, nil, 1, 0)
		case "rename":
			err = os.Rename(name, name+".away")
		case "rename out":
			err = os.Rename(name, "/tmp/away")
		case "exchange":
			err = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, name+"2", unix.RENAME_EXCHANGE)
		}
		return errText(err)
	},
	"owner of signals": func(a []string) string { // SIGIO of a pipe to a process of the host
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil {
			return errText(err)
		}
		pid, _ := strconv.Atoi(a[0])
		_, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETOWN, pid)
		return errText(err)
	},
	"killall": func([]string) string { return errText(syscall.Kill(-1, syscall.SIGKILL)) },
	"nice": func(a []string) string { // of all processes of the user
		which, _ := strconv.Atoi(a[0])
		return errText(unix.Setpriority(which, 0, 7))
	},
	"scheduler": func([]string) string {
		prio := int32(1)
		return rawCall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&prio)))
	},
	"limit": func(a []string) string { // of a process
		pid, _ := strconv.Atoi(a[0])
		l := unix.Rlimit{Cur: 10, Max: 10}
		return rawCall(unix.SYS_PRLIMIT64, uintptr(pid), unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l)))
	},
	"raise limit": func([]string) string {
		l := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		return errText(unix.Setrlimit(unix.RLIMIT_NOFILE, &l))
	},
	"namespace": func(a []string) string { // what is around one of ours
		f, err := os.Open("/proc/self/ns/" + a[0])
		if err != nil {
			return errText(err)
		}
		call, _ := strconv.Atoi(a[1])
		return rawCall(unix.SYS_IOCTL, f.Fd(), uintptr(call))
	},
	"setns": func([]string) string {
		f, err := os.Open("/proc/self/ns/mnt")
		if err == nil {
			err = unix.Setns(int(f.Fd()), 0)
		}
		return errText(err)
	},
	"sysv": func(a []string) string { return sysv(a[0], 0) },
	"mq": func([]string) string {
		name, _ := unix.BytePtrFromString("gorules")
		return rawCall(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR, 0o600, 0)
	},
	"unix sockets": func([]string) string { // those that the kernel lists
		b, err := os.ReadFile("/proc/net/unix")
		return strconv.Itoa(strings.Count(string(b), "\n")-1) + " " + errText(err)
	},
	"resolve": func(a []string) string {
		addrs, err := net.LookupHost(a[0])
		if err != nil {
			return "unknown"
		}
		return strings.Join(addrs, ",")
	},
	"send": func(a []string) string { // without connecting first
		addr, err := net.ResolveUDPAddr("udp", a[0])
		if err != nil {
			return errText(err)
		}
		c, err := net.ListenUDP("udp", nil)
		if err == nil {
			_, err = c.WriteTo([]byte("x"), addr)
		}
		return errText(err)
	},
	"fast open": func([]string) string {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}})
		}
		return errText(err)
	},
	"netlink": func(a []string) string { // a request to change the network
		typ, _ := strconv.Atoi(a[0])
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
		if err != nil {
			return errText(err)
		}
		msg := make([]byte, 32)
		binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
		binary.NativeEndian.PutUint16(msg[4:], uint16(typ))
		binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
		if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return errText(err)
		}
		answer := make([]byte, 4096)
		if n, err := unix.Read(fd, answer); err != nil || n < 20 {
			return errText(err)
		}
		if e := -int32(binary.NativeEndian.Uint32(answer[16:])); e != 0 {
			return unix.ErrnoName(syscall.Errno(e))
		}
		return "allowed"
	},
	"interface": func([]string) string {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return errText(err)
		}
		var ifr [40]byte
		copy(ifr[:], "lo")
		ifr[16] = unix.IFF_UP
		return rawCall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&ifr)))
	},
	// setuid makes a program of this one, and shows as whom it runs and what it may.
	"setuid": func(a []string) string {
		const name, mode = "/tmp/set", 0o6755
		self, err := os.ReadFile("/probe")
		if err != nil {
			return errText(err)
		}
		how := a[0]
		flags := unix.O_CREAT | unix.O_WRONLY
		var fd int
		switch how {
		case "open":
			fd, err = unix.Open(name, flags, mode)
		case "creat":
			fd, err = unix.Open(name, flags|unix.O_TRUNC, mode)
		case "openat2":
			fd, err = unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{Flags: uint64(flags), Mode: mode})
		case "mknod":
			if err = unix.Mknod(name, unix.S_IFREG|mode, 0); err == nil {
				fd, err = unix.Open(name, unix.O_WRONLY, 0)
			}
		default:
			fd, err = unix.Open(name, flags, 0o755)
		}
		if err != nil {
			return errText(err)
		}
		f := os.NewFile(uintptr(fd), name)
		if _, err := f.Write(self); err != nil {
			return errText(err)
		}
		// A write takes the bits away, so all give them again as they can.
		switch how {
		case "fchmod":
			err = unix.Fchmod(fd, mode)
		case "fchmodat":
			err = unix.Fchmodat(unix.AT_FDCWD, name, mode, 0)
		case "fchmodat2":
			err = unix.Fchmodat(unix.AT_FDCWD, name, mode, unix.AT_SYMLINK_NOFOLLOW)
		case "chmod":
			err = unix.Chmod(name, mode)
		}
		if err != nil {
			return errText(err)
		}
		_ = f.Close()
		return runAs(name)
	},
	"run as": func(a []string) string { return runAs(a[0]) },
	"whiteout": func(a []string) string {
		if a[0] == "mknod" {
			return errText(unix.Mknod("/tmp/w", unix.S_IFCHR|0o666, 0))
		}
		if err := os.WriteFile("/tmp/a", nil, 0o644); err != nil {
			return errText(err)
		}
		return errText(unix.Renameat2(unix.AT_FDCWD, "/tmp/a", unix.AT_FDCWD, "/tmp/b", unix.RENAME_WHITEOUT))
	},
	"xattr": func(a []string) string {
		if err := os.WriteFile("/tmp/x", nil, 0o644); err != nil {
			return errText(err)
		}
		f, err := os.Open("/tmp/x")
		if err != nil {
			return errText(err)
		}
		v := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
		switch a[0] {
		case "fsetxattr":
			err = unix.Fsetxattr(int(f.Fd()), a[1], v, 0)
		case "lsetxattr":
			err = unix.Lsetxattr("/tmp/x", a[1], v, 0)
		default:
			err = unix.Setxattr("/tmp/x", a[1], v, 0)
		}
		return errText(err)
	},
	"fanotify": func(a []string) string { // a group that anybody may have, on more than one's own
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_FID, 0)
		if err != nil {
			return errText(err)
		}
		flag, _ := strconv.Atoi(a[0])
		return errText(unix.FanotifyMark(fd, unix.FAN_MARK_ADD|uint(flag), unix.FAN_OPEN, unix.AT_FDCWD, "/in"))
	},
	"terminal": func(a []string) string {
		c := byte('x')
		n, _ := strconv.ParseUint(a[0], 0, 64)
		return rawCall(unix.SYS_IOCTL, 0, uintptr(n), uintptr(unsafe.Pointer(&c)))
	},
	// 32 bit makes a call by the 32-bit gate of x86-64.
	"32 bit": func([]string) string {
		m, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return errText(err)
		}
		copy(m, "\xb8\x14\x00\x00\x00\xcd\x80\xc3") // mov eax, 20 (getpid); int 0x80; ret
		code := &struct{ p unsafe.Pointer }{unsafe.Pointer(&m[0])}
		(*(*func())(unsafe.Pointer(&code)))()
		return "allowed"
	},
	// daemon leaves a process behind that goes on writing to a file of the disk.
	"daemon": func([]string) string {
		f, err := os.OpenFile("/o/f", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return errText(err)
		}
		c := exec.Command("/probe", "writer")
		c.ExtraFiles = []*os.File{f}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return errText(c.Start())
	},
	"writer": func([]string) string {
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		for {
			_, _ = unix.Write(3, []byte("x"))
		}
	},
	"hold":  hold,
	"reach": reach,
}

// runAs runs a copy of this program and tells as whom.
func runAs(name string) string {
	c := exec.Cmd{Path: name, Args: []string{"/probe", "ids"}}
	ids, err := c.Output()
	if err != nil {
		return errText(err)
	}
	c = exec.Cmd{Path: name, Args: []string{"/probe", "caps"}}
	caps, err := c.Output()
	if err != nil {
		return errText(err)
	}
	return string(ids) + " " + string(caps)
}

// What two actions that run at once might meet by. hold makes it and stays; reach
// looks for it.
const (
	ipcKey  = 0x676f7273
	tcpAddr = "127.0.0.1:4711"
)

func sysv(kind string, flags int) string {
	switch kind {
	case "shm":
		return rawCall(unix.SYS_SHMGET, ipcKey, 4096, uintptr(flags))
	case "sem":
		return rawCall(unix.SYS_SEMGET, ipcKey, 1, uintptr(flags))
	}
	return rawCall(unix.SYS_MSGGET, ipcKey, uintptr(flags))
}

// listen answers each connection with a descriptor of a file of this action.
func listen(network, addr string) string {
	l, err := net.Listen(network, addr)
	if err != nil {
		return errText(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := os.OpenFile("/o/f", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
			if u, ok := c.(*net.UnixConn); ok && err == nil {
				_, _, _ = u.WriteMsgUnix([]byte("x"), unix.UnixRights(int(f.Fd())), nil)
			}
		}
	}()
	return "allowed"
}

func hold(a []string) string {
	got := ""
	switch a[0] {
	case "abstract":
		got = listen("unix", "@gorules-held")
	case "path":
		got = listen("unix", a[1])
	case "tcp":
		got = listen("tcp", tcpAddr)
	case "file":
		got = errText(os.WriteFile(a[1], []byte("x"), 0o644))
	case "sysv":
		got = sysv(a[1], unix.IPC_CREAT|0o666)
	case "flock", "ofd":
		got = lock(a)
	case "watch":
		fd, err := unix.InotifyInit1(0)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, a[1], unix.IN_OPEN)
		}
		fmt.Println(errText(err))
		_, _ = unix.Read(fd, make([]byte, 4096))
		got = "seen"
	}
	fmt.Println(got)
	time.Sleep(time.Minute)
	return ""
}

func reach(a []string) string {
	switch a[0] {
	case "abstract":
		return receive("unix", "@gorules-held")
	case "path":
		return receive("unix", a[1])
	case "tcp":
		return receive("tcp", tcpAddr)
	case "file":
		_, err := os.Stat(a[1])
		return errText(err)
	case "flock", "ofd":
		return lock(a)
	case "watch":
		_, err := os.Open(a[1])
		return errText(err)
	}
	return sysv(a[1], 0)
}

// lock locks the file or folder a[1], and says whether somebody else has.
func lock(a []string) string {
	fd, err := unix.Open(a[1], unix.O_RDONLY, 0)
	if err != nil {
		return errText(err)
	}
	if a[0] == "flock" {
		return errText(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
	}
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l); err != nil || l.Type != unix.F_UNLCK {
		return fmt.Sprint("locked ", err)
	}
	l = unix.Flock_t{Type: unix.F_RDLCK}
	return errText(unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l))
}

// receive takes a descriptor from another action and writes to its file.
func receive(network, addr string) string {
	c, err := net.Dial(network, addr)
	if err != nil {
		return errText(err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return "connected"
	}
	oob := make([]byte, 64)
	if _, _, _, _, err = u.ReadMsgUnix(make([]byte, 1), oob); err != nil {
		return errText(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) == 0 {
		return "connected"
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err == nil {
		_, err = unix.Write(fds[0], []byte("from another action"))
	}
	return "wrote: " + errText(err)
}
