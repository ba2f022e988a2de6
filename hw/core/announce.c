/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Series of announcements by network cards.
 */
#include "hw/core/announce.h"

#include <string.h>

#include "hw/core/net-card.h"

struct Announcer {
    Platform *p;
    GHashTable *series; /* of id to Series */
};

typedef struct {
    Announcer *announcer;
    const char *id; /* the table's */
    LoopTimer *timer;
    AnnounceParams params;
    uint32_t done; /* rounds */
} Series;

static bool announce_card(Object *card, const NetCardClass *c, void *opaque)
{
    char **only = ((const Series *)opaque)->params.interfaces;

    if (!only || g_strv_contains((const gchar *const *)only, c->name(card))) {
        c->announce(card);
    }
    return true;
}

static uint32_t delay_ms(const Series *s)
{
    uint64_t ms = s->params.initial + (uint64_t)(s->done - 1) * s->params.step;

    return (uint32_t)MIN(ms, s->params.max);
}

static void one_round(void *opaque)
{
    Series *s = opaque;

    net_card_foreach(s->announcer->p->root, announce_card, s);
    if (++s->done < s->params.rounds) {
        loop_timer_arm_in(s->timer, delay_ms(s) * INT64_C(1000000));
    } else {
        g_hash_table_remove(s->announcer->series, s->id);
    }
}

static void free_series(gpointer opaque)
{
    Series *s = opaque;

    loop_timer_free(s->timer);
    g_strfreev(s->params.interfaces);
    g_free(s);
}

Announcer *announcer_new(Platform *p)
{
    Announcer *a = g_new0(Announcer, 1);

    a->p = p;
    a->series = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_series);
    return a;
}

void announcer_free(Announcer *a)
{
    if (a) {
        g_hash_table_unref(a->series);
        g_free(a);
    }
}

void announcer_start(Announcer *a, const char *id, const AnnounceParams *params)
{
    char *key = g_strdup(id);
    Series *s;

    g_hash_table_remove(a->series, id);
    if (params->rounds == 0) {
        g_free(key);
        return;
    }
    s = g_new0(Series, 1);
    *s = (Series){.announcer = a, .id = key, .params = *params};
    s->params.interfaces = g_strdupv(params->interfaces);
    s->timer = loop_timer_new(a->p->loop, a->p->rtclock, one_round, s);
    g_hash_table_insert(a->series, key, s);
    one_round(s);
}
