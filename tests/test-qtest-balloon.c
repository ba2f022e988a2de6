/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of the qtest server drives a virtio-balloon on machine "pc", as a driver would that
 * knows PCI and VIRTIO but nothing of the VMM: configuration cycles by ports, BARs at addresses of
 * its own choice, rings in RAM.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "hw/pci/acpi-pcihp.h"
#include "tests/qtest-fixture.h"
#include "tests/test-qtest.h"

enum {
    DEVFN = 4 << 3,
    INTX_GSI = 16, /* slot 4, INTA */
    BAR_BASE = 0xe0000000,
    QUEUE_SIZE = 8,
    RINGS = 0x100000, /* 16 KiB for each queue: descriptors, and one page on the rings */
    BUFFER = 0x180000,
    MSIX_TARGET = 0x190000, /* 16 bytes for each vector */
    PAGE = 0x800000,
    STATS_QUEUE = 2,
};

static QtestVm vm;
static QtestClient c;
static uint64_t bars[6];
static uint64_t common, notify, isr, device_config;
static uint32_t notify_multiplier;
static unsigned queue_notify[3];
static uint16_t avail[3];

/* --- PCI --- */

static uint32_t config_read(unsigned off, unsigned size)
{
    qtest_ok(&c, "outl 0xcf8 0x%x", 0x80000000U | DEVFN << 8 | off);
    return (uint32_t)qtest_get(&c, "in%c 0xcfc", " bw l"[size]);
}

static void config_write(unsigned off, unsigned size, uint32_t value)
{
    qtest_ok(&c, "outl 0xcf8 0x%x", 0x80000000U | DEVFN << 8 | off);
    qtest_ok(&c, "out%c 0xcfc 0x%x", " bw l"[size], value);
}

/* Gives a memory BAR the next free address, aligned to its size. */
static void map_bar(unsigned n)
{
    static uint64_t next;
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * n;
    uint32_t size;

    if (bars[n]) {
        return;
    }
    config_write(reg, 4, 0xffffffff);
    size = ~(config_read(reg, 4) & ~15U) + 1;
    ck_assert_uint_ne(size, 0);
    next = (MAX(next, BAR_BASE) + size - 1) & ~((uint64_t)size - 1);
    bars[n] = next;
    next += size;
    config_write(reg, 4, (uint32_t)bars[n]);
    if ((config_read(reg, 4) & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        config_write(reg + 4, 4, 0);
    }
}

static void take_capability(unsigned at)
{
    unsigned type = config_read(at + 3, 1), bar = config_read(at + 4, 1);
    uint32_t off = config_read(at + 8, 4);
    uint64_t *const where[] = {
        [VIRTIO_PCI_CAP_COMMON_CFG] = &common,
        [VIRTIO_PCI_CAP_NOTIFY_CFG] = &notify,
        [VIRTIO_PCI_CAP_ISR_CFG] = &isr,
        [VIRTIO_PCI_CAP_DEVICE_CFG] = &device_config,
    };

    if (type >= G_N_ELEMENTS(where) || !where[type]) {
        return;
    }
    map_bar(bar);
    *where[type] = bars[bar] + off;
    if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
        notify_multiplier = config_read(at + 16, 4);
    }
}

static unsigned find_capabilities(void)
{
    unsigned msix = 0;

    for (unsigned at = config_read(PCI_CAPABILITY_LIST, 1); at; at = config_read(at + 1, 1)) {
        unsigned id = config_read(at, 1);

        if (id == PCI_CAP_ID_VNDR) {
            take_capability(at);
        } else if (id == PCI_CAP_ID_MSIX) {
            msix = at;
        }
    }
    return msix;
}

