/* SPDX-License-Identifier: BSD-2-Clause */
#include "net-fixture.h"

#include <string.h>

#include "backends/user-creatable.h"

EventLoop *net_loop;
Object *net_root;

extern const TypeInfo *const net_types[];

static void record_free(gpointer p)
{
    NetRecord *r = p;

    g_byte_array_unref(r->bytes);
    g_free(r);
}

static NetRecord *record_new(const NetFrame *f)
{
    NetRecord *r = g_new0(NetRecord, 1);

    r->bytes = net_flat(f);
    r->hdr = f->hdr;
    return r;
}

GByteArray *net_flat(const NetFrame *f)
{
    GByteArray *a = g_byte_array_new();

    for (unsigned i = 0; i < f->niov; i++) {
        g_byte_array_append(a, f->iov[i].iov_base, (guint)f->iov[i].iov_len);
    }
    g_assert(a->len == f->len);
    return a;
}

void net_setup(void)
{
    static const TypeInfo *const types[] = {&user_creatable_type, &net_test_type, &filter_dump_type,
                                            &filter_throttle_type, NULL};

    type_register_list(types);
    type_register_list(net_types);
    net_loop = loop_new(NULL);
    net_root = object_new(&container_type);
}

void net_teardown(void)
{
    net_backend_del_all(net_root);
    object_unref(net_root);
    loop_free(net_loop);
}

static NetBackend *add(const char *json, GError **err)
{
    json_t *opts = parse_json(json, strlen(json), err);
    NetBackend *b = opts ? net_backend_add(net_root, net_loop, opts, err) : NULL;

    json_decref(opts);
    return b;
}

NetBackend *net_add(const char *json)
{
    g_autoptr(GError) err = NULL;
    NetBackend *b = add(json, &err);

    ck_assert_msg(b != NULL, "%s: %s", json, err ? err->message : "");
    return b;
}

char *net_add_error(const char *json)
{
    g_autoptr(GError) err = NULL;
    NetBackend *b = add(json, &err);

    ck_assert_msg(b == NULL, "%s is taken", json);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    return g_strdup(err->message);
}

void net_add_fails(const char *json, const char *line)
{
    g_autofree char *got = net_add_error(json);

    ck_assert_str_eq(got, line);
}

/* --- the card --- */

static bool card_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    Card *c = opaque;

    g_assert(!c->in_send);
    if (c->room == 0) {
        c->refused++;
        return false;
    }
    c->room -= c->room > 0;
    g_ptr_array_add(c->got, record_new(f));
    return true;
}

static void card_send_ready(void *opaque, unsigned queue)
{
    Card *c = opaque;

    g_assert(!c->in_send);
    c->ready++;
}

static void card_link(void *opaque, bool up)
{
    Card *c = opaque;

    c->links++;
    c->link = up;
}

Card *card_new(NetBackend *b)
{
    Card *c = g_new0(Card, 1);
    g_autoptr(GError) err = NULL;
    NetUserOps ops = {"card", card_receive, card_send_ready, card_link, c};

    c->got = g_ptr_array_new_with_free_func(record_free);
    c->room = -1;
    c->user = net_attach(b, &ops, &net_loop, 1, &err);
    ck_assert_msg(c->user != NULL, "%s", err ? err->message : "");
    return c;
}

void card_free(Card *c)
{
    net_detach(c->user);
    g_ptr_array_unref(c->got);
    g_free(c);
}

bool card_send_pieces(Card *c, const void *buf, size_t len, NetHdr hdr, unsigned piece)
{
    struct iovec iov[NET_IOV_MAX];
    NetFrame f = {.iov = iov, .len = len, .hdr = hdr};
    unsigned taken;

    for (size_t at = 0; at < len; at += piece) {
        iov[f.niov++] = (struct iovec){(uint8_t *)buf + at, MIN(piece, len - at)};
    }
    c->in_send = true;
    taken = net_send(c->user, 0, &f, 1);
    c->in_send = false;
    return taken == 1;
}

bool card_send_hdr(Card *c, const void *buf, size_t len, NetHdr hdr)
{
    return card_send_pieces(c, buf, len, hdr, MAX((unsigned)len, 1));
}

bool card_send(Card *c, const void *buf, size_t len)
{
    return card_send_hdr(c, buf, len, (NetHdr){0});
}

void net_run_until(bool (*done)(void *opaque), void *opaque)
{
    gint64 end = g_get_monotonic_time() + 45 * G_USEC_PER_SEC;

    while (!done(opaque)) {
        ck_assert_msg(g_get_monotonic_time() < end, "it does not happen");
        if (!loop_iterate(net_loop, false)) {
            g_usleep(500);
        }
    }
}

void net_run_for(unsigned ms)
{
    gint64 end = g_get_monotonic_time() + (gint64)ms * 1000;

    do {
        if (!loop_iterate(net_loop, false)) {
            g_usleep(500);
        }
    } while (g_get_monotonic_time() < end);
}

