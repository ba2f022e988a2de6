/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No kick and no interrupt of virtio-blk on iothreads gets lost. Each queue has a driver of its own
 * on a thread of its own, as a guest's CPUs are, which is as lazy as drivers are: it kicks only
 * when the device wants to be kicked, and looks at the used ring only when it was interrupted. The
 * main loop runs meanwhile, and the disk is quiesced and goes on. Also run under TSan: what both
 * sides touch is touched as a guest does it, with the barriers of VIRTIO 1.4 §2.7 and no lock.
 */
#include "tests/test-blk.h"

#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <unistd.h>

#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "core/le.h"
#include "tests/suite.h"

enum {
    QUEUES = 4,
    SLOTS = 8, /* requests that a driver has in flight at most */
    PARTS = 3, /* of a request: header, data, status */
    SLOT_BYTES = 1024,
    REQUESTS = 1000, /* of each queue */
    PATIENCE_US = 15 * 1000 * 1000,
};

typedef struct {
    FakeDriver *d;
    unsigned q;
    bool event_idx;
    /* the rings, as the guest has them mapped */
    uint8_t *desc, *used, *slots;
    uint16_t *avail;
    Gpa slots_at;
    uint16_t num, avail_idx, kicked_idx, used_seen;
    unsigned requests, kicks;
    unsigned free[SLOTS], n_free; /* slots that are not in flight */
    atomic_uint interrupts;       /* by the main thread */
    atomic_bool over;
    char *lost; /* NULL: all is well */
    pthread_t thread;
} Guest;

/* --- a queue as the guest sees it --- */

