/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The properties iothread and iothread-vq-mapping of devices whose queues may be served by several
 * iothreads.
 */
#include "hw/virtio/virtio-iothread-map.h"

#include "qom/error.h"

typedef struct {
    VirtioIoThreadMap *m;
    Object *root;
    unsigned group;
} Take;

static IoThreadObject *find_iothread(Object *root, json_t *item, GError **err)
{
    const char *id = json_string_value(json_object_get(item, "iothread"));
    Object *obj = id ? object_child(object_container(root, "objects"), id) : NULL;

    if (!obj || !object_is_a(obj, &iothread_type)) {
        error_set(err, "iothread-vq-mapping: there is no iothread '%s'", id ? id : "");
        return NULL;
    }
    return IOTHREAD(obj);
}

/* Queue n is that iothread's. */
static bool give_queue(VirtioIoThreadMap *m, json_int_t n, IoThreadObject *o, GError **err)
{
    if (n < 0 || n >= m->n || m->threads[n]) {
        return error_set(err, "iothread-vq-mapping: queue %" JSON_INTEGER_FORMAT " is %s", n,
                         n < 0 || n >= m->n ? "not there" : "given twice");
    }
    m->threads[n] = IOTHREAD(object_ref(o));
    return true;
}

/* With "vqs" everywhere each queue is named once; without, they are dealt out in turn. */
static bool map_item(const Take *t, size_t i, size_t n_items, GError **err)
{
    json_t *item = json_array_get(t->m->map, i), *vqs = json_object_get(item, "vqs");
    bool named = json_object_get(json_array_get(t->m->map, 0), "vqs") != NULL;
    IoThreadObject *o = find_iothread(t->root, item, err);
    json_t *vq;
    size_t k;

    if (!o) {
        return false;
    }
    if ((vqs != NULL) != named) {
        return error_set(err, "iothread-vq-mapping: give vqs for all iothreads or for none");
    }
    json_array_foreach(vqs, k, vq)
    {
        if (!give_queue(t->m, json_is_integer(vq) ? json_integer_value(vq) : -1, o, err)) {
            return false;
        }
    }
    for (size_t n = 0; !named && n < t->m->n; n++) {
        if (n / t->group % n_items == i && !give_queue(t->m, (json_int_t)n, o, err)) {
            return false;
        }
    }
    return true;
}

static bool map_queues(const Take *t, GError **err)
{
    size_t n_items = json_array_size(t->m->map);

    if (n_items == 0) {
        return error_set(err, "iothread-vq-mapping must not be empty");
    }
    for (size_t i = 0; i < n_items; i++) {
        if (!map_item(t, i, n_items, err)) {
            return false;
        }
    }
    for (unsigned n = 0; n < t->m->n; n++) {
        if (!t->m->threads[n]) {
            return error_set(err, "iothread-vq-mapping: queue %u has no iothread", n);
        }
    }
    return true;
}

static void drop_threads(VirtioIoThreadMap *m)
{
    for (unsigned n = 0; n < m->n; n++) {
        object_unref(m->threads[n]);
    }
    g_clear_pointer(&m->threads, g_free);
    m->n = 0;
}

bool virtio_iothread_map_take(VirtioIoThreadMap *m, Object *root, IoThreadObject *all,
                              unsigned n_queues, unsigned group, GError **err)
{
    Take t = {m, root, group};

    drop_threads(m);
    m->threads = g_new0(IoThreadObject *, n_queues);
    m->n = n_queues;
    if (all && m->map) {
        return error_set(err, "iothread and iothread-vq-mapping exclude each other");
    }
    for (unsigned n = 0; all && n < n_queues; n++) {
        m->threads[n] = IOTHREAD(object_ref(all));
    }
    return !m->map || map_queues(&t, err);
}

void virtio_iothread_map_finish(VirtioIoThreadMap *m)
{
    drop_threads(m);
    g_clear_pointer(&m->map, json_decref);
}

json_t *virtio_list_get(json_t *list)
{
    return list ? json_deep_copy(list) : json_array();
}

bool virtio_list_set(json_t **list, json_t *value, const char *form, GError **err)
{
    json_t *new =
        json_is_string(value) ? json_loads(json_string_value(value), 0, NULL) : json_incref(value);

    if (!json_is_array(new)) {
        json_decref(new);
        return error_set(err, "%s", form);
    }
    json_decref(*list);
    *list = new;
    return true;
}

json_t *virtio_iothread_map_get(const VirtioIoThreadMap *m)
{
    return virtio_list_get(m->map);
}

bool virtio_iothread_map_set(VirtioIoThreadMap *m, json_t *value, GError **err)
{
    return virtio_list_set(&m->map, value,
                           "iothread-vq-mapping must be a list of {\"iothread\": ID, \"vqs\": "
                           "[NUMBER...]}, vqs may be left out",
                           err);
}
