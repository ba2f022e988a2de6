/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net with its queue pairs on several iothreads. Also run under TSan: here the driver, the
 * VM's main thread and the control queue do what they do meanwhile. The test looks at rings and at
 * the backend with the locks of all iothreads held, for a guest's memory model is not C's.
 */
#include <string.h>

#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "hw/core/net-card.h"
#include "tests/suite.h"
#include "tests/test-virtio-net.h"

enum { PAIRS = 4, CTRL = 2 * PAIRS, WAIT_US = 200, WAITS = 150000, ROUNDS = 60, ROOM = 200 };

#define MAP "iothread-vq-mapping=[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]"

static uint8_t frame[60];

static FakeMachine *machine(NetTest **ret_t)
{
    FakeMachine *m = fake_machine_new(0);

    type_register(&user_creatable_type);
    type_register(&iothread_type);
    type_register(&net_test_type);
    for (unsigned i = 0; i < 2; i++) {
        json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", i ? "io1" : "io0");

        ck_assert(user_creatable_add(m->p.root, opts, NULL));
        json_decref(opts);
    }
    net_root = m->p.root;
    net_loop = m->p.loop;
    *ret_t = net_test_add("n0", NET_OFFLOAD_ALL, PAIRS);
    vnet_pattern(frame, sizeof frame, 1);
    return m;
}

static FakeDriver *start(unsigned cell, NetTest **ret_t)
{
    FakeDriver *d =
        fake_driver_probe_on(machine(ret_t), "virtio-net", cell, "netdev=n0,mq=on," MAP);

    fake_driver_up(d);
    return d;
}

static unsigned take_used(FakeDriver *d, unsigned q, unsigned most)
{
    unsigned n = 0;

    virtio_lock(d->vdev);
    while (n < most && fake_driver_get(d, q, NULL, NULL)) {
        n++;
    }
    virtio_unlock(d->vdev);
    return n;
}

/* n buffers of queue q come back; the main loop works meanwhile. */
static void await(FakeDriver *d, unsigned q, unsigned n)
{
    for (unsigned i = 0; (n -= take_used(d, q, n)) > 0; i++) {
        ck_assert_msg(i < WAITS, "%u buffers of queue %u do not come back", n, q);
        fake_machine_run(d->m);
        g_usleep(WAIT_US);
    }
}

static void add(FakeDriver *d, unsigned pair, unsigned n)
{
    virtio_lock(d->vdev);
    for (unsigned i = 0; i < n; i++) {
        vnet_add(d, 2 * pair + TX, NULL, frame, sizeof frame, 60);
    }
    virtio_unlock(d->vdev);
    d->t->notify(d, 2 * pair + TX);
}

static void post(FakeDriver *d, unsigned pair, unsigned n)
{
    virtio_lock(d->vdev);
    for (unsigned i = 0; i < n; i++) {
        vnet_post_one(d, 2 * pair + RX, ROOM);
    }
    virtio_unlock(d->vdev);
    d->t->notify(d, 2 * pair + RX);
}

/* As the backend's source on that pair's loop would. True: all are taken. */
static bool inject(FakeDriver *d, NetTest *t, unsigned pair, unsigned n)
{
    EventLoop *loop = net_queue_loop(&t->parent_obj, pair);
    bool all = true;

    loop_lock(loop);
    for (unsigned i = 0; i < n; i++) {
        all = net_deliver_flat(&t->parent_obj, pair, frame, sizeof frame) && all;
    }
    loop_unlock(loop);
    return all;
}

static void add_command(FakeDriver *d, uint8_t class, uint8_t command, const void *data,
                        uint32_t len)
{
    uint8_t header[2] = {class, command};

    virtio_lock(d->vdev);
    fake_driver_add(d, CTRL, OUT(header, 2), OUT(data, len), IN(1));
    virtio_unlock(d->vdev);
    d->t->notify(d, CTRL);
}

static void set_pairs(FakeDriver *d, uint8_t n)
{
    uint8_t data[2] = {n, 0};

    add_command(d, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
    await(d, CTRL, 1);
}

START_TEST(frames_go_both_ways_on_all_pairs)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

    set_pairs(d, PAIRS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t page = d->next_page;

        for (unsigned i = 0; i < PAIRS; i++) {
            add(d, i, 8);
            post(d, i, 8);
            ck_assert(inject(d, t, i, 8));
        }
        for (unsigned i = 0; i < PAIRS; i++) {
            await(d, 2 * i + TX, 8);
            await(d, 2 * i + RX, 8);
        }
        d->next_page = page;
    }
    virtio_lock(d->vdev);
    ck_assert_uint_eq(t->sent->len, 8 * PAIRS * ROUNDS);
    virtio_unlock(d->vdev);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-frames"), 8 * PAIRS * ROUNDS);
}
END_TEST

