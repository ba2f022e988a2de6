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
#include "core/boot-trace.h"
#include "core/log.h"
#include "vmm/cli/block-options.h"
#include "vmm/cli/check.h"
#include "vmm/cli/fd-options.h"
#include "vmm/cli/help.h"
#include "vmm/cli/memory-options.h"
#include "vmm/cli/main.h"
#include "vmm/cli/net-options.h"
#include "vmm/cli/objects.h"
#include "vmm/cli/schema.h"
#include "vmm/cli/streams.h"
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

/* --- the machine --- */

/* One after the other; with -check goes on after faults, some of which make has told already. */
bool vmm_make_each(Vmm *vmm, const GPtrArray *list,
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

/* Where there is no suggestion for an unknown property, the error says how to see all. */
static void say_list(GError **err, const char *option, const char *type)
{
    if (g_str_has_prefix((*err)->message, "unknown property") &&
        !strstr((*err)->message, "did you mean")) {
        char *better = g_strdup_printf("%s; '%s %s,help' lists all", (*err)->message, option, type);

        g_free((*err)->message);
        (*err)->message = better;
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
        if (!strcmp(option, "-M")) {
            say_list(err, option, MACHINE_GET_CLASS(vmm->machine)->alias);
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

static bool make_objects(Vmm *vmm, GError **err)
{
    memory_options_prealloc(&vmm->opts);
    objects_sort(&vmm->opts);
    return objects_make(vmm, OBJECTS_FIRST, err) &&
           (vmm->opts.check || memory_options_make(&vmm->opts, vmm->machine, err));
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
    Device *dev;

    if (vmm->opts.check && type &&
        !check_properties(&vmm->opts, vmm->root, type, opts, "-device", "driver")) {
        return false;
    }
    dev = machine_add_device(vmm->machine, opts, err);
    if (!dev) {
        say_list(err, "-device", name);
        options_say_where(&vmm->opts, opts, err, "-device", "driver");
        return false;
    }
    g_ptr_array_add(vmm->devices, dev);
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
           objects_make(vmm, OBJECTS_AFTER_NETS, err);
}

static bool make_devices(Vmm *vmm, GError **err)
{
    return vmm_make_each(vmm, vmm->opts.devices, make_device, err) &&
           objects_make(vmm, OBJECTS_AFTER_DEVICES, err);
}

static bool make_pidfile(Vmm *vmm, GError **err)
{
    const char *path = vmm->opts.pidfile;

    if (!path || (vmm->opts.check && user_file_check(path, err))) {
        return true;
    }
    if (vmm->opts.check) {
        g_prefix_error(err, "-pidfile %s: ", path);
        return false;
    }
    return pidfile_create(&vmm->pidfile, path, err);
}

static void say_where_of_backend(const Vmm *vmm, GError **err)
{
    json_t *value = json_object_get(vmm->opts.machine_props, "memory-backend");
    const char *origin = value ? options_origin(&vmm->opts, value) : NULL;

    if (origin && g_str_has_prefix((*err)->message, "memory-backend=")) {
        g_prefix_error(err, "%s: ", origin);
    }
}

static bool init_machine(Vmm *vmm, GError **err)
{
    g_autoptr(GError) why = NULL;

    if (vmm->opts.check && !machine_check_backend(vmm->machine, &why)) {
        say_where_of_backend(vmm, &why);
        options_blame(&vmm->opts, &why);
        options_fault(&vmm->opts, &why);
    }
    if (machine_init(vmm->machine, err)) {
        return true;
    }
    say_where_of_backend(vmm, err);
    return false;
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
    {watch_signals, false, false},
    {fd_options_make, true, false},
    {streams_connect_qtest, false, false},
    {make_objects, true, false},
    {make_blocks, true, false},
    {streams_make_chardevs, true, false},
    {make_nets, true, false}, /* guestfwd= may lead to a chardev */
    {streams_make_serial, true, false},
    {init_machine, true, true},
    {make_devices, true, false},
    {boot_machine, true, false},
    {streams_make_monitors, true, false},
    {streams_serve_qtest, false, false},
    {streams_serve_gdb, true, false},
    {make_pidfile, true, false},
};

bool vmm_build(Vmm *vmm, GError **err)
{
    vmm->named_devices = vmm->opts.devices->len;
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
    gdb_end(vmm->machine);
    guest_dump_end(vmm->machine);
    machine_finish(vmm->machine);
    net_set_event_handler(vmm->root, NULL, NULL);
    net_backend_del_all(vmm->root);
    streams_close_all(vmm);
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
    g_ptr_array_unref(vmm->devices);
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
    if (vmm->opts.dump_schema) {
        return dump_schema();
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
        .devices = g_ptr_array_new(),
    };
    g_autoptr(GError) err = NULL;
    int status = 1;

    boot_trace_program_begins();
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
    return boot_trace_end(!err) ? status : 1;
}
