/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hubs and filters of network backends.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "net-fixture.h"
#include "tests/suite.h"

static uint8_t buf[NET_FRAME_MAX];
static char *pcap;

static void setup(void)
{
    net_setup();
    pcap = g_strdup_printf("net-filter-%d.pcap", (int)getpid());
}

static void teardown(void)
{
    net_teardown();
    g_unlink(pcap);
    g_free(pcap);
}

/* --- hubs --- */

static Card *port(const char *json)
{
    return card_new(net_add(json));
}

START_TEST(a_hub_gives_a_frame_to_all_other_ports)
{
    Card *cards[3] = {port("{'type': 'hubport', 'id': 'a', 'hubid': 0}"),
                      port("{'type': 'hubport', 'id': 'b', 'hubid': 0}"),
                      port("{'type': 'hubport', 'id': 'c', 'hubid': 1}")};
    NetTest *t = net_test_add("n0", 0, 1);

    net_add("{'type': 'hubport', 'id': 'd', 'hubid': '0', 'netdev': 'n0'}");
    net_frame(buf, 100, 1);
    ck_assert(card_send(cards[0], buf, 100));
    ck_assert_uint_eq(cards[0]->got->len, 0);
    ck_assert_mem_eq(card_wait(cards[1])->bytes->data, buf, 100);
    ck_assert_mem_eq(net_test_sent(t, 0)->bytes->data, buf, 100);
    ck_assert_uint_eq(cards[2]->got->len, 0); /* another hub */
    card_drop(cards[1]);
    net_frame(buf, 100, 2);
    ck_assert(net_test_inject(t, buf, 100, (NetHdr){0}));
    ck_assert_uint_eq(cards[0]->got->len + cards[1]->got->len, 2);
    ck_assert_uint_eq(t->sent->len, 1);
    ck_assert_str_eq(net_info_string(net_backend_find(net_root, "d")),
                     "type=hubport,hubid=0,netdev=n0");
    for (unsigned i = 0; i < 3; i++) {
        card_free(cards[i]);
    }
}
END_TEST

START_TEST(a_hub_of_two_stops_the_sender_and_one_of_three_does_not)
{
    Card *a = port("{'type': 'hubport', 'id': 'a', 'hubid': 0}");
    Card *b = port("{'type': 'hubport', 'id': 'b', 'hubid': 0}"), *c;

    net_frame(buf, 60, 1);
    b->room = 0;
    ck_assert(card_send(a, buf, 60)); /* kept for b */
    ck_assert(!card_send(a, buf, 60));
    ck_assert(card_idle(a) && a->ready == 0);
    b->room = -1;
    net_receive_ready(b->user, 0);
    net_run_for(2);
    ck_assert_uint_eq(a->ready, 1);
    ck_assert_uint_eq(b->got->len, 1);

    c = port("{'type': 'hubport', 'id': 'c', 'hubid': 0}");
    b->room = 0;
    for (unsigned i = 0; i < 10; i++) {
        ck_assert(card_send(a, buf, 60));
    }
    ck_assert_uint_eq(c->got->len, 10);
    ck_assert_uint_eq(net_counter(net_user_backend(b->user), "rx-dropped"), 9);
    card_free(c);
    ck_assert(!card_send(a, buf, 60));
    card_free(b); /* nobody is left */
    net_run_for(2);
    ck_assert_uint_eq(a->ready, 2);
    ck_assert(card_send(a, buf, 60));
    card_free(a);
}
END_TEST

START_TEST(a_backend_behind_a_hub_stops_and_is_stopped)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *a = port("{'type': 'hubport', 'id': 'a', 'hubid': 3}");

    net_add("{'type': 'hubport', 'id': 'd', 'hubid': 3, 'netdev': 'n0'}");
    net_frame(buf, 60, 1);
    t->room = 1;
    ck_assert(card_send(a, buf, 60));
    ck_assert(!card_send(a, buf, 60));
    net_test_writable(t, -1);
    net_run_for(2);
    ck_assert_uint_eq(a->ready, 1);
    a->room = 0;
    ck_assert(net_test_inject(t, buf, 60, (NetHdr){0}));  /* kept at a's port */
    ck_assert(!net_test_inject(t, buf, 60, (NetHdr){0})); /* kept at n0 */
    a->room = -1;
    net_receive_ready(a->user, 0);
    net_run_for(2);
    ck_assert_uint_eq(a->got->len, 2);
    ck_assert_uint_eq(t->readies, 1);
    ck_assert(net_backend_del(net_root, "n0", NULL));
    ck_assert(card_send(a, buf, 60));
    card_free(a);
}
END_TEST

