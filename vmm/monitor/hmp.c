/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The human monitor behind Ctrl-a c and -monitor: commands, completion of their names, and the
 * stream. Most are made of QMP commands. How a line is typed is in hmp-edit.c.
 */
#include <stdio.h>
#include <string.h>

#include "qom/property.h"
#include "vmm/monitor/hmp-edit.h"
#include "vmm/monitor/hmp-internal.h"

struct HmpMonitor {
    Monitor base;
    HmpEdit *edit; /* NULL: the line comes by QMP */
    unsigned cpu;
    bool quit;    /* asked for: no more prompts */
    GString *out; /* what is printed, for a command of QMP; NULL: it goes to the stream */
};

void hmp_print(HmpMonitor *mon, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (mon->out) {
        g_string_append(mon->out, text);
    } else {
        chardev_write(mon->base.stream, text, strlen(text));
    }
}

Machine *hmp_machine(HmpMonitor *mon)
{
    return mon->base.machine;
}

unsigned hmp_cpu(const HmpMonitor *mon)
{
    return mon->cpu;
}

void hmp_choose_cpu(HmpMonitor *mon, unsigned cpu)
{
    mon->cpu = cpu;
}

json_t *hmp_qmp(HmpMonitor *mon, const char *command, json_t *args)
{
    g_autoptr(GError) err = NULL;
    json_t *result = qmp_execute(mon->base.machine, command, args, &err);

    json_decref(args);
    if (!result) {
        hmp_print(mon, "Error: %s\r\n", err->message);
    }
    return result;
}

static void run_plain(HmpMonitor *mon, const char *command)
{
    json_decref(hmp_qmp(mon, command, NULL));
}

static void hmp_cont(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "cont");
}

static void hmp_stop(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "stop");
}

static void hmp_quit(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "quit");
    mon->quit = true;
}

static void hmp_reset(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "system_reset");
}

static void hmp_powerdown(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "system_powerdown");
}

static void hmp_balloon(HmpMonitor *mon, const char *arg)
{
    g_autoptr(GError) err = NULL;
    uint64_t bytes;

    if (!parse_size(arg, 1024 * 1024, &bytes, &err)) {
        hmp_print(mon, "Error: balloon: give the memory that the guest shall have, in MiB\r\n");
        return;
    }
    json_decref(
        hmp_qmp(mon, "balloon", json_pack("{s:I}", "value", (json_int_t)MIN(bytes, INT64_MAX))));
}

static void change_hostfwd(HmpMonitor *mon, const char *arg, bool add)
{
    g_autoptr(GError) err = NULL;

    if (!qmp_hostfwd(mon->base.machine, arg, add, &err)) {
        hmp_print(mon, "Error: %s\r\n", err->message);
    }
}

static void hmp_hostfwd_add(HmpMonitor *mon, const char *arg)
{
    change_hostfwd(mon, arg, true);
}

static void hmp_hostfwd_remove(HmpMonitor *mon, const char *arg)
{
    change_hostfwd(mon, arg, false);
}

static void hmp_set_link(HmpMonitor *mon, const char *arg)
{
    const char *space = strrchr(arg, ' ');
    g_autofree char *name = space ? g_strstrip(g_strndup(arg, (gsize)(space - arg))) : NULL;
    bool up;

    if (!space || !parse_bool(space + 1, &up, NULL)) {
        hmp_print(mon, "Error: set_link: give a name and on or off\r\n");
        return;
    }
    json_decref(hmp_qmp(mon, "set_link", json_pack("{s:s, s:b}", "name", name, "up", up)));
}

static void hmp_nmi(HmpMonitor *mon, const char *arg)
{
    run_plain(mon, "inject-nmi");
}

/* With QEMU's parameters of a migration. */
static void hmp_announce_self(HmpMonitor *mon, const char *arg)
{
    g_auto(GStrv) words = g_strsplit_set(arg, " \t", -1);
    json_t *args =
        json_pack("{s:i, s:i, s:i, s:i}", "initial", 50, "max", 550, "rounds", 5, "step", 100);
    json_t *list = json_array();

    if (words[0] && words[0][0]) {
        g_auto(GStrv) names = g_strsplit(words[0], ",", -1);

        for (char **name = names; *name; name++) {
            json_array_append_new(list, json_string(*name));
        }
        json_object_set(args, "interfaces", list);
        if (words[1]) {
            json_object_set_new(args, "id", json_string(words[1]));
        }
    }
    json_decref(list);
    json_decref(hmp_qmp(mon, "announce-self", args));
}

static void hmp_help(HmpMonitor *mon, const char *arg);

