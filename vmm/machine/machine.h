/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines: a board with its memory map, buses and boot, and the life of the VM on it. "machine" is an abstract
 * object type whose properties are those of -M/-machine, -m, -smp, -kernel and so on; "pc-machine" is the x86_64 PC.
 *
 * Life: object_new -> properties -> machine_init (board, accelerator) -> devices of -device -> machine_boot ->
 * machine_run -> machine_finish.
 *
 * Threads: the main thread with the VM lock held, unless said otherwise.
 */
#ifndef AEROSTAT_VMM_MACHINE_MACHINE_H
#define AEROSTAT_VMM_MACHINE_MACHINE_H

#include "backends/chardev.h"
#include "core/gmem-block.h"
#include "hw/core/announce.h"
#include "hw/core/device.h"
#include "vmm/accel/accel.h"

OBJECT_DECLARE_CLASS(Machine, MachineClass, machine, MACHINE)

typedef enum {
    RUN_STATE_PRELAUNCH,
    RUN_STATE_RUNNING,
    RUN_STATE_PAUSED,
    RUN_STATE_SHUTDOWN,       /* guest powered off, -no-shutdown keeps it */
    RUN_STATE_INTERNAL_ERROR, /* a vCPU could not go on */
    RUN_STATE_GUEST_PANICKED,
    RUN_STATE_IO_ERROR,       /* a disk failed; goes on by cont */
    RUN_STATE_SAVE_VM,        /* while its memory is dumped */
    RUN_STATE_DEBUG,          /* a vCPU is at a breakpoint or has made its step */
} RunState;

enum { MACHINE_SERIAL_PORTS = 1 };

struct Machine {
    Object parent_obj;
    /* properties */
    uint64_t ram_size;
    uint32_t smp;
    char *kernel, *initrd, *append;
    char *dumpdtb;            /* file for the device tree: written instead of running; NULL: none */
    char *name;               /* -name */
    char *uuid;               /* of the VM, lower case; NULL: none */
    char *memory_backend;     /* id of the object that RAM comes from; NULL: anonymous memory */
    bool no_reboot, no_shutdown;
    /* set by the caller before machine_init */
    Accel *accel;             /* owned: a child of the machine in the tree */
    Chardev *serial[MACHINE_SERIAL_PORTS]; /* borrowed; NULL: port without a stream */
    bool defaults;            /* false: -nodefaults */
    bool ram_size_given;      /* false: a memory backend's size is taken */
    const char *target;       /* see machine_program_target */
    /* the machine's own */
    Platform platform;
    Bus *main_bus;
    RunState state;
    bool realized;
    GmemBlock *ram;           /* during init: what RAM is to be made of */
    GPtrArray *globals;       /* see machine_add_global */
    GPtrArray *event_sinks;   /* see machine_add_event_sink */
    Announcer *announcer;     /* of announce-self */
    struct GdbServer *gdb;    /* of vmm/gdb; NULL: none */
    int exit_status;
    /* requests posted from devices and signals; handled on the main loop in machine.c */
    bool shutdown_pending, reset_pending, stop_pending;
    const char *busy;         /* why it cannot go on now; NULL: it can */
    bool ending;              /* the loop was told to end: nothing is asked for any more */
    ShutdownCause shutdown_cause, reset_cause;
};

struct MachineClass {
    ObjectClass parent_class;
    const char *alias;        /* name in -M: "pc" */
    uint32_t max_cpus;
    uint64_t min_ram, max_ram;
    bool (*init)(Machine *m, GError **err);        /* RAM, buses, board devices; accel is open */
    bool (*prepare_boot)(Machine *m, GError **err); /* opens and checks the boot files; once, before devices */
    /* Puts the loader's data into RAM and gives the start state. On every (re)start. Neither of the two is called
     * without kernel on an accelerator that runs no guests; NULL: the machine boots nothing. */
    bool (*load)(Machine *m, CpuStartState *ret_state, GError **err);
    void (*finish)(Machine *m);
    void (*power_button)(Machine *m);
    GByteArray *(*dtb)(Machine *m, GError **err); /* the device tree; NULL: it has none */
    const char *arch;         /* "x86_64", "aarch64"; NULL: none in particular */
    const char *default_accel; /* without -accel; NULL: kvm */
    const char *irqchip;      /* name of the interrupt controller that accel_gsi leads to; NULL: none */
    unsigned nr_irqs;         /* its inputs */
    /* The bus type that "virtio-X" aliases use: proxy suffix "-pci" or "-device". */
    const char *virtio_suffix;
};

