/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line. Each option is a row of one table: its name, what follows it, a help line and
 * the function that takes it. The table makes -help and the suggestion for a misspelt option.
 */
#include "vmm/cli/options.h"

#include <stdio.h>
#include <string.h>

#include "backends/chardev.h"
#include "backends/user-creatable.h"
#include "qom/property.h"
#include "vmm/cli/block-options.h"
#include "vmm/cli/complete.h"
#include "vmm/cli/fd-options.h"
#include "vmm/cli/man.h"
#include "vmm/cli/net-options.h"
#include "vmm/cli/readconfig.h"
#include "vmm/machine/machine.h"

typedef struct Option Option;
struct Option {
    const char *name;
    const char *arg; /* what follows, for -help; NULL: nothing */
    const char *help;
    bool (*take)(Options *o, const char *arg, GError **err);
};

static void set_text(char **field, const char *text)
{
    g_free(*field);
    *field = g_strdup(text);
}

static MonOption *mon_option_new(const char *chardev, bool control, bool pretty)
{
    MonOption *mon = g_new0(MonOption, 1);

    mon->chardev = g_strdup(chardev);
    mon->control = control;
    mon->pretty = pretty;
    return mon;
}

static void mon_option_free(MonOption *mon)
{
    g_free(mon->chardev);
    g_free(mon->origin);
    g_free(mon);
}

/* --- one function per option --- */

static bool take_accel_name(Options *o, const char *name, GError **err)
{
    if (!strcmp(name, "help")) {
        printf("Accelerators supported:\nkvm\nqtest\n");
        o->handled = true;
        return true;
    }
    if (!accel_type_find(name, err)) {
        return false;
    }
    if (g_strcmp0(o->accel, name) != 0) {
        json_object_clear(o->accel_props); /* they were another's */
    }
    set_text(&o->accel, name);
    g_hash_table_remove(o->places, "accel");
    return true;
}

static bool take_machine(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "type", err);
    g_autofree char *type = NULL, *accel = NULL;

    if (!opts) {
        return false;
    }
    type = options_pop_key(opts, "type");
    accel = options_pop_key(opts, "accel");
    if (type) {
        set_text(&o->machine, type);
        g_hash_table_remove(o->places, "type");
    }
    json_object_update(o->machine_props, opts);
    json_decref(opts);
    if (type && !strcmp(type, "help")) {
        o->help_topic = "machine";
        return true;
    }
    return !accel || take_accel_name(o, accel, err);
}

static bool take_accel(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "accel", err);
    g_autofree char *name = NULL;
    bool ok;

    if (!opts) {
        return false;
    }
    name = options_pop_key(opts, "accel");
    ok = name ? take_accel_name(o, name, err) : error_set(err, "give an accelerator, such as kvm");
    if (ok) {
        json_object_clear(o->accel_props);
        json_object_update(o->accel_props, opts);
    }
    json_decref(opts);
    return ok;
}

static bool take_cpu(Options *o, const char *arg, GError **err)
{
    if (!strcmp(arg, "help")) {
        printf("Available CPUs:\n  host   the host's CPU, as far as KVM passes it on\n");
        o->handled = true;
        return true;
    }
    if (strcmp(arg, "host") != 0 && strcmp(arg, "max") != 0) {
        return error_set(err, "unknown CPU model '%s'; known: host", arg);
    }
    return true;
}

static bool take_memory(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "size", err);
    g_autofree char *size = NULL;
    bool ok;

    if (!opts) {
        return false;
    }
    size = options_pop_key(opts, "size");
    ok = options_reject_rest(opts, "size", err);
    json_decref(opts);
    if (!ok) {
        return false;
    }
    if (!size || !parse_size(size, 1024 * 1024, &o->ram_size, err)) {
        return size ? false : error_set(err, "give a size, such as 512M");
    }
    if (o->ram_size == 0) {
        return error_set(err, "the memory size must not be 0; give for example 512M");
    }
    return true;
}

