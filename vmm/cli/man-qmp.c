/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aerostat-qmp(7), from the tables of commands, types and events.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cli/man.h"
#include "vmm/monitor/qmp-command.h"
#include "vmm/monitor/qmp-schema.h"

static const char *arg_type(QmpArgType type)
{
    static const char *const names[] = {
        [QMP_ARG_STR] = "str", [QMP_ARG_INT] = "int",    [QMP_ARG_BOOL] = "bool",
        [QMP_ARG_ANY] = "any", [QMP_ARG_LIST] = "[any]", [QMP_ARG_OBJECT] = "object"};

    return names[type];
}

static void put_command(const QmpCommand *c, void *opaque)
{
    GString *text = g_string_new(NULL);

    for (const QmpArg *a = c->args; a->type != QMP_ARG_END; a++) {
        g_autofree char *named = qmp_arg_type(c, a->name);

        g_string_append_printf(text, "%s%s%s: %s%s", text->len ? ", " : "", a->optional ? "[" : "",
                               a->name, named ?: arg_type(a->type), a->optional ? "]" : "");
    }
    if (c->open) {
        g_string_append(text, text->len ? ", ..." : "...");
    }
    man_item(c->name, text->str);
    g_string_printf(text, "%s.", c->help);
    if (c->ret) {
        g_string_append_printf(text, " Returns %s.", c->ret);
    }
    man_text(text->str);
    g_string_free(text, TRUE);
}

/* "*x:T" is optional. */
static char *members(const char *text)
{
    g_auto(GStrv) items = g_strsplit(*text == '=' ? text + 1 : text, ",", -1);
    GString *out = g_string_new(*text == '=' ? "One of: " : NULL);

    for (unsigned i = 0; items[i]; i++) {
        bool optional = items[i][0] == '*';
        g_auto(GStrv) parts = g_strsplit(items[i] + optional, ":", 2);

        g_string_append_printf(out, "%s%s%s%s%s%s", i ? ", " : "", optional ? "[" : "", parts[0],
                               parts[1] ? ": " : "", parts[1] ?: "", optional ? "]" : "");
    }
    g_string_append_c(out, '.');
    return g_string_free(out, FALSE);
}

static void put_types(const QmpType *types)
{
    for (; types->name; types++) {
        g_autofree char *text = types->members ? members(types->members) : g_strdup("No data.");

        man_item(types->name, NULL);
        man_text(text);
    }
}

void man_print_qmp(void)
{
    man_head("AEROSTAT\\-QMP", "7", "Miscellaneous");
    man_section("NAME");
    printf("aerostat\\-qmp \\- the QMP monitor of the virtual machine monitor aerostat\n");
    man_section("DESCRIPTION");
    man_text(
        "A monitor of -qmp or -mon speaks QEMU's protocol: JSON objects, one after the other. It "
        "greets, and takes commands after qmp_capabilities:");
    printf(".PP\n.RS 4\n.nf\n");
    man_text("{\"execute\": \"balloon\", \"arguments\": {\"value\": 268435456}, \"id\": 1}");
    man_text("{\"return\": {}, \"id\": 1}");
    printf(".fi\n.RE\n.PP\n");
    man_text(
        "An answer has the id of its command; events come between answers. In what follows, [x: T] "
        "is optional and [T] is a list of T. query-qmp-schema tells the same to programs, and the "
        "tool aerostat-qmp sends commands from a shell.");
    man_section("COMMANDS");
    qmp_foreach_row(put_command, NULL);
    man_section("EVENTS");
    put_types(qmp_events);
    man_section("TYPES");
    put_types(qmp_types);
    man_section("SEE ALSO");
    printf(".BR aerostat (1),\n.BR aerostat\\-config (5)\n");
}
