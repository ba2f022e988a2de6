/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object "iothread".
 */
#include "backends/iothread.h"

#include "backends/user-creatable.h"

struct IoThreadObject {
    Object parent_obj;
    IoThread *thread; /* NULL: not complete */
};

static bool iothread_complete(Object *obj, GError **err)
{
    IoThreadObject *o = IOTHREAD(obj);
    g_autofree char *path = object_path(obj);
    g_autofree char *id = g_path_get_basename(path ? path : "");
    g_autofree char *name = g_strdup_printf("IO %s", id);

    o->thread = iothread_new(name, err);
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
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "thread that devices may be put on",
};
