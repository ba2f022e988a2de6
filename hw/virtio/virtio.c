/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio core: device status, feature negotiation, configuration space with its generation,
 * notifications and reset (VIRTIO 1.4 §2.1 to §2.5, §3.1), between a device model above and a
 * transport below. Left out: VIRTIO_F_SUSPEND, administration queues.
 */
#include "core/boot-trace.h"
#include "core/code-place.h"
#include "core/log.h"
#include "hw/virtio/virtqueue-ring.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* §2.2: bits 0 to 23 are the device type's. */
#define DEVICE_FEATURES 0xffffff

/* See VirtioBusClass.features. */
#define TRANSPORT_FEATURES                                                \
    (FEATURE(VIRTIO_F_RING_RESET) | FEATURE(VIRTIO_F_NOTIFICATION_DATA) | \
     FEATURE(VIRTIO_F_NOTIF_CONFIG_DATA))

const char *virtio_id_name(uint16_t device_id)
{
    static const char *const names[] = {
        [VIRTIO_ID_NET] = "net",         [VIRTIO_ID_BLOCK] = "blk",
        [VIRTIO_ID_CONSOLE] = "serial",  [VIRTIO_ID_RNG] = "rng",
        [VIRTIO_ID_BALLOON] = "balloon", [VIRTIO_ID_SCSI] = "scsi",
        [VIRTIO_ID_9P] = "9p",           [VIRTIO_ID_GPU] = "gpu",
        [VIRTIO_ID_INPUT] = "input",     [VIRTIO_ID_VSOCK] = "vsock",
        [VIRTIO_ID_CRYPTO] = "crypto",   [VIRTIO_ID_IOMMU] = "iommu",
        [VIRTIO_ID_MEM] = "mem",         [VIRTIO_ID_FS] = "fs",
        [VIRTIO_ID_PMEM] = "pmem",
    };

    return device_id < G_N_ELEMENTS(names) && names[device_id] ? names[device_id] : "device";
}

/* What messages call the device: by its id in the specification, or else by its type's name. */
static const char *device_name(VirtIODevice *vdev)
{
    const char *name = virtio_id_name(vdev->device_id);

    return strcmp(name, "device") != 0 ? name : object_type_name(vdev);
}

VirtQueue *virtio_get_queue(VirtIODevice *vdev, unsigned n)
{
    return vdev->queues && n < vdev->queues->len ? g_ptr_array_index(vdev->queues, n) : NULL;
}

GuestMemory *virtio_memory(VirtIODevice *vdev)
{
    return device_platform(DEVICE(vdev))->mem;
}

bool virtio_running(const VirtIODevice *vdev)
{
    return vdev->started && !virtio_is_broken(vdev) && vdev->dma_allowed;
}

bool virtio_plugged(const VirtIODevice *vdev)
{
    return vdev->vbus && vdev->vbus->vdev == vdev;
}

/* --- notifications to the driver --- */

static void bus_notify(VirtIODevice *vdev, uint16_t vector, bool config)
{
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);

    if (bc->notify) {
        bc->notify(vdev->vbus, vector, config);
    }
}

static void notify(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtioBusClass *bc;

    TRACE(virtio_notify, "dev=%s queue=%u vector=%u", device_name(vdev), vq->index, vq->vector);
    if (G_LIKELY(!vq->iothread || !virtio_on_iothread(vdev))) {
        bus_notify(vdev, vq->vector, false);
        return;
    }
    bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);
    if (!bc->notify_unlocked || !bc->notify_unlocked(vdev->vbus, vq->vector)) {
        virtio_defer_notify(vq);
    }
}

void virtio_notify(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_notify);

    if (vq && virtio_running(vdev) && virtqueue_should_notify(vq)) {
        notify(vdev, vq);
    }
}

void virtio_queue_interrupt(VirtQueue *vq)
{
    if (virtio_running(vq->vdev)) {
        notify(vq->vdev, vq);
    }
}

void virtio_notify_config(VirtIODevice *vdev)
{
    /* §2.5.2: changes that nobody could have seen half of need no number of their own. */
    if (vdev->config_read_since_change) {
        vdev->config_generation++;
        vdev->config_read_since_change = false;
    }
    if (vdev->started) {
        TRACE(virtio_notify_config, "dev=%s", device_name(vdev));
        bus_notify(vdev, vdev->config_vector, true);
    }
}

