/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "virt" on the accelerator "qtest": its memory map as a client finds it, legacy virtio
 * over MMIO, PCI over ECAM with ports as memory, and the device tree.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <libfdt.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/qtest-fixture.h"
#include "tests/suite.h"

enum {
    RAM = 0x40000000,
    WINDOW = 0x0a003e00, /* the highest */
    WINDOW_IRQ = 16 + 31,
    NEXT_WINDOW = 0x0a003c00,
    RINGS = RAM + 0x100000,
    BUFFER = RAM + 0x200000,
    PAGE = RAM + 0x300000,
    QUEUE_SIZE = 8,
};
#define ECAM UINT64_C(0x4010000000)
#define PIO  UINT64_C(0x3eff0000)

static QtestVm vm;
static QtestClient c;

static void setup(void)
{
    qtest_vm_start(&vm, "virt", "virtio-balloon-device", "virtio-rng-device",
                   "virtio-rng-pci,addr=02.0", NULL);
    qtest_client_connect(&c, &vm);
}

static void teardown(void)
{
    qtest_client_close(&c);
    qtest_vm_stop(&vm);
}

/* --- virtio over MMIO --- */

static uint64_t reg(unsigned off)
{
    return qtest_get(&c, "readl 0x%x", WINDOW + off);
}

static void set_reg(unsigned off, uint32_t value)
{
    qtest_ok(&c, "writel 0x%x 0x%x", WINDOW + off, value);
}

START_TEST(first_device_takes_the_highest_window)
{
    ck_assert_uint_eq(reg(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    ck_assert_uint_eq(reg(VIRTIO_MMIO_VERSION), 1);
    ck_assert_uint_eq(reg(VIRTIO_MMIO_DEVICE_ID), 5);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", NEXT_WINDOW + VIRTIO_MMIO_DEVICE_ID), 4);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", 0x0a000000), 0x74726976);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", 0x0a000000 + VIRTIO_MMIO_DEVICE_ID), 0);
    ck_assert(qtest_vm_qmp(&vm, "qom-list",
                           "{\"path\": \"/machine/virtio-mmio[31]/virtio-mmio-bus.31\"}"));
}
END_TEST

static void start_legacy_driver(void)
{
    set_reg(VIRTIO_MMIO_STATUS, 0);
    set_reg(VIRTIO_MMIO_STATUS, 3);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES, 0);
    set_reg(VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
    ck_assert_uint_ge(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), QUEUE_SIZE);
    set_reg(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
    set_reg(VIRTIO_MMIO_QUEUE_ALIGN, 4096);
    set_reg(VIRTIO_MMIO_QUEUE_PFN, RINGS / 4096);
    set_reg(VIRTIO_MMIO_STATUS, 7);
}

START_TEST(legacy_balloon_inflates_and_raises_its_line)
{
    uint32_t avail = RINGS + 16 * QUEUE_SIZE, used = RINGS + 4096;

    qtest_ok(&c, "irq_intercept_in gic");
    start_legacy_driver();
    qtest_ok(&c, "memset 0x%x 4096 0x55", PAGE);
    qtest_ok(&c, "writel 0x%x 0x%x", BUFFER, PAGE >> 12);
    qtest_ok(&c, "writeq 0x%x 0x%x", RINGS, BUFFER);
    qtest_ok(&c, "writel 0x%x 4", RINGS + 8);
    qtest_ok(&c, "writel 0x%x 0x10000", avail); /* flags 0, one buffer */
    set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    for (unsigned i = 0; i < 10000 && !c.raised[WINDOW_IRQ]; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        qtest_do(&c, "endianness");
    }
    ck_assert_uint_eq(qtest_get(&c, "readw 0x%x", used + 2), 1);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", PAGE), 0);
    ck_assert_uint_eq(c.raised[WINDOW_IRQ], 1);
    ck_assert_uint_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    set_reg(VIRTIO_MMIO_INTERRUPT_ACK, 1);
    ck_assert_uint_eq(c.lowered[WINDOW_IRQ], 1);
}
END_TEST

/* --- PCI --- */

START_TEST(pci_is_reached_by_ecam)
{
    uint64_t config = ECAM + (2 << 15);

    ck_assert_uint_eq(qtest_get(&c, "readl 0x%" PRIx64, ECAM), 0x00081b36);
    ck_assert_uint_eq(qtest_get(&c, "readw 0x%" PRIx64, config), 0x1af4);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%" PRIx64, ECAM + (3 << 15)), 0xffffffff);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%" PRIx64, ECAM + (1 << 20)), 0xffffffff);
    qtest_ok(&c, "writeb 0x%" PRIx64 " 11", config + 0x3c);
    ck_assert_str_eq(qtest_do(&c, "read 0x%" PRIx64 " 2", config + 0x3c), "OK 0x0b01");
}
END_TEST

