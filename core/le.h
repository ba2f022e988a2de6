/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian integers as they lie in guest memory and on the wire. Each is a struct, so that reading one
 * without converting it does not compile.
 */
#ifndef AEROSTAT_CORE_LE_H
#define AEROSTAT_CORE_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint16_t raw; } Le16;
typedef struct { uint32_t raw; } Le32;
typedef struct { uint64_t raw; } Le64;

static inline uint16_t le16_get(Le16 v) { return le16toh(v.raw); }
static inline uint32_t le32_get(Le32 v) { return le32toh(v.raw); }
static inline uint64_t le64_get(Le64 v) { return le64toh(v.raw); }
static inline Le16 le16_make(uint16_t v) { return (Le16){htole16(v)}; }
static inline Le32 le32_make(uint32_t v) { return (Le32){htole32(v)}; }
static inline Le64 le64_make(uint64_t v) { return (Le64){htole64(v)}; }

/* size bytes (1, 2, 4 or 8) at p, which need not be aligned, as a little-endian number. */
static inline uint64_t le_load(const void *p, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, p, size);
    return le64toh(v);
}

static inline void le_store(void *p, uint64_t v, unsigned size)
{
    v = htole64(v);
    memcpy(p, &v, size);
}

#endif
