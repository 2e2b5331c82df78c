//go:build !race

#include "textflag.h"

// func code6(root, arena *uint32, hi uint64) uint32
//
// Below the root without a branch: what is not a mid, a row or a leaf is read where it was
// read before. DX the entry, R13 where it is, R10 1<<30-1.
TEXT ·code6(SB), NOSPLIT, $0-28
	MOVQ root+0(FP), R8
	MOVQ arena+8(FP), R9
	MOVQ hi+16(FP), AX
	MOVL $0x3fffffff, R10

	// Root. Where it holds a code, it does for most of the addresses there are: a branch
	// is foreseen.
	MOVQ AX, BX
	SHRQ $48, BX
	MOVL (R8)(BX*4), DX
	MOVL DX, BX
	CMPL DX, $0xc0000000
	JCS done

	// Fan.
	MOVQ AX, BX
	SHRQ $32, BX
	MOVWLZX BX, BX
	ANDL R10, DX
	SHLQ $6, DX
	ADDQ R9, DX
	LEAQ (DX)(BX*4), R13
	MOVL (R13), DX

	// Mid.
	MOVQ AX, BX
	SHRQ $24, BX
	MOVBLZX BX, BX
	MOVL DX, CX
	ANDL R10, CX
	SHLQ $6, CX
	LEAQ (R9)(BX*4), R11
	ADDQ CX, R11
	SHRL $30, DX
	CMPL DX, $2
	CMOVQEQ R11, R13
	MOVL (R13), DX

	// Row, or the lower half of what was there.
	SHRQ $16, AX
	MOVBLZX AX, BX
	MOVL DX, CX
	ANDL R10, CX
	SHLQ $6, CX
	LEAQ (R9)(BX*2), R11
	ADDQ CX, R11
	MOVL DX, R12
	SHRL $30, R12
	CMPL R12, $2
	CMOVQEQ R11, R13
	MOVWLZX (R13), BX

	// Leaf, or the empty one at 0.
	XORL R11, R11
	CMPL R12, $1
	CMOVQNE R11, CX
	ADDQ R9, CX
	VMOVD AX, X0
	VPBROADCASTW X0, Y0
	VPMAXUW (CX), Y0, Y1
	VPCMPEQW Y0, Y1, Y1
	VPMOVMSKB Y1, DX
	POPCNTL DX, DX
	MOVWLZX 30(CX)(DX*1), DX
	CMPL R12, $1
	CMOVLEQ DX, BX
	VZEROUPPER
done:
	MOVL BX, ret+24(FP)
	RET