/* The transitional device's legacy registers are in its I/O BAR. */
START_TEST(ports_are_seen_in_memory)
{
    uint64_t config = ECAM + (2 << 15);
    uint64_t bar = qtest_get(&c, "readl 0x%" PRIx64, config + 0x10);

    if (!(bar & 1)) {
        return; /* no I/O BAR */
    }
    qtest_ok(&c, "writel 0x%" PRIx64 " 0x1000", config + 0x10);
    qtest_ok(&c, "writew 0x%" PRIx64 " 5", config + 4);
    qtest_ok(&c, "writeb 0x%" PRIx64 " 1", PIO + 0x1000 + 18); /* status: ACKNOWLEDGE */
    ck_assert_uint_eq(qtest_get(&c, "readb 0x%" PRIx64, PIO + 0x1000 + 18), 1);
    ck_assert_str_eq(qtest_do(&c, "inb 0x1012"), "OK 0x0001");
}
END_TEST

/* --- the device tree --- */

static char *dump(void)
{
    g_autoptr(GError) err = NULL;
    char *path = g_build_filename(vm.dir, "virt.dtb", NULL);

    vm.m->dumpdtb = path;
    ck_assert_msg(machine_dump_dtb(vm.m, &err), "%s", err ? err->message : "");
    vm.m->dumpdtb = NULL;
    return path;
}

static uint64_t cell64(const void *tree, const char *node, const char *prop, unsigned n)
{
    int len, at = fdt_path_offset(tree, node);
    const fdt32_t *cells = fdt_getprop(tree, at, prop, &len);

    ck_assert_msg(cells && len >= (int)(4 * n + 8), "%s: %s", node, prop);
    return (uint64_t)fdt32_to_cpu(cells[n]) << 32 | fdt32_to_cpu(cells[n + 1]);
}

START_TEST(device_tree_tells_the_memory_map)
{
    g_autofree char *path = dump(), *tree = NULL;
    unsigned windows = 0;
    gsize len;

    ck_assert(g_file_get_contents(path, &tree, &len, NULL));
    ck_assert_int_eq(fdt_check_full(tree, len), 0);
    ck_assert_uint_eq(cell64(tree, "/memory@40000000", "reg", 0), RAM);
    ck_assert_uint_eq(cell64(tree, "/memory@40000000", "reg", 2), QTEST_FIXTURE_RAM);
    ck_assert_uint_eq(cell64(tree, "/pcie@10000000", "reg", 0), ECAM);
    ck_assert_uint_eq(cell64(tree, "/pcie@10000000", "ranges", 3), PIO);
    ck_assert_uint_eq(cell64(tree, "/virtio_mmio@a003e00", "reg", 0), WINDOW);
    ck_assert_uint_eq(cell64(tree, "/virtio_mmio@a003e00", "interrupts", 0), WINDOW_IRQ);
    for (int at = -1; (at = fdt_node_offset_by_compatible(tree, at, "virtio,mmio")) >= 0;) {
        windows++;
    }
    ck_assert_uint_eq(windows, 32);
    g_remove(path);
}
END_TEST

START_TEST(dtc_has_nothing_to_say_about_the_tree)
{
    g_autofree char *path = dump(), *dtc = g_find_program_in_path("dtc"), *words = NULL;
    const char *argv[] = {dtc, "-I", "dtb", "-O", "dts", "-o", "/dev/null", path, NULL};
    int status = 0;

    ck_assert_msg(dtc != NULL, "dtc is not installed: scripts/setup.sh does that");
    ck_assert(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &words,
                           &status, NULL));
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(words, "");
    g_remove(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virt");
    TCase *tc = tcase_create("virt");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, first_device_takes_the_highest_window);
    tcase_add_test(tc, legacy_balloon_inflates_and_raises_its_line);
    tcase_add_test(tc, pci_is_reached_by_ecam);
    tcase_add_test(tc, ports_are_seen_in_memory);
    tcase_add_test(tc, device_tree_tells_the_memory_map);
    tcase_add_test(tc, dtc_has_nothing_to_say_about_the_tree);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
