/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of a few lines on a Card: DHCP, ARP, UDP and a TCP that takes segments in order and sends none again. It
 * leaves checksums to the card, so that those of the software are judged by whoever is at the other end.
 */
#ifndef AEROSTAT_TESTS_NET_GUEST_H
#define AEROSTAT_TESTS_NET_GUEST_H

#include "net-fixture.h"

enum { HOST_IP = 0x0a000202, GUEST_IP = 0x0a00020f, DNS_IP = 0x0a000203, ETH = 14 }; /* of the backend user */

extern uint32_t guest_ip, host_ip; /* those, unless a test sets others */
extern uint8_t host_mac[6];        /* what arp found */
extern uint8_t buf[NET_FRAME_MAX]; /* the frame that is being made */

void put16(uint8_t *p, unsigned v); /* big-endian */
void put32(uint8_t *p, uint32_t v);
unsigned get16(const uint8_t *p);
uint32_t get32(const uint8_t *p);

void ethernet(const uint8_t *to, unsigned type);
/* An IPv4 packet around the l4_len bytes at buf + 34, whose checksum is left to the card: the pseudo header's sum. */
NetHdr wrap_ip(unsigned protocol, uint32_t src, uint32_t dst, size_t l4_len);
void send_ip(Card *c, unsigned protocol, uint32_t src, uint32_t dst, size_t l4_len);
void send_udp(Card *c, uint32_t src, uint32_t dst, unsigned sport, unsigned dport, const void *data, size_t len);
/* The next datagram to that port, others are passed by. Borrowed until the next call. */
const uint8_t *wait_udp(Card *c, unsigned dport, size_t *ret_len);

void dhcp_ask(Card *c, uint8_t type);
const uint8_t *dhcp(Card *c, uint8_t type, size_t *ret_len);              /* the answer */
const uint8_t *option(const uint8_t *p, size_t len, uint8_t code);        /* of it: length, value */
void arp_question(void);  /* who has host_ip: 42 bytes in buf */
void arp(Card *c);        /* finds host_mac, and tells the host our address */

typedef struct {
    Card *card;
    unsigned port, peer_port;
    uint32_t server;   /* 0: the host */
    uint32_t seq, ack; /* next of ours, next of theirs */
    bool open, fin, reset;
    GByteArray *in;
    unsigned stray;    /* out of order, or again */
} Tcp;

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

void tcp_send(Tcp *t, unsigned flags, const void *data, size_t len);
void tcp_run(Tcp *t); /* takes what came, and one round of the loop */

#define RUN_UNTIL(t, condition)                                                                    \
    do {                                                                                           \
        gint64 end_ = g_get_monotonic_time() + 45 * G_USEC_PER_SEC;                                \
        while (!(condition)) {                                                                     \
            tcp_run(t);                                                                            \
            ck_assert_msg(g_get_monotonic_time() < end_, "no " #condition);                        \
        }                                                                                          \
    } while (0)

/* A host's server sends the guest 3 MB as fast as it takes them; stall: it stops thrice. Frees the card. */
void fetch(NetBackend *b, Card *card, bool stall);

/* --- the host's end --- */
int listen_here(unsigned *ret_port); /* on 127.0.0.1 */
int connect_port(unsigned port);     /* of 127.0.0.1; -1: nobody is there */
unsigned free_port(void);

#endif
