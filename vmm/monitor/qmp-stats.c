/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about what the VM costs its host.
 */
#include <string.h>

#include "vmm/monitor/memory-bill.h"
#include "vmm/monitor/qmp-command.h"

static json_t *run_query_memory_bill(Machine *m, json_t *args, GError **err)
{
    return memory_bill(m, err);
}

/* --- query-stats: the accelerator's, of the VM or of vCPUs --- */

#define PROVIDER "kvm"
enum { REQUESTS_MAX = 64 }; /* each is answered: a client shall not multiply the answer at will */

static bool check_names(json_t *names, unsigned i, GError **err)
{
    json_t *name;
    size_t n;

    if (names && !json_is_array(names)) {
        return error_set(err, "Invalid parameter type for 'providers[%u].names', expected: array",
                         i);
    }
    json_array_foreach(names, n, name)
    {
        if (!json_is_string(name)) {
            return error_set(
                err, "Invalid parameter type for 'providers[%u].names[%zu]', expected: string", i,
                n);
        }
    }
    return true;
}

static bool check_provider(json_t *request, unsigned i, GError **err)
{
    const char *name = json_string_value(json_object_get(request, "provider")), *key;
    json_t *value;

    if (!json_is_object(request)) {
        return error_set(err, "Invalid parameter type for 'providers[%u]', expected: object", i);
    }
    if (!name) {
        return error_set(err, "Parameter 'providers[%u].provider' is missing", i);
    }
    if (strcmp(name, PROVIDER) != 0) {
        return error_set(err, "Parameter 'provider' does not accept value '%s'", name);
    }
    json_object_foreach(request, key, value)
    {
        if (strcmp(key, "provider") != 0 && strcmp(key, "names") != 0) {
            return error_set(err, "Parameter 'providers[%u].%s' is unexpected", i, key);
        }
    }
    return check_names(json_object_get(request, "names"), i, err);
}

static bool check_filters(bool of_vm, json_t *args, GError **err)
{
    json_t *vcpus = json_object_get(args, "vcpus"), *item;
    size_t i;

    if (vcpus && of_vm) {
        return error_set(err, "Parameter 'vcpus' is unexpected");
    }
    json_array_foreach(vcpus, i, item)
    {
        if (!json_is_string(item)) {
            return error_set(err, "Invalid parameter type for 'vcpus[%zu]', expected: string", i);
        }
    }
    if (json_array_size(json_object_get(args, "providers")) > REQUESTS_MAX) {
        return error_set(err, "Parameter 'providers' has more than %d entries", REQUESTS_MAX);
    }
    json_array_foreach(json_object_get(args, "providers"), i, item)
    {
        if (!check_provider(item, (unsigned)i, err)) {
            return false;
        }
    }
    return true;
}

/* A list that is not given has all. */
static bool has_text(json_t *list, const char *text)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        if (!strcmp(json_string_value(item), text)) {
            return true;
        }
    }
    return !list;
}

/* Those of all (borrowed) that are among names, as one entry of the answer where there are any. */
static void add_stats(json_t *answer, json_t *all, json_t *names, const char *cpu)
{
    json_t *some = json_array(), *one, *entry;
    size_t i;

    json_array_foreach(all, i, one)
    {
        if (has_text(names, json_string_value(json_object_get(one, "name")))) {
            json_array_append(some, one);
        }
    }
    if (json_array_size(some) == 0) {
        json_decref(some);
        return;
    }
    entry = json_pack("{s:s, s:o}", "provider", PROVIDER, "stats", some);
    if (cpu) {
        json_object_set_new(entry, "qom-path", json_string(cpu));
    }
    json_array_append_new(answer, entry);
}

static bool add_target(Machine *m, int cpu, const char *path, json_t *args, json_t *answer,
                       GError **err)
{
    json_t *providers = json_object_get(args, "providers"), *one;
    json_t *all = accel_stats(m->accel, cpu, false, err);
    size_t i;

    if (!all) {
        return false;
    }
    json_array_foreach(providers, i, one)
    {
        add_stats(answer, all, json_object_get(one, "names"), path);
    }
    if (!providers) {
        add_stats(answer, all, NULL, path);
    }
    json_decref(all);
    return true;
}

static json_t *run_query_stats(Machine *m, json_t *args, GError **err)
{
    bool of_vm = !strcmp(json_string_value(json_object_get(args, "target")), "vm"), ok;
    json_t *answer;

    if (!check_filters(of_vm, args, err)) {
        return NULL;
    }
    answer = json_array();
    ok = !of_vm || add_target(m, -1, NULL, args, answer, err);
    for (unsigned i = 0; ok && !of_vm && i < m->accel->nr_vcpus; i++) {
        g_autofree char *path = g_strdup_printf("/machine/accel/cpu[%u]", i);

        ok = !has_text(json_object_get(args, "vcpus"), path) ||
             add_target(m, (int)i, path, args, answer, err);
    }
    if (!ok) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static bool add_schemas(Machine *m, int cpu, const char *target, json_t *answer, GError **err)
{
    json_t *list = accel_stats(m->accel, cpu, true, err);

    if (list && json_array_size(list) > 0) {
        json_array_append_new(answer, json_pack("{s:s, s:s, s:O}", "provider", PROVIDER, "target",
                                                target, "stats", list));
    }
    json_decref(list);
    return list != NULL;
}

static json_t *run_query_stats_schemas(Machine *m, json_t *args, GError **err)
{
    json_t *answer = json_array();

    if (!add_schemas(m, 0, "vcpu", answer, err) || !add_schemas(m, -1, "vm", answer, err)) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

const QmpCommand qmp_stats_commands[] = {
    {.name = "x-query-memory-bill",
     .help = "what the resident memory is spent on",
     .run = run_query_memory_bill,
     .ret = "MemoryBill"},
    {.name = "query-stats",
     .help = "what KVM has counted for the VM or its vCPUs",
     .args = {{"target", QMP_ARG_STR, false},
              {"vcpus", QMP_ARG_LIST, true},
              {"providers", QMP_ARG_LIST, true}},
     .arg_types = "target:StatsTarget,vcpus:[str],providers:[StatsRequest]",
     .run = run_query_stats,
     .ret = "[StatsResult]"},
    {.name = "query-stats-schemas",
     .help = "what query-stats counts",
     .args = {{"provider", QMP_ARG_STR, true}},
     .arg_types = "provider:StatsProvider",
     .run = run_query_stats_schemas,
     .ret = "[StatsSchema]"},
    {0},
};
