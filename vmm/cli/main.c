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
#include "vmm/cli/check.h"
#include "vmm/cli/help.h"
#include "vmm/cli/main.h"
#include "vmm/cli/net-options.h"
#include "vmm/cli/types.h"

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

static bool make_chardev(Vmm *vmm, json_t *opts, GError **err)
{
    EventLoop *loop = vmm->machine->platform.loop;
    Chardev *c;

    if (vmm->opts.daemonize && chardev_is_stdio(opts)) {
        return error_set(err, "-chardev stdio: -daemonize has no terminal; use a file or a socket");
    }
    c = vmm->opts.check ? chardev_check_keyvals(loop, opts, err)
                        : chardev_new_from_keyvals(loop, opts, err);
    if (!c || !adopt_stream(vmm, c, json_string_value(json_object_get(opts, "id")), err)) {
        options_say_where(&vmm->opts, opts, err, "-chardev", "backend");
        return false;
    }
    return true;
}

/* One after the other; with -check goes on after faults, some of which make has told already. */
static bool make_each(Vmm *vmm, const GPtrArray *list,
                      bool (*make)(Vmm *vmm, json_t *opts, GError **err), GError **err)
{
    for (unsigned i = 0; i < list->len; i++) {
        json_t *opts = list->pdata[i];

        if (make(vmm, opts, err)) {
            continue;
        }
        if (!options_fault(&vmm->opts, err) && !vmm->opts.check) {
            return false;
        }
        options_broken(&vmm->opts, json_string_value(json_object_get(opts, "id")));
    }
    return true;
}

