//go:build linux && (amd64 || arm64)

package sandbox

import "golang.org/x/sys/unix"

// pathCall says where a system call has its paths and what it does to them.
type pathCall struct {
	kind  AccessKind
	args  [][2]int // pairs of directory descriptor (-1 for the cwd) and path
	flags int      // argument with open flags, which decide read or write; 0 for none
}

// pathCalls are the calls that exist on every architecture.
var pathCalls = map[uint64]pathCall{
	unix.SYS_OPENAT:     {AccessRead, [][2]int{{0, 1}}, 2},
	unix.SYS_OPENAT2:    {AccessRead, [][2]int{{0, 1}}, openHowArg},
	unix.SYS_NEWFSTATAT: {AccessRead, [][2]int{{0, 1}}, 0},
	unix.SYS_STATX:      {AccessRead, [][2]int{{0, 1}}, 0},
	unix.SYS_FACCESSAT:  {AccessRead, [][2]int{{0, 1}}, 0},
	unix.SYS_FACCESSAT2: {AccessRead, [][2]int{{0, 1}}, 0},
	unix.SYS_READLINKAT: {AccessRead, [][2]int{{0, 1}}, 0},
	unix.SYS_CHDIR:      {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_STATFS:     {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_EXECVE:     {AccessExec, [][2]int{{-1, 0}}, 0},
	unix.SYS_EXECVEAT:   {AccessExec, [][2]int{{0, 1}}, 0},
	unix.SYS_MKDIRAT:    {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_MKNODAT:    {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_UNLINKAT:   {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_SYMLINKAT:  {AccessWrite, [][2]int{{1, 2}}, 0},
	unix.SYS_LINKAT:     {AccessWrite, [][2]int{{0, 1}, {2, 3}}, 0},
	unix.SYS_RENAMEAT:   {AccessWrite, [][2]int{{0, 1}, {2, 3}}, 0},
	unix.SYS_RENAMEAT2:  {AccessWrite, [][2]int{{0, 1}, {2, 3}}, 0},
	unix.SYS_FCHMODAT:   {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_FCHMODAT2:  {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_FCHOWNAT:   {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_UTIMENSAT:  {AccessWrite, [][2]int{{0, 1}}, 0},
	unix.SYS_TRUNCATE:   {AccessWrite, [][2]int{{-1, 0}}, 0},
}

// openHowArg marks openat2, whose flags are behind a pointer.
const openHowArg = -2

func callOf(nr uint64) (pathCall, bool) {
	if c, ok := pathCalls[nr]; ok {
		return c, true
	}
	c, ok := archPathCalls[nr]
	return c, ok
}

// refusals are the answers that mean "not yours", by what was tried. A file
// that is not there is one: a declared input would be.
func refused(kind AccessKind, e unix.Errno) bool {
	switch kind {
	case AccessConnect:
		switch e {
		case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED, unix.EADDRNOTAVAIL, unix.EACCES, unix.EPERM, unix.ENOENT:
			return true
		}
		return false
	case AccessWrite:
		return e == unix.EROFS || e == unix.EACCES || e == unix.EPERM || e == unix.ENOENT
	}
	return e == unix.ENOENT || e == unix.EACCES || e == unix.ENOTDIR
}