void virtio_announce_error(VirtIODevice *vdev)
{
    vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    virtio_notify_config(vdev); /* §2.1.2: only after DRIVER_OK */
}

void virtio_error(VirtIODevice *vdev, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (__atomic_exchange_n(&vdev->broken, true, __ATOMIC_RELAXED)) {
        return;
    }
    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    /* Rated: a guest may reset and break its device as often as it likes. */
    log_warn_rated(&vdev->error_rate, "virtio-%s: %s: the device needs a reset", device_name(vdev),
                   text);
    if (virtio_on_iothread(vdev)) {
        virtio_defer_error(vdev);
    } else {
        virtio_announce_error(vdev);
    }
}

void virtio_isr_set(VirtIODevice *vdev, uint8_t bits)
{
    /* Bits that are there already need no bus-locked write. The reader is virtio_isr_read. */
    if ((__atomic_load_n(&vdev->isr, __ATOMIC_SEQ_CST) & bits) != bits) {
        __atomic_fetch_or(&vdev->isr, bits, __ATOMIC_SEQ_CST);
    }
}

uint8_t virtio_isr_read(VirtIODevice *vdev)
{
    return __atomic_exchange_n(&vdev->isr, 0, __ATOMIC_SEQ_CST);
}

uint8_t virtio_isr_peek(const VirtIODevice *vdev)
{
    return __atomic_load_n(&vdev->isr, __ATOMIC_SEQ_CST);
}

void virtio_isr_clear(VirtIODevice *vdev, uint8_t bits)
{
    __atomic_fetch_and(&vdev->isr, (uint8_t)~bits, __ATOMIC_SEQ_CST);
}

/* --- kicks --- */

static void queue_run(VirtIODevice *vdev, VirtQueue *vq)
{
    if (vq->handle_output) {
        vq->handle_output(vdev, vq);
    }
}

void virtio_queue_serve(VirtIODevice *vdev, unsigned n)
{
    CODE_PLACE(virtio_queue_serve);
    VirtQueue *vq = virtio_get_queue(vdev, n);

    TRACE(virtio_queue_notify, "dev=%s queue=%u", device_name(vdev), n);
    if (vq && vq->ready && virtio_running(vdev)) {
        if (boot_trace_on()) {
            boot_trace_first("first kick served by", OBJECT(vdev));
        }
        if (G_UNLIKELY(vq->lent)) {
            virtio_queue_kick_lent(vq);
            return;
        }
        queue_run(vdev, vq);
    } else {
        log_guest("virtio-%s: kick for queue %u, which is not there or not running",
                  device_name(vdev), n);
    }
}

void virtio_queue_notify(VirtIODevice *vdev, unsigned n)
{
    CODE_PLACE(virtio_queue_notify);
    virtio_lock(vdev);
    virtio_queue_serve(vdev, n);
    virtio_unlock(vdev);
}

/* Serves what came while kicks were not listened to. */
static void serve_waiting(VirtIODevice *vdev)
{
    for (unsigned n = 0; n < vdev->queues->len && virtio_running(vdev); n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);

        if (vq->run_later || !virtqueue_empty(vq)) {
            vq->run_later = false;
            queue_run(vdev, vq);
        }
    }
}

/* Tells of what was done, but not told, before the rings were out of bounds. */
static void notify_waiting(VirtIODevice *vdev)
{
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        virtio_notify(vdev, virtio_get_queue(vdev, n));
    }
}

/* A device that may not run now gets its turn from serve_waiting. */
static void run_later_cb(void *opaque)
{
    VirtIODevice *vdev = opaque;

    for (unsigned n = 0; n < vdev->queues->len; n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);

        if (!vq->iothread && vq->run_later && virtio_running(vdev)) {
            vq->run_later = false;
            virtio_queue_serve(vdev, n);
        }
    }
}

void virtio_queue_run_later(VirtIODevice *vdev, VirtQueue *vq)
{
    Platform *p = device_platform(DEVICE(vdev));

    if (vq->iothread) {
        vq->run_later = true;
        loop_bh_schedule(vq->again);
        return;
    }
    if (!vdev->later) {
        vdev->later = loop_timer_new(p->loop, p->rtclock, run_later_cb, vdev);
    }
    vq->run_later = true;
    loop_timer_arm_in(vdev->later, 0);
}

