/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See qtest-fixture.h.
 */
#include "tests/qtest-fixture.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/accel/qtest-accel.h"
#include "vmm/cli/options.h"
#include "vmm/cli/types.h"
#include "vmm/monitor/monitor.h"

/* --- the VM --- */

static void must(bool ok, GError *err)
{
    ck_assert_msg(ok, "%s", err ? err->message : "failed without a reason");
}

static void make_machine(QtestVm *vm, const char *machine)
{
    vm->root = object_new(&container_type);
    vm->m = MACHINE(object_new(machine_type_find(machine, NULL)));
    vm->m->platform.root = vm->root;
    vm->m->accel = ACCEL(object_new(&qtest_accel_type));
    object_add_child(vm->root, "machine", OBJECT(vm->m), NULL);
    object_add_child(OBJECT(vm->m), "accel", OBJECT(vm->m->accel), NULL);
    vm->m->ram_size = QTEST_FIXTURE_RAM;
    vm->m->no_shutdown = true;
}

static void add_devices(QtestVm *vm, va_list ap)
{
    g_autoptr(GError) err = NULL;
    const char *text;

    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the caller started it */
    while ((text = va_arg(ap, const char *))) {
        json_t *opts = options_parse_keyvals(text, "driver", &err);

        must(opts && machine_add_device(vm->m, opts, &err), err);
        json_decref(opts);
    }
}

static void serve(QtestVm *vm)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *option = NULL;

    vm->dir = g_dir_make_tmp("aerostat-qtest-XXXXXX", NULL);
    vm->path = g_build_filename(vm->dir, "qtest.sock", NULL);
    vm->log = g_build_filename(vm->dir, "log", NULL);
    option = g_strdup_printf("unix:%s,server=on,wait=off", vm->path);
    vm->stream = chardev_new_from_option(vm->m->platform.loop, "-qtest", option, &err);
    must(vm->stream, err);
    vm->server = qtest_new(vm->m, vm->stream, vm->log, &err);
    must(vm->server, err);
}

static void *run(void *opaque)
{
    QtestVm *vm = opaque;

    return GINT_TO_POINTER(machine_run(vm->m, false));
}

void qtest_vm_start(QtestVm *vm, const char *machine, ...)
{
    static gsize once;
    g_autoptr(GError) err = NULL;
    va_list ap;

    if (g_once_init_enter(&once)) {
        types_register_all();
        g_once_init_leave(&once, 1);
    }
    *vm = (QtestVm){0};
    make_machine(vm, machine);
    pthread_mutex_lock(&vm->m->platform.lock);
    must(machine_init(vm->m, &err), err);
    va_start(ap, machine);
    add_devices(vm, ap);
    va_end(ap);
    must(machine_boot(vm->m, &err), err);
    serve(vm);
    pthread_mutex_unlock(&vm->m->platform.lock);
    ck_assert_int_eq(pthread_create(&vm->thread, NULL, run, vm), 0);
}

void qtest_vm_stop(QtestVm *vm)
{
    pthread_mutex_t *lock = &vm->m->platform.lock;
    void *status;

    pthread_mutex_lock(lock);
    machine_request_shutdown(vm->m, SHUTDOWN_CAUSE_HOST_SIGNAL);
    pthread_mutex_unlock(lock);
    pthread_join(vm->thread, &status);
    ck_assert_ptr_null(status);
    pthread_mutex_lock(lock);
    qtest_free(vm->server);
    machine_finish(vm->m);
    chardev_close(vm->stream);
    object_unref(vm->stream);
    pthread_mutex_unlock(lock);
    object_unref(vm->root);
    g_remove(vm->log);
    ck_assert_int_eq(g_rmdir(vm->dir), 0);
    g_free(vm->dir);
    g_free(vm->path);
    g_free(vm->log);
}

json_t *qtest_vm_ask(QtestVm *vm, const char *command, const char *arguments, GError **err)
{
    json_t *args = json_loads(arguments, 0, NULL), *result;

    pthread_mutex_lock(&vm->m->platform.lock);
    result = qmp_execute(vm->m, command, args, err);
    pthread_mutex_unlock(&vm->m->platform.lock);
    json_decref(args);
    return result;
}

bool qtest_vm_qmp(QtestVm *vm, const char *command, const char *arguments)
{
    json_t *result = qtest_vm_ask(vm, command, arguments, NULL);

    json_decref(result);
    return result != NULL;
}

/* --- the client --- */

void qtest_client_connect(QtestClient *c, const QtestVm *vm)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *c = (QtestClient){0};
    g_strlcpy(addr.sun_path, vm->path, sizeof addr.sun_path);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    c->in = fdopen(fd, "r");
    c->out = fdopen(dup(fd), "w");
}

void qtest_client_close(QtestClient *c)
{
    fclose(c->in);
    fclose(c->out);
    free(c->reply);
}

/* Counts "IRQ raise N" and "IRQ lower N"; false: it is something else. */
static bool count_irq(QtestClient *c, const char *line)
{
    unsigned n;

    if (sscanf(line, "IRQ raise %u", &n) == 1) {
        ck_assert_uint_lt(n, QTEST_FIXTURE_IRQS);
        c->raised[n]++;
        return true;
    }
    if (sscanf(line, "IRQ lower %u", &n) == 1) {
        ck_assert_uint_lt(n, QTEST_FIXTURE_IRQS);
        c->lowered[n]++;
        return true;
    }
    return false;
}

const char *qtest_client_reply(QtestClient *c)
{
    size_t room = 0;

    fflush(c->out);
    do {
        ssize_t len;

        g_clear_pointer(&c->reply, free);
        len = getline(&c->reply, &room, c->in);
        ck_assert_int_gt(len, 0);
        ck_assert_int_eq(c->reply[len - 1], '\n');
        c->reply[len - 1] = '\0';
    } while (count_irq(c, c->reply));
    return c->reply;
}

static const char *exchange(QtestClient *c, const char *fmt, va_list ap)
{
    vfprintf(c->out, fmt, ap); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    fputc('\n', c->out);
    return qtest_client_reply(c);
}

const char *qtest_do(QtestClient *c, const char *fmt, ...)
{
    const char *reply;
    va_list ap;

    va_start(ap, fmt);
    reply = exchange(c, fmt, ap);
    va_end(ap);
    return reply;
}

void qtest_ok(QtestClient *c, const char *fmt, ...)
{
    const char *reply;
    va_list ap;

    va_start(ap, fmt);
    reply = exchange(c, fmt, ap);
    va_end(ap);
    ck_assert_str_eq(reply, "OK");
}

uint64_t qtest_get(QtestClient *c, const char *fmt, ...)
{
    const char *reply;
    va_list ap;

    va_start(ap, fmt);
    reply = exchange(c, fmt, ap);
    va_end(ap);
    ck_assert_msg(g_str_has_prefix(reply, "OK "), "%s: %s", fmt, reply);
    return strtoull(reply + 3, NULL, 0);
}
