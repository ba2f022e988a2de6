/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "pc" without a guest: its limits, the user's devices (aliases, ids, buses, refusals), and
 * that whatever fails leaves nothing behind. Running it is in test-machine-run.c.
 */
#include "tests/test-machine.h"

#include <inttypes.h>
#include <string.h>

#include "hw/core/memory-balloon.h"
#include "tests/suite.h"
#include "vmm/cli/memory-options.h"

FakeVm vm;

void setup_new(void)
{
    fake_vm_init(&vm);
}

void setup(void)
{
    fake_vm_init(&vm);
    ck_assert(fake_vm_start(&vm, NULL));
}

void setup_running(void)
{
    setup();
    ck_assert(machine_boot(vm.m, NULL));
    ck_assert(machine_cont(vm.m, NULL));
}

void teardown(void)
{
    fake_vm_finish(&vm);
}

/* --- machine types --- */

START_TEST(machine_is_found_by_alias_and_by_type_name)
{
    ck_assert_str_eq(machine_type_find("pc", NULL)->name, "pc-machine");
    ck_assert_ptr_eq(machine_type_find("pc-machine", NULL), machine_type_find("pc", NULL));
}
END_TEST

START_TEST(unknown_machine_gets_a_suggestion_when_one_is_near)
{
    GError *err = NULL;

    ck_assert_ptr_null(machine_type_find("pcc", &err));
    expect_line(err, "unknown machine 'pcc'; did you mean 'pc'?");
    ck_assert_ptr_null(machine_type_find("sbsa-ref", &err));
    expect_line(err, "unknown machine 'sbsa-ref'; '-M help' lists all");
    ck_assert_ptr_null(machine_type_find("", &err));
    expect_line(err, "unknown machine ''; '-M help' lists all");
}
END_TEST

/* --- limits --- */

#define MIB        UINT64_C(0x100000)
#define RAM_LINE   "-m: machine 'pc' takes 16 MiB to 1024 GiB of memory"
#define ALIGN_LINE "-m: the memory size must be a multiple of 1 MiB"
#define SMP_LINE   "-smp: machine 'pc' takes 1 to 64 vCPUs"

static const struct {
    uint64_t ram;
    uint32_t smp;
    const char *line; /* NULL: fine */
} limits[] = {
    {0, 1, RAM_LINE},
    {15 * MIB, 1, RAM_LINE},
    {16 * MIB - 1, 1, RAM_LINE},
    {UINT64_MAX, 1, RAM_LINE},
    {1024 * 1024 * MIB + MIB, 1, RAM_LINE},
    {16 * MIB + 1, 1, ALIGN_LINE},
    {16 * MIB + 4096, 1, ALIGN_LINE},
    {32 * MIB, 0, SMP_LINE},
    {32 * MIB, 65, SMP_LINE},
    {32 * MIB, UINT32_MAX, SMP_LINE},
    {16 * MIB, 1, NULL},
    {17 * MIB, 64, NULL},
    {2816 * MIB, 1, NULL},
    {2817 * MIB, 2, NULL},
    {5000 * MIB, 1, NULL},
};

START_TEST(memory_and_vcpus_have_limits)
{
    GError *err = NULL;

    vm.m->ram_size = limits[_i].ram;
    vm.m->smp = limits[_i].smp;
    if (limits[_i].line) {
        ck_assert(!fake_vm_start(&vm, &err));
        expect_line(err, limits[_i].line);
        ck_assert(!vm.accel->open);
        return;
    }
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert(machine_boot(vm.m, NULL));
    ck_assert_uint_eq(vm.m->accel->nr_vcpus, limits[_i].smp);
    ck_assert_uint_eq(gmem_size(vm.m->platform.mem), limits[_i].ram);
}
END_TEST

START_TEST(memory_beyond_the_hole_is_above_4_gib)
{
    GuestMemory *mem = vm.m->platform.mem;

    vm.m->ram_size = 3000 * MIB;
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert(gmem_contains(mem, GPA(0), 2816 * MIB));
    ck_assert(!gmem_contains(mem, GPA(2816 * MIB), 1));
    ck_assert(gmem_contains(mem, GPA(UINT64_C(1) << 32), 184 * MIB));
    ck_assert(!gmem_contains(mem, GPA((UINT64_C(1) << 32) + 184 * MIB), 1));
}
END_TEST

