/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "microvm" without a guest: where its windows are, which devices they take, how they are
 * announced, and that nothing is there that was not asked for.
 */
#include <check.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtio-mmio.h"
#include "qom/property.h"
#include "tests/fake-vm.h"
#include "tests/suite.h"
#include "vmm/monitor/monitor.h"

enum { WINDOWS = 8, CMDLINE = 0x20000, TABLES = 0xe0000, TABLES_SIZE = 0x20000 };
#define BASE UINT64_C(0xfeb00000)

static FakeVm vm;

static void start(const char *option)
{
    g_autoptr(GError) err = NULL;

    fake_vm_init_as(&vm, "microvm");
    if (option) {
        g_auto(GStrv) pair = g_strsplit(option, "=", 2);

        ck_assert(property_set_string(OBJECT(vm.m), pair[0], pair[1], &err));
    }
    ck_assert(property_set_string(OBJECT(vm.m), "append", "quiet", &err));
    ck_assert(fake_vm_start(&vm, &err));
}

static void boot(void)
{
    g_autoptr(GError) err = NULL;

    ck_assert_msg(machine_boot(vm.m, &err), "%s", err ? err->message : "");
}

static uint32_t reg(unsigned window, unsigned off)
{
    uint64_t v = 0;

    aspace_read(vm.m->platform.mmio, BASE + window * UINT64_C(0x200) + off, 4, &v);
    return (uint32_t)v;
}

static unsigned announced(void)
{
    g_autofree char *tables = g_malloc(TABLES_SIZE);
    unsigned n = 0;

    ck_assert(gmem_read(vm.m->platform.mem, GPA(TABLES), tables, TABLES_SIZE));
    for (size_t i = 0; i + 8 <= TABLES_SIZE; i++) {
        n += memcmp(tables + i, "LNRO0005", 8) == 0;
    }
    return n;
}

static void expect_cmdline(const char *line)
{
    char text[256];

    ck_assert(gmem_read(vm.m->platform.mem, GPA(CMDLINE), text, sizeof text));
    text[sizeof text - 1] = '\0';
    ck_assert_str_eq(text, line);
}

