/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of x86-64 as gdb numbers them, and the description that says so. Features with gdb's
 * names have what gdb asks for; the control registers are one of our own.
 */
#include "vmm/gdb/gdb-internal.h"

#include <string.h>

typedef enum {
    IN_PLACE, /* of X86Registers, little-endian as the host is */
    FPU_CONTROL,
    FPU_STATUS,
    FPU_TAGS,
    FPU_IP_SEG,
    FPU_IP,
    FPU_DATA_SEG,
    FPU_DATA,
    FPU_OPCODE,
} Special;

typedef struct {
    uint16_t offset; /* of IN_PLACE */
    uint8_t size;    /* in the protocol */
    uint8_t width;   /* of the field; 0: size */
    Special special;
} Register;

G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

#define AT(field, bytes)                                         \
    {                                                            \
        .offset = offsetof(X86Registers, field), .size = (bytes) \
    }
#define NARROW(field, bytes, in)                                                \
    {                                                                           \
        .offset = offsetof(X86Registers, field), .size = (bytes), .width = (in) \
    }
#define FPU(what)                    \
    {                                \
        .size = 4, .special = (what) \
    }

/* clang-format off */
static const Register table[] = {
    AT(gpr[0], 8), AT(gpr[1], 8), AT(gpr[2], 8), AT(gpr[3], 8), AT(gpr[4], 8), AT(gpr[5], 8), AT(gpr[6], 8), AT(gpr[7], 8),
    AT(gpr[8], 8), AT(gpr[9], 8), AT(gpr[10], 8), AT(gpr[11], 8), AT(gpr[12], 8), AT(gpr[13], 8), AT(gpr[14], 8),
    AT(gpr[15], 8), AT(rip, 8), AT(rflags, 4),
    NARROW(seg[0], 4, 2), NARROW(seg[1], 4, 2), NARROW(seg[2], 4, 2), NARROW(seg[3], 4, 2), NARROW(seg[4], 4, 2),
    NARROW(seg[5], 4, 2),
    AT(st[0], 10), AT(st[1], 10), AT(st[2], 10), AT(st[3], 10), AT(st[4], 10), AT(st[5], 10), AT(st[6], 10), AT(st[7], 10),
    FPU(FPU_CONTROL), FPU(FPU_STATUS), FPU(FPU_TAGS), FPU(FPU_IP_SEG), FPU(FPU_IP), FPU(FPU_DATA_SEG), FPU(FPU_DATA),
    FPU(FPU_OPCODE),
    AT(xmm[0], 16), AT(xmm[1], 16), AT(xmm[2], 16), AT(xmm[3], 16), AT(xmm[4], 16), AT(xmm[5], 16), AT(xmm[6], 16),
    AT(xmm[7], 16), AT(xmm[8], 16), AT(xmm[9], 16), AT(xmm[10], 16), AT(xmm[11], 16), AT(xmm[12], 16), AT(xmm[13], 16),
    AT(xmm[14], 16), AT(xmm[15], 16), AT(mxcsr, 4),
    AT(fs_base, 8), AT(gs_base, 8),
    AT(kernel_gs_base, 8), AT(cr0, 8), AT(cr2, 8), AT(cr3, 8), AT(cr4, 8), AT(cr8, 8), AT(efer, 8),
};

#define REG(name, bits, type) "<reg name=\"" name "\" bitsize=\"" #bits "\" type=\"" type "\"/>"
#define GROUP(name, bits, type, group) \
    "<reg name=\"" name "\" bitsize=\"" #bits "\" type=\"" type "\" group=\"" group "\"/>"
#define I64(name) REG(name, 64, "int64")
#define I32(name) REG(name, 32, "int32")
#define ST(n)     REG("st" #n, 80, "i387_ext")
#define FLOAT(name) GROUP(name, 32, "int", "float")
#define XMM(n)    REG("xmm" #n, 128, "vec128")