START_TEST(failed_start_is_undone)
{
    static const char *const lines[] = {"-accel fake: cannot open", "-accel fake: no vCPUs"};
    GError *err = NULL;

    *(_i == 0 ? &vm.accel->fail_open : &vm.accel->fail_vcpus) = true;
    ck_assert(!fake_vm_start(&vm, &err));
    expect_line(err, lines[_i]);
    machine_finish(vm.m);
    ck_assert(!vm.accel->open);
    ck_assert_uint_eq(vm.accel->closes, (unsigned)_i);
}
END_TEST

START_TEST(missing_kernel_is_told_before_anything_is_made)
{
    GError *err = NULL;

    property_set_string(OBJECT(vm.m), "kernel", "/nowhere/vmlinux", NULL);
    ck_assert(!fake_vm_start(&vm, &err));
    ck_assert_ptr_nonnull(strstr(err->message, "/nowhere/vmlinux"));
    g_clear_error(&err);
    ck_assert_uint_eq(gmem_size(vm.m->platform.mem), 0);
    g_clear_pointer(&vm.m->kernel, g_free);
    ck_assert(!fake_vm_start(&vm, &err));
    expect_line(err, "machine 'pc' has no firmware: give a kernel with -kernel FILE (a Linux "
                     "bzImage or an uncompressed vmlinux)");
}
END_TEST

START_TEST(failing_reset_of_the_accelerator_fails_the_boot)
{
    GError *err = NULL;

    ck_assert(fake_vm_start(&vm, NULL));
    vm.accel->fail_reset = true;
    ck_assert(!machine_boot(vm.m, &err));
    expect_line(err, "-accel fake: cannot reset");
}
END_TEST

START_TEST(finish_may_come_at_any_time_and_twice)
{
    machine_finish(vm.m);
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon", NULL));
    machine_finish(vm.m);
    machine_finish(vm.m);
    ck_assert_uint_eq(vm.accel->closes, 1);
    ck_assert_ptr_null(memory_balloon_find(vm.root));
}
END_TEST

/* --- devices of the user --- */

START_TEST(alias_is_the_machines_transport)
{
    Device *dev = fake_vm_add(&vm, "virtio-balloon,id=b,deflate-on-oom=on", NULL);

    ck_assert_str_eq(object_type_name(dev), "virtio-balloon-pci");
    ck_assert_str_eq(machine_device_type(vm.m, "virtio-balloon", NULL)->name, "virtio-balloon-pci");
    ck_assert_str_eq(machine_device_type(vm.m, "virtio-balloon-pci", NULL)->name,
                     "virtio-balloon-pci");
    ck_assert_ptr_eq(object_resolve_path(vm.root, "/machine/peripheral/b", NULL), dev);
    ck_assert_str_eq(dev->id, "b");
}
END_TEST

START_TEST(device_without_id_is_numbered)
{
    Device *a = fake_vm_add(&vm, "isa-debug-exit,iobase=0x501", NULL);
    Device *b = fake_vm_add(&vm, "isa-debug-exit,iobase=0x511", NULL);

    ck_assert_ptr_null(a->id);
    ck_assert_ptr_eq(object_resolve_path(vm.root, "/machine/peripheral-anon/device[0]", NULL), a);
    ck_assert_ptr_eq(object_resolve_path(vm.root, "/machine/peripheral-anon/device[1]", NULL), b);
    device_destroy(a);
    a = fake_vm_add(&vm, "isa-debug-exit,iobase=0x521", NULL);
    ck_assert_ptr_eq(object_resolve_path(vm.root, "/machine/peripheral-anon/device[0]", NULL), a);
}
END_TEST

