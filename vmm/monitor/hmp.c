/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The human monitor behind Ctrl-a c and -monitor: a line editor of the simplest kind and a few
 * commands, each made of QMP commands. Completion, history and the rest of QEMU's commands are left
 * out for now.
 */
#include <stdio.h>
#include <string.h>

#include "hw/virtio/devices.h"
#include "qom/property.h"
#include "vmm/monitor/monitor-internal.h"
#include "vmm/monitor/qmp-command.h"

enum { HMP_LINE_MAX = 1024 };

typedef struct {
    Monitor base;
    char line[HMP_LINE_MAX];
    size_t len;
    char last;    /* previous byte, to take \r\n as one */
    bool quit;    /* asked for: no more prompts */
    GString *out; /* what is printed, for a command of QMP; NULL: it goes to the stream */
} HmpMonitor;

typedef struct {
    const char *name, *params, *help;
    void (*run)(HmpMonitor *mon, const char *arg);
} HmpCommand;

static void print(HmpMonitor *mon, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void print(HmpMonitor *mon, const char *fmt, ...)
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

/* Runs a QMP command; args is stolen. Prints an error and returns NULL when it failed. */
static json_t *qmp(HmpMonitor *mon, const char *command, json_t *args)
{
    g_autoptr(GError) err = NULL;
    json_t *result = qmp_execute(mon->base.machine, command, args, &err);

    json_decref(args);
    if (!result) {
        print(mon, "Error: %s\r\n", err->message);
    }
    return result;
}

static void run_plain(HmpMonitor *mon, const char *command)
{
    json_decref(qmp(mon, command, NULL));
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
        print(mon, "Error: balloon: give the memory that the guest shall have, in MiB\r\n");
        return;
    }
    json_decref(
        qmp(mon, "balloon", json_pack("{s:I}", "value", (json_int_t)MIN(bytes, INT64_MAX))));
}

static double ledger_mib(json_t *ledger, const char *name)
{
    return (double)json_integer_value(json_object_get(ledger, name)) / (1024 * 1024);
}

/* The first line is QEMU's. */
static void hmp_info_balloon(HmpMonitor *mon)
{
    json_t *l = qmp(mon, "x-query-balloon-ledger", json_pack("{s:b}", "check", 1));

    if (!l) {
        return;
    }
    print(mon, "balloon: actual=%" JSON_INTEGER_FORMAT "\r\n",
          json_integer_value(json_object_get(l, "actual")) / (1024 * 1024));
    print(mon, "asked for         %10.1f MiB\r\n", ledger_mib(l, "requested"));
    print(mon, "given by guest    %10.1f MiB\r\n", ledger_mib(l, "given"));
    print(mon, "  released        %10.1f MiB, of it in use again %.1f MiB\r\n",
          ledger_mib(l, "released"), ledger_mib(l, "faulted-again"));
    print(mon, "  held back       %10.1f MiB, in incomplete huge pages or refused by the host\r\n",
          ledger_mib(l, "held-back"));
    print(mon, "reported free     %10.1f MiB so far, released %.1f MiB\r\n",
          ledger_mib(l, "reported"), ledger_mib(l, "report-returned"));
    print(mon,
          "ignored           %10.1f MiB so far: not RAM, in use, given twice, or not given\r\n",
          ledger_mib(l, "inflate-outside") + ledger_mib(l, "inflate-in-use") +
              ledger_mib(l, "repeated") + ledger_mib(l, "deflate-not-given"));
    print(mon, "discards          %10" JSON_INTEGER_FORMAT " in %.1f ms\r\n",
          json_integer_value(json_object_get(l, "discards")),
          (double)json_integer_value(json_object_get(l, "time-ns")) / 1e6);
    json_decref(l);
}

static json_int_t policy_mib(Object *policy, const char *name)
{
    json_t *value = property_get_json(policy, name, NULL);
    json_int_t bytes = json_integer_value(value);

    json_decref(value);
    return bytes / (1024 * 1024);
}

/* What is not known is left out. */
static void print_status(HmpMonitor *mon, json_t *status, const char *label, const char *name,
                         const char *unit)
{
    json_t *value = json_object_get(status, name);

    if (value) {
        print(mon, "%-17s %10" JSON_INTEGER_FORMAT " %s\r\n", label,
              *unit == 'M' ? json_integer_value(value) / (1024 * 1024) : json_integer_value(value),
              unit);
    }
}

