// The peer of BenchmarkEpoch: logistic regression on the five features of flights, with Adam, over
// batches that lie column by column, written with AVX2 for this one model: in their order in
// memory, or in another order each epoch, as training has them. It prints the processor seconds of each epoch.
//
//	epoch rows epochs sequential|shuffled
#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { batch = 1024, slots = 4 };
static const int card[slots] = {230, 231, 25, 8};

static inline __m256 sigmoid8(__m256 z) {
	z = _mm256_min_ps(_mm256_max_ps(z, _mm256_set1_ps(-87)), _mm256_set1_ps(87));
	__m256 t = _mm256_mul_ps(z, _mm256_set1_ps(-1.44269504088896341f));
	__m256 k = _mm256_round_ps(t, 8), f = _mm256_sub_ps(t, k);
	__m256 p = _mm256_set1_ps(1.535336188319500e-4f);
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.339887440266574e-3f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.618437357674640e-3f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.550332471162809e-2f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.402264791363012e-1f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.931472028550421e-1f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1));
	__m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23);
	p = _mm256_mul_ps(p, _mm256_castsi256_ps(e));
	return _mm256_div_ps(_mm256_set1_ps(1), _mm256_add_ps(_mm256_set1_ps(1), p));
}

static double seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc != 4) return 1;
	int shuffled = !strcmp(argv[3], "shuffled");
	long rows = atol(argv[1]);
	int epochs = atoi(argv[2]);
	int size = 2, at[slots + 1];
	for (int j = 0; j < slots; j++) at[j] = size - 1, size += card[j];
	float *x = aligned_alloc(64, rows * 4);
	unsigned char *small = aligned_alloc(64, rows * 5); // batch after batch: 4 ids, label
	srand(1);
	for (long i = 0; i < rows; i++) {
		long b = i / batch, r = i % batch;
		float u = 0;
		for (int k = 0; k < 12; k++) u += (float)rand() / RAND_MAX;
		x[i] = u - 6;
		for (int j = 0; j < slots; j++) {
			int id = -log(((double)rand() + 1) / (RAND_MAX + 1.0)) * card[j] / 4;
			small[b * 5 * batch + j * batch + r] = id < card[j] ? id : card[j] - 1;
		}
		small[b * 5 * batch + 4 * batch + r] = rand() % 5 == 4;
	}
	int *order = malloc(rows / batch * sizeof *order);
	for (long b = 0; b < rows / batch; b++) order[b] = b;
	float w[512] = {0}, g[512], m[512] = {0}, v[512] = {0}, d[batch] __attribute__((aligned(64)));
	float b1 = 0.9, b2 = 0.999, rate = 0.004, eps = 1e-8, c1 = 0, c2 = 0, l2 = 0.01 / rows;
	for (int e = 0; e < epochs; e++) {
		double began = seconds();
		double loss = 0;
		for (long k = rows / batch; k > 0; k--) {
			long other = shuffled ? random() % k : k - 1, b = order[other];
			order[other] = order[k - 1], order[k - 1] = b;
			const float *xb = x + b * batch;
			const unsigned char *id = small + b * 5 * batch;
			const __m256 w0 = _mm256_set1_ps(w[0]), bias = _mm256_set1_ps(w[size - 1]), scale = _mm256_set1_ps(1.0f / batch);
			__m256 dx = _mm256_setzero_ps(), ds = dx;
			__m256d product = _mm256_set1_pd(1), product2 = product;
			memset(g, 0, sizeof g);
			for (int i = 0; i < batch; i += 8) {
				__m256 xi = _mm256_loadu_ps(xb + i), z = _mm256_fmadd_ps(w0, xi, bias);
				for (int j = 0; j < slots; j++) {
					const unsigned char *k = id + j * batch + i;
					const float *t = w + at[j];
					z = _mm256_add_ps(z, _mm256_setr_ps(t[k[0]], t[k[1]], t[k[2]], t[k[3]], t[k[4]], t[k[5]], t[k[6]], t[k[7]]));
				}
				__m256 y = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(id + 4 * batch + i))));
				__m256 r = _mm256_sub_ps(sigmoid8(z), y);
				__m256 q = _mm256_sub_ps(_mm256_set1_ps(1), _mm256_andnot_ps(_mm256_set1_ps(-0.0f), r));
				q = _mm256_max_ps(q, _mm256_set1_ps(1.0f / (1 << 23)));
				product = _mm256_mul_pd(product, _mm256_cvtps_pd(_mm256_castps256_ps128(q)));
				product2 = _mm256_mul_pd(product2, _mm256_cvtps_pd(_mm256_extractf128_ps(q, 1)));
				if ((i & 127) == 120) {
					double p[8];
					_mm256_storeu_pd(p, product), _mm256_storeu_pd(p + 4, product2);
					for (int k = 0; k < 8; k += 2) loss -= log(p[k] * p[k + 1]);
					product = product2 = _mm256_set1_pd(1);
				}
				r = _mm256_mul_ps(r, scale);
				dx = _mm256_fmadd_ps(r, xi, dx), ds = _mm256_add_ps(ds, r);
				_mm256_store_ps(d + i, r);
			}
			float *t0 = g + at[0], *t1 = g + at[1], *t2 = g + at[2], *t3 = g + at[3];
			for (int i = 0; i < batch; i++) {
				float r = d[i];
				t0[id[i]] += r, t1[id[batch + i]] += r, t2[id[2 * batch + i]] += r, t3[id[3 * batch + i]] += r;
			}
			float s[8];
			_mm256_storeu_ps(s, dx);
			for (int k = 0; k < 8; k++) g[0] += s[k];
			_mm256_storeu_ps(s, ds);
			for (int k = 0; k < 8; k++) g[size - 1] += s[k];
			c1 = b1 * c1 + (1 - b1), c2 = b2 * c2 + (1 - b2);
			float root = sqrtf(c2), step = rate * root / c1, bar = eps * root;
			for (int i = 0; i < 512; i++) {
				float gi = g[i] + l2 * w[i];
				m[i] = b1 * m[i] + (1 - b1) * gi;
				v[i] = b2 * v[i] + (1 - b2) * gi * gi;
				w[i] -= step * m[i] / (sqrtf(v[i]) + bar);
			}
		}
		printf("%.9f loss %.6f\n", seconds() - began, loss / rows);
	}
}
