/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a machine: building, booting, running, stopping, resetting and ending it. What a
 * board consists of is in its own file (pc.c); devices of the user are in machine-device.c.
 *
 * Devices, vCPU threads and signals only post requests (shutdown, reset); they are carried out on
 * the main loop, where the vCPUs can be paused.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/hostmem.h"
#include "core/boot-trace.h"
#include "core/log.h"

typedef struct {
    void (*fn)(void *opaque, const char *name, json_t *data);
    void *opaque;
} EventSink;

#define CHECKED_RAM (UINT64_C(128) << 20) /* when the wanted size is none */

static const char *const run_state_names[] = {
    [RUN_STATE_PRELAUNCH] = "prelaunch",
    [RUN_STATE_RUNNING] = "running",
    [RUN_STATE_PAUSED] = "paused",
    [RUN_STATE_SHUTDOWN] = "shutdown",
    [RUN_STATE_INTERNAL_ERROR] = "internal-error",
    [RUN_STATE_GUEST_PANICKED] = "guest-panicked",
    [RUN_STATE_IO_ERROR] = "io-error",
    [RUN_STATE_SAVE_VM] = "save-vm",
    [RUN_STATE_DEBUG] = "debug",
};

const char *run_state_name(RunState state)
{
    return run_state_names[state];
}

/* --- events --- */

void machine_add_event_sink(Machine *m, void (*fn)(void *opaque, const char *name, json_t *data),
                            void *opaque)
{
    EventSink *sink = g_new(EventSink, 1);

    *sink = (EventSink){fn, opaque};
    g_ptr_array_add(m->event_sinks, sink);
}

void machine_remove_event_sink(Machine *m, void *opaque)
{
    for (unsigned i = m->event_sinks->len; i-- > 0;) {
        if (((EventSink *)m->event_sinks->pdata[i])->opaque == opaque) {
            g_ptr_array_remove_index(m->event_sinks, i);
        }
    }
}

/* Steals data. */
static void emit(Machine *m, const char *name, json_t *data)
{
    for (unsigned i = 0; i < m->event_sinks->len; i++) {
        EventSink *sink = m->event_sinks->pdata[i];

        sink->fn(sink->opaque, name, data);
    }
    json_decref(data);
}

static bool cause_is_guest(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_GUEST_SHUTDOWN || cause == SHUTDOWN_CAUSE_GUEST_RESET ||
           cause == SHUTDOWN_CAUSE_GUEST_PANIC;
}

static void emit_with_cause(Machine *m, const char *name, ShutdownCause cause)
{
    emit(m, name,
         json_pack("{s:b, s:s}", "guest", cause_is_guest(cause), "reason",
                   shutdown_cause_name(cause)));
}

/* --- run control --- */

static void pause_vcpus(Machine *m)
{
    accel_pause(m->accel);
    clock_stop(m->platform.vclock);
}

static void start_vcpus(Machine *m)
{
    clock_start(m->platform.vclock);
    accel_start(m->accel);
}

/* vCPUs are paused. */
static void enter_stopped_state(Machine *m, RunState state)
{
    bool was_running = m->state == RUN_STATE_RUNNING;

    m->state = state;
    if (was_running) { /* STOP says that nothing moves any more */
        platform_run_changed(&m->platform, false);
        emit(m, "STOP", NULL);
    }
}

void machine_stop(Machine *m, RunState state)
{
    if (m->state == RUN_STATE_RUNNING) {
        pause_vcpus(m);
    }
    enter_stopped_state(m, state);
}

bool machine_cont(Machine *m, GError **err)
{
    switch (m->state) {
    case RUN_STATE_RUNNING:
        return true;
    case RUN_STATE_SHUTDOWN:
    case RUN_STATE_INTERNAL_ERROR:
    case RUN_STATE_GUEST_PANICKED:
        return error_set(err, "Resetting the Virtual Machine is required");
    default:
        break;
    }
    if (m->busy) {
        return error_set(err, "%s", m->busy);
    }
    m->state = RUN_STATE_RUNNING;
    start_vcpus(m);
    emit(m, "RESUME", NULL);
    platform_run_changed(&m->platform, true);
    return true;
}

static RunState final_state(ShutdownCause cause)
{
    switch (cause) {
    case SHUTDOWN_CAUSE_HOST_ERROR:
        return RUN_STATE_INTERNAL_ERROR;
    case SHUTDOWN_CAUSE_GUEST_PANIC:
        return RUN_STATE_GUEST_PANICKED;
    default:
        return RUN_STATE_SHUTDOWN;
    }
}

