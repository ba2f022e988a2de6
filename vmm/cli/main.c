/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program: from the command line to a running VM and its exit status. Everything that was made
 * is undone in reverse order, also after an error.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "core/log.h"
#include "vmm/cli/block-options.h"
#include "vmm/cli/daemon.h"
#include "vmm/cli/help.h"
#include "vmm/cli/main.h"
#include "vmm/cli/net-options.h"
#include "vmm/cli/options.h"
#include "vmm/cli/types.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/qtest/qtest.h"

typedef struct {
    Options opts;
    Object *root;
    Machine *machine;
    GPtrArray *chardevs;   /* of Chardev *, owned by the tree below /chardevs */
    GPtrArray *monitors;   /* of Monitor * */
    Chardev *qtest_stream; /* NULL: no -qtest */
    Qtest *qtest;
    Chardev *serial; /* as -serial made it: a multiplexer for mon:stdio */
    PidFile pidfile;
    int signal_fd;
    LoopFd *signal_src;
} Vmm;

/* An error begins with the place in a config file that it is about, or else with the option. */
static void say_where(const char *origin, GError **err, const char *option, const char *what)
{
    if (origin) {
        g_prefix_error(err, "%s: ", origin);
    } else {
        g_prefix_error(err, "%s%s%s: ", option, what ? " " : "", what ?: "");
    }
}

static void say_where_of(const Options *o, json_t *opts, GError **err, const char *option,
                         const char *key)
{
    say_where(options_origin(o, opts), err, option,
              json_string_value(json_object_get(opts, key)) ?: "");
}

/* --- signals --- */

static void on_signal(void *opaque, unsigned events)
{
    Vmm *vmm = opaque;
    struct signalfd_siginfo info;

    if (read(vmm->signal_fd, &info, sizeof info) == sizeof info) {
        machine_request_shutdown(vmm->machine, SHUTDOWN_CAUSE_HOST_SIGNAL);
    }
}

static bool watch_signals(Vmm *vmm, GError **err)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    vmm->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (vmm->signal_fd < 0) {
        return error_set_errno(err, errno, "signalfd");
    }
    vmm->signal_src =
        loop_fd_new(vmm->machine->platform.loop, vmm->signal_fd, LOOP_READ, on_signal, vmm);
    return true;
}

/* --- streams and monitors --- */

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
    g_ptr_array_add(vmm->chardevs, c);
    chardev_set_quit_handler(c, on_quit_key, vmm->machine);
    return true;
}

static bool chardev_is_stdio(json_t *opts)
{
    return !g_strcmp0(json_string_value(json_object_get(opts, "backend")), "stdio");
}

static bool make_chardevs(Vmm *vmm, GError **err)
{
    for (unsigned i = 0; i < vmm->opts.chardevs->len; i++) {
        json_t *opts = vmm->opts.chardevs->pdata[i];
        Chardev *c;

        if (vmm->opts.daemonize && chardev_is_stdio(opts)) {
            return error_set(err,
                             "-chardev stdio: -daemonize has no terminal; use a file or a socket");
        }
        c = chardev_new_from_keyvals(vmm->machine->platform.loop, opts, err);
        if (!c || !adopt_stream(vmm, c, json_string_value(json_object_get(opts, "id")), err)) {
            say_where_of(&vmm->opts, opts, err, "-chardev", "backend");
            return false;
        }
    }
    return true;
}

