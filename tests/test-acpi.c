/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables (ACPI 6.5): AML encodings, checksums and pointers of the whole blob, what each
 * table says for a given machine, and, where iasl is installed, its opinion of them.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/le.h"
#include "hw/misc/acpi-ged.h"
#include "vmm/acpi/acpi.h"
#include "vmm/acpi/aml.h"
#include "tests/suite.h"

enum { BASE = 0xe0000 };

static const PciHostWindows windows = {
    .ecam_base = 0xb0000000,
    .ecam_size = 0x1000000, /* 16 buses */
    .mmio32_base = 0xc0000000,
    .mmio32_size = 0x3c000000,
    .mmio64_base = UINT64_C(0x8000000000),
    .mmio64_size = UINT64_C(0x8000000000),
    .pio_base = 0xc000,
    .pio_size = 0x4000,
    .config_ports = true,
};

static const AcpiConfig full = {
    .nr_cpus = 2,
    .ioapic_base = 0xfec00000,
    .lapic_base = 0xfee00000,
    .pci = &windows,
    .pci_gsi = {16, 17, 18, 19},
    .pcihp_port = 0xae00,
    .pcie_hotplug = true,
    .serial_iobase = 0x3f8,
    .serial_irq = 4,
    .rtc = true,
    .i8042 = true,
    .ged_base = 0xfe900000,
    .ged_irq = 9,
};

static const AcpiConfig micro = {
    .nr_cpus = 1,
    .ioapic_base = 0xfec00000,
    .lapic_base = 0xfee00000,
    .pic = true,
    .virtio_mmio_base = 0xfeb00000,
    .virtio_mmio_size = 0x200,
    .virtio_mmio_gsi = 16,
    .virtio_mmio_used = 0x85,
};

static const AcpiConfig bare = {.nr_cpus = 1, .ioapic_base = 0xfec00000, .lapic_base = 0xfee00000};

/* --- reading the blob as a guest does --- */

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--) {
        s += *p++;
    }
    return s;
}

/* The bytes at a guest address in a blob built at BASE. */
static const uint8_t *at(const GByteArray *blob, uint64_t gpa, size_t len)
{
    ck_assert_uint_ge(gpa, BASE);
    ck_assert_uint_le(gpa - BASE, blob->len);
    ck_assert_uint_le(len, blob->len - (gpa - BASE));
    return blob->data + (gpa - BASE);
}

static uint32_t table_len(const uint8_t *table)
{
    return le_load(table + 4, 4);
}

static const uint8_t *checked_table(const GByteArray *blob, uint64_t gpa, const char *signature)
{
    const uint8_t *t = at(blob, gpa, 36);

    ck_assert_uint_eq(gpa % 16, 0);
    if (signature) {
        ck_assert_mem_eq(t, signature, 4);
    }
    ck_assert_uint_ge(table_len(t), 36);
    at(blob, gpa, table_len(t));
    ck_assert_uint_eq(sum(t, table_len(t)), 0);
    return t;
}

static const uint8_t *xsdt_of(const GByteArray *blob, Gpa rsdp)
{
    const uint8_t *p = at(blob, rsdp.v, 36);

    ck_assert_mem_eq(p, "RSD PTR ", 8);
    ck_assert_uint_eq(sum(p, 20), 0);
    ck_assert_uint_eq(sum(p, 36), 0);
    ck_assert_uint_eq(p[15], 2);
    ck_assert_uint_eq(le_load(p + 16, 4), 0);
    ck_assert_uint_eq(le_load(p + 20, 4), 36);
    return checked_table(blob, le_load(p + 24, 8), "XSDT");
}

/* The table with this signature by way of RSDP, XSDT and (for the DSDT) FADT; NULL: there is none.
 */
static const uint8_t *find(const GByteArray *blob, Gpa rsdp, const char *signature)
{
    const uint8_t *xsdt = xsdt_of(blob, rsdp), *ret = NULL;

    ck_assert_uint_eq((table_len(xsdt) - 36) % 8, 0);
    for (uint32_t off = 36; off < table_len(xsdt); off += 8) {
        const uint8_t *t = checked_table(blob, le_load(xsdt + off, 8), NULL);

        if (!memcmp(t, "FACP", 4) && !strcmp(signature, "DSDT")) {
            ck_assert_uint_eq(le_load(t + 40, 4), le_load(t + 140, 8));
            ret = checked_table(blob, le_load(t + 140, 8), "DSDT");
        } else if (!memcmp(t, signature, 4)) {
            ret = t;
        }
    }
    return ret;
}

