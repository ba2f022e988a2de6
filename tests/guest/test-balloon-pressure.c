/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's call under real pressure: a process is held to less memory than it wants, stalls,
 * and the policy takes memory from an idle guest because the kernel said so. The policy itself
 * looks once a minute.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/balloon.h"
#include "tests/guest/groups.h"

enum { HOG_HIGH_MIB = 32, HOG_WANTS_MIB = 512, PAGE = 4096 };

/* Touches memory that is not to be had, for ever. */
static pid_t start_hog(const char *cgroup)
{
    pid_t pid = fork();
    volatile char *at;

    if (pid < 0) {
        fail("fork: %s", strerror(errno));
    }
    if (pid > 0) {
        return pid;
    }
    cgroup_enter(cgroup);
    at =
        mmap(NULL, HOG_WANTS_MIB * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t off = 0; at != MAP_FAILED && off < HOG_WANTS_MIB * MiB; off += PAGE) {
        at[off] = 1;
    }
    _exit(1);
}

static void end_hog(pid_t pid)
{
    if (waitpid(pid, NULL, WNOHANG) != 0) {
        fail("nobody held the process to its memory: this is no pressure");
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* While the process stalls the kernel calls, and the guest has less. */
static void expect_call(Vm *vm, const char *cgroup, const char *what)
{
    uint64_t before = policy_number(vm, "trigger-calls"), target;
    pid_t hog;

    if (before > 0 || vm_balloon(vm) != 512 * MiB) {
        fail("%s: pressure before there was any", what);
    }
    hog = start_hog(cgroup);
    target = wait_reason_of(vm, "host-pressure", "host-stalled", 2 * T_REPLY);
    if (policy_number(vm, "trigger-calls") == 0) {
        fail("%s: there was pressure, and the kernel did not call", what);
    }
    end_hog(hog);
    passed("%s: the kernel called, and the guest shall have %" G_GUINT64_FORMAT " of 512 MiB", what,
           target / MiB);
}

static void wait_balloon(Vm *vm, uint64_t bytes)
{
    for (double end = now() + T_REPLY; vm_balloon(vm) != bytes; vm_sleep(vm, 0.2)) {
        if (now() > end) {
            fail("the guest has %" G_GUINT64_FORMAT " MiB, not %" G_GUINT64_FORMAT,
                 vm_balloon(vm) / MiB, bytes / MiB);
        }
    }
}

/* A kernel that tells nothing there: an empty file in the place of its own, which nobody else sees.
 */
static void expect_refusal_without_stalls(void)
{
    char *argv[] = {(char *)paths->vmm,
                    "-M",
                    "pc",
                    "-accel",
                    "kvm",
                    "-nodefaults",
                    "-display",
                    "none",
                    "-kernel",
                    (char *)paths->vmlinux,
                    "-device",
                    "virtio-balloon,id=balloon0",
                    "-object",
                    "balloon-policy,id=policy0,device=balloon0",
                    NULL};
    Vm *vm;
    int status;

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("/dev/null", "/proc/pressure/memory", NULL, MS_BIND, NULL) < 0) {
        fail("/proc/pressure/memory: %s", strerror(errno));
    }
    vm = vm_start_plain(argv);
    status = vm_wait_exit(vm, T_EXIT);
    if (status != 1 || !strstr(vm->err->str, "this kernel tells no memory pressure") ||
        strchr(vm->err->str, '\n') != strrchr(vm->err->str, '\n')) {
        fail("without stall times: status %d, %s", status, vm->err->str);
    }
    vm_kill(vm);
    passed("a kernel without stall times is refused in one line");
}

void group_balloon_pressure(void)
{
    g_autofree char *cgroup = cgroup_make("hog", HOG_HIGH_MIB);
    Vm *vm;

    if (!cgroup || access("/proc/pressure/memory", R_OK) < 0) {
        passed("skipped: no cgroup v2, or a kernel without pressure stall information");
        return;
    }
    vm =
        vm_start("-device", "virtio-balloon,id=balloon0,deflate-on-oom=on", "-object",
                 "balloon-policy,id=policy0,device=balloon0,floor=96M,rate-limit=0,calm=0,faults=0,"
                 "interval=60000",
                 NULL);
    vm_wait_ready(vm);
    wait_reason(vm, "steady", 2 * T_REPLY);
    expect_call(vm, cgroup, "stalls of the host");
    vm_do(vm, "object-del", json_pack("{s:s}", "id", "policy0"));
    vm_do(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)(512 * MiB)));
    wait_balloon(vm, 512 * MiB);
    vm_forget_events(vm);
    vm_do(vm, "qom-set",
          json_pack("{s:s, s:s, s:i}", "path", "balloon0", "property",
                    "guest-stats-polling-interval", "value", 5));
    vm_do(vm, "object-add",
          json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i}", "qom-type", "balloon-policy",
                    "id", "policy0", "device", "balloon0", "source", cgroup, "floor",
                    (json_int_t)(96 * MiB), "rate-limit", 0, "calm", 0, "faults", 0, "interval",
                    60000));
    wait_reason(vm, "steady", 2 * T_REPLY);
    expect_call(vm, cgroup, "stalls of a cgroup");
    vm_power_off(vm);
    expect_refusal_without_stalls();
}
