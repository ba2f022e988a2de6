/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends under test: a main loop, a tree, a card that records what it gets and sends what the test says, and
 * the kind "test", which records what is sent and gives what the test says.
 */
#ifndef AEROSTAT_TESTS_NET_FIXTURE_H
#define AEROSTAT_TESTS_NET_FIXTURE_H

#include <check.h>

#include "backends/net-impl.h"

typedef struct {
    GByteArray *bytes;
    NetHdr hdr;
} NetRecord;

/* A card. Its frames are taken out by card_take. */
typedef struct {
    NetUser *user;
    GPtrArray *got;           /* of NetRecord *, by queue in order */
    int room;                 /* frames that it takes; -1: any number */
    unsigned refused, ready, links;
    bool link;
    bool in_send;             /* callbacks must not come meanwhile */
} Card;

extern EventLoop *net_loop;
extern Object *net_root;

void net_setup(void);    /* check fixture */
void net_teardown(void);

NetBackend *net_add(const char *json);              /* {'type': 'null', 'id': 'n0'} */
char *net_add_error(const char *json);              /* it fails: the line; g_free */
void net_add_fails(const char *json, const char *line);
Card *card_new(NetBackend *b);                      /* one queue, on net_loop */
void card_free(Card *c);
bool card_send(Card *c, const void *buf, size_t len);
bool card_send_hdr(Card *c, const void *buf, size_t len, NetHdr hdr);
bool card_send_pieces(Card *c, const void *buf, size_t len, NetHdr hdr, unsigned piece); /* an iov of pieces */
NetRecord *card_wait(Card *c);                      /* runs the loop until a frame comes; borrowed until card_drop */
bool card_idle(Card *c);                            /* for a while nothing comes */
void card_drop(Card *c);                            /* forgets all it got */
void net_run_until(bool (*done)(void *opaque), void *opaque); /* at most 45 s */
void net_run_for(unsigned ms);
NetStats net_stats_of(NetBackend *b);
uint64_t net_counter(NetBackend *b, const char *name); /* by property */
/* len bytes: to ff:..., from 52:54:00:00:00:01, type 0x88b5, then numbers from seed. */
void net_frame(uint8_t *buf, size_t len, unsigned seed);
GByteArray *net_flat(const NetFrame *f);

/* --- kind "test" --- */
extern const TypeInfo net_test_type;
typedef struct {
    NetBackend parent_obj;
    pthread_mutex_t lock;     /* guards sent and room: queues may be on several threads */
    GPtrArray *sent;          /* of NetRecord * */
    int room;                 /* frames that it takes; -1: any number */
    unsigned readies;
    bool no_offloads;         /* guest offloads cannot be set */
    void (*sending)(void *opaque); /* called once for each frame, after it was recorded; NULL: nothing */
    void *opaque;
    Vhost *vhosts[NET_QUEUES_MAX]; /* the test's; NULL: none */
    uint64_t lent;            /* queues that the kernel serves, a bit each */
    size_t hdr_len;           /* as the user wanted it last for that */
    bool no_lending;          /* the user cannot have it */
} NetTest;
enum { NET_TEST_TAP = 1000 }; /* what stands for queue 0's tap; the others count up */
NetTest *net_test_add(const char *id, unsigned offloads, unsigned queues);
NetRecord *net_test_sent(NetTest *t, unsigned i);
void net_test_writable(NetTest *t, int room); /* from the loop */
bool net_test_inject(NetTest *t, const void *buf, size_t len, NetHdr hdr);

#endif