/* What the user asked for by name ends the VMM, with -no-shutdown, too. */
static bool cause_is_final(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT || cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
           cause == SHUTDOWN_CAUSE_HOST_UI;
}

static void end_loop(Machine *m, int status)
{
    m->ending = true;
    m->exit_status = status;
    loop_quit(m->platform.loop);
}

/* The end of a shutdown. vCPUs are paused, also when the state is still "running". */
static void finish_shutdown(Machine *m, ShutdownCause cause)
{
    if (m->no_shutdown && !cause_is_final(cause)) {
        enter_stopped_state(m, final_state(cause));
        return;
    }
    m->state = final_state(cause);
    end_loop(m, cause == SHUTDOWN_CAUSE_HOST_ERROR);
}

static void do_shutdown(Machine *m, ShutdownCause cause)
{
    emit_with_cause(m, "SHUTDOWN", cause);
    if (boot_trace_on()) {
        boot_trace_event("shutdown", shutdown_cause_name(cause));
    }
    if (m->state == RUN_STATE_RUNNING) {
        pause_vcpus(m);
    }
    finish_shutdown(m, cause);
}

/* Without a kernel and without vCPUs there is nothing to load, and no firmware's work to do: a
 * client of the qtest server does that. */
static bool has_boot(Machine *m)
{
    return m->kernel || accel_runs_guests(m->accel);
}

static bool load(Machine *m, CpuStartState *ret_state, GError **err)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);

    return !mc->load || !has_boot(m) || mc->load(m, ret_state, err);
}

/* Puts RAM, devices and vCPUs into the state in which the guest starts. vCPUs are paused. */
static bool load_and_reset(Machine *m, GError **err)
{
    CpuStartState state = {.arch = CPU_START_NONE};
    int64_t begin = boot_trace_on() ? boot_trace_now() : 0;

    bus_reset(m->main_bus);
    if (!load(m, &state, err) || !accel_reset(m->accel, &state, err)) {
        return false;
    }
    if (boot_trace_on()) {
        boot_trace_span("load the kernel", NULL, begin);
    }
    if (boot_trace_on() && state.arch == CPU_START_X86) {
        boot_trace_loaded(state.x86.rip);
    }
    return true;
}

/* Pauses the vCPUs for a reset. False: until they stood still somebody asked for the end, and that
 * is done instead. */
static bool pause_for_reset(Machine *m)
{
    pause_vcpus(m);
    m->reset_pending = false; /* asked for again by a vCPU that had not stopped yet */
    if (m->ending) {
        m->state = RUN_STATE_SHUTDOWN;
        return false;
    }
    if (m->shutdown_pending) {
        emit_with_cause(m, "SHUTDOWN", m->shutdown_cause);
        finish_shutdown(m, m->shutdown_cause);
        m->shutdown_pending = false;
        return false;
    }
    return true;
}

static void do_reset(Machine *m, ShutdownCause cause)
{
    g_autoptr(GError) err = NULL;
    bool was_running = m->state == RUN_STATE_RUNNING;

    if (m->no_reboot) {
        do_shutdown(m, cause);
        return;
    }
    if (was_running && !pause_for_reset(m)) {
        return;
    }
    if (!load_and_reset(m, &err)) {
        log_error("reset: %s", err->message);
        m->state = RUN_STATE_PAUSED;
        do_shutdown(m, SHUTDOWN_CAUSE_HOST_ERROR);
        return;
    }
    emit_with_cause(m, "RESET", cause);
    if (boot_trace_on()) {
        boot_trace_event("reset", shutdown_cause_name(cause));
    }
    if (was_running) {
        start_vcpus(m);
    } else {
        m->state = RUN_STATE_PRELAUNCH;
    }
}

/* Main loop: a shutdown asked for outweighs a reset, also one asked for while the vCPUs stop. */
static void handle_requests(void *opaque)
{
    Machine *m = opaque;

    if (m->ending) {
        return;
    }
    if (m->shutdown_pending) {
        do_shutdown(m, m->shutdown_cause);
        m->shutdown_pending = m->reset_pending = false;
    } else if (m->reset_pending && !m->busy) {
        m->reset_pending = false;
        do_reset(m, m->reset_cause);
    } else if (m->stop_pending && m->state == RUN_STATE_RUNNING) {
        machine_stop(m, RUN_STATE_IO_ERROR);
    }
    m->stop_pending = false;
}

