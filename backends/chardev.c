/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams: the base class (front end, life) and the null stream, which takes everything
 * and says nothing.
 */
#include <string.h>

#include "backends/chardev-impl.h"
#include "backends/user-creatable.h"

Chardev *chardev_new(const TypeInfo *type, EventLoop *loop, const char *label)
{
    Chardev *c = CHARDEV(object_new(type));

    c->loop = loop;
    c->label = g_strdup(label);
    return c;
}

/* --- towards the front end --- */

size_t chardev_fe_room(Chardev *c)
{
    if (!c->has_fe || c->closed) {
        return 0;
    }
    return c->fe.can_receive ? c->fe.can_receive(c->fe.opaque) : SIZE_MAX;
}

void chardev_fe_receive(Chardev *c, const uint8_t *buf, size_t len)
{
    if (c->has_fe && c->fe.receive && len > 0) {
        c->fe.receive(c->fe.opaque, buf, len);
    }
}

void chardev_fe_event(Chardev *c, ChardevEvent event)
{
    if (c->has_fe && c->fe.event) {
        c->fe.event(c->fe.opaque, event);
    }
}

void chardev_set_open(Chardev *c, bool open)
{
    if (c->open != open) {
        c->open = open;
        chardev_fe_event(c, open ? CHARDEV_OPENED : CHARDEV_CLOSED);
    }
}

void chardev_set_size(Chardev *c, uint16_t cols, uint16_t rows)
{
    if (c->cols != cols || c->rows != rows) {
        c->cols = cols;
        c->rows = rows;
        chardev_fe_event(c, CHARDEV_RESIZED);
    }
}

/* --- from the front end --- */

bool chardev_is_open(const Chardev *c)
{
    return c->open;
}

bool chardev_has_frontend(const Chardev *c)
{
    return c->has_fe;
}

bool chardev_size(const Chardev *c, uint16_t *ret_cols, uint16_t *ret_rows)
{
    if (c->cols == 0 || c->rows == 0) {
        return false;
    }
    *ret_cols = c->cols;
    *ret_rows = c->rows;
    return true;
}

const char *chardev_filename(const Chardev *c)
{
    return c->filename ? c->filename : object_type_name(c) + strlen("chardev-");
}

size_t chardev_room(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    return k->room && !c->closed ? k->room(c) : SIZE_MAX;
}

void chardev_set_frontend(Chardev *c, const ChardevFrontend *fe)
{
    c->has_fe = fe != NULL;
    c->fe = fe ? *fe : (ChardevFrontend){0};
    if (c->has_fe && c->open && !c->closed) {
        chardev_fe_event(c, CHARDEV_OPENED);
    }
    chardev_accept_input(c);
}

void chardev_write(Chardev *c, const void *buf, size_t len)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    if (k->write && !c->closed && len > 0) {
        k->write(c, buf, len);
    }
}

void chardev_accept_input(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    if (k->accept_input && !c->closed) {
        k->accept_input(c);
    }
}

void chardev_flush(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    if (k->flush && !c->closed) {
        k->flush(c);
    }
}

void chardev_disconnect(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    if (k->disconnect && !c->closed) {
        k->disconnect(c);
    }
}

void chardev_want_fds(Chardev *c)
{
    c->wants_fds = true;
}

int chardev_receive_fd(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    return k->receive_fd && !c->closed ? k->receive_fd(c) : -1;
}

void chardev_close(Chardev *c)
{
    ChardevClass *k = CHARDEV_GET_CLASS(c);

    if (!c->closed) {
        c->closed = true;
        c->open = false;
        if (k->close) {
            k->close(c);
        }
    }
}

void chardev_set_quit_handler(Chardev *c, void (*quit)(void *opaque), void *opaque)
{
    c->quit = quit;
    c->quit_opaque = opaque;
}

uint64_t chardev_dropped(const Chardev *c)
{
    return c->dropped;
}

static void chardev_finalize(Object *obj)
{
    Chardev *c = CHARDEV(obj);

    chardev_close(c);
    g_free(c->label);
    g_free(c->filename);
}

const TypeInfo chardev_type = {
    .name = "chardev",
    .instance_size = sizeof(Chardev),
    .class_size = sizeof(ChardevClass),
    .abstract = true,
    .instance_finalize = chardev_finalize,
    .desc = "character stream",
};

/* --- null --- */

Chardev *chardev_stand_in(EventLoop *loop, const char *label, const char *path, GError **err)
{
    if (path && !user_file_check(path, err)) {
        return NULL;
    }
    return chardev_new(&chardev_null_type, loop, label);
}

static void chardev_null_init(Object *obj)
{
    CHARDEV(obj)->open = true;
}

const TypeInfo chardev_null_type = {
    .name = "chardev-null",
    .parent = &chardev_type,
    .instance_init = chardev_null_init,
    .desc = "takes everything, says nothing",
};
