#include <stdint.h>

// What Cr and Cb add to red, green and blue, in fixed point of 13 bits.
typedef struct {
	int16_t cr_red, cb_green, cr_green, cb_blue;
} matrix;

void row(matrix m, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int32_t n, uint8_t *rgba);