static void queues_changed(VirtIODevice *vdev)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vc->queues_changed) {
        vc->queues_changed(vdev);
    }
}

void virtio_set_dma_allowed(VirtIODevice *vdev, bool allowed)
{
    bool before;

    virtio_lock(vdev);
    before = vdev->dma_allowed;
    vdev->dma_allowed = allowed;
    if (allowed != before && vdev->queues) {
        queues_changed(vdev);
    }
    if (allowed && !before && vdev->queues) {
        serve_waiting(vdev);
        notify_waiting(vdev);
    }
    virtio_unlock(vdev);
}

/* --- queues as transports see them --- */

bool virtio_queue_enable(VirtIODevice *vdev, unsigned n)
{
    VirtQueue *vq = virtio_get_queue(vdev, n);

    if (!vq || vq->setup.size == 0) {
        return false;
    }
    virtio_lock(vdev);
    vq->setup.enabled = true;
    vdev->started |= vdev->legacy;
    if (vdev->started && !virtio_is_broken(vdev) && virtqueue_start(vq)) {
        virtio_doorbells_update(vdev, true); /* gives the new queue its doorbell */
    }
    if (vdev->started) {
        queues_changed(vdev);
    }
    virtio_unlock(vdev);
    return true;
}

void virtio_queue_disable(VirtIODevice *vdev, unsigned n)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    VirtQueue *vq = virtio_get_queue(vdev, n);
    VirtQueueSetup setup;
    uint16_t vector;

    if (!vq || !vq->setup.enabled) {
        return;
    }
    virtio_lock(vdev);
    if (vc->queue_reset) {
        vc->queue_reset(vdev, vq);
    }
    setup = vq->setup;
    vector = vq->vector;
    setup.enabled = false;
    virtqueue_reset(vq);
    vq->setup = setup;
    vq->vector = vector;
    if (vdev->started) {
        virtio_doorbells_update(vdev, true); /* takes the queue's doorbell away */
    }
    virtio_unlock(vdev);
}

void virtio_queue_reset(VirtIODevice *vdev, unsigned n)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    VirtQueue *vq = virtio_get_queue(vdev, n);

    if (!vq) {
        return;
    }
    virtio_lock(vdev);
    if (vc->queue_reset) {
        vc->queue_reset(vdev, vq);
    }
    virtqueue_reset(vq);
    if (vdev->started) {
        virtio_doorbells_update(vdev, true); /* takes the queue's doorbell away */
    }
    virtio_unlock(vdev);
}

bool virtio_queue_reset_allowed(const VirtIODevice *vdev)
{
    return (vdev->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
           virtio_has_feature(vdev, VIRTIO_F_RING_RESET);
}

bool virtio_queue_enabled(VirtIODevice *vdev, unsigned n)
{
    VirtQueue *vq = virtio_get_queue(vdev, n);

    return vq && vq->setup.enabled;
}

uint16_t virtio_queue_vector(VirtIODevice *vdev, unsigned n)
{
    VirtQueue *vq = virtio_get_queue(vdev, n);

    return vq ? vq->vector : VIRTIO_NO_VECTOR;
}

void virtio_queue_set_vector(VirtIODevice *vdev, unsigned n, uint16_t vector)
{
    VirtQueue *vq = virtio_get_queue(vdev, n);

    if (vq) {
        virtio_lock(vdev);
        vq->vector = vector;
        virtio_unlock(vdev);
        virtio_notifier_changed(vq, virtio_queue_notifier(vq));
    }
}

/* --- status and features --- */

uint64_t virtio_offer(const VirtIODevice *vdev)
{
    uint64_t of_bus = VIRTIO_BUS_GET_CLASS(vdev->vbus)->features;
    uint64_t legacy = vdev->legacy_features & (of_bus | DEVICE_FEATURES);

    return vdev->legacy ? (vdev->host_features & UINT32_MAX) | legacy : vdev->host_features;
}

void virtio_set_guest_features(VirtIODevice *vdev, uint64_t features)
{
    if (vdev->legacy) { /* nothing tells a legacy driver that its choice is refused */
        features &= virtio_offer(vdev);
    }
    if (!(vdev->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK))) {
        vdev->guest_features = features;
    }
}