START_TEST(bad_hubports_get_one_line)
{
    EventLoop *other = loop_new(NULL);
    NetUserOps ops = {.name = "x"};
    g_autoptr(GError) err = NULL;

    net_test_add("n0", 0, 1);
    net_add_fails("{'type': 'hubport', 'id': 'x'}", "'hubid' is missing: the number of the hub");
    net_add_fails("{'type': 'hubport', 'id': 'x', 'hubid': 0, 'netdev': 'none'}",
                  "there is no netdev 'none'");
    net_add("{'type': 'hubport', 'id': 'a', 'hubid': 0, 'netdev': 'n0'}");
    net_add_fails("{'type': 'hubport', 'id': 'x', 'hubid': 0, 'netdev': 'n0'}",
                  "netdev 'n0' is in use by 'a'");
    net_add_fails("{'type': 'hubport', 'id': 'x', 'hubid': 1, 'netdev': 'a'}",
                  "netdev 'a' is a hubport itself");
    ck_assert_ptr_null(net_attach(net_backend_find(net_root, "a"), &ops, &net_loop, 1, &err));
    ck_assert_str_eq(err->message, "netdev 'a' connects netdev 'n0' to its hub, not a card");
    g_clear_error(&err);
    ck_assert_ptr_null(
        net_attach(net_add("{'type': 'hubport', 'id': 'b', 'hubid': 0}"), &ops, &other, 1, &err));
    ck_assert_str_eq(err->message, "netdev 'b': type hubport cannot be served by an iothread");
    loop_free(other);
}
END_TEST

/* --- filters --- */

static Object *filter(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static Object *filter(const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *json = NULL;
    json_t *opts;
    Object *obj;
    va_list ap;

    va_start(ap, fmt);
    json = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    opts = parse_json(json, strlen(json), NULL);
    obj = user_creatable_add(net_root, opts, &err);
    json_decref(opts);
    ck_assert_msg(obj != NULL, "%s", err ? err->message : "");
    return obj;
}

static void filter_fails(const char *json, const char *line)
{
    g_autoptr(GError) err = NULL;
    json_t *opts = parse_json(json, strlen(json), NULL);

    ck_assert_ptr_null(user_creatable_add(net_root, opts, &err));
    json_decref(opts);
    ck_assert_str_eq(err->message, line);
}

static uint32_t u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

START_TEST(a_dump_is_a_pcap_file_of_both_directions)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Object *dump = filter("{'qom-type': 'filter-dump', 'id': 'd', 'netdev': 'n0', 'file': '%s', "
                          "'maxlen': 100, 'nanoseconds': %s, 'queue': '%s'}",
                          pcap, _i ? "true" : "false", _i == 2 ? "tx" : "all");
    g_autofree char *got = NULL;
    gsize len;
    const char *p;

    net_frame(buf, 60, 1);
    ck_assert(card_send_pieces(c, buf, 60, (NetHdr){0}, 7));
    net_frame(buf, 1000, 2);
    ck_assert(net_test_inject(t, buf, 1000, (NetHdr){0}));
    c->room = 0;
    ck_assert(!net_test_inject(t, buf, 1000, (NetHdr){0})); /* not passed, not seen */
    object_unparent(dump);
    ck_assert(g_file_get_contents(pcap, &got, &len, NULL));
    ck_assert_uint_eq(len, 24 + (_i == 2 ? 0 : 16 + 60) + 16 + 100);
    ck_assert_uint_eq(u32(got), _i ? 0xa1b23c4d : 0xa1b2c3d4);
    ck_assert_uint_eq(u32(got + 16), 100);
    ck_assert_uint_eq(u32(got + 20), 1);
    p = got + 24;
    if (_i != 2) {
        ck_assert_int_le(labs((long)u32(p) - (long)(g_get_real_time() / G_USEC_PER_SEC)), 60);
        ck_assert_uint_lt(u32(p + 4), _i ? 1000000000 : 1000000);
        ck_assert_uint_eq(u32(p + 8), 60);
        ck_assert_uint_eq(u32(p + 12), 60);
        net_frame(buf, 60, 1);
        ck_assert_mem_eq(p + 16, buf, 60);
        p += 76;
    }
    ck_assert_uint_eq(u32(p + 8), 100);
    ck_assert_uint_eq(u32(p + 12), 1000);
    net_frame(buf, 1000, 2);
    ck_assert_mem_eq(p + 16, buf, 100);
    card_free(c);
}
END_TEST