/* The stream that -chardev made under this id, with nobody on its port n yet. */
static Chardev *find_stream(Vmm *vmm, const char *id, unsigned port, GError **err)
{
    Object *c = object_child(object_container(vmm->root, "chardevs"), id);
    Chardev *end = c ? chardev_mux_port(CHARDEV(c), port) : NULL;

    if (!c) {
        error_set(err, "there is no -chardev with id=%s", id);
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

static Chardev *new_stream(Vmm *vmm, const char *option, const char *text, const char *name,
                           GError **err)
{
    Chardev *c = chardev_new_from_option(vmm->machine->platform.loop, option, text, err);

    if (!c) {
        return NULL;
    }
    return adopt_stream(vmm, c, name, err) ? c : NULL;
}

static bool uses_stdio(const char *text)
{
    return text && (!strcmp(text, "stdio") || !strcmp(text, "mon:stdio"));
}

static bool stdio_is_free(const Options *o)
{
    if (uses_stdio(o->monitor)) {
        return false;
    }
    for (unsigned i = 0; i < o->qmps->len; i++) {
        if (uses_stdio(o->qmps->pdata[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < o->chardevs->len; i++) {
        if (chardev_is_stdio(o->chardevs->pdata[i])) {
            return false;
        }
    }
    return !o->daemonize;
}

static bool make_serial(Vmm *vmm, GError **err)
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

static bool make_mons(Vmm *vmm, GError **err)
{
    for (unsigned i = 0; i < vmm->opts.mons->len; i++) {
        const MonOption *mon = vmm->opts.mons->pdata[i];
        Chardev *c = find_stream(vmm, mon->chardev, 1, err);

        if (!c) {
            g_autofree char *what = g_strdup_printf("chardev=%s", mon->chardev);

            say_where(mon->origin, err, "-mon", what);
            return false;
        }
        g_ptr_array_add(vmm->monitors, mon->control ? monitor_new_qmp(vmm->machine, c)
                                                    : monitor_new_hmp(vmm->machine, c));
    }
    return true;
}

static bool make_monitors(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;

    for (unsigned i = 0; i < o->qmps->len; i++) {
        g_autofree char *name = g_strdup_printf("compat_monitor%u", i);
        Chardev *c;

        if (!strcmp(o->qmps->pdata[i], "none")) {
            continue;
        }
        c = new_stream(vmm, "-qmp", o->qmps->pdata[i], name, err);
        if (!c) {
            return false;
        }
        g_ptr_array_add(vmm->monitors, monitor_new_qmp(vmm->machine, c));
    }
    if (vmm->serial && chardev_mux_port(vmm->serial, 1)) {
        g_ptr_array_add(vmm->monitors,
                        monitor_new_hmp(vmm->machine, chardev_mux_port(vmm->serial, 1)));
    }
    if (o->monitor && strcmp(o->monitor, "none") != 0) {
        Chardev *c = new_stream(vmm, "-monitor", o->monitor, "hmp0", err);

        if (!c) {
            return false;
        }
        g_ptr_array_add(vmm->monitors, monitor_new_hmp(vmm->machine, c));
    }
    return make_mons(vmm, err);
}

/* The client waits for the connection, so that comes first; its commands come last. */
static bool connect_qtest(Vmm *vmm, GError **err)
{
    const char *text = vmm->opts.qtest;

    if (text) {
        vmm->qtest_stream = new_stream(vmm, "-qtest", text, "qtest", err);
    }
    return !text || vmm->qtest_stream;
}

static bool serve_qtest(Vmm *vmm, GError **err)
{
    if (vmm->qtest_stream) {
        vmm->qtest = qtest_new(vmm->machine, vmm->qtest_stream, vmm->opts.qtest_log, err);
    }
    return !vmm->qtest_stream || vmm->qtest;
}

/* --- the machine --- */

static bool set_machine_property(Vmm *vmm, const char *key, const char *value, const char *option,
                                 GError **err)
{
    if (value && !property_set_string(OBJECT(vmm->machine), key, value, err)) {
        g_prefix_error(err, "%s: ", option);
        return false;
    }
    return true;
}

static bool set_machine_properties(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;
    Machine *m = vmm->machine;
    const char *key;
    json_t *value;

    json_object_foreach(o->machine_props, key, value)
    {
        if (!property_set_string(OBJECT(m), key, json_string_value(value), err)) {
            say_where(options_origin(o, value), err, "-M", NULL);
            return false;
        }
    }
    if (o->ram_size) {
        m->ram_size = o->ram_size;
        m->ram_size_given = true;
    }
    if (o->has_smp) {
        m->smp = o->smp;
    }
    for (unsigned i = 0; i < o->globals->len; i++) {
        const GlobalOption *global = o->globals->pdata[i];
        g_autofree char *where =
            g_strdup_printf("-global %s.%s=%s", global->driver, global->property, global->value);

        machine_add_global(m, type_find(global->driver), global->property, global->value,
                           global->origin ?: where);
    }
    m->no_reboot |= o->no_reboot;
    m->no_shutdown |= o->no_shutdown;
    m->defaults = !o->nodefaults;
    return set_machine_property(vmm, "kernel", o->kernel, "-kernel", err) &&
           set_machine_property(vmm, "initrd", o->initrd, "-initrd", err) &&
           set_machine_property(vmm, "append", o->append, "-append", err) &&
           set_machine_property(vmm, "name", o->name, "-name", err);
}

static bool set_accel_properties(Vmm *vmm, const char *accel, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(vmm->opts.accel_props, key, value)
    {
        if (!property_set_string(OBJECT(vmm->machine->accel), key, json_string_value(value), err)) {
            say_where(options_origin(&vmm->opts, value), err, "-accel", accel);
            return false;
        }
    }
    return true;
}

static const TypeInfo *find_machine(const Options *o, GError **err)
{
    const char *name = o->machine ?: machine_default(o->target);
    const TypeInfo *type = machine_type_find(name, err);

    if (!type) {
        g_prefix_error(err, "-M: ");
        return NULL;
    }
    if (!machine_has_target(type, o->target)) {
        error_set(err,
                  "-M: machine '%s' is of another architecture than %s, which this program's "
                  "name ends in",
                  name, o->target);
        return NULL;
    }
    return type;
}

static bool make_machine(Vmm *vmm, GError **err)
{
    const TypeInfo *type = find_machine(&vmm->opts, err);
    const char *accel = vmm->opts.accel;

    if (!type) {
        return false;
    }
    if (!accel) {
        accel = MACHINE_CLASS(type_class(type))->default_accel ?: "kvm";
    }
    vmm->root = object_new(&container_type);
    vmm->machine = MACHINE(object_new(type));
    vmm->machine->platform.root = vmm->root;
    vmm->machine->accel = ACCEL(object_new(accel_type_find(accel, NULL)));
    vmm->machine->target = vmm->opts.target;
    object_add_child(vmm->root, "machine", OBJECT(vmm->machine), NULL);
    object_add_child(OBJECT(vmm->machine), "accel", OBJECT(vmm->machine->accel), NULL);
    return set_accel_properties(vmm, accel, err) && set_machine_properties(vmm, err);
}

/* Filters need their netdev, and a netdev may need an object. */
static bool is_net_filter(json_t *opts)
{
    const TypeInfo *type = type_find(json_string_value(json_object_get(opts, "qom-type")) ?: "");

    return type && type_is_a(type, &net_filter_type);
}

static bool make_objects(Vmm *vmm, bool net_filters, GError **err)
{
    for (unsigned i = 0; i < vmm->opts.objects->len; i++) {
        json_t *opts = vmm->opts.objects->pdata[i];

        if (is_net_filter(opts) != net_filters) {
            continue;
        }
        if (!user_creatable_add(vmm->root, opts, err)) {
            say_where_of(&vmm->opts, opts, err, "-object", "qom-type");
            return false;
        }
    }
    return true;
}

static bool make_blocks(Vmm *vmm, GError **err)
{
    return block_options_make(vmm->root, vmm->machine->platform.loop, vmm->opts.blockdevs,
                              vmm->opts.drives, vmm->opts.devices, err);
}

static void on_net_event(void *opaque, const char *event, json_t *data)
{
    platform_event(opaque, event, data);
}

static bool make_nets(Vmm *vmm, GError **err)
{
    net_set_event_handler(vmm->root, on_net_event, &vmm->machine->platform);
    return net_options_make(&vmm->opts, vmm->root, vmm->machine->platform.loop, err) &&
           make_objects(vmm, true, err);
}

static bool make_devices(Vmm *vmm, GError **err)
{
    for (unsigned i = 0; i < vmm->opts.devices->len; i++) {
        json_t *opts = vmm->opts.devices->pdata[i];

        if (!machine_add_device(vmm->machine, opts, err)) {
            say_where_of(&vmm->opts, opts, err, "-device", "driver");
            return false;
        }
    }
    return true;
}

/* Everything up to the first instruction of the guest. VM lock held. */
static bool build(Vmm *vmm, GError **err)
{
    if (!watch_signals(vmm, err) || !connect_qtest(vmm, err) || !make_objects(vmm, false, err) ||
        !make_blocks(vmm, err) || !make_nets(vmm, err) || !make_chardevs(vmm, err) ||
        !make_serial(vmm, err) || !machine_init(vmm->machine, err) || !make_devices(vmm, err) ||
        !machine_boot(vmm->machine, err) || !make_monitors(vmm, err) || !serve_qtest(vmm, err)) {
        return false;
    }
    return !vmm->opts.pidfile || pidfile_create(&vmm->pidfile, vmm->opts.pidfile, err);
}

/* Undoes build: what the machine and the streams hold goes under the lock, the objects themselves
 * after it. */
static void tear_down_machine(Vmm *vmm)
{
    pthread_mutex_t *lock = &vmm->machine->platform.lock;

    pthread_mutex_lock(lock);
    g_ptr_array_set_size(vmm->monitors, 0);
    qtest_free(vmm->qtest);
    machine_finish(vmm->machine);
    net_set_event_handler(vmm->root, NULL, NULL);
    net_backend_del_all(vmm->root);
    for (unsigned i = 0; i < vmm->chardevs->len; i++) {
        Chardev *c = vmm->chardevs->pdata[i];

        chardev_flush(c);
        chardev_close(c);
        object_unparent(OBJECT(c));
    }
    loop_fd_free(vmm->signal_src);
    pthread_mutex_unlock(lock);
}

static void tear_down(Vmm *vmm)
{
    if (vmm->machine) {
        tear_down_machine(vmm);
    }
    if (vmm->signal_fd >= 0) {
        close(vmm->signal_fd);
    }
    object_unref(vmm->root);
    pidfile_remove(&vmm->pidfile);
    g_ptr_array_unref(vmm->monitors);
    g_ptr_array_unref(vmm->chardevs);
    options_finish(&vmm->opts);
}

static bool print_object_help(const Options *o, GError **err)
{
    const TypeInfo *type;

    if (!o->help_driver) {
        help_objects();
        return true;
    }
    type = user_creatable_find_type(o->help_driver, err);
    if (!type) {
        g_prefix_error(err, "-object: ");
        return false;
    }
    help_type(type);
    return true;
}

/* True when the command line asked for a text only; *ret_ok tells whether it could be given. */
static bool print_help(Vmm *vmm, bool *ret_ok, GError **err)
{
    const Options *o = &vmm->opts;

    *ret_ok = true;
    if (o->handled) {
        return true;
    }
    if (g_strcmp0(o->help_topic, "machine") == 0) {
        help_machines();
        return true;
    }
    if (json_object_get(o->machine_props, "help")) {
        const TypeInfo *type = find_machine(o, err);

        *ret_ok = type != NULL;
        if (type) {
            help_type(type);
        }
        return true;
    }
    if (!o->help_topic) {
        return false;
    }
    if (g_strcmp0(o->help_topic, "object") == 0) {
        *ret_ok = print_object_help(o, err);
        return true;
    }
    if (!o->help_driver) {
        help_devices();
        return true;
    }
    *ret_ok = make_machine(vmm, err);
    if (*ret_ok) {
        const TypeInfo *type = machine_device_type(vmm->machine, o->help_driver, err);

        *ret_ok = type != NULL;
        if (type) {
            help_type(type);
        } else {
            g_prefix_error(err, "-device %s: ", o->help_driver);
        }
    }
    return true;
}

static int run(Vmm *vmm, GError **err)
{
    pthread_mutex_t *lock;
    bool ok;

    if (print_help(vmm, &ok, err)) {
        return ok ? 0 : 1;
    }
    if (vmm->opts.daemonize && !daemon_start(err)) {
        return 1;
    }
    if (!make_machine(vmm, err)) {
        return 1;
    }
    lock = &vmm->machine->platform.lock;
    pthread_mutex_lock(lock);
    ok = build(vmm, err);
    pthread_mutex_unlock(lock);
    if (!ok) {
        options_blame(&vmm->opts, err);
        return 1;
    }
    if (vmm->machine->dumpdtb) {
        return machine_dump_dtb(vmm->machine, err) ? 0 : 1;
    }
    daemon_ready();
    return machine_run(vmm->machine, vmm->opts.start_paused);
}

int aerostat_main(int argc, char **argv, const TypeInfo *const *more_types)
{
    Vmm vmm = {
        .signal_fd = -1,
        .monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_free),
        .chardevs = g_ptr_array_new(),
    };
    g_autoptr(GError) err = NULL;
    int status = 1;

    types_register_all();
    if (more_types) {
        type_register_list(more_types);
    }
    if (options_parse(&vmm.opts, argc, argv, &err)) {
        status = run(&vmm, &err);
    }
    if (err) {
        log_error("%s", err->message);
    }
    tear_down(&vmm);
    return status;
}
