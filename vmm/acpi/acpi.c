/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables as one blob: RSDP first, then XSDT and what it lists. Hardware-reduced (ACPI 6.5
 * §4.1): no PM1, GPE or SCI; sleep, reset and events go through the registers of acpi-ged. No FACS,
 * no legacy interrupt overrides: ISA interrupt n is GSI n.
 */
#include <string.h>

#include "core/le.h"
#include "hw/misc/acpi-ged.h"
#include "vmm/acpi/acpi-internal.h"

enum { HEADER_SIZE = 36, RSDP_SIZE = 36, RSDP_V1_SIZE = 20, TABLE_ALIGN = 16, TABLES_MAX = 4 };

static const char rsdp_signature[8] = "RSD PTR ";
static const char oem_id[6] = "AEROST";
static const char oem_table_id[8] = "AEROSTAT";
static const char creator_id[4] = "AERO";

/* Makes the bytes' sum zero by way of the byte at sum_at, which is zero so far. */
static void put_checksum(uint8_t *p, size_t len, size_t sum_at)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += p[i];
    }
    p[sum_at] = -sum;
}

static void put_le(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t bytes[8];

    le_store(bytes, v, size);
    g_byte_array_append(out, bytes, size);
}

/* Grows the blob to the alignment with zeros. */
static void align_blob(GByteArray *out)
{
    static const uint8_t zeros[TABLE_ALIGN];

    g_byte_array_append(out, zeros, -out->len & (TABLE_ALIGN - 1));
}

/* ACPI 6.5 §5.2.6. Length and checksum come with table_end. Returns the table's offset. */
static guint table_begin(GByteArray *out, const char *signature, uint8_t revision)
{
    uint8_t h[HEADER_SIZE] = {0};
    guint at;

    align_blob(out);
    at = out->len;
    memcpy(h, signature, 4);
    h[8] = revision;
    memcpy(h + 10, oem_id, sizeof oem_id);
    memcpy(h + 16, oem_table_id, sizeof oem_table_id);
    le_store(h + 24, 1, 4);
    memcpy(h + 28, creator_id, sizeof creator_id);
    le_store(h + 32, 1, 4);
    g_byte_array_append(out, h, sizeof h);
    return at;
}

static void table_end(GByteArray *out, guint at)
{
    le_store(out->data + at + 4, out->len - at, 4);
    put_checksum(out->data + at, out->len - at, 9);
}

/* --- DSDT --- */

static guint add_dsdt(GByteArray *out, const AcpiConfig *config)
{
    guint at = table_begin(out, "DSDT", 2); /* 2: integers have 64 bits */

    acpi_dsdt_aml(out, config);
    table_end(out, at);
    return at;
}

/* --- FADT, ACPI 6.5 §5.2.9; offsets within the table --- */

enum {
    FADT_DSDT = 40,
    FADT_IAPC_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_MINOR = 131,
    FADT_X_DSDT = 140,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
    FADT_SIZE = 276,
};

enum { /* flags */
       FADT_WBINVD = 1 << 0,
       FADT_PROC_C1 = 1 << 2,
       FADT_PWR_BUTTON = 1 << 4, /* no fixed-hardware button: it is a device, or there is none */
       FADT_SLP_BUTTON = 1 << 5,
       FADT_FIX_RTC = 1 << 6, /* RTC wake is not in fixed hardware */
       FADT_RESET_REG_SUP = 1 << 10,
       FADT_HW_REDUCED = 1 << 20,
};

enum { /* IA-PC boot architecture */
       IAPC_8042 = 1 << 1,
       IAPC_NO_VGA = 1 << 2,
       IAPC_NO_CMOS_RTC = 1 << 5,
};

/* A generic address structure for a byte in memory. */
static void put_byte_register(uint8_t *p, uint64_t address)
{
    p[0] = 0; /* system memory */
    p[1] = 8; /* bits wide */
    p[2] = 0; /* at bit */
    p[3] = 1; /* accessed by bytes */
    le_store(p + 4, address, 8);
}

