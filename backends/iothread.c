/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object "iothread".
 */
#include "backends/iothread.h"

#include "backends/user-creatable.h"
#include "qom/property.h"

enum { POLL_MAX_NS = 0 };

struct IoThreadObject {
    Object parent_obj;
    IoThread *thread; /* NULL: not complete */
    uint64_t poll_max_ns, poll_grow, poll_shrink;
};

void iothread_object_polling(const IoThreadObject *o, LoopPolling *ret_polling)
{
    ret_polling->max_ns = (int64_t)o->poll_max_ns;
    ret_polling->grow = (int64_t)o->poll_grow;
    ret_polling->shrink = (int64_t)o->poll_shrink;
}

static void set_polling(IoThreadObject *o)
{
    LoopPolling polling;

    if (o->thread) {
        iothread_object_polling(o, &polling);
        loop_set_polling(iothread_loop(o->thread), &polling);
    }
}

static bool iothread_complete(Object *obj, GError **err)
{
    IoThreadObject *o = IOTHREAD(obj);
    g_autofree char *path = object_path(obj);
    g_autofree char *id = g_path_get_basename(path ? path : "");
    g_autofree char *name = g_strdup_printf("IO %s", id);

    o->thread = iothread_new(name, err);
    set_polling(o);
    return o->thread != NULL;
}

IoThread *iothread_object_thread(IoThreadObject *o)
{
    return o->thread;
}

static void iothread_finalize(Object *obj)
{
    iothread_free(IOTHREAD(obj)->thread);
}

static void polling_changed(Object *obj, const Property *prop)
{
    set_polling(IOTHREAD(obj));
}

#define POLL_PROP(n, field, d, h)                                                           \
    {                                                                                       \
        .name = n, .kind = PROP_KIND_UINT64, .flags = PROP_RUNTIME,                         \
        .offset = PROP_FIELD_(IoThreadObject, field, uint64_t), .def = d, .max = INT64_MAX, \
        .changed = polling_changed, .help = h                                               \
    }

static const Property iothread_props[] = {
    POLL_PROP("poll-max-ns", poll_max_ns, POLL_MAX_NS,
              "longest time to look for work before sleeping, in nanoseconds; 0: sleep at once"),
    POLL_PROP("poll-grow", poll_grow, 0, "factor by which that time grows to it; 0: 2"),
    POLL_PROP("poll-shrink", poll_shrink, 0, "divisor by which it shrinks; 0: to nothing"),
    PROP_END,
};

static void iothread_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->complete = iothread_complete;
}

const TypeInfo iothread_type = {
    .name = "iothread",
    .instance_size = sizeof(IoThreadObject),
    .instance_finalize = iothread_finalize,
    .class_init = iothread_class_init,
    .props = iothread_props,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "thread that devices may be put on",
};
