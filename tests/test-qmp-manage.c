/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands that manage a VM: objects and streams that come and go, vCPUs, PCI and virtio
 * devices. The fixture holds each result against the schema.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "hw/pci/acpi-pcihp.h"
#include "hw/pci/pci.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/fake-accel.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

#define GENERIC "GenericError"

static void adds(const char *object)
{
    g_autofree char *request = g_strdup_printf("{'execute':'object-add','arguments':%s}", object);

    expect_return(client, request, "{}");
}

static void del_fails(const char *id, const char *why)
{
    g_autofree char *request =
        g_strdup_printf("{'execute':'object-del','arguments':{'id':'%s'}}", id);

    expect_error(client, request, GENERIC, why);
}

START_TEST(an_object_comes_and_goes)
{
    adds("{'qom-type':'rng-builtin','id':'r'}");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/objects/r','property':'type'}}",
                  "'rng-builtin'");
    expect_error(client, "{'execute':'object-add','arguments':{'qom-type':'rng-builtin','id':'r'}}",
                 GENERIC, "duplicate id 'r'");
    expect_return(client, "{'execute':'object-del','arguments':{'id':'r'}}", "{}");
    del_fails("r", "object 'r' not found");
    adds("{'qom-type':'rng-builtin','id':'r'}");
    expect_return(client, "{'execute':'object-del','arguments':{'id':'r'}}", "{}");
}
END_TEST

static const char *const bad_objects[][2] = {
    {"{'id':'r'}", "Parameter 'qom-type' is missing"},
    {"{'qom-type':'rng-builtin'}", "Parameter 'id' is missing"},
    {"{'qom-type':'rng-builin','id':'r'}",
     "unknown object type 'rng-builin'; did you mean 'rng-builtin'?; '-object help' lists all"},
    {"{'qom-type':'rng-random','id':'r','filename':'/missing'}",
     "cannot open filename=/missing: No such file or directory"},
    {"{'qom-type':'rng-builtin','id':'1'}",
     "id '1' must be letters, digits, '-', '.', '_', beginning with a letter"},
};

START_TEST(a_bad_object_is_refused_and_leaves_nothing)
{
    g_autofree char *request =
        g_strdup_printf("{'execute':'object-add','arguments':%s}", bad_objects[_i][0]);

    expect_error(client, request, GENERIC, bad_objects[_i][1]);
    del_fails("r", "object 'r' not found");
}
END_TEST

START_TEST(an_object_in_use_cannot_be_deleted)
{
    json_t *opts = json_pack("{s:s, s:s, s:s}", "driver", "virtio-rng", "id", "dev", "rng", "r");
    Device *dev;

    adds("{'qom-type':'rng-builtin','id':'r'}");
    dev = machine_add_device(vm.m, opts, NULL);
    json_decref(opts);
    ck_assert_ptr_nonnull(dev);
    del_fails("r", "object 'r' is in use, can not be deleted");
    device_destroy(dev);
    expect_return(client, "{'execute':'object-del','arguments':{'id':'r'}}", "{}");
}
END_TEST

/* --- streams --- */

static void chardev(const char *id, const char *backend, const char *result)
{
    g_autofree char *request = g_strdup_printf(
        "{'execute':'chardev-add','arguments':{'id':'%s','backend':%s}}", id, backend);

    expect_return(client, request, result);
}

static void remove_chardev(const char *id)
{
    g_autofree char *request =
        g_strdup_printf("{'execute':'chardev-remove','arguments':{'id':'%s'}}", id);

    expect_return(client, request, "{}");
}