static void enable_msix(unsigned at)
{
    uint32_t table = config_read(at + PCI_MSIX_TABLE, 4);
    uint64_t entry;

    map_bar(table & PCI_MSIX_TABLE_BIR);
    entry = bars[table & PCI_MSIX_TABLE_BIR] + (table & PCI_MSIX_TABLE_OFFSET);
    config_write(at + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    for (unsigned i = 0; i < 2; i++, entry += PCI_MSIX_ENTRY_SIZE) {
        qtest_ok(&c, "writel 0x%" PRIx64 " 0x%x", entry + PCI_MSIX_ENTRY_LOWER_ADDR,
                 MSIX_TARGET + 16 * i);
        qtest_ok(&c, "writel 0x%" PRIx64 " 0", entry + PCI_MSIX_ENTRY_UPPER_ADDR);
        qtest_ok(&c, "writel 0x%" PRIx64 " 0x%x", entry + PCI_MSIX_ENTRY_DATA, 0xcafe00 + i);
        qtest_ok(&c, "writel 0x%" PRIx64 " 0", entry + PCI_MSIX_ENTRY_VECTOR_CTRL);
    }
}

/* --- VIRTIO --- */

static void common_write(unsigned off, unsigned size, uint64_t value)
{
    qtest_ok(&c, "write%c 0x%" PRIx64 " 0x%" PRIx64, " bw l   q"[size], common + off, value);
}

static uint64_t common_read(unsigned off, unsigned size)
{
    return qtest_get(&c, "read%c 0x%" PRIx64, " bw l   q"[size], common + off);
}

static uint32_t ring_of(unsigned queue)
{
    return RINGS + 0x4000 * queue;
}

static void enable_queue(unsigned queue, unsigned vector)
{
    common_write(VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
    common_write(VIRTIO_PCI_COMMON_Q_SIZE, 2, QUEUE_SIZE);
    common_write(VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
    common_write(VIRTIO_PCI_COMMON_Q_DESCLO, 8, ring_of(queue));
    common_write(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, ring_of(queue) + 0x1000);
    common_write(VIRTIO_PCI_COMMON_Q_USEDLO, 8, ring_of(queue) + 0x2000);
    queue_notify[queue] = (unsigned)common_read(VIRTIO_PCI_COMMON_Q_NOFF, 2);
    common_write(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* Resets the device and brings it to DRIVER_OK; vectors: queue 0 has vector 1, 2 has none. */
static void start_driver(bool msix)
{
    unsigned at = find_capabilities();

    config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    if (msix) {
        enable_msix(at);
    }
    common_write(VIRTIO_PCI_COMMON_STATUS, 1, 0);
    common_write(VIRTIO_PCI_COMMON_STATUS, 1, 3);
    common_write(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    ck_assert_uint_eq(common_read(VIRTIO_PCI_COMMON_DF, 4) & 1, 1); /* VERSION_1 */
    common_write(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    common_write(VIRTIO_PCI_COMMON_GF, 4, 1);
    common_write(VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
    common_write(VIRTIO_PCI_COMMON_GF, 4, 2); /* STATS_VQ */
    common_write(VIRTIO_PCI_COMMON_STATUS, 1, 11);
    ck_assert_uint_eq(common_read(VIRTIO_PCI_COMMON_STATUS, 1), 11);
    enable_queue(0, msix ? 1 : VIRTIO_MSI_NO_VECTOR);
    enable_queue(STATS_QUEUE, VIRTIO_MSI_NO_VECTOR);
    common_write(VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

/* Puts one buffer for the device to read into a queue and kicks. */
static void add_buffer(unsigned queue, uint32_t addr, uint32_t len)
{
    uint32_t ring = ring_of(queue), slot = avail[queue] % QUEUE_SIZE;

    qtest_ok(&c, "writeq 0x%x 0x%x", ring + 16 * slot, addr);
    qtest_ok(&c, "writel 0x%x %u", ring + 16 * slot + 8, len);
    qtest_ok(&c, "writel 0x%x 0", ring + 16 * slot + 12);
    qtest_ok(&c, "writew 0x%x %u", ring + 0x1000 + 4 + 2 * slot, slot);
    qtest_ok(&c, "writew 0x%x %u", ring + 0x1000 + 2, ++avail[queue]);
    qtest_ok(&c, "writew 0x%" PRIx64 " %u", notify + queue_notify[queue] * notify_multiplier,
             queue);
}

static unsigned used(unsigned queue)
{
    return (unsigned)qtest_get(&c, "readw 0x%x", ring_of(queue) + 0x2000 + 2);
}

/* The device works after the command, from the main loop. */
static void wait_used(unsigned queue, unsigned count)
{
    for (unsigned i = 0; i < 10000 && used(queue) != count; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ck_assert_uint_eq(used(queue), count);
}

static void inflate(uint32_t page)
{
    qtest_ok(&c, "writel 0x%x 0x%x", BUFFER, page >> 12);
    add_buffer(0, BUFFER, 4);
    wait_used(0, avail[0]);
}

/* --- the tests --- */

static void setup(void)
{
    memset(bars, 0, sizeof bars);
    memset(avail, 0, sizeof avail);
    qtest_vm_start(&vm, "pc", "virtio-balloon-pci,addr=04.0,id=b0", NULL);
    qtest_client_connect(&c, &vm);
}

static void teardown(void)
{
    qtest_client_close(&c);
    qtest_vm_stop(&vm);
}

START_TEST(bars_are_the_clients_to_assign)
{
    ck_assert_uint_eq(config_read(PCI_VENDOR_ID, 2), 0x1af4);
    ck_assert_uint_eq(config_read(PCI_VENDOR_ID, 4) >> 16, config_read(PCI_DEVICE_ID, 2));
    ck_assert_uint_eq(config_read(PCI_COMMAND, 2) & 7, 0);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(config_read(PCI_BASE_ADDRESS_0 + 4 * i, 4) & ~15U, 0);
    }
    start_driver(false);
    ck_assert_uint_eq(common_read(VIRTIO_PCI_COMMON_NUMQ, 2), 3);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%" PRIx64, device_config), 0); /* num_pages */
    ck_assert_str_eq(qtest_do(&c, "read 0x%" PRIx64 " 8", device_config), "OK 0x0000000000000000");
}
END_TEST

START_TEST(inflating_gives_the_page_back_and_sends_the_message)
{
    start_driver(true);
    qtest_ok(&c, "memset 0x%x 0x3000 0x77", PAGE);
    inflate(PAGE + 0x1000);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", PAGE + 0xffc), 0x77777777);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", PAGE + 0x1000), 0);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", PAGE + 0x1ffc), 0);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", PAGE + 0x2000), 0x77777777);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", MSIX_TARGET + 16), 0xcafe01);
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", MSIX_TARGET), 0);
}
END_TEST

START_TEST(without_msix_the_line_is_raised_until_isr_is_read)
{
    qtest_ok(&c, "irq_intercept_in ioapic");
    start_driver(false);
    inflate(PAGE);
    for (unsigned i = 0; i < 1000 && !c.raised[INTX_GSI]; i++) {
        qtest_ok(&c, "writeb 0 0");
    }
    ck_assert_uint_eq(c.raised[INTX_GSI], 1);
    ck_assert_uint_eq(c.lowered[INTX_GSI], 0);
    ck_assert_uint_eq(qtest_get(&c, "readb 0x%" PRIx64, isr), 1);
    ck_assert_uint_eq(c.lowered[INTX_GSI], 1);
    ck_assert_uint_eq(qtest_get(&c, "readb 0x%" PRIx64, isr), 0);
}
END_TEST

START_TEST(statistics_are_asked_for_when_the_clock_is_stepped)
{
    start_driver(false);
    add_buffer(STATS_QUEUE, BUFFER, 0x10);
    ck_assert(qtest_vm_qmp(&vm, "qom-set",
                           "{\"path\": \"/machine/peripheral/b0\", \"value\": 2, "
                           "\"property\": \"guest-stats-polling-interval\"}"));
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(used(STATS_QUEUE), 0);
    }
    qtest_get(&c, "clock_step 1999999999");
    ck_assert_uint_eq(used(STATS_QUEUE), 0);
    ck_assert_uint_eq(qtest_get(&c, "clock_step"), 2000000000);
    ck_assert_uint_eq(used(STATS_QUEUE), 1);
}
END_TEST

START_TEST(reset_takes_the_bars_away)
{
    start_driver(false);
    ck_assert(qtest_vm_qmp(&vm, "system_reset", "{}"));
    for (unsigned i = 0; i < 10000 && config_read(PCI_COMMAND, 2); i++) {
    }
    ck_assert_uint_eq(config_read(PCI_COMMAND, 2), 0);
    ck_assert_uint_eq(common_read(VIRTIO_PCI_COMMON_STATUS, 1), 0xff);
}
END_TEST

static void wait_state(const char *state)
{
    for (unsigned i = 0; i < 30000; i++) {
        json_t *s = qtest_vm_ask(&vm, "qom-get",
                                 "{\"path\": \"/objects/p0\", \"property\": \"status\"}", NULL);
        bool there = !g_strcmp0(json_string_value(json_object_get(s, "state")), state);

        json_decref(s);
        if (there) {
            return;
        }
        g_usleep(1000);
    }
    ck_abort_msg("the policy is not %s", state);
}

/* Unplugged as a guest does it; the next one has another slot, and the same id. */
START_TEST(policy_finds_the_balloon_that_comes_again)
{
    g_autofree char *dir = g_dir_make_tmp("cgroup-XXXXXX", NULL);
    g_autofree char *current = g_build_filename(dir, "memory.current", NULL);
    g_autofree char *high = g_build_filename(dir, "memory.high", NULL);
    g_autofree char *add = g_strdup_printf("{\"qom-type\": \"balloon-policy\", \"id\": \"p0\", "
                                           "\"device\": \"b0\", \"source\": \"%s\"}",
                                           dir);

    ck_assert(g_file_set_contents(current, "1000000\n", -1, NULL));
    ck_assert(g_file_set_contents(high, "100000000\n", -1, NULL));
    ck_assert(qtest_vm_qmp(&vm, "object-add", add));
    wait_state("on");
    for (int slot = 4; slot < 8; slot++) {
        g_autofree char *next = g_strdup_printf(
            "{\"driver\": \"virtio-balloon\", \"id\": \"b0\", \"addr\": \"0%d.0\"}", slot + 1);

        ck_assert(qtest_vm_qmp(&vm, "device_del", "{\"id\": \"b0\"}"));
        qtest_ok(&c, "outl 0x%x 0x%x", ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, 1U << slot);
        wait_state("no-device");
        qtest_get(&c, "clock_step 5000000000");
        wait_state("no-device");
        ck_assert(qtest_vm_qmp(&vm, "device_add", next));
        qtest_get(&c, "clock_step 1000000000");
        wait_state("on");
    }
    ck_assert(qtest_vm_qmp(&vm, "object-del", "{\"id\": \"p0\"}"));
    g_unlink(current);
    g_unlink(high);
    g_rmdir(dir);
}
END_TEST

TCase *qtest_balloon_tcase(void)
{
    TCase *tc = tcase_create("balloon");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bars_are_the_clients_to_assign);
    tcase_add_test(tc, inflating_gives_the_page_back_and_sends_the_message);
    tcase_add_test(tc, without_msix_the_line_is_raised_until_isr_is_read);
    tcase_add_test(tc, statistics_are_asked_for_when_the_clock_is_stepped);
    tcase_add_test(tc, reset_takes_the_bars_away);
    tcase_add_test(tc, policy_finds_the_balloon_that_comes_again);
    return tc;
}