static bool take_device(Options *o, const char *arg, GError **err)
{
    json_t *opts;

    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        o->help_topic = "device";
        return true;
    }
    if (!(opts = options_parse_object(arg, "driver", false, err))) {
        return false;
    }
    if (json_object_get(opts, "help")) {
        o->help_topic = "device";
        set_text(&o->help_driver, json_string_value(json_object_get(opts, "driver")));
    }
    g_ptr_array_add(o->devices, opts);
    return true;
}

static bool take_object(Options *o, const char *arg, GError **err)
{
    json_t *opts;

    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        o->help_topic = "object";
        return true;
    }
    if (!(opts = options_parse_object(arg, "qom-type", false, err))) {
        return false;
    }
    if (json_object_get(opts, "help")) {
        o->help_topic = "object";
        set_text(&o->help_driver, json_string_value(json_object_get(opts, "qom-type")));
    }
    g_ptr_array_add(o->objects, opts);
    return true;
}

static bool take_blockdev(Options *o, const char *arg, GError **err)
{
    json_t *opts = block_options_parse_blockdev(arg, err);

    if (opts) {
        g_ptr_array_add(o->blockdevs, opts);
    }
    return opts != NULL;
}

static bool take_drive(Options *o, const char *arg, GError **err)
{
    json_t *opts = block_options_parse_drive(arg, err);

    if (opts) {
        g_ptr_array_add(o->drives, opts);
    }
    return opts != NULL;
}

static bool take_netdev_list(Options *o, const char *arg, GPtrArray *list, GError **err)
{
    json_t *opts = options_parse_object(arg, "type", true, err);
    const char *type = json_string_value(json_object_get(opts, "type"));

    if (opts) {
        g_ptr_array_add(list, opts);
    }
    if (type && (json_object_get(opts, "help") || !strcmp(type, "help") || !strcmp(type, "?"))) {
        o->handled = true;
        return net_options_help(type, err);
    }
    return opts != NULL;
}

static bool take_netdev(Options *o, const char *arg, GError **err)
{
    return take_netdev_list(o, arg, o->netdevs, err);
}

static bool take_nic(Options *o, const char *arg, GError **err)
{
    return take_netdev_list(o, arg, o->nics, err);
}

static bool take_net(Options *o, const char *arg, GError **err)
{
    o->net_none = true;
    return !strcmp(arg, "none") ||
           error_set(err, "only 'none' is known; -nic makes a network card");
}

static void print_backend(const char *name, void *opaque)
{
    printf("  %s\n", name);
}

static bool take_chardev(Options *o, const char *arg, GError **err)
{
    json_t *opts;

    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        printf("Available chardev backend types:\n");
        chardev_foreach_backend(print_backend, NULL);
        o->handled = true;
        return true;
    }
    opts = options_parse_keyvals(arg, "backend", err);
    if (opts) {
        g_ptr_array_add(o->chardevs, opts);
    }
    return opts != NULL;
}

static bool take_mon(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "chardev", err);
    g_autofree char *chardev = NULL, *mode = NULL, *pretty_text = NULL;
    bool ok, pretty = false;

    if (!opts) {
        return false;
    }
    chardev = options_pop_key(opts, "chardev");
    mode = options_pop_key(opts, "mode");
    pretty_text = options_pop_key(opts, "pretty");
    ok = options_reject_rest(opts, "chardev, mode, pretty", err);
    json_decref(opts);
    if (!ok) {
        return false;
    }
    if (!chardev || !*chardev) {
        return error_set(err, "chardev=ID is missing");
    }
    if (mode && strcmp(mode, "control") != 0 && strcmp(mode, "readline") != 0) {
        return error_set(err, "mode '%s' is not one of: control, readline", mode);
    }
    if (pretty_text && !parse_bool(pretty_text, &pretty, err)) {
        g_prefix_error(err, "pretty: ");
        return false;
    }
    g_ptr_array_add(o->mons, mon_option_new(chardev, !g_strcmp0(mode, "control"), pretty));
    return true;
}