/* How often the bytes occur in a table. */
static unsigned count(const uint8_t *table, const void *bytes, size_t n)
{
    unsigned found = 0;

    for (size_t i = 0; i + n <= table_len(table); i++) {
        found += !memcmp(table + i, bytes, n);
    }
    return found;
}

#define COUNT(table, bytes) count(table, bytes, sizeof(bytes) - 1)

/* --- AML --- */

START_TEST(package_length_has_one_to_four_bytes)
{
    static const struct {
        uint32_t length;
        bool self;
        unsigned n;
        uint8_t enc[4];
    } rows[] = {
        {0, true, 1, {0x01}},
        {62, true, 1, {0x3f}},
        {63, true, 2, {0x41, 0x04}},
        {0xffd, true, 2, {0x4f, 0xff}},
        {0xffe, true, 3, {0x81, 0x00, 0x01}},
        {0xffffc, true, 3, {0x8f, 0xff, 0xff}},
        {0xffffd, true, 4, {0xc1, 0x00, 0x00, 0x01}},
        {32, false, 1, {0x20}},
        {63, false, 1, {0x3f}},
        {64, false, 2, {0x40, 0x04}},
    };
    uint8_t enc[4];

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        ck_assert_uint_eq(aml_pkg_length(enc, rows[i].length, rows[i].self), rows[i].n);
        ck_assert_mem_eq(enc, rows[i].enc, rows[i].n);
    }
}
END_TEST

static void check_bytes(GByteArray *out, const void *want, size_t len)
{
    ck_assert_uint_eq(out->len, len);
    ck_assert_mem_eq(out->data, want, len);
    g_byte_array_set_size(out, 0);
}

#define BYTES(out, want) check_bytes(out, want, sizeof(want) - 1)

START_TEST(integers_take_the_shortest_encoding)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    aml_int(out, 0);
    BYTES(out, "\x00");
    aml_int(out, 1);
    BYTES(out, "\x01");
    aml_int(out, 2);
    BYTES(out, "\x0a\x02");
    aml_int(out, 0x100);
    BYTES(out, "\x0b\x00\x01");
    aml_int(out, 0x12345678);
    BYTES(out, "\x0c\x78\x56\x34\x12");
    aml_int(out, UINT64_C(0x100000000));
    BYTES(out, "\x0e\x00\x00\x00\x00\x01\x00\x00\x00");
}
END_TEST

START_TEST(names_are_padded_and_prefixed_by_their_number)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    aml_path(out, "_HID");
    BYTES(out, "_HID");
    aml_path(out, "\\_SB");
    BYTES(out, "\\_SB_");
    aml_path(out, "\\_SB.GED");
    BYTES(out, "\\\x2e_SB_GED_");
    aml_path(out, "^A.B.C");
    BYTES(out, "^\x2f\x03"
               "A___B___C___");
    aml_eisa_id(out, "PNP0A08");
    BYTES(out, "\x0c\x41\xd0\x0a\x08");
}
END_TEST

START_TEST(nested_lengths_are_put_in_from_the_inside)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    AmlMark a = aml_scope_begin(out, "\\_SB"), b = aml_device_begin(out, "D");

    aml_name_int(out, "_UID", 7);
    aml_end(out, b);
    aml_end(out, a);
    BYTES(out, "\x10\x14\\_SB_\x5b\x82\x0c"
               "D___\x08_UID\x0a\x07");
}
END_TEST

START_TEST(resources_become_a_buffer_with_an_end_tag)
{
    g_autoptr(GByteArray) out = g_byte_array_new(), res = g_byte_array_new();

    aml_res_io(res, 0x3f8, 8);
    aml_res_irq(res, 4, AML_EDGE_HIGH);
    aml_name_resources(out, "_CRS", res);
    BYTES(out, "\x08_CRS\x11\x16\x0a\x13\x47\x01\xf8\x03\xf8\x03\x01\x08"
               "\x89\x06\x00\x03\x01\x04\x00\x00\x00\x79\x00");
    g_byte_array_set_size(res, 0);
    aml_res_memory(res, 0xfe900000, 0x1000);
    BYTES(res, "\x86\x09\x00\x01\x00\x00\x90\xfe\x00\x10\x00\x00");
    aml_res_bus_window(res, 0, 256);
    BYTES(res, "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\xff\x00\x00\x00\x00\x01");
    aml_res_memory_window(res, 0xfffff000, 0x1000); /* up to the very end of 32 bits */
    BYTES(res,
          "\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\xf0\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"
          "\x00\x10\x00\x00");
    aml_res_memory_window(res, 0xfffff000, 0x1001);
    ck_assert_uint_eq(res->data[0], 0x8a);
    ck_assert_uint_eq(res->len, 46);
}
END_TEST

