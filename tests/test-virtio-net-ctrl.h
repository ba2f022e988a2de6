/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of virtio-net's control queue share: a card on a backend of kind "test", a driver that keeps receive
 * buffers in its queues, sends commands and looks where frames come in.
 */
#ifndef AEROSTAT_TESTS_TEST_VIRTIO_NET_CTRL_H
#define AEROSTAT_TESTS_TEST_VIRTIO_NET_CTRL_H

#include "hw/virtio/virtio-net-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/net-fixture.h"

enum { NIC_BUFFERS = 4, NIC_BUFFER = 2048, NIC_NOWHERE = 99, NIC_NO_ACK = 0xee };

typedef struct {
    FakeDriver *d;
    NetTest *net;
    VirtioNet *s;              /* for white-box checks */
    unsigned pairs;            /* of queues that the driver sees */
    Gpa places[8][256];        /* by pair and head: its buffer */
    uint8_t header[20];        /* of the frame that came last */
} Nic;

/* Found, not touched. queues: of the backend. props: NULL or more of them. */
Nic *nic_probe(unsigned cell, unsigned queues, const char *props);
Nic *nic_start(unsigned cell, unsigned queues, const char *props); /* with all features, up */
void nic_up_without(Nic *n, uint64_t features);                    /* all but those */
void nic_free(Nic *n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Nic, nic_free)

#define NIC_BIT(name) (UINT64_C(1) << VIRTIO_NET_F_##name)
bool nic_offers(Nic *n, unsigned bit);
bool nic_has(Nic *n, unsigned bit);
uint64_t nic_config(Nic *n, unsigned off, unsigned size);
unsigned nic_ctrl_queue(Nic *n);

/* A command with that data; its ack, the device's answer behind it in answer (answer_len bytes of room). */
uint8_t nic_command_for(Nic *n, unsigned class, unsigned command, const void *data, size_t len, void *answer,
                        size_t answer_len);
uint8_t nic_command(Nic *n, unsigned class, unsigned command, const void *data, size_t len);
uint8_t nic_command_le(Nic *n, unsigned class, unsigned command, uint64_t value, unsigned size);

/* --- frames --- */
extern const uint8_t nic_own[6], nic_other[6], nic_group[6], nic_broadcast[6];
/* A frame for mac, VLAN tag of that id if it is not negative, of other bytes than the last one. len bytes in buf. */
void nic_frame(uint8_t *buf, size_t len, const uint8_t mac[6], int vlan);
/* A TCP/IPv4 or other packet for the card: 54 bytes. proto 6, 17, 1. */
void nic_packet(uint8_t buf[54], uint32_t src, uint32_t dst, unsigned sport, unsigned dport, unsigned proto);
/* The backend's queue `from` has a frame: the receive queue where it comes in, once, unchanged. NIC_NOWHERE: none. */
unsigned nic_receive_on(Nic *n, unsigned from, const void *frame, size_t len);
bool nic_gets(Nic *n, const uint8_t mac[6]);          /* does a frame for mac come in? */
bool nic_gets_tagged(Nic *n, const uint8_t mac[6], int vlan);
unsigned nic_take_all(Nic *n, unsigned pair);         /* what came in; how many frames */
void nic_inject(Nic *n, unsigned from, const void *frame, size_t len); /* whatever becomes of it */

void nic_step_us(Nic *n, int64_t us); /* of virtual time */

/* Adds tests to s, each for all cells. */
void nic_add_tests(Suite *s, const char *name, const TTest *const *tests, size_t n);
void add_nic_mq_tests(Suite *s);
void add_nic_coal_tests(Suite *s);
void add_nic_bad_tests(Suite *s);

#endif
