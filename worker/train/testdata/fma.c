// The peer of BenchmarkNetwork: fused multiplications and additions of float32s, in as many
// registers as hide what one takes. It prints the processor seconds of 10^9 operations, of which
// such an instruction does two in each lane.
//
//	cc -O3 -march=native -o fma fma.c
#include <stdio.h>
#include <time.h>

#ifdef __AVX512F__
enum { lanes = 16 };
#else
enum { lanes = 8 };
#endif
typedef float vector __attribute__((vector_size(4 * lanes)));

#define STEP(v) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(v) : "v"(x), "v"(y));

static double seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(void) {
	const long steps = 1000 * 1000;
	vector x = {0}, y = {0}, a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
	for (int round = 0; round < 15; round++) {
		double began = seconds();
		for (long s = 0; s < steps; s++) {
			STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)
		}
		printf("%.9f\n", (seconds() - began) / (steps * 12 * 2 * lanes / 1e9));
	}
}
