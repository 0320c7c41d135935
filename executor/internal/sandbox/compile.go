//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unsafe"

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
	emptyDir   = "/empty"   // stays empty
	ovlDir     = "/ovl"     // mount point of an overlay until it is moved
	devDir     = "/dev"     // the /dev every action gets, made once
)

const (
	builtinProc MountKind = iota + 100
	builtinDev
	builtinTmp
	builtinPts
)

var fixedFiles = []File{
	{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\n" +
		UserName + ":x:" + strconv.Itoa(UID) + ":" + strconv.Itoa(GID) + ":" + UserName + ":" + Home + ":/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/:/bin/sh\n")},
	{Path: "/etc/group", Data: []byte("root:x:0:\n" + UserName + ":x:" + strconv.Itoa(GID) + ":\nnogroup:x:65534:\n")},
	{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost " + HostName + "\n::1 localhost\n")},
	{Path: "/etc/hostname", Data: []byte(HostName + "\n")},
	{Path: "/etc/os-release", Data: []byte("NAME=gorules\nID=gorules\nPRETTY_NAME=gorules\n")},
	{Path: "/etc/resolv.conf", Data: []byte("# There is no name server.\n")},
	{Path: "/etc/localtime", Data: []byte(utc)},
	{Path: "/etc/services", Data: []byte(services)},
	{Path: "/etc/protocols", Data: []byte("ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n")},
	{Path: "/etc/mime.types", Data: []byte(mimeTypes)},
	{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
}

// utc is a time zone file (RFC 9636) for UTC.
const utc = "TZif2" + zeros15 + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x00\x00\x00UTC\x00" +
	"TZif2" + zeros15 + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x00\x00\x00UTC\x00" +
	"\nUTC0\n"

const zeros15 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

const services = "echo 7/tcp\necho 7/udp\ndiscard 9/tcp\ndiscard 9/udp\nftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\nsmtp 25/tcp\ntime 37/tcp\n" +
	"domain 53/tcp\ndomain 53/udp\ntftp 69/udp\nhttp 80/tcp www\nkerberos 88/tcp\nkerberos 88/udp\npop3 110/tcp\nntp 123/udp\nimap2 143/tcp imap\n" +
	"snmp 161/udp\nldap 389/tcp\nhttps 443/tcp\nhttps 443/udp\nsubmission 587/tcp\nldaps 636/tcp\nimaps 993/tcp\npop3s 995/tcp\n" +
	"mysql 3306/tcp\npostgresql 5432/tcp\namqp 5672/tcp\nredis 6379/tcp\nhttp-alt 8080/tcp\n"

const mimeTypes = "application/gzip gz\napplication/javascript js mjs\napplication/json json map\napplication/octet-stream bin\napplication/pdf pdf\n" +
	"application/wasm wasm\napplication/xml xml xsl\napplication/zip zip\naudio/mpeg mp3\naudio/ogg oga ogg\nfont/woff woff\nfont/woff2 woff2\n" +
	"image/gif gif\nimage/jpeg jpeg jpg\nimage/png png\nimage/svg+xml svg\nimage/webp webp\ntext/css css\ntext/csv csv\ntext/html html htm\n" +
	"text/markdown md markdown\ntext/plain txt text log\nvideo/mp4 mp4\nvideo/webm webm\n"

// output says how a standard stream reaches the process.
type output struct {
	fd     int  // index in the descriptors sent along; -1 for /dev/null
	reopen bool // a file or device: /dev/stdout has to work with Landlock on
}

type compiler struct {
	*program
	mounts  []Mount
	targets map[string]bool // of mounts
	made    map[string]bool // directories
	linked  map[string]bool // symbolic links
	upper   int
	apart   map[string]string // root of Apart mounts -> where its overlay is mounted
	write   []writable
	times   operand // of what stands in memory; unless stamp is false
	stamp   bool
}

// compile makes p what pid 1 executes for a plan.
func compile(p *program, pl *Process, out, errw output) error {
	if err := pl.check(); err != nil {
		return err
	}
	p.reset()
	p.trace = pl.Trace
	c := &compiler{program: p, made: map[string]bool{"/": true}, linked: map[string]bool{}}
	if err := c.root(pl); err != nil {
		return err
	}
	if pl.Loopback {
		c.loopback()
	}
	c.pivot()
	c.streams(out, errw)
	c.limits()
	if pl.Perturbed {
		if err := c.oneCPU(); err != nil {
			return err
		}
	}
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
	var scopes []string
	if pl.observed() {
		scopes = pl.Scopes
	}
	c.confine(scopes)
	c.command(pl)
	return nil
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
	// What keys the user who runs gorules has is nobody's business.
	for _, f := range []string{"/keys", "/key-users"} {
		c.step("hide", "/proc"+f)
		c.call(unix.SYS_MOUNT, noReg, c.str(devDir+"/null"), c.str(procDir+f), imm(0), imm(unix.MS_BIND), imm(0)).tolerate(int(unix.ENOENT))
	}
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
	c.targets = make(map[string]bool, len(c.mounts))
	for _, m := range c.mounts {
		c.targets[m.Target] = true
	}
	if c.stamp = !pl.ModTime.IsZero(); c.stamp {
		sec, nsec := uint64(pl.ModTime.Unix()), uint64(pl.ModTime.Nanosecond())
		c.times = c.words(sec, nsec, sec, nsec)
	}
	dirs, files, links := slices.Clone(pl.Dirs), pl.allFiles(), pl.Symlinks
	dirs = append(dirs, pl.dir(), pl.home(), "/sys")
	if pl.Perturbed {
		slices.Reverse(dirs)
		slices.Reverse(files)
	}
	// First what lies in the root itself, while it is writable.
	for _, s := range links {
		if !c.covered(s.Path) {
			c.link(s)
		}
	}
	for _, d := range dirs {
		if !c.covered(d) {
			c.mkdirs(d)
		}
	}
	for _, f := range files {
		if !c.covered(f.Path) {
			c.file(f)
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
			if isFile[i] && m.Kind.overlaid() {
				return &StepError{Step: "mount source", Detail: m.Source, Errno: unix.ENOTDIR}
			}
		}
		if !c.covered(m.Target) {
			c.point(m.Target, isFile[i])
		}
	}
	c.stampRoot()
	for i, m := range c.mounts {
		if c.covered(m.Target) {
			c.point(m.Target, isFile[i])
		}
		c.mountOne(m, isFile[i])
	}
	for _, s := range links {
		if c.covered(s.Path) {
			c.link(s)
		}
	}
	for _, d := range dirs {
		if c.covered(d) {
			c.mkdirs(d)
			c.step("directory", d)
			c.openIn(regTmp, regRoot, d, unix.O_PATH|unix.O_DIRECTORY, 0)
			c.close(regTmp)
		}
	}
	for _, f := range files {
		if c.covered(f.Path) {
			c.file(f)
		}
	}
	c.finishMemory(pl.Dirs)
	c.step("make the root read-only", "")
	c.setattr(regRoot, 0, unix.MOUNT_ATTR_RDONLY)
	return nil
}

// stampRoot gives the directories of the root their time, inner ones first.
// Nothing is mounted yet.
func (c *compiler) stampRoot() {
	if !c.stamp {
		return
	}
	for _, d := range slices.Backward(slices.Sorted(maps.Keys(c.made))) {
		c.stampDir(d, c.plain(d))
	}
}

func (c *compiler) stampDir(d string, plain bool) {
	c.step("set time of directory", d)
	if plain {
		c.call(unix.SYS_UTIMENSAT, noReg, regOf(regRoot), c.str("."+d), c.times, imm(unix.AT_SYMLINK_NOFOLLOW))
		return
	}
	c.openIn(regTmp, regRoot, d, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_UTIMENSAT, noReg, regOf(regTmp), imm(0), c.times, imm(0))
	c.close(regTmp)
}

// finishMemory gives directories below and at mounts that stand in memory their
// time, and makes those read-only that the action may not write to.
func (c *compiler) finishMemory(dirs []string) {
	var inner []string
	for _, d := range dirs {
		if c.covered(d) && !c.targets[d] {
			inner = append(inner, d)
		}
	}
	for d := range c.made { // the way to mount points and files
		if c.covered(d) && !c.targets[d] && c.around(d).overlaid() {
			inner = append(inner, d)
		}
	}
	for _, m := range c.mounts {
		if m.Kind.inMemory() || m.Kind.overlaid() {
			inner = append(inner, m.Target)
		}
	}
	slices.Sort(inner)
	inner = slices.Compact(inner)
	if c.stamp {
		for _, d := range slices.Backward(inner) {
			c.stampDir(d, false)
		}
	}
	for _, m := range c.mounts {
		if m.Kind == Memory || m.Kind == Merged {
			c.step("make read-only", m.Target)
			c.openIn(regTmp, regRoot, m.Target, unix.O_PATH|unix.O_DIRECTORY, 0)
			c.setattr(regTmp, 0, attrRO)
			c.close(regTmp)
		}
	}
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
	for p != "/" {
		if p = path.Dir(p); c.targets[p] {
			return true
		}
	}
	return false
}

// around is the kind of the innermost mount that p lies below; 0 for the root.
func (c *compiler) around(p string) MountKind {
	for p != "/" {
		if p = path.Dir(p); c.targets[p] {
			for _, m := range c.mounts {
				if m.Target == p {
					return m.Kind
				}
			}
		}
	}
	return 0
}

// plain reports whether p is in the root itself and no symbolic link on the way
// to it can lead elsewhere.
func (c *compiler) plain(p string) bool {
	if c.covered(p) {
		return false
	}
	for len(c.linked) > 0 && p != "/" {
		if p = path.Dir(p); c.linked[p] {
			return false
		}
	}
	return true
}

// mkdirs creates d and its parents.
func (c *compiler) mkdirs(d string) {
	if c.made[d] || c.linked[d] {
		return
	}
	c.made[d] = true
	parent, leaf := path.Split(d)
	parent = path.Clean(parent)
	c.mkdirs(parent)
	c.step("create directory", d)
	if c.plain(d) {
		c.call(unix.SYS_MKDIRAT, noReg, regOf(regRoot), c.str(d[1:]), imm(0o755)).tolerate(int(unix.EEXIST))
		return
	}
	c.openIn(regTmp, regRoot, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_MKDIRAT, noReg, regOf(regTmp), c.str(leaf), imm(0o755)).tolerate(int(unix.EEXIST), int(unix.EROFS))
	c.close(regTmp)
}

func (c *compiler) link(s Symlink) {
	parent, leaf := path.Split(s.Path)
	c.mkdirs(path.Clean(parent))
	c.step("create symbolic link", s.Path)
	c.openIn(regTmp, regRoot, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_SYMLINKAT, noReg, c.str(s.Target), regOf(regTmp), c.str(leaf))
	if c.stamp {
		c.call(unix.SYS_UTIMENSAT, noReg, regOf(regTmp), c.str(leaf), c.times, imm(unix.AT_SYMLINK_NOFOLLOW))
	}
	c.close(regTmp)
	c.linked[s.Path] = true
}

// file creates f. A file that is there already stays if f is one of those that
// every root has: in a mount it may be one of the host.
func (c *compiler) file(f File) {
	c.mkdirs(path.Dir(f.Path))
	mode := uint64(0o644)
	if f.Exec {
		mode = 0o755
	}
	if f.Data == nil {
		c.step("open", f.Source)
		c.openIn(regSource, regHost, f.Source, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	}
	c.step("create file", f.Path)
	create := c.openIn(regTmp, regRoot, f.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
	// A tolerated failure leaves an invalid descriptor in the register.
	switch {
	case f.Data == nil && f.Size > 0:
		c.call(unix.SYS_SENDFILE, regCount, regOf(regTmp), regOf(regSource), imm(0), imm(int(f.Size)))
		c.step("copy", f.Source)
		c.call(opEqual, noReg, regOf(regCount), imm(int(f.Size)))
	case f.Data != nil:
		create.tolerate(int(unix.EEXIST))
		if len(f.Data) > 0 {
			c.call(unix.SYS_WRITE, noReg, regOf(regTmp), c.raw(f.Data), imm(len(f.Data))).tolerate(int(unix.EBADF))
		}
	}
	if c.stamp {
		c.call(unix.SYS_UTIMENSAT, noReg, regOf(regTmp), imm(0), c.times, imm(0)).tolerate(int(unix.EBADF))
	}
	// A mount with a file open for writing cannot be made read-only.
	c.call(unix.SYS_CLOSE, noReg, regOf(regTmp)).tolerate(int(unix.EBADF))
	if f.Data == nil {
		c.call(unix.SYS_CLOSE, noReg, regOf(regSource))
	}
}

// point creates a mount point. What cannot be created is found missing when
// the mount is attached.
func (c *compiler) point(target string, isFile bool) {
	if !isFile {
		c.mkdirs(target)
		return
	}
	parent, leaf := path.Split(target)
	c.mkdirs(path.Clean(parent))
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
	case builtinPts:
		p := scratchDir + "/pts"
		c.step("mount devpts", "")
		c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(p), imm(0o755))
		c.mount("devpts", p, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
		c.attach(m.Target, p)
	case builtinTmp, Tmpfs, Memory:
		mode := 0o755
		if m.Kind == builtinTmp {
			mode = 0o1777
		}
		c.scratchTree("t"+n, mode)
		c.attach(m.Target, "")
		if m.Kind != Memory {
			c.write = append(c.write, writable{path: m.Target})
		}
	case BindRO:
		c.hostTree(m.Source, attrRO)
		c.attach(m.Target, "")
	case Apart:
		p := c.overlayOf(m.Root) + strings.TrimPrefix(m.Source, m.Root)
		c.step("clone mount", m.Source)
		c.call(unix.SYS_OPEN_TREE, regTree, imm(unix.AT_FDCWD), c.str(p), imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW))
		c.attach(m.Target, "")
	case BindRW:
		c.hostTree(m.Source, attrRW)
		c.attach(m.Target, "")
		c.write = append(c.write, writable{path: m.Target, isFile: isFile})
	case Overlay, Merged:
		c.hostTree(m.Source, attrRO)
		c.step("mount overlay's lower directory", m.Source)
		c.call(unix.SYS_MOVE_MOUNT, noReg, regOf(regTree), c.str(""), imm(unix.AT_FDCWD), c.str(lowDir), imm(unix.MOVE_MOUNT_F_EMPTY_PATH))
		c.close(regTree)
		upper, work := scratchDir+"/u"+n, scratchDir+"/w"+n
		if m.Upper != "" {
			upper, work = "upper", "work"
			c.step("open", m.Upper)
			c.openIn(regTmp, regHost, m.Upper, unix.O_PATH|unix.O_DIRECTORY, 0)
			c.call(unix.SYS_FCHDIR, noReg, regOf(regTmp)) // a path could hold what separates options
			c.close(regTmp)
		} else {
			c.step("create in tmpfs", "overlay")
			c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(upper), imm(0o755))
			c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(work), imm(0o755))
		}
		c.step("mount overlay", m.Target)
		c.mount("overlay", ovlDir, "overlay", unix.MS_NOSUID|unix.MS_NODEV,
			fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", lowDir, upper, work))
		c.attach(m.Target, ovlDir)
		if m.Kind == Overlay {
			c.write = append(c.write, writable{path: m.Target})
		}
	}
}