extern const TypeInfo *const machine_types[]; /* concrete, NULL-terminated */

/*
 * The architecture that a program's name ends in ("...-system-x86_64"), which names the default machine and what
 * introspection shows; NULL: none, everything is shown.
 */
const char *machine_program_target(const char *program);
const char *machine_default(const char *target);                         /* name after -M */
bool machine_has_target(const TypeInfo *type, const char *target); /* is it a machine of that architecture? */

/* The machine type for a name or alias after -M; NULL with one line and a suggestion. */
const TypeInfo *machine_type_find(const char *name, GError **err);

/*
 * For a checker, before machine_init: hands over what that would refuse of memory, vCPUs and boot files, each fault
 * (borrowed) by itself, and replaces it, so that machine_init can follow. runs_guests: the accelerator that the machine
 * is for does, whichever it has now.
 */
void machine_check(Machine *m, bool runs_guests, void (*fault)(void *opaque, const GError *why), void *opaque);

/* The same for memory from an object, once objects are there. After a fault the machine has memory of its own. */
bool machine_check_backend(Machine *m, GError **err);

/* Checks the properties, opens the accelerator, builds the board. root ("/") becomes the machine's tree root. */
bool machine_init(Machine *m, GError **err);

/*
 * -device and device_add: opts is an object with "driver", optional "id" and "bus", and properties (strings or JSON
 * values). The device lands in /machine/peripheral/ID or /machine/peripheral-anon/device[N]. Aliases are resolved.
 * Errors name the device.
 */
Device *machine_add_device(Machine *m, json_t *opts, GError **err);

/*
 * -global: the property of each device of that type, of the board's and the user's, begins with value; later ones win.
 * where begins the line of an error about the value. Before machine_init.
 */
void machine_add_global(Machine *m, const TypeInfo *driver, const char *property, const char *value, const char *where);

/* For boards: a device of theirs, a named child of the machine, with -global's properties. Borrowed; NULL with err. */
Device *machine_new_device(Machine *m, const char *type, const char *name, GError **err);

/* The concrete type of a -device name, aliases resolved ("virtio-balloon" -> "virtio-balloon-pci"). NULL with err. */
const TypeInfo *machine_device_type(Machine *m, const char *driver, GError **err);

/* Writes the device tree to the file of "dumpdtb"; after machine_init. */
bool machine_dump_dtb(Machine *m, GError **err);

/* Loads and resets everything; vCPUs stay paused. */
bool machine_boot(Machine *m, GError **err);

/* Starts the vCPUs unless paused is wanted (-S), runs the main loop until the VM ends. Returns the exit status.
 * Called without the VM lock. */
int machine_run(Machine *m, bool start_paused);

void machine_finish(Machine *m); /* undoes everything; the object itself is the caller's */

/* --- run control (QMP, signals, devices) --- */
void machine_stop(Machine *m, RunState state); /* emits STOP */
bool machine_cont(Machine *m, GError **err);   /* emits RESUME */
/* Why it cannot go on now (not copied), or NULL: it can. A reset asked for meanwhile waits for that. VM lock. */
void machine_set_busy(Machine *m, const char *why);
/* Any thread, VM lock held. Carried out on the main loop; a shutdown outweighs a reset, the first one's cause stays. */
void machine_request_shutdown(Machine *m, ShutdownCause cause);
void machine_request_reset(Machine *m, ShutdownCause cause);
void machine_power_button(Machine *m);                          /* emits POWERDOWN */
const char *run_state_name(RunState state);                     /* QMP's spelling */

/* Called for each QMP event, on the thread that caused it, under the VM lock; data is borrowed, may be NULL. */
void machine_add_event_sink(Machine *m, void (*fn)(void *opaque, const char *name, json_t *data), void *opaque);
void machine_remove_event_sink(Machine *m, void *opaque);

static inline Machine *machine_of_platform(Platform *p)
{
    return p->opaque;
}

#endif
