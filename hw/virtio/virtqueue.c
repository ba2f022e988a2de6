/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues: setting up and taking down, elements with their cursors, and the pools they come from
 * (VIRTIO 1.4 §2.6). Ring formats are in virtqueue-split.c and virtqueue-packed.c; they come in
 * through one table of functions each. VIRTIO_F_IN_ORDER is served here for both: what a device
 * completes early waits for what is older.
 *
 * Memory is bounded by the host, not by the guest: a queue has as many elements as entries, and all
 * pieces of guest memory that its elements refer to are counted against VQ_IOV_BUDGET before an
 * array is allocated. Arrays are recycled, so a running queue allocates nothing.
 */
#include "core/code-place.h"
#include "hw/virtio/virtqueue-ring.h"

/* --- pools --- */

static unsigned iov_class(size_t n)
{
    unsigned c = 0;

    while (((size_t)VQ_IOV_CLASS_MIN << c) < n) {
        c++;
    }
    return c;
}

static void iov_spare_add(VqPool *pool, struct iovec *iov, size_t cap)
{
    unsigned c = iov_class(cap);

    iov[0].iov_base = pool->spare[c];
    pool->spare[c] = iov;
}

static void iov_spare_free_all(VqPool *pool)
{
    for (unsigned c = 0; c < VQ_IOV_CLASSES; c++) {
        while (pool->spare[c]) {
            struct iovec *iov = pool->spare[c];

            pool->spare[c] = iov[0].iov_base;
            pool->iov_total -= (size_t)VQ_IOV_CLASS_MIN << c;
            g_free(iov);
        }
    }
}

/* An array of class c, from the spare ones where possible; NULL: the budget is used up. */
static struct iovec *iov_get(VqPool *pool, unsigned c)
{
    size_t cap = (size_t)VQ_IOV_CLASS_MIN << c;
    struct iovec *iov = pool->spare[c];

    if (iov) {
        pool->spare[c] = iov[0].iov_base;
        return iov;
    }
    if (pool->iov_total + cap > VQ_IOV_BUDGET) {
        iov_spare_free_all(pool);
    }
    if (pool->iov_total + cap > VQ_IOV_BUDGET) {
        return NULL;
    }
    pool->iov_total += cap;
    return g_new(struct iovec, cap);
}

static VqPool *pool_new(VirtQueue *vq)
{
    VqPool *pool = g_malloc0(sizeof *pool + vq->num * sizeof pool->elems[0]);

    pool->vq = vq;
    pool->size = vq->num;
    return pool;
}

static void pool_free(VqPool *pool)
{
    iov_spare_free_all(pool);
    g_free(pool);
}

/* The queue leaves: elements that are out lose their buffers, and the last one home frees the pool.
 */
static void pool_orphan(VqPool *pool)
{
    VqElem *newer;

    for (VqElem *e = pool->oldest; e; e = newer) { /* the device has let go of these */
        newer = e->newer;
        if (e->done) {
            vq_elem_put(e);
        }
    }
    pool->vq = NULL;
    if (pool->in_flight == 0) {
        pool_free(pool);
        return;
    }
    for (unsigned i = 0; i < pool->fresh; i++) {
        VqElem *e = &pool->elems[i];

        e->out_left = e->in_left = 0;
        e->out_pos = e->out_end = e->in_pos = e->n = 0;
        e->tail = NULL;
    }
}

VqElem *vq_elem_get_slow(VirtQueue *vq)
{
    VqPool *pool = vq->pool;
    VqElem *e;

    if (pool->fresh == pool->size) {
        vq_error(vq, "more requests in flight than the queue has entries (%u)", pool->size);
        return NULL;
    }
    e = &pool->elems[pool->fresh++];
    e->pool = pool;
    e->iov = e->small;
    e->cap = VQ_ELEM_SMALL;
    e->in_use = true;
    pool->in_flight++;
    return e;
}

