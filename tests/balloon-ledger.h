/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the suites and the fuzz target ask of a balloon's ledger.
 */
#ifndef AEROSTAT_TESTS_BALLOON_LEDGER_H
#define AEROSTAT_TESTS_BALLOON_LEDGER_H

#include "qom/property.h"

/* The present ledger of a virtio-balloon-device; new reference. */
static inline json_t *ledger_of(Object *balloon)
{
    return property_get_json(balloon, "ledger", NULL);
}

static inline uint64_t ledger_get(json_t *ledger, const char *name)
{
    json_t *value = json_object_get(ledger, name);

    g_assert(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

static inline uint64_t ledger_value(Object *balloon, const char *name)
{
    json_t *ledger = ledger_of(balloon);
    uint64_t value = ledger_get(ledger, name);

    json_decref(ledger);
    return value;
}

/* The sums of core/given.h: which of them is wrong, or 0. */
static inline int ledger_wrong_sum(Object *balloon)
{
    json_t *l = ledger_of(balloon);
    int wrong = 0;

#define L(name) ledger_get(l, name)
    if (L("inflate-named") != L("inflated") + L("repeated") + L("inflate-outside") + L("inflate-in-use")) {
        wrong = 1;
    } else if (L("deflate-named") != L("deflated") + L("deflate-not-given")) {
        wrong = 2;
    } else if (L("inflated") != L("deflated") + L("forgotten") + L("given")) {
        wrong = 3;
    } else if (L("given") != L("released") + L("held-back")) {
        wrong = 4;
    } else if (L("returned") != L("released") + L("released-ended")) {
        wrong = 5;
    } else if (L("reported") != L("report-returned") + L("report-left")) {
        wrong = 6;
    }
#undef L
    json_decref(l);
    return wrong;
}

/* All but three numbers only grow: which of them shrank since an earlier ledger; NULL: none. */
static inline const char *ledger_shrunk(json_t *before, json_t *after)
{
    static const char *const may[] = {"requested", "actual", "given", "released", "held-back", NULL};
    const char *name;
    json_t *value;

    json_object_foreach(before, name, value)
    {
        if (!g_strv_contains(may, name) &&
            json_integer_value(value) > json_integer_value(json_object_get(after, name))) {
            return name;
        }
    }
    return NULL;
}

#endif