/* Each time something that takes all locks, from the main loop or by the control queue. */
static void disturb(FakeDriver *d, NetTest *t, unsigned round)
{
    const NetCardClass *c = object_interface(OBJECT(vnet_of(d)), &net_card_type);
    uint8_t data[8] = {(uint8_t)(round % PAIRS + 1)}, mac[6] = {2, 0, 0, 0, 0, (uint8_t)round};
    uint8_t coal[8] = {round % 5, 0, 0, 0, 100};

    switch (round % 6) {
    case 0:
        platform_run_changed(&d->m->p, false);
        platform_run_changed(&d->m->p, true);
        break;
    case 1:
        net_backend_set_link(&t->parent_obj, false);
        net_backend_set_link(&t->parent_obj, true);
        break;
    case 2:
        add_command(d, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
        break;
    case 3:
        add_command(d, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6);
        (void)vnet_config(d, CFG_MAC, 4);
        break;
    case 4:
        add_command(d, 6, 1, coal, 8); /* VIRTIO_NET_CTRL_NOTF_COAL_RX_SET */
        c->announce(OBJECT(vnet_of(d)));
        break;
    default:
        json_decref(c->rx_filter(OBJECT(vnet_of(d))));
        add_command(d, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
                    (uint8_t[8]){0}, 8);
    }
    fake_machine_run(d->m);
}

START_TEST(resets_stops_and_commands_in_the_midst)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            post(d, i, 4);
            add(d, i, 6);
            inject(d, t, i, 6);
        }
        disturb(d, t, round);
        if (round % 2) {
            fake_driver_again(d);
        } else {
            for (unsigned q = 0; q <= CTRL; q++) {
                take_used(d, q, UINT_MAX);
            }
        }
    }
    fake_driver_again(d);
    set_pairs(d, PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        add(d, i, 8);
        await(d, 2 * i + TX, 8);
    }
}
END_TEST

START_TEST(a_slow_pair_does_not_hold_the_others_back)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

    set_pairs(d, PAIRS);
    ck_assert(!inject(d, t, 1, 1)); /* no buffer */
    for (unsigned i = 0; i < PAIRS; i += i ? 1 : 2) {
        post(d, i, 1);
        ck_assert(inject(d, t, i, 1));
        await(d, 2 * i + RX, 1);
    }
    post(d, 1, 1);
    await(d, 2 + RX, 1);
}
END_TEST

START_TEST(a_frame_for_a_pair_that_is_not_in_use_stays_on_its_thread_or_is_dropped)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

    post(d, 0, 2);
    ck_assert(inject(d, t, 2, 1)); /* io0, as pair 0 is */
    ck_assert(inject(d, t, 1, 1)); /* io1 */
    await(d, RX, 1);
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 1);
    ck_assert_uint_eq(take_used(d, RX, 1), 0);
}
END_TEST

START_TEST(the_backend_goes_in_the_midst)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

    set_pairs(d, PAIRS);
    virtio_lock(d->vdev);
    t->room = 3;
    virtio_unlock(d->vdev);
    for (unsigned i = 0; i < PAIRS; i++) {
        add(d, i, 20);
    }
    ck_assert(net_backend_del(d->m->p.root, "n0", NULL));
    for (unsigned i = 0; i < PAIRS; i++) {
        await(d, 2 * i + TX, 20);
    }
}
END_TEST

START_TEST(bad_chains_of_any_pair_are_told_of_by_the_main_thread)
{
    for (unsigned pair = 0; pair < PAIRS; pair++) {
        NetTest *t;
        g_autoptr(FakeDriver) d = start((unsigned)_i, &t);

        virtio_lock(d->vdev);
        fake_driver_add(d, 2 * pair + TX, OUT("x", 1));
        virtio_unlock(d->vdev);
        d->t->notify(d, 2 * pair + TX);
        for (unsigned i = 0; !fake_driver_broken(d); i++) {
            ck_assert_uint_lt(i, WAITS);
            fake_machine_run(d->m);
            g_usleep(WAIT_US);
        }
    }
}
END_TEST

START_TEST(a_command_that_waits_is_forgotten_by_a_reset)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start((unsigned)_i, &t);
    uint8_t data[2] = {PAIRS, 0};

    for (unsigned i = 0; i < 10; i++) {
        add_command(d, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
        fake_driver_again(d);
        ck_assert_uint_eq(vnet_of(d)->cur_pairs, 1);
        ck_assert_uint_eq(take_used(d, CTRL, 1), 0);
    }
    set_pairs(d, PAIRS);
    ck_assert_uint_eq(vnet_of(d)->cur_pairs, PAIRS);
}
END_TEST

/* --- mapping --- */

