/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about the VM as a whole: running state, reset, power, the balloon, and what this
 * monitor is.
 */
#include "vmm/monitor/qmp-command.h"

#include "hw/core/memory-balloon.h"

/* The "qemu" member tells clients which QMP dialect to expect; "package" says who speaks. */
enum { QMP_DIALECT_MAJOR = 7, QMP_DIALECT_MINOR = 2, QMP_DIALECT_MICRO = 0 };

json_t *qmp_version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "micro", QMP_DIALECT_MICRO, "minor",
                     QMP_DIALECT_MINOR, "major", QMP_DIALECT_MAJOR, "package",
                     "aerostat-" AEROSTAT_VERSION);
}

static json_t *run_query_version(Machine *m, json_t *args, GError **err)
{
    return qmp_version();
}

static void add_command(const QmpCommand *command, void *opaque)
{
    json_array_append_new(opaque, json_pack("{s:s}", "name", command->name));
}

static json_t *run_query_commands(Machine *m, json_t *args, GError **err)
{
    json_t *list = json_array();

    qmp_foreach_row(add_command, list);
    return list;
}

/* The monitor itself takes it (qmp.c); once negotiated it is only here to be listed. */
static json_t *run_qmp_capabilities(Machine *m, json_t *args, GError **err)
{
    g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_COMMAND_NOT_FOUND,
                "Capabilities negotiation is already complete, command ignored");
    return NULL;
}

static json_t *run_query_status(Machine *m, json_t *args, GError **err)
{
    return json_pack("{s:b, s:b, s:s}", "running", m->state == RUN_STATE_RUNNING, "singlestep", 0,
                     "status", run_state_name(m->state));
}

static json_t *run_query_name(Machine *m, json_t *args, GError **err)
{
    return m->name ? json_pack("{s:s}", "name", m->name) : json_object();
}

static json_t *run_query_uuid(Machine *m, json_t *args, GError **err)
{
    return json_pack("{s:s}", "UUID", m->uuid ?: "00000000-0000-0000-0000-000000000000");
}

static json_t *run_query_kvm(Machine *m, json_t *args, GError **err)
{
    int kvm = object_is_a(m->accel, &kvm_accel_type);

    return json_pack("{s:b, s:b}", "enabled", kvm, "present", 1); /* it is built in */
}

static json_t *run_stop(Machine *m, json_t *args, GError **err)
{
    if (m->state == RUN_STATE_RUNNING) {
        machine_stop(m, RUN_STATE_PAUSED);
    }
    return json_object();
}

static json_t *run_cont(Machine *m, json_t *args, GError **err)
{
    return machine_cont(m, err) ? json_object() : NULL;
}

static json_t *run_quit(Machine *m, json_t *args, GError **err)
{
    machine_request_shutdown(m, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    return json_object();
}

static json_t *run_system_reset(Machine *m, json_t *args, GError **err)
{
    machine_request_reset(m, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return json_object();
}

static json_t *run_system_powerdown(Machine *m, json_t *args, GError **err)
{
    machine_power_button(m);
    return json_object();
}

static Object *find_balloon(Machine *m, GError **err)
{
    Object *balloon = memory_balloon_find(m->platform.root);

    if (!balloon) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_ACTIVE,
                    "No balloon device has been activated");
    }
    return balloon;
}

static json_t *run_balloon(Machine *m, json_t *args, GError **err)
{
    json_int_t value = json_integer_value(json_object_get(args, "value"));
    Object *balloon = find_balloon(m, err);

    if (!balloon) {
        return NULL;
    }
    if (value <= 0) {
        error_set(err, "Parameter 'value' expects a size");
        return NULL;
    }
    ((MemoryBalloonClass *)object_interface(balloon, &memory_balloon_type))
        ->set_target(balloon, value);
    return json_object();
}

static json_t *run_query_balloon(Machine *m, json_t *args, GError **err)
{
    Object *balloon = find_balloon(m, err);
    const MemoryBalloonClass *c;

    if (!balloon) {
        return NULL;
    }
    c = object_interface(balloon, &memory_balloon_type);
    return json_pack("{s:I}", "actual", (json_int_t)c->actual(balloon));
}

static json_t *run_query_balloon_ledger(Machine *m, json_t *args, GError **err)
{
    Object *balloon = find_balloon(m, err);
    const MemoryBalloonClass *c;

    if (!balloon) {
        return NULL;
    }
    c = object_interface(balloon, &memory_balloon_type);
    return c->ledger(balloon, json_is_true(json_object_get(args, "check")));
}

const QmpCommand qmp_vm_commands[] = {
    {.name = "balloon",
     .help = "set the memory that the guest shall have, in bytes",
     .args = {{"value", QMP_ARG_INT, false}},
     .run = run_balloon},
    {.name = "cont", .help = "let the vCPUs run", .run = run_cont},
    {.name = "qmp_capabilities",
     .help = "leave capabilities negotiation",
     .args = {{"enable", QMP_ARG_LIST, true}},
     .arg_types = "enable:[QMPCapability]",
     .run = run_qmp_capabilities},
    {.name = "query-balloon",
     .help = "the memory that the guest has now, in bytes",
     .run = run_query_balloon,
     .ret = "BalloonInfo"},
    {.name = "query-commands",
     .help = "all commands",
     .run = run_query_commands,
     .ret = "[CommandInfo]"},
    {.name = "query-kvm", .help = "whether KVM is used", .run = run_query_kvm, .ret = "KvmInfo"},
    {.name = "query-name", .help = "the VM's name", .run = run_query_name, .ret = "NameInfo"},
    {.name = "query-status",
     .help = "whether the VM runs",
     .run = run_query_status,
     .ret = "StatusInfo"},
    {.name = "query-uuid",
     .help = "the VM's UUID, or zeros",
     .run = run_query_uuid,
     .ret = "UuidInfo"},
    {.name = "query-version",
     .help = "QMP dialect and version of Aerostat",
     .run = run_query_version,
     .ret = "VersionInfo"},
    {.name = "quit", .help = "end the VM at once", .run = run_quit},
    {.name = "stop", .help = "pause the vCPUs", .run = run_stop},
    {.name = "system_powerdown", .help = "press the power button", .run = run_system_powerdown},
    {.name = "system_reset", .help = "press the reset button", .run = run_system_reset},
    {.name = "x-query-balloon-ledger",
     .help = "what became of the memory that the guest gave, in bytes; check: ask the host, too",
     .args = {{"check", QMP_ARG_BOOL, true}},
     .run = run_query_balloon_ledger,
     .ret = "BalloonLedger"},
    {0},
};
