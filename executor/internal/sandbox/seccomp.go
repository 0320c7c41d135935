//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// The filter denies a list of system calls and allows the rest of those that
// exist today. Calls newer than lastKnown answer ENOSYS, as on an older kernel.
//
// It is a binary search over sorted ranges, not a list of comparisons: the
// kernel interprets the filter once for every system call number when it is
// installed, so its depth is paid some 450 times for each action.

const lastKnown = 462 // mseal; the xattrat family and later have numbers above it

// nsFlags are the clone and unshare flags that make a namespace.
const nsFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

const (
	retAllow = unix.SECCOMP_RET_ALLOW
	retKill  = unix.SECCOMP_RET_KILL_PROCESS
)

func retErrno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// Offsets in struct seccomp_data.
const (
	dataNR   = 0
	dataArch = 4
	dataArg0 = 16
	dataArg1 = 24
)

var deniedENOSYS = []int{
	unix.SYS_CLONE3, // libc falls back to clone, whose flags can be inspected
	// Landlock would refuse to open a queue for writing, and some kernels have none.
	unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

var deniedEPERM = []int{
	unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
	unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD,
	unix.SYS_SYSLOG, // where the host lets anybody read the kernel's log
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT,
}

var deniedENOTSUP = []int{
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
	unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
}

// block is filter code that ends with a return; jumps inside are relative.
type block []unix.SockFilter

func ret(v uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}
}
func load(off uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
}
func jump(op uint16, k uint32, jt, jf uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: jt, Jf: jf, K: k}
}

// flagsCheck denies a call that has a namespace flag in its first argument.
var flagsCheck = block{
	load(dataArg0),
	jump(unix.BPF_JSET, nsFlags, 0, 1),
	ret(retErrno(unix.EPERM)),
	ret(retAllow),
}

// familyCheck allows unix, inet, inet6 and netlink sockets.
var familyCheck = block{
	load(dataArg0),
	jump(unix.BPF_JEQ, unix.AF_UNIX, 4, 0),
	jump(unix.BPF_JEQ, unix.AF_INET, 3, 0),
	jump(unix.BPF_JEQ, unix.AF_INET6, 2, 0),
	jump(unix.BPF_JEQ, unix.AF_NETLINK, 1, 0),
	ret(retErrno(unix.EAFNOSUPPORT)),
	ret(retAllow),
}

const tiocLinux = 0x541c

// ioctlCheck denies pushing input into a terminal, and flags of inodes: an output
// becomes the store's own file.
var ioctlCheck = block{
	load(dataArg1),
	jump(unix.BPF_JEQ, unix.TIOCSTI, 1, 0),
	jump(unix.BPF_JEQ, tiocLinux, 0, 1),
	ret(retErrno(unix.EPERM)),
	jump(unix.BPF_JEQ, unix.FS_IOC_SETFLAGS, 2, 0),
	jump(unix.BPF_JEQ, fsSetXattr, 1, 0),
	ret(retAllow),
	ret(retErrno(unix.ENOTTY)),
}

const fsSetXattr = 0x401c5820 // FS_IOC_FSSETXATTR

// fcntlCheck denies leases and notices: on an input they would reach whoever else
// opens it.
var fcntlCheck = block{
	load(dataArg1),
	jump(unix.BPF_JEQ, unix.F_SETLEASE, 1, 0),
	jump(unix.BPF_JEQ, unix.F_NOTIFY, 0, 1),
	ret(retErrno(unix.EINVAL)),
	ret(retAllow),
}

// prlimitCheck keeps the limits of pid 1, which is the sandbox's, from actions.
var prlimitCheck = block{
	load(dataArg0),
	jump(unix.BPF_JEQ, 1, 0, 1),
	ret(retErrno(unix.EPERM)),
	ret(retAllow),
}

// filterBytes is the policy as an array of struct sock_filter.
var filterBytes = sync.OnceValue(func() []byte { return bytesOfFilter(buildFilter()) })

func bytesOfFilter(f []unix.SockFilter) []byte {
	out := make([]byte, 0, len(f)*8)
	for i := range f {
		out = append(out, bytesOf(&f[i])...)
	}
	return out
}

func buildFilter() []unix.SockFilter {
	leaf := map[int]block{
		unix.SYS_CLONE:      flagsCheck,
		unix.SYS_UNSHARE:    flagsCheck,
		unix.SYS_SOCKET:     familyCheck,
		unix.SYS_SOCKETPAIR: familyCheck,
		unix.SYS_IOCTL:      ioctlCheck,
		unix.SYS_FCNTL:      fcntlCheck,
		unix.SYS_PRLIMIT64:  prlimitCheck,
	}
	for _, l := range []struct {
		nrs []int
		e   unix.Errno
	}{{deniedENOSYS, unix.ENOSYS}, {deniedEPERM, unix.EPERM}, {deniedENOTSUP, unix.ENOTSUP}} {
		for _, nr := range l.nrs {
			leaf[nr] = block{ret(retErrno(l.e))}
		}
	}
	return filterOf(leaf, retErrno(unix.ENOSYS), retKill)
}

// filterOf carries out the blocks of leaf for the calls that they are of, and allows
// the others: but for those beyond the known ones, and those of another table.
func filterOf(leaf map[int]block, unknown, alien uint32) []unix.SockFilter {
	// Ranges that cover every number; equal neighbours are merged.
	type span struct {
		from int
		b    block
	}
	var spans []span
	put := func(from int, b block) {
		if n := len(spans); n == 0 || !slices.Equal(spans[n-1].b, b) || len(b) > 1 {
			spans = append(spans, span{from, b})
		}
	}
	allow := block{ret(retAllow)}
	for nr := 0; nr <= lastKnown; nr++ {
		if b, ok := leaf[nr]; ok {
			put(nr, b)
		} else {
			put(nr, allow)
		}
	}
	put(lastKnown+1, block{ret(unknown)})
	put(x32Bit, block{ret(alien)})

	var tree func(s []span) block
	tree = func(s []span) block {
		if len(s) == 1 {
			return s[0].b
		}
		mid := len(s) / 2
		lo, hi := tree(s[:mid]), tree(s[mid:])
		// Jumps hold 8 bits, an unconditional one 32.
		if len(lo) > 255 {
			out := block{jump(unix.BPF_JGE, uint32(s[mid].from), 0, 1),
				{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(lo))}}
			return append(append(out, lo...), hi...)
		}
		out := block{jump(unix.BPF_JGE, uint32(s[mid].from), uint8(len(lo)), 0)}
		return append(append(out, lo...), hi...)
	}
	f := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		ret(alien),
		load(dataNR),
	}
	f = append(f, tree(spans)...)
	if len(f) > unix.BPF_MAXINSNS {
		panic(fmt.Sprintf("sandbox: filter has %d instructions", len(f)))
	}
	return f
}