void machine_set_busy(Machine *m, const char *why)
{
    m->busy = why;
    if (!why && m->reset_pending) {
        loop_post(m->platform.loop, handle_requests, m);
    }
}

void machine_request_shutdown(Machine *m, ShutdownCause cause)
{
    if (!m->shutdown_pending) {
        m->shutdown_pending = true;
        m->shutdown_cause = cause;
        loop_post(m->platform.loop, handle_requests, m);
    }
}

void machine_request_reset(Machine *m, ShutdownCause cause)
{
    if (!m->reset_pending) {
        m->reset_pending = true;
        m->reset_cause = cause;
        loop_post(m->platform.loop, handle_requests, m);
    }
}

void machine_power_button(Machine *m)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);

    if (mc->power_button) {
        mc->power_button(m);
    }
    emit(m, "POWERDOWN", NULL);
}

/* --- the platform's requests --- */

static void platform_shutdown(Platform *p, ShutdownCause cause)
{
    machine_request_shutdown(machine_of_platform(p), cause);
}

static void platform_reset(Platform *p, ShutdownCause cause)
{
    machine_request_reset(machine_of_platform(p), cause);
}

static void platform_stop(Platform *p, StopCause cause)
{
    Machine *m = machine_of_platform(p);

    if (!m->stop_pending) {
        m->stop_pending = true;
        loop_post(p->loop, handle_requests, m);
    }
}

static void platform_exit(Platform *p, int status)
{
    Machine *m = machine_of_platform(p);

    if (!m->ending) {
        end_loop(m, status);
    }
}

static void platform_emit(Platform *p, const char *name, json_t *data)
{
    emit(machine_of_platform(p), name, data);
}

static const PlatformOps machine_platform_ops = {
    .shutdown_request = platform_shutdown,
    .reset_request = platform_reset,
    .stop_request = platform_stop,
    .exit_request = platform_exit,
    .event = platform_emit,
};

/* --- building and ending --- */

static bool check_ram(Machine *m, GError **err)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);

    if (m->ram_size < mc->min_ram || m->ram_size > mc->max_ram) {
        return error_set(err, "-m: machine '%s' takes %u MiB to %u GiB of memory", mc->alias,
                         (unsigned)(mc->min_ram >> 20), (unsigned)(mc->max_ram >> 30));
    }
    if (m->ram_size % (1024 * 1024) != 0) {
        return error_set(err, "-m: the memory size must be a multiple of 1 MiB");
    }
    return true;
}

static HostMem *find_memory_backend(Machine *m, GError **err)
{
    Object *obj = object_child(object_container(m->platform.root, "objects"), m->memory_backend);

    if (!obj || !object_is_a(obj, &memory_backend_type)) {
        error_set(err,
                  "memory-backend=%s: there is no -object memory-backend-ram, -memfd or -file "
                  "with that id",
                  m->memory_backend);
        return NULL;
    }
    return MEMORY_BACKEND(obj);
}

/* Without -m the backend's size counts. */
static bool take_backend_size(Machine *m, const HostMem *b, GError **err)
{
    if (!m->ram_size_given) {
        m->ram_size = memory_backend_size(b);
    }
    return m->ram_size == memory_backend_size(b) ||
           error_set(err,
                     "-m: the machine has %" PRIu64 " MiB and memory-backend=%s %" PRIu64
                     " MiB; give both the same",
                     m->ram_size >> 20, m->memory_backend, memory_backend_size(b) >> 20);
}

static bool check_backend(Machine *m, GError **err)
{
    HostMem *b = m->memory_backend ? find_memory_backend(m, err) : NULL;

    return !m->memory_backend || (b && take_backend_size(m, b, err));
}

/* What RAM is made of: a reference, or NULL with ram_size 0. */
static bool take_ram(Machine *m, GError **err)
{
    HostMem *b = m->memory_backend ? find_memory_backend(m, err) : NULL;
    GmemBlockSpec spec = {.size = m->ram_size};

    if (m->memory_backend) {
        m->ram = b ? memory_backend_take(b, err) : NULL;
        return m->ram && gmem_block_ref(m->ram);
    }
    m->ram = m->ram_size ? gmem_block_new(&spec, err) : NULL;
    if (m->ram_size && !m->ram) {
        g_prefix_error(err, "-m: ");
    }
    return m->ram || m->ram_size == 0;
}

