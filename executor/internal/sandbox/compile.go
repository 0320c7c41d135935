//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Directories of the helper's own root, which every action's mount namespace
// starts as a copy of.
const (
	hostDir    = "/host"    // the host's root
	newDir     = "/new"     // mount point of the action's root
	scratchDir = "/scratch" // mount point of the action's one tmpfs
	procDir    = "/proc"    // mount point of the action's /proc until it is moved
	lowDir     = "/low"     // mount point of an overlay's lower directory
	ovlDir     = "/ovl"     // mount point of an overlay until it is moved
	devDir     = "/dev"     // the /dev every action gets, made once
)

const (
	builtinProc MountKind = iota + 100
	builtinDev
	builtinTmp
)

var fixedFiles = []File{
	{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\n" +
		UserName + ":x:" + strconv.Itoa(UID) + ":" + strconv.Itoa(GID) + ":" + UserName + ":" + Home + ":/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/:/bin/sh\n")},
	{Path: "/etc/group", Data: []byte("root:x:0:\n" + UserName + ":x:" + strconv.Itoa(GID) + ":\nnogroup:x:65534:\n")},
	{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost " + HostName + "\n::1 localhost\n")},
	{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files\n")},
}

// output says how a standard stream reaches the process.
type output struct {
	fd     int  // index in the descriptors sent along; -1 for /dev/null
	reopen bool // a file or device: /dev/stdout has to work with Landlock on
}

type compiler struct {
	*program
	mounts []Mount
	made   map[string]bool
	upper  int
	write  []writable
}

// compile turns a plan into what pid 1 executes.
func compile(pl *Process, out, errw output) (*program, error) {
	if err := pl.check(); err != nil {
		return nil, err
	}
	c := &compiler{program: &program{strs: map[string]uint64{}, trace: pl.Trace}, made: map[string]bool{"/": true}}
	if err := c.root(pl); err != nil {
		return nil, err
	}
	if pl.Loopback {
		c.loopback()
	}
	c.pivot()
	c.streams(out, errw)
	c.limits()
	var reopen []int
	for _, o := range []output{out, errw} {
		if o.fd >= 0 && o.reopen {
			reopen = append(reopen, regFD+o.fd)
		}
	}
	c.landlock(c.write, reopen)
	c.step("close descriptors", "")
	c.call(unix.SYS_CLOSE_RANGE, noReg, imm(3), imm(int(^uint32(0))), imm(0))
	c.step("change to directory", pl.dir())
	c.call(unix.SYS_CHDIR, noReg, c.str(pl.dir()))
	c.confine()
	c.command(pl)
	return c.program, nil
}

// prelude is what every plan starts with. pid 1 carries it out before its
// action is known, so that it costs the action no time.
func prelude() *program {
	c := &compiler{program: &program{strs: map[string]uint64{}}}
	// One tmpfs serves the root, /tmp, /dev/shm, tmpfs mounts and overlays:
	// a super block is the dear part of a mount.
	c.step("mount tmpfs", "")
	c.mount("tmpfs", scratchDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	// Read-only: if gorules runs as root, the action's user is the owner of
	// /proc/sys, and of sysrq-trigger, in the eyes of the kernel.
	c.step("mount proc", "")
	c.mount("proc", procDir, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	return c.program
}

// root emits the mount plan.
func (c *compiler) root(pl *Process) error {
	c.step("open the host's root", "")
	c.call(unix.SYS_OPENAT, regHost, imm(unix.AT_FDCWD), c.str(hostDir), imm(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), imm(0))
	if pl.TmpBytes > 0 {
		c.step("limit tmpfs", "")
		c.mount("tmpfs", scratchDir, "tmpfs", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV,
			"size="+strconv.FormatInt(pl.TmpBytes, 10))
	}
	c.scratchTree("root", 0o755)
	c.step("mount the root", "")
	c.call(unix.SYS_MOVE_MOUNT, noReg, regOf(regTree), c.str(""), imm(unix.AT_FDCWD), c.str(newDir), imm(unix.MOVE_MOUNT_F_EMPTY_PATH))
	c.call(unix.SYS_FCNTL, regRoot, regOf(regTree), imm(unix.F_DUPFD_CLOEXEC), imm(0))

	c.mounts = pl.allMounts()
	plain := len(pl.Symlinks) == 0
	dirs, files, links := slices.Clone(pl.Dirs), pl.allFiles(), pl.Symlinks
	dirs = append(dirs, pl.dir(), pl.home())
	// First what lies in the root itself, while it is writable.
	for _, s := range links {
		if !c.covered(s.Path) {
			c.link(s, plain)
		}
	}
	for _, d := range dirs {
		if !c.covered(d) {
			c.mkdirs(d, plain)
		}
	}
	for _, f := range files {
		if !c.covered(f.Path) {
			c.file(f, plain)
		}
	}
	isFile := make([]bool, len(c.mounts))
	for i, m := range c.mounts {
		if m.Source != "" {
			fi, err := os.Stat(m.Source)
			if err != nil {
				return &StepError{Step: "mount source", Detail: m.Source, Errno: errnoOf(err)}
			}
			isFile[i] = !fi.IsDir()
			if isFile[i] && m.Kind == Overlay {
				return &StepError{Step: "mount source", Detail: m.Source, Errno: unix.ENOTDIR}
			}
		}
		if !c.covered(m.Target) {
			c.point(m.Target, isFile[i], plain)
		}
	}
	for i, m := range c.mounts {
		if c.covered(m.Target) {
			c.point(m.Target, isFile[i], false)
		}
		c.mountOne(m, isFile[i])
	}
	for _, s := range links {
		if c.covered(s.Path) {
			c.link(s, false)
		}
	}
	for _, d := range dirs {
		if c.covered(d) {
			c.mkdirs(d, false)
			c.step("directory", d)
			c.openIn(regTmp, regRoot, d, unix.O_PATH|unix.O_DIRECTORY, 0)
			c.close(regTmp)
		}
	}
	for _, f := range files {
		if c.covered(f.Path) {
			c.file(f, false)
		}
	}
	c.step("make the root read-only", "")
	c.setattr(regRoot, 0, unix.MOUNT_ATTR_RDONLY)
	return nil
}

func (c *compiler) mount(src, dst, typ string, flags int, data string) {
	c.call(unix.SYS_MOUNT, noReg, c.str(src), c.str(dst), c.str(typ), imm(flags), c.str(data))
}

// close drops a descriptor, unless the plan is so small that closing all at the
// end is cheaper.
func (c *compiler) close(reg int) {
	if len(c.mounts)+len(c.made) > 300 {
		c.call(unix.SYS_CLOSE, noReg, regOf(reg))
	}
}

func (c *compiler) setattr(reg, flags int, attr uint64) {
	c.call(unix.SYS_MOUNT_SETATTR, noReg, regOf(reg), c.str(""), imm(unix.AT_EMPTY_PATH|flags), c.words(attr, 0, 0, 0), imm(32))
}

// openIn opens name below the directory in reg; symbolic links and ".." in it
// cannot lead out.
func (c *compiler) openIn(dst, reg int, name string, flags int, mode uint64) *instr {
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		name = "."
	}
	how := c.words(uint64(flags|unix.O_CLOEXEC), mode, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	return c.call(unix.SYS_OPENAT2, dst, regOf(reg), c.str(name), how, imm(24))
}

// hostTree puts a private copy of a host mount tree into regTree.
func (c *compiler) hostTree(src string, attr uint64) {
	c.step("open", src)
	c.openIn(regTmp, regHost, src, unix.O_PATH, 0)
	c.step("clone mount", src)
	// Recursive, because what hides behind a mount of the host must stay
	// hidden: the kernel refuses anything else without privilege.
	c.call(unix.SYS_OPEN_TREE, regTree, regOf(regTmp), c.str(""),
		imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH))
	c.close(regTmp)
	c.step("restrict mount", src)
	c.setattr(regTree, unix.AT_RECURSIVE, attr)
}

// scratchTree puts a mount of a new directory of the tmpfs into regTree.
func (c *compiler) scratchTree(name string, mode int) {
	p := path.Join(scratchDir, name)
	c.step("create in tmpfs", name)
	c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(p), imm(mode))
	c.call(unix.SYS_OPEN_TREE, regTree, imm(unix.AT_FDCWD), c.str(p), imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
}

// covered reports whether p lies below a mount of the plan, not in the root.
func (c *compiler) covered(p string) bool {
	for _, m := range c.mounts {
		if strings.HasPrefix(p, m.Target) && len(p) > len(m.Target) && p[len(m.Target)] == '/' {
			return true
		}
	}
	return false
}

// mkdirs creates d and its parents. plain is set while the root holds nothing
// but what this program made, so that no symbolic link can lead elsewhere.
func (c *compiler) mkdirs(d string, plain bool) {
	if c.made[d] {
		return
	}
	c.made[d] = true
	parent, leaf := path.Split(d)
	parent = path.Clean(parent)
	c.mkdirs(parent, plain)
	c.step("create directory", d)
	if plain {
		c.call(unix.SYS_MKDIRAT, noReg, regOf(regRoot), c.str(d[1:]), imm(0o755)).tolerate(int(unix.EEXIST))
		return
	}
	c.openIn(regTmp, regRoot, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_MKDIRAT, noReg, regOf(regTmp), c.str(leaf), imm(0o755)).tolerate(int(unix.EEXIST), int(unix.EROFS))
	c.close(regTmp)
}

func (c *compiler) link(s Symlink, plain bool) {
	parent, leaf := path.Split(s.Path)
	c.mkdirs(path.Clean(parent), plain)
	c.step("create symbolic link", s.Path)
	c.openIn(regTmp, regRoot, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_SYMLINKAT, noReg, c.str(s.Target), regOf(regTmp), c.str(leaf))
	c.close(regTmp)
	c.made[s.Path] = true
}

// file creates f. A file that is there already stays: in a mount it may be a
// hard link into the store.
func (c *compiler) file(f File, plain bool) {
	c.mkdirs(path.Dir(f.Path), plain)
	c.step("create file", f.Path)
	mode := uint64(0o644)
	if f.Exec {
		mode = 0o755
	}
	c.openIn(regTmp, regRoot, f.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode).tolerate(int(unix.EEXIST))
	// A tolerated failure leaves an invalid descriptor in the register.
	if len(f.Data) > 0 {
		c.call(unix.SYS_WRITE, noReg, regOf(regTmp), c.raw(f.Data), imm(len(f.Data))).tolerate(int(unix.EBADF))
	}
	// A mount with a file open for writing cannot be made read-only.
	c.call(unix.SYS_CLOSE, noReg, regOf(regTmp)).tolerate(int(unix.EBADF))
}

// point creates a mount point. What cannot be created is found missing when
// the mount is attached.
func (c *compiler) point(target string, isFile, plain bool) {
	if !isFile {
		c.mkdirs(target, plain)
		return
	}
	parent, leaf := path.Split(target)
	c.mkdirs(path.Clean(parent), plain)
	c.step("create mount point", target)
	c.openIn(regTmp, regRoot, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_MKNODAT, noReg, regOf(regTmp), c.str(leaf), imm(unix.S_IFREG|0o644), imm(0)).
		tolerate(int(unix.EEXIST), int(unix.EROFS))
	c.close(regTmp)
}

// attach moves the mount in regTree, or at the helper's path from, to target.
func (c *compiler) attach(target, from string) {
	c.step("mount point", target)
	c.openIn(regTarget, regRoot, target, unix.O_PATH, 0)
	c.step("mount on", target)
	src, p, flags := regOf(regTree), c.str(""), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH
	if from != "" {
		src, p, flags = imm(unix.AT_FDCWD), c.str(from), unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	c.call(unix.SYS_MOVE_MOUNT, noReg, src, p, regOf(regTarget), c.str(""), imm(flags))
	c.close(regTarget)
	if from == "" {
		c.close(regTree)
	}
}

const (
	attrRW = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	attrRO = attrRW | unix.MOUNT_ATTR_RDONLY
)

func (c *compiler) mountOne(m Mount, isFile bool) {
	c.upper++
	n := strconv.Itoa(c.upper)
	switch m.Kind {
	case builtinProc:
		c.attach(m.Target, procDir)
	case builtinDev:
		c.attach(m.Target, devDir)
		c.write = append(c.write, writable{path: m.Target, filesOnly: true})
	case builtinTmp, Tmpfs:
		mode := 0o755
		if m.Kind == builtinTmp {
			mode = 0o1777
		}
		c.scratchTree("t"+n, mode)
		c.attach(m.Target, "")
		c.write = append(c.write, writable{path: m.Target})
	case BindRO:
		c.hostTree(m.Source, attrRO)
		c.attach(m.Target, "")
	case BindRW:
		c.hostTree(m.Source, attrRW)
		c.attach(m.Target, "")
		c.write = append(c.write, writable{path: m.Target, isFile: isFile})
	case Overlay:
		c.hostTree(m.Source, attrRO)
		c.step("mount overlay's lower directory", m.Source)
		c.call(unix.SYS_MOVE_MOUNT, noReg, regOf(regTree), c.str(""), imm(unix.AT_FDCWD), c.str(lowDir), imm(unix.MOVE_MOUNT_F_EMPTY_PATH))
		c.close(regTree)
		c.step("create in tmpfs", "overlay")
		c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(scratchDir+"/u"+n), imm(0o755))
		c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(scratchDir+"/w"+n), imm(0o755))
		c.step("mount overlay", m.Target)
		c.mount("overlay", ovlDir, "overlay", unix.MS_NOSUID|unix.MS_NODEV,
			fmt.Sprintf("lowerdir=%s,upperdir=%s/u%s,workdir=%s/w%s,userxattr", lowDir, scratchDir, n, scratchDir, n))
		c.attach(m.Target, ovlDir)
		c.write = append(c.write, writable{path: m.Target})
	}
}

// loopback gives the action a network namespace of its own and brings "lo" up.
func (c *compiler) loopback() {
	c.step("create net namespace of the action", "")
	c.call(unix.SYS_UNSHARE, noReg, imm(unix.CLONE_NEWNET))
	c.step("bring up loopback", "")
	var ifr [40]byte
	copy(ifr[:], "lo")
	binary.NativeEndian.PutUint16(ifr[16:], unix.IFF_UP|unix.IFF_RUNNING)
	c.call(unix.SYS_SOCKET, regTmp, imm(unix.AF_INET), imm(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), imm(0))
	c.call(unix.SYS_IOCTL, noReg, regOf(regTmp), imm(unix.SIOCSIFFLAGS), c.raw(ifr[:]))
	c.close(regTmp)
}

func (c *compiler) pivot() {
	c.step("pivot_root", "")
	c.call(unix.SYS_FCHDIR, noReg, regOf(regRoot))
	c.call(unix.SYS_PIVOT_ROOT, noReg, c.str("."), c.str("."))
	c.step("detach the host's root", "")
	c.call(unix.SYS_UMOUNT2, noReg, c.str("."), imm(unix.MNT_DETACH))
	c.call(unix.SYS_CHDIR, noReg, c.str("/"))
}

// streams arranges descriptors 0, 1 and 2; the helper's are above them.
func (c *compiler) streams(out, errw output) {
	c.step("open", "/dev/null")
	c.call(unix.SYS_OPENAT, regTmp, imm(unix.AT_FDCWD), c.str("/dev/null"), imm(unix.O_RDWR|unix.O_CLOEXEC), imm(0))
	c.step("arrange descriptors", "")
	dup := func(reg, to int) { c.call(unix.SYS_DUP3, noReg, regOf(reg), imm(to), imm(0)) }
	dup(regTmp, 0)
	for i, o := range []output{out, errw} {
		if o.fd < 0 {
			dup(regTmp, i+1)
		} else {
			dup(regFD+o.fd, i+1)
		}
	}
}

// Limits every action runs under, whatever gorules was started with.
const (
	maxOpenFiles = 65536
	softOpen     = 4096
	maxProcs     = 32768
	stackSize    = 8 << 20
)

func (c *compiler) limits() {
	c.step("set limit", "")
	set := func(res int, soft, hard uint64) {
		c.call(unix.SYS_PRLIMIT64, noReg, imm(0), imm(res), c.words(soft, hard), imm(0))
	}
	hard := hardLimits()
	set(unix.RLIMIT_CORE, 0, 0)
	set(unix.RLIMIT_NOFILE, min(softOpen, hard.files), min(maxOpenFiles, hard.files))
	set(unix.RLIMIT_NPROC, min(maxProcs, hard.procs), min(maxProcs, hard.procs))
	set(unix.RLIMIT_STACK, min(stackSize, hard.stack), hard.stack)
	c.call(unix.SYS_UMASK, noReg, imm(0o022))
}

// confine gives up all privilege. no_new_privs, the empty bounding set and the
// fresh session keyring are the helper's, made once.
func (c *compiler) confine() {
	c.step("drop capabilities", "")
	c.call(unix.SYS_CAPSET, noReg, c.words(uint64(unix.LINUX_CAPABILITY_VERSION_3)), c.words(0, 0, 0))
	c.step("install seccomp filter", "")
	f := filterBytes()
	code := c.raw(f)
	prog := c.words(uint64(len(f)/8), 0)
	c.call(opStorePtr, noReg, at(prog.val+8), code)
	c.call(unix.SYS_SECCOMP, noReg, imm(unix.SECCOMP_SET_MODE_FILTER), imm(unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW), prog)
}

func (c *compiler) command(pl *Process) {
	c.path = c.str(pl.Argv[0]).val
	c.argv, c.argc = c.table(pl.Argv), len(pl.Argv)
	sh := append([]string{"/bin/sh", pl.Argv[0]}, pl.Argv[1:]...)
	c.shArgv, c.shArgc = c.table(sh), len(sh)
	c.envp, c.envc = c.table(pl.Env), len(pl.Env)
}
