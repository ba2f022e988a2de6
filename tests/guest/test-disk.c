/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in use by Linux' driver and its ext4, on each transport: files keep their contents over a
 * remount, when the driver lets go of the device and takes it again, and over boots with other
 * rings and the legacy interface; discards shrink the host's file, serial numbers, topology and
 * cache modes arrive as given, a read-only disk stays as it was, a disk grows while it is mounted.
 */
#include <glib/gstdio.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

enum {
    DATA_MB = 64,
    GROWN_MB = 96,
    RO_MB = 16,
    RAW_MB = 16,
    TRIM_MB = 16,
    FILES = 108,          /* in the guest, by MAKE_FILES */
    FILE_BYTES = 2000000, /* of them together, at the least */
};

enum { BOOTS = 3 };

/* How the guest meets the disks, boot by boot. */
typedef struct {
    const char *name, *machine;
    const char *driver; /* with properties */
    bool version_1, packed;
} Cell;

/* A folder with disks, and a VM that has them. */
typedef struct {
    const Cell *cell;
    char *dir, *data, *ro, *raw;
    Vm *vm;
} Run;

/* --- start and end --- */

/* One file, made on this side, in the disk that the guest only reads. */
static char *make_ro(const char *dir)
{
    g_autofree char *tree = g_build_filename(dir, "tree", NULL);
    g_autofree char *file = g_build_filename(tree, "from-host", NULL);
    char *path;

    if (g_mkdir(tree, 0700) < 0 || !g_file_set_contents(file, "made by the host\n", -1, NULL)) {
        fail("%s cannot be made", file);
    }
    path = disk_make_ext4(dir, "ro.img", RO_MB * MiB, tree);
    disk_remove_dir(tree);
    return path;
}

static void make_disks(Run *r)
{
    r->dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);
    r->data = disk_make_ext4(r->dir, "data.img", DATA_MB * MiB, NULL);
    r->ro = make_ro(r->dir);
    r->raw = disk_make(r->dir, "raw.img", RAW_MB * MiB);
}

/* The device's features by number, in the order that sysfs prints them. */
static void expect_features(Run *r)
{
    g_autofree char *bits = disk_guest(r->vm, "cat /sys/class/block/vda/device/features");

    if (strlen(bits) < 64 || (bits[VIRTIO_F_VERSION_1] == '1') != r->cell->version_1 ||
        (bits[VIRTIO_F_RING_PACKED] == '1') != r->cell->packed) {
        fail("%s: the driver negotiated %s", r->cell->name, bits);
    }
}

static void start(Run *r)
{
    const char *driver = r->cell->driver;
    g_autofree char *data =
        g_strdup_printf("file,node-name=data,filename=%s,discard=unmap", r->data);
    g_autofree char *ro = g_strdup_printf("file,node-name=ro,filename=%s,read-only=on", r->ro);
    g_autofree char *raw = g_strdup_printf(
        "if=none,id=raw,file=%s,format=raw,cache=writethrough,discard=ignore", r->raw);
    g_autofree char *vda = g_strconcat(
        driver, ",id=vd0,drive=data,serial=AEROSTAT-0001,discard_granularity=8192", NULL);
    g_autofree char *vdb = g_strconcat(driver,
                                       ",drive=ro,serial=12345678901234567890"
                                       ",logical_block_size=4096,physical_block_size=16384"
                                       ",min_io_size=16384,opt_io_size=131072",
                                       NULL);
    g_autofree char *vdc = g_strconcat(driver, ",drive=raw,physical_block_size=4096", NULL);
    double begin = now();

    r->vm = vm_start("-M", r->cell->machine, "-blockdev", data, "-blockdev", ro, "-drive", raw,
                     "-device", vda, "-device", vdb, "-device", vdc, NULL);
    vm_wait_ready(r->vm);
    expect_features(r);
    passed("%s: ready after %.1f s", r->cell->name, now() - begin);
}

static void finish(Run *r)
{
    disk_remove_dir(r->dir);
    g_free(r->dir);
    g_free(r->data);
    g_free(r->ro);
    g_free(r->raw);
}

/* --- what the guest sees --- */

static const struct {
    const char *file, *value;
} seen[] = {
    {"vda/serial", "AEROSTAT-0001"},
    {"vda/size", "131072"}, /* sectors of 512 bytes */
    {"vda/ro", "0"},
    {"vda/cache_type", "write back"},
    {"vda/queue/write_cache", "write back"},
    {"vda/queue/logical_block_size", "512"},
    {"vda/queue/discard_granularity", "8192"},
    {"vdb/serial", "12345678901234567890"},
    {"vdb/size", "32768"},
    {"vdb/ro", "1"},
    {"vdb/queue/logical_block_size", "4096"},
    {"vdb/queue/physical_block_size", "16384"},
    {"vdb/queue/minimum_io_size", "16384"},
    {"vdb/queue/optimal_io_size", "131072"},
    {"vdc/serial", ""},
    {"vdc/ro", "0"},
    {"vdc/cache_type", "write through"},
    {"vdc/queue/write_cache", "write through"},
    {"vdc/queue/discard_max_bytes", "0"}, /* discard=ignore */
    {"vdc/queue/logical_block_size", "512"},
    {"vdc/queue/physical_block_size", "4096"},
};

