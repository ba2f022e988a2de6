/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues that follow the rules: data, framing, and the element API on rings of both formats;
 * what is the split ring's own (VIRTIO 1.4 §2.7): indirect tables, suppression of notifications in
 * both directions. The packed ring's own is in test-virtqueue-packed.c, broken rings are in
 * test-virtqueue-broken.c.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

static void check_mem(FakeDriver *d, Gpa at, const void *want, size_t len)
{
    g_autofree uint8_t *got = g_malloc(len);

    ck_assert(gmem_read(d->m->p.mem, at, got, len));
    ck_assert(len == 0 || memcmp(got, want, len) == 0);
}

static bool is_packed(FakeDriver *d)
{
    return d->rings[0].packed;
}

/* --- data --- */

START_TEST(split_15_16_used_len_and_bytes_are_there_when_idx_moves)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);
    Gpa at[3];
    uint16_t head, got;
    uint32_t len;

    head = fake_driver_add_bufs(
        d, 0, (const FakeBuf[]){OUT("hello ", 6), OUT("world", 5), IN(64), END}, at);
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, &got, &len));
    ck_assert_uint_eq(got, head);
    ck_assert_uint_eq(len, 11);
    check_mem(d, at[2], "hello world\0\0\0\0", 15);
    ck_assert(fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_interrupted(d, 1));
}
END_TEST

START_TEST(ring_indexes_wrap)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    FakeRing *r = &d->rings[0];

    fake_ring_set_desc(r, 5, 0x1000, 8, VRING_DESC_F_WRITE, 0);
    for (unsigned n = 0; n < 66000; n++) {
        VqElem *e;

        fake_ring_put_avail(r, 5);
        e = virtqueue_pop(vq);
        if (!e || vq_elem_in_left(e) != 8) { /* each ck_assert costs a message to the runner */
            ck_abort_msg("round %u", n);
        }
        virtqueue_push(e);
        if (n % 1000 == 0) {
            uint32_t id, len;

            fake_ring_set_used_event(r, (uint16_t)n);
            virtio_notify(d->vdev, vq);
            ck_assert(fake_driver_interrupted(d, 0));
            ck_assert_uint_eq(fake_ring_used_idx(r), (uint16_t)(n + 1));
            fake_ring_used_entry(r, (uint16_t)n, &id, &len);
            ck_assert(id == 5 && len == 0);
        }
    }
    ck_assert_ptr_null(virtqueue_pop(vq));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(split_03_06_descriptors_and_readable_memory_stay_as_they_are)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);
    FakeRing *r = &d->rings[0];
    size_t table_len = 16u * r->num, all = table_len + 16u * r->num * r->num;
    g_autofree uint8_t *before = g_malloc0(all), *after = g_malloc0(all);
    Gpa at[2];

    fake_driver_add_bufs(d, 0, (const FakeBuf[]){OUT("abcdefgh", 8), IN(8), END}, at);
    ck_assert(gmem_read(d->m->p.mem, r->desc, before, table_len));
    ck_assert(gmem_read(d->m->p.mem, r->tables, before + table_len, all - table_len));
    fake_driver_kick(d, 0);
    ck_assert(gmem_read(d->m->p.mem, r->desc, after, table_len));
    ck_assert(gmem_read(d->m->p.mem, r->tables, after + table_len, all - table_len));
    ck_assert_mem_eq(before, after, all);
    check_mem(d, at[0], "abcdefgh", 8);
    check_mem(d, at[1], "abcdefgh", 8);
}
END_TEST

START_TEST(vq_05_framing_does_not_matter)
{
    static const char text[] = "12345678";
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);

    for (unsigned cut = 0; cut <= 8; cut++) { /* empty pieces included */
        Gpa at[4];
        uint32_t len;

        fake_driver_add_bufs(
            d, 0,
            (const FakeBuf[]){OUT(text, cut), OUT(&text[cut], 8 - cut), IN(8 - cut), IN(cut), END},
            at);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_get(d, 0, NULL, &len));
        ck_assert_uint_eq(len, 8);
        check_mem(d, at[2], text, 8 - cut);
        check_mem(d, at[3], &text[8 - cut], cut);
    }
}
END_TEST

