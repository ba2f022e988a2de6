/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "info" of the human monitor about what the VM costs its host.
 */
#include <string.h>

#include "vmm/monitor/hmp-internal.h"

static void print_sum(HmpMonitor *mon, json_t *bill, const char *key)
{
    hmp_print(mon, "%s: %" JSON_INTEGER_FORMAT " KiB\r\n", key,
              json_integer_value(json_object_get(bill, key)) / 1024);
}

void hmp_info_memory_bill(HmpMonitor *mon, const char *arg)
{
    json_t *bill = hmp_qmp(mon, "x-query-memory-bill", NULL), *row;
    size_t i;

    if (!bill) {
        return;
    }
    print_sum(mon, bill, "resident");
    print_sum(mon, bill, "accounted");
    print_sum(mon, bill, "unaccounted");
    json_array_foreach(json_object_get(bill, "rows"), i, row)
    {
        hmp_print(mon, "%10.1f KiB  %-8s %s\r\n",
                  (double)json_integer_value(json_object_get(row, "bytes")) / 1024,
                  json_string_value(json_object_get(row, "kind")),
                  json_string_value(json_object_get(row, "owner")));
    }
    json_decref(bill);
}

/* --- info stats --- */

static const char *text_of(json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

/* "ns", "KiB", "* 10^4", as QEMU has it; "": nothing to say. g_free. */
static char *unit_text(json_t *schema)
{
    static const char *const small[] = {"", "m", "u", "n"}, *const large[] = {"", "Ki", "Mi", "Gi",
                                                                              "Ti"};
    const char *unit = text_of(schema, "unit") ?: "";
    json_int_t exponent = json_integer_value(json_object_get(schema, "exponent"));
    json_int_t base = json_integer_value(json_object_get(schema, "base"));

    unit = !strcmp(unit, "seconds") ? "s" : !strcmp(unit, "bytes") ? "B" : unit;
    if (exponent == 0) {
        return g_strdup(unit);
    }
    if (*unit && base == 10 && exponent <= 0 && exponent >= -9 && exponent % 3 == 0) {
        return g_strconcat(small[-exponent / 3], unit, NULL);
    }
    if (*unit && base == 2 && exponent >= 0 && exponent <= 40 && exponent % 10 == 0) {
        return g_strconcat(large[exponent / 10], unit, NULL);
    }
    return g_strdup_printf("* %d^%d%s%s", (int)base, (int)exponent, *unit ? " " : "", unit);
}

static void print_value(HmpMonitor *mon, json_t *value)
{
    json_t *item;
    size_t i;

    if (json_is_boolean(value)) {
        hmp_print(mon, "%s", json_is_true(value) ? "yes" : "no");
    } else if (json_is_integer(value)) {
        hmp_print(mon, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
    json_array_foreach(value, i, item)
    {
        hmp_print(mon, "[%zu]=%" JSON_INTEGER_FORMAT " ", i + 1, json_integer_value(item));
    }
    hmp_print(mon, "\r\n");
}

static void print_stat(HmpMonitor *mon, json_t *stat, json_t *schema)
{
    g_autofree char *unit = unit_text(schema);
    json_t *bucket = json_object_get(schema, "bucket-size");

    hmp_print(mon, "    %s (%s%s%s", text_of(stat, "name"), text_of(schema, "type"),
              *unit ? ", " : "", unit);
    if (bucket) {
        hmp_print(mon, ", bucket size=%" JSON_INTEGER_FORMAT, json_integer_value(bucket));
    }
    hmp_print(mon, "): ");
    print_value(mon, json_object_get(stat, "value"));
}

/* The schema of a target's statistics; borrowed. */
static json_t *find_schema(json_t *schemas, const char *target, const char *name)
{
    json_t *of, *one;
    size_t i, n;

    json_array_foreach(schemas, i, of)
    {
        json_array_foreach(json_object_get(of, "stats"), n, one)
        {
            if (!strcmp(text_of(of, "target"), target) && !strcmp(text_of(one, "name"), name)) {
                return one;
            }
        }
    }
    return NULL;
}

/* Of the VM, or of the vCPU that this monitor is about. */
static json_t *ask_stats(HmpMonitor *mon, const char *target, const char *names)
{
    json_t *args = json_pack("{s:s}", "target", target), *list;
    g_auto(GStrv) words = names && strcmp(names, "*") != 0 ? g_strsplit(names, ",", -1) : NULL;

    if (!strcmp(target, "vcpu")) {
        g_autofree char *path = g_strdup_printf("/machine/accel/cpu[%u]", hmp_cpu(mon));

        json_object_set_new(args, "vcpus", json_pack("[s]", path));
    }
    if (words) {
        list = json_array();
        for (unsigned i = 0; words[i]; i++) {
            json_array_append_new(list, json_string(words[i]));
        }
        json_object_set_new(args, "providers",
                            json_pack("[{s:s, s:o}]", "provider", "kvm", "names", list));
    }
    return hmp_qmp(mon, "query-stats", args);
}

void hmp_info_stats(HmpMonitor *mon, const char *arg)
{
    g_auto(GStrv) words = g_strsplit_set(arg, " ", 3);
    const char *target = words[0] ?: "", *names = *target ? words[1] : NULL;
    const char *provider = names ? words[2] : NULL;
    json_t *results, *schemas, *stat;
    size_t i;

    if (strcmp(target, "vm") != 0 && strcmp(target, "vcpu") != 0) {
        hmp_print(mon, *target ? "invalid stats target %s\r\n" : "give a target: vm or vcpu%s\r\n",
                  target);
        return;
    }
    if (provider && strcmp(provider, "kvm") != 0) {
        hmp_print(mon, "invalid stats provider %s\r\n", provider);
        return;
    }
    results = ask_stats(mon, target, names);
    schemas = hmp_qmp(mon, "query-stats-schemas", NULL);
    if (json_array_size(results) > 0 && !provider) {
        hmp_print(mon, "provider: kvm\r\n");
    }
    json_array_foreach(json_object_get(json_array_get(results, 0), "stats"), i, stat)
    {
        print_stat(mon, stat, find_schema(schemas, target, text_of(stat, "name")));
    }
    json_decref(results);
    json_decref(schemas);
}
