/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aerostat(1) and aerostat-config(5), see man.h.
 */
#include "vmm/cli/man.h"

#include <stdio.h>
#include <string.h>

#include "backends/block.h"
#include "backends/net.h"
#include "backends/user-creatable.h"
#include "qom/property.h"
#include "vmm/cli/help.h"
#include "vmm/cli/readconfig.h"
#include "vmm/machine/machine.h"

/* --- roff --- */

/* Backslashes and dashes are characters of their own, and a line that begins with a dot is a
 * request. */
static void put_escaped(const char *text)
{
    if (*text == '.' || *text == '\'') {
        printf("\\&");
    }
    for (; *text; text++) {
        switch (*text) {
        case '\\':
            printf("\\e");
            break;
        case '-':
            printf("\\-");
            break;
        case '"':
            printf("\\(dq");
            break;
        case '\'':
            printf("\\(aq");
            break;
        case '^':
            printf("\\(ha");
            break;
        case '~':
            printf("\\(ti");
            break;
        default:
            putchar(*text);
        }
    }
}

void man_text(const char *text)
{
    put_escaped(text);
    putchar('\n');
}

void man_head(const char *name, const char *section, const char *kind)
{
    printf(".\\\" Made by 'aerostat -dump-man %s'.\n.TH %s %s \"\" \"Aerostat %s\" \"%s\"\n",
           section, name, section, AEROSTAT_VERSION, kind);
}

void man_section(const char *title)
{
    printf(".SH %s\n", title);
}

void man_item(const char *bold, const char *italic)
{
    printf(".TP\n\\fB");
    put_escaped(bold);
    printf("\\fR");
    if (italic && *italic) {
        printf(" \\fI");
        put_escaped(italic);
        printf("\\fR");
    }
    putchar('\n');
}

static void code(const char *const *lines)
{
    printf(".PP\n.RS 4\n.nf\n");
    for (; *lines; lines++) {
        man_text(*lines);
    }
    printf(".fi\n.RE\n");
}

static void paragraph(const char *text)
{
    printf(".PP\n");
    man_text(text);
}

/* --- tables --- */

static void put_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_autofree char *type = property_type_name(prop), *text = help_property(prop);
    g_autofree char *name = g_strconcat(prop->name, "=", NULL);

    if (g_str_has_prefix(prop->name, "x-")) {
        return;
    }
    man_item(name, type);
    if (*text) {
        man_text(text);
    }
}

static void put_type(const char *name, const TypeInfo *type)
{
    printf(".SS ");
    man_text(name);
    if (type->desc) {
        man_text(type->desc);
    }
    type_property_foreach(type, put_property, NULL);
}

static void put_option(const char *name, const char *arg, const char *help, void *opaque)
{
    g_autofree char *dashed = g_strconcat("-", name, NULL);

    if (help) {
        man_item(dashed, arg);
        man_text(help);
    }
}

static void put_name(const char *name, const char *desc)
{
    man_item(name, NULL);
    man_text(desc ?: "");
}

static void put_machines(void)
{
    man_section("MACHINES");
    for (unsigned i = 0; machine_types[i]; i++) {
        put_name(MACHINE_CLASS(type_class(machine_types[i]))->alias, machine_types[i]->desc);
    }
}

/* Calls fn for each type of device that a user can make. */
static void foreach_device(void (*fn)(const char *name, const TypeInfo *type))
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (DEVICE_CLASS(type_class(type))->user_creatable) {
            fn(type->name, type);
        }
    }
}

static void foreach_object(void (*fn)(const char *name, const TypeInfo *type))
{
    g_autoptr(GPtrArray) types = user_creatable_types();

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (!type->interface) {
            fn(type->name, type);
        }
    }
}

static void put_type_name(const char *name, const TypeInfo *type)
{
    put_name(name, type->desc);
}

/* --- aerostat(1) --- */

static void print_examples(void)
{
    static const char *const boot[] = {
        "aerostat -M pc -m 512 -smp 2 -kernel vmlinux -initrd initramfs.cpio \\",
        "    -append \"console=ttyS0\" -device virtio-balloon,id=balloon0 \\",
        "    -nographic -qmp unix:qmp.sock,server=on,wait=off", NULL};
    static const char *const check[] = {"aerostat -check -readconfig vm.cfg",
                                        "aerostat -readconfig vm.cfg -m 1G", NULL};

    man_section("EXAMPLES");
    man_text("A guest with a balloon, its console on the terminal, and a QMP monitor:");
    code(boot);
    paragraph("A config file is looked at, and started with more memory than it says:");
    code(check);
}

