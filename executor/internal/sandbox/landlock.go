//go:build linux && (amd64 || arm64)

package sandbox

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Landlock is the second wall behind read-only mounts (no write outside of the
// writable places) and namespaces (no signal to and no abstract socket of
// anything outside of the action). Kernels without it have the first wall only.

const (
	llWriteFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	llDirOnly   = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	llDevices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK // granted nowhere
)

// landlockABI is the kernel's version of the interface; 0 if it has none.
var landlockABI = sync.OnceValue(func() int {
	v, _, e := syscall.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
})

// landlockRights are the rights this kernel can restrict: all that change
// something. Reading is left to the mounts.
func landlockRights(abi int) (file, dir, handled, scoped uint64) {
	file, dir = llWriteFile, llDirOnly
	// Without REFER no rule set may be used: every rename to another
	// directory would be refused.
	dir |= unix.LANDLOCK_ACCESS_FS_REFER
	if abi >= 3 {
		file |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		file |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	dir |= file
	return file, dir, dir | llDevices, scoped
}

// landlock adds the rule set to p. writable are paths in the root, which is
// pivoted to by now; outputs are registers of descriptors that an action may
// open again through /proc/self/fd.
func (p *program) landlock(writable []writable, outputs []int) {
	abi := landlockABI()
	if abi < 2 {
		return
	}
	file, dir, handled, scoped := landlockRights(abi)
	attr, size := p.words(handled), 8
	if scoped != 0 {
		attr, size = p.words(handled, 0, scoped), 24
	}
	p.step("create Landlock rule set", "")
	p.call(unix.SYS_LANDLOCK_CREATE_RULESET, regRules, attr, imm(size), imm(0))
	rule := func(reg int, rights uint64) {
		// struct { u64 allowed_access; s32 parent_fd; } packed
		r := p.words(rights, 0)
		p.call(opStore32, noReg, at(r.val+8), regOf(reg))
		p.call(unix.SYS_LANDLOCK_ADD_RULE, noReg, regOf(regRules), imm(unix.LANDLOCK_RULE_PATH_BENEATH), r, imm(0))
	}
	for _, w := range writable {
		p.step("add Landlock rule for", w.path)
		p.call(unix.SYS_OPENAT, regTmp, imm(unix.AT_FDCWD), p.str(w.path), imm(unix.O_PATH|unix.O_CLOEXEC), imm(0))
		rights := dir
		switch {
		case w.isFile:
			rights = file
		case w.filesOnly:
			rights = file
		}
		rule(regTmp, rights)
	}
	for _, reg := range outputs {
		p.step("add Landlock rule for", "an output stream")
		rule(reg, file)
	}
	p.step("enforce Landlock rule set", "")
	p.call(unix.SYS_LANDLOCK_RESTRICT_SELF, noReg, regOf(regRules), imm(0))
}

// writable is a place in the root where writing is permitted.
type writable struct {
	path      string
	isFile    bool
	filesOnly bool // files below it may be written, nothing created
}
