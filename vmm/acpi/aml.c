/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AML encoding: ACPI 6.5 §20.2 (grammar) and §6.4 (resource data types).
 */
#include <string.h>

#include "core/le.h"
#include "vmm/acpi/aml.h"

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXT = 0x5b,
    OP_EXT_REGION = 0x80,
    OP_EXT_FIELD = 0x81,
    OP_EXT_DEVICE = 0x82,
    OP_STORE = 0x70,
    OP_AND = 0x7b,
    OP_OR = 0x7d,
    OP_NOTIFY = 0x86,
    OP_DWORD_FIELD = 0x8a,
    OP_LNOT = 0x92,
    OP_LEQUAL = 0x93,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    OP_RETURN = 0xa4,
};

static void put8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void put_le(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t bytes[8];

    le_store(bytes, v, size);
    g_byte_array_append(out, bytes, size);
}

/* --- data --- */

void aml_int(GByteArray *out, uint64_t value)
{
    if (value <= 1) {
        put8(out, value ? OP_ONE : OP_ZERO);
    } else if (value <= UINT8_MAX) {
        put8(out, OP_BYTE);
        put8(out, value);
    } else if (value <= UINT16_MAX) {
        put8(out, OP_WORD);
        put_le(out, value, 2);
    } else if (value <= UINT32_MAX) {
        put8(out, OP_DWORD);
        put_le(out, value, 4);
    } else {
        put8(out, OP_QWORD);
        put_le(out, value, 8);
    }
}

void aml_string(GByteArray *out, const char *text)
{
    put8(out, OP_STRING);
    g_byte_array_append(out, (const uint8_t *)text, strlen(text) + 1);
}

/* ACPI 6.5 §6.1.5: three letters of five bits and four hexadecimal digits, big-endian. */
void aml_eisa_id(GByteArray *out, const char *id)
{
    uint32_t v = 0;

    g_assert(strlen(id) == 7);
    for (int i = 0; i < 3; i++) {
        v = v << 5 | (id[i] - 'A' + 1);
    }
    for (int i = 3; i < 7; i++) {
        v = v << 4 | g_ascii_xdigit_value(id[i]);
    }
    put8(out, OP_DWORD);
    put_le(out, GUINT32_SWAP_LE_BE(v), 4);
}

static const char *put_name_seg(GByteArray *out, const char *p)
{
    for (int i = 0; i < 4; i++) {
        put8(out, *p && *p != '.' ? *p++ : '_');
    }
    g_assert(!*p || *p == '.');
    return *p == '.' ? p + 1 : p;
}

void aml_path(GByteArray *out, const char *path)
{
    unsigned segs = 0;

    while (*path == '\\' || *path == '^') {
        put8(out, *path++);
    }
    for (const char *p = path; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL) {
        segs++;
    }
    g_assert(*path && segs < 256);
    if (segs == 2) {
        put8(out, OP_DUAL_NAME);
    } else if (segs > 2) {
        put8(out, OP_MULTI_NAME);
        put8(out, segs);
    }
    while (*path) {
        path = put_name_seg(out, path);
    }
}

/* ACPI 6.5 §20.2.4: one byte below 64, else the low nibble in the first byte and up to three bytes
 * more. */
unsigned aml_pkg_length(uint8_t enc[4], uint32_t length, bool include_self)
{
    unsigned n = 1;

    while (length + (include_self ? n : 0) >= (n == 1 ? 1u << 6 : 1u << (4 + 8 * (n - 1)))) {
        n++;
    }
    g_assert(n <= 4);
    length += include_self ? n : 0;
    if (n == 1) {
        enc[0] = length;
        return 1;
    }
    enc[0] = (n - 1) << 6 | (length & 0xf);
    for (unsigned i = 1; i < n; i++) {
        enc[i] = length >> (8 * i - 4);
    }
    return n;
}

/* --- things with a length --- */

static AmlMark mark_here(GByteArray *out)
{
    return (AmlMark){out->len};
}

void aml_end(GByteArray *out, AmlMark mark)
{
    uint8_t enc[4];
    guint body = out->len - mark.at;
    unsigned n = aml_pkg_length(enc, body, true);

    g_byte_array_set_size(out, out->len + n);
    memmove(out->data + mark.at + n, out->data + mark.at, body);
    memcpy(out->data + mark.at, enc, n);
}

static AmlMark begin_named(GByteArray *out, const char *path)
{
    AmlMark mark = mark_here(out);

    aml_path(out, path);
    return mark;
}

AmlMark aml_scope_begin(GByteArray *out, const char *path)
{
    put8(out, OP_SCOPE);
    return begin_named(out, path);
}