START_TEST(buffers_may_straddle_regions)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);
    uint32_t len;

    ck_assert(gmem_write(d->m->p.mem, GPA(FAKE_RAM_EDGE - 3), "straddle", 8));
    fake_driver_add(d, 0, OUT_AT(FAKE_RAM_EDGE - 3, 8), IN_AT(FAKE_RAM_HIGH, 3),
                    IN_AT(FAKE_RAM_LOW - 5, 5));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 8);
    check_mem(d, GPA(FAKE_RAM_HIGH), "str", 3);
    check_mem(d, GPA(FAKE_RAM_LOW - 5), "addle", 5);
}
END_TEST

START_TEST(vq_06_chain_of_queue_size_across_regions_is_served)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i, "queue-size=64");
    FakeBuf bufs[65] = {0};
    uint32_t len;

    for (unsigned i = 0; i < 64; i++) { /* each in two pieces of host memory */
        bufs[i] = i < 32 ? OUT_AT(FAKE_RAM_EDGE - 4, 8) : IN_AT(FAKE_RAM_EDGE - 4, 8);
    }
    bufs[64] = END;
    for (unsigned round = 0; round < 3; round++) {
        fake_driver_add_bufs(d, 0, bufs, NULL);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_get(d, 0, NULL, &len));
        ck_assert_uint_eq(len, 32 * 8);
    }
}
END_TEST

START_TEST(zero_length_chain_is_legal)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);
    uint32_t len = 1;

    fake_driver_add(d, 0, OUT_AT(UINT64_C(0xfffffffffffff000), 0),
                    IN_AT(UINT64_C(0xfffffffffffff000), 0));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(split_23_kick_without_buffers_is_harmless)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);

    fake_driver_kick(d, 0);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    ck_assert(!fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_broken(d));
    fake_driver_add(d, 0, OUT("x", 1), IN(1));
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
}
END_TEST

START_TEST(full_ring_is_served_by_one_kick)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i | FAKE_INDIRECT);
    unsigned used = 0;

    for (unsigned i = 0; i < d->rings[0].num; i++) {
        fake_driver_add(d, 0, OUT("abc", 3), IN(3));
    }
    fake_driver_kick(d, 0);
    while (fake_driver_get(d, 0, NULL, NULL)) {
        used++;
    }
    ck_assert_uint_eq(used, d->rings[0].num);
}
END_TEST

/* --- indirect tables --- */

/* One request of which the first piece is direct and the rest in a table. */
static uint16_t add_mixed(FakeDriver *d, Gpa out1, Gpa out2, Gpa in, uint16_t table_flags)
{
    FakeRing *r = &d->rings[0];
    Gpa table = fake_driver_alloc(d, 32);

    fake_mem_put(r->mem, table, out2.v, 8);
    fake_mem_put(r->mem, gpa_add(table, 8),
                 4 | (uint64_t)VRING_DESC_F_NEXT << 32 | UINT64_C(1) << 48, 8);
    fake_mem_put(r->mem, gpa_add(table, 16), in.v, 8);
    fake_mem_put(r->mem, gpa_add(table, 24), 16 | (uint64_t)VRING_DESC_F_WRITE << 32, 8);
    fake_ring_set_desc(r, 0, out1.v, 4, VRING_DESC_F_NEXT, 5);
    fake_ring_set_desc(r, 5, table.v, 32, VRING_DESC_F_INDIRECT | table_flags, 0);
    fake_ring_put_avail(r, 0);
    return 0;
}