static bool init_board(Machine *m, GError **err)
{
    bool ok = take_ram(m, err) && MACHINE_GET_CLASS(m)->init(m, err);

    g_clear_pointer(&m->ram, gmem_block_unref); /* its regions have it */
    return ok;
}

static bool check_smp(Machine *m, GError **err)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);

    return (m->smp >= 1 && m->smp <= mc->max_cpus) ||
           error_set(err, "-smp: machine '%s' takes 1 to %u vCPUs", mc->alias, mc->max_cpus);
}

static bool check_limits(Machine *m, GError **err)
{
    return check_ram(m, err) && check_smp(m, err);
}

/* What belongs to a kernel says nothing without one. */
static bool check_kernel_given(Machine *m, GError **err)
{
    const char *extra = m->initrd && *m->initrd ? "-initrd" : "-append";

    return m->kernel || ((!m->initrd || !*m->initrd) && (!m->append || !*m->append)) ||
           error_set(err, "%s: there is no kernel to pass it to: give -kernel FILE", extra);
}

static bool check_boot(Machine *m, bool runs_guests, GError **err)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);

    if (!mc->prepare_boot || !(m->kernel || runs_guests)) {
        return check_kernel_given(m, err);
    }
    return mc->prepare_boot(m, err);
}

void machine_check(Machine *m, bool runs_guests, void (*fault)(void *opaque, const GError *why),
                   void *opaque)
{
    g_autoptr(GError) ram = NULL, smp = NULL, boot = NULL, initrd = NULL;

    if (!check_ram(m, &ram)) {
        fault(opaque, ram);
        m->ram_size = MAX(MACHINE_GET_CLASS(m)->min_ram, CHECKED_RAM);
    }
    if (!check_smp(m, &smp)) {
        fault(opaque, smp);
        m->smp = 1;
    }
    if (check_boot(m, runs_guests, &boot)) {
        if (MACHINE_GET_CLASS(m)->prepare_boot) {
            MACHINE_GET_CLASS(m)->finish(m); /* machine_init opens the files itself */
        }
        return;
    }
    fault(opaque, boot);
    if (m->kernel && m->initrd && !g_str_has_prefix(boot->message, "-initrd") &&
        access(m->initrd, R_OK) != 0) {
        error_set_errno(&initrd, errno, "-initrd %s: cannot open", m->initrd);
        fault(opaque, initrd);
    }
    g_clear_pointer(&m->kernel, g_free);
    g_clear_pointer(&m->initrd, g_free);
    g_clear_pointer(&m->append, g_free);
}

bool machine_check_backend(Machine *m, GError **err)
{
    if (check_backend(m, err)) {
        return true;
    }
    g_clear_pointer(&m->memory_backend, g_free);
    return false;
}

bool machine_init(Machine *m, GError **err)
{
    Platform *p = &m->platform;
    int64_t begin = boot_trace_on() ? boot_trace_now() : 0;

    if (!check_backend(m, err) || !check_limits(m, err)) {
        return false;
    }
    if (!check_boot(m, accel_runs_guests(m->accel), err)) {
        return false;
    }
    m->main_bus = bus_new(&main_bus_type, NULL, "main-system-bus", p);
    p->n_cpus = m->smp;
    m->realized = true;
    m->parent_obj.props_frozen = true;
    if (!accel_open(m->accel, p, err) || !init_board(m, err)) {
        return false;
    }
    if (!accel_create_vcpus(m->accel, m->smp, err)) {
        return false;
    }
    if (boot_trace_on()) {
        boot_trace_span("machine", MACHINE_GET_CLASS(m)->alias, begin);
    }
    return true;
}

bool machine_dump_dtb(Machine *m, GError **err)
{
    MachineClass *mc = MACHINE_GET_CLASS(m);
    g_autoptr(GByteArray) tree = mc->dtb ? mc->dtb(m, err) : NULL;
    FILE *f;
    bool ok;

    if (!tree) {
        return mc->dtb ? false
                       : error_set(err, "-M dumpdtb: machine '%s' has no device tree", mc->alias);
    }
    f = fopen(m->dumpdtb, "we");
    if (!f) {
        return error_set_errno(err, errno, "-M dumpdtb=%s: cannot open", m->dumpdtb);
    }
    ok = fwrite(tree->data, 1, tree->len, f) == tree->len;
    ok = fclose(f) == 0 && ok;
    return ok || error_set_errno(err, errno, "-M dumpdtb=%s: cannot write", m->dumpdtb);
}