static bool take_serial(Options *o, const char *arg, GError **err)
{
    g_ptr_array_add(o->serials, g_strdup(arg));
    return true;
}

static bool take_qmp(Options *o, const char *arg, GError **err)
{
    g_ptr_array_add(o->qmps, g_strdup(arg));
    return true;
}

static bool take_qmp_pretty(Options *o, const char *arg, GError **err)
{
    g_ptr_array_add(o->pretty_qmps, g_strdup(arg));
    return true;
}

static bool take_display(Options *o, const char *arg, GError **err)
{
    return !strcmp(arg, "none") || error_set(err, "there is no display '%s'; known: none", arg);
}

static bool take_parallel(Options *o, const char *arg, GError **err)
{
    return !strcmp(arg, "none") || error_set(err, "there is no parallel port; known: none");
}

/* "none", alone or as the driver of -audio and -audiodev. */
static bool take_audio(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "driver", err);
    g_autofree char *driver = opts ? options_pop_key(opts, "driver") : NULL;

    json_decref(opts);
    if (!opts) {
        return false;
    }
    return !g_strcmp0(driver, "none") || error_set(err, "there is no sound; known: none");
}

static bool take_monitor(Options *o, const char *arg, GError **err)
{
    set_text(&o->monitor, arg);
    return true;
}

static bool take_name(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "guest", err);
    g_autofree char *name = NULL;
    bool ok;

    if (!opts) {
        return false;
    }
    name = options_pop_key(opts, "guest");
    json_object_del(opts, "debug-threads");
    ok = options_reject_rest(opts, "guest, debug-threads", err);
    json_decref(opts);
    set_text(&o->name, name);
    return ok;
}

static bool take_version(Options *o, const char *arg, GError **err)
{
    printf("Aerostat version %s\n", AEROSTAT_VERSION);
    o->handled = true;
    return true;
}

static bool take_help(Options *o, const char *arg, GError **err);

static bool take_check(Options *o, const char *arg, GError **err)
{
    o->check = true;
    return true;
}

static bool take_dump_config(Options *o, const char *arg, GError **err)
{
    o->check = o->dump_config = true;
    return true;
}

static bool take_dump_tree(Options *o, const char *arg, GError **err)
{
    o->check = o->dump_tree = true;
    return !strcmp(arg, "dot") || error_set(err, "the only format is dot");
}

#define TEXT_OPTION(fn, field)                                \
    static bool fn(Options *o, const char *arg, GError **err) \
    {                                                         \
        set_text(&o->field, arg);                             \
        return true;                                          \
    }
#define FLAG_OPTION(fn, field)                                \
    static bool fn(Options *o, const char *arg, GError **err) \
    {                                                         \
        o->field = true;                                      \
        return true;                                          \
    }

static bool take_boot(Options *o, const char *arg, GError **err)
{
    return error_set(err, "there is no firmware that looks for something to boot: give -kernel");
}

static bool take_uuid(Options *o, const char *arg, GError **err)
{
    if (!g_uuid_string_is_valid(arg)) {
        return error_set(err, "'%s' is not a UUID (as in 550e8400-e29b-41d4-a716-446655440000)",
                         arg);
    }
    json_object_set_new(o->machine_props, "uuid", json_string(arg));
    return true;
}