START_TEST(a_dump_ends_with_its_netdev)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Object *dump =
        filter("{'qom-type': 'filter-dump', 'id': 'd', 'netdev': 'n0', 'file': '%s'}", pcap);
    g_autofree char *got = NULL;
    gsize len;

    net_frame(buf, 60, 1);
    ck_assert(card_send(c, buf, 60));
    ck_assert(net_backend_del(net_root, "n0", NULL));
    ck_assert(g_file_get_contents(pcap, &got, &len, NULL));
    ck_assert_uint_eq(len, 24 + 16 + 60);
    ck_assert(card_send(c, buf, 60));
    object_unparent(dump);
    card_free(c);
}
END_TEST

/* Sends n frames as fast as they are taken; returns the time, in us. */
static gint64 send_all(Card *c, unsigned n, size_t len)
{
    gint64 start = g_get_monotonic_time();
    unsigned ready = c->ready;

    net_frame(buf, len, 1);
    for (unsigned i = 0; i < n;) {
        if (card_send(c, buf, len)) {
            i++;
            continue;
        }
        while (c->ready == ready) {
            loop_iterate(net_loop, true);
        }
        ready = c->ready;
    }
    return g_get_monotonic_time() - start;
}

/* Never faster than the limit; how much slower depends on the machine. */
START_TEST(a_throttle_holds_frames_of_a_card_back)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Object *throttle = filter(_i ? "{'qom-type': 'filter-throttle', 'id': 'd', 'netdev': 'n0', "
                                   "'bps': '8000000', 'bps-burst': 80000}"
                                 : "{'qom-type': 'filter-throttle', 'id': 'd', 'netdev': 'n0', "
                                   "'pps': 1000, 'pps-burst': 10}");
    gint64 us = send_all(c, 110, 1000);

    ck_assert_int_ge(us, 98000);
    ck_assert_uint_eq(t->sent->len, 110);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-dropped"), 0);
    ck_assert(property_set_string(throttle, _i ? "bps" : "pps", "1", NULL));
    ck_assert(card_send(c, buf, 1000)); /* limits begin anew */
    while (card_send(c, buf, 1000)) {
        ck_assert_uint_lt(t->sent->len, 200);
    }
    ck_assert(card_idle(c));
    ck_assert(property_set_string(throttle, "status", "off", NULL));
    ck_assert_int_lt(send_all(c, 1000, 1000), 5000000);
    card_free(c);
}
END_TEST

START_TEST(a_throttle_holds_frames_for_a_card_back)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Object *throttle = filter("{'qom-type': 'filter-throttle', 'id': 'd', 'netdev': 'n0', 'pps': "
                              "20, 'pps-burst': 1, 'queue': 'tx'}");
    gint64 start = g_get_monotonic_time();
    unsigned n = 0;

    net_frame(buf, 60, 1);
    ck_assert(card_send(c, buf, 60) && card_send(c, buf, 60)); /* the other way */
    while (net_test_inject(t, buf, 60, (NetHdr){0})) {
        ck_assert_uint_lt(++n, 5);
    }
    ck_assert_uint_eq(t->readies, 0);
    while (t->readies == 0) {
        loop_iterate(net_loop, true);
    }
    ck_assert_int_ge(g_get_monotonic_time() - start, 45000);
    ck_assert_uint_eq(c->got->len, n + 1);
    while (net_test_inject(t, buf, 60, (NetHdr){0})) {
    }
    object_unparent(throttle); /* what waits goes on */
    net_run_for(2);
    ck_assert_uint_eq(t->readies, 2);
    card_free(c);
}
END_TEST