/* --- the tables --- */

START_TEST(every_table_is_found_and_its_bytes_sum_to_zero)
{
    static const char *const all[] = {"FACP", "DSDT", "APIC", "MCFG"};
    g_autoptr(GByteArray) blob = NULL;
    Gpa rsdp;

    blob = acpi_build(&full, GPA(BASE), &rsdp);
    ck_assert_uint_eq(rsdp.v % 16, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        ck_assert_msg(find(blob, rsdp, all[i]), "%s", all[i]);
    }
}
END_TEST

START_TEST(the_same_machine_gives_the_same_bytes)
{
    g_autoptr(GByteArray) a = NULL, b = NULL, moved = NULL;
    Gpa rsdp;

    a = acpi_build(&full, GPA(BASE), &rsdp);
    b = acpi_build(&full, GPA(BASE), &rsdp);
    ck_assert_uint_eq(a->len, b->len);
    ck_assert_mem_eq(a->data, b->data, a->len);
    moved = acpi_build(&full, GPA(0x7fff0000), &rsdp);
    ck_assert_uint_eq(moved->len, a->len);
    ck_assert_uint_eq(rsdp.v, 0x7fff0000);
}
END_TEST

START_TEST(fadt_is_hardware_reduced_with_registers_of_the_ged)
{
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    blob = acpi_build(&full, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "FACP");
    ck_assert_uint_eq(table_len(t), 276);
    ck_assert_uint_eq(t[8], 6);
    ck_assert_uint_eq(t[131], 5);
    ck_assert_uint_eq(le_load(t + 112, 4) & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10);
    ck_assert_uint_eq(le_load(t + 46, 2), 0);                /* SCI */
    ck_assert_uint_eq(le_load(t + 109, 2), 1 << 1 | 1 << 2); /* 8042, no VGA */
    ck_assert_mem_eq(t + 116, "\x00\x08\x00\x01", 4);
    ck_assert_uint_eq(le_load(t + 120, 8), full.ged_base + ACPI_GED_RESET);
    ck_assert_uint_eq(t[128], ACPI_GED_RESET_VALUE);
    ck_assert_mem_eq(t + 244, "\x00\x08\x00\x01", 4);
    ck_assert_uint_eq(le_load(t + 248, 8), full.ged_base + ACPI_GED_SLEEP_CONTROL);
    ck_assert_uint_eq(le_load(t + 260, 8), full.ged_base + ACPI_GED_SLEEP_STATUS);
}
END_TEST

START_TEST(a_bare_machine_has_few_tables_and_says_what_is_absent)
{
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t, *dsdt;
    Gpa rsdp;

    blob = acpi_build(&bare, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "FACP");
    dsdt = find(blob, rsdp, "DSDT");
    ck_assert_ptr_null(find(blob, rsdp, "MCFG"));
    ck_assert_uint_eq(le_load(t + 109, 2), 1 << 5 | 1 << 2); /* no CMOS RTC, no VGA */
    ck_assert_uint_eq(le_load(t + 112, 4) & 1 << 10, 0);     /* no reset register */
    ck_assert_uint_eq(le_load(t + 248, 8), 0);
    ck_assert_uint_eq(
        COUNT(dsdt, "PCI0") + COUNT(dsdt, "COM1") + COUNT(dsdt, "PWRB") + COUNT(dsdt, "_S5_"), 0);
    ck_assert_uint_eq(COUNT(dsdt, "ACPI0007"), 1);
}
END_TEST

