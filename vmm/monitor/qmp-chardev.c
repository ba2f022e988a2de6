/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about character streams: what there is, and what a ring buffer holds.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

enum { RINGBUF_READ_MAX = 1024 * 1024 };

static Object *streams(Machine *m)
{
    return object_container(m->platform.root, "chardevs");
}

static json_t *run_query_chardev(Machine *m, json_t *args, GError **err)
{
    GPtrArray *all = streams(m)->children;
    json_t *list = json_array();

    for (unsigned i = 0; all && i < all->len; i++) {
        const Chardev *c = all->pdata[i];

        json_array_append_new(
            list, json_pack("{s:b, s:s, s:s}", "frontend-open", chardev_has_frontend(c), "label",
                            ((const Object *)c)->name, "filename", chardev_filename(c)));
    }
    return list;
}

/* In ringbuf-read's "utf8" format bytes that are none become U+FFFD, as in QEMU. */
static json_t *ringbuf_text(const uint8_t *buf, size_t len, bool base64)
{
    g_autofree char *text =
        base64 ? g_base64_encode(buf, len) : g_utf8_make_valid((const char *)buf, (gssize)len);

    return json_string(text);
}

static json_t *run_ringbuf_read(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "device"));
    const char *format = json_string_value(json_object_get(args, "format"));
    json_int_t size = json_integer_value(json_object_get(args, "size"));
    Object *c = object_child(streams(m), id);
    g_autofree uint8_t *buf = NULL;
    size_t len;

    if (!c || !object_is_a(c, &chardev_ringbuf_type)) {
        error_set(err, c ? "%s is not a ringbuf device" : "Device '%s' not found", id);
        return NULL;
    }
    if (size <= 0) {
        error_set(err, "size must be greater than zero");
        return NULL;
    }
    size = MIN(size, RINGBUF_READ_MAX);
    buf = g_malloc((gsize)size);
    len = chardev_ringbuf_read(CHARDEV(c), buf, (size_t)size);
    return ringbuf_text(buf, len, format && !strcmp(format, "base64"));
}

const QmpCommand qmp_chardev_commands[] = {
    {.name = "query-chardev",
     .help = "all character streams",
     .run = run_query_chardev,
     .ret = "[ChardevInfo]"},
    {.name = "ringbuf-read",
     .help = "take bytes out of a ring buffer",
     .args = {{"device", QMP_ARG_STR, false},
              {"size", QMP_ARG_INT, false},
              {"format", QMP_ARG_STR, true}},
     .arg_types = "format:DataFormat",
     .run = run_ringbuf_read,
     .ret = "str"},
    {0},
};
