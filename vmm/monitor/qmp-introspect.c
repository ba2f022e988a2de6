/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about what there is to choose from: machines, CPUs, and the properties of types,
 * without an instance. Shapes are those of QEMU 7.2.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "qom/property.h"

/* --- machines and CPUs --- */

static json_t *describe_machine(const TypeInfo *type, const char *target)
{
    const MachineClass *mc = MACHINE_CLASS(type_class(type));
    json_t *entry =
        json_pack("{s:s, s:i, s:b, s:b, s:b}", "name", mc->alias, "cpu-max", (int)mc->max_cpus,
                  "hotpluggable-cpus", 0, "numa-mem-supported", 0, "deprecated", 0);

    if (!strcmp(mc->alias, machine_default(target))) {
        json_object_set_new(entry, "is-default", json_true());
    }
    return entry;
}

static json_t *run_query_machines(Machine *m, json_t *args, GError **err)
{
    json_t *list = json_array();

    for (unsigned i = 0; machine_types[i]; i++) {
        if (machine_has_target(machine_types[i], m->target)) {
            json_array_append_new(list, describe_machine(machine_types[i], m->target));
        }
    }
    return list;
}

static json_t *run_query_cpu_definitions(Machine *m, json_t *args, GError **err)
{
    static const char *const names[] = {"host", "max"};
    const char *target = m->target && strcmp(m->target, "x86_64") != 0 ? "arm" : "x86_64";
    json_t *list = json_array();

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *type = g_strdup_printf("%s-%s-cpu", names[i], target);

        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:b, s:[]}", "name", names[i],
                                              "typename", type, "static", 0, "migration-safe", 0,
                                              "deprecated", 0, "unavailable-features"));
    }
    return list;
}

/* --- properties of types --- */

/* New reference, or NULL where there is none. */
static json_t *default_value(const Property *prop)
{
    switch (prop->kind) {
    case PROP_KIND_BOOL:
        return json_boolean(prop->def);
    case PROP_KIND_UINT8:
    case PROP_KIND_UINT16:
    case PROP_KIND_UINT32:
    case PROP_KIND_UINT64:
    case PROP_KIND_INT32:
    case PROP_KIND_SIZE:
        return json_integer((json_int_t)prop->def);
    case PROP_KIND_STRING:
        return prop->def_str ? json_string(prop->def_str) : NULL;
    case PROP_KIND_ENUM:
        return json_string(prop->words[prop->def]);
    default:
        return NULL;
    }
}

static void add_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_autofree char *type = property_type_name(prop);
    json_t *entry = json_pack("{s:s, s:s}", "name", prop->name, "type", type);
    json_t *def = default_value(prop);

    if (prop->help) {
        json_object_set_new(entry, "description", json_string(prop->help));
    }
    if (def) {
        json_object_set_new(entry, "default-value", def);
    }
    json_array_append_new(opaque, entry);
}

/* The type that "typename" names; NULL with err. */
static const TypeInfo *named_type(json_t *args, const char *what, GError **err)
{
    const char *name = json_string_value(json_object_get(args, "typename"));
    const TypeInfo *type = type_find(name);

    if (!type) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_FOUND, "%s '%s' not found", what, name);
    }
    return type;
}

static json_t *run_device_list_properties(Machine *m, json_t *args, GError **err)
{
    const TypeInfo *type = named_type(args, "Device", err);
    json_t *list;

    if (!type) {
        return NULL;
    }
    if (!type_is_a(type, &device_type) || type->abstract) {
        error_set(err, "Parameter 'typename' expects a non-abstract device type");
        return NULL;
    }
    list = json_array();
    type_property_foreach(type, add_property, list);
    return list;
}

static json_t *run_qom_list_properties(Machine *m, json_t *args, GError **err)
{
    const TypeInfo *type = named_type(args, "Class", err);
    json_t *list;

    if (!type) {
        return NULL;
    }
    list = json_array();
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", "type", "type", "string"));
    type_property_foreach(type, add_property, list);
    return list;
}

const QmpCommand qmp_introspect_commands[] = {
    {.name = "device-list-properties",
     .help = "the properties of a device type",
     .args = {{"typename", QMP_ARG_STR, false}},
     .run = run_device_list_properties,
     .ret = "[ObjectPropertyInfo]"},
    {.name = "qom-list-properties",
     .help = "the properties of a type",
     .args = {{"typename", QMP_ARG_STR, false}},
     .run = run_qom_list_properties,
     .ret = "[ObjectPropertyInfo]"},
    {.name = "query-cpu-definitions",
     .help = "CPU models",
     .run = run_query_cpu_definitions,
     .ret = "[CpuDefinitionInfo]"},
    {.name = "query-machines",
     .help = "machines that -M takes",
     .run = run_query_machines,
     .ret = "[MachineInfo]"},
    {0},
};