START_TEST(madt_lists_every_cpu_and_the_ioapic)
{
    AcpiConfig config = full;
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    unsigned lapics = 0, x2apics = 0, ioapics = 0;
    Gpa rsdp;

    config.nr_cpus = 300;
    blob = acpi_build(&config, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "APIC");
    ck_assert_uint_eq(le_load(t + 36, 4), full.lapic_base);
    for (uint32_t off = 44; off < table_len(t); off += t[off + 1]) {
        const uint8_t *e = t + off;

        ck_assert_uint_ge(e[1], 8);
        if (e[0] == 0) {
            ck_assert_uint_eq(e[2], lapics);
            ck_assert_uint_eq(e[3], lapics++);
            ck_assert_uint_eq(le_load(e + 4, 4), 1);
        } else if (e[0] == 9) {
            ck_assert_uint_eq(le_load(e + 4, 4), 255 + x2apics);
            ck_assert_uint_eq(le_load(e + 12, 4), 255 + x2apics++);
        } else {
            ck_assert_uint_eq(e[0], 1);
            ck_assert_uint_eq(le_load(e + 4, 4), full.ioapic_base);
            ck_assert_uint_eq(le_load(e + 8, 4), 0);
            ioapics++;
        }
    }
    ck_assert_uint_eq(lapics, 255);
    ck_assert_uint_eq(x2apics, 45);
    ck_assert_uint_eq(ioapics, 1);
    ck_assert_uint_eq(COUNT(find(blob, rsdp, "DSDT"), "ACPI0007"), 300);
}
END_TEST

START_TEST(mcfg_and_bus_window_cover_what_ecam_covers)
{
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    blob = acpi_build(&full, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "MCFG");
    ck_assert_uint_eq(table_len(t), 60);
    ck_assert_uint_eq(le_load(t + 44, 8), windows.ecam_base);
    ck_assert_uint_eq(t[54], 0);
    ck_assert_uint_eq(t[55], 15);
    t = find(blob, rsdp, "DSDT");
    ck_assert_uint_eq(COUNT(t, "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x0f\x00\x00\x00\x10\x00"),
                      1);
    ck_assert_uint_eq(COUNT(t, "\x86\x09\x00\x01\x00\x00\x00\xb0\x00\x00\x00\x01"),
                      1); /* PNP0C02 reserves it */
}
END_TEST

START_TEST(prt_has_each_pin_of_each_slot)
{
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    blob = acpi_build(&full, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "DSDT");
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            g_autoptr(GByteArray) want = g_byte_array_new();
            AmlMark m = aml_package_begin(want, 4);

            aml_int(want, slot << 16 | 0xffff);
            aml_int(want, pin);
            aml_int(want, 0);
            aml_int(want, 16 + (slot + pin) % 4);
            aml_end(want, m);
            ck_assert_uint_eq(count(t, want->data, want->len), 1);
        }
    }
}
END_TEST

static const uint8_t *find_bytes(GByteArray *blob, const void *what, size_t len)
{
    return memmem(blob->data, blob->len, what, len);
}

START_TEST(virtio_windows_in_use_are_announced_with_place_and_interrupt)
{
    g_autoptr(GByteArray) blob = NULL;
    Gpa rsdp;

    blob = acpi_build(&micro, GPA(BASE), &rsdp);
    for (unsigned n = 0; n < 32; n++) {
        g_autofree char *name = g_strdup_printf("VR%02X", n);
        uint32_t base = 0xfeb00000 + n * 0x200, gsi = 16 + n;
        uint8_t memory[12] = {0x86, 9, 0, 1}, irq[9] = {0x89, 6, 0, 0x01, 1};
        bool used = micro.virtio_mmio_used >> n & 1;

        le_store(memory + 4, base, 4);
        le_store(memory + 8, 0x200, 4);
        le_store(irq + 5, gsi, 4);
        ck_assert_int_eq(find_bytes(blob, name, 4) != NULL, used);
        ck_assert_int_eq(find_bytes(blob, memory, sizeof memory) != NULL, used);
        ck_assert_int_eq(find_bytes(blob, irq, sizeof irq) != NULL, used);
    }
    ck_assert_ptr_nonnull(find_bytes(blob, "LNRO0005", 9));
    ck_assert_uint_eq(le_load(find(blob, rsdp, "APIC") + 40, 4), 1); /* 8259s are there, too */
}
END_TEST

START_TEST(statements_on_registers_and_locals_are_encoded)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    aml_load(out, "HPUP", AML_LOCAL1);
    BYTES(out, "\x70HPUP\x61");
    aml_store_int(out, 2, "HPEJ");
    BYTES(out, "\x70\x0a\x02HPEJ");
    aml_and(out, AML_LOCAL0, 0x100);
    BYTES(out, "\x7b\x60\x0b\x00\x01\x00");
    aml_call(out, "\\_SB.PCI0.PCNT");
    BYTES(out, "\\\x2f\x03_SB_PCI0PCNT");
    aml_io_register(out, "R", "F", 0xae08, 4);
    BYTES(out, "\x5b\x80R___\x01\x0b\x08\xae\x0a\x04\x5b\x81\x0bR___\x43"
               "F___\x20");
}
END_TEST