static void print_program(void)
{
    man_head("AEROSTAT", "1", "User Commands");
    man_section("NAME");
    printf("aerostat \\- a small KVM\\-based virtual machine monitor\n");
    man_section("SYNOPSIS");
    printf(".B aerostat\n.RI [ option ]...\n");
    man_section("DESCRIPTION");
    man_text("Starts a virtual machine that runs an unmodified Linux kernel. Options, devices, "
             "properties, monitors and config files are spelled as in QEMU. What is given later "
             "wins, and the command line wins over config files.");
    man_section("OPTIONS");
    options_foreach(put_option, NULL);
    put_machines();
    man_section("DEVICES");
    man_text(
        "Types of -device. Their properties are in aerostat-config(5), and printed by "
        "-device TYPE,help. A name such as virtio-balloon stands for the PCI or MMIO device, as "
        "the machine has it.");
    foreach_device(put_type_name);
    man_section("OBJECTS");
    man_text("Types of -object.");
    foreach_object(put_type_name);
    man_section("KEYS");
    man_text(
        "On a multiplexed terminal (-nographic, -serial mon:stdio) Ctrl-a comes before a command: "
        "h shows them, x ends the program, c switches between console and monitor. In the human "
        "monitor the tabulator key completes; up and down (Ctrl-P, Ctrl-N) fetch back one of the "
        "last 64 lines; left, right, Home, End and Delete (Ctrl-B, Ctrl-F, Ctrl-A, Ctrl-E, Ctrl-D) "
        "do what they say; Ctrl-K, Ctrl-U and Ctrl-W erase what is behind the cursor, before it, "
        "and the word before it; Ctrl-C gives the line up. Where Ctrl-a comes before a command, "
        "it is typed twice to mean itself.");
    man_section("EXIT STATUS");
    man_text(
        "0: the guest powered off, somebody quit, or what was asked for was printed. 1: an "
        "option is wrong or something failed, with a line on the standard error that says what; "
        "-check prints one for each fault. Otherwise what the guest gave to isa-debug-exit.");
    print_examples();
    man_section("SEE ALSO");
    printf(".BR aerostat\\-config (5),\n.BR aerostat\\-qmp (7)\n");
}

/* --- aerostat-config(5) --- */

typedef struct {
    const char *option, *help;
} OptionHelp;

static void find_help(const char *name, const char *arg, const char *help, void *opaque)
{
    OptionHelp *h = opaque;

    if (!strcmp(name, h->option)) {
        h->help = help;
    }
}

static void put_group(const char *name, const char *const *keys, const char *needed, bool has_id,
                      void *opaque)
{
    g_autofree char *title = g_strdup_printf("[%s%s]", name, has_id ? " \"ID\"" : "");
    OptionHelp h = {.option = readconfig_group_option(name)};
    g_autofree char *list = g_strjoinv(", ", (char **)keys);
    GString *text = g_string_new(NULL);

    if (h.option) {
        options_foreach(find_help, &h);
        g_string_append_printf(text, "Stands for -%s: %s. ", h.option, h.help ?: "");
    } else {
        g_string_append(text, needed
                                  ? "Another file stands in the place of this group; its path is "
                                    "relative to this file. "
                                  : "Each key is an option of aerostat(1); one without argument "
                                    "is on or off. The group may come again. ");
    }
    g_string_append_printf(text, *list ? "Keys: %s." : "Keys: those of the option%s.",
                           *list ? list : "");
    if (needed) {
        g_string_append_printf(text, " %s must be there.", needed);
    }
    man_item(title, NULL);
    man_text(text->str);
    g_string_free(text, TRUE);
}

static void put_types(const char *title, const TypeInfo *const *types, const char *prefix,
                      const char *suffix)
{
    man_section(title);
    for (unsigned i = 0; types[i]; i++) {
        const char *name =
            types[i]->name + (g_str_has_prefix(types[i]->name, prefix) ? strlen(prefix) : 0);
        size_t len = strlen(name) - (g_str_has_suffix(name, suffix) ? strlen(suffix) : 0);
        g_autofree char *cut = g_strndup(name, len);

        put_type(cut, types[i]);
    }
}

static void print_config(void)
{
    static const char *const example[] = {"[machine]",
                                          "  type = \"pc\"",
                                          "  kernel = \"vmlinux\"",
                                          "[memory]",
                                          "  size = \"512M\"",
                                          "[device \"balloon0\"]",
                                          "  driver = \"virtio-balloon\"",
                                          "  deflate-on-oom = \"on\"",
                                          "[launch]",
                                          "  qmp = \"unix:qmp.sock,server=on,wait=off\"",
                                          NULL};

    man_head("AEROSTAT\\-CONFIG", "5", "File Formats");
    man_section("NAME");
    printf("aerostat\\-config \\- config files of the virtual machine monitor aerostat\n");
    man_section("DESCRIPTION");
    man_text(
        "Files of aerostat -readconfig and -config are in QEMU's format: groups of key = "
        "\"value\", and comments after #. A value cannot hold a double quote. Later files win "
        "over earlier ones, and the command line over all. The same groups and keys make a JSON "
        "object, which both options take, too; -dump-schema prints its schema. -check finds "
        "every fault in a file, and -dump-config prints what it comes to, with all defaults.");
    code(example);
    man_section("GROUPS");
    readconfig_foreach_group(put_group, NULL);
    put_types("MACHINES", machine_types, "", "-machine");
    put_types("ACCELERATORS", accel_types, "", "-accel");
    man_section("DEVICES");
    foreach_device(put_type);
    man_section("OBJECTS");
    foreach_object(put_type);
    put_types("NETWORKS", net_types, "netdev-", "");
    put_types("BLOCK DRIVERS", block_types, "block-", "");
    man_section("SEE ALSO");
    printf(".BR aerostat (1),\n.BR aerostat\\-qmp (7)\n");
}

bool options_take_dump_man(Options *o, const char *section, GError **err)
{
    static const struct {
        const char *section;
        void (*print)(void);
    } pages[] = {{"1", print_program}, {"5", print_config}, {"7", man_print_qmp}};

    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (!strcmp(section, pages[i].section)) {
            pages[i].print();
            o->handled = true;
            return true;
        }
    }
    return error_set(err,
                     "there is no such page: 1 is aerostat, 5 aerostat-config, 7 aerostat-qmp");
}
