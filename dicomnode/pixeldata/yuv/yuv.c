#include "yuv.h"

#include <emmintrin.h> // SSE2, which every processor of amd64 has

enum { gain = 19077, bits = 5, half = 1 << (bits - 1) }; // 255/219 in 14 bits; of sums

static __m128i channel(__m128i luma, __m128i chroma) { return _mm_srai_epi16(_mm_add_epi16(luma, chroma), bits); }

static uint8_t clipped(int sum) {
	sum >>= bits;
	return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

// Sixteen pixels at a time: a sample in the upper bits of 16 times a factor, of which the upper 16 bits stay, has 5 bits behind the point.
void row(matrix m, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n, uint8_t *rgba) {
	const __m128i zero = _mm_setzero_si128(), opaque = _mm_set1_epi8(-1), sign = _mm_set1_epi8(-128);
	const __m128i black = _mm_set1_epi16(16 << 7), up = _mm_set1_epi16(half), g = _mm_set1_epi16(gain);
	int32_t x = 0;
	for (; x + 16 <= n; x += 16) {
		__m128i u = _mm_unpacklo_epi8(zero, _mm_xor_si128(_mm_loadl_epi64((const __m128i *)(cb + x / 2)), sign));
		__m128i v = _mm_unpacklo_epi8(zero, _mm_xor_si128(_mm_loadl_epi64((const __m128i *)(cr + x / 2)), sign));
		__m128i red = _mm_mulhi_epi16(v, _mm_set1_epi16(m.cr_red)), blue = _mm_mulhi_epi16(u, _mm_set1_epi16(m.cb_blue));
		__m128i green = _mm_add_epi16(_mm_mulhi_epi16(u, _mm_set1_epi16(m.cb_green)), _mm_mulhi_epi16(v, _mm_set1_epi16(m.cr_green)));
		__m128i luma = _mm_loadu_si128((const __m128i *)(y + x));
		__m128i low = _mm_sub_epi16(_mm_srli_epi16(_mm_unpacklo_epi8(zero, luma), 1), black);
		__m128i high = _mm_sub_epi16(_mm_srli_epi16(_mm_unpackhi_epi8(zero, luma), 1), black);
		low = _mm_add_epi16(_mm_mulhi_epi16(low, g), up);
		high = _mm_add_epi16(_mm_mulhi_epi16(high, g), up);
		__m128i r = _mm_packus_epi16(channel(low, _mm_unpacklo_epi16(red, red)), channel(high, _mm_unpackhi_epi16(red, red)));
		__m128i gr = _mm_packus_epi16(channel(low, _mm_unpacklo_epi16(green, green)), channel(high, _mm_unpackhi_epi16(green, green)));
		__m128i b = _mm_packus_epi16(channel(low, _mm_unpacklo_epi16(blue, blue)), channel(high, _mm_unpackhi_epi16(blue, blue)));
		__m128i rg = _mm_unpacklo_epi8(r, gr), ba = _mm_unpacklo_epi8(b, opaque), *out = (__m128i *)(rgba + 4 * (intptr_t)x);
		_mm_storeu_si128(out, _mm_unpacklo_epi16(rg, ba));
		_mm_storeu_si128(out + 1, _mm_unpackhi_epi16(rg, ba));
		rg = _mm_unpackhi_epi8(r, gr), ba = _mm_unpackhi_epi8(b, opaque);
		_mm_storeu_si128(out + 2, _mm_unpacklo_epi16(rg, ba));
		_mm_storeu_si128(out + 3, _mm_unpackhi_epi16(rg, ba));
	}
	for (; x < n; x++) {
		int u = (cb[x / 2] - 128) * 256, v = (cr[x / 2] - 128) * 256, luma = ((y[x] - 16) * 128 * gain >> 16) + half;
		uint8_t *p = rgba + 4 * (intptr_t)x;
		p[0] = clipped(luma + (v * m.cr_red >> 16));
		p[1] = clipped(luma + (u * m.cb_green >> 16) + (v * m.cr_green >> 16));
		p[2] = clipped(luma + (u * m.cb_blue >> 16));
		p[3] = 255;
	}
}