static void print_policy(HmpMonitor *mon, Object *policy)
{
    json_t *s = property_get_json(policy, "status", NULL);
    const char *reason = json_string_value(json_object_get(s, "reason"));

    print(mon, "%s: %s\r\n", policy->name, json_string_value(json_object_get(s, "state")));
    if (reason) {
        print(mon, "last decision     %s, %s: %s\r\n",
              json_string_value(json_object_get(s, "action")), reason,
              json_string_value(json_object_get(s, "explanation")));
    }
    print(mon, "bounds            %10" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT " MiB\r\n",
          policy_mib(policy, "floor"), policy_mib(policy, "ceiling"));
    print_status(mon, s, "guest shall have", "target", "MiB");
    print_status(mon, s, "guest has", "actual", "MiB");
    print_status(mon, s, "guest uses", "used", "MiB");
    if (json_object_get(s, "host")) {
        print(mon, "host pressure     %10s, %s\r\n", json_string_value(json_object_get(s, "host")),
              json_is_true(json_object_get(s, "trigger")) ? "the kernel calls" : "looked at");
    }
    print_status(mon, s, "stalled, some", "some-us", "us");
    print_status(mon, s, "stalled, all", "full-us", "us");
    print_status(mon, s, "cgroup uses", "cgroup-used", "MiB");
    print_status(mon, s, "cgroup's limit", "cgroup-limit", "MiB");
    print(mon,
          "decisions         %10" JSON_INTEGER_FORMAT ", inflated %" JSON_INTEGER_FORMAT
          " times, deflated %" JSON_INTEGER_FORMAT "\r\n",
          json_integer_value(json_object_get(s, "decisions")),
          json_integer_value(json_object_get(s, "inflations")),
          json_integer_value(json_object_get(s, "deflations")));
    json_decref(s);
}

static void hmp_info_balloon_policy(HmpMonitor *mon)
{
    const Object *objects = object_container(mon->base.machine->platform.root, "objects");
    bool any = false;

    for (unsigned i = 0; objects->children && i < objects->children->len; i++) {
        if (object_is_a(objects->children->pdata[i], &balloon_policy_type)) {
            print_policy(mon, objects->children->pdata[i]);
            any = true;
        }
    }
    if (!any) {
        print(mon, "no balloon-policy; -object balloon-policy,id=ID,device=BALLOON makes one\r\n");
    }
}

static void hmp_info(HmpMonitor *mon, const char *arg)
{
    json_t *r;

    if (!strcmp(arg, "status")) {
        if ((r = qmp(mon, "query-status", NULL))) {
            bool running = json_is_true(json_object_get(r, "running"));

            print(
                mon, "VM status: %s%s%s%s\r\n", running ? "running" : "paused", running ? "" : " (",
                running ? "" : json_string_value(json_object_get(r, "status")), running ? "" : ")");
            json_decref(r);
        }
    } else if (!strcmp(arg, "balloon")) {
        hmp_info_balloon(mon);
    } else if (!strcmp(arg, "balloon-policy")) {
        hmp_info_balloon_policy(mon);
    } else if (!strcmp(arg, "network")) {
        g_autofree char *text = qmp_info_network(mon->base.machine);

        print(mon, "%s", text);
    } else if (!strcmp(arg, "version")) {
        print(mon, "%s\r\n", AEROSTAT_VERSION);
    } else if (!strcmp(arg, "name")) {
        print(mon, "%s\r\n", mon->base.machine->name ? mon->base.machine->name : "");
    } else {
        print(mon, "info balloon|balloon-policy|name|network|status|version\r\n");
    }
}