START_TEST(streams_come_and_go)
{
    g_autofree char *path = g_build_filename(vm.dir, "file", NULL);
    g_autofree char *file =
        g_strdup_printf("{'type':'file','data':{'out':'%s','append':true}}", path);
    g_autofree char *sock = g_build_filename(vm.dir, "sock", NULL);
    g_autofree char *socket = g_strdup_printf("{'type':'socket','data':{'addr':{'type':'unix',"
                                              "'data':{'path':'%s'}}}}",
                                              sock);

    chardev("n", "{'type':'null','data':{}}", "{}");
    chardev("b", "{'type':'ringbuf','data':{'size':1024}}", "{}");
    chardev("f", file, "{}");
    chardev("s", socket, "{}");
    ck_assert(g_file_test(sock, G_FILE_TEST_EXISTS));
    ck_assert(g_file_test(path, G_FILE_TEST_EXISTS));
    remove_chardev("s");
    ck_assert(!g_file_test(sock, G_FILE_TEST_EXISTS));
    remove_chardev("f");
    remove_chardev("b");
    remove_chardev("n");
    unlink(path);
    expect_return(client, "{'execute':'query-chardev'}", "[]");
    expect_error(client, "{'execute':'chardev-remove','arguments':{'id':'n'}}", GENERIC,
                 "Chardev 'n' not found");
}
END_TEST

START_TEST(a_pty_is_told_by_its_path)
{
    json_t *result = get_return(client, "{'execute':'chardev-add','arguments':{'id':'p','backend':"
                                        "{'type':'pty','data':{}}}}");

    ck_assert(g_str_has_prefix(json_string_value(json_object_get(result, "pty")), "/dev/pts/"));
    json_decref(result);
    remove_chardev("p");
}
END_TEST

static const char *const bad_chardevs[][2] = {
    {"{'id':'c'}", "Parameter 'backend' is missing"},
    {"{'id':'c','backend':'null'}", "Invalid parameter type for 'backend', expected: object"},
    {"{'id':'c','backend':{'data':{}}}", "Parameter 'backend.type' is missing"},
    {"{'id':'c','backend':{'type':'null'}}", "Parameter 'backend.data' is missing"},
    {"{'id':'c','backend':{'type':'nul','data':{}}}",
     "unknown kind 'nul'; did you mean 'null'?; '-chardev help' lists all"},
    {"{'id':'c','backend':{'type':'vc','data':{}}}",
     "'vc' is not built into Aerostat; '-chardev help' lists what is"},
    {"{'id':'c','backend':{'type':'null','data':{'x':1}}}", "unknown 'x' for a null"},
    {"{'id':'c','backend':{'type':'socket','data':{}}}",
     "Parameter 'backend.data.addr' is missing"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'vsock','data':{}}}}}",
     "Parameter 'type' does not accept value 'vsock'"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'unix','data':{'path':'/x/y'}},"
     "'wait':true}}}",
     "wait=true would stop the VM until somebody connects: leave it out"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'inet','data':{'host':'10.0.0.1',"
     "'port':'1'}}}}}",
     "'10.0.0.1' is no loopback address: whoever connects is trusted, so give 127.0.0.1 or [::1], "
     "and forward from there"},
    {"{'id':'c','backend':{'type':'null','data':{'id':'d'}}}",
     "Parameter 'backend.data.id' is unexpected"},
    {"{'id':'c','backend':{'type':'null','data':{'backend':'socket','path':'/x/y','server':true}}}",
     "Parameter 'backend.data.backend' is unexpected"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'unix','data':{'path':'/x/y'}},"
     "'wait':'on'}}}",
     "Invalid parameter type for 'backend.data.wait', expected: boolean"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'unix','data':{'path':'/x/y',"
     "'wait':true}}}}}",
     "Parameter 'backend.data.addr.data.wait' is unexpected"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'fd','data':{'str':'1'}}}}}",
     "File descriptor named '1' not found"},
    {"{'id':'c','backend':{'type':'socket','data':{'server':false,'addr':{'type':'inet','data':{"
     "'host':'a.example','port':'1'}}}}}",
     "'a.example' is no address, and looking a name up would stop the VM meanwhile"},
    {"{'id':'c','backend':{'type':'socket','data':{'addr':{'type':'inet','data':{'host':'a.example'"
     ","
     "'port':'1'}}}}}",
     "'a.example' is no loopback address: whoever connects is trusted, so give 127.0.0.1 or [::1], "
     "and forward from there"},
    {"{'id':'c','backend':{'type':'file','data':{'out':[]}}}",
     "Invalid parameter type for 'backend.data.out', expected: string"},
    {"{'id':'c','backend':{'type':'file','data':{'out':'/missing/x'}}}",
     "cannot open: No such file or directory"},
};

