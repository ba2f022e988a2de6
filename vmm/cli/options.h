/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: one table of options in QEMU's spelling, parsed into a struct before anything is made.
 */
#ifndef AEROSTAT_VMM_CLI_OPTIONS_H
#define AEROSTAT_VMM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <jansson.h>

#include "qom/error.h"

typedef struct {
    char *chardev;            /* id */
    bool control;             /* QMP; else the human monitor */
    bool pretty;              /* QMP over several lines */
    char *origin;             /* as of options_origin */
} MonOption;

/* -global: a value that the properties of all devices of a type begin with. */
typedef struct {
    char *driver, *property, *value;
    char *origin;             /* as of options_origin */
} GlobalOption;

typedef struct {
    const char *target;       /* see machine_program_target */
    char *machine;            /* type name of -M; NULL: the default */
    json_t *machine_props;    /* object: the rest of -M */
    char *accel;              /* NULL: the machine's default */
    json_t *accel_props;      /* object: the rest of -accel */
    uint64_t ram_size;        /* bytes; 0: the machine's default */
    bool has_smp;             /* -smp was given */
    uint32_t smp;             /* the machine knows the range */
    char *kernel, *initrd, *append;
    char *name, *pidfile;
    GPtrArray *devices;       /* of json_t *, each with "driver" */
    GPtrArray *objects;       /* of json_t *, each with "qom-type" */
    GPtrArray *blockdevs;     /* of json_t *, see block-options.h */
    GPtrArray *drives;        /* of json_t * */
    GPtrArray *netdevs, *nics; /* of json_t *, see net-options.h */
    bool net_none;            /* -net none */
    GPtrArray *chardevs;      /* of json_t *, each with "backend" */
    GPtrArray *fds;           /* of json_t *, see fd-options.h */
    GPtrArray *mons;          /* of MonOption * */
    GPtrArray *serials;       /* of char *, the texts of -serial; the command line's replace those of files */
    GPtrArray *qmps, *pretty_qmps; /* of char *, the texts of -qmp and -qmp-pretty */
    char *monitor;            /* text of -monitor */
    char *qtest, *qtest_log;  /* stream of -qtest, file of -qtest-log */
    char *gdb;                /* text of -gdb */
    bool check;               /* -check or -dump-config; faults is set then */
    bool dump_config, dump_tree, dump_schema; /* the first two: check is set, too */
    json_t *explain;          /* of -explain, as one of devices; NULL: not given. check is set, too */
    char *mem_path;           /* of -mem-path; see memory-options.h */
    bool mem_prealloc;
    bool nodefaults, nographic, daemonize, no_reboot, no_shutdown, start_paused;
    /* Set when the option's work is done by printing (help, version): exit 0. */
    bool handled;
    const char *help_topic;   /* "device", "machine", "object": needs the types; NULL: none */
    char *help_driver;        /* -device TYPE,help and -object TYPE,help */
    GHashTable *origins;      /* json_t * of the above to char *: see options_origin */
    GHashTable *config_ids;   /* "GROUP ID" of config files to "FILE:LINE" */
    GHashTable *places;       /* options that a config file set ("m", "smp", "serial", and "type" and "accel" of the
                               * machine) to "FILE:LINE"; see options_blame */
    GPtrArray *globals;       /* of GlobalOption * */
    GPtrArray *broken;        /* of char *: see options_broken */
    GPtrArray *faults;        /* of char *: see options_fault; NULL: the first one ends the program */
} Options;

/*
 * Parses argv, and first the files of -readconfig, in their order, so that the command line wins. Types are registered.
 * Errors are one line that begins with the option, or with FILE:LINE.
 */
bool options_parse(Options *o, int argc, char **argv, GError **err);
void options_finish(Options *o);

/* Takes one option, as from the command line; option is its name without '-', and one that takes an argument. */
bool options_take(Options *o, const char *option, const char *arg, GError **err);

/* Takes one that may stand in a [launch] group; value is "on" or "off" for one that takes no argument. */
bool options_take_launch(Options *o, const char *option, const char *value, GError **err);

/*
 * Where a device, object, stream or a property of machine or accelerator came from: "FILE:LINE", with the name of what
 * has an id, or NULL: from the command line. Errors that are found late begin with it. set_origin takes over origin.
 */
const char *options_origin(const Options *o, json_t *opts);
void options_set_origin(Options *o, json_t *opts, char *origin);

/*
 * An error that begins with an option, from code that knows nothing of config files: where a config file set that
 * option, its place comes instead.
 */
void options_blame(const Options *o, GError **err);

/*
 * Puts in front of an error about the thing that opts describes where it came from: the line of the key that the error
 * quotes, or else the thing's, or the option with what opts has under key (NULL: nothing).
 */
void options_say_where(const Options *o, json_t *opts, GError **err, const char *option, const char *key);

/* Calls fn for each option: its name without '-', what follows it (NULL: nothing), its help (NULL: another's name). */
void options_foreach(void (*fn)(const char *name, const char *arg, const char *help, void *opaque), void *opaque);

/* What does here what an option of QEMU's does; NULL: it is none that is known. */
const char *options_foreign(const char *name);

/* After an error: true when all faults are wanted. It is among o->faults then, *err is clear, and the caller goes on. */
bool options_fault(Options *o, GError **err);

/* What was to have that id is not there: that others do not find it is no fault of their own. */
void options_broken(Options *o, const char *id);

/* -global: DRIVER.PROPERTY=VALUE, in which the driver's name may hold dots, or the three as keys. */
bool options_take_global(Options *o, const char *arg, GError **err);
/* -rtc: keys that are properties of the CMOS clock. */
bool options_take_rtc(Options *o, const char *arg, GError **err);
bool options_take_smp(Options *o, const char *arg, GError **err);
/* -trace-boot: see boot_trace_begin; acts at once, so that exec and all options are in it. */
bool options_take_trace_boot(Options *o, const char *arg, GError **err);
bool options_take_explain(Options *o, const char *arg, GError **err); /* explain.c */
/* -trace, -d, -D: patterns, items, the file; "help" prints what there is. */
bool options_take_trace(Options *o, const char *arg, GError **err);
bool options_take_log_items(Options *o, const char *arg, GError **err);
bool options_take_log_file(Options *o, const char *arg, GError **err);
void options_global_free(GlobalOption *global);

/*
 * "driver,a=1,flag,b=x,,y" as a JSON object of strings: the word without '=' that comes first goes to first_key (NULL:
 * none is allowed), later ones are "on"; ",," is a comma. Fails on an empty key.
 */
json_t *options_parse_keyvals(const char *text, const char *first_key, GError **err);
/* That or, as in QEMU, a JSON object. lists: a key that is given again gets a list of strings. */
json_t *options_parse_object(const char *arg, const char *first_key, bool lists, GError **err);
bool options_reject_rest(json_t *opts, const char *known, GError **err); /* false with err: there is a key left */
char *options_pop_key(json_t *opts, const char *key); /* takes it out; NULL: no string. g_free */

#endif