TEXT_OPTION(take_kernel, kernel)
TEXT_OPTION(take_initrd, initrd)
TEXT_OPTION(take_append, append)
TEXT_OPTION(take_pidfile, pidfile)
TEXT_OPTION(take_mem_path, mem_path)
TEXT_OPTION(take_qtest, qtest)
TEXT_OPTION(take_qtest_log, qtest_log)
TEXT_OPTION(take_gdb, gdb)
FLAG_OPTION(take_dump_schema, dump_schema)
FLAG_OPTION(take_nographic, nographic)
FLAG_OPTION(take_nodefaults, nodefaults)
FLAG_OPTION(take_mem_prealloc, mem_prealloc)
FLAG_OPTION(take_daemonize, daemonize)
FLAG_OPTION(take_no_reboot, no_reboot)
FLAG_OPTION(take_no_shutdown, no_shutdown)
FLAG_OPTION(take_start_paused, start_paused)

static bool take_default_gdb(Options *o, const char *arg, GError **err)
{
    return take_gdb(o, "tcp::1234", err);
}

static const Option option_table[] = {
    {"h", NULL, NULL, take_help},
    {"help", NULL, "this text", take_help},
    {"version", NULL, "the version", take_version},
    {"M", "TYPE[,prop=value...]",
     "machine and its properties; 'help' lists machines, TYPE,help properties", take_machine},
    {"machine", "TYPE[,prop=value...]", NULL, take_machine},
    {"accel", "kvm|qtest[,prop=value...]",
     "accelerator (default kvm; qtest for virt and none); qtest: no vCPUs, a client drives the "
     "devices",
     take_accel},
    {"enable-kvm", NULL, NULL, NULL},
    {"cpu", "host", "CPU model", take_cpu},
    {"m", "SIZE", "guest memory, in MiB without a suffix (default 128M)", take_memory},
    {"mem-path", "PATH", "have guest memory in a file there, for example on hugetlbfs",
     take_mem_path},
    {"mem-prealloc", NULL, "make guest memory resident at the start", take_mem_prealloc},
    {"smp", "N[,cores=N]", "number of vCPUs (default 1), which are cores of one socket",
     options_take_smp},
    {"kernel", "FILE", "Linux kernel: bzImage or uncompressed vmlinux", take_kernel},
    {"initrd", "FILE", "initial RAM disk", take_initrd},
    {"append", "TEXT", "kernel command line", take_append},
    {"readconfig", "FILE",
     "take options from a file of [group] and key = \"value\" ('-': stdin); the command line wins, "
     "and later files do",
     NULL},
    {"config", "FILE", "the same; both take JSON, too", NULL},
    {"check", NULL,
     "only look for faults in all of the options and config files, and print each; needs no KVM",
     take_check},
    {"dump-config", NULL,
     "print all of the options as a config file, each value with where it came from",
     take_dump_config},
    {"dump-tree", "dot", "print the objects and buses that there would be, as a graph for Graphviz",
     take_dump_tree},
    {"explain", "TYPE[,prop=value...]",
     "print what a device is made of, and the way of a kick through its code",
     options_take_explain},
    {"dump-schema", NULL, "print a JSON Schema of what -config takes", take_dump_schema},
    {"dump-man", "1|5|7",
     "print a manual page: the program, its config files, QMP; as in '-dump-man 1 | man -l -'",
     options_take_dump_man},
    {"complete", "TEXT", NULL, options_take_complete}, /* for shells */
    {"device", "TYPE[,prop=value...]", "add a device; 'help' lists types, TYPE,help properties",
     take_device},
    {"global", "TYPE.PROP=VALUE", "what a property of all devices of a type begins with",
     options_take_global},
    {"object", "TYPE,id=ID[,prop=value...]",
     "make an object that devices refer to; 'help' lists types, TYPE,help properties", take_object},
    {"blockdev", "DRIVER,node-name=NAME[,key=value...]",
     "make a block node (file, host_device, nbd, raw, null-co, ...) that devices refer to",
     take_blockdev},
    {"drive", "file=FILE,format=raw[,if=virtio|none][,id=ID][,key=value...]",
     "a disk; if=none: for a -device that names its id", take_drive},
    {"netdev", "TYPE,id=ID[,key=value...]",
     "make a network backend that network cards refer to; 'help' lists types, TYPE,help options",
     take_netdev},
    {"nic", "TYPE[,mac=MAC][,key=value...]", "a network card with a backend of its own; none: none",
     take_nic},
    {"net", "none", "no network card by default", take_net},
    {"add-fd", "fd=N,set=M[,opaque=TEXT]",
     "put an inherited file descriptor into a set: /dev/fdset/M is a file of a disk or stream then",
     options_take_add_fd},
    {"chardev", "KIND,id=ID[,key=value...]",
     "make a stream that -serial, -mon and devices refer to; 'help' lists kinds", take_chardev},
    {"mon", "chardev=ID[,mode=control|readline][,pretty=on]",
     "QMP (control) or human monitor on a stream", take_mon},
    {"serial", "STREAM",
     "connect COM1: stdio, mon:stdio, file:PATH, pipe:PATH, pty, null, none, chardev:ID, "
     "unix:PATH[,server=on][,wait=off], tcp:HOST:PORT[,server=on][,wait=off]",
     take_serial},
    {"nographic", NULL, "console on the terminal (Ctrl-a h for help)", take_nographic},
    {"display", "none", "there is no display", take_display},
    {"audio", "none", "there is no sound", take_audio},
    {"vga", "none", NULL, take_display},
    {"parallel", "none", NULL, take_parallel},
    {"no-user-config", NULL, NULL, NULL},
    {"audiodev", "none,id=ID", NULL, take_audio},
    {"nodefaults", NULL, "no default serial port and monitor", take_nodefaults},
    {"monitor", "STREAM", "human monitor on a stream, as in -serial", take_monitor},
    {"qmp", "STREAM",
     "QMP monitor: unix:PATH,server=on,wait=off or tcp:127.0.0.1:PORT,server=on,wait=off "
     "(may be given again)",
     take_qmp},
    {"qmp-pretty", "STREAM", "the same, laid out over several lines", take_qmp_pretty},
    {"name", "TEXT", "name of the VM", take_name},
    {"uuid", "UUID", "of the VM, for QMP's query-uuid; nothing tells the guest", take_uuid},
    {"rtc", "[base=utc|localtime|DATE][,clock=host|vm]", "what the CMOS clock begins with",
     options_take_rtc},
    {"boot", "order=...", NULL, take_boot},
    {"pidfile", "FILE", "write the process id", take_pidfile},
    {"daemonize", NULL, "go into the background once the VM runs", take_daemonize},
    {"S", NULL, "do not start the vCPUs; QMP 'cont' does", take_start_paused},
    {"gdb", "STREAM",
     "serve gdb: tcp::PORT (on loopback), unix:PATH,server=on, chardev:ID, none; with -S from the "
     "first instruction",
     take_gdb},
    {"s", NULL, "the same as -gdb tcp::1234", take_default_gdb},
    {"no-reboot", NULL, "exit when the guest reboots", take_no_reboot},
    {"no-shutdown", NULL, "stay, stopped, when the guest powers off", take_no_shutdown},
    {"qtest", "STREAM",
     "with -accel qtest: serve the qtest protocol, unix:PATH connects, unix:PATH,server=on listens",
     take_qtest},
    {"qtest-log", "FILE", "log of the qtest protocol; default stderr, 'none' for none",
     take_qtest_log},
    {"trace", "PATTERN", "log trace events that match; 'help' lists them", options_take_trace},
    {"trace-boot", "FILE.json[,init=TEXT]",
     "write when what happened first until the guest's init, and its exits by device, at the end",
     options_take_trace_boot},
    {"d", "ITEM[,ITEM...]", "log what a guest does wrong: guest_errors; 'help' lists items",
     options_take_log_items},
    {"D", "FILE", "log into FILE instead of stderr", options_take_log_file},
};