// overlayOf mounts a read-only overlay of the host's folder root, once, and returns
// where. Each overlay has its own inodes, of which locks and watches are.
func (c *compiler) overlayOf(root string) string {
	p, ok := c.apart[root]
	if ok {
		return p
	}
	p = scratchDir + "/a" + strconv.Itoa(len(c.apart))
	c.step("open", root)
	c.openIn(regTmp, regHost, root, unix.O_PATH|unix.O_DIRECTORY, 0)
	c.call(unix.SYS_FCHDIR, noReg, regOf(regTmp)) // a path could hold what separates options
	c.close(regTmp)
	c.step("create in tmpfs", "overlay")
	c.call(unix.SYS_MKDIRAT, noReg, imm(unix.AT_FDCWD), c.str(p), imm(0o755))
	c.step("mount overlay of", root)
	// Without an upper directory it wants two lower ones: the second is empty.
	c.mount("overlay", p, "overlay", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, "lowerdir=.:"+emptyDir+",userxattr")
	if c.apart == nil {
		c.apart = map[string]string{}
	}
	c.apart[root] = p
	return p
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

// oneCPU leaves the action one of the CPUs that it might use.
func (c *compiler) oneCPU() error {
	var have, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return &StepError{Step: "find CPUs", Errno: errnoOf(err)}
	}
	for cpu := 0; one.Count() == 0 && cpu < 8*int(unsafe.Sizeof(have)); cpu++ {
		if have.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	c.step("use one CPU", "")
	c.call(unix.SYS_SCHED_SETAFFINITY, noReg, imm(0), imm(int(unsafe.Sizeof(one))), c.raw(bytesOf(&one)))
	return nil
}

// confine gives up all privilege. no_new_privs, the empty bounding set and the
// fresh session keyring are the helper's, made once.
func (c *compiler) confine(scopes []string) {
	c.step("drop capabilities", "")
	c.call(unix.SYS_CAPSET, noReg, c.words(uint64(unix.LINUX_CAPABILITY_VERSION_3)), c.words(0, 0, 0))
	c.step("install seccomp filter", "")
	c.filter(filterBytes(), unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, noReg)
	if len(scopes) == 0 {
		return
	}
	var writable []string
	for _, w := range c.write {
		writable = append(writable, w.path)
	}
	c.watched(scopes, writable)
	c.step("observe the action", "")
	c.filter(listenerBytes(), listenerFlags(), regListen)
	c.call(opListen, noReg, regOf(regListen))
}

func (c *compiler) filter(f []byte, flags, dst int) {
	code := c.raw(f)
	prog := c.words(uint64(len(f)/8), 0)
	c.call(opStorePtr, noReg, at(prog.val+8), code)
	c.call(unix.SYS_SECCOMP, dst, imm(unix.SECCOMP_SET_MODE_FILTER), imm(flags), prog)
}

func (c *compiler) command(pl *Process) {
	c.path = c.str(pl.Argv[0]).val
	c.argv, c.argc = c.table(pl.Argv), len(pl.Argv)
	sh := append([]string{"/bin/sh", pl.Argv[0]}, pl.Argv[1:]...)
	c.shArgv, c.shArgc = c.table(sh), len(sh)
	c.envp, c.envc = c.table(pl.Env), len(pl.Env)
}
