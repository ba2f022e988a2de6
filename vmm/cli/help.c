/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Help texts that are made from the type and property tables, so that they cannot disagree with the
 * code.
 */
#include "vmm/cli/help.h"

#include <stdio.h>
#include <string.h>

#include "backends/user-creatable.h"

void help_machines(void)
{
    printf("Supported machines are:\n");
    for (unsigned i = 0; machine_types[i]; i++) {
        printf("%-20s %s%s\n", MACHINE_CLASS(type_class(machine_types[i]))->alias,
               machine_types[i]->desc, i == 0 ? " (default)" : "");
    }
}

static gint by_category(gconstpointer a, gconstpointer b)
{
    const TypeInfo *ta = *(const TypeInfo *const *)a, *tb = *(const TypeInfo *const *)b;
    int order =
        g_strcmp0(DEVICE_CLASS(type_class(ta))->category, DEVICE_CLASS(type_class(tb))->category);

    return order ? order : strcmp(ta->name, tb->name);
}

static void print_device_line(const TypeInfo *type)
{
    const DeviceClass *dc = DEVICE_CLASS(type_class(type));
    size_t len = strlen(type->name);

    printf("name \"%s\"", type->name);
    if (dc->bus_type) {
        printf(", bus %s", dc->bus_type->name);
    }
    if (g_str_has_prefix(type->name, "virtio-") && g_str_has_suffix(type->name, "-pci")) {
        printf(", alias \"%.*s\"", (int)(len - strlen("-pci")), type->name);
    }
    if (type->desc) {
        printf(", desc \"%s\"", type->desc);
    }
    printf("\n");
}

void help_devices(void)
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);
    const char *category = NULL;

    g_ptr_array_sort(types, by_category);
    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];
        const DeviceClass *dc = DEVICE_CLASS(type_class(type));

        if (!dc->user_creatable) {
            continue;
        }
        if (!category || g_strcmp0(category, dc->category) != 0) {
            printf("%s%s devices:\n", category ? "\n" : "", dc->category ? dc->category : "other");
            category = dc->category ? dc->category : "other";
        }
        print_device_line(type);
    }
}

void help_objects(void)
{
    g_autoptr(GPtrArray) types = user_creatable_types();

    printf("List of user creatable objects:\n");
    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (!type->interface) {
            printf("  %-20s %s\n", type->name, type->desc ? type->desc : "");
        }
    }
}

static void append_range(GString *line, const Property *prop)
{
    switch (prop->kind) {
    case PROP_KIND_UINT8:
    case PROP_KIND_UINT16:
    case PROP_KIND_UINT32:
    case PROP_KIND_UINT64:
        if (prop->min != 0 || prop->max < UINT32_MAX) {
            g_string_append_printf(line, ", %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, prop->min,
                                   prop->max);
        }
        break;
    case PROP_KIND_INT32:
        g_string_append_printf(line, ", %d to %d", (int)prop->min, (int)prop->max);
        break;
    case PROP_KIND_ENUM:
        for (const char *const *word = prop->words; *word; word++) {
            g_string_append_printf(line, "%s%s", word == prop->words ? ", one of " : "/", *word);
        }
        break;
    default:
        break;
    }
}

char *help_property(const Property *prop)
{
    g_autofree char *def = property_default_string(prop);
    GString *line = g_string_new(prop->help);

    if (def) {
        g_string_append_printf(line, " (default: %s", def);
        append_range(line, prop);
        g_string_append_c(line, ')');
    }
    if (prop->flags & PROP_RUNTIME) {
        g_string_append(line, " [can be changed at run time]");
    } else if (prop->flags & PROP_READONLY) {
        g_string_append(line, " [read only]");
    }
    return g_string_free(line, FALSE);
}

char *help_property_line(const Property *prop)
{
    g_autofree char *type = property_type_name(prop), *text = help_property(prop);
    g_autofree char *left = g_strdup_printf("%s=<%s>", prop->name, type);

    return g_strdup_printf("  %-38s - %s", left, text);
}

static void collect_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_ptr_array_add(opaque, help_property_line(prop));
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void help_type(const TypeInfo *type)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    printf("%s options:\n", type->name);
    type_property_foreach(type, collect_property, lines);
    g_ptr_array_sort(lines, by_text);
    for (unsigned i = 0; i < lines->len; i++) {
        puts(lines->pdata[i]);
    }
}