static uint16_t load16(const void *p)
{
    return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static void store16(void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
}

static void *map(FakeDriver *d, Gpa gpa, uint64_t len)
{
    GmemMap m;
    bool ok = gmem_map(d->m->p.mem, gpa, len, &m);

    ck_assert(ok);
    return m.host;
}

static void set_desc(Guest *g, unsigned i, Gpa at, uint32_t len, uint16_t flags)
{
    uint64_t rest = len | (uint64_t)flags << 32 | (uint64_t)(i + 1) << 48;

    le_store(g->desc + (size_t)i * 16, at.v, 8);
    le_store(g->desc + (size_t)i * 16 + 8, rest, 8);
}

/* Slot n is the descriptors from n * PARTS on: a sector is read. */
static void guest_init(Guest *g, FakeDriver *d, unsigned q, unsigned requests)
{
    const FakeRing *r = &d->rings[q];

    *g = (Guest){.d = d, .q = q, .num = r->num, .event_idx = r->event_idx, .requests = requests};
    g->desc = map(d, r->desc, 16u * r->num);
    g->avail = map(d, r->avail, 6 + 2u * r->num);
    g->used = map(d, r->used, 6 + 8u * r->num);
    g->slots_at = fake_driver_alloc(d, SLOTS * SLOT_BYTES);
    g->slots = map(d, g->slots_at, SLOTS * SLOT_BYTES);
    for (unsigned n = 0; n < SLOTS; n++) {
        Gpa at = gpa_add(g->slots_at, n * SLOT_BYTES);

        memcpy(g->slots + n * SLOT_BYTES, blk_header(VIRTIO_BLK_T_IN, q), 16);
        set_desc(g, n * PARTS, at, 16, VRING_DESC_F_NEXT);
        set_desc(g, n * PARTS + 1, gpa_add(at, 512), SECTOR,
                 VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
        g->free[g->n_free++] = n;
        set_desc(g, n * PARTS + 2, gpa_add(at, 16), 1, VRING_DESC_F_WRITE);
    }
}

static void guest_add(Guest *g, unsigned slot)
{
    g->slots[slot * SLOT_BYTES + 16] = NO_STATUS;
    g->avail[2 + g->avail_idx % g->num] = htole16((uint16_t)(slot * PARTS));
    store16(&g->avail[1], ++g->avail_idx);
}

/* As the kernel does it: an exit, with the VM lock. */
static void guest_kick(Guest *g)
{
    uint16_t old = g->kicked_idx;
    bool wanted;

    g->kicked_idx = g->avail_idx;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* §2.7.13.4 */
    wanted = g->event_idx ? vring_need_event(load16(g->used + 4 + 8u * g->num), g->avail_idx, old)
                          : !(load16(g->used) & VRING_USED_F_NO_NOTIFY);
    if (wanted) {
        g->kicks++;
        pthread_mutex_lock(&g->d->m->p.lock);
        g->d->t->notify(g->d, g->q);
        pthread_mutex_unlock(&g->d->m->p.lock);
    }
}

/* Takes what is used. Asks for an interrupt for the next one, then looks again. */
static void guest_take(Guest *g)
{
    do {
        while (load16(g->used + 2) != g->used_seen) {
            uint64_t id = le_load(g->used + 4 + 8u * (g->used_seen++ % g->num), 4);

            if (g->slots[id / PARTS * SLOT_BYTES + 16] != VIRTIO_BLK_S_OK) {
                g->lost = g_strdup("a request has no good status");
            }
            g->free[g->n_free++] = (unsigned)id / PARTS;
        }
        if (g->event_idx) {
            store16(&g->avail[2 + g->num], g->used_seen);
        }
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* §2.7.14 */
    } while (load16(g->used + 2) != g->used_seen);
}

/* Sleeps until an interrupt after `seen` of them. */
static bool guest_wait(Guest *g, unsigned seen)
{
    for (gint64 end = g_get_monotonic_time() + PATIENCE_US; atomic_load(&g->interrupts) == seen;) {
        if (g_get_monotonic_time() > end) {
            uint16_t done = load16(g->used + 2);

            g->lost = g_strdup_printf(
                "queue %u, after %u kicks: %s is lost: available %u, used %u, seen %u", g->q,
                g->kicks, done == g->used_seen ? "a kick" : "an interrupt", g->avail_idx, done,
                g->used_seen);
            return false;
        }
        g_usleep(10);
    }
    return true;
}

/* Requests come one by one, kicked alone or together, while the device is at work on those before.
 */
static void guest_fill(Guest *g, GRand *r, unsigned *left)
{
    while (g->n_free > 0 && *left > 0) {
        guest_add(g, g->free[--g->n_free]);
        --*left;
        if (g_rand_int_range(r, 0, 4) > 0) {
            guest_kick(g);
        }
        if (g_rand_int_range(r, 0, 8) == 0) {
            g_usleep((gulong)g_rand_int_range(r, 0, 100));
        }
    }
    guest_kick(g);
}

static void *guest_main(void *opaque)
{
    Guest *g = opaque;
    GRand *r = g_rand_new_with_seed(g->q);
    unsigned seen = 0, left = g->requests;

    while (!g->lost && (left > 0 || g->n_free < SLOTS)) {
        guest_fill(g, r, &left);
        if (guest_wait(g, seen)) {
            seen = atomic_load(&g->interrupts);
            guest_take(g);
        }
    }
    g_rand_free(r);
    atomic_store(&g->over, true);
    return NULL;
}

/* --- the VM's side --- */

static void take_interrupts(FakeDriver *d, Guest *guests)
{
    bool shared = d->cell & (FAKE_INTX | FAKE_MMIO);

    pthread_mutex_lock(&d->m->p.lock);
    for (unsigned q = 0; q < QUEUES; q++) {
        if (fake_driver_interrupted(d, q)) {
            for (unsigned i = shared ? 0 : q; i < (shared ? QUEUES : q + 1); i++) {
                atomic_fetch_add(&guests[i].interrupts, 1);
            }
        }
    }
    pthread_mutex_unlock(&d->m->p.lock);
}

static void disturb(FakeDriver *d, BlockNode *n, GRand *r)
{
    int what = g_rand_int_range(r, 0, 64);

    pthread_mutex_lock(&d->m->p.lock);
    if (what == 0) {
        block_node_quiesce(n, true);
        platform_run_changed(&d->m->p, false);
        platform_run_changed(&d->m->p, true);
        block_node_quiesce(n, false);
    } else if (what == 1) {
        fake_driver_set_dma(d, false);
        fake_driver_set_dma(d, true);
    } else if (what < 4) {
        platform_run_changed(&d->m->p, true);
    }
    pthread_mutex_unlock(&d->m->p.lock);
}

static bool all_over(Guest *guests)
{
    for (unsigned q = 0; q < QUEUES; q++) {
        if (!atomic_load(&guests[q].over)) {
            return false;
        }
    }
    return true;
}

static void add_iothread(FakeMachine *m, const char *id)
{
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", id);

    type_register(&user_creatable_type);
    type_register(&iothread_type);
    ck_assert(user_creatable_add(m->p.root, opts, NULL) != NULL);
    json_decref(opts);
}

static const char *const nodes[] = {"null-co", "io_uring", "threads"};

/* NULL: the host has no io_uring. */
static BlockNode *add_node(FakeMachine *m, const char *kind)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("test-blk-XXXXXX", &path, NULL);
    json_t *opts;
    BlockNode *n;

    ck_assert(fd >= 0 && ftruncate(fd, DISK) == 0);
    close(fd);
    opts = kind == nodes[0]
               ? json_pack("{s:s, s:s, s:i}", "driver", kind, "node-name", "disk0", "size", DISK)
               : json_pack("{s:s, s:s, s:s, s:s}", "driver", "file", "node-name", "disk0",
                           "filename", path, "aio", kind);
    type_register_list(block_types);
    n = block_node_add(m->p.root, m->p.loop, opts, NULL);
    json_decref(opts);
    unlink(path);
    return n;
}

/* Transports with a line or messages, with and without event indexes. */
static const unsigned cells[] = {
    0, FAKE_EVENT_IDX, FAKE_INTX, FAKE_INTX | FAKE_EVENT_IDX, FAKE_MMIO, FAKE_MMIO | FAKE_EVENT_IDX,
};

static const char *const threads[] = {
    "iothread-vq-mapping=[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]",
    "iothread-vq-mapping=[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}],ioeventfd=off",
};

enum { COMBINATIONS = G_N_ELEMENTS(cells) * G_N_ELEMENTS(nodes) * G_N_ELEMENTS(threads) };

/* Disturbed: the second half of the cells. There a queue is also looked at without a kick. */
START_TEST(lazy_drivers_are_never_forgotten)
{
    unsigned i = (unsigned)_i % COMBINATIONS;
    bool disturbed = _i >= COMBINATIONS;
    const char *kind = nodes[i / G_N_ELEMENTS(cells) % G_N_ELEMENTS(nodes)];
    const char *props = threads[i / G_N_ELEMENTS(cells) / G_N_ELEMENTS(nodes)];
    FakeMachine *m = fake_machine_new(0);
    g_autofree char *all = g_strdup_printf("drive=disk0,num-queues=%d,%s", QUEUES, props);
    g_autoptr(FakeDriver) d = NULL;
    Guest guests[QUEUES];
    GRand *r = g_rand_new_with_seed(i);
    BlockNode *n;

    add_iothread(m, "io0");
    add_iothread(m, "io1");
    n = add_node(m, kind);
    if (!n) {
        fake_machine_free(m);
        g_rand_free(r);
        return;
    }
    d = fake_driver_probe_on(m, "virtio-blk", cells[i % G_N_ELEMENTS(cells)], all);
    fake_driver_up(d);
    for (unsigned q = 0; q < QUEUES; q++) {
        guest_init(&guests[q], d, q, kind == nodes[0] ? 2 * REQUESTS : REQUESTS);
    }
    for (unsigned q = 0; q < QUEUES; q++) {
        pthread_create(&guests[q].thread, NULL, guest_main, &guests[q]);
    }
    while (!all_over(guests)) {
        fake_machine_run(m);
        take_interrupts(d, guests);
        if (disturbed) {
            disturb(d, n, r);
        }
        g_usleep(10);
    }
    for (unsigned q = 0; q < QUEUES; q++) {
        pthread_join(guests[q].thread, NULL);
        ck_assert_msg(!guests[q].lost, "%s: %s", kind, guests[q].lost);
    }
    g_rand_free(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("blk-wakeups");
    TCase *tc = tcase_create("wakeups");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, lazy_drivers_are_never_forgotten, 0, 2 * COMBINATIONS);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