START_TEST(split_07_08_direct_then_indirect_is_processed_in_full)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i | FAKE_INDIRECT);
    Gpa in = fake_driver_alloc(d, 16), out = fake_driver_alloc(d, 16);
    uint32_t id, len;

    ck_assert(gmem_write(d->m->p.mem, out, "12345678", 8));
    add_mixed(d, out, gpa_add(out, 4), in,
              VRING_DESC_F_WRITE); /* WRITE on the table means nothing */
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
    fake_ring_used_entry(&d->rings[0], 0, &id, &len);
    ck_assert_uint_eq(len, 8);
    check_mem(d, in, "12345678", 8);
}
END_TEST

START_TEST(indirect_table_may_straddle_regions)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", FAKE_INDIRECT);
    FakeRing *r = &d->rings[0];
    Gpa table = GPA(FAKE_RAM_EDGE - 24),
        out = fake_driver_alloc(d, 16); /* not aligned to anything but 8 */
    uint32_t id, len;

    fake_mem_put(r->mem, table, out.v, 8);
    fake_mem_put(r->mem, gpa_add(table, 8),
                 4 | (uint64_t)VRING_DESC_F_NEXT << 32 | UINT64_C(1) << 48, 8);
    fake_mem_put(r->mem, gpa_add(table, 16), out.v + 8, 8);
    fake_mem_put(r->mem, gpa_add(table, 24), 4 | (uint64_t)VRING_DESC_F_WRITE << 32, 8);
    fake_ring_set_desc(r, 0, table.v, 32, VRING_DESC_F_INDIRECT, 0);
    fake_ring_put_avail(r, 0);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(r), 1);
    fake_ring_used_entry(r, 0, &id, &len);
    ck_assert_uint_eq(len, 4);
}
END_TEST

/* A ring of n descriptors at one place, each a chain of its own of no bytes, all available. */
static void full_ring(FakeDriver *d, uint32_t n, Gpa *ret_desc, Gpa *ret_avail, Gpa *ret_used)
{
    Gpa at = fake_driver_alloc(d, 16u * n), avail = fake_driver_alloc(d, 6 + 2u * n);

    fake_mem_put(d->m->p.mem, gpa_add(avail, 2), n, 2);
    for (uint32_t i = 0; i < n; i++) {
        fake_mem_put(d->m->p.mem, gpa_add(avail, 4 + 2u * i), n - 1 - i, 2);
    }
    *ret_desc = at;
    *ret_avail = avail;
    *ret_used = fake_driver_alloc(d, 6 + 8u * n);
}

START_TEST(every_power_of_two_is_taken_and_may_be_full)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, "queue-size=32768");

    for (uint32_t n = 1; n <= VIRTQUEUE_MAX_SIZE; n *= 2) {
        Gpa desc, avail, used;
        unsigned wrong = 0;

        full_ring(d, n, &desc, &avail, &used);
        ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
        d->t->queue_enable(d, 0, (uint16_t)n, desc, avail, used);
        fake_driver_start(d);
        ck_assert(!fake_driver_broken(d));
        ck_assert_uint_eq(fake_mem_get(d->m->p.mem, gpa_add(used, 2), 2), n);
        for (uint32_t i = 0; i < n; i++) {
            wrong += fake_mem_get(d->m->p.mem, gpa_add(used, 4 + 8u * i), 8) != n - 1 - i;
        }
        ck_assert_uint_eq(wrong, 0);
        fake_driver_reset(d);
    }
}
END_TEST

/* --- notifications to the driver --- */

/* Legacy drivers that want to know when a queue runs empty are told whatever they say. */
static FakeDriver *new_silent(unsigned cell)
{
    return fake_driver_new_props("virtio-echo", cell, "notify_on_empty=off");
}

static void request(FakeDriver *d)
{
    fake_driver_add(d, 0, OUT("q", 1), IN(1));
    fake_driver_kick(d, 0);
}

