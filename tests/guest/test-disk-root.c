/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ready-made config files with disks, as they are: a guest with its root on a virtio disk, and
 * one whose disks have threads of their own. And what the guest says when root= is wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

enum { BLOCK = 4096 };

/* --- a root of our own --- */

/* The image with its holes: the one that was given stays as it is. */
static void copy_image(const char *from, const char *to)
{
    static const char zeros[BLOCK];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    char data[BLOCK];
    off_t size = 0;

    if (!in || !out) {
        fail("%s or %s: %s", from, to, strerror(errno));
    }
    for (size_t n; (n = fread(data, 1, sizeof data, in)) > 0; size += (off_t)n) {
        if (memcmp(data, zeros, n) != 0 &&
            (fseeko(out, size, SEEK_SET) < 0 || fwrite(data, 1, n, out) != n)) {
            fail("%s: %s", to, strerror(errno));
        }
    }
    if (fflush(out) != 0 || ftruncate(fileno(out), size) < 0) {
        fail("%s: %s", to, strerror(errno));
    }
    fclose(in);
    fclose(out);
}

/* Goes to a new folder, with the image where blk-root.cfg looks for it. */
static char *enter_folder(void)
{
    char *dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);

    if (chdir(dir) < 0 || g_mkdir_with_parents("build/guest", 0700) < 0) {
        fail("%s: %s", dir, strerror(errno));
    }
    copy_image(paths->root, "build/guest/root.img");
    return dir;
}

static void leave_folder(char *dir)
{
    disk_remove_dir("build/guest");
    disk_remove_dir("build");
    if (chdir("/") < 0) {
        fail("/: %s", strerror(errno));
    }
    disk_remove_dir(dir);
    g_free(dir);
}

/* --- blk-root.cfg --- */

/* As its first lines say, but for the machine. The echo of what is typed does not have the words
 * that sh makes of it. */
static Vm *boot_shell(const char *machine)
{
    const char *argv[] = {
        paths->vmm, "-readconfig", paths->config,         "-kernel", paths->vmlinux,
        "-initrd",  paths->initrd, machine ? "-M" : NULL, machine,   NULL,
    };
    Vm *vm = vm_start_plain((char *const *)argv);

    g_free(vm_wait_console(vm, "AEROSTAT-ROOT", T_BOOT));
    g_free(vm_wait_console(vm, "guest:", T_BOOT));
    return vm;
}

static void type_and_wait(Vm *vm, const char *command, const char *wanted)
{
    g_autofree char *line = g_strconcat(command, "\n", NULL);

    vm_type(vm, line);
    g_free(vm_wait_console(vm, wanted, T_REPLY));
}

static void exit_shell(Vm *vm)
{
    vm_type(vm, "exit\n");
    vm_finish(vm);
    disk_expect_clean("build/guest/root.img");
}

void group_disk_root(void)
{
    char *dir = enter_folder();
    Vm *vm = boot_shell(NULL);

    type_and_wait(
        vm, "echo root=$(awk '$2 == \"/\" { r = $1 \" \" $3 } END { print r }' /proc/mounts).",
        "root=/dev/vda ext4.");
    type_and_wait(vm, "echo serial=$(cat /sys/block/vda/serial).", "serial=aerostat-root.");
    passed("blk-root.cfg boots to a shell with its root on /dev/vda");
    type_and_wait(vm,
                  "dd if=/dev/urandom of=/root/data bs=64k count=20 2>/dev/null; sha256sum "
                  "/root/data >/root/sum; echo status=$?.",
                  "status=0.");
    type_and_wait(vm, "dd if=/dev/zero of=/x bs=1M count=8; rm /x; sync; fstrim /; echo status=$?.",
                  "status=0.");
    exit_shell(vm);
    passed("it powers itself off and leaves its root clean");

    vm = boot_shell("microvm");
    type_and_wait(vm, "sha256sum -c /root/sum; echo status=$?.", "status=0.");
    exit_shell(vm);
    passed("its files are there when a microvm boots from it");
    leave_folder(dir);
}

/* --- root= that leads nowhere --- */

static void expect_no_root(const char *words, const char *path, const char *message)
{
    g_autofree char *append = g_strconcat("console=ttyS0 quiet cryptomgr.notests ", words, NULL);
    g_autofree char *drive = g_strdup_printf("if=virtio,file=%s,format=raw", path);
    Vm *vm = vm_start("-append", append, "-drive", drive, NULL);

    g_free(vm_wait_console(vm, message, T_BOOT));
    vm_wait_ready(vm); /* in the initramfs */
    disk_guest_do(vm, "[ -x /init ] && ! grep ' ext4 ' /proc/mounts");
    vm_power_off(vm);
    passed("%s: %s", words, message);
}

void group_disk_root_errors(void)
{
    char *dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);
    g_autofree char *empty = disk_make(dir, "empty.img", 8 * MiB);
    g_autofree char *bare = disk_make_ext4(dir, "bare.img", 8 * MiB, NULL);

    expect_no_root("root=/dev/vda", empty, "init: root=/dev/vda: cannot mount as ext4: Invalid");
    expect_no_root("root=/dev/vda", bare, "init: root=/dev/vda: no /sbin/init there: No such file");
    disk_remove_dir(dir);
    g_free(dir);
}

/* --- blk-iothreads.cfg --- */

static void use_disk(Vm *vm, char letter, const char *thread)
{
    uint64_t before = disk_thread_sleeps(vm, thread);

    disk_guest_do(vm,
                  "d=vd%c; [ $(ls /sys/block/$d/mq | wc -l) = 4 ] && mkdir /$d && "
                  "mount -t ext4 /dev/$d /$d && dd if=/dev/urandom of=/$d/x bs=64k "
                  "count=16 2>/dev/null && sha256sum /$d/x >/tmp/$d && umount /$d && "
                  "mount -t ext4 /dev/$d /$d && sha256sum -c /tmp/$d && umount /$d",
                  letter);
    if (disk_thread_sleeps(vm, thread) < before + 5) {
        fail("the thread '%s' did not work for vd%c", thread, letter);
    }
}

/* With the agent: the file's append has nothing that matters. */
void group_disk_iothreads(void)
{
    char *dir = g_dir_make_tmp("guest-disk-XXXXXX", NULL);
    g_autofree char *data = disk_make_ext4(dir, "data.img", 32 * MiB, NULL);
    g_autofree char *logs = disk_make_ext4(dir, "logs.img", 32 * MiB, NULL);
    Vm *vm;

    if (chdir(dir) < 0) { /* where the config file looks for them */
        fail("%s: %s", dir, strerror(errno));
    }
    vm = vm_start("-readconfig", paths->config, NULL);
    vm_wait_ready(vm);
    use_disk(vm, 'a', "IO io0");
    use_disk(vm, 'b', "IO io1");
    vm_power_off(vm);
    disk_expect_clean(data);
    disk_expect_clean(logs);
    passed("blk-iothreads.cfg has two disks, each on a thread of its own");
    if (chdir("/") < 0) {
        fail("/: %s", strerror(errno));
    }
    disk_remove_dir(dir);
    g_free(dir);
}
