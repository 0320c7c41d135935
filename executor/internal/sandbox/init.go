//go:build linux && (amd64 || arm64)

package sandbox

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Everything in this file runs in the action's pid 1: a task that shares the
// helper's memory, has its own stack and no Go runtime. It may only use what
// is in its arena. It must not allocate, grow a stack, take a lock or panic,
// hence nosplit, norace, nocheckptr and pointers instead of slices.
//
// Sharing memory instead of copying it makes the cost of an action independent
// of the size of this executable's heap. An action cannot use it: the helper
// is not dumpable, so its memory is closed to a process without capabilities.

// arena is the memory of one action, outside of the Go heap.
type arena struct {
	// Set by the helper before the clone: what every plan starts with.
	preCode  unsafe.Pointer // *instr
	preNCode uintptr
	preBlob  unsafe.Pointer
	stack2   uintptr // stack of the task that execs
	execPC   uintptr
	sigSet   uint64 // SIGCHLD and SIGTERM
	noSigs   uint64
	sigInfo  [16]uint64

	// Set by the helper before it sets run.
	code   unsafe.Pointer // *instr
	ncode  uintptr
	blob   unsafe.Pointer
	regs   [numRegs]uint64
	path   uintptr // what to exec
	argv   uintptr
	shArgv uintptr // the same run by /bin/sh
	shell  uintptr // "/bin/sh"
	envp   uintptr
	run    uint32 // futex: pid 1 waits until it is not 0

	// Set by pid 1, a futex too: its descriptor of the listener and one more; 0 before.
	listener uint32

	// Set by pid 1.
	state   uint32
	failPC  uint32
	errno   uint32
	execErr uint32
	mainPID uintptr
	status  uint32
	start   unix.Timespec
	end     unix.Timespec
	usage   syscall.Rusage
}

func cloneRun(flags, stack uintptr, pidfd *int32, fn, arg uintptr) uintptr

// entry is the address of f for a call by Go's internal convention.
func entry(f func(*arena)) uintptr { return **(**uintptr)(unsafe.Pointer(&f)) }

const (
	cloneVMVfork = unix.CLONE_VM | unix.CLONE_VFORK | uintptr(unix.SIGCHLD)
	maxErrno     = ^uintptr(4095) + 1
	sigSetSize   = 8
	futexWait    = 128     // FUTEX_WAIT_PRIVATE
	futexWake    = 129     // FUTEX_WAKE_PRIVATE
	preludePC    = 1 << 31 // in failPC: an instruction of the prelude
)

// initMain is pid 1: it carries out the prelude, waits for its action, carries
// out the program, starts the process, reaps whatever ends, and exits when the
// process has ended, upon which the kernel kills all that is left.
//
//go:nosplit
//go:norace
//go:nocheckptr
func initMain(a *arena) {
	for pc := uintptr(0); pc < a.preNCode; pc++ {
		in := (*instr)(unsafe.Add(a.preCode, pc*unsafe.Sizeof(instr{})))
		if e := step1(a, in, a.preBlob); e != 0 {
			a.failPC, a.errno, a.state = preludePC|uint32(pc), uint32(e), stateFailed
			die()
		}
	}
	for a.run == 0 {
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&a.run)), futexWait, 0, 0, 0, 0)
	}
	// The descriptors of this action have arrived in the helper's table.
	if _, _, e := syscall.RawSyscall6(unix.SYS_UNSHARE, unix.CLONE_FILES, 0, 0, 0, 0, 0); e != 0 {
		a.errno, a.state = uint32(e), stateCloneError
		die()
	}
	for pc := uintptr(0); pc < a.ncode; pc++ {
		in := (*instr)(unsafe.Add(a.code, pc*unsafe.Sizeof(instr{})))
		if e := step1(a, in, a.blob); e != 0 {
			a.failPC, a.errno, a.state = uint32(pc), uint32(e), stateFailed
			die()
		}
	}
	syscall.RawSyscall6(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&a.start)), 0, 0, 0, 0)
	pid := cloneRun(cloneVMVfork, a.stack2, nil, a.execPC, uintptr(unsafe.Pointer(a)))
	if pid >= maxErrno {
		a.errno, a.state = uint32(-pid), stateExecError
		die()
	}
	if a.execErr != 0 {
		a.errno, a.state = a.execErr, stateExecError
		die()
	}
	a.mainPID = pid
	for {
		got, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&a.status)),
			unix.WNOHANG|unix.WALL, 0, 0, 0)
		if e == 0 && got == pid {
			break
		}
		if e == 0 && got != 0 {
			continue
		}
		sig, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&a.sigSet)),
			uintptr(unsafe.Pointer(&a.sigInfo)), 0, sigSetSize, 0, 0)
		if e == 0 && sig == uintptr(unix.SIGTERM) {
			syscall.RawSyscall6(unix.SYS_KILL, -pid, uintptr(unix.SIGTERM), 0, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&a.end)), 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_GETRUSAGE, ^uintptr(0), uintptr(unsafe.Pointer(&a.usage)), 0, 0, 0, 0)
	a.state = stateEnded
	die()
}

// step1 carries out one instruction.
//
//go:nosplit
//go:norace
//go:nocheckptr
func step1(a *arena, in *instr, blob unsafe.Pointer) uintptr {
	var v [6]uintptr
	for i := range v {
		switch in.kinds[i] {
		case argPtr:
			v[i] = uintptr(blob) + uintptr(in.args[i])
		case argReg:
			v[i] = uintptr(a.regs[in.args[i]&(numRegs-1)])
		default:
			v[i] = uintptr(in.args[i])
		}
	}
	switch in.nr {
	case opStore32:
		*(*uint32)(unsafe.Add(blob, in.args[0])) = uint32(v[1])
		return 0
	case opStorePtr:
		*(*uintptr)(unsafe.Add(blob, in.args[0])) = v[1]
		return 0
	case opListen:
		a.listener = uint32(v[0]) + 1
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&a.listener)), futexWake, 1, 0, 0, 0)
		return 0
	case opEqual:
		if v[0] != v[1] {
			return uintptr(unix.EIO)
		}
		return 0
	}
	r, _, e := syscall.RawSyscall6(uintptr(in.nr), v[0], v[1], v[2], v[3], v[4], v[5])
	if e != 0 {
		if uint8(e) == in.tol[0] || uint8(e) == in.tol[1] {
			if in.dst != noReg {
				a.regs[in.dst&(numRegs-1)] = ^uint64(0)
			}
			return 0
		}
		return uintptr(e)
	}
	if in.dst != noReg {
		a.regs[in.dst&(numRegs-1)] = uint64(r)
	}
	return 0
}

// execMain becomes the action's process. pid 1 is suspended meanwhile.
//
//go:nosplit
//go:norace
//go:nocheckptr
func execMain(a *arena) {
	// A process group, for SIGTERM. Not a session: the helper's has no terminal
	// either, and the kernel's autogroup would treat every action as a newcomer
	// that waits for its turn, milliseconds on a busy machine.
	syscall.RawSyscall6(unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&a.noSigs)), 0, sigSetSize, 0, 0)
	_, _, e := syscall.RawSyscall6(unix.SYS_EXECVE, a.path, a.argv, a.envp, 0, 0, 0)
	if e == syscall.ENOEXEC {
		_, _, e = syscall.RawSyscall6(unix.SYS_EXECVE, a.shell, a.shArgv, a.envp, 0, 0, 0)
	}
	a.execErr = uint32(e)
	die()
}

//go:nosplit
//go:norace
func die() {
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
	}
}
