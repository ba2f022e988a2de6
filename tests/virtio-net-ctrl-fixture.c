/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio-net card and its driver, see test-virtio-net-ctrl.h.
 */
#include "tests/test-virtio-net-ctrl.h"

#include <string.h>

#include "backends/user-creatable.h"

const uint8_t nic_own[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
const uint8_t nic_other[6] = {0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc};
const uint8_t nic_group[6] = {0x01, 0x00, 0x5e, 0x01, 0x02, 0x03};
const uint8_t nic_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

Nic *nic_probe(unsigned cell, unsigned queues, const char *props)
{
    static const TypeInfo *const types[] = {&user_creatable_type, &net_test_type, NULL};
    Nic *n = g_new0(Nic, 1);
    FakeMachine *m = fake_machine_new(0);
    g_autofree char *all = g_strconcat("netdev=n0", props ? "," : "", props ? props : "", NULL);

    type_register_list(types);
    net_root = m->p.root;
    net_loop = m->p.loop;
    n->net = net_test_add("n0", NET_OFFLOAD_ALL, queues);
    n->d = fake_driver_probe_on(m, "virtio-net", cell, all);
    n->s = VIRTIO_NET(n->d->vdev);
    return n;
}

static void add_buffer(Nic *n, unsigned pair, Gpa at)
{
    uint16_t head = fake_driver_add(n->d, 2 * pair, IN_AT(at.v, NIC_BUFFER));

    n->places[pair][head] = at;
}

static void fill(Nic *n)
{
    bool many = nic_has(n, VIRTIO_NET_F_MQ) || nic_has(n, VIRTIO_NET_F_RSS);

    n->pairs = many ? n->s->n_pairs : 1;
    g_assert(n->pairs <= G_N_ELEMENTS(n->places));
    for (unsigned i = 0; i < n->pairs; i++) {
        for (unsigned j = 0; j < NIC_BUFFERS; j++) {
            add_buffer(n, i, fake_driver_alloc(n->d, NIC_BUFFER));
        }
        fake_driver_kick(n->d, 2 * i);
    }
}

void nic_up_without(Nic *n, uint64_t features)
{
    FakeDriver *d = n->d;

    d->next_page = 0x100000; /* memory begins anew */
    d->next_high = FAKE_RAM_HIGH;
    d->edges_used = 3;
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & ~features));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    fill(n);
}

Nic *nic_start(unsigned cell, unsigned queues, const char *props)
{
    Nic *n = nic_probe(cell, queues, props);

    nic_up_without(n, 0);
    return n;
}

void nic_free(Nic *n)
{
    Object *root = n->d->m->p.root;

    device_destroy(n->d->dev);
    n->d->dev = NULL;
    net_backend_del_all(root);
    fake_driver_free(n->d);
    g_free(n);
}

bool nic_offers(Nic *n, unsigned bit)
{
    return n->d->t->device_features(n->d) >> bit & 1;
}

bool nic_has(Nic *n, unsigned bit)
{
    return virtio_has_feature(n->d->vdev, bit);
}

uint64_t nic_config(Nic *n, unsigned off, unsigned size)
{
    return n->d->t->config_read(n->d, off, size);
}

unsigned nic_ctrl_queue(Nic *n)
{
    return 2 * n->pairs;
}

uint8_t nic_command_for(Nic *n, unsigned class, unsigned command, const void *data, size_t len,
                        void *answer, size_t answer_len)
{
    uint8_t header[2] = {(uint8_t) class, (uint8_t)command};
    unsigned q = nic_ctrl_queue(n), at = 0;
    FakeDriver *d = n->d;
    uint64_t before = d->next_page; /* long loops would take all of memory */
    Gpa ack = fake_driver_alloc(d, 1 + answer_len);
    FakeBuf bufs[5];
    uint16_t head, got;
    uint32_t used;
    uint8_t value;

    fake_mem_put(d->m->p.mem, ack, NIC_NO_ACK, 1);
    bufs[at++] = OUT(header, 2);
    if (len > 0) {
        bufs[at++] = OUT(data, (uint32_t)len);
    }
    bufs[at++] = IN_AT(ack.v, 1);
    if (answer_len > 0) {
        bufs[at++] = IN_AT(ack.v + 1, (uint32_t)answer_len);
    }
    bufs[at] = END;
    head = fake_driver_add_bufs(d, q, bufs, NULL);
    fake_driver_kick(d, q);
    ck_assert(fake_driver_get(d, q, &got, &used));
    ck_assert_uint_eq(got, head);
    value = (uint8_t)fake_mem_get(d->m->p.mem, ack, 1);
    ck_assert_uint_eq(used, value == VIRTIO_NET_OK ? 1 + answer_len : 1);
    if (answer_len > 0) {
        ck_assert(gmem_read(d->m->p.mem, GPA(ack.v + 1), answer, answer_len));
    }
    d->next_page = before;
    return value;
}

