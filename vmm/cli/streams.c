/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams of options, and who is at their ends: the serial port, monitors, qtest.
 */
#include "vmm/cli/streams.h"

#include <string.h>

static void on_quit_key(void *opaque)
{
    machine_request_shutdown(opaque, SHUTDOWN_CAUSE_HOST_UI);
}

/* Puts a new stream into the tree and has it closed at the end. Takes over c, also on failure. */
static bool adopt_stream(Vmm *vmm, Chardev *c, const char *name, GError **err)
{
    if (!object_add_child(object_container(vmm->root, "chardevs"), name, OBJECT(c), err)) {
        object_unref(c);
        return false;
    }
    chardev_set_quit_handler(c, on_quit_key, vmm->machine);
    return true;
}

static bool chardev_is_stdio(json_t *opts)
{
    return !g_strcmp0(json_string_value(json_object_get(opts, "backend")), "stdio");
}

static Chardev *from_keyvals(Vmm *vmm, json_t *opts, GError **err)
{
    return (vmm->opts.check ? chardev_check_keyvals : chardev_new_from_keyvals)(
        vmm->machine->platform.loop, fd_table_of(vmm->root), opts, err);
}

static bool make_chardev(Vmm *vmm, json_t *opts, GError **err)
{
    Chardev *c;

    if (vmm->opts.daemonize && chardev_is_stdio(opts)) {
        return error_set(err, "-chardev stdio: -daemonize has no terminal; use a file or a socket");
    }
    c = from_keyvals(vmm, opts, err);
    if (!c || !adopt_stream(vmm, c, json_string_value(json_object_get(opts, "id")), err)) {
        options_say_where(&vmm->opts, opts, err, "-chardev", "backend");
        return false;
    }
    return true;
}

bool streams_make_chardevs(Vmm *vmm, GError **err)
{
    return vmm_make_each(vmm, vmm->opts.chardevs, make_chardev, err);
}

/* The stream that -chardev made under this id, with nobody on its port n yet. */
static Chardev *find_stream(Vmm *vmm, const char *id, unsigned port, GError **err)
{
    Object *c = object_child(object_container(vmm->root, "chardevs"), id);
    Chardev *end = c ? chardev_mux_port(CHARDEV(c), port) : NULL;

    if (!c) {
        error_set(err, "chardev '%s' not found", id);
        return NULL;
    }
    if (!end) { /* no multiplexer: one port for all */
        end = CHARDEV(c);
    }
    if (chardev_has_frontend(end)) {
        error_set(err, "chardev '%s' is in use already", id);
        return NULL;
    }
    return end;
}

/* "file:/dev/fdset/N" is -chardev file,path=/dev/fdset/N. */
static Chardev *from_text(Vmm *vmm, const char *option, const char *text, const char *name,
                          GError **err)
{
    EventLoop *loop = vmm->machine->platform.loop;
    json_t *opts;
    Chardev *c;

    if (!g_str_has_prefix(text, "file:") || !fd_table_has_path(text + strlen("file:"))) {
        return (vmm->opts.check ? chardev_check_option : chardev_new_from_option)(loop, option,
                                                                                  text, err);
    }
    opts =
        json_pack("{s:s, s:s, s:s}", "backend", "file", "id", name, "path", text + strlen("file:"));
    c = from_keyvals(vmm, opts, err);
    json_decref(opts);
    if (!c) {
        g_prefix_error(err, "%s ", option);
    }
    return c;
}

static Chardev *new_stream(Vmm *vmm, const char *option, const char *text, const char *name,
                           GError **err)
{
    Chardev *c = from_text(vmm, option, text, name, err);

    if (!c) {
        return NULL;
    }
    return adopt_stream(vmm, c, name, err) ? c : NULL;
}

static bool uses_stdio(const char *text)
{
    return text && (!strcmp(text, "stdio") || !strcmp(text, "mon:stdio"));
}

static bool any_uses_stdio(const GPtrArray *texts)
{
    for (unsigned i = 0; i < texts->len; i++) {
        if (uses_stdio(texts->pdata[i])) {
            return true;
        }
    }
    return false;
}

static bool stdio_is_free(const Options *o)
{
    if (uses_stdio(o->monitor) || uses_stdio(o->gdb)) {
        return false;
    }
    if (any_uses_stdio(o->qmps) || any_uses_stdio(o->pretty_qmps)) {
        return false;
    }
    for (unsigned i = 0; i < o->chardevs->len; i++) {
        if (chardev_is_stdio(o->chardevs->pdata[i])) {
            return false;
        }
    }
    return !o->daemonize;
}

bool streams_make_serial(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;
    const char *text = NULL;

    if (o->serials->len > MACHINE_SERIAL_PORTS) {
        return error_set(err, "-serial %s: the machine has %d serial port",
                         (char *)o->serials->pdata[MACHINE_SERIAL_PORTS], MACHINE_SERIAL_PORTS);
    }
    if (o->serials->len > 0) {
        text = o->serials->pdata[0];
    } else if (!o->nodefaults && stdio_is_free(o) && accel_runs_guests(vmm->machine->accel)) {
        text = "mon:stdio";
    }
    if (o->daemonize && uses_stdio(text)) {
        return error_set(err, "-serial %s: -daemonize has no terminal; use a file or a socket",
                         text);
    }
    if (!text || !strcmp(text, "none")) {
        return true;
    }
    if (g_str_has_prefix(text, "chardev:")) {
        vmm->machine->serial[0] = find_stream(vmm, text + strlen("chardev:"), 0, err);
        g_prefix_error(err, "-serial %s: ", text);
        return vmm->machine->serial[0] != NULL;
    }
    vmm->serial = new_stream(vmm, "-serial", text, "serial0", err);
    if (!vmm->serial) {
        return false;
    }
    vmm->machine->serial[0] = chardev_mux_port(vmm->serial, 0);
    return true;
}

