/* SPDX-License-Identifier: BSD-2-Clause */
/* See balloon.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/guest/balloon.h"

/* --- the policy --- */

char *policy_text(Vm *vm, const char *name)
{
    json_t *s = vm_qmp(vm, "qom-get",
                       json_pack("{s:s, s:s}", "path", "/objects/policy0", "property", "status"));
    json_t *value = json_object_get(s, name);
    char *text = json_is_string(value) ? g_strdup(json_string_value(value)) : json_dumps(s, 0);

    json_decref(s);
    return text;
}

uint64_t policy_number(Vm *vm, const char *name)
{
    json_t *s = vm_qmp(vm, "qom-get",
                       json_pack("{s:s, s:s}", "path", "/objects/policy0", "property", "status"));
    uint64_t value = (uint64_t)json_integer_value(json_object_get(s, name));

    json_decref(s);
    return value;
}

uint64_t wait_reason_of(Vm *vm, const char *reason, const char *other, int seconds)
{
    for (double end = now() + seconds; now() < end;) {
        json_t *e = vm_wait_event(vm, "BALLOON_POLICY", seconds),
               *data = json_object_get(e, "data");
        const char *got = json_string_value(json_object_get(data, "reason"));
        bool found = !g_strcmp0(got, reason) || (other && !g_strcmp0(got, other));
        uint64_t target = (uint64_t)json_integer_value(json_object_get(data, "target"));

        json_decref(e);
        if (found) {
            return target;
        }
    }
    fail("no decision with reason %s in %d s; %s", reason, seconds, policy_text(vm, "none"));
}

uint64_t wait_reason(Vm *vm, const char *reason, int seconds)
{
    return wait_reason_of(vm, reason, NULL, seconds);
}

/* --- files and cgroups --- */

void put_file(const char *dir, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0) {
        fail("%s: %s", path, strerror(errno));
    }
}

/* Mounted once. */
static bool mount_cgroups(const char *root)
{
    if (mkdir(root, 0755) < 0) {
        return errno == EEXIST;
    }
    if (mount("none", root, "cgroup2", 0, NULL) < 0) {
        rmdir(root);
        return false;
    }
    put_file(root, "cgroup.subtree_control", "+memory\n");
    return true;
}

char *cgroup_make(const char *name, unsigned high_mib)
{
    static const char root[] = "/tmp/cgroup-root";
    g_autofree char *high = g_strdup_printf("%u\n", high_mib << 20);
    char *dir = g_build_filename(root, name, NULL);

    if (!mount_cgroups(root)) {
        passed("skipped: no cgroup v2 to be had: %s", strerror(errno));
        g_free(dir);
        return NULL;
    }
    if (mkdir(dir, 0755) < 0) {
        fail("%s: %s", dir, strerror(errno));
    }
    put_file(dir, "memory.high", high);
    return dir;
}

void cgroup_enter(const char *dir)
{
    g_autofree char *pid = g_strdup_printf("%d\n", getpid());

    put_file(dir, "cgroup.procs", pid);
}
