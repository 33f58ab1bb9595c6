#include "textflag.h"

// 2^46 in the upper half: a row.
DATA row<>+0(SB)/8, $0
DATA row<>+8(SB)/8, $0x0000400000000000
GLOBL row<>(SB), RODATA|NOPTR, $16

// ADD adds X0 to the cell of the id in the lowest byte of R8.
#define ADD(table) \
	MOVBLZX R8, R9              \
	SHLQ    $4, R9              \
	MOVOU   table(DI)(R9*1), X2 \
	PADDQ   X0, X2              \
	MOVOU   X2, table(DI)(R9*1)

// func addOctets(cells [][256]HistogramCell, records []Record, octets *[8]uint8, stride int)
TEXT ·addOctets(SB), NOSPLIT, $0-64
	MOVQ  cells_base+0(FP), DI
	MOVQ  cells_len+8(FP), R10
	MOVQ  records_base+24(FP), SI
	MOVQ  records_len+32(FP), CX
	MOVQ  octets+48(FP), BX
	MOVQ  stride+56(FP), DX
	MOVOU row<>(SB), X1

loop:
	MOVQ      (BX), R8
	MOVQ      (SI), X0
	PXOR      X3, X3
	PCMPGTL   X0, X3      // all ones where a derivative is below 0
	PUNPCKLLQ X3, X0      // both as int64s
	PADDQ     X1, X0
	ADD(0)
	CMPQ R10, $1
	JEQ  next
	SHRQ $8, R8
	ADD(4096)
	CMPQ R10, $2
	JEQ  next
	SHRQ $8, R8
	ADD(8192)
	CMPQ R10, $3
	JEQ  next
	SHRQ $8, R8
	ADD(12288)
	CMPQ R10, $4
	JEQ  next
	SHRQ $8, R8
	ADD(16384)
	CMPQ R10, $5
	JEQ  next
	SHRQ $8, R8
	ADD(20480)
	CMPQ R10, $6
	JEQ  next
	SHRQ $8, R8
	ADD(24576)
	CMPQ R10, $7
	JEQ  next
	SHRQ $8, R8
	ADD(28672)

next:
	ADDQ DX, BX
	ADDQ $16, SI
	DECQ CX
	JNE  loop
	RET

// func part(records []Record, rows []uint16, ids *uint8, stride int, side *[256]uint8) (first int)
TEXT ·part(SB), NOSPLIT, $0-80
	MOVQ records_base+0(FP), SI // the next of those that come first
	MOVQ records_len+8(FP), CX
	MOVQ rows_base+24(FP), DI
	MOVQ ids+48(FP), BX
	MOVQ stride+56(FP), R12
	MOVQ side+64(FP), R8
	MOVQ SI, R10               // the one that is looked at
	MOVQ DI, R11
	MOVQ SI, R9

parting:
	PREFETCHT0 2048(R10) // a node's rows begin in a page that was not read ahead
	MOVBLZX (BX), DX
	MOVBLZX (R8)(DX*1), DX
	MOVOU   (R10), X0
	MOVOU   (SI), X1
	MOVWLZX (R11), AX
	MOVWLZX (DI), R13
	MOVOU   X1, (R10)
	MOVW    R13, (R11)
	MOVOU   X0, (SI)
	MOVW    AX, (DI)
	LEAQ    (DI)(DX*2), DI
	SHLQ    $4, DX
	ADDQ    DX, SI
	ADDQ    R12, BX
	ADDQ    $16, R10
	ADDQ    $2, R11
	DECQ    CX
	JNE     parting
	SUBQ    R9, SI
	SHRQ    $4, SI
	MOVQ    SI, first+72(FP)
	RET
