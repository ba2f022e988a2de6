/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocations made by our code while `counting`: the linker wraps the functions (bench/CMakeLists.txt). For one file of a
 * program.
 */
#ifndef AEROSTAT_BENCH_ALLOCATIONS_H
#define AEROSTAT_BENCH_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static bool counting;
static uint64_t allocations;

#define WRAP_ALLOCATOR(name)          \
    void *__real_##name(size_t size); \
    void *__wrap_##name(size_t size); \
    void *__wrap_##name(size_t size)  \
    {                                 \
        allocations += counting;      \
        return __real_##name(size);   \
    }
#define WRAP_ARRAY_ALLOCATOR(name)              \
    void *__real_##name(size_t n, size_t size); \
    void *__wrap_##name(size_t n, size_t size); \
    void *__wrap_##name(size_t n, size_t size)  \
    {                                           \
        allocations += counting;                \
        return __real_##name(n, size);          \
    }

WRAP_ALLOCATOR(malloc)
WRAP_ALLOCATOR(g_malloc)
WRAP_ALLOCATOR(g_malloc0)
WRAP_ARRAY_ALLOCATOR(calloc)
WRAP_ARRAY_ALLOCATOR(g_malloc_n)
WRAP_ARRAY_ALLOCATOR(g_malloc0_n)

#undef WRAP_ALLOCATOR
#undef WRAP_ARRAY_ALLOCATOR

#endif
