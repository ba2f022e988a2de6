/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the suites of character streams share; see the header.
 */
#include "chardev-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

EventLoop *loop;
char *dir;
Recorder rec, mon;

static size_t rec_room(void *opaque)
{
    return ((Recorder *)opaque)->room;
}

static void rec_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Recorder *r = opaque;

    g_assert_cmpuint(len, <=, r->room); /* the terminal's children run this, too: no check there */
    g_string_append_len(r->got, (const char *)buf, (gssize)len);
    if (r->drop) {
        object_unref(g_steal_pointer(&r->drop));
    }
    if (r->hang_up) {
        r->hang_up = false;
        chardev_disconnect(r->c);
    }
}

static void rec_event(void *opaque, ChardevEvent event)
{
    Recorder *r = opaque;

    switch (event) {
    case CHARDEV_OPENED:
        r->opened++;
        break;
    case CHARDEV_CLOSED:
        r->closed++;
        break;
    case CHARDEV_BREAK:
        r->breaks++;
        break;
    case CHARDEV_MUX_IN:
        r->mux_in++;
        break;
    case CHARDEV_DRAINED:
        r->drained++;
        break;
    case CHARDEV_RESIZED:
        r->resized++;
        break;
    case CHARDEV_MUX_OUT:
        r->mux_out++;
        break;
    }
}

void rec_quit(void *opaque)
{
    ((Recorder *)opaque)->quits++;
}

void attach(Recorder *r, Chardev *c)
{
    ChardevFrontend fe = {rec_room, rec_receive, rec_event, r};

    r->c = c;
    chardev_set_frontend(c, &fe);
}

void setup(void)
{
    loop = loop_new(NULL);
    dir = g_dir_make_tmp("test-chardev-XXXXXX", NULL);
    rec = (Recorder){.got = g_string_new(NULL), .room = 4096};
    mon = (Recorder){.got = g_string_new(NULL), .room = 4096};
}

void teardown(void)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        unlink(path);
    }
    g_dir_close(d);
    rmdir(dir);
    g_free(dir);
    g_string_free(rec.got, TRUE);
    g_string_free(mon.got, TRUE);
    loop_free(loop);
}

/* Runs the loop until cond or until it has taken far too long. */
void settle(void)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        if (loop_iterate(loop, false)) {
            quiet = 0;
        }
        g_usleep(200);
    }
}

Chardev *open_option(const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *option = NULL;
    Chardev *c;
    va_list ap;

    va_start(ap, fmt);
    option = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    c = chardev_new_from_option(loop, "-serial", option, &err);
    ck_assert_msg(c != NULL, "%s: %s", option, err ? err->message : "?");
    return c;
}

void expect_error(const char *option, const char *message)
{
    g_autoptr(GError) err = NULL;
    Chardev *c = chardev_new_from_option(loop, "-serial", option, &err);

    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(err);
    ck_assert_msg(strstr(err->message, message), "'%s' has no '%s'", err->message, message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
}

char *sock_path(void)
{
    return g_build_filename(dir, "sock", NULL);
}

int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int serve(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

void send_text(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void expect_text(int fd, const char *text)
{
    g_autoptr(GString) got = g_string_new(NULL);
    int64_t end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    char buf[256];
    ssize_t n;

    while (got->len < strlen(text) && g_get_monotonic_time() < end) {
        loop_iterate(loop, false);
        n = read(fd, buf, MIN(sizeof buf, strlen(text) - got->len));
        if (n > 0) {
            g_string_append_len(got, buf, n);
        } else if (n == 0) {
            break;
        }
    }
    ck_assert_str_eq(got->str, text);
}

TCase *make_case(Suite *suite, const char *name, void (*up)(void), void (*down)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, up, down);
    suite_add_tcase(suite, tc);
    return tc;
}
