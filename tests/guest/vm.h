/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM under test, seen from outside: the VMM's process, its QMP socket and the guest's console. Every function that
 * waits ends the test with a message when what it waits for does not come; nothing here returns an error. What the
 * guest says on its console is described in guest/init.c.
 */
#ifndef AEROSTAT_TESTS_GUEST_VM_H
#define AEROSTAT_TESTS_GUEST_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>
#include <jansson.h>

#define MiB (UINT64_C(1) << 20)

/* Seconds that are plenty, also on a busy machine that emulates its KVM. */
enum { T_BOOT = 120, T_REPLY = 60, T_EXIT = 60 };

/* What the command line of the test program said. */
typedef struct {
    const char *vmm, *bzimage, *vmlinux, *initrd, *outb;
    const char *mkfs, *config, *root; /* for tests of disks; else NULL */
    char **configs;                   /* all from mkfs on, up to NULL, for a test of config files alone */
} Paths;

extern const Paths *paths; /* set once by main */

typedef struct {
    pid_t pid;
    int to_guest, from_guest, errors; /* the console's two directions, stderr */
    int qmp;                          /* -1: not connected */
    GString *console;                 /* all that came, without carriage returns */
    size_t seen;                      /* how much of it was waited for */
    GString *err, *qmp_in;
    GQueue events;  /* of json_t *, oldest first */
    unsigned resets; /* events RESET that came so far */
    bool asking;    /* the agent has a command: a guest that starts again will not answer it */
    json_t *answer; /* of the command under way */
    char *dir;      /* the sockets are here; removed at the end */
    int status;     /* wait status, once it ended */
    bool ended;
} Vm;

/* --- saying how it goes --- */

/* Ends the test: the message, then the ends of the console and of stderr of the VM that was started last, and what it is
 * doing (dump.h). */
G_NORETURN void fail(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* One line about what was seen to work, with the time since `started`, which main sets. */
extern double started;
void passed(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
double now(void);

/* --- starting and ending --- */

/*
 * Starts the VMM with a kernel, the initramfs, the agent in the guest, 512 MiB, the console on pipes and a QMP socket;
 * then the arguments up to NULL. Later ones win: "-m", "256" is possible. -serial: NULL in place of the first argument
 * is not allowed.
 */
Vm *vm_start(const char *arg, ...) G_GNUC_NULL_TERMINATED;
/* The same with just these arguments after the program's name, and no QMP. */
Vm *vm_start_plain(char *const *argv);
/* Waits until the agent is there. */
void vm_wait_ready(Vm *vm);
/* Its exit status; ends the test when it was killed. */
int vm_wait_exit(Vm *vm, int seconds);
/* vm_wait_exit must be 0, with nothing on stderr and no socket left; frees vm. */
void vm_finish(Vm *vm);
/* The guest powers itself off in order; vm_finish. */
void vm_power_off(Vm *vm);
/* Ends the process if need be, whatever its status; frees vm. */
void vm_kill(Vm *vm);
bool vm_alive(Vm *vm);

/* --- the guest's console --- */

/* Waits for text in what was not waited for before; returns the line it is in (owned by the caller). A guest that is at
 * work all the time gets up to four times the seconds. */
char *vm_wait_console(Vm *vm, const char *text, int seconds);
/* Whether text is in what was not waited for before. */
bool vm_has_said(Vm *vm, const char *text);
void vm_type(Vm *vm, const char *text);
/* Gives the agent a command; its answer, and its status. */
char *vm_ask(Vm *vm, int *ret_status, const char *command);
/* The same; the status must be 0. */
char *vm_ask_ok(Vm *vm, const char *command);
/* A line of /proc/meminfo, in bytes. */
uint64_t vm_meminfo(Vm *vm, const char *key);
double vm_uptime(Vm *vm);

/* --- QMP --- */

/* Connects and negotiates; vm_start does it by itself. */
void vm_connect_qmp(Vm *vm, const char *path);
/* Steals args (NULL: none). The command's result; it must succeed. Owned by the caller. */
json_t *vm_qmp(Vm *vm, const char *command, json_t *args);
/* The same without a look at the result. */
void vm_do(Vm *vm, const char *command, json_t *args);
/* The command must fail; its error's class and text in one string. */
char *vm_qmp_error(Vm *vm, const char *command, json_t *args);
/* Takes the oldest event of that name out of those that came, waiting for it; the whole event. */
json_t *vm_wait_event(Vm *vm, const char *name, int seconds);
/* Drops the events that came so far. */
void vm_forget_events(Vm *vm);
/* Fails unless the next event of that name has these data. */
void vm_expect_cause(Vm *vm, const char *event, bool guest, const char *reason);
/* query-status. */
void vm_expect_status(Vm *vm, const char *status);
/* Lets time pass while taking in what comes. */
void vm_sleep(Vm *vm, double seconds);

/* --- the balloon --- */

/* What query-balloon says, in bytes. */
uint64_t vm_balloon(Vm *vm);
/* Asks for it and waits until the guest has done it. */
void vm_set_balloon(Vm *vm, uint64_t bytes);
/* Takes 16 of 512 MiB and gives them back: the guest's MemTotal must follow. */
void vm_expect_balloon_works(Vm *vm);

/* --- measuring --- */

/* Resident memory of the VMM in bytes. */
uint64_t vm_resident(Vm *vm);
/* Whether got is within 10 % of wanted. */
bool near(int64_t got, int64_t wanted);

/* --- sockets --- */

/* A stream to a socket of the VMM. */
int connect_to(const char *path);

#endif