/* clang-format off */
static const HmpCommand commands[] = {
    {"announce_self", "[CARD,... [ID]]", "let network cards tell where they are",
     hmp_announce_self},
    {"balloon", "MB", "set the memory that the guest shall have", hmp_balloon},
    {"chardev-add", "KIND,id=ID[,name=value,...]", "make a character stream, as after -chardev; 'help' lists kinds", hmp_chardev_add},
    {"chardev-remove", "ID", "remove a character stream that is not in use", hmp_chardev_remove},
    {"cont", "", "let the vCPUs run", hmp_cont},
    {"c", NULL, NULL, hmp_cont},
    {"cpu", "VCPU", "choose the vCPU that x and 'info registers' are about; at first 0", hmp_set_cpu},
    {"device_add", "TYPE[,name=value,...]", "add a device; 'help' lists types, TYPE,help properties", hmp_device_add},
    {"device_del", "ID", "remove a device", hmp_device_del},
    {"drive_add", "0 file=FILE,if=none,id=ID[,format=raw][,readonly=on]", "open a disk image for a device_add that names its id", hmp_drive_add},
    {"drive_del", "ID", "close a disk image that no device uses", hmp_drive_del},
    {"dump-guest-memory", "[-d] FILE [BEGIN LENGTH]", "write guest memory into an ELF core; -d: in the background", hmp_dump_guest_memory},
    {"gdbserver", "[STREAM]", "serve gdb on a stream as of -gdb (default tcp::1234); none: no longer", hmp_gdbserver},
    {"help", "[COMMAND]", "this text, or that about a command; the tabulator key completes, arrows fetch lines back", hmp_help},
    {"?", NULL, NULL, hmp_help},
    {"hostfwd_add", "[NETDEV] tcp|udp:[HOST]:PORT-[GUEST]:PORT", "forward a port of the host to the guest", hmp_hostfwd_add},
    {"hostfwd_remove", "[NETDEV] tcp|udp:[HOST]:PORT", "forward it no longer", hmp_hostfwd_remove},
    {"info", "[WHAT]", "show something; alone: what there is to show", hmp_info},
    {"netdev_add", "TYPE,id=ID[,name=value,...]", "make a network backend", hmp_netdev_add},
    {"netdev_del", "ID", "delete a network backend", hmp_netdev_del},
    {"nmi", "", "a non-maskable interrupt for all vCPUs", hmp_nmi},
    {"object_add", "TYPE,id=ID[,name=value,...]", "make an object, as after -object", hmp_object_add},
    {"object_del", "ID", "delete an object that is not in use", hmp_object_del},
    {"qom-get", "PATH PROPERTY", "read a property of an object", hmp_qom_get},
    {"qom-list", "[PATH]", "children and properties of an object", hmp_qom_list},
    {"qom-set", "PATH PROPERTY VALUE", "write a property of an object", hmp_qom_set},
    {"quit", "", "end the VM at once", hmp_quit},
    {"q", NULL, NULL, hmp_quit},
    {"set_link", "NAME on|off", "plug or pull a network card's cable", hmp_set_link},
    {"stop", "", "pause the vCPUs", hmp_stop},
    {"s", NULL, NULL, hmp_stop},
    {"system_powerdown", "", "press the power button", hmp_powerdown},
    {"system_reset", "", "press the reset button", hmp_reset},
    {"x", "[/FMT] ADDR", "virtual memory of the chosen vCPU; FMT is a count, one of xduoc and one of bhwg", hmp_x},
    {"xp", "[/FMT] ADDR", "physical memory, likewise", hmp_xp},
    {0},
};
/* clang-format on */

static void show_help(HmpMonitor *mon, const HmpCommand *table, const char *before,
                      const char *name)
{
    for (const HmpCommand *c = table; c->name; c++) {
        if (c->help && (!*name || !strcmp(c->name, name))) {
            hmp_print(mon, "%s%s %s -- %s\r\n", before, c->name, c->params, c->help);
        }
    }
}

/* "help", "help COMMAND", "help info [WHAT]". */
static void hmp_help(HmpMonitor *mon, const char *arg)
{
    bool info = g_str_has_prefix(arg, "info") && (arg[4] == '\0' || arg[4] == ' ');

    if (info) {
        show_help(mon, hmp_info_commands, "info ", arg + 4 + strspn(arg + 4, " "));
    } else {
        show_help(mon, commands, "", arg);
    }
}

/* Cuts it into pieces. */
static void run_line(HmpMonitor *mon, char *line)
{
    char *arg;

    g_strstrip(line);
    arg = line + strcspn(line, " \t");

    if (*arg) {
        *arg++ = '\0';
        arg = g_strchug(arg);
    }
    for (const HmpCommand *c = commands; *line && c->name; c++) {
        if (!strcmp(c->name, line)) {
            c->run(mon, arg);
            return;
        }
    }
    if (*line) {
        hmp_print(mon, "unknown command: '%s'; 'help' lists all\r\n", line);
    }
}

/* --- completion --- */

static GPtrArray *names_that_begin(const HmpCommand *table, const char *word)
{
    GPtrArray *names = g_ptr_array_new();

    for (const HmpCommand *c = table; c->name; c++) {
        if (c->help && g_str_has_prefix(c->name, word)) {
            g_ptr_array_add(names, (void *)c->name);
        }
    }
    return names;
}

