#include "textflag.h"

// func clone(flags, stack uintptr, pl *plan) (pid int, errno uintptr)
//
// The child runs on the stack given, of which the parent's return address is no part: it calls (*plan).child and never comes back.
TEXT ·clone(SB), NOSPLIT|NOFRAME, $0-40
	MOVQ	flags+0(FP), DI
	MOVQ	stack+8(FP), SI
	MOVQ	pl+16(FP), R12
	SUBQ	$16, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$56, AX			// SYS_clone
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	CMPQ	AX, $0xfffffffffffff001
	JLS	parent
	MOVQ	$-1, pid+24(FP)
	NEGQ	AX
	MOVQ	AX, errno+32(FP)
	RET
parent:
	MOVQ	AX, pid+24(FP)
	MOVQ	$0, errno+32(FP)
	RET
child:
	MOVQ	R12, 0(SP)
	CALL	·inChild(SB)
	INT	$3