/* Counts what it is asked, and may say no. */
typedef struct {
    NetFilter parent_obj;
    bool holds;
    unsigned asked;
} FilterTest;

static int64_t test_admit(NetFilter *f, unsigned dir, size_t len, unsigned segments)
{
    FilterTest *t = (FilterTest *)f;

    t->asked++;
    return t->holds ? INT64_C(1000000000000) : 0;
}

static void filter_test_class_init(ObjectClass *klass, const void *data)
{
    NET_FILTER_CLASS(klass)->admit = test_admit;
}

static const TypeInfo filter_test_type = {
    .name = "filter-test",
    .parent = &net_filter_type,
    .instance_size = sizeof(FilterTest),
    .class_init = filter_test_class_init,
};

START_TEST(a_frame_is_charged_once_by_each_filter)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    FilterTest *f[3];
    bool rx = _i; /* to the card, else from it */

    type_register(&filter_test_type);
    for (unsigned i = 0; i < 3; i++) {
        f[i] = (FilterTest *)filter("{'qom-type': 'filter-test', 'id': 'f%u', 'netdev': 'n0'}", i);
    }
    f[1]->holds = true;
    net_frame(buf, 60, 1);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert(rx ? i > 1 || !net_test_inject(t, buf, 60, (NetHdr){0}) : !card_send(c, buf, 60));
        net_filter_wake(&f[1]->parent_obj);
        net_run_for(1);
        ck_assert_uint_eq(f[0]->asked, 1);
        ck_assert_uint_ge(f[1]->asked, i);
        ck_assert_uint_eq(f[2]->asked, 0);
    }
    object_unparent(OBJECT(f[0])); /* the others keep their places */
    f[1]->holds = false;
    net_filter_wake(&f[1]->parent_obj);
    net_run_for(1);
    ck_assert(rx || card_send(c, buf, 60));
    ck_assert_uint_eq(rx ? c->got->len : t->sent->len, 1);
    ck_assert_uint_eq(f[2]->asked, 1);
    ck_assert(rx ? net_test_inject(t, buf, 60, (NetHdr){0}) : card_send(c, buf, 60));
    ck_assert_uint_eq(f[2]->asked, 2); /* the next one is another */
    card_free(c);
}
END_TEST

START_TEST(bad_filters_get_one_line)
{
    net_test_add("n0", 0, 1);
    filter_fails("{'qom-type': 'filter-dump', 'id': 'd'}",
                 "'netdev' is missing: the id of a -netdev");
    filter_fails("{'qom-type': 'filter-dump', 'id': 'd', 'netdev': 'n1'}",
                 "there is no netdev 'n1'");
    filter_fails("{'qom-type': 'filter-dump', 'id': 'd', 'netdev': 'n0'}",
                 "'file' is missing: where to write to");
    filter_fails("{'qom-type': 'filter-dump', 'id': 'd', 'netdev': 'n0', 'file': '/none/x'}",
                 "cannot write /none/x: there is no folder '/none'");
    filter_fails("{'qom-type': 'filter-throttle', 'id': 'd', 'netdev': 'n0'}",
                 "give bps= or pps=, bits or packets a second");
    filter_fails("{'qom-type': 'filter-throttle', 'id': 'd', 'netdev': 'n0', 'bps': -1}",
                 "property 'bps' of filter-throttle: give a number of 0 or more");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-filter");
    TCase *tc = tcase_create("filter");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_hub_gives_a_frame_to_all_other_ports);
    tcase_add_test(tc, a_hub_of_two_stops_the_sender_and_one_of_three_does_not);
    tcase_add_test(tc, a_backend_behind_a_hub_stops_and_is_stopped);
    tcase_add_test(tc, bad_hubports_get_one_line);
    tcase_add_loop_test(tc, a_dump_is_a_pcap_file_of_both_directions, 0, 3);
    tcase_add_test(tc, a_dump_ends_with_its_netdev);
    tcase_add_loop_test(tc, a_throttle_holds_frames_of_a_card_back, 0, 2);
    tcase_add_test(tc, a_throttle_holds_frames_for_a_card_back);
    tcase_add_loop_test(tc, a_frame_is_charged_once_by_each_filter, 0, 2);
    tcase_add_test(tc, bad_filters_get_one_line);
    return suite_run(s);
}
