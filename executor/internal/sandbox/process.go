package sandbox

import (
	"io"
	"syscall"
	"time"
)

// The constants of the world every action sees. They are part of what makes
// two machines give the same bytes, so a change invalidates stored results.
const (
	UID      = 1000            // user id inside
	GID      = 1000            // group id inside
	UserName = "gorules"       // login name of UID and name of GID
	HostName = "gorules"       // node name
	Home     = "/home/gorules" // HOME unless the plan's Env says otherwise
)

// Options change how a Pool behaves. The zero value is useful.
type Options struct {
	// Grace is the time between SIGTERM and SIGKILL when an action is
	// cancelled or has timed out. 0 means 5 seconds.
	Grace time.Duration
}

// Process is one process and the root it runs in. All paths inside are absolute
// and clean; all host paths (Mount.Source) are absolute and may contain
// symbolic links. A Process is only read by Run and may be shared.
type Process struct {
	// Mounts are applied with parents before children, whatever their order
	// here. A mount point is created if it is missing and the place where it
	// belongs is writable or part of the root itself.
	Mounts []Mount
	// Dirs are created, with their parents, mode 0755.
	Dirs []string
	// Files are created in the root, in memory: for small ones.
	Files []File
	// Symlinks are created in the root.
	Symlinks []Symlink
	// ModTime is the modification time of every file, directory and link that
	// stands in memory; zero leaves them as they come.
	ModTime time.Time

	// Argv is the command. Argv[0] is an absolute path in the new root, or
	// relative to Dir if it contains a slash; it is never looked up in PATH.
	// A file without a known format is run by /bin/sh, as execvp does.
	Argv []string
	// Env is the whole environment, as "NAME=value". Nothing is added.
	Env []string
	// Dir is the working directory; "/" if empty. It is created if missing
	// and creatable.
	Dir string
	// Stdout and Stderr receive the output; nil discards it. An *os.File is
	// handed to the process itself; for any other writer a goroutine copies
	// and Run returns after the last byte. The same writer may be given for
	// both, and then the two streams arrive in the order written. Standard
	// input is always /dev/null.
	Stdout, Stderr io.Writer

	// Loopback gives the action a network of its own in which 127.0.0.1 and
	// ::1 work. Otherwise no address is reachable at all. Costs about 0.5 ms.
	Loopback bool
	// Terminals gives the action a /dev/pts of its own, so that it can open pseudo
	// terminals.
	Terminals bool
	// Timeout ends the action (SIGTERM, grace period, SIGKILL) when it has
	// run that long; 0 means never.
	Timeout time.Duration
	// TmpBytes limits what all that stands in memory (the root, /tmp, /dev/shm,
	// tmpfs mounts and overlay writes) may hold together; 0 means half of the
	// machine's memory.
	TmpBytes int64

	// Scopes are clean absolute directories of the root: what is looked at at or
	// below them is in Result.Looks. It needs CanObserve. Not with Trace.
	Scopes []string

	// Start, where not nil, is asked when it is this process's turn. Its error ends
	// Run before anything has started.
	Start func() error

	// Perturbed makes another world where that must not matter: one CPU, and
	// directories in memory in the reverse order.
	Perturbed bool

	// Trace runs the action under a tracer which fills Result.Refused. It
	// is many times slower and meant for repeating an action that failed.
	Trace bool
}

// MountKind says how a Mount's Source appears at its Target.
type MountKind uint8

const (
	// BindRO shows a host file or directory, with everything mounted below
	// it, read-only.
	BindRO MountKind = iota + 1
	// BindRW shows a host file or directory writable: writes reach the host.
	BindRW
	// Tmpfs is a writable directory in memory that is thrown away. No Source;
	// it holds what Dirs, Files and Symlinks put there.
	Tmpfs
	// Memory is the same, read-only for the action.
	Memory
	// Overlay shows a host directory as writable; what is written is thrown
	// away and never reaches Source.
	Overlay
	// Merged is Overlay, read-only for the action: Source together with what Dirs,
	// Files, Symlinks and other mounts put there.
	Merged
	// Apart is BindRO with inodes of the action's own: locks and watches on it meet
	// nobody's. Nothing is mounted below it, and no symbolic link is on the way
	// from Root to Source.
	Apart
)

// Mount is one thing of the host made visible in the root.
type Mount struct {
	Target string    // absolute path in the root; never "/"
	Source string    // absolute host path of a file or directory; empty for Tmpfs and Memory
	Kind   MountKind // how
	Root   string    // for Apart: a folder that Source lies below, the same for many
	Upper  string    // for Overlay: a host folder whose empty folders "upper" and "work" take what is written
}

// File is a file created in the root, read-only for the action unless it
// lies in a writable mount: with the content Data or, where that is nil, a copy
// of the host's file Source, which has Size bytes.
type File struct {
	Path   string
	Data   []byte
	Source string
	Size   int64
	Exec   bool // mode 0755 instead of 0644
}

// Symlink is a symbolic link created in the root.
type Symlink struct {
	Path   string
	Target string // as stored in the link: absolute in the root, or relative
}

// Result is how a process ended. A process that failed is still a Result.
type Result struct {
	// ExitCode is the exit status, or 128+Signal if a signal ended it.
	ExitCode int
	// Signal is the signal that ended the process; 0 if it exited.
	Signal syscall.Signal
	// TimedOut says that Process.Timeout was reached and the action was ended.
	TimedOut bool

	Setup     time.Duration // from the request to the start of the process
	Wall      time.Duration // from its start to its end
	User, Sys time.Duration // processor time of it and its waited-for children
	// MaxRSS is the largest resident set of one of its processes in bytes.
	// The kernel counts the few MB of the helper it was started from.
	MaxRSS int64

	// Looks are what was looked at in Process.Scopes, sorted by path.
	Looks []Look

	// Refused lists what the action asked for and did not get, in order,
	// without repetition. Only filled if Process.Trace is set.
	Refused []Access
}

// OK reports whether the process ended with status 0 in time.
func (r Result) OK() bool { return r.ExitCode == 0 && r.Signal == 0 && !r.TimedOut }

// A Look is a path below a scope at which the action looked.
type Look struct {
	Path string
	What What
}

// What says what of a path somebody learned.
type What uint8

const (
	LookKind What = 1 << iota
	LookContent
	LookNames
)

// AccessKind says what an Access tried to do.
type AccessKind string

const (
	AccessRead    AccessKind = "read"    // open, stat, readlink... of a path
	AccessWrite   AccessKind = "write"   // open for writing, create, remove, rename...
	AccessExec    AccessKind = "exec"    // execve of a path
	AccessConnect AccessKind = "connect" // connect or send to an address
)

// Access is one refused access.
type Access struct {
	Kind AccessKind
	// Path is the absolute path inside the root, symbolic links of the
	// directory part not resolved. Empty for AccessConnect.
	Path string
	// Addr is "host:port" or a unix socket's name. Only for AccessConnect.
	Addr string
	// Err is what the process was told, for example syscall.ENOENT.
	Err syscall.Errno
	// Program is argv[0] of the process that asked.
	Program string
}

// Tier names the strength of isolation a result was made under.
type Tier string

const (
	// TierFull: every namespace, private root, seccomp, and Landlock where
	// the kernel has it.
	TierFull Tier = "full"
	// TierNone: this host refuses namespaces, nothing can be run.
	TierNone Tier = "none"
)
