/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values out of the input, see fuzz.h.
 */
#include "core/le.h"
#include "tests/fuzz/fuzz.h"

static uint64_t take(FuzzInput *in, unsigned size)
{
    uint8_t bytes[8] = {0};
    size_t n = MIN(size, in->left);

    memcpy(bytes, in->p, n);
    in->p += n;
    in->left -= n;
    return le_load(bytes, sizeof bytes);
}

uint8_t fuzz_u8(FuzzInput *in)
{
    return (uint8_t)take(in, 1);
}

uint16_t fuzz_u16(FuzzInput *in)
{
    return (uint16_t)take(in, 2);
}

uint32_t fuzz_u32(FuzzInput *in)
{
    return (uint32_t)take(in, 4);
}

uint64_t fuzz_u64(FuzzInput *in)
{
    return take(in, 8);
}

unsigned fuzz_below(FuzzInput *in, unsigned n)
{
    return fuzz_u8(in) % n;
}

unsigned fuzz_size(FuzzInput *in)
{
    return 1u << fuzz_u8(in) % 4;
}

const uint8_t *fuzz_bytes(FuzzInput *in, size_t max, size_t *ret_len)
{
    size_t len = fuzz_u8(in);
    const uint8_t *bytes = in->p;

    len = MIN(MIN(len, max), in->left);
    in->p += len;
    in->left -= len;
    *ret_len = len;
    return bytes;
}

/* Values that find edges sooner than chance does. */
static const uint64_t edges[] = {
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xfff,
    0x1000,
    0x7fff,
    0x8000,
    0xffff,
    0x10000,
    0x7fffffff,
    1u << 31,
    UINT32_MAX,
    1ull << 32,
    INT64_MAX,
    UINT64_MAX,
    FUZZ_RINGS,
    FUZZ_RINGS + 0x1000,
    FUZZ_BUFFERS,
    FAKE_RAM_EDGE - 8,
    FAKE_RAM_LOW - 8,
    FAKE_RAM_LOW,
    FAKE_RAM_HIGH,
    FAKE_RAM_HIGH + FAKE_RAM_HIGH_SIZE - 4,
};

uint64_t fuzz_number(FuzzInput *in)
{
    unsigned kind = fuzz_below(in, 6);

    switch (kind) {
    case 0:
        return edges[fuzz_below(in, G_N_ELEMENTS(edges))];
    case 1:
        return edges[fuzz_below(in, G_N_ELEMENTS(edges))] + (int8_t)fuzz_u8(in);
    default:
        return take(in, 1u << (kind - 2));
    }
}