static bool take_help(Options *o, const char *arg, GError **err)
{
    printf("usage: aerostat [options]\n\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(option_table); i++) {
        const Option *opt = &option_table[i];

        if (opt->help) {
            g_autofree char *left = g_strdup_printf("-%s %s", opt->name, opt->arg ? opt->arg : "");

            printf(strlen(left) <= 30 ? "  %-30s %s\n"
                                      : "  %s\n                                 %s\n",
                   left, opt->help);
        }
    }
    o->handled = true;
    return true;
}

void options_foreach(void (*fn)(const char *name, const char *arg, const char *help, void *opaque),
                     void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(option_table); i++) {
        fn(option_table[i].name, option_table[i].arg, option_table[i].help, opaque);
    }
}

static const Option *find_option(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(option_table); i++) {
        if (!strcmp(option_table[i].name, name)) {
            return &option_table[i];
        }
    }
    return NULL;
}

static bool unknown_option(const char *text, const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(option_table) + 1] = {NULL};
    const char *near;

    if (options_foreign(name)) {
        return error_set(err, "%s: not an option of Aerostat: %s", text, options_foreign(name));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(option_table); i++) {
        names[i] = option_table[i].name;
    }
    near = error_near_miss(name, names);
    if (near) {
        return error_set(err, "%s: unknown option; did you mean '-%s'?", text, near);
    }
    return error_set(err, "%s: unknown option; '-help' lists all", text);
}