void vq_elem_put_slow(VqElem *e)
{
    VqPool *pool = e->pool;

    if (e->iov != e->small) {
        iov_spare_add(pool, e->iov, e->cap);
        e->iov = e->small;
        e->cap = VQ_ELEM_SMALL;
    }
    e->next_free = pool->free;
    pool->free = e;
    if (--pool->in_flight == 0 && !pool->vq) {
        pool_free(pool);
    }
}

bool vq_elem_reserve(VirtQueue *vq, VqElem *e, size_t n)
{
    struct iovec *iov;
    unsigned c;

    if (n <= e->cap) {
        return true;
    }
    c = iov_class(n);
    iov = c < VQ_IOV_CLASSES ? iov_get(e->pool, c) : NULL;
    if (!iov) {
        vq_error(vq, "too many pieces of memory in flight");
        return false;
    }
    memcpy(iov, e->iov, e->n * sizeof *iov);
    if (e->iov != e->small) {
        iov_spare_add(e->pool, e->iov, e->cap);
    }
    e->iov = iov;
    e->cap = VQ_IOV_CLASS_MIN << c;
    return true;
}

static void note_region(VirtQueue *vq, uint64_t addr)
{
    for (unsigned i = 0; i < gmem_region_count(vq->mem); i++) {
        const GmemRegion *r = gmem_region(vq->mem, i);

        if (addr - r->gpa.v < r->size) {
            vq->ram.gpa = r->gpa.v;
            vq->ram.size = r->size;
            vq->ram.host = r->host;
        }
    }
}

/* The buffer is not in the region noted, or in several, or not all RAM, or there is no room for its
 * pieces. */
bool vq_elem_add_slow(VirtQueue *vq, VqElem *e, uint64_t addr, uint32_t len)
{
    int n = gmem_iov(vq->mem, GPA(addr), len, e->iov + e->n, e->cap - e->n);

    if (n < 0 && !gmem_contains(vq->mem, GPA(addr), len)) {
        vq_error(vq, "buffer outside RAM: 0x%" PRIx64 ", %" PRIu32 " bytes", addr, len);
        return false;
    }
    while (n < 0) {
        if (!vq_elem_reserve(vq, e, (size_t)e->cap * 2)) {
            return false;
        }
        n = gmem_iov(vq->mem, GPA(addr), len, e->iov + e->n, e->cap - e->n);
    }
    e->n += (uint32_t)n;
    note_region(vq, addr);
    return true;
}

/* --- indirect tables --- */

bool vq_table_open(VirtQueue *vq, VqElem *e, uint64_t addr, uint32_t len, unsigned max,
                   VqTable *ret_table)
{
    unsigned n = len / VQ_DESC_SIZE;
    uint64_t off = addr - vq->ram.gpa;
    struct iovec piece;

    if (!vq->indirect || n == 0 || len % VQ_DESC_SIZE) {
        vq_error(vq, "bad indirect descriptor of %" PRIu32 " bytes", len);
        return false;
    }
    *ret_table = (VqTable){.gpa = addr, .n = n};
    if (G_LIKELY(off < vq->ram.size && len <= vq->ram.size - off)) {
        ret_table->host = vq->ram.host + off;
    } else if (gmem_iov(vq->mem, GPA(addr), len, &piece, 1) == 1) {
        ret_table->host = piece.iov_base;
    }
    return n <= VQ_ELEM_SMALL || vq_elem_reserve(vq, e, e->n + (size_t)MIN(n, max));
}

bool vq_table_load_slow(VirtQueue *vq, const VqTable *t, unsigned i, VqDescWords *ret_words)
{
    uint8_t raw[VQ_DESC_SIZE];

    if (!gmem_read(vq->mem, GPA(t->gpa + (uint64_t)i * VQ_DESC_SIZE), raw, sizeof raw)) {
        vq_error(vq, "indirect table outside RAM");
        return false;
    }
    *ret_words = vq_desc_load(raw);
    return true;
}

/* --- setting up and taking down --- */

/* A ring that goes away, or is mapped anew, is no longer in use. */
static void unpin_parts(VirtQueue *vq)
{
    while (vq->n_pins > 0) {
        const VqPin *pin = &vq->pins[--vq->n_pins];

        gmem_unpin(vq->mem, pin->gpa, pin->len);
    }
}