/* What they all begin with, beyond what is there; false: nothing. */
static bool type_rest(HmpMonitor *mon, const GPtrArray *names, size_t there)
{
    const char *first = names->pdata[0];
    size_t len = strlen(first);
    g_autofree char *rest = NULL;

    for (unsigned i = 1; i < names->len; i++) {
        const char *other = names->pdata[i];

        for (size_t n = there; n < len; n++) {
            if (other[n] != first[n]) {
                len = n;
            }
        }
    }
    rest = g_strdup_printf("%.*s%s", (int)(len - there), first + there, names->len == 1 ? " " : "");
    hmp_edit_insert(mon->edit, rest);
    return *rest != '\0';
}

static void list_names(HmpMonitor *mon, const GPtrArray *names)
{
    hmp_print(mon, "\r\n");
    for (unsigned i = 0; i < names->len; i++) {
        hmp_print(mon, "%s%s", i ? "  " : "", (char *)names->pdata[i]);
    }
    hmp_print(mon, "\r\n");
    hmp_edit_redraw(mon->edit);
}

/* The first word, or the one after "info" or "help". */
static void complete(void *opaque)
{
    HmpMonitor *mon = opaque;
    const HmpCommand *table = commands;
    g_autofree char *line = hmp_edit_before(mon->edit);
    const char *word = line;
    GPtrArray *names;

    if (g_str_has_prefix(word, "help ")) {
        word += strlen("help ");
    }
    if (g_str_has_prefix(word, "info ")) {
        word += strlen("info ");
        table = hmp_info_commands;
    }
    names = names_that_begin(table, word);
    if (names->len > 0 && !type_rest(mon, names, strlen(word)) && names->len > 1) {
        list_names(mon, names);
    }
    g_ptr_array_unref(names);
}

/* --- the line editor --- */

static void print_edited(void *opaque, const char *bytes, size_t len)
{
    HmpMonitor *mon = opaque;

    chardev_write(mon->base.stream, bytes, len);
}

static void prompt(void *opaque)
{
    hmp_print(opaque, "(aerostat) ");
}

static void take_line(void *opaque, char *line)
{
    HmpMonitor *mon = opaque;

    run_line(mon, line);
    if (!mon->quit) {
        prompt(mon);
    }
}

static const HmpEditOps edit_ops = {print_edited, prompt, take_line, complete};

static size_t can_receive(void *opaque)
{
    return 256;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    HmpMonitor *mon = opaque;

    hmp_edit_feed(mon->edit, buf, len);
}

/* --- a line that comes by QMP --- */

static json_t *run_human_monitor_command(Machine *m, json_t *args, GError **err)
{
    const char *line = json_string_value(json_object_get(args, "command-line"));
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *copy = NULL;
    json_int_t cpu = json_integer_value(json_object_get(args, "cpu-index"));
    HmpMonitor mon = {.base.machine = m, .out = out, .cpu = (unsigned)cpu};

    if (cpu != 0 && (cpu < 0 || cpu >= m->accel->nr_vcpus)) {
        error_set(err, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    if (strlen(line) >= HMP_LINE_MAX) {
        error_set(err, "the command line is longer than %d bytes", HMP_LINE_MAX - 1);
        return NULL;
    }
    copy = g_strdup(line);
    run_line(&mon, copy);
    return json_string(out->str);
}

const QmpCommand qmp_hmp_commands[] = {
    {.name = "human-monitor-command",
     .help = "a line for the human monitor; returns what it prints",
     .args = {{"command-line", QMP_ARG_STR, false}, {"cpu-index", QMP_ARG_INT, true}},
     .run = run_human_monitor_command,
     .ret = "str"},
    {0},
};

/* --- the stream --- */

/* On a multiplexer the monitor greets when the keyboard is switched to it, elsewhere when somebody
 * connects. */
static bool is_mux_port(Chardev *stream)
{
    return !strcmp(object_type_name(stream), "chardev-mux-port");
}

static void stream_event(void *opaque, ChardevEvent event)
{
    HmpMonitor *mon = opaque;

    if (event == CHARDEV_OPENED || event == CHARDEV_MUX_IN) {
        hmp_edit_reset(mon->edit);
        if (event == CHARDEV_MUX_IN || !is_mux_port(mon->base.stream)) {
            hmp_print(mon, "Aerostat %s monitor - type 'help' for more information\r\n",
                      AEROSTAT_VERSION);
            prompt(mon);
        }
    }
}

static void hmp_free(Monitor *base)
{
    HmpMonitor *mon = (HmpMonitor *)base;

    chardev_set_frontend(base->stream, NULL);
    hmp_edit_free(mon->edit);
    g_free(mon);
}

Monitor *monitor_new_hmp(Machine *m, Chardev *stream)
{
    HmpMonitor *mon = g_new0(HmpMonitor, 1);
    ChardevFrontend fe = {can_receive, receive, stream_event, mon};

    mon->base = (Monitor){m, stream, hmp_free};
    mon->edit = hmp_edit_new(&edit_ops, mon);
    chardev_set_frontend(stream, &fe);
    return &mon->base;
}
