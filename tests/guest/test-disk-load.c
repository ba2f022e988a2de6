/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk with four queues on two iothreads: four writers, each on a CPU and so on a queue of its
 * own, write and compare at the same time while the VM is stopped and goes on; afterwards
 * QMP's counters are those of the guest. And a disk on storage that is full: the VM stops, goes on
 * when there is room, and nothing is lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

enum {
    QUEUES = 4,
    SECONDS = 6, /* of the load, and not less than all files */
    FILES = 5,   /* of each writer */
    STOPS = 8,
    DISK_MB = 96,
};

/* --- the load --- */

static Vm *start_queues(const char *machine, const char *driver, const char *path)
{
    g_autofree char *node = g_strdup_printf("file,node-name=disk,filename=%s,discard=unmap", path);
    g_autofree char *device = g_strdup_printf(
        "{\"driver\": \"%s\", \"id\": \"vd0\", \"drive\": \"disk\", \"num-queues\": %d, "
        "\"iothread-vq-mapping\": [{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]}",
        driver, QUEUES);
    double begin = now();
    Vm *vm = vm_start("-M", machine, "-smp", "4", "-object", "iothread,id=io0", "-object",
                      "iothread,id=io1", "-blockdev", node, "-device", device, NULL);

    vm_wait_ready(vm);
    passed("%s: ready after %.1f s", machine, now() - begin);
    disk_guest_do(vm, "[ $(ls /sys/block/vda/mq | wc -l) = %d ]", QUEUES);
    disk_guest_do(vm, "mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && for w in 0 1 2 3; do "
                      "dd if=/dev/urandom of=/tmp/src$w bs=1k count=$((700 + w * 64)) "
                      "2>/dev/null && md5sum /tmp/src$w >/tmp/sum$w || exit 1; done");
    return vm;
}

/*
 * For some seconds, each writer overwrites files of its own, now with the one, then with another
 * source, and compares each as soon as it is on the disk. /tmp/of-FILE has the sum of its last
 * source, as md5sum writes it, /tmp/good$w the number of rounds of a writer that found all in
 * order.
 */
#define WRITERS                                                                               \
    "run cd /mnt; rm -f /tmp/good*; end=$(($(cut -d. -f1 /proc/uptime) + %d)); "              \
    "for w in 0 1 2 3; do (r=0; up=0; while [ $r -lt %d ] || [ $up -lt $end ]; do "           \
    "r=$((r + 1)); f=$w-$((r %% %d)); s=$(((r + w) %% 4)); "                                  \
    "read sum name </tmp/sum$s; echo \"$sum  $f\" >/tmp/of-$f; "                              \
    "taskset $((1 << w)) dd if=/tmp/src$s of=$f bs=20k conv=fsync 2>/dev/null && "            \
    "taskset $((1 << w)) md5sum -cs /tmp/of-$f || exit 1; IFS=. read up rest </proc/uptime; " \
    "done; echo $r >/tmp/good$w) & done; wait; cat /tmp/good? | tr '\\n' ' '\n"

static bool is_done(Vm *vm, size_t from)
{
    return strstr(vm->console->str + from, "AEROSTAT-DONE") != NULL;
}

static void stop_and_go(Vm *vm)
{
    vm_do(vm, "stop", NULL);
    vm_expect_status(vm, "paused");
    vm_sleep(vm, 0.05);
    vm_do(vm, "cont", NULL);
    vm_expect_status(vm, "running");
}

/* What a stopped VM has under way must end; then the counters stand still. */
static void expect_standstill(Vm *vm)
{
    int64_t before, after;

    vm_do(vm, "stop", NULL);
    vm_sleep(vm, 0.2);
    before = disk_counter(vm, "disk", "wr_operations");
    vm_sleep(vm, 0.3);
    after = disk_counter(vm, "disk", "wr_operations");
    if (before != after) {
        fail("a stopped VM goes on writing: %" G_GINT64_FORMAT " writes, then %" G_GINT64_FORMAT,
             before, after);
    }
    vm_do(vm, "cont", NULL);
}

/* Rounds of the four writers, which must all have ended well. */
static unsigned take_rounds(const char *answer)
{
    unsigned n[QUEUES], sum = 0;

    if (sscanf(answer, "%u %u %u %u", &n[0], &n[1], &n[2], &n[3]) != QUEUES) {
        fail("a writer's file is not what it wrote: %s", answer);
    }
    for (int w = 0; w < QUEUES; w++) {
        sum += n[w];
    }
    return sum;
}

