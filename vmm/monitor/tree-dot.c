/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The composition tree as a graph for Graphviz: solid edges lead from parents to children, dashed
 * ones from buses to the devices that are plugged into them.
 */
#include "hw/core/device.h"
#include "vmm/monitor/qmp-command.h"

/* Names may come from users. */
static void put_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            g_string_append_c(out, '\\');
        }
        g_string_append_c(out, *text);
    }
    g_string_append_c(out, '"');
}

static void put_edge(GString *out, Object *from, Object *to, const char *attributes)
{
    g_autofree char *a = object_path(from), *b = object_path(to);

    g_string_append(out, "  ");
    put_quoted(out, a);
    g_string_append(out, " -> ");
    put_quoted(out, b);
    g_string_append_printf(out, "%s;\n", attributes);
}

static bool put_object(Object *obj, void *opaque)
{
    GString *out = opaque;
    g_autofree char *path = object_path(obj);
    g_autofree char *label =
        g_strdup_printf("%s: %s", obj->name ? obj->name : "/", object_type_name(obj));
    bool bus = object_is_a(obj, &bus_type);

    g_string_append(out, "  ");
    put_quoted(out, path);
    g_string_append(out, " [label=");
    put_quoted(out, label);
    g_string_append_printf(out, ", shape=%s];\n",
                           bus                              ? "ellipse"
                           : object_is_a(obj, &device_type) ? "box"
                                                            : "plain");
    if (obj->parent) {
        put_edge(out, obj->parent, obj, "");
    }
    if (object_is_a(obj, &device_type) && DEVICE(obj)->bus) {
        Object *on = OBJECT(DEVICE(obj)->bus);
        g_autofree char *place = object_path(on);

        if (place && on != obj->parent) {
            put_edge(out, on, obj, " [style=dashed]");
        }
    }
    return true;
}

char *tree_dot(Object *root)
{
    GString *out = g_string_new("digraph aerostat {\n  rankdir=LR;\n");

    object_foreach(root, put_object, out);
    g_string_append(out, "}\n");
    return g_string_free(out, FALSE);
}

static json_t *run_dump_tree(Machine *m, json_t *args, GError **err)
{
    g_autofree char *text = tree_dot(m->platform.root);

    return json_string(text);
}

const QmpCommand qmp_tree_commands[] = {
    {.name = "x-dump-tree",
     .help = "the composition tree and the buses, as a graph for Graphviz",
     .run = run_dump_tree,
     .ret = "str"},
    {0},
};