static const struct {
    const char *device, *line;
} refused[] = {
    {"virtio-baloon", "unknown device 'virtio-baloon'; did you mean 'virtio-balloon'?"},
    {"virtio-baloon-pci", "unknown device 'virtio-baloon-pci'; did you mean 'virtio-balloon-pci'?"},
    {"isa-debug-exi", "unknown device 'isa-debug-exi'; did you mean 'isa-debug-exit'?"},
    {"xyzzy", "unknown device 'xyzzy'; '-device help' lists all"},
    {"pc-machine", "unknown device 'pc-machine'; '-device help' lists all"},
    {"virtio-", "unknown device 'virtio-'; '-device help' lists all"},
    {"driver=,id=x", "no device type given; '-device help' lists all"},
    {"id=x", "no device type given; '-device help' lists all"},
    {"pci-host", "'pci-host' is part of the machine and cannot be made by the user"},
    {"acpi-ged,id=x", "'acpi-ged' is part of the machine and cannot be made by the user"},
    {"pci-device", "'pci-device' is an abstract type; '-device help' lists all"},
    {"device", "'device' is an abstract type; '-device help' lists all"},
    {"virtio-balloon,id=taken", "duplicate id 'taken'"},
    {"virtio-balloon,id=", "id '' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"virtio-balloon,id=1a",
     "id '1a' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"virtio-balloon,id=a/b",
     "id 'a/b' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"virtio-balloon,id=a b",
     "id 'a b' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"virtio-balloon,id=h\xc3\xa9",
     "id 'h\xc3\xa9' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"virtio-balloon,bus=pci.9", "there is no bus 'pci.9'"},
    {"virtio-balloon,bus=", "there is no bus ''"},
    {"virtio-balloon-device,bus=pci.0",
     "bus 'pci.0' is a PCI bus, and virtio-balloon-device needs a virtio-bus bus"},
    {"virtio-balloon-device", "machine 'pc' has no free virtio-bus bus for virtio-balloon-device: "
                              "use virtio-balloon, which is a PCI device here"},
    {"isa-debug-exit,bus=isa.0", "isa-debug-exit sits on no bus: leave bus=isa.0 out"},
    {"virtio-balloon,deflate-on-om=on",
     "unknown property 'deflate-on-om' of virtio-balloon-pci; did you mean 'deflate-on-oom'?"},
    {"virtio-balloon,deflate-on-oom=maybe",
     "property 'deflate-on-oom' of virtio-balloon-pci: 'maybe' is neither 'on' nor 'off'"},
    {"virtio-balloon,addr=99",
     "property 'addr' of virtio-balloon-pci: '99' is not a PCI address (slot.function in hex, "
     "00.0 to 1f.7)"},
    {"virtio-balloon,guest-stats=1", "property 'guest-stats' of virtio-balloon-pci is read-only"},
    {"isa-debug-exit,iobase=0x10000",
     "property 'iobase' of isa-debug-exit: 0x10000 is out of range (0 to 65535)"},
    {"{\"driver\":5}", "'driver' must be a string"},
    {"{\"driver\":\"virtio-balloon\",\"id\":null}", "'id' must be a string"},
    {"{\"driver\":\"virtio-balloon\",\"bus\":0}", "'bus' must be a string"},
    {"{\"driver\":\"virtio-balloon\",\"deflate-on-oom\":\"on\",\"addr\":[]}",
     "property 'addr' of virtio-balloon-pci: a string is needed, not an array"},
    {"{}", "no device type given; '-device help' lists all"},
};

static bool count_object(Object *obj, void *opaque)
{
    ++*(unsigned *)opaque;
    return true;
}

static unsigned count_objects(void)
{
    unsigned n = 0;

    /* What holds devices may come with the first one. */
    object_container(OBJECT(vm.m), "peripheral");
    object_container(OBJECT(vm.m), "peripheral-anon");
    object_foreach(vm.root, count_object, &n);
    return n;
}

START_TEST(refused_device_gets_one_line_and_leaves_nothing)
{
    GError *err = NULL;
    unsigned objects;

    ck_assert_ptr_nonnull(fake_vm_add(&vm, "isa-debug-exit,id=taken,iobase=0x601", NULL));
    objects = count_objects();
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ptr_null(fake_vm_add(&vm, refused[_i].device, &err));
        expect_line(err, refused[_i].line);
        ck_assert_uint_eq(count_objects(), objects);
    }
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,id=b", NULL));
}
END_TEST

START_TEST(second_balloon_is_refused)
{
    GError *err = NULL;
    unsigned objects;

    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,id=b0", NULL));
    objects = count_objects();
    ck_assert_ptr_null(fake_vm_add(&vm, "virtio-balloon,id=b1", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "only one balloon device is supported"));
    g_clear_error(&err);
    ck_assert_uint_eq(count_objects(), objects);
    device_destroy(DEVICE(object_resolve_path(vm.root, "b0", NULL)));
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,id=b1", NULL));
}
END_TEST