static void expect_properties(Vm *vm)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(seen); i++) {
        g_autofree char *path = g_strconcat("/sys/block/", seen[i].file, NULL);

        disk_guest_expect(vm, path, seen[i].value);
    }
    passed("serial numbers, topology, sizes and cache modes are as given");
}

/* The driver asks the device again each time. */
static void expect_cache_switch(Vm *vm)
{
    disk_guest_do(vm, "echo 'write through' >/sys/block/vda/cache_type");
    disk_guest_expect(vm, "/sys/block/vda/cache_type", "write through");
    disk_guest_do(vm, "echo 'write back' >/sys/block/vda/cache_type");
    disk_guest_expect(vm, "/sys/block/vda/cache_type", "write back");
    passed("the guest switches the cache mode");
}

/* --- files --- */

#define MOUNT "mkdir -p /mnt && mount -t ext4 /dev/vda /mnt"
#define MAKE_FILES                                                                  \
    MOUNT " && cd /mnt && for i in $(seq 8); do "                                   \
          "dd if=/dev/urandom of=f$i bs=1k count=$((i * i * 10 + i)) 2>&1 || exit;" \
          "done; mkdir d && for i in $(seq 100); do echo $i >d/$i; done; "          \
          "sha256sum f* d/* >sums && cd / && umount /mnt"

static void write_files(Vm *vm)
{
    disk_guest_do(vm, MAKE_FILES);
    passed("%d files written on ext4", FILES);
}

/* All of them are read from the disk, not from the guest's memory. */
static void expect_files(Vm *vm)
{
    int64_t before = disk_counter(vm, "data", "rd_bytes"), bytes;
    g_autofree char *good = disk_guest(vm, "echo 3 >/proc/sys/vm/drop_caches; " MOUNT
                                           " && cd /mnt && sha256sum -c sums >/tmp/out && "
                                           "grep -c ': OK$' /tmp/out && cd / && umount /mnt");

    bytes = disk_counter(vm, "data", "rd_bytes") - before;
    if (atoi(good) != FILES) {
        fail("%s of %d files have their checksums", good, FILES);
    }
    if (bytes < FILE_BYTES) {
        fail("the guest read %" G_GINT64_FORMAT " bytes from the disk, not all", bytes);
    }
    passed("%d files have their checksums, %" G_GINT64_FORMAT " KiB read", FILES, bytes >> 10);
}

/* --- discard --- */

static void expect_trim(Run *r)
{
    uint64_t before, full, after;
    int64_t unmapped = disk_counter(r->vm, "data", "unmap_bytes");

    before = disk_allocated(r->data);
    disk_guest_do(r->vm, MOUNT " && dd if=/dev/zero of=/mnt/big bs=1M count=%d conv=fsync 2>&1",
                  TRIM_MB);
    full = disk_allocated(r->data);
    if (full < before + TRIM_MB * MiB) {
        fail("the file takes %" G_GUINT64_FORMAT " bytes, then %" G_GUINT64_FORMAT, before, full);
    }
    disk_guest_do(r->vm, "rm /mnt/big && sync && fstrim /mnt && umount /mnt");
    after = disk_allocated(r->data);
    if (after + (TRIM_MB - 1) * MiB > full) {
        fail("fstrim: the file took %" G_GUINT64_FORMAT " bytes, then %" G_GUINT64_FORMAT, full,
             after);
    }
    unmapped = disk_counter(r->vm, "data", "unmap_bytes") - unmapped;
    if (unmapped < (int64_t)(TRIM_MB * MiB)) {
        fail("query-blockstats: %" G_GINT64_FORMAT " bytes were unmapped", unmapped);
    }
    passed("fstrim shrank the file from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " KiB",
           full >> 10, after >> 10);
}

/* --- raw bytes, compared on this side --- */

static void expect_raw(Run *r, const char *disk, const char *path, unsigned seek_mb)
{
    g_autofree char *guest = disk_guest(
        r->vm,
        "dd if=/dev/urandom of=/tmp/x bs=64k count=32 2>/dev/null && dd if=/tmp/x of=/dev/%s "
        "bs=64k seek=%u conv=notrunc,fsync 2>&1 && sha256sum </tmp/x",
        disk, seek_mb * 16);
    g_autofree char *host = disk_digest(path, seek_mb * MiB, 2 * MiB);

    if (!strstr(guest, host)) {
        fail("2 MiB written to %s: in the file their digest is %s, in the guest %s", disk, host,
             guest);
    }
    disk_guest_do(r->vm,
                  "blockdev --flushbufs /dev/%s && dd if=/dev/%s bs=64k skip=%u "
                  "count=32 2>/dev/null | cmp - /tmp/x && rm /tmp/x",
                  disk, disk, seek_mb * 16);
    passed("2 MiB at %u MiB of %s are the same on both sides", seek_mb, disk);
}

