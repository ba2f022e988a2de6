/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hundreds of rounds in which a device comes and goes, by ACPI's registers on the root bus and by a
 * PCI Express port, each type of device in turn, while another device has requests under way on an
 * iothread. Afterwards there are as many file descriptors as before, and as much memory.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/iothread.h"
#include "backends/net.h"
#include "backends/user-creatable.h"
#include "core/le.h"
#include "hw/pci/acpi-pcihp.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/pcie-root-port.h"
#include "tests/suite.h"
#include "tests/test-blk.h"

extern const TypeInfo pcie_root_port_type, virtio_serial_type, virtio_rng_type;

enum {
    ROUNDS = 500,
    WARM_UP = 60, /* rounds after which all pools and caches are as large as they get */
    BATCH = 24,   /* requests under way during a round */
    SLOT = 9,     /* of the root bus */
    PORT = PCI_DEVFN_OF(4, 0),
    HEAP_SLACK = 8 << 10,
    RESIDENT_SLACK = 1 << 20,
};

/* There with AddressSanitizer, whose heap keeps what was freed: resident memory says nothing then.
 */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static const struct {
    const char *type, *props;
} devices[] = {
    {"virtio-rng-pci", NULL},
    {"virtio-blk-pci", "drive=disk1"},
    {"virtio-net-pci", "netdev=n0"},
    {"virtio-balloon-pci", NULL},
    {"virtio-serial-pci", NULL},
    {"virtio-blk-pci", "drive=disk1,iothread=io0"},
    {"virtio-rng-pci-transitional", NULL},
};

static FakeDriver *d; /* of the device with the load */
static Device *pcihp;
static PciBridge *port;
static unsigned exp_cap;