START_TEST(split_09_11_used_event_means_nothing_without_event_idx)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i & ~FAKE_EVENT_IDX);

    for (unsigned i = 0; i < 4; i++) {
        fake_ring_set_used_event(&d->rings[0], (uint16_t)(100 + 17 * i));
        request(d);
        ck_assert(fake_driver_interrupted(d, 0));
    }
}
END_TEST

START_TEST(split_10_flag_1_keeps_the_driver_in_peace)
{
    g_autoptr(FakeDriver) d = new_silent(_i & ~FAKE_EVENT_IDX);

    fake_ring_set_avail_flags(&d->rings[0], VRING_AVAIL_F_NO_INTERRUPT);
    request(d);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
    ck_assert(!fake_driver_interrupted(d, 0));
    fake_ring_set_avail_flags(&d->rings[0], 0);
    request(d);
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(split_12_flag_means_nothing_with_event_idx)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i | FAKE_EVENT_IDX);

    fake_ring_set_avail_flags(&d->rings[0], VRING_AVAIL_F_NO_INTERRUPT);
    request(d); /* entry 0, used_event 0 */
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(split_13_14_interrupt_exactly_at_used_event)
{
    g_autoptr(FakeDriver) d = new_silent(_i | FAKE_EVENT_IDX);

    for (unsigned event = 0; event < 40; event += 5) {
        fake_ring_set_used_event(&d->rings[0], (uint16_t)(event + 3));
        for (unsigned i = event; i < event + 5; i++) {
            request(d);
            ck_assert_int_eq(fake_driver_interrupted(d, 0), i == event + 3);
            d->rings[0].event_idx = false; /* so that getting it leaves used_event alone */
            ck_assert(fake_driver_get(d, 0, NULL, NULL));
        }
    }
}
END_TEST

START_TEST(split_13_batch_that_passes_used_event_interrupts_once)
{
    g_autoptr(FakeDriver) d = new_silent(_i | FAKE_EVENT_IDX);

    fake_ring_set_used_event(&d->rings[0], 1);
    for (unsigned i = 0; i < 3; i++) {
        fake_driver_add(d, 0, OUT("q", 1));
    }
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 3);
    ck_assert(fake_driver_interrupted(d, 0));
    fake_ring_set_used_event(&d->rings[0], 2); /* passed already */
    request(d);
    ck_assert(!fake_driver_interrupted(d, 0));
}
END_TEST

/* --- notifications to the device --- */

START_TEST(split_19_20_used_flags_are_0_or_1)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i & ~FAKE_EVENT_IDX, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);

    request(d);
    ck_assert_uint_eq(fake_ring_used_flags(&d->rings[0]), 0);
    virtqueue_disable_kicks(vq);
    ck_assert_uint_eq(fake_ring_used_flags(&d->rings[0]), 1);
    ck_assert(virtqueue_enable_kicks(vq)); /* one is waiting */
    ck_assert_uint_eq(fake_ring_used_flags(&d->rings[0]), 0);
    virtqueue_push(virtqueue_pop(vq));
    ck_assert(!virtqueue_enable_kicks(vq));
}
END_TEST

START_TEST(split_21_22_25_flags_stay_0_and_avail_event_follows)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i | FAKE_EVENT_IDX, "hold=on");
    FakeRing *r = &d->rings[0];
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);

    for (unsigned i = 0; i < 20; i++) {
        VqElem *e;

        fake_driver_add(d, 0, OUT("q", 1));
        ck_assert(fake_ring_wants_kick(r)); /* the ring was seen empty */
        fake_driver_add(d, 0, OUT("q", 1));
        ck_assert(!fake_ring_wants_kick(r)); /* the device is known to be at it */
        while ((e = virtqueue_pop(vq))) {
            virtqueue_push(e);
        }
        ck_assert_uint_eq(fake_ring_avail_event(r), 2 * i + 2);
        ck_assert_uint_eq(fake_ring_used_flags(r), 0);
        while (fake_driver_get(d, 0, NULL, NULL)) {
        }
    }
    virtqueue_disable_kicks(vq);
    fake_driver_add(d, 0, OUT("q", 1));
    virtqueue_push(virtqueue_pop(vq));
    ck_assert(virtqueue_empty(vq));
    fake_ring_wants_kick(r);
    fake_driver_add(d, 0, OUT("q", 1));
    ck_assert(!fake_ring_wants_kick(r));
    ck_assert(virtqueue_enable_kicks(vq));
    ck_assert_uint_eq(fake_ring_used_flags(r), 0);
    ck_assert_uint_eq(fake_ring_avail_event(r), 41);
}
END_TEST

