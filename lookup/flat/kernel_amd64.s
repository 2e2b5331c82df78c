//go:build !race

#include "textflag.h"

// Both loops take 16 addresses at a time:
//
//	byte offset  (address >> 8) << width
//	code         four bytes from there, those above the code masked off
//	out          code - 1, or none for code 0, or what the table says
//	odd          positions whose code is deep
//
// Z31 1, Z30 mask of a code and deep, Z27 none, Z26 positions, Z25 16, Z24 width;
// SI dst, DI out, R8 codes, R10 odd, CX left, AX count.

#define PROLOGUE \
	MOVQ codes+0(FP), R8 \
	MOVQ dst+8(FP), SI \
	MOVQ out+16(FP), DI \
	MOVQ n+24(FP), CX \
	VPBROADCASTD width+32(FP), Z24 \
	VPBROADCASTD deep+36(FP), Z30 \
	VPBROADCASTD none+40(FP), Z27 \
	MOVQ odd+48(FP), R10 \
	MOVL $1, DX \
	VPBROADCASTD DX, Z31 \
	MOVL $16, DX \
	VPBROADCASTD DX, Z25 \
	VMOVDQU32 positions<>(SB), Z26 \
	XORQ AX, AX

#define CODES \
	VPSRLD $8, (SI), Z1 \
	VPSLLVD Z24, Z1, Z1 \
	KXNORW K1, K1, K1 \
	VPGATHERDD (R8)(Z1*1), K1, Z2 \
	VPANDD Z30, Z2, Z2

#define ODD \
	VPCMPEQD Z30, Z2, K3 \
	KORTESTW K3, K3

#define NOTE \
	KMOVW K3, DX \
	VPCOMPRESSD Z26, K3, Z6 \
	VMOVDQU32 Z6, (R10)(AX*4) \
	POPCNTL DX, DX \
	ADDQ DX, AX

#define NEXT \
	VPADDD Z25, Z26, Z26 \
	ADDQ $64, SI \
	ADDQ $64, DI

// func lookup4Plain(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[528]uint32) int
TEXT ·lookup4Plain(SB), NOSPLIT, $0-64
	PROLOGUE
plain:
	CODES
	VPSUBD Z31, Z2, Z5
	VPTESTNMD Z2, Z2, K5
	VMOVDQA32 Z27, K5, Z5
	VMOVDQU32 Z5, (DI)
	ODD
	JEQ plainnext
	NOTE
plainnext:
	NEXT
	SUBQ $16, CX
	JNE plain
	MOVQ AX, ret+56(FP)
	VZEROUPPER
	RET

// func lookup4Decode(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[528]uint32, indexes *uint32) int
TEXT ·lookup4Decode(SB), NOSPLIT, $0-72
	PROLOGUE
	MOVQ indexes+56(FP), R11
decode:
	CODES
	// Neither no match nor deep has an entry.
	VPTESTMD Z2, Z2, K5
	VPCMPUD $4, Z30, Z2, K6
	KANDW K5, K6, K6
	VMOVDQA32 Z27, Z5
	VPGATHERDD (R11)(Z2*4), K6, Z5
	VMOVDQU32 Z5, (DI)
	ODD
	JEQ decodenext
	NOTE
decodenext:
	NEXT
	SUBQ $16, CX
	JNE decode
	MOVQ AX, ret+64(FP)
	VZEROUPPER
	RET

DATA positions<>+0(SB)/4, $0
DATA positions<>+4(SB)/4, $1
DATA positions<>+8(SB)/4, $2
DATA positions<>+12(SB)/4, $3
DATA positions<>+16(SB)/4, $4
DATA positions<>+20(SB)/4, $5
DATA positions<>+24(SB)/4, $6
DATA positions<>+28(SB)/4, $7
DATA positions<>+32(SB)/4, $8
DATA positions<>+36(SB)/4, $9
DATA positions<>+40(SB)/4, $10
DATA positions<>+44(SB)/4, $11
DATA positions<>+48(SB)/4, $12
DATA positions<>+52(SB)/4, $13
DATA positions<>+56(SB)/4, $14
DATA positions<>+60(SB)/4, $15
GLOBL positions<>(SB), RODATA|NOPTR, $64
