//go:build !race

#include "textflag.h"

// The loops of kernel_amd64.s for AVX2, 8 addresses at a time.
//
// Y15 1, Y14 mask of a code and deep, Y13 none, X12 width, Y11 0;
// SI dst, DI out, R8 codes, R10 odd, R9 position, CX left, AX count.

#define PROLOGUE \
	MOVQ codes+0(FP), R8 \
	MOVQ dst+8(FP), SI \
	MOVQ out+16(FP), DI \
	MOVQ n+24(FP), CX \
	MOVL width+32(FP), DX \
	VMOVD DX, X12 \
	VPBROADCASTD deep+36(FP), Y14 \
	VPBROADCASTD none+40(FP), Y13 \
	MOVQ odd+48(FP), R10 \
	MOVL $1, DX \
	VMOVD DX, X15 \
	VPBROADCASTD X15, Y15 \
	VPXOR Y11, Y11, Y11 \
	XORQ R9, R9 \
	XORQ AX, AX

#define CODES \
	VMOVDQU (SI), Y1 \
	VPSRLD $8, Y1, Y1 \
	VPSLLD X12, Y1, Y1 \
	VPCMPEQD Y3, Y3, Y3 \
	VPGATHERDD Y3, (R8)(Y1*1), Y2 \
	VPAND Y14, Y2, Y2 \
	VPCMPEQD Y11, Y2, Y4 \
	VPCMPEQD Y14, Y2, Y6

// NOTE writes down the positions of deep codes, whose bits are in DX.
#define NOTE(again, done) \
	VMOVMSKPS Y6, DX \
	TESTL DX, DX \
	JEQ done \
again: \
	BSFL DX, BX \
	ADDL R9, BX \
	MOVL BX, (R10)(AX*4) \
	INCQ AX \
	LEAL -1(DX), BX \
	ANDL BX, DX \
	JNE again \
done: \
	ADDQ $8, R9 \
	ADDQ $32, SI \
	ADDQ $32, DI \
	SUBQ $8, CX

// func lookup4PlainAVX2(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[528]uint32) int
TEXT ·lookup4PlainAVX2(SB), NOSPLIT, $0-64
	PROLOGUE
plain:
	CODES
	VPSUBD Y15, Y2, Y5
	VPBLENDVB Y4, Y13, Y5, Y5
	VMOVDQU Y5, (DI)
	NOTE(plainagain, plainnext)
	JNE plain
	MOVQ AX, ret+56(FP)
	VZEROUPPER
	RET

// func lookup4DecodeAVX2(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[528]uint32, indexes *uint32) int
TEXT ·lookup4DecodeAVX2(SB), NOSPLIT, $0-72
	PROLOGUE
	MOVQ indexes+56(FP), R11
decode:
	CODES
	// Neither no match nor deep has an entry.
	VPOR Y4, Y6, Y7
	VPCMPEQD Y11, Y7, Y7
	VMOVDQA Y13, Y5
	VPGATHERDD Y7, (R11)(Y2*4), Y5
	VMOVDQU Y5, (DI)
	NOTE(decodeagain, decodenext)
	JNE decode
	MOVQ AX, ret+64(FP)
	VZEROUPPER
	RET
