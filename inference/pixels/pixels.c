#include "pixels.h"

#include <emmintrin.h> // SSE2, which every processor of amd64 has

enum { fraction = 32 - 8 - 2, half = 1 << (fraction - 1), low = fraction / 2, chunk = 64 };

// One instruction multiplies pairs of 16 bits and adds them, four at a time: a weight is its upper and its lower half. What overflows on the
// way does so in whatever order is added.
void narrow(const uint8_t *rgba, const int32_t *firsts, int32_t n, const int16_t *halves, int32_t quads, uint8_t *rgb) {
	const __m128i zero = _mm_setzero_si128(), *w = (const __m128i *)halves;
	for (int32_t x = 0; x < n; x++) {
		const __m128i *p = (const __m128i *)(rgba + 4 * (intptr_t)firsts[x]);
		__m128i upper = zero, lower = zero, upper2 = zero, lower2 = zero;
		for (int32_t q = 0; q < quads; q++, w += 4) {
			__m128i four = _mm_shuffle_epi32(_mm_loadu_si128(p + q), _MM_SHUFFLE(3, 1, 2, 0));
			four = _mm_unpacklo_epi8(four, _mm_srli_si128(four, 8)); // r0 r1 g0 g1 b0 b1 a0 a1, and so of the other two pixels
			__m128i two = _mm_unpacklo_epi8(four, zero), two2 = _mm_unpackhi_epi8(four, zero);
			upper = _mm_add_epi32(upper, _mm_madd_epi16(two, _mm_loadu_si128(w)));
			lower = _mm_add_epi32(lower, _mm_madd_epi16(two, _mm_loadu_si128(w + 1)));
			upper2 = _mm_add_epi32(upper2, _mm_madd_epi16(two2, _mm_loadu_si128(w + 2)));
			lower2 = _mm_add_epi32(lower2, _mm_madd_epi16(two2, _mm_loadu_si128(w + 3)));
		}
		__m128i sums = _mm_slli_epi32(_mm_add_epi32(upper, upper2), low);
		sums = _mm_add_epi32(_mm_add_epi32(sums, _mm_add_epi32(lower, lower2)), _mm_set1_epi32(half));
		sums = _mm_srai_epi32(sums, fraction);
		sums = _mm_packs_epi32(sums, sums);
		int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(sums, sums)); // packing clips
		rgb[3 * x] = pixel;
		rgb[3 * x + 1] = pixel >> 8;
		rgb[3 * x + 2] = pixel >> 16;
	}
}

void lower(const uint8_t *rows, const int32_t *weights, int32_t n, int32_t width, uint8_t *row) {
	for (int32_t from = 0; from < width; from += chunk) {
		int32_t sums[chunk], length = width - from < chunk ? width - from : chunk;
		for (int32_t x = 0; x < length; x++)
			sums[x] = half;
		for (int32_t y = 0; y < n; y++) {
			const uint8_t *p = rows + (intptr_t)y * width + from;
			for (int32_t x = 0; x < length; x++)
				sums[x] += weights[y] * p[x];
		}
		for (int32_t x = 0; x < length; x++) {
			int32_t sum = sums[x] >> fraction;
			row[from + x] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
		}
	}
}

int32_t bright(const uint8_t *rgba, int32_t n, uint8_t threshold, int32_t *columns) {
	const __m128i zero = _mm_setzero_si128(), one = _mm_set1_epi32(1);
	const __m128i limit = _mm_set1_epi32(threshold * 0x010101 | (int32_t)0xff000000); // nothing is above that of alpha
	__m128i sums = zero;
	int32_t x = 0;
	for (; x + 4 <= n; x += 4) {
		__m128i above = _mm_subs_epu8(_mm_loadu_si128((const __m128i *)(rgba + 4 * x)), limit);
		__m128i is = _mm_add_epi32(_mm_cmpeq_epi32(above, zero), one), *four = (__m128i *)(columns + x);
		_mm_storeu_si128(four, _mm_add_epi32(_mm_loadu_si128(four), is));
		sums = _mm_add_epi32(sums, is);
	}
	int32_t parts[4];
	_mm_storeu_si128((__m128i *)parts, sums);
	int32_t found = parts[0] + parts[1] + parts[2] + parts[3];
	for (; x < n; x++) {
		const uint8_t *p = rgba + 4 * x;
		int32_t is = p[0] > threshold || p[1] > threshold || p[2] > threshold;
		columns[x] += is;
		found += is;
	}
	return found;
}
