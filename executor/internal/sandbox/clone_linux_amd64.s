#include "textflag.h"

// func cloneRun(flags, stack uintptr, pidfd *int32, fn, arg uintptr) uintptr
//
// The child starts on its own stack, so that neither task touches a frame of
// the other although they share memory. fn is called by Go's internal
// convention: the ABI0 wrapper of a race build would enter the race runtime.
TEXT ·cloneRun(SB), NOSPLIT|NOFRAME, $0-48
	MOVQ	flags+0(FP), DI
	MOVQ	stack+8(FP), SI
	MOVQ	pidfd+16(FP), DX
	XORL	R10, R10
	XORL	R8, R8
	MOVQ	fn+24(FP), R12
	MOVQ	arg+32(FP), R13
	MOVQ	$56, AX	// clone
	SYSCALL
	TESTQ	AX, AX
	JNE	parent
	MOVQ	R13, AX
	XORPS	X15, X15
	CALL	R12
	INT	$3
parent:
	MOVQ	AX, ret+40(FP)
	RET