uint8_t nic_command(Nic *n, unsigned class, unsigned command, const void *data, size_t len)
{
    return nic_command_for(n, class, command, data, len, NULL, 0);
}

uint8_t nic_command_le(Nic *n, unsigned class, unsigned command, uint64_t value, unsigned size)
{
    uint8_t data[8];

    le_store(data, value, size);
    return nic_command(n, class, command, data, size);
}

/* --- frames --- */

void nic_frame(uint8_t *buf, size_t len, const uint8_t mac[6], int vlan)
{
    static unsigned seed;

    net_frame(buf, len, seed++);
    memcpy(buf, mac, 6);
    if (vlan >= 0) {
        buf[12] = 0x81;
        buf[13] = 0x00;
        buf[14] = (uint8_t)(vlan >> 8);
        buf[15] = (uint8_t)vlan;
    }
}

static void put_be(uint8_t *p, uint32_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        p[i] = (uint8_t)(v >> 8 * (size - 1 - i));
    }
}

void nic_packet(uint8_t buf[54], uint32_t src, uint32_t dst, unsigned sport, unsigned dport,
                unsigned proto)
{
    memset(buf, 0, 54);
    memcpy(buf, nic_own, 6);
    put_be(buf + 12, 0x0800, 2);
    buf[14] = 0x45;
    put_be(buf + 16, 40, 2);
    buf[22] = 64;
    buf[23] = (uint8_t)proto;
    put_be(buf + 26, src, 4);
    put_be(buf + 30, dst, 4);
    put_be(buf + 34, sport, 2);
    put_be(buf + 36, dport, 2);
}

void nic_inject(Nic *n, unsigned from, const void *frame, size_t len)
{
    struct iovec iov = {(void *)frame, len};
    NetFrame f = {.iov = &iov, .niov = 1, .len = len};

    net_deliver(&n->net->parent_obj, from, &f);
    fake_machine_run(n->d->m);
}

/* The frame in the buffer is the one that was sent, behind the header. */
static void check_frame(Nic *n, Gpa at, uint32_t used, const void *frame, size_t len)
{
    size_t hdr = used - len;
    g_autofree uint8_t *got = g_malloc(len);

    ck_assert(hdr == 10 || hdr == 12 || hdr == 20);
    ck_assert(gmem_read(n->d->m->p.mem, at, n->header, hdr));
    ck_assert(gmem_read(n->d->m->p.mem, GPA(at.v + hdr), got, len));
    ck_assert_mem_eq(got, frame, len);
}

/* The next frame of a queue; its buffer is made available again. */
static bool take(Nic *n, unsigned pair, Gpa *ret_at, uint32_t *ret_used)
{
    uint16_t head;

    if (!fake_driver_get(n->d, 2 * pair, &head, ret_used)) {
        return false;
    }
    *ret_at = n->places[pair][head];
    add_buffer(n, pair, *ret_at);
    fake_driver_kick(n->d, 2 * pair);
    return true;
}

unsigned nic_take_all(Nic *n, unsigned pair)
{
    unsigned count = 0;
    uint32_t used;
    Gpa at;

    while (take(n, pair, &at, &used)) {
        count++;
    }
    return count;
}

unsigned nic_receive_on(Nic *n, unsigned from, const void *frame, size_t len)
{
    unsigned where = NIC_NOWHERE;
    uint32_t used;
    Gpa at;

    nic_inject(n, from, frame, len);
    for (unsigned i = 0; i < n->pairs; i++) {
        if (take(n, i, &at, &used)) {
            ck_assert_uint_eq(where, NIC_NOWHERE);
            where = i;
            check_frame(n, at, used, frame, len);
            ck_assert_uint_eq(nic_take_all(n, i), 0);
        }
    }
    return where;
}

bool nic_gets_tagged(Nic *n, const uint8_t mac[6], int vlan)
{
    uint8_t buf[60];

    nic_frame(buf, sizeof buf, mac, vlan);
    return nic_receive_on(n, 0, buf, sizeof buf) != NIC_NOWHERE;
}

bool nic_gets(Nic *n, const uint8_t mac[6])
{
    return nic_gets_tagged(n, mac, -1);
}

void nic_step_us(Nic *n, int64_t us)
{
    Clock *c = n->d->m->p.vclock;

    clock_step_to(c, clock_now(c) + us * 1000);
    fake_machine_run(n->d->m);
}

void nic_add_tests(Suite *s, const char *name, const TTest *const *tests, size_t n)
{
    TCase *tc = tcase_create(name);

    for (size_t i = 0; i < n; i++) {
        tcase_add_loop_test(tc, tests[i], 0, FAKE_CELLS);
    }
    suite_add_tcase(s, tc);
}