/* --- elements --- */

static VqElem *held(FakeDriver *d)
{
    VqElem *e = virtqueue_pop(virtio_get_queue(d->vdev, 0));

    ck_assert_ptr_nonnull(e);
    return e;
}

START_TEST(cursors_copy_skip_and_count)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i, "hold=on");
    const struct iovec *iov;
    uint8_t buf[16];
    uint32_t len;
    unsigned n;
    VqElem *e;

    fake_driver_add(d, 0, OUT("0123", 4), OUT("456789", 6), IN(5), IN(20));
    e = held(d);
    ck_assert_uint_eq(vq_elem_out_left(e), 10);
    ck_assert_uint_eq(vq_elem_in_left(e), 25);
    ck_assert(!vq_elem_read(e, buf, 11));
    ck_assert_uint_eq(vq_elem_out_left(e), 10);
    ck_assert(vq_elem_skip_out(e, 3));
    ck_assert(vq_elem_read(e, buf, 3));
    ck_assert_mem_eq(buf, "345", 3);
    vq_elem_out_iov(e, &n);
    ck_assert_uint_eq(n, 1);
    ck_assert(!vq_elem_skip_out(e, 5));
    ck_assert_uint_eq(vq_elem_read_some(e, buf, 16), 4);
    ck_assert_mem_eq(buf, "6789", 4);
    ck_assert_uint_eq(vq_elem_read_some(e, buf, 16), 0);
    ck_assert(!vq_elem_write(e, buf, 26));
    ck_assert(vq_elem_write(e, "wxyz", 4));
    iov = vq_elem_in_iov(e, &n);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(iov[0].iov_len, 1);
    vq_elem_wrote(e, 3);
    ck_assert_uint_eq(vq_elem_in_left(e), 18);
    ck_assert_uint_eq(vq_elem_write_some(e, buf, 16), 16);
    ck_assert_uint_eq(vq_elem_write_some(e, buf, 16), 2);
    virtqueue_push(e);
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 25);
}
END_TEST

START_TEST(unpopped_element_comes_again)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i, "hold=on");
    VirtQueueState state;
    char buf[3];
    VqElem *e;

    fake_driver_add(d, 0, OUT("one", 3), IN(1));
    fake_driver_add(d, 0, OUT("two", 3), IN(1));
    for (unsigned i = 0; i < 3; i++) {
        e = held(d);
        ck_assert(vq_elem_read(e, buf, 3));
        ck_assert_mem_eq(buf, "one", 3);
        virtqueue_unpop(e);
    }
    virtqueue_push(held(d));
    e = held(d);
    ck_assert(vq_elem_read(e, buf, 3));
    ck_assert_mem_eq(buf, "two", 3);
    virtqueue_state(vq_elem_queue(e), &state);
    ck_assert_uint_eq(state.in_flight, 1);
    if (!is_packed(d)) {
        ck_assert_uint_eq(state.last_avail_idx, 2);
        ck_assert_uint_eq(state.used_idx, 1);
    }
    virtqueue_push(e);
    virtqueue_push(NULL);
}
END_TEST