START_TEST(pairs_go_to_the_iothreads_that_the_mapping_says)
{
    static const struct {
        const char *map;
        unsigned of[PAIRS];
    } cases[] = {
        {"[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]", {0, 1, 0, 1}},
        {"[{\"iothread\": \"io1\", \"vqs\": [0, 7, 1, 6]}, {\"iothread\": \"io0\", \"vqs\": [2, 3, "
         "5, 4]}]",
         {1, 0, 0, 1}},
        {"[{\"iothread\": \"io1\"}]", {1, 1, 1, 1}},
    };
    NetTest *t;
    FakeMachine *m = machine(&t);
    Object *objects = object_child(m->p.root, "objects");

    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        Device *dev = fake_machine_make(m, "virtio-net-pci", "v", "netdev=n0,mq=on");
        VirtIODevice *vdev = VIRTIO_DEVICE(object_child(OBJECT(dev), "virtio-backend"));

        ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", cases[c].map, NULL));
        ck_assert(device_realize(dev, &pci_host_bus(m->host)->parent_obj, NULL));
        for (unsigned q = 0; q < CTRL; q++) {
            Object *io = object_child(objects, cases[c].of[q / 2] ? "io1" : "io0");

            ck_assert_ptr_eq(virtio_queue_loop(virtio_get_queue(vdev, q)),
                             iothread_loop(iothread_object_thread(IOTHREAD(io))));
        }
        ck_assert_ptr_eq(virtio_queue_loop(virtio_get_queue(vdev, CTRL)), m->p.loop);
        device_destroy(dev);
    }
    fake_machine_free(m);
}
END_TEST

static const struct {
    const char *props, *map, *message;
} bad_maps[] = {
    {"mq=on", "[]", "iothread-vq-mapping must not be empty"},
    {"mq=on", "[{\"iothread\": \"io7\"}]", "iothread-vq-mapping: there is no iothread 'io7'"},
    {"mq=off", "[{\"iothread\": \"io0\", \"vqs\": [0]}, {\"iothread\": \"io1\", \"vqs\": [1]}]",
     "iothread-vq-mapping: queues 0 and 1 are a pair: give them to one iothread"},
    {"mq=off", "[{\"iothread\": \"io0\", \"vqs\": [0, 1, 2]}]",
     "iothread-vq-mapping: queue 2 is not there"},
    {"mq=on,iothread=io0", "[{\"iothread\": \"io0\"}]",
     "iothread and iothread-vq-mapping exclude each other"},
    {"mq=on,rss=on", "[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]",
     "rss=on needs all queues on one iothread: leave one of them out"},
};

START_TEST(a_bad_mapping_gets_one_line)
{
    NetTest *t;
    FakeMachine *m = machine(&t);
    g_autofree char *props = g_strconcat("netdev=n0,", bad_maps[_i].props, NULL);
    Device *dev = fake_machine_make(m, "virtio-net-pci", "v", props);
    g_autoptr(GError) err = NULL;

    ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", bad_maps[_i].map, NULL));
    ck_assert(!device_realize(dev, &pci_host_bus(m->host)->parent_obj, &err));
    ck_assert_str_eq(err->message, bad_maps[_i].message);
    ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", "[{\"iothread\": \"io0\"}]",
                                  NULL)); /* it may be tried again */
    object_unparent(OBJECT(dev));
    fake_machine_free(m);
}
END_TEST

START_TEST(rss_may_be_had_on_one_iothread)
{
    NetTest *t;
    FakeMachine *m = machine(&t);
    Device *dev = fake_machine_make(m, "virtio-net-pci", "v", "netdev=n0,mq=on,rss=on");

    ck_assert(
        property_set_string(OBJECT(dev), "iothread-vq-mapping", "[{\"iothread\": \"io0\"}]", NULL));
    ck_assert(device_realize(dev, &pci_host_bus(m->host)->parent_obj, NULL));
    device_destroy(dev);
    fake_machine_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-net-threads");
    TCase *tc = tcase_create("virtio-net-threads");
    static const TTest *const *tests[] = {
        &frames_go_both_ways_on_all_pairs,
        &resets_stops_and_commands_in_the_midst,
        &a_slow_pair_does_not_hold_the_others_back,
        &a_frame_for_a_pair_that_is_not_in_use_stays_on_its_thread_or_is_dropped,
        &the_backend_goes_in_the_midst,
        &bad_chains_of_any_pair_are_told_of_by_the_main_thread,
        &a_command_that_waits_is_forgotten_by_a_reset,
    };
    /* MSI-X, INTx, packed, MMIO */
    static const unsigned cells[] = {3, FAKE_INTX, FAKE_PCI_PACKED, FAKE_MMIO | 1};

    tcase_set_timeout(tc, 240);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(cells); c++) {
            tcase_add_loop_test(tc, *tests[i], (int)cells[c], (int)cells[c] + 1);
        }
    }
    tcase_add_test(tc, pairs_go_to_the_iothreads_that_the_mapping_says);
    tcase_add_loop_test(tc, a_bad_mapping_gets_one_line, 0, G_N_ELEMENTS(bad_maps));
    tcase_add_test(tc, rss_may_be_had_on_one_iothread);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
