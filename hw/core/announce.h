/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network cards announce themselves, in rounds: at once, then after initial ms, then after step ms more each time, but
 * not after more than max. As QEMU's announce-self; each id is a series of its own.
 *
 * Threads: main loop, VM lock held.
 */
#ifndef AEROSTAT_HW_CORE_ANNOUNCE_H
#define AEROSTAT_HW_CORE_ANNOUNCE_H

#include "hw/core/platform.h"

typedef struct Announcer Announcer;

typedef struct {
    uint32_t initial, max, step; /* ms */
    uint32_t rounds;
    char **interfaces;           /* names of cards, NULL-terminated; NULL: all. Copied */
} AnnounceParams;

/* Of the cards below p->root that are there in each round. */
Announcer *announcer_new(Platform *p);
void announcer_free(Announcer *a); /* ends all series; NULL is fine */
/* Begins a series, in place of what that id did. rounds 0: only ends that. */
void announcer_start(Announcer *a, const char *id, const AnnounceParams *params);

#endif
