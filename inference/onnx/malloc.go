package onnx

/*
#include <malloc.h>

static void give_back(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 128 << 10);
#endif
}
*/
import "C"

// What is allocated outside Go, by ONNX Runtime and SQLite, goes back to the system as it is freed. By itself glibc keeps a heap for each of many
// threads, and ever more of what was freed once something large was (mallopt(3)): of a gateway at rest a quarter.
func init() { C.give_back() }