uint8_t *vq_map_part(VirtQueue *vq, const char *what, Gpa gpa, uint64_t len, unsigned align)
{
    GmemMap map;

    if (gpa.v % align != 0) {
        vq_error(vq, "%s at 0x%" PRIx64 " is not aligned to %u", what, gpa.v, align);
        return NULL;
    }
    if (!gmem_map(vq->mem, gpa, len, &map)) {
        vq_error(vq, "%s at 0x%" PRIx64 " is not inside one RAM region", what, gpa.v);
        return NULL;
    }
    gmem_pin(vq->mem, gpa, len);
    vq->pins[vq->n_pins++] = (VqPin){gpa, len};
    return map.host;
}

VirtQueue *virtqueue_new(VirtIODevice *vdev, unsigned index, uint16_t max_size,
                         VirtIOHandleOutput handle_output)
{
    VirtQueue *vq = g_new0(VirtQueue, 1);

    g_assert(max_size > 0 && max_size <= VIRTQUEUE_MAX_SIZE);
    vq->vdev = vdev;
    vq->mem = virtio_memory(vdev);
    vq->index = (uint16_t)index;
    vq->max_size = max_size;
    vq->handle_output = handle_output;
    vq->own_kick = -1;
    virtqueue_reset(vq);
    return vq;
}

void virtqueue_free(VirtQueue *vq)
{
    if (vq) {
        virtqueue_reset(vq);
        loop_bh_free(vq->again);
        g_free(vq);
    }
}

void virtqueue_reset(VirtQueue *vq)
{
    g_assert(!vq->lent);
    if (vq->pool) {
        pool_orphan(vq->pool);
        vq->pool = NULL;
    }
    unpin_parts(vq);
    vq->setup = (VirtQueueSetup){.size = vq->max_size};
    vq->vector = VIRTIO_NO_VECTOR;
    vq->ops = &vq_split_ops;
    vq->ready = vq->event_idx = vq->indirect = vq->run_later = false;
    vq->in_order = vq->notify_on_empty = false;
    vq->kicks_wanted = vq->kicks_asked = true;
    vq->polled = false;
    vq->popped = 0;
    vq->polled_at = UINT64_MAX;
    vq->unsignalled = vq->filled = 0;
    vq->num = 0;
    vq->generation = 0;
    memset(&vq->split, 0, sizeof vq->split);
    memset(&vq->packed, 0, sizeof vq->packed);
}

VirtQueueSetup *virtqueue_setup(VirtQueue *vq)
{
    return &vq->setup;
}

void virtqueue_setup_legacy(VirtQueueSetup *s, uint64_t base, uint64_t align)
{
    uint64_t avail = base + sizeof(struct vring_desc) * s->size;
    uint64_t avail_end = avail + 2 * (3 + (uint64_t)s->size);

    s->desc = GPA(base);
    s->driver = GPA(avail);
    s->device = GPA((avail_end + align - 1) & ~(align - 1));
}

uint16_t virtqueue_max_size(const VirtQueue *vq)
{
    return vq->max_size;
}

uint16_t virtqueue_index(const VirtQueue *vq)
{
    return vq->index;
}

bool virtqueue_enabled(const VirtQueue *vq)
{
    return vq->setup.enabled;
}

unsigned virtqueue_size(const VirtQueue *vq)
{
    return vq->num;
}

bool virtqueue_size_ok(const VirtQueue *vq, uint32_t size)
{
    return size > 0 && size <= vq->max_size &&
           (!(size & (size - 1)) || virtio_has_feature(vq->vdev, VIRTIO_F_RING_PACKED));
}

static bool vq_remap(VirtQueue *vq)
{
    if (vq->lent) {
        return false;
    }
    vq->ram.size = 0;
    unpin_parts(vq);
    if (!vq->ops->map(vq)) {
        return false;
    }
    vq->generation = gmem_generation(vq->mem);
    return true;
}

