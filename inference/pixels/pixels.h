#include <stdint.h>

void narrow(const uint8_t *rgba, const int32_t *firsts, int32_t n, const int16_t *halves, int32_t quads, uint8_t *rgb);
void lower(const uint8_t *rows, const int32_t *weights, int32_t n, int32_t width, uint8_t *row);
int32_t bright(const uint8_t *rgba, int32_t n, uint8_t threshold, int32_t *columns);
