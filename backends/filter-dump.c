/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object "filter-dump": a netdev's frames as a pcap file, for tcpdump and Wireshark. A frame is
 * written as it was passed, so one with offloads is larger than on a wire and its checksum is not
 * complete yet.
 *
 * The file is written by a buffered stream, so that a frame costs no system call; it is flushed
 * when the object goes and, by a timer, once a second.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backends/net-impl.h"
#include "backends/user-creatable.h"

enum {
    MAGIC_US = (int)0xa1b2c3d4,
    MAGIC_NS = (int)0xa1b23c4d,
    LINKTYPE_ETHERNET = 1,
    NS_PER_S = 1000000000,
    BUFFER = 256 * 1024,
};

OBJECT_DECLARE(FilterDump, filter_dump, FILTER_DUMP)

struct FilterDump {
    NetFilter parent_obj;
    char *path;
    uint32_t maxlen;
    bool nanoseconds;
    pthread_mutex_t lock; /* guards what follows: queues may be on several threads */
    FILE *file;           /* NULL: not open, or it could not be written */
    LoopTimer *timer;
    Clock *clock;
};

typedef struct {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t sigfigs, snaplen, linktype;
} PcapHeader;

typedef struct {
    uint32_t s, fraction, caplen, len;
} PcapRecord;

/* With the lock. */
static void give_up(FilterDump *d, const char *what)
{
    log_warn("filter-dump: %s %s: %s; nothing more is written", what, d->path, g_strerror(errno));
    fclose(d->file);
    d->file = NULL;
}

static void write_pieces(FilterDump *d, const NetFrame *f, size_t len)
{
    for (unsigned i = 0; i < f->niov && len > 0; i++) {
        size_t n = MIN(len, f->iov[i].iov_len);

        fwrite(f->iov[i].iov_base, 1, n, d->file);
        len -= n;
    }
}

static void dump_saw(NetFilter *f, unsigned dir, const NetFrame *frame)
{
    FilterDump *d = FILTER_DUMP(f);
    PcapRecord r = {.caplen = (uint32_t)MIN(frame->len, d->maxlen), .len = (uint32_t)frame->len};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    r.s = (uint32_t)now.tv_sec;
    r.fraction = (uint32_t)(d->nanoseconds ? now.tv_nsec : now.tv_nsec / 1000);
    pthread_mutex_lock(&d->lock);
    if (d->file) {
        fwrite(&r, sizeof r, 1, d->file);
        write_pieces(d, frame, r.caplen);
        if (ferror(d->file)) {
            give_up(d, "cannot write");
        }
    }
    pthread_mutex_unlock(&d->lock);
}

static void on_flush(void *opaque)
{
    FilterDump *d = opaque;

    pthread_mutex_lock(&d->lock);
    if (d->file && fflush(d->file) != 0) {
        give_up(d, "cannot write");
    }
    pthread_mutex_unlock(&d->lock);
    loop_timer_arm_in(d->timer, NS_PER_S);
}

static bool dump_check(NetFilter *f, GError **err)
{
    const char *path = FILTER_DUMP(f)->path;

    if (!path) {
        return error_set(err, "'file' is missing: where to write to");
    }
    if (!user_file_check(path, err)) {
        g_prefix_error(err, "cannot write %s: ", path);
        return false;
    }
    return true;
}

static bool dump_begin(NetFilter *f, NetBackend *b, GError **err)
{
    FilterDump *d = FILTER_DUMP(f);
    PcapHeader h = {
        .magic = (uint32_t)(d->nanoseconds ? MAGIC_NS : MAGIC_US),
        .major = 2,
        .minor = 4,
        .snaplen = d->maxlen,
        .linktype = LINKTYPE_ETHERNET,
    };

    d->file = fopen(d->path, "we");
    if (!d->file) {
        return error_set_errno(err, errno, "cannot write %s", d->path);
    }
    setvbuf(d->file, NULL, _IOFBF, BUFFER);
    if (fwrite(&h, sizeof h, 1, d->file) != 1 || fflush(d->file) != 0) {
        return error_set_errno(err, errno, "cannot write %s", d->path);
    }
    d->clock = clock_new();
    d->timer = loop_timer_new(b->main_loop, d->clock, on_flush, d);
    loop_timer_arm_in(d->timer, NS_PER_S);
    return true;
}

/* The netdev is gone: nothing more comes, and its loop may go. */
static void dump_end(NetFilter *f)
{
    FilterDump *d = FILTER_DUMP(f);

    g_clear_pointer(&d->timer, loop_timer_free);
    g_clear_pointer(&d->clock, clock_free);
    if (d->file) {
        fclose(d->file);
        d->file = NULL;
    }
}

static void dump_init(Object *obj)
{
    pthread_mutex_init(&FILTER_DUMP(obj)->lock, NULL);
}

static void dump_finalize(Object *obj)
{
    FilterDump *d = FILTER_DUMP(obj);

    net_filter_detach(NET_FILTER(d));
    dump_end(NET_FILTER(d)); /* after a failed begin */
    pthread_mutex_destroy(&d->lock);
}

static void dump_class_init(ObjectClass *klass, const void *data)
{
    NetFilterClass *k = NET_FILTER_CLASS(klass);

    k->check = dump_check;
    k->begin = dump_begin;
    k->end = dump_end;
    k->saw = dump_saw;
}

static const Property dump_props[] = {
    PROP_STRING("file", FilterDump, path, NULL, "pcap file to write"),
    PROP_UINT32("maxlen", FilterDump, maxlen, 65536, 1, 262144, "bytes of a frame at most"),
    PROP_BOOL("nanoseconds", FilterDump, nanoseconds, false,
              "nanoseconds in time stamps instead of microseconds"),
    PROP_END,
};

const TypeInfo filter_dump_type = {
    .name = "filter-dump",
    .parent = &net_filter_type,
    .instance_size = sizeof(FilterDump),
    .instance_init = dump_init,
    .instance_finalize = dump_finalize,
    .class_init = dump_class_init,
    .props = dump_props,
    .desc = "writes a netdev's frames into a pcap file",
};
