#include "textflag.h"

// func cloneRun(flags, stack uintptr, pidfd *int32, fn, arg uintptr) uintptr
//
// The child starts on its own stack, so that neither task touches a frame of
// the other although they share memory. fn is called by Go's internal
// convention: the ABI0 wrapper of a race build would enter the race runtime.
TEXT ·cloneRun(SB), NOSPLIT|NOFRAME, $0-48
	MOVD	flags+0(FP), R0
	MOVD	stack+8(FP), R1
	MOVD	pidfd+16(FP), R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	fn+24(FP), R10
	MOVD	arg+32(FP), R11
	MOVD	$220, R8	// clone
	SVC
	CBNZ	R0, parent
	MOVD	R11, R0
	CALL	(R10)
	BRK
parent:
	MOVD	R0, ret+40(FP)
	RET