static bool make_chardevs(Vmm *vmm, GError **err)
{
    return make_each(vmm, vmm->opts.chardevs, make_chardev, err);
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

static Chardev *new_stream(Vmm *vmm, const char *option, const char *text, const char *name,
                           GError **err)
{
    EventLoop *loop = vmm->machine->platform.loop;
    Chardev *c = vmm->opts.check ? chardev_check_option(loop, option, text, err)
                                 : chardev_new_from_option(loop, option, text, err);

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
    g_ptr_array_add(vmm->monitors, mon->control ? monitor_new_qmp(vmm->machine, c)
                                                : monitor_new_hmp(vmm->machine, c));
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

static bool make_qmp(Vmm *vmm, const char *text, unsigned number, GError **err)
{
    g_autofree char *name = g_strdup_printf("compat_monitor%u", number);
    Chardev *c;

    if (!strcmp(text, "none")) {
        return true;
    }
    c = new_stream(vmm, "-qmp", text, name, err);
    if (c) {
        g_ptr_array_add(vmm->monitors, monitor_new_qmp(vmm->machine, c));
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

static bool make_monitors(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;

    for (unsigned i = 0; i < o->qmps->len; i++) {
        if (!make_qmp(vmm, o->qmps->pdata[i], i, err) && !options_fault(&vmm->opts, err)) {
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

static void add_globals(Vmm *vmm)
{
    for (unsigned i = 0; i < vmm->opts.globals->len; i++) {
        const GlobalOption *global = vmm->opts.globals->pdata[i];
        g_autofree char *where =
            g_strdup_printf("-global %s.%s=%s", global->driver, global->property, global->value);

        machine_add_global(vmm->machine, type_find(global->driver), global->property, global->value,
                           global->origin ?: where);
    }
}

/* The rest of -M or -accel, or of their groups. */
static bool set_rest(Vmm *vmm, Object *obj, json_t *props, const char *option, GError **err)
{
    const char *key, *origin;
    json_t *value;

    json_object_foreach(props, key, value)
    {
        if (property_set_string(obj, key, json_string_value(value), err)) {
            continue;
        }
        origin = options_origin(&vmm->opts, value);
        g_prefix_error(err, "%s: ", origin ?: option);
        if (!options_fault(&vmm->opts, err)) {
            return false;
        }
    }
    return true;
}

static bool set_machine_properties(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;
    Machine *m = vmm->machine;

    if (!set_rest(vmm, OBJECT(m), o->machine_props, "-M", err)) {
        return false;
    }
    if (o->ram_size) {
        m->ram_size = o->ram_size;
        m->ram_size_given = true;
    }
    if (o->has_smp) {
        m->smp = o->smp;
    }
    add_globals(vmm);
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
    g_autofree char *option = g_strdup_printf("-accel %s", accel);

    return set_rest(vmm, OBJECT(vmm->machine->accel), vmm->opts.accel_props, option, err);
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

bool vmm_make_machine(Vmm *vmm, GError **err)
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

static bool make_object(Vmm *vmm, json_t *opts, GError **err)
{
    const char *name = json_string_value(json_object_get(opts, "qom-type"));
    const TypeInfo *type = name ? user_creatable_find_type(name, NULL) : NULL;

    if (vmm->opts.check && type &&
        !check_properties(&vmm->opts, vmm->root, type, opts, "-object", "qom-type")) {
        return false;
    }
    if (!user_creatable_add(vmm->root, opts, err)) {
        options_say_where(&vmm->opts, opts, err, "-object", "qom-type");
        return false;
    }
    return true;
}

static bool make_unless_filter(Vmm *vmm, json_t *opts, GError **err)
{
    return is_net_filter(opts) || make_object(vmm, opts, err);
}

/* -check only looks at it: it may write to a file. */
static bool make_if_filter(Vmm *vmm, json_t *opts, GError **err)
{
    const char *name = json_string_value(json_object_get(opts, "qom-type"));

    if (!is_net_filter(opts)) {
        return true;
    }
    if (vmm->opts.check) {
        check_properties(&vmm->opts, vmm->root, type_find(name), opts, "-object", "qom-type");
        return true;
    }
    return make_object(vmm, opts, err);
}

static bool make_objects(Vmm *vmm, GError **err)
{
    return make_each(vmm, vmm->opts.objects, make_unless_filter, err);
}

/* "-drive file=X: ..." of a config file begins with its place instead of the option. */
static void say_where_of_drive(Vmm *vmm, json_t *opts, GError **err)
{
    static const char option[] = "-drive ";
    const char *origin = options_origin(&vmm->opts, opts), *text = (*err)->message;

    if (origin && g_str_has_prefix(text, option)) {
        char *better = g_strdup_printf("%s: %s", origin, text + strlen(option));

        g_free((*err)->message);
        (*err)->message = better;
    }
}

/* They are made one by one, so that each has its place in an error; the number of all is in the
 * name. */
static void name_drive(json_t *drive, unsigned number)
{
    const char *interface = json_string_value(json_object_get(drive, "if"));

    if (!json_object_get(drive, "id")) {
        json_object_set_new(drive, "id", json_sprintf("%s%u", interface ?: "virtio", number));
    }
}

static bool make_block(Vmm *vmm, json_t *blockdev, json_t *drive, GError **err)
{
    g_autoptr(GPtrArray) blockdevs = g_ptr_array_new(), drives = g_ptr_array_new();
    g_autoptr(GError) why = NULL;

    g_ptr_array_add(blockdev ? blockdevs : drives, blockdev ?: drive);
    if (block_options_make(vmm->root, vmm->machine->platform.loop, blockdevs, drives,
                           vmm->opts.devices, &why)) {
        return true;
    }
    say_where_of_drive(vmm, blockdev ?: drive, &why);
    if (!options_fault(&vmm->opts, &why)) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    options_broken(&vmm->opts, json_string_value(blockdev ? json_object_get(blockdev, "node-name")
                                                          : json_object_get(drive, "id")));
    return true;
}

static bool make_blocks(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;
    bool ok = true;

    for (unsigned i = 0; ok && i < o->blockdevs->len; i++) {
        ok = make_block(vmm, o->blockdevs->pdata[i], NULL, err);
    }
    for (unsigned i = 0; ok && i < o->drives->len; i++) {
        name_drive(o->drives->pdata[i], i);
        ok = make_block(vmm, NULL, o->drives->pdata[i], err);
    }
    return ok;
}

static bool make_device(Vmm *vmm, json_t *opts, GError **err)
{
    const char *name = json_string_value(json_object_get(opts, "driver"));
    const TypeInfo *type = name ? machine_device_type(vmm->machine, name, NULL) : NULL;

    if (vmm->opts.check && type &&
        !check_properties(&vmm->opts, vmm->root, type, opts, "-device", "driver")) {
        return false;
    }
    if (!machine_add_device(vmm->machine, opts, err)) {
        options_say_where(&vmm->opts, opts, err, "-device", "driver");
        return false;
    }
    return true;
}

static void on_net_event(void *opaque, const char *event, json_t *data)
{
    platform_event(opaque, event, data);
}

static bool make_nets(Vmm *vmm, GError **err)
{
    net_set_event_handler(vmm->root, on_net_event, &vmm->machine->platform);
    return net_options_make(&vmm->opts, vmm->root, vmm->machine->platform.loop, err) &&
           make_each(vmm, vmm->opts.objects, make_if_filter, err);
}

static bool make_devices(Vmm *vmm, GError **err)
{
    return make_each(vmm, vmm->opts.devices, make_device, err);
}

static bool make_pidfile(Vmm *vmm, GError **err)
{
    return !vmm->opts.pidfile || pidfile_create(&vmm->pidfile, vmm->opts.pidfile, err);
}

static bool init_machine(Vmm *vmm, GError **err)
{
    return machine_init(vmm->machine, err);
}

static bool boot_machine(Vmm *vmm, GError **err)
{
    return machine_boot(vmm->machine, err);
}

/* Everything up to the first instruction of the guest, in this order. */
static const struct {
    bool (*make)(Vmm *vmm, GError **err);
    bool checked;    /* also by -check, which leaves out what acts on others */
    bool foundation; /* what follows makes no sense without it */
} steps[] = {
    {watch_signals, false, false}, {connect_qtest, false, false}, {make_objects, true, false},
    {make_blocks, true, false},    {make_nets, true, false},      {make_chardevs, true, false},
    {make_serial, true, false},    {init_machine, true, true},    {make_devices, true, false},
    {boot_machine, true, false},   {make_monitors, true, false},  {serve_qtest, false, false},
    {make_pidfile, false, false},
};

bool vmm_build(Vmm *vmm, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        if ((vmm->opts.check && !steps[i].checked) || steps[i].make(vmm, err)) {
            continue;
        }
        options_blame(&vmm->opts, err);
        if (!options_fault(&vmm->opts, err)) {
            return false;
        }
        if (steps[i].foundation) {
            break;
        }
    }
    return true;
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
    *ret_ok = vmm_make_machine(vmm, err);
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
    if (vmm->opts.check) {
        return vmm_check(vmm);
    }
    if (vmm->opts.daemonize && !daemon_start(err)) {
        return 1;
    }
    if (!vmm_make_machine(vmm, err)) {
        return 1;
    }
    lock = &vmm->machine->platform.lock;
    pthread_mutex_lock(lock);
    ok = vmm_build(vmm, err);
    pthread_mutex_unlock(lock);
    if (!ok) {
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
