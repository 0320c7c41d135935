//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// A lookCase is one way to look, by raw system calls, from the folder /s/d.
type lookCase struct {
	name string
	nr   int // the call that it is about; 0 for one that is about more
	do   func()
	want map[string]sandbox.What // beyond /s and /s/d, which are on every way
}

// ptr is the address of a path.
func ptr(p string) uintptr { return uintptr(unsafe.Pointer(&append([]byte(p), 0)[0])) }

func call(nr int, args ...uintptr) uintptr {
	var a [6]uintptr
	copy(a[:], args)
	r, _, _ := unix.RawSyscall6(uintptr(nr), a[0], a[1], a[2], a[3], a[4], a[5])
	return r
}

const (
	cwd  = ^uintptr(99) // AT_FDCWD
	root = "/s/"
)

func fdOf(p string, flags int) uintptr {
	fd, err := unix.Open(p, flags, 0)
	if err != nil {
		panic(err)
	}
	return uintptr(fd)
}

// lookCases have a row for each call that the observer is told of.
func lookCases() []lookCase {
	var st [256]byte
	buf, size := uintptr(unsafe.Pointer(&st[0])), uintptr(len(st))
	what := func(p string, w sandbox.What) map[string]sandbox.What { return map[string]sandbox.What{root + p: w} }
	both := func(p string, w sandbox.What, q string, v sandbox.What) map[string]sandbox.What {
		return map[string]sandbox.What{root + p: w, root + q: v}
	}
	how := [3]uint64{unix.O_RDONLY, 0, 0}
	linkEnd := map[string]sandbox.What{root + "l": c, root + "d/e": k}
	cases := []lookCase{
		{"openat", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../a"), unix.O_RDONLY) }, what("a", c)},
		{"openat to write", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../a"), unix.O_RDWR) }, what("a", c)},
		{"openat to truncate", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../a"), unix.O_WRONLY|unix.O_TRUNC) }, what("a", k)},
		{"openat a path", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../a"), unix.O_PATH) }, what("a", k)},
		{"openat no link", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../l"), unix.O_NOFOLLOW) }, what("l", c)},
		{"openat a new one", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../l"), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL) }, what("l", c)},
		{"openat a temporary one", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, cwd, ptr("../d/f"), unix.O_WRONLY|unix.O_TMPFILE, 0o600) }, what("d/f", k)},
		{"openat by descriptor", unix.SYS_OPENAT, func() { call(unix.SYS_OPENAT, fdOf("/s/d/f", unix.O_PATH), ptr("g"), 0) }, both("d/f", k, "d/f/g", c)},
		{"openat2", unix.SYS_OPENAT2, func() {
			call(unix.SYS_OPENAT2, cwd, ptr("../a"), uintptr(unsafe.Pointer(&how)), 24)
		}, what("a", c)},
		{"newfstatat", unix.SYS_NEWFSTATAT, func() { call(unix.SYS_NEWFSTATAT, cwd, ptr("../a"), buf, 0) }, what("a", k)},
		{"newfstatat through", unix.SYS_NEWFSTATAT, func() { call(unix.SYS_NEWFSTATAT, cwd, ptr("../l"), buf, 0) }, linkEnd},
		{"newfstatat of a link", unix.SYS_NEWFSTATAT, func() { call(unix.SYS_NEWFSTATAT, cwd, ptr("../l"), buf, unix.AT_SYMLINK_NOFOLLOW) }, what("l", k)},
		{"newfstatat of a descriptor", unix.SYS_NEWFSTATAT, func() {
			call(unix.SYS_NEWFSTATAT, fdOf("/s/a", unix.O_PATH), ptr(""), buf, unix.AT_EMPTY_PATH)
		}, what("a", k)},
		{"statx", unix.SYS_STATX, func() { call(unix.SYS_STATX, cwd, ptr("../a"), 0, unix.STATX_ALL, buf) }, what("a", k)},
		{"statx of a link", unix.SYS_STATX, func() {
			call(unix.SYS_STATX, cwd, ptr("../l"), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, buf)
		}, what("l", k)},
		{"faccessat", unix.SYS_FACCESSAT, func() { call(unix.SYS_FACCESSAT, cwd, ptr("../a"), 4) }, what("a", k)},
		{"faccessat2", unix.SYS_FACCESSAT2, func() { call(unix.SYS_FACCESSAT2, cwd, ptr("../none"), 0, 0) }, what("none", k)},
		{"statfs", unix.SYS_STATFS, func() { call(unix.SYS_STATFS, ptr("../a"), buf) }, what("a", k)},
		{"readlinkat", unix.SYS_READLINKAT, func() { call(unix.SYS_READLINKAT, cwd, ptr("../l"), buf, size) }, what("l", c)},
		{"readlinkat of a descriptor", unix.SYS_READLINKAT, func() {
			call(unix.SYS_READLINKAT, fdOf("/s/l", unix.O_PATH|unix.O_NOFOLLOW), ptr(""), buf, size)
		}, what("l", c)},
		{"getdents64", unix.SYS_GETDENTS64, func() { call(unix.SYS_GETDENTS64, fdOf("/s/d/f", unix.O_RDONLY), buf, size) }, what("d/f", c|n)},
		{"execve", unix.SYS_EXECVE, func() { call(unix.SYS_EXECVE, ptr("../b"), 0, 0) }, what("b", c)},
		{"execve of a script", unix.SYS_EXECVE, func() { call(unix.SYS_EXECVE, ptr("../lost.sh"), 0, 0) }, both("lost.sh", c, "none", c)},
		{"execve of a script from elsewhere", unix.SYS_EXECVE, func() { call(unix.SYS_EXECVE, ptr("../crlf.sh"), 0, 0) }, both("crlf.sh", c, "b\r", c)},
		{"execve of a script with tabs", unix.SYS_EXECVE, func() { call(unix.SYS_EXECVE, ptr("../tabs.sh"), 0, 0) }, both("tabs.sh", c, "b", c)},
		{"execveat", unix.SYS_EXECVEAT, func() { call(unix.SYS_EXECVEAT, cwd, ptr("../b"), 0, 0, 0) }, what("b", c)},
		{"fexecve", unix.SYS_EXECVEAT, func() {
			call(unix.SYS_EXECVEAT, fdOf("/s/b", unix.O_PATH), ptr(""), 0, 0, unix.AT_EMPTY_PATH)
		}, what("b", c)},
		{"fexecve of what has no name", unix.SYS_EXECVEAT, func() {
			fd, err := unix.MemfdCreate("x", 0)
			if err != nil {
				panic(err)
			}
			_, _ = unix.Write(fd, []byte("#!/s/b\n"))
			call(unix.SYS_EXECVEAT, uintptr(fd), ptr(""), 0, 0, unix.AT_EMPTY_PATH)
		}, what("b", c)},
		{"chdir", unix.SYS_CHDIR, func() { call(unix.SYS_CHDIR, ptr("../dl/f")) }, map[string]sandbox.What{root + "dl": c, root + "d/f": k}},
		{"truncate", unix.SYS_TRUNCATE, func() { call(unix.SYS_TRUNCATE, ptr("../a"), 1) }, what("a", c)},
		{"renameat", unix.SYS_RENAMEAT, func() { call(unix.SYS_RENAMEAT, cwd, ptr("../a"), cwd, ptr("../c")) }, both("a", c, "c", n)},
		{"renameat over a folder", unix.SYS_RENAMEAT, func() { call(unix.SYS_RENAMEAT, cwd, ptr("../d/f"), cwd, ptr("../empty")) }, both("d/f", c, "empty", n)},
		{"renameat2 exchange", unix.SYS_RENAMEAT2, func() { call(unix.SYS_RENAMEAT2, cwd, ptr("../a"), cwd, ptr("../b"), unix.RENAME_EXCHANGE) }, both("a", c, "b", c|n)},
		{"linkat", unix.SYS_LINKAT, func() { call(unix.SYS_LINKAT, cwd, ptr("../l"), cwd, ptr("../c"), 0) }, both("l", c, "c", k)},
		{"linkat through", unix.SYS_LINKAT, func() {
			call(unix.SYS_LINKAT, cwd, ptr("../l"), cwd, ptr("../c"), unix.AT_SYMLINK_FOLLOW)
		}, map[string]sandbox.What{root + "l": c, root + "d/e": c, root + "c": k}},
		{"unlinkat", unix.SYS_UNLINKAT, func() { call(unix.SYS_UNLINKAT, cwd, ptr("../l"), 0) }, what("l", n)},
		{"unlinkat of a folder", unix.SYS_UNLINKAT, func() { call(unix.SYS_UNLINKAT, cwd, ptr("../empty"), unix.AT_REMOVEDIR) }, what("empty", n)},
		{"symlinkat", unix.SYS_SYMLINKAT, func() { call(unix.SYS_SYMLINKAT, ptr("/s/a"), cwd, ptr("../c")) }, what("c", k)},
		{"mkdirat", unix.SYS_MKDIRAT, func() { call(unix.SYS_MKDIRAT, cwd, ptr("../c"), 0o755) }, what("c", k)},
		{"mknodat", unix.SYS_MKNODAT, func() { call(unix.SYS_MKNODAT, cwd, ptr("../c"), unix.S_IFREG|0o644, 0) }, what("c", k)},
		{"fchmodat", unix.SYS_FCHMODAT, func() { call(unix.SYS_FCHMODAT, cwd, ptr("../a"), 0o600) }, what("a", k)},
		{"fchmodat2", unix.SYS_FCHMODAT2, func() { call(unix.SYS_FCHMODAT2, cwd, ptr("../l"), 0o600, unix.AT_SYMLINK_NOFOLLOW) }, what("l", k)},
		{"fchownat", unix.SYS_FCHOWNAT, func() { call(unix.SYS_FCHOWNAT, cwd, ptr("../l"), 1000, 1000, unix.AT_SYMLINK_NOFOLLOW) }, what("l", k)},
		{"utimensat", unix.SYS_UTIMENSAT, func() { call(unix.SYS_UTIMENSAT, cwd, ptr("../l"), 0, 0) }, linkEnd},
		{"getxattr", unix.SYS_GETXATTR, func() { call(unix.SYS_GETXATTR, ptr("../l"), ptr("user.x"), buf, size) }, linkEnd},
		{"lgetxattr", unix.SYS_LGETXATTR, func() { call(unix.SYS_LGETXATTR, ptr("../l"), ptr("user.x"), buf, size) }, what("l", k)},
		{"listxattr", unix.SYS_LISTXATTR, func() { call(unix.SYS_LISTXATTR, ptr("../a"), buf, size) }, what("a", k)},
		{"llistxattr", unix.SYS_LLISTXATTR, func() { call(unix.SYS_LLISTXATTR, ptr("../l"), buf, size) }, what("l", k)},
		{"inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, func() {
			fd, _ := unix.InotifyInit1(0)
			call(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), ptr("../a"), unix.IN_MODIFY)
		}, what("a", k)},
		{"fanotify_mark", unix.SYS_FANOTIFY_MARK, func() { call(unix.SYS_FANOTIFY_MARK, 99, unix.FAN_MARK_ADD, unix.FAN_OPEN, cwd, ptr("../a")) }, what("a", k)},
		{"name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, func() { call(unix.SYS_NAME_TO_HANDLE_AT, cwd, ptr("../l"), buf, buf+128, 0) }, what("l", k)},
		{"connect", unix.SYS_CONNECT, func() { _ = unix.Connect(socket(), &unix.SockaddrUnix{Name: "../none"}) }, what("none", k)},
		{"bind", unix.SYS_BIND, func() { _ = unix.Bind(socket(), &unix.SockaddrUnix{Name: "/s/made"}) }, what("made", k)},
		{"sendto", unix.SYS_SENDTO, func() { _ = unix.Sendto(socket(), []byte("x"), 0, &unix.SockaddrUnix{Name: "../none"}) }, what("none", k)},
		{"sendmsg", unix.SYS_SENDMSG, func() { _ = unix.Sendmsg(socket(), []byte("x"), nil, &unix.SockaddrUnix{Name: "../none"}, 0) }, what("none", k)},

		{"up through the root", 0, func() { call(unix.SYS_OPENAT, cwd, ptr("../../../../../s/a"), 0) }, what("a", c)},
		{"slashes and dots", 0, func() { call(unix.SYS_OPENAT, cwd, ptr("/s//./d/.././a"), 0) }, what("a", c)},
		{"a slash at the end", 0, func() { call(unix.SYS_NEWFSTATAT, cwd, ptr("/s/dl/"), buf, unix.AT_SYMLINK_NOFOLLOW) }, what("dl", c)},
		{"a slash after a file", 0, func() { call(unix.SYS_OPENAT, cwd, ptr("/s/a/"), 0) }, what("a", c)},
		{"no memory", 0, func() { call(unix.SYS_OPENAT, cwd, 8, 0); call(unix.SYS_OPENAT, cwd, ptr("../a"), 0) }, what("a", c)},
		{"no path", 0, func() {
			call(unix.SYS_OPENAT, cwd, ptr(""), 0)
			call(unix.SYS_OPENAT, 99, ptr("a"), 0)
			call(unix.SYS_UNLINKAT, fdOf("/s/empty", unix.O_PATH), ptr(""), unix.AT_REMOVEDIR)
		}, what("empty", k)},
		{"a long path", 0, func() { call(unix.SYS_OPENAT, cwd, ptr(strings.Repeat("./", 2047)+"e"), 0) }, what("d/e", c)},
		{"too long a path", 0, func() { call(unix.SYS_OPENAT, cwd, ptr(strings.Repeat("./", 3000)+"e"), 0) }, nil},
		{"not UTF-8", 0, func() { call(unix.SYS_OPENAT, cwd, ptr("../\xff"), 0) }, what("\xff", c)},
		{"at the edge of a page", 0, func() {
			pages, err := unix.Mmap(-1, 0, 3*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				panic(err)
			}
			copy(pages[2*4096-5:], "../a\x00")
			if err := unix.Mprotect(pages[2*4096:], unix.PROT_NONE); err != nil {
				panic(err)
			}
			call(unix.SYS_OPENAT, cwd, uintptr(unsafe.Pointer(&pages[2*4096-5])), 0)
			copy(pages[4096-3:], "../d/e\x00")
			call(unix.SYS_OPENAT, cwd, uintptr(unsafe.Pointer(&pages[4096-3])), 0)
		}, map[string]sandbox.What{root + "a": c, root + "d/e": c}},
		{"a descriptor's link", 0, func() {
			fd := fdOf("/s/d/f", unix.O_RDONLY)
			call(unix.SYS_OPENAT, cwd, ptr(fmt.Sprintf("/proc/self/fd/%d/g", fd)), 0)
			call(unix.SYS_OPENAT, cwd, ptr(fmt.Sprintf("/proc/thread-self/fd/%d/../e", fd)), 0)
		}, map[string]sandbox.What{root + "d/f": c, root + "d/f/g": c, root + "d/e": c}},
		{"one's root and folder", 0, func() {
			call(unix.SYS_OPENAT, cwd, ptr("/proc/self/root/s/a"), 0)
			call(unix.SYS_OPENAT, cwd, ptr(fmt.Sprintf("/proc/%d/cwd/e", os.Getpid())), 0)
		}, both("a", c, "d/e", c)},
		{"a thread's own folder", 0, func() {
			done := make(chan bool)
			go func() {
				runtime.LockOSThread() // and never unlocked: the thread ends
				if unix.Unshare(unix.CLONE_FS) == nil {
					call(unix.SYS_CHDIR, ptr("/s/d/f"))
					call(unix.SYS_OPENAT, cwd, ptr("g"), 0)
					call(unix.SYS_OPENAT, cwd, ptr("/proc/thread-self/cwd/../e"), 0)
				}
				close(done)
			}()
			<-done
			call(unix.SYS_OPENAT, cwd, ptr("../a"), 0)
		}, map[string]sandbox.What{root + "d/f": k, root + "d/f/g": c, root + "d/e": c, root + "a": c}},
		{"a descriptor that was handed over", 0, func() {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				panic(err)
			}
			_ = unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(int(fdOf("/s/d/f", unix.O_PATH))), nil, 0)
			var data [1]byte
			var oob [64]byte
			_, m, _, _, err := unix.Recvmsg(pair[1], data[:], oob[:], 0)
			if err != nil {
				panic(err)
			}
			msgs, _ := unix.ParseSocketControlMessage(oob[:m])
			fds, _ := unix.ParseUnixRights(&msgs[0])
			call(unix.SYS_OPENAT, uintptr(fds[0]), ptr("g"), 0)
		}, both("d/f", k, "d/f/g", c)},
		{"own link over a file", 0, func() {
			call(unix.SYS_UNLINKAT, cwd, ptr("../b"), 0)
			call(unix.SYS_SYMLINKAT, ptr("d/f"), cwd, ptr("../b"))
			call(unix.SYS_OPENAT, cwd, ptr("../b/g"), 0)
			call(unix.SYS_UNLINKAT, cwd, ptr("../b"), 0)
			call(unix.SYS_SYMLINKAT, ptr("d"), cwd, ptr("../b"))
			call(unix.SYS_OPENAT, cwd, ptr("../b/e"), 0)
		}, map[string]sandbox.What{root + "b": c | n, root + "d/f": k, root + "d/f/g": c, root + "d/e": c}},
		{"through /tmp", 0, func() {
			call(unix.SYS_SYMLINKAT, ptr("/s/d/f"), cwd, ptr("/tmp/t"))
			call(unix.SYS_OPENAT, cwd, ptr("/tmp/t/g"), 0)
			call(unix.SYS_UNLINKAT, cwd, ptr("/tmp/t"), 0)
			call(unix.SYS_SYMLINKAT, ptr("/s"), cwd, ptr("/tmp/t"))
			call(unix.SYS_OPENAT, cwd, ptr("/tmp/t/a"), 0)
		}, map[string]sandbox.What{root + "d/f": k, root + "d/f/g": c, root + "a": c}},
		{"up from a removed folder", 0, func() {
			call(unix.SYS_MKDIRAT, cwd, ptr("x"), 0o755)
			call(unix.SYS_CHDIR, ptr("x"))
			call(unix.SYS_UNLINKAT, cwd, ptr("/s/d/x"), unix.AT_REMOVEDIR)
			call(unix.SYS_OPENAT, cwd, ptr("none"), 0)
			call(unix.SYS_OPENAT, cwd, ptr("../../a"), 0)
			call(unix.SYS_OPENAT, cwd, ptr("/proc/thread-self/cwd/./../../b"), 0)
		}, map[string]sandbox.What{root + "d/x": n, root + "a": c, root + "b": c}},
		{"a folder that is named like a removed one", 0, func() {
			call(unix.SYS_MKDIRAT, cwd, ptr("x (deleted)"), 0o755)
			call(unix.SYS_CHDIR, ptr("x (deleted)"))
			call(unix.SYS_NEWFSTATAT, cwd, ptr("e"), buf, 0)
		}, both("d/x (deleted)", k, "d/x (deleted)/e", k)},
		{"openat2 in another root", unix.SYS_OPENAT2, func() {
			in := [3]uint64{unix.O_RDONLY, 0, unix.RESOLVE_IN_ROOT}
			fd := fdOf("/s/d", unix.O_PATH)
			call(unix.SYS_OPENAT2, fd, ptr("/e"), uintptr(unsafe.Pointer(&in)), 24)
			call(unix.SYS_OPENAT2, fd, ptr("../../f/g"), uintptr(unsafe.Pointer(&in)), 24)
		}, map[string]sandbox.What{root + "d/e": c, root + "d/f": k, root + "d/f/g": c}},
		{"links in another root", unix.SYS_OPENAT2, func() {
			in := [3]uint64{unix.O_RDONLY, 0, unix.RESOLVE_IN_ROOT}
			call(unix.SYS_OPENAT2, fdOf("/s", unix.O_PATH), ptr("abs"), uintptr(unsafe.Pointer(&in)), 24)
		}, both("abs", c, "s", k)},
		{"the folder itself", 0, func() {
			call(unix.SYS_NEWFSTATAT, cwd, ptr(""), buf, unix.AT_EMPTY_PATH)
		}, map[string]sandbox.What{"/s/d": k}},
		{"sendmmsg", unix.SYS_SENDMMSG, func() {
			to := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&to.Path)), len(to.Path)), "../none")
			var msgs [2]struct {
				hdr unix.Msghdr
				n   uint32
				_   uint32
			}
			for i := range msgs {
				msgs[i].hdr.Name, msgs[i].hdr.Namelen = (*byte)(unsafe.Pointer(&to)), uint32(unsafe.Sizeof(to))
			}
			call(unix.SYS_SENDMMSG, uintptr(socket()), uintptr(unsafe.Pointer(&msgs)), 2, 0)
		}, what("none", k)},
		{"another thread's folder", 0, func() {
			tid, done := make(chan int), make(chan bool)
			elsewhere := func() {
				runtime.LockOSThread()
				if unix.Gettid() == unix.Getpid() {
					tid <- 0 // the first thread keeps its folder
				} else if unix.Unshare(unix.CLONE_FS) == nil {
					call(unix.SYS_CHDIR, ptr("/s/d/f"))
					tid <- unix.Gettid()
				}
				<-done
			}
			id := 0
			for id == 0 {
				go elsewhere()
				id = <-tid
			}
			call(unix.SYS_OPENAT, cwd, ptr(fmt.Sprintf("/proc/self/task/%d/cwd/g", id)), 0)
			call(unix.SYS_OPENAT, cwd, ptr(fmt.Sprintf("/proc/%d/cwd/x", id)), 0)
			call(unix.SYS_OPENAT, cwd, ptr("/proc/self/cwd/e"), 0)
			close(done)
		}, map[string]sandbox.What{root + "d/f": k, root + "d/f/g": c, root + "d/f/x": c, root + "d/e": c}},
		{"a socket's abstract name", 0, func() { _ = unix.Connect(socket(), &unix.SockaddrUnix{Name: "@s/a"}) }, nil},
	}
	return append(cases, archLookCases(buf, size)...)
}

func socket() int {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		panic(err)
	}
	return fd
}

func init() {
	probes["look"] = func(args []string) string {
		for _, tt := range lookCases() {
			if tt.name == args[0] {
				tt.do()
			}
		}
		return ""
	}
}

// TestObserveCalls: each call by its raw number, and ways around.
func TestObserveCalls(t *testing.T) {
	p := newPool(t, 2, sandbox.Options{})
	tried := map[int]bool{}
	for _, tt := range lookCases() {
		tried[tt.nr] = true
		t.Run(tt.name, func(t *testing.T) {
			plan := probe("look", tt.name)
			plan.Dir = "/s/d"
			got, _ := observe(t, p, plan, sandbox.Overlay)
			want := map[string]sandbox.What{}
			for p, w := range tt.want {
				want[p] = w
			}
			// The folder that it stands in is on the way of most.
			for _, p := range []string{"/s", "/s/d"} {
				if got[p] == k {
					want[p] |= k
				}
			}
			wantLooks(t, got, want)
		})
	}
	for _, nr := range slices.Sorted(maps.Keys(sandbox.SeenCalls())) {
		if !tried[nr] {
			t.Errorf("no case is about call %d", nr)
		}
	}
}
