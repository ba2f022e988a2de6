/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net on an iothread. Also run under TSan: here the driver and the VM's main thread do what
 * they do meanwhile. The test looks at rings and at the backend with the iothread's lock held, for
 * a guest's memory model is not C's.
 */
#include "tests/test-virtio-net.h"

#include <string.h>

#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "hw/core/net-card.h"
#include "tests/suite.h"

enum { WAIT_US = 200, WAITS = 50000, ROUNDS = 60, ROOM = 200 };

static uint8_t frame[60];

static FakeDriver *start_on_iothread(unsigned cell, unsigned queues, const char *props,
                                     NetTest **ret_t)
{
    FakeMachine *m = fake_machine_new(0);
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", "io0");
    g_autofree char *all = g_strconcat("netdev=n0,iothread=io0", props, NULL);
    FakeDriver *d;

    type_register(&user_creatable_type);
    type_register(&iothread_type);
    type_register(&net_test_type);
    ck_assert(user_creatable_add(m->p.root, opts, NULL));
    json_decref(opts);
    net_root = m->p.root;
    net_loop = m->p.loop;
    *ret_t = net_test_add("n0", NET_OFFLOAD_ALL, queues);
    d = fake_driver_probe_on(m, "virtio-net", cell, all);
    fake_driver_up(d);
    vnet_pattern(frame, sizeof frame, 1);
    return d;
}

/* n buffers of queue q come back; the main loop works meanwhile. */
static void await(FakeDriver *d, unsigned q, unsigned n)
{
    for (unsigned i = 0; n > 0; i++) {
        ck_assert_msg(i < WAITS, "%u buffers do not come back", n);
        virtio_lock(d->vdev);
        while (n > 0 && fake_driver_get(d, q, NULL, NULL)) {
            n--;
        }
        virtio_unlock(d->vdev);
        fake_machine_run(d->m);
        if (n > 0) {
            g_usleep(WAIT_US);
        }
    }
}

static void add(FakeDriver *d, unsigned n)
{
    virtio_lock(d->vdev);
    for (unsigned i = 0; i < n; i++) {
        uint64_t page = d->next_page;

        vnet_add(d, TX, NULL, frame, sizeof frame, 60);
        d->next_page = page + 512;
    }
    d->next_page = (d->next_page + 4095) & ~UINT64_C(4095);
    virtio_unlock(d->vdev);
}

static void post(FakeDriver *d, unsigned n)
{
    virtio_lock(d->vdev);
    for (unsigned i = 0; i < n; i++) {
        vnet_post_one(d, RX, ROOM);
    }
    virtio_unlock(d->vdev);
    fake_driver_kick(d, RX);
}

static void inject(FakeDriver *d, NetTest *t, unsigned n)
{
    virtio_lock(d->vdev);
    for (unsigned i = 0; i < n; i++) {
        ck_assert(net_deliver_flat(&t->parent_obj, 0, frame, sizeof frame));
    }
    virtio_unlock(d->vdev);
}

static unsigned n_sent(FakeDriver *d, NetTest *t)
{
    unsigned n;

    virtio_lock(d->vdev);
    n = t->sent->len;
    virtio_unlock(d->vdev);
    return n;
}

START_TEST(frames_go_both_ways)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t page = d->next_page;

        add(d, 8);
        fake_driver_kick(d, TX);
        post(d, 8);
        inject(d, t, 8);
        await(d, TX, 8);
        await(d, RX, 8);
        d->next_page = page;
    }
    ck_assert_uint_eq(n_sent(d, t), 8 * ROUNDS);
}
END_TEST

START_TEST(interrupts_come_also_where_they_need_the_vm_lock)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);
    bool yes = false;

    post(d, 1);
    inject(d, t, 1);
    for (unsigned i = 0; !yes; i++) {
        ck_assert_uint_lt(i, WAITS);
        fake_machine_run(d->m);
        virtio_lock(d->vdev);
        yes = fake_driver_interrupted(d, RX);
        virtio_unlock(d->vdev);
        g_usleep(WAIT_US);
    }
}
END_TEST