bool options_take(Options *o, const char *option, const char *arg, GError **err)
{
    return find_option(option)->take(o, arg, err);
}

bool options_take_launch(Options *o, const char *option, const char *value, GError **err)
{
    const Option *opt = find_option(option);
    bool on = true;

    if (opt->arg) {
        return opt->take(o, value, err);
    }
    if (!parse_bool(value, &on, err)) {
        g_prefix_error(err, "%s: ", option);
        return false;
    }
    return !on || opt->take(o, NULL, err);
}

static const char *word_name(const char *word)
{
    return word + (word[1] == '-' ? 2 : 1);
}

static bool read_config_file(Options *o, const char *name, const char *path, GError **err)
{
    g_autofree char *option = g_strconcat("-", name, NULL);
    g_autoptr(GError) why = NULL;

    if (!readconfig(o, option, path, &why) && !options_fault(o, &why)) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return true;
}

/* Reads the files of -readconfig, up to where parse_words will stop. */
static bool parse_files(Options *o, int argc, char **argv, GError **err)
{
    for (int i = 1; i < argc; i++) {
        const Option *opt = argv[i][0] == '-' ? find_option(word_name(argv[i])) : NULL;

        if (!opt && o->faults) {
            continue;
        }
        if (!opt || opt->take == take_help || opt->take == take_version ||
            (opt->arg && i + 1 == argc)) {
            break;
        }
        i += opt->arg != NULL;
        if ((!strcmp(opt->name, "readconfig") || !strcmp(opt->name, "config")) &&
            !read_config_file(o, opt->name, argv[i], err)) {
            return false;
        }
    }
    return true;
}

/* The option at argv[*i], and its argument; *i moves to the last word of it. */
static bool parse_word(Options *o, char **argv, int *i, GError **err)
{
    const char *text = argv[*i], *arg = NULL;
    g_autoptr(GError) why = NULL;
    const Option *opt;

    if (text[0] != '-' || !text[1]) {
        return error_set(err, "%s: options begin with '-'; a disk or kernel image needs its option",
                         text);
    }
    opt = find_option(word_name(text));
    if (!opt) {
        return unknown_option(text, word_name(text), err);
    }
    if (opt->arg && !argv[*i + 1]) {
        return error_set(err, "%s: needs an argument: %s", text, opt->arg);
    }
    arg = opt->arg ? argv[++*i] : NULL;
    if (opt->take == take_serial && g_hash_table_remove(o->places, opt->name)) {
        g_ptr_array_set_size(o->serials, 0);
    }
    if (opt->take && !opt->take(o, arg, &why)) {
        return error_set(err, "-%s %s: %s", opt->name, arg, why->message);
    }
    g_hash_table_remove(o->places, opt->name);
    return true;
}