uint32_t virtio_offer_word(const VirtIODevice *vdev, uint32_t which)
{
    return which < 2 ? (uint32_t)(virtio_offer(vdev) >> 32 * which) : 0;
}

uint32_t virtio_guest_features_word(const VirtIODevice *vdev, uint32_t which)
{
    return which < 2 ? (uint32_t)(vdev->guest_features >> 32 * which) : 0;
}

void virtio_set_guest_features_word(VirtIODevice *vdev, uint32_t which, uint32_t value)
{
    if (which < 2) {
        uint64_t others = vdev->guest_features & ~((uint64_t)UINT32_MAX << 32 * which);

        virtio_set_guest_features(vdev, others | (uint64_t)value << 32 * which);
    }
}

void virtio_set_legacy(VirtIODevice *vdev, bool legacy)
{
    g_assert(!vdev->started);
    vdev->legacy = legacy;
}

/* A legacy driver knows nothing of address translation, and could not be refused. */
bool virtio_legacy_check(const VirtIODevice *vdev, GError **err)
{
    if (vdev->host_features & FEATURE(VIRTIO_F_ACCESS_PLATFORM)) {
        return error_set(err,
                         "%s: iommu_platform=on is not for a legacy interface: leave it out, or "
                         "have a modern interface only",
                         object_type_name(vdev));
    }
    return true;
}

static bool features_acceptable(VirtIODevice *vdev)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    uint64_t features = vdev->guest_features;

    /* What sits behind an address translation cannot serve a driver that knows nothing of it. */
    uint64_t needed =
        FEATURE(VIRTIO_F_VERSION_1) | (vdev->host_features & FEATURE(VIRTIO_F_ACCESS_PLATFORM));

    if ((features & ~vdev->host_features) || (needed & ~features) ||
        (vc->validate_features && !vc->validate_features(vdev, features))) {
        log_guest("virtio-%s: features 0x%" PRIx64 " are not acceptable, offered were 0x%" PRIx64,
                  device_name(vdev), features, vdev->host_features);
        return false;
    }
    return true;
}

static void driver_ok(VirtIODevice *vdev)
{
    vdev->started = true;
    for (unsigned n = 0; n < vdev->queues->len && !virtio_is_broken(vdev); n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);

        if (vq->setup.enabled) {
            virtqueue_start(vq);
        }
    }
    if (!virtio_is_broken(vdev)) {
        virtio_doorbells_update(vdev, true);
    }
}

/*
 * Doorbells go first, so that nothing new comes in; then the model lets go of what it has in
 * flight, while its queues still stand; then the queues.
 */
static void reset_locked(VirtIODevice *vdev)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);

    TRACE(virtio_reset, "dev=%s", device_name(vdev));
    virtio_doorbells_update(vdev, false);
    vdev->status = 0;
    vdev->started = false; /* from here on nothing is sent */
    if (vc->reset) {
        vc->reset(vdev);
    }
    virtio_isr_read(vdev);
    if (bc->device_reset) {
        bc->device_reset(vdev->vbus);
    }
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        virtqueue_reset(virtio_get_queue(vdev, n));
    }
    if (vdev->later) {
        loop_timer_cancel(vdev->later);
    }
    virtio_forget_deferred(vdev);
    __atomic_store_n(&vdev->broken, false, __ATOMIC_RELAXED);
    vdev->guest_features = 0;
    vdev->config_vector = VIRTIO_NO_VECTOR;
}

void virtio_reset(VirtIODevice *vdev)
{
    virtio_lock(vdev);
    reset_locked(vdev);
    virtio_unlock(vdev);
}

static void set_status_locked(VirtIODevice *vdev, uint8_t status)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    uint8_t old = vdev->status, added = status & (uint8_t) ~(old | VIRTIO_CONFIG_S_NEEDS_RESET);

    TRACE(virtio_set_status, "dev=%s status=0x%02x", device_name(vdev), status);
    if (status == 0) {
        reset_locked(vdev);
        return;
    }
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && (vdev->legacy || !features_acceptable(vdev))) {
        added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    if (!vdev->legacy && !((old | added) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
    }
    vdev->status |= added;
    if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
        if (boot_trace_on()) {
            boot_trace_first("DRIVER_OK of", OBJECT(vdev));
        }
        driver_ok(vdev);
    }
    if (added && vc->set_status) {
        vc->set_status(vdev, old);
    }
    if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
        serve_waiting(vdev); /* some drivers fill a queue before DRIVER_OK */
    }
}