static Monitor *new_qmp(Vmm *vmm, Chardev *c, bool pretty)
{
    return (pretty ? monitor_new_qmp_pretty : monitor_new_qmp)(vmm->machine, c);
}

static bool make_mon(Vmm *vmm, const MonOption *mon, GError **err)
{
    Chardev *c = find_stream(vmm, mon->chardev, 1, err);

    if (!c) {
        if (mon->origin) {
            g_prefix_error(err, "%s: ", mon->origin);
        } else {
            g_prefix_error(err, "-mon chardev=%s: ", mon->chardev);
        }
        return false;
    }
    g_ptr_array_add(vmm->monitors, !mon->control ? monitor_new_hmp(vmm->machine, c)
                                                 : new_qmp(vmm, c, mon->pretty));
    return true;
}

static bool make_mons(Vmm *vmm, GError **err)
{
    for (unsigned i = 0; i < vmm->opts.mons->len; i++) {
        if (!make_mon(vmm, vmm->opts.mons->pdata[i], err) && !options_fault(&vmm->opts, err)) {
            return false;
        }
    }
    return true;
}

static bool make_qmp(Vmm *vmm, const char *text, unsigned number, bool pretty, GError **err)
{
    g_autofree char *name = g_strdup_printf("compat_monitor%u", number);
    Chardev *c;

    if (!strcmp(text, "none")) {
        return true;
    }
    c = new_stream(vmm, pretty ? "-qmp-pretty" : "-qmp", text, name, err);
    if (c) {
        g_ptr_array_add(vmm->monitors, new_qmp(vmm, c, pretty));
    }
    return c != NULL;
}

static bool make_hmp(Vmm *vmm, const char *text, GError **err)
{
    Chardev *c;

    if (!text || !strcmp(text, "none")) {
        return true;
    }
    c = new_stream(vmm, "-monitor", text, "hmp0", err);
    if (c) {
        g_ptr_array_add(vmm->monitors, monitor_new_hmp(vmm->machine, c));
    }
    return c != NULL;
}

bool streams_make_monitors(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;

    for (unsigned i = 0; i < o->qmps->len + o->pretty_qmps->len; i++) {
        bool pretty = i >= o->qmps->len;
        const char *text = pretty ? o->pretty_qmps->pdata[i - o->qmps->len] : o->qmps->pdata[i];

        if (!make_qmp(vmm, text, i, pretty, err) && !options_fault(&vmm->opts, err)) {
            return false;
        }
    }
    if (vmm->serial && chardev_mux_port(vmm->serial, 1)) {
        g_ptr_array_add(vmm->monitors,
                        monitor_new_hmp(vmm->machine, chardev_mux_port(vmm->serial, 1)));
    }
    if (!make_hmp(vmm, o->monitor, err) && !options_fault(&vmm->opts, err)) {
        return false;
    }
    return make_mons(vmm, err);
}

/* The client waits for the connection, so that comes first; its commands come last. */
bool streams_connect_qtest(Vmm *vmm, GError **err)
{
    const char *text = vmm->opts.qtest;

    if (text) {
        vmm->qtest_stream = new_stream(vmm, "-qtest", text, "qtest", err);
    }
    return !text || vmm->qtest_stream;
}

bool streams_serve_qtest(Vmm *vmm, GError **err)
{
    if (vmm->qtest_stream) {
        vmm->qtest = qtest_new(vmm->machine, vmm->qtest_stream, vmm->opts.qtest_log, err);
    }
    return !vmm->qtest_stream || vmm->qtest;
}

/* -check has put another accelerator into the machine. */
static bool will_run_guests(const Vmm *vmm)
{
    const char *accel = vmm->opts.accel ?: MACHINE_GET_CLASS(vmm->machine)->default_accel;
    const TypeInfo *type = accel_type_find(accel ?: "kvm", NULL);

    return !ACCEL_CLASS(type_class(type))->no_vcpus;
}

bool streams_serve_gdb(Vmm *vmm, GError **err)
{
    const char *text = vmm->opts.gdb;

    if (vmm->opts.daemonize && uses_stdio(text)) {
        return error_set(err, "-gdb stdio: -daemonize has no terminal; use unix:PATH,server=on");
    }
    if (!text || !vmm->opts.check) {
        return !text || gdb_serve(vmm->machine, text, "-gdb", err);
    }
    if (strcmp(text, "none") != 0 && !will_run_guests(vmm)) {
        return gdb_serve(vmm->machine, text, "-gdb", err);
    }
    return gdb_check(vmm->machine, text, "-gdb", err);
}

void streams_close_all(Vmm *vmm)
{
    Object *all = object_container(vmm->root, "chardevs");

    while (all->children && all->children->len > 0) {
        Chardev *c = CHARDEV(all->children->pdata[0]);

        chardev_flush(c);
        chardev_close(c);
        object_unparent(OBJECT(c));
    }
}