START_TEST(a_bad_stream_is_refused_and_leaves_nothing)
{
    g_autofree char *request =
        g_strdup_printf("{'execute':'chardev-add','arguments':%s}", bad_chardevs[_i][0]);

    expect_error(client, request, GENERIC, bad_chardevs[_i][1]);
    expect_return(client, "{'execute':'query-chardev'}", "[]");
}
END_TEST

START_TEST(a_stream_in_use_stays)
{
    Object *streams = object_container(vm.root, "chardevs");
    json_t *opts;
    Device *bus, *console;

    chardev("c", "{'type':'null','data':{}}", "{}");
    expect_error(client,
                 "{'execute':'chardev-add','arguments':{'id':'c','backend':{'type':'null','data':"
                 "{}}}}",
                 GENERIC, "Chardev with id 'c' already exists");
    bus = fake_vm_add(&vm, "virtio-serial", NULL);
    opts = json_pack("{s:s, s:s}", "driver", "virtconsole", "chardev", "c");
    console = machine_add_device(vm.m, opts, NULL);
    json_decref(opts);
    ck_assert_ptr_nonnull(bus);
    ck_assert_ptr_nonnull(console);
    expect_error(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", GENERIC,
                 "Chardev 'c' is busy");
    device_destroy(console);
    remove_chardev("c");
    ck_assert_uint_eq(streams->children->len, 0);
}
END_TEST

/* --- the machine --- */

START_TEST(vcpus_and_memory_are_told)
{
    json_t *list = get_return(client, "{'execute':'query-cpus-fast'}");

    expect_json(list, "[{'cpu-index':0,'qom-path':'/machine/accel/cpu[0]','thread-id':1000,"
                      "'props':{'socket-id':0,'core-id':0,'thread-id':0},'target':'x86_64'}]");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/machine/accel/cpu[0]','property':"
                  "'type'}}",
                  "'cpu'");
    expect_return(client, "{'execute':'query-memory-size-summary'}",
                  "{'base-memory':33554432,'plugged-memory':0}");
}
END_TEST

START_TEST(nmi_reaches_vcpus_that_are_paused_for_it)
{
    unsigned starts = vm.accel->starts;

    expect_return(client, "{'execute':'inject-nmi'}", "{}");
    ck_assert_uint_eq(vm.accel->nmis, 1);
    ck_assert_uint_eq(vm.accel->starts, starts + 1);
    ck_assert(vm.accel->running);
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_return(client, "{'execute':'inject-nmi'}", "{}");
    ck_assert_uint_eq(vm.accel->nmis, 2);
    ck_assert(!vm.accel->running);
}
END_TEST

/* --- PCI and virtio --- */

START_TEST(pci_functions_are_told_with_their_bars)
{
    json_t *buses = get_return(client, "{'execute':'query-pci'}"), *devices, *balloon, *regions;
    bool found = false;
    size_t i;

    ck_assert_uint_eq(json_array_size(buses), 1);
    devices = json_object_get(json_array_get(buses, 0), "devices");
    json_array_foreach(devices, i, balloon)
    {
        if (strcmp(json_string_value(json_object_get(balloon, "qdev_id")), "balloon0") != 0) {
            continue;
        }
        found = true;
        regions = json_object_get(balloon, "regions");
        ck_assert_uint_ge(json_array_size(regions), 1);
        ck_assert_int_ne(json_integer_value(json_object_get(json_array_get(regions, 0), "address")),
                         -1);
        ck_assert_int_eq(
            json_integer_value(json_object_get(json_object_get(balloon, "id"), "vendor")), 0x1af4);
    }
    ck_assert(found);
    json_decref(buses);
}
END_TEST

#define BALLOON "'/machine/peripheral/balloon0/virtio-backend'"

