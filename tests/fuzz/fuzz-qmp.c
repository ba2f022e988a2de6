/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds bytes to the QMP monitor of a VM without a guest, over a stream in memory. Whatever they
 * are, each line that comes back is a JSON object of a known kind, and after 0xff the next request
 * is answered. The first byte: bit 0, negotiate first; the rest, how many bytes come at a time.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chardev-impl.h"
#include "backends/net-impl.h"
#include "backends/user-creatable.h"
#include "tests/fake-vm.h"
#include "vmm/dump/guest-dump.h"
#include "vmm/gdb/gdb.h"
#include "vmm/monitor/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the stream --- */

OBJECT_DECLARE(FuzzChardev, fuzz_chardev, FUZZ_CHARDEV)

struct FuzzChardev {
    Chardev parent_obj;
    GString *out;
};

static void fuzz_chardev_write(Chardev *c, const uint8_t *buf, size_t len)
{
    g_string_append_len(FUZZ_CHARDEV(c)->out, (const char *)buf, (gssize)len);
}

static void fuzz_chardev_init(Object *obj)
{
    FUZZ_CHARDEV(obj)->out = g_string_new(NULL);
}

static void fuzz_chardev_finalize(Object *obj)
{
    g_string_free(FUZZ_CHARDEV(obj)->out, TRUE);
}

static void fuzz_chardev_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->write = fuzz_chardev_write;
}

const TypeInfo fuzz_chardev_type = {
    .name = "chardev-fuzz",
    .parent = &chardev_type,
    .instance_size = sizeof(FuzzChardev),
    .instance_init = fuzz_chardev_init,
    .instance_finalize = fuzz_chardev_finalize,
    .class_init = fuzz_chardev_class_init,
};

/* --- the VM, kept from input to input --- */

static FakeVm vm;
static Chardev *stream;
static Monitor *monitor;

/* netdev_add may run programs and open ports: not those that the input names. */
static bool refuse(NetBackend *b, GError **err)
{
    return error_set(err, "not while this is tried out");
}

static void keep_within(void)
{
    for (unsigned i = 0; net_types[i]; i++) {
        if (strcmp(net_types[i]->name, "netdev-null") != 0 &&
            strcmp(net_types[i]->name, "netdev-hubport") != 0) {
            NET_BACKEND_CLASS(type_class(net_types[i]))->open = refuse;
        }
    }
}

/* object-add may open files, take memory and make threads: not those that the input names. */
static bool refuse_object(Object *obj, GError **err)
{
    return error_set(err, "not while this is tried out");
}

static void keep_objects_within(void)
{
    static const char *const harmless[] = {"rng-builtin", "throttle-group", NULL};
    g_autoptr(GPtrArray) types = user_creatable_types();

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];
        UserCreatableClass *uc =
            type->interface ? NULL : object_class_interface(type_class(type), &user_creatable_type);

        if (uc && !g_strv_contains(harmless, type->name)) {
            uc->complete = refuse_object;
        }
    }
}

/* The linker puts these in the place of those that open files and sockets. */
Chardev *__wrap_chardev_new_from_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err);
Chardev *__wrap_chardev_new_from_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err)
{
    return chardev_check_keyvals(loop, fds, opts, err);
}

Chardev *__wrap_chardev_new_from_option(EventLoop *loop, const char *label, const char *option,
                                        GError **err);
Chardev *__wrap_chardev_new_from_option(EventLoop *loop, const char *label, const char *option,
                                        GError **err)
{
    return chardev_check_option(loop, label, option, err);
}

/* What a dump is written into: nothing. */
int __wrap_guest_dump_open(const char *path, GError **err);
int __wrap_guest_dump_open(const char *path, GError **err)
{
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static void empty(const char *container)
{
    Object *all = object_container(vm.root, container);

    while (all->children && all->children->len > 0) {
        object_unparent(all->children->pdata[all->children->len - 1]);
    }
}

static void finish(void)
{
    monitor_free(monitor);
    object_unref(stream);
    fake_vm_finish(&vm);
}

static void begin(void)
{
    if (!vm.m) {
        fake_vm_init(&vm);
        keep_within();
        keep_objects_within();
        g_assert(fake_vm_start(&vm, NULL));
        g_assert(fake_vm_add(&vm, "virtio-balloon,id=balloon0", NULL));
        g_assert(machine_boot(vm.m, NULL));
        stream = chardev_new(&fuzz_chardev_type, vm.m->platform.loop, "fuzz");
        monitor = monitor_new_qmp(vm.m, stream);
        atexit(finish);
    }
    vm.m->ending = vm.m->shutdown_pending = vm.m->reset_pending = false;
    if (vm.m->state != RUN_STATE_RUNNING) {
        machine_request_reset(vm.m, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
        fake_vm_settle(&vm);
        g_assert(machine_cont(vm.m, NULL));
    }
}

/* --- the conversation --- */

static void say(const void *bytes, size_t len, size_t chunk)
{
    for (size_t at = 0; at < len; at += chunk) {
        chardev_fe_receive(stream, (const uint8_t *)bytes + at, MIN(chunk, len - at));
        fake_vm_settle(&vm);
    }
}

static void check_line(const char *line, size_t len)
{
    static const char *const kinds[] = {"QMP", "return", "error", "event"};
    json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    unsigned known = 0;

    g_assert(json_is_object(message));
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        known += json_object_get(message, kinds[i]) != NULL;
    }
    g_assert(known == 1);
    json_decref(message);
}

static void check_output(void)
{
    GString *out = FUZZ_CHARDEV(stream)->out;

    for (const char *line = out->str, *end; *line; line = end + 2) {
        end = strstr(line, "\r\n");
        g_assert(end);
        check_line(line, (size_t)(end - line));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    static const char last[] = "\xff{\"execute\":\"query-status\",\"id\":\"the last one\"}";
    GString *out;

    if (size < 1) {
        return 0;
    }
    begin();
    out = FUZZ_CHARDEV(stream)->out;
    g_string_truncate(out, 0);
    chardev_set_open(stream, true);
    if (data[0] & 1) {
        say(hello, strlen(hello), SIZE_MAX);
    }
    say(data + 1, size - 1, data[0] / 2 + 1);
    check_output();
    g_string_truncate(out, 0);
    say(last, strlen(last), SIZE_MAX);
    check_output();
    g_assert(strstr(out->str, "\"id\": \"the last one\""));
    chardev_set_open(stream, false);
    gdb_end(vm.m);
    guest_dump_end(vm.m);
    net_backend_del_all(vm.root);
    empty("objects");
    empty("chardevs");
    return 0;
}