/* --- what there is of everything --- */

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static uint64_t memory_used(void)
{
    unsigned long pages = 0;
    FILE *f;

    if (__sanitizer_get_current_allocated_bytes) {
        return __sanitizer_get_current_allocated_bytes();
    }
    f = fopen("/proc/self/statm", "re");
    ck_assert(f && fscanf(f, "%*u %lu", &pages) == 1);
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t memory_slack(void)
{
    return __sanitizer_get_current_allocated_bytes ? HEAP_SLACK : RESIDENT_SLACK;
}

/* --- the machine --- */

static void add_iothread(FakeMachine *m)
{
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", "io0");

    type_register(&iothread_type);
    ck_assert(user_creatable_add(m->p.root, opts, NULL));
    json_decref(opts);
}

static void add_node(FakeMachine *m, const char *name)
{
    json_t *opts =
        json_pack("{s:s, s:s, s:i}", "driver", "null-co", "node-name", name, "size", 1 << 20);

    ck_assert(block_node_add(m->p.root, m->p.loop, opts, NULL));
    json_decref(opts);
}

static void add_network(FakeMachine *m)
{
    json_t *opts = json_pack("{s:s, s:s}", "type", "hubport", "id", "n0");

    json_object_set_new(opts, "hubid", json_integer(0));
    ck_assert(net_backend_add(m->p.root, m->p.loop, opts, NULL));
    json_decref(opts);
}

static void add_hotplug(FakeMachine *m)
{
    pcihp = fake_machine_make(m, "acpi-pcihp", "pcihp", NULL);
    ck_assert(property_set_link(OBJECT(pcihp), "bus", OBJECT(pci_host_bus(m->host)), NULL));
    acpi_pcihp_set_notify(pcihp, fake_machine_irq(m));
    ck_assert(device_realize(pcihp, m->main_bus, NULL));
    port = PCI_BRIDGE(fake_machine_make(m, "pcie-root-port", "rp0", "addr=04.0"));
    ck_assert(device_realize(DEVICE(port), BUS(pci_host_bus(m->host)), NULL));
}

static void setup(void)
{
    static const TypeInfo *const types[] = {&acpi_pcihp_type, &pcie_root_port_type,
                                            &virtio_serial_type, &virtio_rng_type, NULL};
    FakeMachine *m = fake_machine_new(0);

    type_register_list(types);
    type_register_list(block_types);
    type_register_list(net_types);
    add_iothread(m);
    add_node(m, "disk0");
    add_node(m, "disk1");
    add_network(m);
    add_hotplug(m);
    fake_machine_reset(m);
    d = fake_driver_probe_on(m, "virtio-blk", 0, "drive=disk0,iothread=io0,addr=02.0");
    fake_driver_up(d);
    exp_cap = fake_cfg_read(m, PORT, PCI_CAPABILITY_LIST, 1);
    ck_assert_uint_eq(fake_cfg_read(m, PORT, exp_cap, 1), PCI_CAP_ID_EXP);
}

static void teardown(void)
{
    device_unrealize(pcihp);
    fake_driver_free(d);
}

/* --- the load --- */

static void start_load(void)
{
    blk_recycle(d);
    for (unsigned i = 0; i < BATCH; i++) {
        blk_add(d, 0, i & 1 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_FLUSH, 0, NULL, 0, i & 1 ? 4096 : 0);
    }
    d->t->notify(d, 0);
}

static void finish_load(void)
{
    unsigned done = 0;

    for (unsigned i = 0; i < 60000 && done < BATCH; i++) {
        fake_machine_run(d->m);
        while (done < BATCH && fake_driver_get(d, 0, NULL, NULL)) {
            done++;
        }
        if (done < BATCH) {
            g_usleep(1000);
        }
    }
    ck_assert_uint_eq(done, BATCH);
}

/* --- one round --- */

static Device *plug(unsigned round, PciBus *bus, const char *props)
{
    unsigned n = round % G_N_ELEMENTS(devices);
    g_autofree char *id = g_strdup_printf("d%u", round);
    g_autofree char *all = g_strjoin(devices[n].props ? "," : "", props,
                                     devices[n].props ? devices[n].props : "", NULL);
    Device *dev = fake_machine_make(d->m, devices[n].type, id, all);
    g_autoptr(GError) err = NULL;

    dev->id = g_strdup(id);
    ck_assert_msg(device_realize(dev, BUS(bus), &err), "%s", err ? err->message : "");
    return dev;
}

static bool is_gone(unsigned round)
{
    g_autofree char *id = g_strdup_printf("d%u", round);
    bool told = false;

    fake_machine_run(d->m);
    for (guint i = 0; i < d->m->events->len; i++) {
        const char *event = d->m->events->pdata[i];

        told |= g_str_has_prefix(event, "DEVICE_DELETED") && strstr(event, id);
    }
    g_ptr_array_set_size(d->m->events, 0);
    return told && !object_child(d->m->p.root, id);
}

static void acpi_write(unsigned reg, uint32_t value)
{
    ck_assert(aspace_write(d->m->p.pio, ACPI_PCIHP_PORT + reg, value, 4));
}

static void acpi_round(unsigned round)
{
    Device *dev = plug(round, pci_host_bus(d->m->host), "addr=09.0");

    fake_cfg_write(d->m, PCI_DEVFN_OF(SLOT, 0), PCI_BASE_ADDRESS_1, 0xef000000, 4);
    fake_cfg_write(d->m, PCI_DEVFN_OF(SLOT, 0), PCI_COMMAND, 7, 2);
    ck_assert(device_unplug_request(dev, NULL));
    acpi_write(ACPI_PCIHP_EJECT, UINT32_C(1) << SLOT);
}

static void slot_write(unsigned reg, uint16_t value)
{
    fake_cfg_write(d->m, PORT, exp_cap + reg, value, 2);
}

/* As Linux does it, without the time that it takes. */
static void pcie_round(unsigned round)
{
    uint64_t ecam = FAKE_ECAM_BASE + (UINT64_C(1) << 20), base, limit;
    Device *dev = plug(round, port->bus, "addr=00.0");

    slot_write(PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC);
    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_ON);
    ck_assert_uint_eq(fake_read(d->m, ecam, 2), 0x1af4);
    ck_assert(pci_bridge_window(port, PCI_WINDOW_MEMORY, &base, &limit));
    fake_write(d->m, ecam + PCI_BASE_ADDRESS_1, base, 4);
    fake_write(d->m, ecam + PCI_COMMAND, 7, 2);
    ck_assert_uint_eq(PCI_DEVICE(dev)->bars[1].addr, base);
    ck_assert(device_unplug_request(dev, NULL));
    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK | PCI_EXP_SLTCTL_PCC);
    ck_assert_uint_eq(fake_read(d->m, ecam, 2), 0xffff);
    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
    slot_write(PCI_EXP_SLTSTA, 0xffff);
}

static void (*const ways[])(unsigned round) = {acpi_round, pcie_round};

START_TEST(rounds_leave_nothing_behind)
{
    unsigned fds = 0;
    uint64_t memory = 0;

    for (unsigned round = 0; round < WARM_UP + ROUNDS; round++) {
        if (round == WARM_UP) {
            fds = count_fds();
            memory = memory_used();
        }
        start_load();
        ways[_i](round);
        ck_assert(is_gone(round));
        finish_load();
    }
    ck_assert_uint_eq(count_fds(), fds);
    ck_assert_uint_le(memory_used(), memory + memory_slack());
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hotplug-rounds");
    TCase *tc = tcase_create("rounds");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 280);
    tcase_add_loop_test(tc, rounds_leave_nothing_behind, 0, G_N_ELEMENTS(ways));
    suite_add_tcase(s, tc);
    return suite_run(s);
}
