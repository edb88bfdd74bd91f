#include "textflag.h"

// The code of the program that image makes. It runs alone, without the Go runtime: nothing here may use the stack or memory but
// the table. R12 is the step, R13 the set of the errors that were passed over.
//
// The numbers are those of image.go: tableAt, verdictAt, and the fields of a record.
TEXT ·stub(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $0x500040, R12
	XORQ R13, R13
step:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9
	SYSCALL
	CMPQ AX, $-4095
	JCC  failed
	MOVQ 56(R12), BX
	TESTQ BX, BX
	JEQ  look
	CMPQ AX, BX
	JNE  unwanted
look:
	MOVQ 72(R12), BX
	TESTQ BX, BX
	JEQ  next
	CMPB (BX), $0x2f
	JNE  outside
next:
	ADDQ $80, R12
	JMP  step
unwanted:
	MOVQ $125, AX // ECANCELED
	JMP  verdict
outside:
	MOVQ $2, AX // ENOENT
	JMP  verdict
failed:
	NEGQ AX
	CMPQ AX, $63
	JHI  verdict
	MOVQ 64(R12), BX
	BTQ  AX, BX
	JCC  verdict
	BTSQ AX, R13
	JMP  next
verdict:
	MOVQ $0x500000, SI
	MOVQ R12, 0(SI)
	MOVQ AX, 8(SI)
	MOVQ R13, 16(SI)
	MOVQ $4, DI
	MOVQ $24, DX
	MOVQ $1, AX // write(2)
	SYSCALL
leave:
	MOVQ $1, DI
	MOVQ $231, AX // exit_group(2)
	SYSCALL
	JMP  leave

// func copyStub(to *[codeSize]byte)
TEXT ·copyStub(SB), NOSPLIT, $0-8
	MOVQ to+0(FP), DI
	LEAQ ·stub(SB), SI
	MOVQ $512, CX
	CLD
	REP; MOVSB
	RET