START_TEST(resets_and_stops_in_the_midst)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);

    for (unsigned round = 0; round < ROUNDS; round++) {
        post(d, 4);
        add(d, 8);
        d->t->notify(d, TX);
        inject(d, t, 3);
        switch (round % 4) {
        case 0:
            platform_run_changed(&d->m->p, false);
            platform_run_changed(&d->m->p, true);
            break;
        case 1:
            net_backend_set_link(&t->parent_obj, false);
            net_backend_set_link(&t->parent_obj, true);
            break;
        case 2:
            (void)vnet_config(d, CFG_STATUS, 2);
            break;
        }
        fake_driver_again(d);
    }
    add(d, 8);
    fake_driver_kick(d, TX);
    await(d, TX, 8);
}
END_TEST

START_TEST(the_backend_goes_in_the_midst)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);

    virtio_lock(d->vdev);
    t->room = 3;
    virtio_unlock(d->vdev);
    add(d, 40);
    d->t->notify(d, TX);
    ck_assert(net_backend_del(d->m->p.root, "n0", NULL));
    await(d, TX, 40);
}
END_TEST

START_TEST(bad_chains_are_told_of_by_the_main_thread)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);

    virtio_lock(d->vdev);
    fake_driver_add(d, TX, OUT("x", 1));
    virtio_unlock(d->vdev);
    d->t->notify(d, TX);
    for (unsigned i = 0; !fake_driver_broken(d); i++) {
        ck_assert_uint_lt(i, WAITS);
        fake_machine_run(d->m);
        g_usleep(WAIT_US);
    }
}
END_TEST

static void add_command(FakeDriver *d, unsigned q, uint8_t class, uint8_t command, const void *data,
                        uint32_t len)
{
    uint8_t header[2] = {class, command};

    virtio_lock(d->vdev);
    fake_driver_add(d, q, OUT(header, 2), OUT(data, len), IN(1));
    virtio_unlock(d->vdev);
}

/* The control queue's work there meets the monitors' on the main loop. */
START_TEST(commands_meet_those_who_look_at_what_they_set)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = start_on_iothread((unsigned)_i, 1, "", &t);
    Object *card = OBJECT(vnet_of(d));
    const NetCardClass *c = object_interface(card, &net_card_type);
    static const uint8_t table[8];
    json_t *info;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t page = d->next_page;
        uint8_t on = round & 1, mac[6] = {0x52, 0x54, 0, 0, 0, (uint8_t)round}, vlan[2] = {on, 0};

        add_command(d, 2, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1);
        add_command(d, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6);
        add_command(d, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 8);
        add_command(d, 2, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vlan, 2);
        d->t->notify(d, 2);
        post(d, 1);
        inject(d, t, 1);
        json_decref(c->rx_filter(card));
        c->announce(card);
        (void)vnet_config(d, CFG_MAC, 4);
        await(d, 2, 4);
        await(d, RX, 1);
        d->next_page = page;
    }
    info = c->rx_filter(card);
    ck_assert(json_is_array(json_object_get(info, "vlan-table")));
    ck_assert_str_eq(json_string_value(json_object_get(info, "main-mac")), "52:54:00:00:00:3b");
    json_decref(info);
    ck_assert_uint_ge(d->m->events->len, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-net-iothread");
    TCase *tc = tcase_create("virtio-net-iothread");
    static const TTest *const *tests[] = {&frames_go_both_ways,
                                          &interrupts_come_also_where_they_need_the_vm_lock,
                                          &resets_and_stops_in_the_midst,
                                          &the_backend_goes_in_the_midst,
                                          &bad_chains_are_told_of_by_the_main_thread,
                                          &commands_meet_those_who_look_at_what_they_set};
    /* MSI-X, INTx, packed, MMIO, legacy */
    static const unsigned cells[] = {3, FAKE_INTX, FAKE_PCI_PACKED, FAKE_MMIO | 1, FAKE_PCI_LEGACY};

    tcase_set_timeout(tc, 120);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(cells); c++) {
            tcase_add_loop_test(tc, *tests[i], (int)cells[c], (int)cells[c] + 1);
        }
    }
    suite_add_tcase(s, tc);
    return suite_run(s);
}
