/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Named file descriptors and sets of them, see fd-table.h.
 */
#include "backends/fd-table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "qom/property.h"

#define SET_PREFIX "/dev/fdset/"

/* Of a name, or a member of a set. */
typedef struct {
    char *name;   /* NULL: of a set */
    char *opaque; /* what the client said of it; NULL: nothing */
    int64_t set;  /* -1: a name's */
    int fd;
} FdEntry;

struct FdTable {
    Object parent_obj;
    GPtrArray *entries; /* FdEntry, in the order that they came */
    GHashTable *users;  /* set (int64_t) -> how many duplicates are in use */
    int clients;
    int (*receive)(void *opaque);
    void *receive_opaque;
};

static void entry_free(gpointer p)
{
    FdEntry *e = p;

    if (e->fd >= 0) {
        close(e->fd);
    }
    g_free(e->name);
    g_free(e->opaque);
    g_free(e);
}

FdTable *fd_table_of(Object *root)
{
    Object *obj = object_child(root, "fds");

    if (!obj) {
        obj = object_new(&fd_table_type);
        object_add_child(root, "fds", obj, NULL);
    }
    return FD_TABLE(obj);
}

/* --- what came with a command --- */

void fd_table_set_source(FdTable *t, int (*receive)(void *opaque), void *opaque)
{
    t->receive = receive;
    t->receive_opaque = opaque;
}

int fd_table_receive(FdTable *t, GError **err)
{
    int fd = t->receive ? t->receive(t->receive_opaque) : -1;

    if (fd < 0) {
        error_set(err, "No file descriptor supplied via SCM_RIGHTS");
    }
    return fd;
}

/* --- names --- */

static bool append(FdTable *t, FdEntry init, GError **err)
{
    if (t->entries->len >= FD_TABLE_MAX) {
        close(init.fd);
        return error_set(err, "there are %d file descriptors already: close or remove some",
                         FD_TABLE_MAX);
    }
    init.name = g_strdup(init.name);
    init.opaque = g_strdup(init.opaque);
    g_ptr_array_add(t->entries, g_memdup2(&init, sizeof init));
    return true;
}

static FdEntry *find_name(FdTable *t, const char *name, unsigned *ret_at)
{
    for (unsigned i = 0; i < t->entries->len; i++) {
        FdEntry *e = t->entries->pdata[i];

        if (!g_strcmp0(e->name, name)) {
            *ret_at = i;
            return e;
        }
    }
    return NULL;
}

bool fd_table_put(FdTable *t, const char *name, int fd, GError **err)
{
    unsigned at;
    FdEntry *old;

    if (g_ascii_isdigit(*name)) {
        close(fd);
        return error_set(err, "Parameter 'fdname' expects a name not starting with a digit");
    }
    old = find_name(t, name, &at);
    if (old) {
        close(old->fd);
        old->fd = fd;
        return true;
    }
    return append(t, (FdEntry){.name = (char *)name, .set = -1, .fd = fd}, err);
}

int fd_table_take(FdTable *t, const char *name, GError **err)
{
    unsigned at;
    FdEntry *e = find_name(t, name, &at);
    int fd;

    if (!e) {
        error_set(err, "File descriptor named '%s' not found", name);
        return -1;
    }
    fd = g_steal_fd(&e->fd);
    g_ptr_array_remove_index(t->entries, at);
    return fd;
}

/* --- sets --- */

static bool has_set(const FdTable *t, int64_t set)
{
    for (unsigned i = 0; i < t->entries->len; i++) {
        if (((const FdEntry *)t->entries->pdata[i])->set == set) {
            return true;
        }
    }
    return false;
}

bool fd_table_add(FdTable *t, int64_t set, const char *opaque, int fd, int64_t *ret_set,
                  GError **err)
{
    int64_t number = MAX(set, 0);

    while (set < 0 && (has_set(t, number) || g_hash_table_contains(t->users, &number))) {
        number++;
    }
    if (!append(t, (FdEntry){.opaque = (char *)opaque, .set = number, .fd = fd}, err)) {
        return false;
    }
    *ret_set = number;
    return true;
}

