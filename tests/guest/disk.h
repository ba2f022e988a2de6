/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks of the guest tests: raw files in a folder of their own, and what of them is seen on both sides. As in vm.h, a
 * function ends the test with a message when it cannot do what it says.
 */
#ifndef AEROSTAT_TESTS_GUEST_DISK_H
#define AEROSTAT_TESTS_GUEST_DISK_H

#include "tests/guest/vm.h"

/* --- on this side --- */

/* A file of zeros without blocks, in the folder; its path. */
char *disk_make(const char *dir, const char *name, uint64_t size);
/* The same with ext4 in it, made by mkfs.ext4; tree is a folder whose files are put there, or NULL. */
char *disk_make_ext4(const char *dir, const char *name, uint64_t size, const char *tree);
/* Removes files of this folder, then the folder. */
void disk_remove_dir(const char *dir);
/* Bytes that the file takes on its storage. */
uint64_t disk_allocated(const char *path);
uint64_t disk_size(const char *path);
/* SHA-256 of a part, in hexadecimal. */
char *disk_digest(const char *path, uint64_t offset, uint64_t len);
/* How often a thread of the VMM went to sleep: it grows when the thread does something. */
uint64_t disk_thread_sleeps(Vm *vm, const char *name);
/* Fails unless the ext4 in it was left in order: unmounted or made read-only, with nothing to recover. */
void disk_expect_clean(const char *path);

/* --- on the guest's side --- */

/* A shell command; its output. It must succeed. */
char *disk_guest(Vm *vm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The same when the output is of no interest. */
void disk_guest_do(Vm *vm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The command must fail; its output. */
char *disk_guest_error(Vm *vm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The first line of a file must be this. */
void disk_guest_expect(Vm *vm, const char *path, const char *wanted);

/* Round by round a MiB more of /dev/vda: what is written in the guest must be in the file, and what was before in the guest. */
void disk_use_hot(Vm *vm, const char *path, unsigned round);

/* --- in QMP --- */

/* A counter of query-blockstats, of a node. */
int64_t disk_counter(Vm *vm, const char *node, const char *counter);

#endif
