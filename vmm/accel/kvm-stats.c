/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads KVM's statistics files: a header, descriptors with names, 64-bit values. The kernel's
 * layout is trusted as little as that of any other file: sizes are bounded, places checked by the
 * reads themselves.
 */
#include "vmm/accel/kvm-stats.h"

#include <string.h>
#include <unistd.h>

#include "vmm/accel/kvm-internal.h"

/* Not in all versions of <linux/kvm.h>. */
#ifndef KVM_STATS_UNIT_BOOLEAN
#define KVM_STATS_UNIT_BOOLEAN (0x4 << KVM_STATS_UNIT_SHIFT)
#endif

enum { DESCS_MAX = 4096, NAME_MAX_BYTES = 4096, VALUES_MAX = 4096 };

typedef struct {
    int fd;
    struct kvm_stats_header header;
    size_t step; /* bytes of a descriptor with its name */
    uint8_t *descs;
} StatsFile;

static const char *type_word(uint32_t flags)
{
    static const char *const words[] = {"cumulative", "instant", "peak", "linear-histogram",
                                        "log2-histogram"};
    uint32_t type = (flags & KVM_STATS_TYPE_MASK) >> KVM_STATS_TYPE_SHIFT;

    return type < G_N_ELEMENTS(words) ? words[type] : NULL;
}

/* "": none. */
static const char *unit_word(uint32_t flags)
{
    static const char *const words[] = {"", "bytes", "seconds", "cycles", "boolean"};
    uint32_t unit = (flags & KVM_STATS_UNIT_MASK) >> KVM_STATS_UNIT_SHIFT;

    return unit < G_N_ELEMENTS(words) ? words[unit] : NULL;
}

/* 0: not known. */
static int base_of(uint32_t flags)
{
    switch (flags & KVM_STATS_BASE_MASK) {
    case KVM_STATS_BASE_POW10:
        return 10;
    case KVM_STATS_BASE_POW2:
        return 2;
    default:
        return 0;
    }
}

static bool read_at(int fd, void *buf, size_t len, uint64_t off, GError **err)
{
    ssize_t n = pread(fd, buf, len, (off_t)off);

    if (n < 0) {
        return error_set_errno(err, errno, "KVM's statistics");
    }
    return (size_t)n == len || error_set(err, "KVM's statistics are shorter than they say");
}

static bool stats_open(StatsFile *f, int fd, GError **err)
{
    *f = (StatsFile){.fd = fd};
    if (!read_at(fd, &f->header, sizeof f->header, 0, err)) {
        return false;
    }
    if (f->header.num_desc > DESCS_MAX || f->header.name_size == 0 ||
        f->header.name_size > NAME_MAX_BYTES) {
        return error_set(err, "KVM's statistics have %u entries with names of %u bytes",
                         f->header.num_desc, f->header.name_size);
    }
    f->step = sizeof(struct kvm_stats_desc) + f->header.name_size;
    f->descs = g_malloc0(f->header.num_desc * f->step + 1);
    return read_at(fd, f->descs, f->header.num_desc * f->step, f->header.desc_offset, err);
}

static json_t *describe(const struct kvm_stats_desc *d, const char *name)
{
    json_t *o = json_pack("{s:s, s:s, s:i}", "name", name, "type", type_word(d->flags), "exponent",
                          d->exponent);

    if (*unit_word(d->flags)) {
        json_object_set_new(o, "unit", json_string(unit_word(d->flags)));
    }
    if (d->exponent) {
        json_object_set_new(o, "base", json_integer(base_of(d->flags)));
    }
    if ((d->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_LINEAR_HIST) {
        json_object_set_new(o, "bucket-size", json_integer(d->bucket_size));
    }
    return o;
}

static json_t *read_value(StatsFile *f, const struct kvm_stats_desc *d, GError **err)
{
    g_autofree uint64_t *values = NULL;
    json_t *list;

    if (d->size == 0 || d->size > VALUES_MAX) {
        error_set(err, "KVM's statistics have an entry of %u values", d->size);
        return NULL;
    }
    values = g_new0(uint64_t, d->size);
    if (!read_at(f->fd, values, d->size * sizeof *values,
                 (uint64_t)f->header.data_offset + d->offset, err)) {
        return NULL;
    }
    if (d->size == 1) {
        return (d->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_BOOLEAN
                   ? json_boolean(values[0] != 0)
                   : json_integer((json_int_t)values[0]);
    }
    list = json_array();
    for (unsigned i = 0; i < d->size; i++) {
        json_array_append_new(list, json_integer((json_int_t)values[i]));
    }
    return list;
}

/* Adds entry i to list; false with err. */
static bool add_entry(StatsFile *f, unsigned i, bool schemas, json_t *list, GError **err)
{
    const uint8_t *at = f->descs + i * f->step;
    g_autofree char *name =
        g_strndup((const char *)at + sizeof(struct kvm_stats_desc), f->header.name_size);
    struct kvm_stats_desc d;
    json_t *value;

    memcpy(&d, at, sizeof d);
    if (!type_word(d.flags) || !unit_word(d.flags) || !base_of(d.flags)) {
        return true;
    }
    if (schemas) {
        json_array_append_new(list, describe(&d, name));
        return true;
    }
    if (!(value = read_value(f, &d, err))) {
        return false;
    }
    json_array_append_new(list, json_pack("{s:s, s:o}", "name", name, "value", value));
    return true;
}

json_t *kvm_stats_read(int fd, bool schemas, GError **err)
{
    json_t *list = json_array();
    StatsFile f;
    bool ok = stats_open(&f, fd, err);

    for (unsigned i = 0; ok && i < f.header.num_desc; i++) {
        ok = add_entry(&f, i, schemas, list, err);
    }
    g_free(f.descs);
    if (!ok) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* --- the accelerator's --- */

/* A vCPU that runs would keep KVM_GET_STATS_FD waiting, so its file is made with it. */
int kvm_stats_open(const Kvm *kvm, int fd)
{
    return kvm->has_stats ? ioctl(fd, KVM_GET_STATS_FD, NULL) : -1;
}

json_t *kvm_stats(Accel *accel, int cpu, bool schemas, GError **err)
{
    Kvm *kvm = kvm_of_accel(accel);
    int fd = kvm->stats_fd;

    if (cpu >= 0) {
        fd = (unsigned)cpu < accel->nr_vcpus ? kvm->vcpus[cpu].stats_fd : -1;
    }
    return fd < 0 ? json_array() : kvm_stats_read(fd, schemas, err);
}