START_TEST(windows_lie_where_qemu_has_them_and_are_of_version_2)
{
    start(NULL);
    for (unsigned n = 0; n < WINDOWS; n++) {
        ck_assert_uint_eq(reg(n, VIRTIO_MMIO_MAGIC_VALUE), VIRTIO_MMIO_MAGIC);
        ck_assert_uint_eq(reg(n, VIRTIO_MMIO_VERSION), 2);
        ck_assert_uint_eq(reg(n, VIRTIO_MMIO_DEVICE_ID), 0);
    }
    ck_assert_uint_eq(reg(WINDOWS, VIRTIO_MMIO_MAGIC_VALUE), UINT32_MAX);
    boot();
    ck_assert_uint_eq(announced(), 0);
    expect_cmdline("quiet");
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(devices_take_windows_from_the_first_or_by_name)
{
    g_autoptr(GError) err = NULL;

    start(NULL);
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng,bus=virtio-mmio-bus.2", &err));
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,id=b", &err));
    ck_assert_uint_eq(reg(2, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    ck_assert_uint_eq(reg(0, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BALLOON);
    boot();
    ck_assert_uint_eq(announced(), 2);
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(the_ninth_device_gets_one_line)
{
    g_autoptr(GError) err = NULL;

    start(NULL);
    for (unsigned n = 0; n < WINDOWS; n++) {
        ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng-device", &err));
    }
    ck_assert_ptr_null(fake_vm_add(&vm, "virtio-rng-device", &err));
    ck_assert_str_eq(err->message,
                     "machine 'microvm' has no free virtio-bus bus for virtio-rng-device");
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(interrupts_arrive_from_gsi_16)
{
    g_autoptr(GError) err = NULL;
    Device *dev;

    start(NULL);
    dev = fake_vm_add(&vm, "virtio-rng-device,bus=virtio-mmio-bus.3", &err);
    VIRTIO_BUS_GET_CLASS(dev->bus)->notify(VIRTIO_BUS(dev->bus), 0, true);
    ck_assert_uint_eq(vm.accel->raised[19], 1);
    ck_assert_int_eq(vm.accel->level[19], 1);
    boot(); /* resets the device */
    ck_assert_int_eq(vm.accel->level[19], 0);
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(command_line_names_windows_in_use_when_asked)
{
    g_autoptr(GError) err = NULL;

    start("auto-kernel-cmdline=on");
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng", &err));
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng,bus=virtio-mmio-bus.7", &err));
    for (unsigned i = 0; i < 2; i++) { /* a second time as at a reset: nothing is said twice */
        boot();
        expect_cmdline("quiet virtio_mmio.device=512@0xfeb00000:16 "
                       "virtio_mmio.device=512@0xfeb00e00:23");
    }
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(legacy_windows_are_of_version_1)
{
    start("force-legacy=on");
    ck_assert_uint_eq(reg(0, VIRTIO_MMIO_VERSION), 1);
    fake_vm_finish(&vm);
}
END_TEST

static bool port_answers(unsigned port)
{
    return aspace_find(vm.m->platform.pio, port) != NULL;
}

START_TEST(nothing_of_a_pc_is_there_unless_asked_for)
{
    static const struct {
        const char *option;
        bool serial, rtc, pit, pcie;
    } cases[] = {
        {NULL, false, false, false, false},     {"isa-serial=on", true, false, false, false},
        {"rtc=on", false, true, false, false},  {"pit=on", false, false, true, false},
        {"pcie=on", false, false, false, true},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        start(cases[i].option);
        boot();
        ck_assert_int_eq(port_answers(0x3f8), cases[i].serial);
        ck_assert_int_eq(port_answers(0x70), cases[i].rtc);
        ck_assert_int_eq(!vm.m->accel->no_pit, cases[i].pit);
        ck_assert_int_eq(object_child(OBJECT(vm.m), "pci-host") != NULL, cases[i].pcie);
        ck_assert(!port_answers(0x64) && !port_answers(0xcf8));
        fake_vm_finish(&vm);
    }
}
END_TEST

START_TEST(pci_devices_need_the_pci_host)
{
    g_autoptr(GError) err = NULL;

    start(NULL);
    ck_assert_ptr_null(fake_vm_add(&vm, "virtio-rng-pci", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "machine 'microvm' has no free"));
    fake_vm_finish(&vm);
    start("pcie=on");
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng-pci", NULL));
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng", NULL)); /* still a window */
    ck_assert_uint_eq(reg(0, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    boot();
    fake_vm_finish(&vm);
}
END_TEST

static void expect_refused(const char *command, const char *args, const char *line)
{
    json_t *json = json_loads(args, 0, NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(qmp_execute(vm.m, command, json, &err));
    ck_assert_str_eq(err->message, line);
    json_decref(json);
}

START_TEST(windows_take_no_devices_while_the_guest_runs)
{
    start("pcie=on");
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng,id=r0", NULL));
    boot();
    expect_refused("device_add", "{\"driver\": \"virtio-rng\"}",
                   "Bus 'virtio-mmio-bus.1' does not support hotplugging");
    expect_refused("device_add", "{\"driver\": \"virtio-rng-device\"}",
                   "Bus 'virtio-mmio-bus.1' does not support hotplugging");
    expect_refused("device_del", "{\"id\": \"r0\"}",
                   "Bus 'virtio-mmio-bus.0' does not support hotplugging");
    expect_refused("device_add", "{\"driver\": \"virtio-rng-pci\"}",
                   "Bus 'pci.0' does not support hotplugging");
    fake_vm_finish(&vm);
}
END_TEST

/* Slots of ports need nothing but PCI Express, which pcie=on brings. */
START_TEST(ports_take_devices_while_the_guest_runs)
{
    json_t *args = json_pack("{s:s, s:s, s:s}", "driver", "virtio-rng-pci", "id", "r", "bus", "rp"),
           *result;

    start("pcie=on");
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "pcie-root-port,id=rp", NULL));
    boot();
    result = qmp_execute(vm.m, "device_add", args, NULL);
    ck_assert_ptr_nonnull(result);
    json_decref(result);
    json_decref(args);
    fake_vm_finish(&vm);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("microvm");
    TCase *tc = tcase_create("microvm");

    tcase_add_test(tc, windows_lie_where_qemu_has_them_and_are_of_version_2);
    tcase_add_test(tc, devices_take_windows_from_the_first_or_by_name);
    tcase_add_test(tc, the_ninth_device_gets_one_line);
    tcase_add_test(tc, interrupts_arrive_from_gsi_16);
    tcase_add_test(tc, command_line_names_windows_in_use_when_asked);
    tcase_add_test(tc, legacy_windows_are_of_version_1);
    tcase_add_test(tc, nothing_of_a_pc_is_there_unless_asked_for);
    tcase_add_test(tc, pci_devices_need_the_pci_host);
    tcase_add_test(tc, windows_take_no_devices_while_the_guest_runs);
    tcase_add_test(tc, ports_take_devices_while_the_guest_runs);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