static void load(Vm *vm)
{
    g_autofree char *command = g_strdup_printf(WRITERS, SECONDS, FILES, FILES), *done = NULL;
    uint64_t io0 = disk_thread_sleeps(vm, "IO io0"), io1 = disk_thread_sleeps(vm, "IO io1");
    size_t from = vm->console->len;
    unsigned rounds;
    int stops = 0;

    vm->seen = from;
    vm_type(vm, command);
    vm_sleep(vm, 0.5);
    expect_standstill(vm);
    for (; stops < STOPS && !is_done(vm, from); stops++) {
        stop_and_go(vm);
        vm_sleep(vm, 0.1);
    }
    if (stops < 2) {
        fail("the load ended before the VM was stopped");
    }
    done = vm_wait_console(vm, "AEROSTAT-DONE", T_REPLY);
    if (!g_str_has_suffix(done, "AEROSTAT-DONE 0")) {
        fail("the load failed: %s", vm->console->str + from);
    }
    rounds = take_rounds(vm->console->str + from);
    if (disk_thread_sleeps(vm, "IO io0") < io0 + FILES ||
        disk_thread_sleeps(vm, "IO io1") < io1 + FILES) {
        fail("an iothread did no work");
    }
    passed("%d writers wrote and compared %u files while the VM was stopped %d times", QUEUES,
           rounds, stops + 1);
}

/* All of it again from the disk. */
static void expect_whole(Vm *vm)
{
    g_autofree char *files =
        disk_guest(vm, "cd / && umount /mnt && echo 3 >/proc/sys/vm/drop_caches && "
                       "mount -t ext4 /dev/vda /mnt && cd /mnt && "
                       "cat /tmp/of-* >/tmp/all && md5sum -cs /tmp/all && ls -d [0-3]-* | wc -l");

    if (atoi(files) != QUEUES * FILES) {
        fail("%s files are there, not %d", files, QUEUES * FILES);
    }
    passed("all %d files are whole after a remount", QUEUES * FILES);
}

/* --- where the work was done --- */

/* Each queue has its own vector, which fired. */
static void expect_queues_used(Vm *vm)
{
    for (int q = 0; q < QUEUES; q++) {
        g_autofree char *line = disk_guest(vm, "grep -- '-req\\.%d *$' /proc/interrupts", q);
        unsigned long long n[4] = {0};

        if (sscanf(line, " %*u: %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3]) != 4 ||
            n[0] + n[1] + n[2] + n[3] < FILES) {
            fail("queue %d was not used: %s", q, line);
        }
    }
    passed("all %d queues were used", QUEUES);
}

/* Fields of /sys/block/vda/stat, see Documentation/block/stat.rst. */
enum {
    RD = 0,
    RD_SECTORS = 2,
    WR = 4,
    WR_SECTORS = 6,
    DISCARD = 11,
    DISCARD_SECTORS = 13,
    FLUSH = 15,
    FIELDS = 17
};

static void expect_count(Vm *vm, const char *counter, const char *merged, int64_t guest)
{
    int64_t host = disk_counter(vm, "disk", counter);

    host += merged ? disk_counter(vm, "disk", merged) : 0;
    if (host != guest || host == 0) {
        fail("%s: %" G_GINT64_FORMAT " by query-blockstats, %" G_GINT64_FORMAT " in the guest",
             counter, host, guest);
    }
}

/* Linux counts a flush that it was asked for as a write of nothing, too. */
static void expect_writes(Vm *vm, int64_t writes, int64_t flushes)
{
    int64_t host =
        disk_counter(vm, "disk", "wr_operations") + disk_counter(vm, "disk", "wr_merged");

    if (host > writes || host + flushes < writes || host == 0) {
        fail("%" G_GINT64_FORMAT " writes by query-blockstats; in the guest %" G_GINT64_FORMAT
             " with up to %" G_GINT64_FORMAT " flushes",
             host, writes, flushes);
    }
}

static void expect_counters(Vm *vm)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) words = NULL;
    int64_t n[FIELDS] = {0};
    unsigned fields = 0;

    disk_guest_do(vm, "cd / && rm /mnt/0-* && sync && fstrim /mnt && umount /mnt");
    text = disk_guest(vm, "cat /sys/block/vda/stat");
    words = g_strsplit_set(text, " ", -1);
    for (unsigned i = 0; words[i] && fields < FIELDS; i++) {
        if (*words[i]) {
            n[fields++] = g_ascii_strtoll(words[i], NULL, 10);
        }
    }
    expect_count(vm, "rd_operations", "rd_merged", n[RD]);
    expect_count(vm, "rd_bytes", NULL, n[RD_SECTORS] * 512);
    expect_writes(vm, n[WR], n[FLUSH]);
    expect_count(vm, "wr_bytes", NULL, n[WR_SECTORS] * 512);
    expect_count(vm, "unmap_bytes", NULL, n[DISCARD_SECTORS] * 512);
    expect_count(vm, "flush_operations", NULL, n[FLUSH]);
    if (disk_counter(vm, "disk", "failed_wr_operations") != 0) {
        fail("query-blockstats counts failed writes");
    }
    passed("query-blockstats agrees with the guest: %" G_GINT64_FORMAT " reads, %" G_GINT64_FORMAT
           " writes, %" G_GINT64_FORMAT " flushes",
           n[RD], n[WR], n[FLUSH]);
}