bool fd_table_remove(FdTable *t, int64_t set, int fd, GError **err)
{
    bool any = false;

    for (unsigned i = t->entries->len; i-- > 0;) {
        const FdEntry *e = t->entries->pdata[i];

        if (e->set == set && set >= 0 && (fd < 0 || e->fd == fd)) {
            g_ptr_array_remove_index(t->entries, i);
            any = true;
        }
    }
    if (any) {
        return true;
    }
    return fd < 0 ? error_set(err, "File descriptor named 'fdset-id:%" PRId64 "' not found", set)
                  : error_set(err, "File descriptor named 'fdset-id:%" PRId64 ", fd:%d' not found",
                              set, fd);
}

static json_t *members_of(const FdTable *t, int64_t set)
{
    json_t *fds = json_array();

    for (unsigned i = 0; i < t->entries->len; i++) {
        const FdEntry *e = t->entries->pdata[i];

        if (e->set == set) {
            json_array_append_new(fds, json_pack("{s:i, s:s*}", "fd", e->fd, "opaque", e->opaque));
        }
    }
    return fds;
}

json_t *fd_table_sets(const FdTable *t)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    json_t *list = json_array();

    for (unsigned i = 0; i < t->entries->len; i++) {
        FdEntry *e = t->entries->pdata[i];

        if (e->set >= 0 && g_hash_table_add(seen, &e->set)) {
            json_array_append_new(list, json_pack("{s:I, s:o}", "fdset-id", (json_int_t)e->set,
                                                  "fds", members_of(t, e->set)));
        }
    }
    return list;
}

/* --- use --- */

static void count_users(FdTable *t, int64_t set, int change)
{
    int n = GPOINTER_TO_INT(g_hash_table_lookup(t->users, &set)) + change;

    if (n > 0) {
        g_hash_table_insert(t->users, g_memdup2(&set, sizeof set), GINT_TO_POINTER(n));
    } else {
        g_hash_table_remove(t->users, &set);
    }
}

/* The member that was opened for what flags want to do. */
static int find_member(const FdTable *t, int64_t set, int flags)
{
    for (unsigned i = 0; i < t->entries->len; i++) {
        const FdEntry *e = t->entries->pdata[i];
        int has = e->set == set ? fcntl(e->fd, F_GETFL) : -1;

        if (has >= 0 && (has & O_ACCMODE) == (flags & O_ACCMODE)) {
            return e->fd;
        }
    }
    errno = has_set(t, set) ? EACCES : ENOENT;
    return -1;
}

bool fd_table_has_path(const char *path)
{
    return g_str_has_prefix(path, SET_PREFIX);
}

int fd_table_open(FdTable *t, const char *path, int flags, int64_t *ret_set)
{
    enum { SETTABLE = O_DIRECT | O_NONBLOCK };
    uint64_t set;
    int from, fd;

    *ret_set = -1;
    if (!parse_uint(path + strlen(SET_PREFIX), &set, NULL) || set > INT64_MAX) {
        errno = ENOENT;
        return -1;
    }
    from = find_member(t, (int64_t)set, flags);
    fd = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (fcntl(fd, F_SETFL, (fcntl(fd, F_GETFL) & ~SETTABLE) | (flags & SETTABLE)) < 0) {
        int why = errno;

        close(fd);
        errno = why;
        return -1;
    }
    count_users(t, (int64_t)set, 1);
    *ret_set = (int64_t)set;
    return fd;
}

void fd_table_release(FdTable *t, int64_t set)
{
    if (set >= 0) {
        count_users(t, set, -1);
    }
}

void fd_table_count_clients(FdTable *t, int change, bool drop)
{
    t->clients += change;
    for (unsigned i = t->entries->len; t->clients == 0 && drop && i-- > 0;) {
        FdEntry *e = t->entries->pdata[i];

        if (e->set >= 0 && !g_hash_table_contains(t->users, &e->set)) {
            g_ptr_array_remove_index(t->entries, i);
        }
    }
}

/* --- life --- */

static void fd_table_init(Object *obj)
{
    FdTable *t = FD_TABLE(obj);

    t->entries = g_ptr_array_new_with_free_func(entry_free);
    t->users = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

static void fd_table_finalize(Object *obj)
{
    FdTable *t = FD_TABLE(obj);

    g_ptr_array_free(t->entries, TRUE);
    g_hash_table_destroy(t->users);
}

const TypeInfo fd_table_type = {
    .name = "fd-table",
    .parent = &container_type,
    .instance_size = sizeof(FdTable),
    .instance_init = fd_table_init,
    .instance_finalize = fd_table_finalize,
    .desc = "file descriptors from QMP's clients",
};