void virtio_set_status(VirtIODevice *vdev, uint8_t status)
{
    virtio_lock(vdev);
    set_status_locked(vdev, status);
    virtio_unlock(vdev);
}

/* --- configuration space --- */

static void config_refresh(VirtIODevice *vdev)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vc->get_config) {
        vc->get_config(vdev, vdev->config);
    }
}

uint64_t virtio_config_read(VirtIODevice *vdev, size_t off, unsigned size)
{
    uint8_t bytes[8] = {0};

    g_assert(size <= sizeof bytes);
    if (off >= vdev->config_size) {
        return 0;
    }
    config_refresh(vdev);
    memcpy(bytes, vdev->config + off, MIN(size, vdev->config_size - off));
    vdev->config_read_since_change = true;
    return le_load(bytes, sizeof bytes);
}

void virtio_config_write(VirtIODevice *vdev, size_t off, uint64_t value, unsigned size)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    bool any = false;

    g_assert(size <= sizeof value);
    if (off >= vdev->config_size || !vc->config_writable) {
        return;
    }
    config_refresh(vdev);
    size = (unsigned)MIN(size, vdev->config_size - off);
    for (unsigned i = 0; i < size; i++) {
        if (vc->config_writable(vdev, off + i)) {
            vdev->config[off + i] = (uint8_t)(value >> 8 * i);
            any = true;
        }
    }
    if (any && vc->set_config) {
        virtio_lock(vdev);
        vc->set_config(vdev, vdev->config, off, size);
        virtio_unlock(vdev);
    }
}

/* --- life --- */

void virtio_init(VirtIODevice *vdev, uint16_t device_id, size_t config_size)
{
    vdev->device_id = device_id;
    vdev->config_size = config_size;
    vdev->config = g_malloc0(config_size);
    vdev->queues = g_ptr_array_new_with_free_func((GDestroyNotify)virtqueue_free);
    vdev->config_vector = VIRTIO_NO_VECTOR;
    vdev->dma_allowed = true;
}

VirtQueue *virtio_add_queue(VirtIODevice *vdev, uint16_t queue_size,
                            VirtIOHandleOutput handle_output)
{
    VirtQueue *vq;

    g_assert(vdev->queues->len < VIRTIO_QUEUES_MAX);
    vq = virtqueue_new(vdev, vdev->queues->len, queue_size, handle_output);
    g_ptr_array_add(vdev->queues, vq);
    return vq;
}

bool virtio_bus_device_plugged(VirtIODevice *vdev, GError **err)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);

    vdev->host_features &= ~TRANSPORT_FEATURES | bc->features;
    vdev->host_features |= FEATURE(VIRTIO_F_VERSION_1);
    if (vc->limit_features) {
        vdev->host_features = vc->limit_features(vdev, vdev->host_features);
    }
    if (vc->get_features) {
        vdev->host_features |= vc->get_features(vdev, vdev->host_features);
    }
    vdev->vbus->vdev = vdev;
    if (bc->device_plugged && !bc->device_plugged(vdev->vbus, vdev, err)) {
        vdev->vbus->vdev = NULL;
        return false;
    }
    return true;
}

void virtio_cleanup(VirtIODevice *vdev)
{
    g_clear_pointer(&vdev->later, loop_timer_free);
    g_clear_pointer(&vdev->deferred, loop_bh_free);
    virtio_lock(vdev);
    g_clear_pointer(&vdev->queues, g_ptr_array_unref);
    virtio_unlock(vdev);
    g_clear_pointer(&vdev->iothreads, g_ptr_array_unref);
    g_clear_pointer(&vdev->config, g_free);
    vdev->config_size = 0;
    vdev->host_features = vdev->prop_features; /* it may be realized again */
    vdev->vbus = NULL;
}