static void run_queues(const char *machine, const char *driver, bool vectors)
{
    char *dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);
    char *path = disk_make_ext4(dir, "disk.img", DISK_MB * MiB, NULL);
    Vm *vm = start_queues(machine, driver, path);

    load(vm);
    if (vectors) {
        expect_queues_used(vm);
    }
    expect_whole(vm);
    expect_counters(vm);
    vm_power_off(vm);
    disk_expect_clean(path);
    disk_remove_dir(dir);
    g_free(path);
    g_free(dir);
}

void group_disk_queues(void)
{
    run_queues("pc", "virtio-blk-pci", true);
}

void group_disk_queues_microvm(void)
{
    run_queues("microvm", "virtio-blk-device", false);
}

/* --- full storage --- */

static void expect_stopped(Vm *vm)
{
    json_t *e = vm_wait_event(vm, "BLOCK_IO_ERROR", T_REPLY), *data = json_object_get(e, "data");

    if (g_strcmp0(json_string_value(json_object_get(data, "action")), "stop") != 0 ||
        g_strcmp0(json_string_value(json_object_get(data, "operation")), "write") != 0 ||
        !json_is_true(json_object_get(data, "nospace"))) {
        fail("BLOCK_IO_ERROR: %s", json_dumps(e, 0));
    }
    json_decref(e);
    json_decref(vm_wait_event(vm, "STOP", T_REPLY));
    vm_expect_status(vm, "io-error");
}

/* The fourth, ninth and seventeenth write find no room. */
#define FULL                                                                                 \
    "{\"driver\": \"blkdebug\", \"node-name\": \"disk\", \"image\": {\"driver\": \"file\", " \
    "\"filename\": \"%s\"}, \"inject-error\": ["                                             \
    "{\"iotype\": \"write\", \"nth\": 4, \"once\": true, \"errno\": %d}, "                   \
    "{\"iotype\": \"write\", \"nth\": 9, \"once\": true, \"errno\": %d, \"torn\": 1024}, "   \
    "{\"iotype\": \"write\", \"nth\": 17, \"once\": true, \"errno\": %d}]}"

void group_disk_full(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);
    g_autofree char *path = disk_make(dir, "disk.img", 8 * MiB);
    g_autofree char *node = g_strdup_printf(FULL, path, ENOSPC, ENOSPC, ENOSPC);
    g_autofree char *guest = NULL, *host = NULL;
    Vm *vm = vm_start("-object", "iothread,id=io0", "-blockdev", node, "-device",
                      "virtio-blk,drive=disk,iothread=io0", NULL);
    size_t from;

    vm_wait_ready(vm);
    disk_guest_do(vm, "dd if=/dev/urandom of=/tmp/x bs=64k count=32 2>&1");
    vm_forget_events(vm);
    from = vm->seen = vm->console->len;
    vm_type(vm, "run for i in $(seq 0 31); do dd if=/tmp/x of=/dev/vda bs=64k skip=$i seek=$i "
                "count=1 conv=notrunc,fsync 2>/dev/null || exit 1; done\n");
    for (int i = 0; i < 3; i++) {
        expect_stopped(vm);
        vm_sleep(vm, 0.2);
        if (is_done(vm, from)) {
            fail("the guest's command ended while the VM was stopped");
        }
        vm_do(vm, "cont", NULL);
    }
    g_free(vm_wait_console(vm, "AEROSTAT-DONE 0", T_REPLY));
    guest = disk_guest(vm, "sha256sum </tmp/x");
    host = disk_digest(path, 0, 2 * MiB);
    if (!g_str_has_prefix(guest, host)) {
        fail("after three stops the disk's digest is %s, the guest's %s", host, guest);
    }
    disk_guest_do(vm, "! dmesg | grep 'I/O error'");
    passed("full storage stopped the VM three times, and no byte is lost");
    vm_power_off(vm);
    disk_remove_dir(dir);
}