bool virtqueue_start(VirtQueue *vq)
{
    if (vq->ready) {
        return true;
    }
    vq->event_idx = virtio_has_feature(vq->vdev, VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = virtio_has_feature(vq->vdev, VIRTIO_RING_F_INDIRECT_DESC);
    vq->notify_on_empty =
        vq->vdev->legacy && virtio_has_feature(vq->vdev, VIRTIO_F_NOTIFY_ON_EMPTY);
    vq->in_order = virtio_has_feature(vq->vdev, VIRTIO_F_IN_ORDER);
    if (virtio_has_feature(vq->vdev, VIRTIO_F_RING_PACKED)) {
        vq->ops = &vq_packed_ops;
    }
    vq->num = vq->setup.size;
    if (vq->num == 0 || vq->num > vq->max_size) {
        vq_error(vq, "bad size %u", vq->num);
        return false;
    }
    if (!vq_remap(vq)) {
        return false;
    }
    vq->pool = pool_new(vq);
    vq->ready = true;
    return true;
}

bool virtqueue_ready(const VirtQueue *vq)
{
    return vq->ready;
}

/* May the rings be touched now? */
static inline bool vq_usable(VirtQueue *vq)
{
    if (G_UNLIKELY(!vq->ready || virtio_is_broken(vq->vdev) || !vq->vdev->dma_allowed)) {
        return false;
    }
    return G_LIKELY(vq->generation == gmem_generation(vq->mem)) || vq_remap(vq);
}

/* --- the ring --- */

/* VIRTIO_F_IN_ORDER (§2.7.9, §2.8.8): e is the newest in flight. */
static void order_add(VqPool *pool, VqElem *e)
{
    e->done = false;
    e->newer = NULL;
    e->older = pool->newest;
    *(e->older ? &e->older->newer : &pool->oldest) = e;
    pool->newest = e;
}

static void order_del(VqPool *pool, VqElem *e)
{
    *(e->older ? &e->older->newer : &pool->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &pool->newest) = e->older;
}

/* Fills the oldest ones that are done. */
static void order_fill(VirtQueue *vq)
{
    VqPool *pool = vq->pool;
    VqElem *e;

    while ((e = pool->oldest) && e->done) {
        order_del(pool, e);
        vq->ops->fill(vq, e);
        vq->filled++;
        vq_elem_put(e);
    }
}

VqElem *virtqueue_pop(VirtQueue *vq)
{
    CODE_PLACE(virtqueue_pop);
    VqElem *e = vq_usable(vq) ? vq->ops->pop(vq) : NULL;

    vq->popped += e != NULL;
    if (G_UNLIKELY(vq->in_order) && e) {
        order_add(vq->pool, e);
    }
    return e;
}

/* To the pool, unseen by the guest. */
static void elem_drop(VirtQueue *vq, VqElem *e)
{
    if (G_UNLIKELY(vq && vq->in_order)) {
        order_del(vq->pool, e);
    }
    vq_elem_put(e);
}

unsigned virtqueue_pop_batch(VirtQueue *vq, VqElem **ret_elems, unsigned max)
{
    unsigned n = 0;
    VqElem *e;

    while (n < max && (e = virtqueue_pop(vq))) {
        ret_elems[n++] = e;
    }
    return n;
}

void virtqueue_fill(VqElem *e)
{
    VirtQueue *vq;

    if (!e) {
        return;
    }
    vq = e->pool->vq;
    if (G_UNLIKELY(!vq || !vq_usable(vq))) {
        elem_drop(vq, e);
        return;
    }
    if (G_UNLIKELY(vq->in_order)) {
        e->done = true;
        order_fill(vq);
        return;
    }
    vq->ops->fill(vq, e);
    vq->filled++;
    vq_elem_put(e);
}

void virtqueue_flush(VirtQueue *vq)
{
    if (vq->filled > 0 && vq_usable(vq)) {
        vq->ops->flush(vq);
        vq->filled = 0;
    }
}

void virtqueue_push(VqElem *e)
{
    CODE_PLACE(virtqueue_push);
    VirtQueue *vq = e ? e->pool->vq : NULL;

    if (G_LIKELY(vq && vq_usable(vq) && !vq->in_order && vq->filled == 0)) {
        vq->ops->push(vq, e);
        vq_elem_put(e);
        return;
    }
    virtqueue_fill(e);
    if (vq) {
        virtqueue_flush(vq);
    }
}

void virtqueue_unpop(VqElem *e)
{
    VirtQueue *vq = e->pool->vq;

    if (vq) {
        vq->ops->unpop(vq, e);
        vq->popped--;
    }
    elem_drop(vq, e);
}

void virtqueue_detach(VqElem *e)
{
    elem_drop(e->pool->vq, e);
}

bool virtqueue_idle(VirtQueue *vq)
{
    return vq_usable(vq) && vq->pool->in_flight == 0;
}

bool virtqueue_empty(VirtQueue *vq)
{
    return !vq_usable(vq) || vq->ops->empty(vq);
}

bool virtqueue_enable_kicks(VirtQueue *vq)
{
    vq->kicks_asked = true;
    vq->kicks_wanted = !vq->polled;
    if (!vq_usable(vq)) {
        return false;
    }
    return vq->polled ? !vq->ops->empty(vq) : vq->ops->set_kicks(vq, true);
}

static void tell_no_kicks(VirtQueue *vq)
{
    vq->kicks_wanted = false;
    if (vq_usable(vq)) {
        vq->ops->set_kicks(vq, false);
    }
}

void virtqueue_disable_kicks(VirtQueue *vq)
{
    vq->kicks_asked = false;
    if (!vq->polled) {
        tell_no_kicks(vq);
    }
}

void virtqueue_poll_begin(VirtQueue *vq)
{
    vq->polled = true;
    tell_no_kicks(vq);
}

/* handle_output is not called twice for what it left where it was. */
bool virtqueue_poll(VirtQueue *vq)
{
    if (virtqueue_empty(vq)) {
        vq->polled_at = UINT64_MAX;
        return false;
    }
    if (!vq->kicks_asked || vq->polled_at == vq->popped) {
        return false;
    }
    vq->polled_at = vq->popped;
    return true;
}

bool virtqueue_poll_end(VirtQueue *vq)
{
    vq->polled = false;
    return vq->kicks_asked && virtqueue_enable_kicks(vq) && virtqueue_poll(vq);
}

bool virtqueue_should_notify(VirtQueue *vq)
{
    virtqueue_flush(vq);
    if (vq->unsignalled == 0 || !vq_usable(vq)) {
        return false;
    }
    /* §6.3.1: legacy drivers are told that all is done even when they do not want interrupts. */
    if (G_UNLIKELY(vq->notify_on_empty) && vq->pool->in_flight == 0 && vq->ops->empty(vq)) {
        vq->unsignalled = 0;
        return true;
    }
    return vq->ops->should_notify(vq);
}

void virtqueue_state(VirtQueue *vq, VirtQueueState *ret_state)
{
    *ret_state = (VirtQueueState){0};
    if (vq_usable(vq)) {
        vq->ops->state(vq, ret_state);
        ret_state->in_flight = (uint16_t)vq->pool->in_flight;
        ret_state->signalled_idx = (uint16_t)(ret_state->used_idx - vq->unsignalled);
        ret_state->packed = vq->ops == &vq_packed_ops;
    }
}

/* --- elements --- */

VirtQueue *vq_elem_queue(const VqElem *e)
{
    return e->pool->vq;
}

unsigned vq_elem_head(const VqElem *e)
{
    return e->head;
}

size_t vq_elem_out_left(const VqElem *e)
{
    return e->out_left;
}

size_t vq_elem_in_left(const VqElem *e)
{
    return e->in_left;
}

/*
 * Moves the cursor at iov[*pos] over len bytes, which must be there, and copies on the way: out of
 * the pieces into dst, or from src into the pieces; both NULL: just moves.
 */
static void cursor_move(struct iovec *iov, uint32_t *pos, size_t len, uint8_t *dst,
                        const uint8_t *src)
{
    while (len > 0) {
        struct iovec *v = &iov[*pos];
        size_t n = MIN(len, v->iov_len);

        if (dst) {
            memcpy(dst, v->iov_base, n);
            dst += n;
        } else if (src) {
            memcpy(v->iov_base, src, n);
            src += n;
        }
        v->iov_base = (uint8_t *)v->iov_base + n;
        v->iov_len -= n;
        len -= n;
        if (v->iov_len == 0) {
            ++*pos;
        }
    }
}

/*
 * The same without copying, of *left bytes in all, where the piece v and what follows it have more
 * than len: most of what a small packet costs. False: nothing is done. v is there if *left > len.
 */
static inline bool cursor_step(struct iovec *v, uint64_t *left, size_t len)
{
    if (len >= *left || len >= v->iov_len) {
        return false;
    }
    v->iov_base = (uint8_t *)v->iov_base + len;
    v->iov_len -= len;
    *left -= len;
    return true;
}

size_t vq_elem_read_some(VqElem *e, void *dst, size_t len)
{
    struct iovec *v = &e->iov[e->out_pos];

    if (G_LIKELY(cursor_step(v, &e->out_left, len))) {
        memcpy(dst, (uint8_t *)v->iov_base - len, len);
        return len;
    }
    len = MIN(len, e->out_left);
    cursor_move(e->iov, &e->out_pos, len, dst, NULL);
    e->out_left -= len;
    return len;
}

size_t vq_elem_write_some(VqElem *e, const void *src, size_t len)
{
    struct iovec *v = &e->iov[e->in_pos];

    if (G_LIKELY(cursor_step(v, &e->in_left, len))) {
        memcpy((uint8_t *)v->iov_base - len, src, len);
        e->written += (uint32_t)len;
        return len;
    }
    len = MIN(len, e->in_left);
    cursor_move(e->iov, &e->in_pos, len, NULL, src);
    e->in_left -= len;
    e->written += (uint32_t)len;
    return len;
}

bool vq_elem_read(VqElem *e, void *dst, size_t len)
{
    return len <= e->out_left && vq_elem_read_some(e, dst, len) == len;
}

bool vq_elem_write(VqElem *e, const void *src, size_t len)
{
    return len <= e->in_left && vq_elem_write_some(e, src, len) == len;
}

bool vq_elem_skip_out(VqElem *e, size_t len)
{
    if (len > e->out_left) {
        return false;
    }
    if (!cursor_step(&e->iov[e->out_pos], &e->out_left, len)) {
        cursor_move(e->iov, &e->out_pos, len, NULL, NULL);
        e->out_left -= len;
    }
    return true;
}

const struct iovec *vq_elem_out_iov(VqElem *e, unsigned *ret_n)
{
    *ret_n = e->out_end - e->out_pos;
    return e->iov + e->out_pos;
}

const struct iovec *vq_elem_in_iov(VqElem *e, unsigned *ret_n)
{
    *ret_n = e->n - e->in_pos;
    return e->iov + e->in_pos;
}

void vq_elem_wrote(VqElem *e, size_t len)
{
    len = MIN(len, e->in_left);
    e->written += (uint32_t)len;
    if (!cursor_step(&e->iov[e->in_pos], &e->in_left, len)) {
        cursor_move(e->iov, &e->in_pos, len, NULL, NULL);
        e->in_left -= len;
    }
}

void *vq_elem_write_place(VqElem *e, size_t len)
{
    struct iovec *v = &e->iov[e->in_pos];

    if (!cursor_step(v, &e->in_left, len)) {
        return NULL;
    }
    e->written += (uint32_t)len;
    return (uint8_t *)v->iov_base - len;
}

/* Pieces are never empty. */
bool vq_elem_cut_tail(VqElem *e)
{
    struct iovec *last;

    if (e->in_left == 0) {
        return false;
    }
    last = &e->iov[e->n - 1];
    e->tail = (uint8_t *)last->iov_base + --last->iov_len;
    e->n -= last->iov_len == 0;
    e->in_left--;
    return true;
}

void vq_elem_write_tail(VqElem *e, uint8_t byte)
{
    if (e->tail) {
        *e->tail = byte;
        e->tail = NULL;
        e->written += e->in_left == 0;
    }
}