/* Each slot but the host bridge's has an address, a number and an eject method, and the scan tells
 * it of both. */
START_TEST(slots_can_be_filled_and_ejected)
{
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    blob = acpi_build(&full, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "DSDT");
    for (unsigned slot = 1; slot < 32; slot++) {
        g_autoptr(GByteArray) eject = g_byte_array_new(), up = g_byte_array_new(),
                              down = g_byte_array_new(), sun = g_byte_array_new();
        g_autofree char *name = g_strdup_printf("S%02X", slot << 3);

        aml_name_int(sun, "_ADR", slot << 16);
        aml_name_int(sun, "_SUN", slot);
        aml_store_int(eject, UINT32_C(1) << slot, "HPEJ");
        aml_and(up, AML_LOCAL0, UINT32_C(1) << slot);
        aml_notify(up, name, 1);
        aml_and(down, AML_LOCAL1, UINT32_C(1) << slot);
        aml_notify(down, name, 3);
        ck_assert_uint_eq(count(t, sun->data, sun->len), 1);
        ck_assert_uint_eq(count(t, eject->data, eject->len), 1);
        ck_assert_uint_eq(count(t, up->data, up->len), 1);
        ck_assert_uint_eq(count(t, down->data, down->len), 1);
    }
    ck_assert_uint_eq(COUNT(t, "_EJ0"), 31);
    ck_assert_uint_eq(COUNT(t, "\\\x2f\x03_SB_PCI0PCNT"), 1); /* by the event's method */
}
END_TEST

START_TEST(slots_without_registers_are_not_announced)
{
    AcpiConfig config = full;
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    config.pcihp_port = 0;
    blob = acpi_build(&config, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "DSDT");
    ck_assert_uint_eq(COUNT(t, "_EJ0") + COUNT(t, "PCNT") + COUNT(t, "HPEJ"), 0);
    ck_assert_uint_eq(COUNT(t, "PWRB"), 2);
}
END_TEST

START_TEST(io_window_leaves_out_the_config_ports)
{
    PciHostWindows w = windows;
    AcpiConfig config = full;
    g_autoptr(GByteArray) blob = NULL;
    const uint8_t *t;
    Gpa rsdp;

    w.pio_base = 0;
    w.pio_size = 0x10000;
    config.pci = &w;
    blob = acpi_build(&config, GPA(BASE), &rsdp);
    t = find(blob, rsdp, "DSDT");
    ck_assert_uint_eq(COUNT(t, "\x88\x0d\x00\x01\x0c\x03\x00\x00\x00\x00\xf7\x0c\x00\x00\xf8\x0c"),
                      1);
    ck_assert_uint_eq(COUNT(t, "\x88\x0d\x00\x01\x0c\x03\x00\x00\x00\x0d\xff\xff\x00\x00\x00\xf3"),
                      1);
    ck_assert_uint_eq(COUNT(t, "\x47\x01\xf8\x0c\xf8\x0c\x01\x08"), 1);
}
END_TEST

START_TEST(native_hotplug_is_granted_where_there_are_ports_alone)
{
    AcpiConfig lean = full;
    g_autoptr(GByteArray) with = NULL, without = NULL;
    const uint8_t *t;
    Gpa rsdp;

    with = acpi_build(&full, GPA(BASE), &rsdp);
    t = find(with, rsdp, "DSDT");
    ck_assert_uint_eq(COUNT(t, "_OSC"), 1);
    ck_assert_uint_eq(COUNT(t, "\x5b\x4d\xdb\x33\xf7\x1f\x1c\x40\x96\x57\x74\x41\xc0\x3d\xd7\x66"),
                      1);
    lean.pcie_hotplug = false;
    without = acpi_build(&lean, GPA(BASE), &rsdp);
    ck_assert_uint_eq(COUNT(find(without, rsdp, "DSDT"), "_OSC"), 0);
}
END_TEST

/* --- iasl --- */

static void run_iasl(const char *dir, const char *const *argv, char **ret_output)
{
    g_autofree char *out = NULL, *errors = NULL;
    g_autoptr(GError) err = NULL;
    int status;

    ck_assert_msg(g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                               &errors, &status, &err),
                  "%s", err ? err->message : "");
    *ret_output = g_strconcat(out, errors, NULL);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "iasl %s: %s", argv[1],
                  *ret_output);
}

