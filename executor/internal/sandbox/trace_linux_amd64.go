package sandbox

import "golang.org/x/sys/unix"

// archPathCalls are the calls without a directory descriptor, which newer
// architectures do not have.
var archPathCalls = map[uint64]pathCall{
	unix.SYS_OPEN:      {AccessRead, [][2]int{{-1, 0}}, 1},
	unix.SYS_CREAT:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_STAT:      {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_LSTAT:     {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_ACCESS:    {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_READLINK:  {AccessRead, [][2]int{{-1, 0}}, 0},
	unix.SYS_MKDIR:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_MKNOD:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_RMDIR:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_UNLINK:    {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_SYMLINK:   {AccessWrite, [][2]int{{-1, 1}}, 0},
	unix.SYS_LINK:      {AccessWrite, [][2]int{{-1, 0}, {-1, 1}}, 0},
	unix.SYS_RENAME:    {AccessWrite, [][2]int{{-1, 0}, {-1, 1}}, 0},
	unix.SYS_CHMOD:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_CHOWN:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_LCHOWN:    {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_UTIME:     {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_UTIMES:    {AccessWrite, [][2]int{{-1, 0}}, 0},
	unix.SYS_FUTIMESAT: {AccessWrite, [][2]int{{0, 1}}, 0},
}
