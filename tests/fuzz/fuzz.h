/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share: values out of the input, and virtio devices behind a driver that are kept from input to
 * input. An input never depends on what the ones before it did: RAM, device and driver are as new each time.
 */
#ifndef AEROSTAT_TESTS_FUZZ_H
#define AEROSTAT_TESTS_FUZZ_H

#include "tests/driver/fake-driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* --- the input: past its end everything is 0 --- */

typedef struct {
    const uint8_t *p;
    size_t left;
} FuzzInput;

uint8_t fuzz_u8(FuzzInput *in);
uint16_t fuzz_u16(FuzzInput *in);               /* little-endian */
uint32_t fuzz_u32(FuzzInput *in);
uint64_t fuzz_u64(FuzzInput *in);
unsigned fuzz_below(FuzzInput *in, unsigned n); /* of one byte: 0 to n - 1 */
unsigned fuzz_size(FuzzInput *in);              /* of one byte: 1, 2, 4 or 8 */
/* Bytes that stay in the input: up to max of them, as many as the first byte says and as there are. */
const uint8_t *fuzz_bytes(FuzzInput *in, size_t max, size_t *ret_len);
/* A byte chooses: an edge that a second byte names, or a number of 1, 2, 4 or 8 bytes. */
uint64_t fuzz_number(FuzzInput *in);

/* --- devices --- */

enum {
    FUZZ_ECHO,    /* answers at once */
    FUZZ_HOLD,    /* an echo device that leaves its queues to the target */
    FUZZ_RNG,     /* on a source of bytes that are always the same */
    FUZZ_SERIAL,  /* a console on stream "c0" and a port on "c1", of kind "fuzz-stream" */
    FUZZ_BALLOON,
    FUZZ_DEVICES,
};
enum { FUZZ_VARIANTS = 8 };

/* Guest memory: the driver's rings begin at the first address, buffers at the second. */
enum { FUZZ_RINGS = 0x100000, FUZZ_BUFFERS = 0x400000, FUZZ_BUFFERS_SIZE = 0x10000 };

typedef struct {
    FakeDriver *d;
    unsigned device;     /* FUZZ_* */
    size_t heap, growth; /* bytes: before this input, and what earlier ones left behind */
    unsigned next_desc[FAKE_QUEUES_MAX]; /* fuzz_chain's: no descriptor is used again before its turn comes */
} FuzzMachine;

/* The device with the transport of cell (event index, indirect: of no matter), probed and with status 0. props are more
 * properties than the device's own; variant is a number for them, for each has a machine to itself. */
FuzzMachine *fuzz_machine(unsigned device, unsigned cell, unsigned variant, const char *props);
/* The device with a transport, and kicks by eventfd or by exit, that a byte of the input chooses. */
FuzzMachine *fuzz_machine_any(unsigned device, FuzzInput *in);

/*
 * The driver's part up to DRIVER_OK with queues of at most size entries, all features that `without` does not have.
 * False: the device is not in reach (its BAR is somewhere else), or did not like it.
 */
bool fuzz_up(FakeDriver *d, unsigned size, uint64_t without);

/* A ring of zeroes at a page, as negotiated. */
void fuzz_init_ring(FakeDriver *d, FakeRing *r, Gpa at, uint16_t num);

/* An address for a buffer: mostly in the buffers' area, sometimes in the rings, at an edge of RAM, or anywhere. */
uint64_t fuzz_address(FuzzInput *in, const FakeRing *r);

/* A well-formed request of some pieces, direct or indirect, made available on a ring, whatever that ring holds. */
void fuzz_chain(FuzzMachine *m, FuzzInput *in, FakeRing *r);
void fuzz_chain_of(FuzzMachine *m, FakeRing *r, const FakePiece *pieces, unsigned n, bool indirect);

/* One of a few things that happen on the host's side: time passes, configuration changes, somebody types. */
void fuzz_host_event(FuzzMachine *m, FuzzInput *in);

/* What holds at any time: status and state agree, the heap is bounded. */
void fuzz_check(FuzzMachine *m);

/* The end of an input: after a reset of the device alone (or of the whole machine) it serves a request, and the heap is
 * as before. */
void fuzz_end(FuzzMachine *m, bool whole_machine);

/* --- streams --- */
OBJECT_DECLARE(FuzzStream, fuzz_stream, FUZZ_STREAM)
FuzzStream *fuzz_stream_of(FuzzMachine *m, unsigned n); /* c0 or c1 */
void fuzz_stream_set_room(FuzzStream *s, size_t room);
uint64_t fuzz_stream_taken(FuzzStream *s);  /* bytes that the guest sent */
void fuzz_stream_type_in(FuzzStream *s, const uint8_t *bytes, size_t len); /* as far as the port takes them */

/* For LLVMFuzzerInitialize: the guest's errors are formatted, and go nowhere. */
void fuzz_quiet(void);

#endif