static guint add_fadt(GByteArray *out, const AcpiConfig *config, uint64_t dsdt)
{
    guint at = table_begin(out, "FACP", 6);
    uint32_t flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
                     FADT_HW_REDUCED;
    uint8_t *t;

    g_byte_array_set_size(out, at + FADT_SIZE);
    t = out->data + at;
    memset(t + HEADER_SIZE, 0, FADT_SIZE - HEADER_SIZE);
    le_store(t + FADT_DSDT, dsdt, 4);
    le_store(t + FADT_X_DSDT, dsdt, 8);
    le_store(t + FADT_IAPC_BOOT_ARCH,
             IAPC_NO_VGA | (config->rtc ? 0 : IAPC_NO_CMOS_RTC) | (config->i8042 ? IAPC_8042 : 0),
             2);
    t[FADT_MINOR] = 5;
    if (config->ged_base) {
        flags |= FADT_RESET_REG_SUP;
        put_byte_register(t + FADT_RESET_REG, config->ged_base + ACPI_GED_RESET);
        t[FADT_RESET_VALUE] = ACPI_GED_RESET_VALUE;
        put_byte_register(t + FADT_SLEEP_CONTROL, config->ged_base + ACPI_GED_SLEEP_CONTROL);
        put_byte_register(t + FADT_SLEEP_STATUS, config->ged_base + ACPI_GED_SLEEP_STATUS);
    }
    le_store(t + FADT_FLAGS, flags, 4);
    table_end(out, at);
    return at;
}

/* --- MADT, ACPI 6.5 §5.2.12 --- */

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_X2APIC = 9, MADT_ENABLED = 1, MADT_PCAT_COMPAT = 1 };

static void add_madt_cpu(GByteArray *out, unsigned id)
{
    if (id < 255) {
        put_le(out, MADT_LAPIC | 8 << 8, 2);
        put_le(out, id | id << 8, 2); /* UID, APIC id */
        put_le(out, MADT_ENABLED, 4);
        return;
    }
    put_le(out, MADT_X2APIC | 16 << 8, 4);
    put_le(out, id, 4);
    put_le(out, MADT_ENABLED, 4);
    put_le(out, id, 4);
}

static guint add_madt(GByteArray *out, const AcpiConfig *config)
{
    guint at = table_begin(out, "APIC", 5);

    put_le(out, config->lapic_base, 4);
    put_le(out, config->pic ? MADT_PCAT_COMPAT : 0, 4);
    for (unsigned i = 0; i < config->nr_cpus; i++) {
        add_madt_cpu(out, i);
    }
    put_le(out, MADT_IOAPIC | 12 << 8, 2);
    put_le(out, 0, 2); /* id 0 */
    put_le(out, config->ioapic_base, 4);
    put_le(out, 0, 4); /* its first GSI */
    table_end(out, at);
    return at;
}

/* --- MCFG, PCI Firmware Specification 3.3 §4.1.2 --- */

static guint add_mcfg(GByteArray *out, const PciHostWindows *w)
{
    guint at = table_begin(out, "MCFG", 1);
    uint64_t buses = MIN(MAX(w->ecam_size >> 20, 1), 256);

    put_le(out, 0, 8);
    put_le(out, w->ecam_base, 8);
    put_le(out, (buses - 1) << 24, 4); /* segment 0, first bus 0, last bus */
    put_le(out, 0, 4);
    table_end(out, at);
    return at;
}

/* --- the roots --- */

static void put_rsdp(uint8_t *p, uint64_t xsdt)
{
    memcpy(p, rsdp_signature, sizeof rsdp_signature);
    memcpy(p + 9, oem_id, sizeof oem_id);
    p[15] = 2;
    le_store(p + 20, RSDP_SIZE, 4);
    le_store(p + 24, xsdt, 8);
    put_checksum(p, RSDP_V1_SIZE, 8);
    put_checksum(p, RSDP_SIZE, 32);
}

GByteArray *acpi_build(const AcpiConfig *config, Gpa base, Gpa *ret_rsdp)
{
    static const uint8_t rsdp[RSDP_SIZE];
    GByteArray *out = g_byte_array_new();
    guint tables[TABLES_MAX], n = 0, dsdt, xsdt;

    g_byte_array_append(out, rsdp, sizeof rsdp); /* filled in last */
    dsdt = add_dsdt(out, config);
    tables[n++] = add_fadt(out, config, base.v + dsdt);
    tables[n++] = add_madt(out, config);
    if (config->pci && config->pci->ecam_size) {
        tables[n++] = add_mcfg(out, config->pci);
    }
    xsdt = table_begin(out, "XSDT", 1);
    for (guint i = 0; i < n; i++) {
        put_le(out, base.v + tables[i], 8);
    }
    table_end(out, xsdt);
    put_rsdp(out->data, base.v + xsdt);
    g_assert(base.v % TABLE_ALIGN == 0 && base.v + out->len <= UINT64_C(1) << 32);
    *ret_rsdp = base;
    return out;
}