static bool has_frame(void *opaque)
{
    return ((Card *)opaque)->got->len > 0;
}

NetRecord *card_wait(Card *c)
{
    net_run_until(has_frame, c);
    return c->got->pdata[0];
}

bool card_idle(Card *c)
{
    unsigned had = c->got->len;

    net_run_for(30);
    return c->got->len == had;
}

void card_drop(Card *c)
{
    g_ptr_array_set_size(c->got, 0);
}

NetStats net_stats_of(NetBackend *b)
{
    NetStats s;

    net_stats(b, &s);
    return s;
}

uint64_t net_counter(NetBackend *b, const char *name)
{
    json_t *value = property_get_json(OBJECT(b), name, NULL);
    uint64_t n = (uint64_t)json_integer_value(value);

    json_decref(value);
    return n;
}

void net_frame(uint8_t *buf, size_t len, unsigned seed)
{
    static const uint8_t head[14] = {255,  255, 255, 255, 255, 255,  0x52,
                                     0x54, 0,   0,   0,   1,   0x88, 0xb5};

    memcpy(buf, head, MIN(len, sizeof head));
    for (size_t i = sizeof head; i < len; i++) {
        buf[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    }
}

/* --- kind "test" --- */

static NetTest *NET_TEST(void *b)
{
    return b;
}

static unsigned test_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    NetTest *t = NET_TEST(b);
    unsigned i;

    pthread_mutex_lock(&t->lock);
    for (i = 0; i < n && t->room != 0; i++) {
        g_assert(!(net_offload_needed(&frames[i].hdr) & ~b->host_offloads));
        g_ptr_array_add(t->sent, record_new(&frames[i]));
        t->room -= t->room > 0;
        if (t->sending) {
            t->sending(t->opaque);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return i;
}

static void test_receive_ready(NetBackend *b, unsigned queue)
{
    __atomic_fetch_add(&NET_TEST(b)->readies, 1, __ATOMIC_RELAXED);
}

static bool test_set_guest_offloads(NetBackend *b, unsigned offloads)
{
    return !NET_TEST(b)->no_offloads;
}

static Vhost *test_vhost(const NetBackend *b, unsigned queue)
{
    return NET_TEST((void *)b)->vhosts[queue];
}

static int test_vhost_begin(NetBackend *b, unsigned queue, size_t hdr_len, GError **err)
{
    NetTest *t = NET_TEST(b);

    if (t->no_lending) {
        error_set(err, "not now");
        return -1;
    }
    g_assert(!(t->lent >> queue & 1));
    t->lent |= UINT64_C(1) << queue;
    t->hdr_len = hdr_len;
    return NET_TEST_TAP + (int)queue;
}

static void test_vhost_end(NetBackend *b, unsigned queue)
{
    NetTest *t = NET_TEST(b);

    g_assert(t->lent >> queue & 1);
    t->lent &= ~(UINT64_C(1) << queue);
}

static void test_init(Object *obj)
{
    NetTest *t = NET_TEST(obj);

    t->sent = g_ptr_array_new_with_free_func(record_free);
    t->room = -1;
    pthread_mutex_init(&t->lock, NULL);
}

static void test_finalize(Object *obj)
{
    g_ptr_array_unref(NET_TEST(obj)->sent);
    pthread_mutex_destroy(&NET_TEST(obj)->lock);
}

static void test_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->send = test_send;
    k->receive_ready = test_receive_ready;
    k->set_guest_offloads = test_set_guest_offloads;
    k->vhost = test_vhost;
    k->vhost_begin = test_vhost_begin;
    k->vhost_end = test_vhost_end;
}

const TypeInfo net_test_type = {
    .name = "netdev-test",
    .parent = &net_backend_type,
    .instance_size = sizeof(NetTest),
    .instance_init = test_init,
    .instance_finalize = test_finalize,
    .class_init = test_class_init,
};

NetTest *net_test_add(const char *id, unsigned offloads, unsigned queues)
{
    g_autofree char *json = g_strdup_printf("{'type': 'test', 'id': '%s'}", id);
    NetTest *t = NET_TEST(net_add(json));

    t->parent_obj.host_offloads = t->parent_obj.guest_offloads = offloads;
    t->parent_obj.max_queues = queues;
    return t;
}

NetRecord *net_test_sent(NetTest *t, unsigned i)
{
    g_assert(i < t->sent->len);
    return t->sent->pdata[i];
}

static void writable(void *opaque)
{
    net_backend_writable(opaque, 0);
}

void net_test_writable(NetTest *t, int room)
{
    t->room = room;
    loop_post(net_loop, writable, t);
    net_run_for(1);
}

bool net_test_inject(NetTest *t, const void *buf, size_t len, NetHdr hdr)
{
    struct iovec iov = {(void *)buf, len};
    NetFrame f = {.iov = &iov, .niov = 1, .len = len, .hdr = hdr};

    return net_deliver(&t->parent_obj, 0, &f);
}