START_TEST(basic_15_element_of_before_reset_reaches_nothing)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", _i, "hold=on");
    Gpa at[2];
    VqElem *e, *other;
    char c;

    fake_driver_add_bufs(d, 0, (const FakeBuf[]){OUT("x", 1), IN(1), END}, at);
    fake_driver_add(d, 0, OUT("y", 1));
    e = held(d);
    other = held(d);
    fake_driver_reset(d);
    ck_assert_ptr_null(vq_elem_queue(e));
    ck_assert(!vq_elem_read(e, &c, 1));
    ck_assert(!vq_elem_write(e, "w", 1));
    virtio_notify(d->vdev, vq_elem_queue(e));
    fake_driver_up(d);
    fake_driver_add(d, 0, OUT("z", 1));
    virtqueue_push(e); /* of the old life: dropped */
    virtqueue_detach(other);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    check_mem(d, at[1], "\0", 1);
    virtqueue_push(held(d));
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
}
END_TEST

START_TEST(ring_follows_changes_of_the_memory_map)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);

    request(d);
    ck_assert(gmem_add(d->m->p.mem, GPA(UINT64_C(0x200000000)), 1 << 20, GMEM_ANONYMOUS, NULL));
    request(d);
    ck_assert(gmem_remove(d->m->p.mem, GPA(UINT64_C(0x200000000)), NULL));
    request(d);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 3);
    ck_assert(gmem_remove(d->m->p.mem, GPA(0), NULL)); /* the rings are there */
    d->t->notify(d, 0);
    fake_machine_run(d->m);
    ck_assert(fake_driver_broken(d));
}
END_TEST

static void add_split(TCase *tc, const TTest *test)
{
    tcase_add_loop_test(tc, test, 0, FAKE_PCI_PACKED);
    tcase_add_loop_test(tc, test, FAKE_MMIO, FAKE_MMIO + FAKE_MMIO_PACKED);
    tcase_add_loop_test(tc, test, FAKE_MMIO + FAKE_MMIO_LEGACY, FAKE_CELLS);
}

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtqueue");
    TCase *matrix = tcase_create("matrix"), *single = tcase_create("single");

    tcase_add_loop_test(matrix, split_15_16_used_len_and_bytes_are_there_when_idx_moves, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(matrix, ring_indexes_wrap, 0, FAKE_INTX);
    tcase_add_loop_test(matrix, every_power_of_two_is_taken_and_may_be_full, 0, FAKE_INTX);
    tcase_add_loop_test(matrix, every_power_of_two_is_taken_and_may_be_full, FAKE_MMIO,
                        FAKE_MMIO + FAKE_MMIO_PACKED);
    add_split(matrix, split_03_06_descriptors_and_readable_memory_stay_as_they_are);
    tcase_add_loop_test(matrix, vq_05_framing_does_not_matter, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, buffers_may_straddle_regions, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, vq_06_chain_of_queue_size_across_regions_is_served, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, zero_length_chain_is_legal, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, split_23_kick_without_buffers_is_harmless, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, full_ring_is_served_by_one_kick, 0, FAKE_CELLS);
    add_split(matrix, split_07_08_direct_then_indirect_is_processed_in_full);
    add_split(matrix, split_09_11_used_event_means_nothing_without_event_idx);
    add_split(matrix, split_10_flag_1_keeps_the_driver_in_peace);
    add_split(matrix, split_12_flag_means_nothing_with_event_idx);
    add_split(matrix, split_13_14_interrupt_exactly_at_used_event);
    add_split(matrix, split_13_batch_that_passes_used_event_interrupts_once);
    add_split(matrix, split_19_20_used_flags_are_0_or_1);
    add_split(matrix, split_21_22_25_flags_stay_0_and_avail_event_follows);
    tcase_add_loop_test(matrix, cursors_copy_skip_and_count, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, unpopped_element_comes_again, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, basic_15_element_of_before_reset_reaches_nothing, 0, FAKE_CELLS);
    tcase_add_loop_test(matrix, ring_follows_changes_of_the_memory_map, 0, FAKE_CELLS);
    suite_add_tcase(s, matrix);
    tcase_add_test(single, indirect_table_may_straddle_regions);
    suite_add_tcase(s, single);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