static bool parse_words(Options *o, int argc, char **argv, GError **err)
{
    for (int i = 1; i < argc && !o->handled; i++) {
        g_autoptr(GError) why = NULL;

        if (!parse_word(o, argv, &i, &why) && !options_fault(o, &why)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return true;
}

/* -check counts for what stands before it, too. */
static bool wants_check(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const Option *opt = argv[i][0] == '-' ? find_option(word_name(argv[i])) : NULL;

        if (opt && (opt->take == take_check || opt->take == take_dump_config ||
                    opt->take == take_dump_tree || opt->take == options_take_explain)) {
            return true;
        }
        i += opt && opt->arg;
    }
    return false;
}

bool options_parse(Options *o, int argc, char **argv, GError **err)
{
    *o = (Options){
        .target = machine_program_target(argv[0]),
        .machine_props = json_object(),
        .accel_props = json_object(),
        .devices = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .objects = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .blockdevs = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .drives = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .netdevs = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .nics = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .fds = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .chardevs = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref),
        .mons = g_ptr_array_new_with_free_func((GDestroyNotify)mon_option_free),
        .serials = g_ptr_array_new_with_free_func(g_free),
        .qmps = g_ptr_array_new_with_free_func(g_free),
        .pretty_qmps = g_ptr_array_new_with_free_func(g_free),
        .origins = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)json_decref, g_free),
        .config_ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .broken = g_ptr_array_new_with_free_func(g_free),
        .globals = g_ptr_array_new_with_free_func((GDestroyNotify)options_global_free),
    };
    if (wants_check(argc, argv)) { /* also when that option itself has a fault */
        o->check = true;
        o->faults = g_ptr_array_new_with_free_func(g_free);
    }
    return parse_files(o, argc, argv, err) && parse_words(o, argc, argv, err);
}

void options_finish(Options *o)
{
    g_clear_pointer(&o->machine_props, json_decref);
    g_clear_pointer(&o->accel_props, json_decref);
    g_clear_pointer(&o->devices, g_ptr_array_unref);
    g_clear_pointer(&o->objects, g_ptr_array_unref);
    g_clear_pointer(&o->blockdevs, g_ptr_array_unref);
    g_clear_pointer(&o->drives, g_ptr_array_unref);
    g_clear_pointer(&o->netdevs, g_ptr_array_unref);
    g_clear_pointer(&o->nics, g_ptr_array_unref);
    g_clear_pointer(&o->fds, g_ptr_array_unref);
    g_clear_pointer(&o->chardevs, g_ptr_array_unref);
    g_clear_pointer(&o->mons, g_ptr_array_unref);
    g_clear_pointer(&o->serials, g_ptr_array_unref);
    g_clear_pointer(&o->qmps, g_ptr_array_unref);
    g_clear_pointer(&o->pretty_qmps, g_ptr_array_unref);
    g_clear_pointer(&o->origins, g_hash_table_unref);
    g_clear_pointer(&o->config_ids, g_hash_table_unref);
    g_clear_pointer(&o->places, g_hash_table_unref);
    g_clear_pointer(&o->globals, g_ptr_array_unref);
    g_clear_pointer(&o->broken, g_ptr_array_unref);
    g_clear_pointer(&o->faults, g_ptr_array_unref);
    json_decref(o->explain);
    g_free(o->machine);
    g_free(o->accel);
    g_free(o->kernel);
    g_free(o->initrd);
    g_free(o->append);
    g_free(o->name);
    g_free(o->pidfile);
    g_free(o->mem_path);
    g_free(o->monitor);
    g_free(o->qtest);
    g_free(o->qtest_log);
    g_free(o->gdb);
    g_free(o->help_driver);
}
