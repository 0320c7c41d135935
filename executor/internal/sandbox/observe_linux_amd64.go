package sandbox

import "golang.org/x/sys/unix"

// archSeenCalls are the calls without a directory descriptor, which newer
// architectures do not have.
var archSeenCalls = map[int]seenCall{
	unix.SYS_OPEN:      {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes}}, open: 1},
	unix.SYS_CREAT:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_STAT:      {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_LSTAT:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_ACCESS:    {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_READLINK:  {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes, nofollow: true}}},
	unix.SYS_GETDENTS:  {list: true},
	unix.SYS_RENAME:    {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes, nofollow: true}, {dir: -1, arg: 1, what: learnsNames, nofollow: true}}},
	unix.SYS_LINK:      {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes, nofollow: true}, {dir: -1, arg: 1, what: learnsKind, nofollow: true}}},
	unix.SYS_UNLINK:    {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_RMDIR:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsNames, nofollow: true}}},
	unix.SYS_SYMLINK:   {paths: []seenPath{{dir: -1, arg: 1, what: learnsKind, nofollow: true}}},
	unix.SYS_MKDIR:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_MKNOD:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_CHMOD:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_CHOWN:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_LCHOWN:    {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_UTIME:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_UTIMES:    {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_FUTIMESAT: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind}}},
}