AmlMark aml_device_begin(GByteArray *out, const char *path)
{
    put8(out, OP_EXT);
    put8(out, OP_EXT_DEVICE);
    return begin_named(out, path);
}

AmlMark aml_method_begin(GByteArray *out, const char *path, unsigned args, bool serialized)
{
    AmlMark mark;

    put8(out, OP_METHOD);
    mark = begin_named(out, path);
    put8(out, args | (serialized ? 1 << 3 : 0));
    return mark;
}

AmlMark aml_package_begin(GByteArray *out, unsigned elements)
{
    AmlMark mark;

    g_assert(elements <= UINT8_MAX);
    put8(out, OP_PACKAGE);
    mark = mark_here(out);
    put8(out, elements);
    return mark;
}

AmlMark aml_if_begin(GByteArray *out)
{
    put8(out, OP_IF);
    return mark_here(out);
}

AmlMark aml_else_begin(GByteArray *out)
{
    put8(out, OP_ELSE);
    return mark_here(out);
}

/* The first three groups of digits are little-endian. */
void aml_uuid(GByteArray *out, const char *uuid)
{
    static const uint8_t place[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
    AmlMark mark;

    g_assert(strlen(uuid) == 36);
    put8(out, OP_BUFFER);
    mark = mark_here(out);
    aml_int(out, sizeof place);
    for (unsigned i = 0; i < sizeof place; i++) {
        put8(out,
             g_ascii_xdigit_value(uuid[place[i]]) << 4 | g_ascii_xdigit_value(uuid[place[i] + 1]));
    }
    aml_end(out, mark);
}

/* --- named objects --- */

void aml_name(GByteArray *out, const char *path)
{
    put8(out, OP_NAME);
    aml_path(out, path);
}

void aml_name_int(GByteArray *out, const char *path, uint64_t value)
{
    aml_name(out, path);
    aml_int(out, value);
}

void aml_name_string(GByteArray *out, const char *path, const char *text)
{
    aml_name(out, path);
    aml_string(out, text);
}

void aml_name_eisa_id(GByteArray *out, const char *path, const char *id)
{
    aml_name(out, path);
    aml_eisa_id(out, id);
}

void aml_name_resources(GByteArray *out, const char *path, GByteArray *resources)
{
    static const uint8_t end_tag[2] = {0x79, 0}; /* checksum 0: not computed (§6.4.2.9) */
    AmlMark mark;

    aml_name(out, path);
    put8(out, OP_BUFFER);
    mark = mark_here(out);
    aml_int(out, resources->len + sizeof end_tag);
    g_byte_array_append(out, resources->data, resources->len);
    g_byte_array_append(out, end_tag, sizeof end_tag);
    aml_end(out, mark);
}

enum { SYSTEM_MEMORY = 0, SYSTEM_IO = 1 };

static void put_register(GByteArray *out, uint8_t space, const char *region, const char *field,
                         uint64_t base, unsigned size)
{
    enum { WRITE_AS_ZEROS = 2 << 5 };
    uint8_t enc[4];
    AmlMark mark;

    g_assert(size == 1 || size == 2 || size == 4);
    put8(out, OP_EXT);
    put8(out, OP_EXT_REGION);
    aml_path(out, region);
    put8(out, space);
    aml_int(out, base);
    aml_int(out, size);

    put8(out, OP_EXT);
    put8(out, OP_EXT_FIELD);
    mark = begin_named(out, region);
    put8(out, (size == 1   ? 1
               : size == 2 ? 2
                           : 3) |
                  WRITE_AS_ZEROS); /* access as wide as the register */
    put_name_seg(out, field);
    g_byte_array_append(out, enc, aml_pkg_length(enc, size * 8, false));
    aml_end(out, mark);
}

void aml_mmio_register(GByteArray *out, const char *region, const char *field, uint64_t base,
                       unsigned size)
{
    put_register(out, SYSTEM_MEMORY, region, field, base, size);
}

void aml_io_register(GByteArray *out, const char *region, const char *field, uint16_t port,
                     unsigned size)
{
    put_register(out, SYSTEM_IO, region, field, port, size);
}

/* --- statements and expressions --- */

void aml_load(GByteArray *out, const char *name, AmlLocal local)
{
    put8(out, OP_STORE);
    aml_path(out, name);
    put8(out, local);
}

void aml_store_int(GByteArray *out, uint64_t value, const char *name)
{
    put8(out, OP_STORE);
    aml_int(out, value);
    aml_path(out, name);
}

void aml_local(GByteArray *out, AmlLocal local)
{
    put8(out, local);
}

void aml_arg(GByteArray *out, AmlArg arg)
{
    put8(out, arg);
}

void aml_not(GByteArray *out)
{
    put8(out, OP_LNOT);
}

void aml_equal(GByteArray *out)
{
    put8(out, OP_LEQUAL);
}

void aml_return(GByteArray *out)
{
    put8(out, OP_RETURN);
}

void aml_dword_field(GByteArray *out, AmlArg buffer, unsigned off, const char *field)
{
    put8(out, OP_DWORD_FIELD);
    put8(out, buffer);
    aml_int(out, off);
    put_name_seg(out, field);
}

void aml_and_to(GByteArray *out, AmlLocal local, uint64_t mask, const char *name)
{
    put8(out, OP_AND);
    put8(out, local);
    aml_int(out, mask);
    aml_path(out, name);
}

void aml_or_to(GByteArray *out, AmlArg a, AmlArg b, const char *name)
{
    put8(out, OP_OR);
    put8(out, a);
    put8(out, b);
    aml_path(out, name);
}

void aml_or_in(GByteArray *out, const char *name, uint64_t bits)
{
    put8(out, OP_OR);
    aml_path(out, name);
    aml_int(out, bits);
    aml_path(out, name);
}

void aml_call(GByteArray *out, const char *path)
{
    aml_path(out, path);
}

void aml_and(GByteArray *out, AmlLocal local, uint64_t mask)
{
    put8(out, OP_AND);
    put8(out, local);
    aml_int(out, mask);
    put8(out, OP_ZERO); /* no target */
}

void aml_notify(GByteArray *out, const char *path, uint64_t value)
{
    put8(out, OP_NOTIFY);
    aml_path(out, path);
    aml_int(out, value);
}

/* --- resource descriptors --- */

void aml_res_io(GByteArray *res, uint16_t base, uint8_t len)
{
    put8(res, 0x47);
    put8(res, 1); /* decodes 16 bits */
    put_le(res, base, 2);
    put_le(res, base, 2);
    put8(res, 1);
    put8(res, len);
}

void aml_res_irq(GByteArray *res, uint32_t gsi, AmlIrqMode mode)
{
    put8(res, 0x89); /* extended: any GSI, and no question about legacy overrides */
    put_le(res, 6, 2);
    put8(res, mode);
    put8(res, 1);
    put_le(res, gsi, 4);
}

enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
enum {
    ADDR_CONSUMER = 1,
    ADDR_FIXED = 0x0c
}; /* general flags: both ends fixed, positive decoding */
enum { MEMORY_RW_UNCACHED = 0x01, IO_ENTIRE_RANGE = 3 }; /* type-specific flags */

/* §6.4.3.5: an address space descriptor with numbers of `width` bytes. */
static void address_space(GByteArray *res, unsigned width, uint8_t space, uint8_t flags,
                          uint8_t type_flags, uint64_t base, uint64_t size)
{
    put8(res, width == 2 ? 0x88 : width == 4 ? 0x87 : 0x8a);
    put_le(res, 3 + 5 * width, 2);
    put8(res, space);
    put8(res, flags);
    put8(res, type_flags);
    put_le(res, 0, width); /* granularity */
    put_le(res, base, width);
    put_le(res, base + size - 1, width);
    put_le(res, 0, width); /* translation */
    put_le(res, size, width);
}

static bool fits_32(uint64_t base, uint64_t size)
{
    return base <= UINT32_MAX && size <= UINT32_MAX && base + size - 1 <= UINT32_MAX;
}

void aml_res_memory(GByteArray *res, uint64_t base, uint64_t size)
{
    if (!fits_32(base, size)) {
        address_space(res, 8, SPACE_MEMORY, ADDR_CONSUMER | ADDR_FIXED, MEMORY_RW_UNCACHED, base,
                      size);
        return;
    }
    put8(res, 0x86);
    put_le(res, 9, 2);
    put8(res, 1); /* read and write */
    put_le(res, base, 4);
    put_le(res, size, 4);
}

void aml_res_bus_window(GByteArray *res, uint8_t first, unsigned count)
{
    address_space(res, 2, SPACE_BUS, ADDR_FIXED, 0, first, count);
}

void aml_res_io_window(GByteArray *res, uint32_t base, uint32_t size)
{
    if (size) {
        address_space(res, size > UINT16_MAX ? 4 : 2, SPACE_IO, ADDR_FIXED, IO_ENTIRE_RANGE, base,
                      size);
    }
}

void aml_res_memory_window(GByteArray *res, uint64_t base, uint64_t size)
{
    if (size) {
        address_space(res, fits_32(base, size) ? 4 : 8, SPACE_MEMORY, ADDR_FIXED,
                      MEMORY_RW_UNCACHED, base, size);
    }
}