/* Disassembles a table; a DSDT is compiled again, without errors and warnings, to the same length.
 */
static void check_with_iasl(const char *dir, const uint8_t *table)
{
    g_autofree char *name = g_strdup_printf("%.4s", (const char *)table);
    g_autofree char *dat = g_strconcat(name, ".dat", NULL), *dsl = g_strconcat(name, ".dsl", NULL);
    g_autofree char *path = g_build_filename(dir, dat, NULL), *output = NULL, *again = NULL;
    const char *disassemble[] = {"iasl", "-d", dat, NULL},
               *compile[] = {"iasl", "-we", "-oa", dsl, NULL};

    ck_assert(g_file_set_contents(path, (const char *)table, table_len(table), NULL));
    run_iasl(dir, disassemble, &output);
    ck_assert_msg(!strcasestr(output, "error") && !strcasestr(output, "warning") &&
                      !strcasestr(output, "invalid"),
                  "%s: %s", name, output);
    if (strcmp(name, "DSDT") != 0) {
        return;
    }
    run_iasl(dir, compile, &again);
    ck_assert_msg(strstr(again, "0 Errors, 0 Warnings"), "%s", again);
}

static void remove_dir(const char *dir)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_unlink(path);
    }
    g_dir_close(d);
    g_rmdir(dir);
}

START_TEST(iasl_finds_nothing_wrong)
{
    static const AcpiConfig *const configs[] = {&full, &bare, &micro};
    static const char *const tables[] = {"XSDT", "FACP", "APIC", "MCFG", "DSDT"};
    g_autofree char *iasl = g_find_program_in_path("iasl");
    g_autofree char *dir = NULL;
    g_autoptr(GByteArray) blob = NULL;
    Gpa rsdp;

    if (!iasl) {
        g_printerr("iasl is not installed (package acpica-tools): not asked\n");
        return;
    }
    dir = g_dir_make_tmp("aerostat-acpi-XXXXXX", NULL);
    ck_assert_ptr_nonnull(dir);
    blob = acpi_build(configs[_i], GPA(BASE), &rsdp);
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        const uint8_t *t = i ? find(blob, rsdp, tables[i]) : xsdt_of(blob, rsdp);

        if (t) {
            check_with_iasl(dir, t);
        }
    }
    remove_dir(dir);
}
END_TEST

static Suite *acpi_suite(void)
{
    Suite *s = suite_create("acpi");
    TCase *aml = tcase_create("aml"), *tables = tcase_create("tables"),
          *iasl = tcase_create("iasl");

    tcase_add_test(aml, package_length_has_one_to_four_bytes);
    tcase_add_test(aml, integers_take_the_shortest_encoding);
    tcase_add_test(aml, names_are_padded_and_prefixed_by_their_number);
    tcase_add_test(aml, nested_lengths_are_put_in_from_the_inside);
    tcase_add_test(aml, resources_become_a_buffer_with_an_end_tag);
    tcase_add_test(tables, every_table_is_found_and_its_bytes_sum_to_zero);
    tcase_add_test(tables, the_same_machine_gives_the_same_bytes);
    tcase_add_test(tables, fadt_is_hardware_reduced_with_registers_of_the_ged);
    tcase_add_test(tables, a_bare_machine_has_few_tables_and_says_what_is_absent);
    tcase_add_test(tables, native_hotplug_is_granted_where_there_are_ports_alone);
    tcase_add_test(tables, madt_lists_every_cpu_and_the_ioapic);
    tcase_add_test(tables, mcfg_and_bus_window_cover_what_ecam_covers);
    tcase_add_test(tables, prt_has_each_pin_of_each_slot);
    tcase_add_test(tables, virtio_windows_in_use_are_announced_with_place_and_interrupt);
    tcase_add_test(aml, statements_on_registers_and_locals_are_encoded);
    tcase_add_test(tables, slots_can_be_filled_and_ejected);
    tcase_add_test(tables, slots_without_registers_are_not_announced);
    tcase_add_test(tables, io_window_leaves_out_the_config_ports);
    tcase_add_loop_test(iasl, iasl_finds_nothing_wrong, 0, 3);
    suite_add_tcase(s, aml);
    suite_add_tcase(s, tables);
    suite_add_tcase(s, iasl);
    return s;
}

int main(void)
{
    return suite_run(acpi_suite());
}