static void change_hostfwd(HmpMonitor *mon, const char *arg, bool add)
{
    g_autoptr(GError) err = NULL;

    if (!qmp_hostfwd(mon->base.machine, arg, add, &err)) {
        print(mon, "Error: %s\r\n", err->message);
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

static void hmp_netdev_del(HmpMonitor *mon, const char *arg)
{
    json_decref(qmp(mon, "netdev_del", json_pack("{s:s}", "id", arg)));
}

static void hmp_set_link(HmpMonitor *mon, const char *arg)
{
    const char *space = strrchr(arg, ' ');
    g_autofree char *name = space ? g_strstrip(g_strndup(arg, (gsize)(space - arg))) : NULL;
    bool up;

    if (!space || !parse_bool(space + 1, &up, NULL)) {
        print(mon, "Error: set_link: give a name and on or off\r\n");
        return;
    }
    json_decref(qmp(mon, "set_link", json_pack("{s:s, s:b}", "name", name, "up", up)));
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
    json_decref(qmp(mon, "announce-self", args));
}

static void hmp_help(HmpMonitor *mon, const char *arg);

static const HmpCommand commands[] = {
    {"announce_self", "[CARD,... [ID]]", "let network cards tell where they are",
     hmp_announce_self},
    {"balloon", "MB", "set the memory that the guest shall have", hmp_balloon},
    {"cont", "", "let the vCPUs run", hmp_cont},
    {"c", NULL, NULL, hmp_cont},
    {"help", "", "this text", hmp_help},
    {"?", NULL, NULL, hmp_help},
    {"info", "balloon|balloon-policy|name|network|status|version", "show something", hmp_info},
    {"hostfwd_add", "[NETDEV] tcp|udp:[HOST]:PORT-[GUEST]:PORT",
     "forward a port of the host to the guest", hmp_hostfwd_add},
    {"hostfwd_remove", "[NETDEV] tcp|udp:[HOST]:PORT", "forward it no longer", hmp_hostfwd_remove},
    {"netdev_del", "ID", "delete a network backend", hmp_netdev_del},
    {"set_link", "NAME on|off", "plug or pull a network card's cable", hmp_set_link},
    {"quit", "", "end the VM at once", hmp_quit},
    {"q", NULL, NULL, hmp_quit},
    {"stop", "", "pause the vCPUs", hmp_stop},
    {"s", NULL, NULL, hmp_stop},
    {"system_powerdown", "", "press the power button", hmp_powerdown},
    {"system_reset", "", "press the reset button", hmp_reset},
};

static void hmp_help(HmpMonitor *mon, const char *arg)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].help) {
            print(mon, "%s %s -- %s\r\n", commands[i].name, commands[i].params, commands[i].help);
        }
    }
}

static void prompt(HmpMonitor *mon)
{
    print(mon, "(aerostat) ");
}

static void run_line(HmpMonitor *mon)
{
    char *line = g_strstrip(mon->line), *arg = line + strcspn(line, " \t");

    if (*arg) {
        *arg++ = '\0';
        arg = g_strchug(arg);
    }
    for (unsigned i = 0; *line && i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(commands[i].name, line)) {
            commands[i].run(mon, arg);
            return;
        }
    }
    if (*line) {
        print(mon, "unknown command: '%s'; 'help' lists all\r\n", line);
    }
}

static void take_byte(HmpMonitor *mon, uint8_t c)
{
    if (c == '\n' && mon->last == '\r') {
        return;
    }
    if (c == '\r' || c == '\n') {
        print(mon, "\r\n");
        mon->line[mon->len] = '\0';
        mon->len = 0;
        run_line(mon);
        if (!mon->quit) {
            prompt(mon);
        }
    } else if (c == 0x7f || c == '\b') {
        if (mon->len > 0) {
            mon->len--;
            print(mon, "\b \b");
        }
    } else if (c == 0x15 || c == 0x03) { /* Ctrl-u, Ctrl-c: drop the line */
        mon->len = 0;
        print(mon, "\r\n");
        prompt(mon);
    } else if (c >= ' ' && mon->len < HMP_LINE_MAX - 1) {
        mon->line[mon->len++] = c;
        chardev_write(mon->base.stream, &c, 1);
    }
}

static size_t can_receive(void *opaque)
{
    return 256;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    HmpMonitor *mon = opaque;

    for (size_t i = 0; i < len; i++) {
        take_byte(mon, buf[i]);
        mon->last = (char)buf[i];
    }
}

/* --- a line that comes by QMP --- */

static json_t *run_human_monitor_command(Machine *m, json_t *args, GError **err)
{
    const char *line = json_string_value(json_object_get(args, "command-line"));
    g_autoptr(GString) out = g_string_new(NULL);
    HmpMonitor mon = {.base.machine = m, .out = out};

    if (strlen(line) >= HMP_LINE_MAX) {
        error_set(err, "the command line is longer than %d bytes", HMP_LINE_MAX - 1);
        return NULL;
    }
    g_strlcpy(mon.line, line, sizeof mon.line);
    run_line(&mon);
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
        mon->len = 0;
        if (event == CHARDEV_MUX_IN || !is_mux_port(mon->base.stream)) {
            print(mon, "Aerostat %s monitor - type 'help' for more information\r\n",
                  AEROSTAT_VERSION);
            prompt(mon);
        }
    }
}

static void hmp_free(Monitor *base)
{
    chardev_set_frontend(base->stream, NULL);
    g_free(base);
}

Monitor *monitor_new_hmp(Machine *m, Chardev *stream)
{
    HmpMonitor *mon = g_new0(HmpMonitor, 1);
    ChardevFrontend fe = {can_receive, receive, stream_event, mon};

    mon->base = (Monitor){m, stream, hmp_free};
    chardev_set_frontend(stream, &fe);
    return &mon->base;
}