/* In the order of the table. */
const char gdb_target_xml[] =
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
    "<target version=\"1.0\"><architecture>i386:x86-64</architecture>"
    "<feature name=\"org.gnu.gdb.i386.core\">"
    "<flags id=\"i386_eflags\" size=\"4\">"
    "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
    "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
    "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
    "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
    "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
    "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
    "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
    "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
    "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>"
    I64("rax") I64("rbx") I64("rcx") I64("rdx") I64("rsi") I64("rdi") REG("rbp", 64, "data_ptr") REG("rsp", 64, "data_ptr")
    I64("r8") I64("r9") I64("r10") I64("r11") I64("r12") I64("r13") I64("r14") I64("r15")
    REG("rip", 64, "code_ptr") REG("eflags", 32, "i386_eflags")
    I32("cs") I32("ss") I32("ds") I32("es") I32("fs") I32("gs")
    ST(0) ST(1) ST(2) ST(3) ST(4) ST(5) ST(6) ST(7)
    FLOAT("fctrl") FLOAT("fstat") FLOAT("ftag") FLOAT("fiseg") FLOAT("fioff") FLOAT("foseg") FLOAT("fooff") FLOAT("fop")
    "</feature>"
    "<feature name=\"org.gnu.gdb.i386.sse\">"
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    XMM(0) XMM(1) XMM(2) XMM(3) XMM(4) XMM(5) XMM(6) XMM(7) XMM(8) XMM(9) XMM(10) XMM(11) XMM(12) XMM(13) XMM(14) XMM(15)
    GROUP("mxcsr", 32, "int", "vector")
    "</feature>"
    "<feature name=\"org.gnu.gdb.i386.segments\">" I64("fs_base") I64("gs_base") "</feature>"
    "<feature name=\"aerostat.x86.system\">"
    I64("k_gs_base") I64("cr0") I64("cr2") I64("cr3") I64("cr4") I64("cr8") I64("efer")
    "</feature></target>";
/* clang-format on */

unsigned gdb_register_count(void)
{
    return G_N_ELEMENTS(table);
}

unsigned gdb_register_size(unsigned n)
{
    return n < G_N_ELEMENTS(table) ? table[n].size : 0;
}

/* --- the FPU: FXSAVE has a bit for each register, gdb wants the tag word of FSAVE --- */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const uint8_t st[10])
{
    uint64_t mantissa;
    unsigned exponent = (st[8] | st[9] << 8) & 0x7fff;

    memcpy(&mantissa, st, sizeof mantissa);
    if (exponent == 0) {
        return mantissa == 0 ? TAG_ZERO : TAG_SPECIAL;
    }
    return exponent == 0x7fff || !(mantissa >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static uint32_t get_tags(const X86Registers *x)
{
    unsigned top = x->fsw >> 11 & 7;
    uint32_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        bool used = x->ftw >> i & 1;

        tags |= (used ? tag_of(x->st[(i - top) & 7]) : TAG_EMPTY) << (2 * i);
    }
    return tags;
}

static void set_tags(X86Registers *x, uint32_t tags)
{
    x->ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        x->ftw |= (uint8_t)(((tags >> (2 * i) & 3) != TAG_EMPTY) << i);
    }
}

static uint64_t with_half(uint64_t old, unsigned shift, uint32_t value)
{
    return (old & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static uint32_t get_special(const X86Registers *x, Special what)
{
    switch (what) {
    case FPU_CONTROL:
        return x->fcw;
    case FPU_STATUS:
        return x->fsw;
    case FPU_TAGS:
        return get_tags(x);
    case FPU_IP_SEG:
        return (uint32_t)(x->fip >> 32);
    case FPU_IP:
        return (uint32_t)x->fip;
    case FPU_DATA_SEG:
        return (uint32_t)(x->fdp >> 32);
    case FPU_DATA:
        return (uint32_t)x->fdp;
    default:
        return x->fop;
    }
}

static void set_special(X86Registers *x, Special what, uint32_t value)
{
    switch (what) {
    case FPU_CONTROL:
        x->fcw = (uint16_t)value;
        break;
    case FPU_STATUS:
        x->fsw = (uint16_t)value;
        break;
    case FPU_TAGS:
        set_tags(x, value);
        break;
    case FPU_IP_SEG:
        x->fip = with_half(x->fip, 32, value);
        break;
    case FPU_IP:
        x->fip = with_half(x->fip, 0, value);
        break;
    case FPU_DATA_SEG:
        x->fdp = with_half(x->fdp, 32, value);
        break;
    case FPU_DATA:
        x->fdp = with_half(x->fdp, 0, value);
        break;
    default:
        x->fop = (uint16_t)value;
    }
}

/* --- one register --- */

void gdb_register_get(const X86Registers *regs, unsigned n, uint8_t *ret)
{
    const Register *r = &table[n];
    unsigned width = r->width ? r->width : r->size;

    memset(ret, 0, r->size);
    if (r->special != IN_PLACE) {
        uint32_t value = get_special(regs, r->special);

        memcpy(ret, &value, sizeof value);
    } else {
        memcpy(ret, (const uint8_t *)regs + r->offset, width);
    }
}

void gdb_register_set(X86Registers *regs, unsigned n, const uint8_t *bytes)
{
    const Register *r = &table[n];
    unsigned width = r->width ? r->width : r->size;

    if (r->special != IN_PLACE) {
        uint32_t value;

        memcpy(&value, bytes, sizeof value);
        set_special(regs, r->special, value);
    } else {
        memcpy((uint8_t *)regs + r->offset, bytes, width);
    }
}
