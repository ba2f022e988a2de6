/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about vCPUs and memory.
 */
#include "vmm/monitor/qmp-command.h"

static json_t *run_query_cpus_fast(Machine *m, json_t *args, GError **err)
{
    const char *target = MACHINE_GET_CLASS(m)->arch ?: "x86_64";
    json_t *list = json_array();

    for (unsigned i = 0; accel_runs_guests(m->accel) && i < m->smp; i++) {
        json_array_append_new(
            list, json_pack("{s:i, s:o, s:i, s:{s:i, s:i, s:i}, s:s}", "cpu-index", i, "qom-path",
                            json_sprintf("/machine/accel/cpu[%u]", i), "thread-id",
                            accel_thread_id(m->accel, i), "props", "socket-id", 0, "core-id", i,
                            "thread-id", 0, "target", target));
    }
    return list;
}

static json_t *run_query_memory_size_summary(Machine *m, json_t *args, GError **err)
{
    return json_pack("{s:I, s:I}", "base-memory", (json_int_t)m->ram_size, "plugged-memory",
                     (json_int_t)0);
}

static json_t *run_inject_nmi(Machine *m, json_t *args, GError **err)
{
    bool running = m->state == RUN_STATE_RUNNING, ok;

    if (running) {
        accel_pause(m->accel);
    }
    ok = accel_nmi(m->accel, err);
    if (running) {
        accel_start(m->accel);
    }
    return ok ? json_object() : NULL;
}

const QmpCommand qmp_cpu_commands[] = {
    {.name = "inject-nmi",
     .help = "a non-maskable interrupt for all vCPUs, for a guest that hangs",
     .run = run_inject_nmi},
    {.name = "query-cpus-fast",
     .help = "vCPUs and their threads",
     .run = run_query_cpus_fast,
     .ret = "[CpuInfoFast]"},
    {.name = "query-memory-size-summary",
     .help = "how much memory the guest has",
     .run = run_query_memory_size_summary,
     .ret = "MemoryInfo"},
    {0},
};
