package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -modfile=../../tools/avo.mod simd_generate.go simd_generate_logistic.go simd_generate_cycle.go simd_generate_gemm.go simd_generate_activation.go simd_generate_distance.go -out simd_amd64.s -stubs simd_stubs_amd64.go -pkg kernel

// avx2 chooses the loops with AVX2. GODEBUG=cpu.avx2=off has the others run.
var avx2 = cpu.X86.HasAVX2

// avx512 chooses the loop with AVX-512, beside avx2. GODEBUG=cpu.avx512f=off has the other run.
var avx512 = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL

// fused says whether there are instructions that round a product and a sum once; those of
// AVX-512 are a part of it.
var fused = cpu.X86.HasFMA
