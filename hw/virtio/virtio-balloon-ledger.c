/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon's ledger (core/given.h) as QMP and QOM show it.
 */
#include "hw/virtio/virtio-balloon-internal.h"

#include <string.h>

typedef struct {
    const char *name;
    size_t offset;
} LedgerField;

#define FIELD(n, f)                 \
    {                               \
        n, offsetof(GivenLedger, f) \
    }
static const LedgerField ledger_fields[] = {
    FIELD("inflate-named", inflate_named),
    FIELD("inflated", inflated),
    FIELD("repeated", repeated),
    FIELD("inflate-outside", inflate_outside),
    FIELD("inflate-in-use", inflate_in_use),
    FIELD("deflate-named", deflate_named),
    FIELD("deflated", deflated),
    FIELD("deflate-not-given", deflate_not_given),
    FIELD("forgotten", forgotten),
    FIELD("given", given),
    FIELD("released", released),
    FIELD("held-back", held_back),
    FIELD("returned", returned),
    FIELD("released-ended", released_ended),
    FIELD("refused", refused),
    FIELD("reported", reported),
    FIELD("report-returned", report_returned),
    FIELD("report-left", report_left),
    FIELD("faulted-again-ever", faulted_again),
    FIELD("prefaulted", prefaulted),
    FIELD("discards", discards),
    FIELD("time-ns", time_ns),
};

/* check: what of the released memory is resident again is asked of the host, which takes time. */
json_t *balloon_ledger(Object *obj, bool check)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    uint64_t requested = (uint64_t)s->num_pages << VIRTIO_BALLOON_PFN_SHIFT;
    uint64_t actual = s->given ? balloon_actual(obj) : 0; /* not realized: there is no memory */
    json_t *all =
        json_pack("{s:I, s:I}", "requested", (json_int_t)requested, "actual", (json_int_t)actual);
    GivenLedger ledger = {0};
    uint64_t again = 0;

    virtio_lock(VIRTIO_DEVICE(s));
    if (s->given) {
        again = check ? given_faulted_again(s->given) : 0;
        ledger = *given_ledger(s->given);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
    for (unsigned i = 0; i < G_N_ELEMENTS(ledger_fields); i++) {
        const uint64_t *value = (const void *)((const char *)&ledger + ledger_fields[i].offset);

        json_object_set_new(all, ledger_fields[i].name, json_integer((json_int_t)*value));
    }
    if (check) {
        json_object_set_new(all, "faulted-again", json_integer((json_int_t)again));
        json_object_set_new(all, "really-released",
                            json_integer((json_int_t)(ledger.released - again)));
    }
    return all;
}

json_t *balloon_ledger_get(Object *obj, const Property *prop, GError **err)
{
    return balloon_ledger(obj, false);
}

json_t *balloon_ledger_field_get(Object *obj, const Property *prop, GError **err)
{
    const char *name = prop->name + strlen("ledger-");
    json_t *all = balloon_ledger(obj, !strcmp(name, "really-released"));
    json_t *value = json_incref(json_object_get(all, name));

    json_decref(all);
    return value;
}