START_TEST(failing_realize_leaves_nothing_in_the_tree)
{
    GError *err = NULL;
    unsigned objects;

    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,addr=5", NULL));
    objects = count_objects();
    ck_assert_ptr_null(fake_vm_add(&vm, "isa-debug-exit,id=x,iobase=0xffff,iosize=2", &err));
    expect_line(err, "isa-debug-exit: ports 0xffff to 0x10000 are not within 0 to 0xffff");
    ck_assert_uint_eq(count_objects(), objects);
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "isa-debug-exit,id=x", NULL));
}
END_TEST

START_TEST(json_properties_are_typed)
{
    Device *dev = fake_vm_add(
        &vm,
        "{\"driver\":\"virtio-balloon\",\"id\":\"b\",\"deflate-on-oom\":true,\"addr\":\"1c.0\"}",
        NULL);
    json_t *value = property_get_json(OBJECT(dev), "deflate-on-oom", NULL);

    ck_assert(json_is_true(value));
    json_decref(value);
    value = property_get_json(OBJECT(dev), "addr", NULL);
    ck_assert_int_eq(json_integer_value(value), 0xe0);
    json_decref(value);
}
END_TEST

START_TEST(device_goes_onto_the_bus_that_is_named)
{
    Device *dev = fake_vm_add(&vm, "virtio-balloon,bus=pci.0", NULL);

    ck_assert_str_eq(dev->bus->parent_obj.name, "pci.0");
}
END_TEST

/* --- -mem-path and -mem-prealloc --- */

START_TEST(memory_options_make_the_machines_backend)
{
    Options o = {.mem_path = _i & 1 ? vm.dir : NULL,
                 .mem_prealloc = _i & 2,
                 .objects = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref)};
    g_autoptr(GError) err = NULL;
    uint64_t ram;

    g_ptr_array_add(o.objects, json_pack("{s:s}", "qom-type", "memory-backend-ram"));
    memory_options_prealloc(&o);
    ck_assert_int_eq(json_is_true(json_object_get(o.objects->pdata[0], "prealloc")), !!(_i & 2));
    ck_assert(memory_options_make(&o, vm.m, &err));
    ck_assert_int_eq(vm.m->memory_backend != NULL, _i != 0);
    if (_i) {
        ck_assert_str_eq(vm.m->memory_backend, "pc.ram");
        ck_assert_int_eq(memory_options_make(&o, vm.m, &err), !(_i & 1)); /* there is one now */
    }
    ck_assert(fake_vm_start(&vm, NULL));
    ram = gmem_resident(vm.m->platform.mem);
    ck_assert_msg(_i & 2 ? ram == FAKE_VM_RAM : ram < FAKE_VM_RAM / 2, "%" PRIu64, ram);
    g_ptr_array_unref(o.objects);
}
END_TEST

static void add_building_tests(Suite *s)
{
    TCase *tc = tcase_create("building");

    tcase_add_checked_fixture(tc, setup_new, teardown);
    tcase_add_test(tc, machine_is_found_by_alias_and_by_type_name);
    tcase_add_test(tc, unknown_machine_gets_a_suggestion_when_one_is_near);
    tcase_add_loop_test(tc, memory_and_vcpus_have_limits, 0, G_N_ELEMENTS(limits));
    tcase_add_test(tc, memory_beyond_the_hole_is_above_4_gib);
    tcase_add_loop_test(tc, memory_options_make_the_machines_backend, 0, 4);
    tcase_add_loop_test(tc, failed_start_is_undone, 0, 2);
    tcase_add_test(tc, missing_kernel_is_told_before_anything_is_made);
    tcase_add_test(tc, failing_reset_of_the_accelerator_fails_the_boot);
    tcase_add_test(tc, finish_may_come_at_any_time_and_twice);
    suite_add_tcase(s, tc);
}

static void add_device_tests(Suite *s)
{
    TCase *tc = tcase_create("devices");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, alias_is_the_machines_transport);
    tcase_add_test(tc, device_without_id_is_numbered);
    tcase_add_loop_test(tc, refused_device_gets_one_line_and_leaves_nothing, 0,
                        G_N_ELEMENTS(refused));
    tcase_add_test(tc, second_balloon_is_refused);
    tcase_add_test(tc, failing_realize_leaves_nothing_in_the_tree);
    tcase_add_test(tc, json_properties_are_typed);
    tcase_add_test(tc, device_goes_onto_the_bus_that_is_named);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("machine");

    add_building_tests(s);
    add_device_tests(s);
    add_run_tests(s);
    return suite_run(s);
}
