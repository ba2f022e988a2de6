/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks of the guest tests, see disk.h.
 */
#include "tests/guest/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

/* --- on this side --- */

char *disk_make(const char *dir, const char *name, uint64_t size)
{
    char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    close(fd);
    return path;
}

char *disk_make_ext4(const char *dir, const char *name, uint64_t size, const char *tree)
{
    char *path = disk_make(dir, name, size);
    g_autofree char *errors = NULL;
    g_autoptr(GError) err = NULL;
    const char *argv[] = {
        paths->mkfs, "-q", "-F", "-b", "4096", path, tree ? "-d" : NULL, tree, NULL,
    };
    int status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &errors,
                      &status, &err) ||
        !g_spawn_check_wait_status(status, &err)) {
        fail("%s: %s %s", argv[0], err->message, errors ? errors : "");
    }
    return path;
}

void disk_remove_dir(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_remove(path);
    }
    if (g_rmdir(dir) < 0) {
        fail("%s cannot be removed: %s", dir, strerror(errno));
    }
}

uint64_t disk_allocated(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    return (uint64_t)st.st_blocks * 512;
}

uint64_t disk_size(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    return (uint64_t)st.st_size;
}

static void read_part(const char *path, uint64_t offset, void *data, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, data, len, (off_t)offset) != (ssize_t)len) {
        fail("%s: %zu bytes at %" G_GUINT64_FORMAT " cannot be read", path, len, offset);
    }
    close(fd);
}

char *disk_digest(const char *path, uint64_t offset, uint64_t len)
{
    g_autofree guchar *data = g_malloc(len);

    read_part(path, offset, data, len);
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, len);
}

/* A line of /proc/PID/task/TID/status; NULL: not there. */
static char *thread_line(Vm *vm, const char *tid, const char *key)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%s/status", (int)vm->pid, tid);
    g_autofree char *text = NULL, *word = g_strdup_printf("%s:\t", key);
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !(at = strstr(text, word))) {
        return NULL;
    }
    at += strlen(word);
    return g_strndup(at, strcspn(at, "\n"));
}

uint64_t disk_thread_sleeps(Vm *vm, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)vm->pid);
    g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
    const char *tid;

    while (d && (tid = g_dir_read_name(d))) {
        g_autofree char *this = thread_line(vm, tid, "Name");

        if (!g_strcmp0(this, name)) {
            g_autofree char *n = thread_line(vm, tid, "voluntary_ctxt_switches");

            return n ? strtoull(n, NULL, 10) : 0;
        }
    }
    fail("the VMM has no thread '%s'", name);
}

void disk_expect_clean(const char *path)
{
    enum { SUPER = 1024, MAGIC = 0x38, STATE = 0x3a, INCOMPAT = 0x60, VALID = 1, RECOVER = 4 };
    uint8_t super[1024];

    read_part(path, SUPER, super, sizeof super);
    if (super[MAGIC] != 0x53 || super[MAGIC + 1] != 0xef) {
        fail("%s: no ext4", path);
    }
    if (!(super[STATE] & VALID) || (super[INCOMPAT] & RECOVER)) {
        fail("%s: ext4 was not left in order: state %u, incompatible features 0x%x", path,
             super[STATE], super[INCOMPAT]);
    }
}

/* --- on the guest's side --- */

static char *ask(Vm *vm, int *ret_status, const char *fmt, va_list ap)
{
    g_autofree char *command = g_strdup_vprintf(fmt, ap);
    g_autofree char *line = g_strconcat("run ", command, NULL);

    return vm_ask(vm, ret_status, line);
}

static char *ask_well(Vm *vm, const char *fmt, va_list ap)
{
    int status;
    char *answer = ask(vm, &status, fmt, ap);

    if (status != 0) {
        fail("in the guest: status %d of '%s': %s", status, fmt, answer);
    }
    return answer;
}

char *disk_guest(Vm *vm, const char *fmt, ...)
{
    va_list ap;
    char *answer;

    va_start(ap, fmt);
    answer = ask_well(vm, fmt, ap);
    va_end(ap);
    return g_strchomp(answer);
}

void disk_guest_do(Vm *vm, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_free(ask_well(vm, fmt, ap));
    va_end(ap);
}

char *disk_guest_error(Vm *vm, const char *fmt, ...)
{
    va_list ap;
    char *answer;
    int status;

    va_start(ap, fmt);
    answer = ask(vm, &status, fmt, ap);
    va_end(ap);
    if (status == 0) {
        fail("in the guest: '%s' succeeded, should have failed: %s", fmt, answer);
    }
    return g_strchomp(answer);
}

void disk_guest_expect(Vm *vm, const char *path, const char *wanted)
{
    g_autofree char *got = disk_guest(vm, "head -n 1 %s", path);

    if (strcmp(got, wanted) != 0) {
        fail("%s in the guest is '%s', not '%s'", path, got, wanted);
    }
}

void disk_use_hot(Vm *vm, const char *path, unsigned round)
{
    g_autofree char *host = NULL, *guest = NULL;

    disk_guest_do(vm,
                  "dd if=/dev/urandom of=/dev/vda bs=64k count=16 seek=%u "
                  "conv=notrunc,fsync 2>&1",
                  round * 16);
    guest = disk_guest(vm,
                       "echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M count=%u "
                       "2>/dev/null | sha256sum",
                       round + 1);
    host = disk_digest(path, 0, (round + 1) * MiB);
    if (!strstr(guest, host)) {
        fail("%u MiB of the hot disk: digest %s in the guest, %s in the file", round + 1, guest,
             host);
    }
}

/* --- in QMP --- */

int64_t disk_counter(Vm *vm, const char *node, const char *counter)
{
    json_t *all = vm_qmp(vm, "query-blockstats", NULL), *disk, *value = NULL;
    int64_t n;
    size_t i;

    json_array_foreach(all, i, disk)
    {
        if (!g_strcmp0(json_string_value(json_object_get(disk, "node-name")), node)) {
            value = json_object_get(json_object_get(disk, "stats"), counter);
        }
    }
    if (!json_is_integer(value)) {
        fail("query-blockstats has no %s of node '%s'", counter, node);
    }
    n = json_integer_value(value);
    json_decref(all);
    return n;
}