static bool virtio_device_realize(Device *dev, GError **err)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(dev);

    vdev->vbus = VIRTIO_BUS(dev->bus);
    vdev->prop_features = vdev->host_features;
    if (vc->realize && !vc->realize(vdev, err)) {
        virtio_cleanup(vdev);
        return false;
    }
    g_assert(vdev->queues); /* virtio_init is a duty of the model's realize */
    if (!virtio_bus_device_plugged(vdev, err)) {
        if (vc->unrealize) {
            vc->unrealize(vdev);
        }
        virtio_cleanup(vdev);
        return false;
    }
    return true;
}

static void virtio_device_unrealize(Device *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(dev);
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);

    vdev->vbus->vdev = NULL;
    virtio_reset(vdev);
    if (bc->device_unplugged) {
        bc->device_unplugged(vdev->vbus, vdev);
    }
    if (vc->unrealize) {
        vc->unrealize(vdev);
    }
    virtio_cleanup(vdev);
}

void virtio_device_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(obj);

    virtio_lock(vdev);
    for (unsigned n = 0; vdev->queues && n < vdev->queues->len; n++) {
        virtqueue_memory(virtio_get_queue(vdev, n), tell, opaque);
    }
    virtio_unlock(vdev);
    tell(opaque, MEMORY_BUFFER, vdev->config, vdev->config_size);
}

static void virtio_device_reset(Device *dev)
{
    virtio_reset(VIRTIO_DEVICE(dev));
}

static void virtio_device_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    klass->memory = virtio_device_memory;
    dc->realize = virtio_device_realize;
    dc->unrealize = virtio_device_unrealize;
    dc->reset = virtio_device_reset;
    dc->bus_type = &virtio_bus_type;
}

static const Property virtio_device_props[] = {
    PROP_BIT64("indirect_desc", VirtIODevice, host_features, VIRTIO_RING_F_INDIRECT_DESC, true,
               "offer indirect descriptors"),
    PROP_BIT64("event_idx", VirtIODevice, host_features, VIRTIO_RING_F_EVENT_IDX, true,
               "offer event indexes, which save kicks and interrupts"),
    PROP_BIT64("packed", VirtIODevice, host_features, VIRTIO_F_RING_PACKED, false,
               "offer packed rings"),
    PROP_BIT64("in_order", VirtIODevice, host_features, VIRTIO_F_IN_ORDER, false,
               "offer to use buffers in the order in which they come"),
    PROP_BIT64("queue_reset", VirtIODevice, host_features, VIRTIO_F_RING_RESET, true,
               "offer to reset queues one by one, where the transport can"),
    PROP_BIT64("notification_data", VirtIODevice, host_features, VIRTIO_F_NOTIFICATION_DATA, false,
               "offer to take the ring's state with each kick, where the transport can"),
    PROP_BIT64("notif_config_data", VirtIODevice, host_features, VIRTIO_F_NOTIF_CONFIG_DATA, false,
               "offer names of queues for kicks of the device's own, where the transport can"),
    PROP_BIT64("order_platform", VirtIODevice, host_features, VIRTIO_F_ORDER_PLATFORM, false,
               "ask the driver for the memory ordering that hardware needs"),
    PROP_BIT64("iommu_platform", VirtIODevice, host_features, VIRTIO_F_ACCESS_PLATFORM, false,
               "insist on a driver that uses the platform's DMA addresses"),
    PROP_BIT64("any_layout", VirtIODevice, legacy_features, VIRTIO_F_ANY_LAYOUT, true,
               "offer legacy drivers any layout of requests"),
    PROP_BIT64("notify_on_empty", VirtIODevice, legacy_features, VIRTIO_F_NOTIFY_ON_EMPTY, true,
               "offer legacy drivers an interrupt when a queue runs empty"),
    PROP_END,
};

const TypeInfo virtio_device_type = {
    .name = "virtio-device",
    .parent = &device_type,
    .instance_size = sizeof(VirtIODevice),
    .class_size = sizeof(VirtioDeviceClass),
    .abstract = true,
    .class_init = virtio_device_class_init,
    .props = virtio_device_props,
};

static void virtio_bus_instance_init(Object *obj)
{
    BUS(obj)->max_devices = 1;
}

const TypeInfo virtio_bus_type = {
    .name = "virtio-bus",
    .parent = &bus_type,
    .instance_size = sizeof(VirtioBus),
    .class_size = sizeof(VirtioBusClass),
    .abstract = true,
    .instance_init = virtio_bus_instance_init,
};