/* --- read-only --- */

static void expect_read_only(Run *r)
{
    g_autofree char *before = disk_digest(r->ro, 0, RO_MB * MiB), *after = NULL;
    g_autofree char *error = disk_guest_error(
        r->vm, "dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=notrunc,fsync 2>&1");

    g_free(disk_guest_error(r->vm, "mkdir -p /ro && mount -o rw -t ext4 /dev/vdb /ro 2>&1 && "
                                   "touch /ro/x 2>&1")); /* some mount it read-only instead */
    disk_guest_do(r->vm, "grep -q ' /ro ' /proc/mounts || mount -o ro -t ext4 /dev/vdb /ro");
    disk_guest_expect(r->vm, "/ro/from-host", "made by the host");
    disk_guest_do(r->vm, "umount /ro");
    after = disk_digest(r->ro, 0, RO_MB * MiB);
    if (strcmp(before, after) != 0) {
        fail("the read-only disk was written to");
    }
    passed("a read-only disk is read, and refuses writes: %s", error);
}

/* --- resize --- */

static void expect_resize(Run *r)
{
    char sectors[24];

    g_snprintf(sectors, sizeof sectors, "%" G_GUINT64_FORMAT, GROWN_MB * MiB / 512);
    disk_guest_do(r->vm, MOUNT);
    vm_do(r->vm, "block_resize",
          json_pack("{s:s, s:I}", "node-name", "data", "size", (json_int_t)(GROWN_MB * MiB)));
    if (disk_size(r->data) != GROWN_MB * MiB) {
        fail("the file has %" G_GUINT64_FORMAT " bytes", disk_size(r->data));
    }
    disk_guest_do(r->vm,
                  "for i in $(seq 100); do [ $(cat /sys/block/vda/size) = %s ] && exit; "
                  "sleep 0.1; done; exit 1",
                  sectors);
    expect_raw(r, "vda", r->data, DATA_MB + 8);
    disk_guest_do(r->vm, "umount /mnt");
    passed("a mounted disk grew from %d to %d MiB", DATA_MB, GROWN_MB);
}

/* --- all of it --- */

/* The driver resets the device and starts anew. */
static void rebind(Vm *vm)
{
    disk_guest_do(vm, "n=$(basename $(readlink -f /sys/block/vda/device)) && "
                      "cd /sys/bus/virtio/drivers/virtio_blk && echo $n >unbind && "
                      "[ ! -e /sys/block/vda ] && echo $n >bind && [ -b /dev/vda ]");
    passed("the driver let go of the device and took it again");
}

static void first_boot(Run *r)
{
    start(r);
    expect_properties(r->vm);
    expect_cache_switch(r->vm);
    write_files(r->vm);
    expect_files(r->vm);
    expect_trim(r);
    expect_read_only(r);
    expect_raw(r, "vdc", r->raw, 3);
    expect_resize(r);
    rebind(r->vm);
    expect_files(r->vm);
    vm_power_off(r->vm);
    disk_expect_clean(r->data);
}

/* Files of the boot before, then new ones. */
static void later_boot(Run *r)
{
    start(r);
    disk_guest_expect(r->vm, "/sys/block/vda/size", "196608");
    expect_files(r->vm);
    disk_guest_do(r->vm, MOUNT " && rm -r /mnt/f* /mnt/d /mnt/sums && umount /mnt");
    write_files(r->vm);
    expect_files(r->vm);
    expect_trim(r);
    vm_power_off(r->vm);
    disk_expect_clean(r->data);
}

static void run_cells(const Cell cells[BOOTS])
{
    Run r = {.cell = cells};

    make_disks(&r);
    first_boot(&r);
    while (++r.cell < cells + BOOTS) {
        later_boot(&r);
    }
    finish(&r);
}

void group_disk_pc(void)
{
    static const Cell cells[BOOTS] = {
        {.name = "pc", .machine = "pc", .driver = "virtio-blk-pci", .version_1 = true},
        {.name = "pc, packed",
         .machine = "pc",
         .driver = "virtio-blk-pci,packed=on",
         .version_1 = true,
         .packed = true},
        {.name = "pc, legacy",
         .machine = "pc",
         .driver = "virtio-blk-pci,disable-modern=on,disable-legacy=off"},
    };

    run_cells(cells);
}

void group_disk_microvm(void)
{
    static const Cell cells[BOOTS] = {
        {.name = "microvm", .machine = "microvm", .driver = "virtio-blk-device", .version_1 = true},
        {.name = "microvm, packed",
         .machine = "microvm",
         .driver = "virtio-blk-device,packed=on",
         .version_1 = true,
         .packed = true},
        {.name = "microvm, version 1",
         .machine = "microvm,force-legacy=on",
         .driver = "virtio-blk-device"},
    };

    run_cells(cells);
}
