//go:build !race

#include "textflag.h"

// The stages of kernel6_amd64.s for AVX2, 8 addresses at a time.
//
// A gather takes the lanes whose mask is negative. Of an entry, the first bit and that of its
// double are the kind, so that both make masks without a comparison.

// Offsets in scratch6.
#define ENTRIES 0
#define QUARTER 2048
#define LEAVES 4096
#define ODD 8192

// LIST appends the positions of the lanes that are negative in mask. Y10 the first of the lanes, Y11 8,
// R10 lanes, AX how many are in the list.
#define LIST(mask, list) \
	VMOVMSKPS mask, DX \
	VPMOVZXBD (R10)(DX*8), Y8 \
	VPADDD Y10, Y8, Y8 \
	VMOVDQU Y8, list(BX)(AX*4) \
	POPCNTL DX, DX \
	ADDQ DX, AX \
	VPADDD Y11, Y10, Y10

// func lookup6AVX2(root, arena, indexes *uint32, dst *[2]uint64, out *uint32, n int, none uint32, s *scratch6, lanes *uint64) int
TEXT ·lookup6AVX2(SB), NOSPLIT, $0-80
	MOVQ root+0(FP), R8
	MOVQ arena+8(FP), R9
	MOVQ indexes+16(FP), R11
	MOVQ dst+24(FP), SI
	MOVQ n+40(FP), CX
	MOVQ s+56(FP), BX
	MOVL $0xffff, DX
	VMOVD DX, X15
	VPBROADCASTD X15, Y15

	// Root and fan.
	MOVQ BX, DI
	MOVQ CX, R12
fan:
	VMOVDQU (SI), X3
	VMOVDQU 16(SI), X4
	VMOVDQU 32(SI), X5
	VMOVDQU 48(SI), X6
	VINSERTI128 $1, 64(SI), Y3, Y3
	VINSERTI128 $1, 80(SI), Y4, Y4
	VINSERTI128 $1, 96(SI), Y5, Y5
	VINSERTI128 $1, 112(SI), Y6, Y6
	VPUNPCKLQDQ Y4, Y3, Y3
	VPUNPCKLQDQ Y6, Y5, Y5
	VSHUFPS $0xdd, Y5, Y3, Y1
	VSHUFPS $0x88, Y5, Y3, Y2
	VPSRLD $16, Y2, Y2
	VMOVDQU Y2, QUARTER(DI)
	VPSRLD $16, Y1, Y3
	VPCMPEQD Y7, Y7, Y7
	VPGATHERDD Y7, (R8)(Y3*4), Y0
	VPADDD Y0, Y0, Y3
	VPAND Y0, Y3, Y3
	VPSLLD $4, Y0, Y4
	VPAND Y15, Y1, Y5
	VPADDD Y5, Y4, Y4
	VPGATHERDD Y3, (R9)(Y4*4), Y0
	VMOVDQU Y0, ENTRIES(DI)
	ADDQ $128, SI
	ADDQ $32, DI
	SUBQ $8, R12
	JNE fan

	// Mid.
	MOVQ BX, DI
	MOVQ CX, R12
mid:
	VMOVDQU ENTRIES(DI), Y0
	VMOVDQU QUARTER(DI), Y2
	VPADDD Y0, Y0, Y3
	VPANDN Y0, Y3, Y3
	VPSLLD $4, Y0, Y4
	VPSRLD $8, Y2, Y5
	VPADDD Y5, Y4, Y4
	VPGATHERDD Y3, (R9)(Y4*4), Y0
	VMOVDQU Y0, ENTRIES(DI)
	ADDQ $32, DI
	SUBQ $8, R12
	JNE mid

	// Row, and which addresses have leaves: the others would take the places of loads that wait.
	VPSRLD $8, Y15, Y14
	MOVQ lanes+64(FP), R10
	MOVL $8, DX
	VMOVD DX, X11
	VPBROADCASTD X11, Y11
	VPXOR Y10, Y10, Y10
	XORQ AX, AX
	MOVQ BX, DI
	MOVQ CX, R12
row:
	VMOVDQU ENTRIES(DI), Y0
	VPADDD Y0, Y0, Y3
	VPANDN Y3, Y0, Y6
	LIST(Y6, LEAVES)
	VPANDN Y0, Y3, Y3
	VMOVMSKPS Y3, DX
	TESTL DX, DX
	JEQ norow
	VPAND QUARTER(DI), Y14, Y2
	VPSLLD $5, Y0, Y4
	VPADDD Y2, Y4, Y4
	VPSRAD $31, Y3, Y7
	VPGATHERDD Y3, (R9)(Y4*2), Y5
	VPAND Y15, Y5, Y5
	VPBLENDVB Y7, Y5, Y0, Y0
	VMOVDQU Y0, ENTRIES(DI)
norow:
	ADDQ $32, DI
	SUBQ $8, R12
	JNE row

	// Leaf: twice how many of the 16 bounds are not above the address.
	LEAQ LEAVES(BX), DI
	TESTQ AX, AX
	JEQ noleaf
leaf:
	MOVL (DI), R12
	MOVL ENTRIES(BX)(R12*4), SI
	SHLL $6, SI
	ADDQ R9, SI
	VPBROADCASTW QUARTER(BX)(R12*4), Y0
	VPMAXUW (SI), Y0, Y1
	VPCMPEQW Y0, Y1, Y1
	VPMOVMSKB Y1, DX
	POPCNTL DX, DX
	MOVWLZX 30(SI)(DX*1), DX
	MOVL DX, ENTRIES(BX)(R12*4)
	ADDQ $4, DI
	SUBQ $1, AX
	JNE leaf
noleaf:

	// Answers. The count of leaves is down to 0.
	MOVQ out+32(FP), R13
	MOVL none+48(FP), DX
	VMOVD DX, X13
	VPBROADCASTD X13, Y13
	VPXOR Y12, Y12, Y12
	VPXOR Y10, Y10, Y10
	MOVQ BX, DI
answer:
	VMOVDQU ENTRIES(DI), Y0
	VPCMPGTD Y12, Y0, Y1
	VMOVDQA Y13, Y9
	VPGATHERDD Y1, (R11)(Y0*4), Y9
	VMOVDQU Y9, (R13)
	VPCMPEQD Y15, Y0, Y3
	LIST(Y3, ODD)
	ADDQ $32, DI
	ADDQ $32, R13
	SUBQ $8, CX
	JNE answer
	MOVQ AX, ret+72(FP)
	VZEROUPPER
	RET