START_TEST(virtio_devices_are_told_in_words)
{
    json_t *status, *features, *text;
    VirtIODevice *vdev = (VirtIODevice *)object_resolve_path(
        vm.root, "/machine/peripheral/balloon0/virtio-backend", NULL);
    bool poison = false, version = false;
    size_t i;

    expect_return(client, "{'execute':'x-query-virtio'}",
                  "[{'path':" BALLOON ",'name':'virtio-balloon'}]");
    virtio_set_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    status =
        get_return(client, "{'execute':'x-query-virtio-status','arguments':{'path':" BALLOON "}}");
    features = json_object_get(status, "host-features");
    json_array_foreach(json_object_get(features, "dev-features"), i, text)
    {
        poison |= g_str_has_prefix(json_string_value(text), "VIRTIO_BALLOON_F_PAGE_POISON: ");
    }
    json_array_foreach(json_object_get(features, "transports"), i, text)
    {
        version |= g_str_has_prefix(json_string_value(text), "VIRTIO_F_VERSION_1: ");
    }
    ck_assert(poison && version);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(status, "status"), "statuses")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(status, "device-id")), 5);
    json_decref(status);
}
END_TEST

START_TEST(virtqueues_are_told)
{
    json_t *q = get_return(client, "{'execute':'x-query-virtio-queue-status','arguments':{'path':"
                                   "'balloon0','queue':0}}");

    ck_assert_int_eq(json_integer_value(json_object_get(q, "vring-num-default")), 128);
    ck_assert(json_is_false(json_object_get(q, "signalled-used-valid")));
    json_decref(q);
    expect_error(client,
                 "{'execute':'x-query-virtio-queue-status','arguments':{'path':" BALLOON
                 ",'queue':99}}",
                 GENERIC, "Invalid virtqueue number 99");
    expect_error(client,
                 "{'execute':'x-query-virtio-queue-status','arguments':{'path':" BALLOON
                 ",'queue':-1}}",
                 GENERIC, "Invalid virtqueue number -1");
    expect_error(client, "{'execute':'x-query-virtio-status','arguments':{'path':'/machine'}}",
                 GENERIC, "Path /machine is not a VirtIODevice");
    expect_error(client,
                 "{'execute':'x-query-virtio-queue-element','arguments':{'path':" BALLOON
                 ",'queue':0}}",
                 GENERIC, "the queue is not set up");
}
END_TEST

enum { DESC_AT = 0x100000, AVAIL_AT = 0x101000, USED_AT = 0x102000 };

static void put(uint64_t gpa, const void *bytes, size_t len)
{
    ck_assert(gmem_write(vm.m->platform.mem, GPA(gpa), bytes, len));
}

/* A driver that has queue 0 at work, and puts a chain of two descriptors, 5 and 6, there. */
static void put_chain(VirtIODevice *vdev)
{
    static const struct vring_desc chain[] = {{0x1234000, 16, VRING_DESC_F_NEXT, 6},
                                              {0x1235000, 32, VRING_DESC_F_WRITE, 0}};
    static const uint16_t avail[] = {0, 1, 5};
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
    VirtQueueSetup *setup = virtqueue_setup(virtio_get_queue(vdev, 0));

    virtio_set_status(vdev, status);
    virtio_set_guest_features(vdev, UINT64_C(1) << VIRTIO_F_VERSION_1);
    virtio_set_status(vdev, status |= VIRTIO_CONFIG_S_FEATURES_OK);
    *setup = (VirtQueueSetup){
        .size = 8, .desc = GPA(DESC_AT), .driver = GPA(AVAIL_AT), .device = GPA(USED_AT)};
    ck_assert(virtio_queue_enable(vdev, 0));
    virtio_set_status(vdev, status | VIRTIO_CONFIG_S_DRIVER_OK);
    put(DESC_AT + 5 * sizeof chain[0], chain, sizeof chain);
    put(AVAIL_AT, avail, sizeof avail);
}

START_TEST(what_lies_in_a_queue_is_told)
{
    VirtIODevice *vdev = (VirtIODevice *)object_resolve_path(
        vm.root, "/machine/peripheral/balloon0/virtio-backend", NULL);
    static const char ask[] = "{'execute':'x-query-virtio-queue-element','arguments':{'path':"
                              "'balloon0','queue':0";
    static const char element[] =
        "{'name':'virtio-balloon','index':5,'descs':[{'addr':19087360,'len':16,'flags':['next']},"
        "{'addr':19091456,'len':32,'flags':['write']}],'avail':{'flags':0,'idx':1,'ring':5},"
        "'used':{'flags':0,'idx':0}}";
    g_autofree char *next = g_strconcat(ask, "}}", NULL),
                    *first = g_strconcat(ask, ",'index':0}}", NULL);
    json_t *q;

    put_chain(vdev);
    expect_return(client, next, element);
    expect_return(client, first, element);
    q = get_return(client, "{'execute':'x-query-virtio-queue-status','arguments':{'path':"
                           "'balloon0','queue':0}}");
    ck_assert_int_eq(json_integer_value(json_object_get(q, "vring-desc")), DESC_AT);
    ck_assert_int_eq(json_integer_value(json_object_get(q, "vring-num")), 8);
    ck_assert(json_is_true(json_object_get(q, "signalled-used-valid")));
    json_decref(q);
}
END_TEST

