//go:build linux && (amd64 || arm64)

package sandbox

import "golang.org/x/sys/unix"

// A seenPath is one path among the arguments of a system call, and what whoever
// makes the call learns of it.
type seenPath struct {
	dir      int  // argument with the directory's descriptor; -1 for the cwd
	arg      int  // argument with the path
	what     What // of the end of the path
	nofollow bool // the call does not follow a link at its end
	at       int  // argument with AT_ flags that may turn that round; 0 for none
	empty    bool // without a path it is about the descriptor, whatever the flags
}

// followFlag is set in seenPath.at where AT_SYMLINK_FOLLOW makes the call follow,
// rather than AT_SYMLINK_NOFOLLOW that it does not.
const followFlag = 1 << 8

// A seenCall is a system call that the observer is told of.
type seenCall struct {
	paths   []seenPath
	open    int  // argument with open flags, openHowArg for openat2's, 0 for none
	exec    bool // runs a program, whose interpreters the kernel opens
	addr    int  // argument with a socket address; 0 for none
	message bool // argument 1 is a message, which may have one
	list    bool // lists the folder that argument 0 is a descriptor of

	messages bool // argument 1 is an array of messages, of which argument 2 is the length
}

const (
	learnsKind  = LookKind
	learnsBytes = LookKind | LookContent
	learnsNames = LookKind | LookNames
)

// seenCalls are the calls that exist on every architecture. A descriptor that is
// open has been looked at when it was opened.
var seenCalls = map[int]seenCall{
	unix.SYS_OPENAT:     {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes}}, open: 2},
	unix.SYS_OPENAT2:    {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes}}, open: openHowArg},
	unix.SYS_NEWFSTATAT: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 3}}},
	unix.SYS_STATX:      {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 2}}},
	unix.SYS_FACCESSAT:  {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind}}},
	unix.SYS_FACCESSAT2: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 3}}},
	unix.SYS_STATFS:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_READLINKAT: {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes, nofollow: true, empty: true}}},
	unix.SYS_GETDENTS64: {list: true},
	unix.SYS_EXECVE:     {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes}}, exec: true},
	unix.SYS_EXECVEAT:   {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes, at: 4}}, exec: true},
	unix.SYS_CHDIR:      {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_TRUNCATE:   {paths: []seenPath{{dir: -1, arg: 0, what: learnsBytes}}},
	// What a name carries to another place is read there without a call.
	unix.SYS_RENAMEAT:  {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes, nofollow: true}, {dir: 2, arg: 3, what: learnsNames, nofollow: true}}},
	unix.SYS_RENAMEAT2: {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes, nofollow: true}, {dir: 2, arg: 3, what: learnsBytes | LookNames, nofollow: true}}},
	unix.SYS_LINKAT:    {paths: []seenPath{{dir: 0, arg: 1, what: learnsBytes, nofollow: true, at: 4 | followFlag}, {dir: 2, arg: 3, what: learnsKind, nofollow: true}}},
	unix.SYS_UNLINKAT:  {paths: []seenPath{{dir: 0, arg: 1, what: learnsNames, nofollow: true}}},
	unix.SYS_SYMLINKAT: {paths: []seenPath{{dir: 1, arg: 2, what: learnsKind, nofollow: true}}},
	unix.SYS_MKDIRAT:   {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, nofollow: true}}},
	unix.SYS_MKNODAT:   {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, nofollow: true}}},
	unix.SYS_FCHMODAT:  {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind}}},
	unix.SYS_FCHMODAT2: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 3}}},
	unix.SYS_FCHOWNAT:  {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 4}}},
	unix.SYS_UTIMENSAT: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, at: 3, empty: true}}},

	unix.SYS_GETXATTR:          {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_LGETXATTR:         {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_LISTXATTR:         {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind}}},
	unix.SYS_LLISTXATTR:        {paths: []seenPath{{dir: -1, arg: 0, what: learnsKind, nofollow: true}}},
	unix.SYS_INOTIFY_ADD_WATCH: {paths: []seenPath{{dir: -1, arg: 1, what: learnsKind}}},
	unix.SYS_FANOTIFY_MARK:     {paths: []seenPath{{dir: 3, arg: 4, what: learnsKind, empty: true}}},
	unix.SYS_NAME_TO_HANDLE_AT: {paths: []seenPath{{dir: 0, arg: 1, what: learnsKind, nofollow: true, at: 4 | followFlag}}},

	unix.SYS_CONNECT:  {addr: 1},
	unix.SYS_BIND:     {addr: 1},
	unix.SYS_SENDTO:   {addr: 4},
	unix.SYS_SENDMSG:  {message: true},
	unix.SYS_SENDMMSG: {messages: true},
}

func seenCallOf(nr int) (seenCall, bool) {
	c, ok := seenCalls[nr]
	if !ok {
		c, ok = archSeenCalls[nr]
	}
	return c, ok
}
