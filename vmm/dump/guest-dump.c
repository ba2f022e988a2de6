/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a dump: the VM stops, the file is written here or by a thread, the VM goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/dump/dump-internal.h"

#define IN_PROGRESS "There is a dump in process, please wait."

OBJECT_DECLARE(GuestDump, guest_dump, GUEST_DUMP)

struct GuestDump {
    Object parent_obj;
    Machine *m;
    GuestDumpStatus status;
    DumpImage image;
    DumpWriter writer;
    char *name;
    bool resume; /* the VM ran */
    int errnum;  /* the writer's result; the thread's until that is joined */
    pthread_t thread;
    bool has_thread;
    int done_fd; /* eventfd of the thread's end; -1: none */
    LoopFd *done;
};

static GuestDump *find_dump(Machine *m)
{
    Object *obj = object_child(OBJECT(m), "dump");

    return obj ? GUEST_DUMP(obj) : NULL;
}

static GuestDump *new_dump(Machine *m)
{
    GuestDump *d;

    guest_dump_end(m);
    d = GUEST_DUMP(object_new(&guest_dump_type));
    object_add_child(OBJECT(m), "dump", OBJECT(d), NULL);
    d->m = m;
    return d;
}

/* --- the end --- */

static void close_all(GuestDump *d)
{
    if (d->writer.fd >= 0 && close(d->writer.fd) < 0 && !d->errnum) {
        d->errnum = errno;
    }
    d->writer.fd = -1;
    loop_fd_free(d->done);
    d->done = NULL;
    if (d->done_fd >= 0) {
        close(d->done_fd);
    }
    d->done_fd = -1;
    dump_image_finish(&d->image);
}

static void join(GuestDump *d)
{
    if (d->has_thread) {
        pthread_join(d->thread, NULL);
        d->has_thread = false;
    }
}

static GuestDumpInfo info_of(const GuestDump *d)
{
    return (GuestDumpInfo){.status = d->status,
                           .completed = __atomic_load_n(&d->writer.done, __ATOMIC_RELAXED),
                           .total = d->image.total};
}

static void tell(GuestDump *d, const GError *why)
{
    json_t *data = json_pack("{s:o}", "result", guest_dump_result(info_of(d)));

    if (why) {
        json_object_set_new(data, "error", json_string(why->message));
    }
    platform_event(&d->m->platform, "DUMP_COMPLETED", data);
}

/* The writer has ended. */
static bool finish(GuestDump *d, GError **err)
{
    g_autoptr(GError) why = NULL;
    Machine *m = d->m;
    bool ok;

    join(d);
    close_all(d);
    ok = d->errnum == 0;
    if (!ok) {
        error_set(&why,
                  "dump: cannot write %s: %s; it is incomplete, %" PRIu64 " of %" PRIu64
                  " bytes of memory are there",
                  d->name, g_strerror(d->errnum), d->writer.done, d->image.total);
    }
    d->status = ok ? GUEST_DUMP_COMPLETED : GUEST_DUMP_FAILED;
    machine_set_busy(m, NULL);
    tell(d, why);
    if (d->resume && m->state == RUN_STATE_SAVE_VM) {
        machine_cont(m, NULL);
    }
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
    }
    return ok;
}

static void on_done(void *opaque, unsigned events)
{
    finish(opaque, NULL); /* the event has the error */
}

/* --- the thread --- */

static void *write_in_thread(void *opaque)
{
    GuestDump *d = opaque;
    uint64_t one = 1;

    d->errnum = dump_write(&d->writer, &d->image);
    if (write(d->done_fd, &one, sizeof one) < 0) {
        g_assert_not_reached(); /* an eventfd takes a 1 */
    }
    return NULL;
}

static int start_thread(GuestDump *d)
{
    sigset_t all, old;
    int rc;

    d->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->done_fd < 0) {
        return errno;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&d->thread, NULL, write_in_thread, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        d->has_thread = true;
        pthread_setname_np(d->thread, "dump");
        d->done = loop_fd_new(d->m->platform.loop, d->done_fd, LOOP_READ, on_done, d);
    }
    return rc;
}

/* --- the beginning --- */

static bool run(GuestDump *d, bool detach, GError **err)
{
    int rc;

    d->status = GUEST_DUMP_ACTIVE;
    machine_set_busy(d->m, IN_PROGRESS);
    if (!detach) {
        d->errnum = dump_write(&d->writer, &d->image);
        return finish(d, err);
    }
    rc = start_thread(d);
    if (rc != 0) {
        d->errnum = rc;
        return finish(d, err);
    }
    return true;
}

/* What is written, and where to; nothing is left over on failure but that spec->fd is open. */
static bool prepare(Machine *m, const GuestDumpSpec *spec, DumpImage *ret_image, int *ret_fd,
                    GError **err)
{
    if (!dump_image_init(ret_image, m, spec, err)) {
        return false;
    }
    *ret_fd = spec->path ? guest_dump_open(spec->path, err) : spec->fd;
    if (*ret_fd < 0) {
        dump_image_finish(ret_image);
    }
    return *ret_fd >= 0;
}

static bool begin(Machine *m, const GuestDumpSpec *spec, GError **err)
{
    bool running = m->state == RUN_STATE_RUNNING;
    DumpImage image;
    GuestDump *d;
    int fd;

    if (running) {
        machine_stop(m, RUN_STATE_SAVE_VM);
    }
    if (!prepare(m, spec, &image, &fd, err)) {
        if (!spec->path) {
            close(spec->fd);
        }
        if (running && m->state == RUN_STATE_SAVE_VM) {
            machine_cont(m, NULL);
        }
        return false;
    }
    d = new_dump(m);
    d->image = image;
    d->writer.fd = fd;
    d->name = g_strdup(spec->name);
    d->resume = running;
    return run(d, spec->detach, err);
}

bool guest_dump_start(Machine *m, const GuestDumpSpec *spec, GError **err)
{
    if (m->busy) {
        if (!spec->path) {
            close(spec->fd);
        }
        return error_set(err, "%s", m->busy);
    }
    return begin(m, spec, err);
}

GuestDumpInfo guest_dump_query(Machine *m)
{
    GuestDump *d = find_dump(m);

    return d ? info_of(d) : (GuestDumpInfo){.status = GUEST_DUMP_NONE};
}

json_t *guest_dump_result(GuestDumpInfo info)
{
    static const char *const names[] = {"none", "active", "completed", "failed"};

    return json_pack("{s:s, s:I, s:I}", "status", names[info.status], "completed",
                     (json_int_t)info.completed, "total", (json_int_t)info.total);
}

void guest_dump_end(Machine *m)
{
    GuestDump *d = find_dump(m);

    if (d) {
        object_unparent(OBJECT(d));
    }
}

/* --- the type --- */

static void guest_dump_init(Object *obj)
{
    GuestDump *d = GUEST_DUMP(obj);

    d->writer.fd = d->done_fd = -1;
}

static void guest_dump_finalize(Object *obj)
{
    GuestDump *d = GUEST_DUMP(obj);

    __atomic_store_n(&d->writer.cancel, 1, __ATOMIC_RELAXED); /* partner: dump-write.c */
    join(d);
    close_all(d);
    if (d->status == GUEST_DUMP_ACTIVE) {
        d->m->busy = NULL;
    }
    g_free(d->name);
}

const TypeInfo guest_dump_type = {
    .name = "guest-dump",
    .parent = &object_type,
    .instance_size = sizeof(GuestDump),
    .instance_init = guest_dump_init,
    .instance_finalize = guest_dump_finalize,
    .desc = "a dump of guest memory",
};