/* --- devices that come and go while a guest runs --- */

static void eject_slot_7(void)
{
    aspace_write(vm.m->platform.pio, ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, 1 << 7, 4);
}

START_TEST(a_device_comes_and_goes_when_the_guest_ejects_it)
{
    static const char add[] = "{'execute':'device_add','arguments':{'driver':'virtio-rng-pci',"
                              "'id':'r','addr':'7'}}",
                      del[] = "{'execute':'device_del','arguments':{'id':'r'}}";

    expect_return(client, add, "{}");
    expect_error(client, add, GENERIC, "duplicate id 'r'");
    expect_return(client, del, "{}");
    expect_nothing(client);
    expect_error(client, del, GENERIC, "Device r is already in the process of unplug");
    step_ms(5000);
    expect_return(client, del, "{}");
    expect_nothing(client);
    eject_slot_7();
    expect_event(client, "DEVICE_DELETED", "{'device':'r','path':'/machine/peripheral/r'}");
    expect_error(client, del, "DeviceNotFound", "Device 'r' not found");
    eject_slot_7();
    expect_nothing(client);
}
END_TEST

START_TEST(a_bus_whose_guest_is_not_told_keeps_its_devices)
{
    bus_set_hotplug_handler(bus_find(vm.m->main_bus, &pci_bus_type), NULL);
    expect_error(client, "{'execute':'device_add','arguments':{'driver':'virtio-rng-pci'}}",
                 GENERIC, "Bus 'pci.0' does not support hotplugging");
    expect_error(client, "{'execute':'device_del','arguments':{'id':'balloon0'}}", GENERIC,
                 "Bus 'pci.0' does not support hotplugging");
    expect_error(client, "{'execute':'device_add','arguments':{'driver':'isa-debug-exit'}}",
                 GENERIC, "Device 'isa-debug-exit' does not support hotplugging");
    expect_error(client,
                 "{'execute':'device_add','arguments':{'driver':'virtio-rng-pci','bus':'x'}}",
                 GENERIC, "there is no bus 'x'");
}
END_TEST

START_TEST(an_out_of_band_command_is_refused)
{
    expect_error(client, "{'exec-oob':'query-status','id':1}", GENERIC,
                 "QMP input member 'exec-oob' is unexpected");
    expect_alive(client);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-manage");
    TCase *tc = tcase_create("commands");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_object_comes_and_goes);
    tcase_add_loop_test(tc, a_bad_object_is_refused_and_leaves_nothing, 0,
                        G_N_ELEMENTS(bad_objects));
    tcase_add_test(tc, an_object_in_use_cannot_be_deleted);
    tcase_add_test(tc, streams_come_and_go);
    tcase_add_test(tc, a_pty_is_told_by_its_path);
    tcase_add_loop_test(tc, a_bad_stream_is_refused_and_leaves_nothing, 0,
                        G_N_ELEMENTS(bad_chardevs));
    tcase_add_test(tc, a_stream_in_use_stays);
    tcase_add_test(tc, vcpus_and_memory_are_told);
    tcase_add_test(tc, nmi_reaches_vcpus_that_are_paused_for_it);
    tcase_add_test(tc, pci_functions_are_told_with_their_bars);
    tcase_add_test(tc, virtio_devices_are_told_in_words);
    tcase_add_test(tc, virtqueues_are_told);
    tcase_add_test(tc, what_lies_in_a_queue_is_told);
    tcase_add_test(tc, a_device_comes_and_goes_when_the_guest_ejects_it);
    tcase_add_test(tc, a_bus_whose_guest_is_not_told_keeps_its_devices);
    tcase_add_test(tc, an_out_of_band_command_is_refused);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