bool machine_boot(Machine *m, GError **err)
{
    return load_and_reset(m, err);
}

int machine_run(Machine *m, bool start_paused)
{
    pthread_mutex_lock(&m->platform.lock);
    if (!start_paused) {
        m->state = RUN_STATE_RUNNING;
        start_vcpus(m);
        emit(m, "RESUME", NULL);
        platform_run_changed(&m->platform, true);
    }
    pthread_mutex_unlock(&m->platform.lock);

    loop_run(m->platform.loop);

    pthread_mutex_lock(&m->platform.lock);
    if (m->state == RUN_STATE_RUNNING) {
        pause_vcpus(m);
        m->state = RUN_STATE_SHUTDOWN;
    }
    pthread_mutex_unlock(&m->platform.lock);
    return m->exit_status;
}

/* The user's devices last to first, then the board's. */
static void destroy_devices(Bus *bus)
{
    while (bus->devices->len > 0) {
        Device *dev = bus->devices->pdata[bus->devices->len - 1];

        device_destroy(dev);
    }
}

void machine_finish(Machine *m)
{
    if (!m->realized) {
        return;
    }
    m->realized = false;
    g_clear_pointer(&m->announcer, announcer_free);
    destroy_devices(m->main_bus);
    object_unref(m->main_bus);
    m->main_bus = NULL;
    if (MACHINE_GET_CLASS(m)->finish) {
        MACHINE_GET_CLASS(m)->finish(m);
    }
    accel_close(m->accel);
}

/* --- the type --- */

static void machine_instance_init(Object *obj)
{
    Machine *m = MACHINE(obj);

    platform_init(&m->platform, true, false);
    clock_stop(m->platform.vclock);
    m->platform.ops = &machine_platform_ops;
    m->platform.opaque = m;
    m->event_sinks = g_ptr_array_new_with_free_func(g_free);
    m->globals = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    m->state = RUN_STATE_PRELAUNCH;
    m->defaults = true;
}

static void machine_instance_finalize(Object *obj)
{
    Machine *m = MACHINE(obj);

    g_ptr_array_unref(m->event_sinks);
    g_ptr_array_unref(m->globals);
    g_free(m->uuid);
    platform_finish(&m->platform);
}

static json_t *get_uuid(Object *obj, const Property *prop, GError **err)
{
    return json_string(MACHINE(obj)->uuid ?: "");
}

static bool set_uuid(Object *obj, const Property *prop, json_t *value, GError **err)
{
    const char *text = json_string_value(value);

    if (!text || !g_uuid_string_is_valid(text)) {
        return error_set(err, "'%s' is not a UUID (as in 550e8400-e29b-41d4-a716-446655440000)",
                         text ?: "");
    }
    g_free(MACHINE(obj)->uuid);
    MACHINE(obj)->uuid = g_ascii_strdown(text, -1);
    return true;
}

static const Property machine_props[] = {
    PROP_SIZE("ram-size", Machine, ram_size, 128 * 1024 * 1024, 0, UINT64_MAX, "guest memory"),
    PROP_UINT32("smp", Machine, smp, 1, 0, UINT32_MAX, "number of vCPUs"),
    PROP_STRING("kernel", Machine, kernel, NULL,
                "Linux kernel image: bzImage or uncompressed vmlinux"),
    PROP_STRING("initrd", Machine, initrd, NULL, "initial RAM disk"),
    PROP_STRING("append", Machine, append, NULL, "kernel command line"),
    PROP_STRING("name", Machine, name, NULL, "name of the VM"),
    PROP_CUSTOM("uuid", "str", get_uuid, set_uuid, 0, "of the VM, for query-uuid"),
    PROP_STRING("memory-backend", Machine, memory_backend, NULL,
                "where guest memory comes from: id of -object memory-backend-..."),
    PROP_BOOL("no-reboot", Machine, no_reboot, false, "exit instead of rebooting"),
    PROP_BOOL("no-shutdown", Machine, no_shutdown, false,
              "stay, stopped, when the guest powers off"),
    PROP_END,
};

const TypeInfo machine_type = {
    .name = "machine",
    .abstract = true,
    .instance_size = sizeof(Machine),
    .class_size = sizeof(MachineClass),
    .instance_init = machine_instance_init,
    .instance_finalize = machine_instance_finalize,
    .props = machine_props,
};
