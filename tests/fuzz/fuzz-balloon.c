/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as requests to a memory balloon: page numbers on the inflate and deflate queues in pieces
 * of any shape, statistics, configuration accesses, the host's wishes, and time. The first byte
 * chooses the transport, and how memory goes back.
 *
 * Pages are given back when they were named, and no others: those that no request could have named
 * keep what they hold, and the ledger adds up. Afterwards a reset brings the device back.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_ring.h>

#include "core/le.h"
#include "hw/core/memory-balloon.h"
#include "tests/balloon-ledger.h"
#include "tests/fuzz/fuzz.h"

enum { INFLATE, DEFLATE, STATS, REPORT, QUEUES = REPORT + 2, REPORT_PAGES = 600 };
enum { OPS_MAX = 200, PFNS_MAX = 600, PAGE = 4096, PIECES = 4 };
enum { TEXT = FUZZ_BUFFERS, TEXT_SIZE = FUZZ_BUFFERS_SIZE }; /* requests are written in turn here */

/* Pages at the ends of regions, where ranges are cut, and a few between. None is of a ring or a
 * buffer. */
static const uint32_t watched[] = {0,
                                   1,
                                   0x7fe,
                                   0x7ff,
                                   0x800,
                                   0x801,
                                   0xc00,
                                   0xc02,
                                   0xffe,
                                   0xfff,
                                   FAKE_RAM_HIGH / PAGE,
                                   FAKE_RAM_HIGH / PAGE + 1,
                                   (FAKE_RAM_HIGH + FAKE_RAM_HIGH_SIZE) / PAGE - 1};
enum { MARK = 0x5aa5 };

typedef struct {
    FuzzMachine *m;
    FuzzInput in;
    FakeDriver *d;
    uint32_t text;                     /* where the next request goes */
    bool named[G_N_ELEMENTS(watched)]; /* inflated, maybe */
} Run;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

static void mark_pages(Run *run)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++) {
        fake_mem_put(run->d->m->p.mem, GPA((uint64_t)watched[i] * PAGE), MARK + i, 8);
    }
}

static void check_pages(Run *run)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++) {
        Gpa at = GPA((uint64_t)watched[i] * PAGE);

        g_assert(run->named[i] || fake_mem_get(run->d->m->p.mem, at, 8) == MARK + i);
    }
}

static void note_pfn(Run *run, uint32_t pfn)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++) {
        run->named[i] |= watched[i] == pfn;
    }
}

/* --- requests --- */

/* Page numbers as a driver may name them: one of interest, a run, or anything but the driver's own
 * memory. */
static uint32_t pick_pfn(Run *run, uint32_t last)
{
    uint8_t kind = fuzz_u8(&run->in);
    uint32_t pfn;

    if (kind < 0x40) {
        return watched[kind % G_N_ELEMENTS(watched)];
    }
    if (kind < 0xc0) {
        pfn = last + (kind & 7) - 2;
    } else {
        pfn = (uint32_t)fuzz_number(&run->in);
    }
    if (pfn >= FUZZ_RINGS / PAGE && pfn < (TEXT + TEXT_SIZE) / PAGE) {
        pfn = 0xd00;
    }
    return pfn;
}

static uint32_t place_text(Run *run, const uint8_t *bytes, size_t len)
{
    uint32_t at;

    if (run->text + len > TEXT_SIZE) { /* what waits may be read as something else now */
        run->text = 0;
        memset(run->named, true, sizeof run->named);
    }
    at = TEXT + run->text;
    run->text += (uint32_t)len;
    g_assert(gmem_write(run->d->m->p.mem, GPA(at), bytes, len));
    return at;
}

/* The request's bytes in up to PIECES descriptors, cut anywhere. */
static void send(Run *run, unsigned q, const uint8_t *bytes, size_t len)
{
    FakePiece pieces[PIECES];
    uint8_t shape = fuzz_u8(&run->in);
    uint32_t at = place_text(run, bytes, len);
    unsigned n = shape % PIECES + 1;

    for (unsigned i = 0; i < n; i++) {
        size_t cut = i + 1 < n ? fuzz_u8(&run->in) : len, part = MIN(cut, len);

        pieces[i] = (FakePiece){.gpa = GPA(at), .len = (uint32_t)part};
        at += (uint32_t)part;
        len -= part;
    }
    pieces[n - 1].writable = (shape & 0x30) == 0x30;
    fuzz_chain_of(run->m, &run->d->rings[q], pieces, n, shape & 0x40);
    if (!(shape & 0x80)) {
        fake_driver_kick(run->d, q);
    }
}

static void send_pfns(Run *run, unsigned q)
{
    unsigned n = fuzz_u8(&run->in), repeat = fuzz_u8(&run->in) % 8 ? 1 : 4;
    uint8_t bytes[4 * PFNS_MAX + 3];
    uint32_t pfn = 0x900;
    size_t len = 0;

    for (unsigned i = 0; i < n && len + 4 * repeat <= 4 * PFNS_MAX; i++) {
        pfn = pick_pfn(run, pfn);
        for (unsigned k = 0; k < repeat; k++) {
            le_store(bytes + len, pfn + k, 4);
            len += 4;
            note_pfn(run, pfn + k);
        }
    }
    for (unsigned odd = fuzz_u8(&run->in) % 4; odd > 0; odd--) {
        bytes[len++] = 0xff;
    }
    send(run, q, bytes, len);
}

static bool is_drivers_own(uint64_t pfn)
{
    return pfn >= FUZZ_RINGS / PAGE && pfn < (TEXT + TEXT_SIZE) / PAGE;
}

/* Units of huge pages, and nearly. */
static void send_long_run(Run *run)
{
    uint8_t bytes[4 * PFNS_MAX];
    uint32_t pfn = pick_pfn(run, 0x800), n = fuzz_u16(&run->in) % PFNS_MAX + 1;
    size_t len = 0;

    for (uint32_t i = 0; i < n && !is_drivers_own(pfn); i++, pfn++, len += 4) {
        le_store(bytes + len, pfn, 4);
        note_pfn(run, pfn);
    }
    send(run, fuzz_u8(&run->in) % 4 ? INFLATE : DEFLATE, bytes, len);
}

/* Free pages: whole ones, parts, across the ends of regions, overlapping. */
static void send_report(Run *run)
{
    FakePiece pieces[PIECES];
    uint8_t shape = fuzz_u8(&run->in);
    unsigned n = shape % PIECES + 1;
    uint32_t pfn = 0x900;

    for (unsigned i = 0; i < n; i++) {
        uint32_t pages = fuzz_u16(&run->in) % REPORT_PAGES, odd = fuzz_u8(&run->in);

        pfn = pick_pfn(run, pfn);
        for (uint32_t p = 0; p <= pages + 1; p++) {
            if (is_drivers_own((uint64_t)pfn + p)) {
                pages = p > 1 ? p - 2 : 0;
            }
        }
        for (uint32_t p = 0; p <= pages + 1; p++) {
            note_pfn(run, pfn + p);
        }
        pieces[i] = (FakePiece){.gpa = GPA((uint64_t)pfn * PAGE + (odd & 0x7f ? 0 : odd)),
                                .len = pages * PAGE + (odd & 1),
                                .writable = (shape & 0x30) != 0x30};
    }
    fuzz_chain_of(run->m, &run->d->rings[REPORT + (shape >> 7)], pieces, n, shape & 0x40);
    fake_driver_kick(run->d, REPORT + (shape >> 7));
}

static void send_stats(Run *run)
{
    uint8_t bytes[10 * 20 + 9] = {0};
    unsigned n = fuzz_u8(&run->in) % 21;
    size_t len = 0;

    for (unsigned i = 0; i < n; i++, len += 10) {
        le_store(bytes + len, fuzz_u8(&run->in), 2);
        le_store(bytes + len + 2, fuzz_number(&run->in), 8);
    }
    send(run, STATS, bytes, len + fuzz_u8(&run->in) % 10);
}

/* --- the rest --- */

static void config_op(Run *run)
{
    uint8_t what = fuzz_u8(&run->in);
    unsigned off = what & 15, size = 1u << (what >> 4 & 3) % 3;

    if (what & 0x80) {
        run->d->t->config_write(run->d, off, fuzz_number(&run->in), size);
    } else {
        run->d->t->config_read(run->d, off, size);
    }
}

static void raw_op(Run *run)
{
    FakeRing *r = &run->d->rings[fuzz_below(&run->in, run->d->n_queues)];

    fuzz_chain(run->m, &run->in, r);
    memset(run->named, true, sizeof run->named); /* it may write and name anything */
}

static void operate(Run *run)
{
    switch (fuzz_u8(&run->in) % 20) {
    case 0:
    case 1:
    case 2:
        send_pfns(run, INFLATE);
        break;
    case 3:
        send_pfns(run, DEFLATE);
        break;
    case 4:
    case 5:
        send_stats(run);
        break;
    case 6:
    case 7:
        config_op(run);
        break;
    case 8:
    case 9:
    case 10:
        fuzz_host_event(run->m, &run->in);
        break;
    case 11:
        fake_driver_kick(run->d, fuzz_below(&run->in, QUEUES + 1));
        break;
    case 12:
        raw_op(run);
        break;
    case 13:
        fuzz_up(run->d, fuzz_u8(&run->in) % 16 + 1, 0);
        break;
    case 16:
        send_long_run(run);
        break;
    case 17:
    case 18:
        send_report(run);
        break;
    default:
        fake_machine_run(run->d->m);
        break;
    }
}

static void check_balloon(Run *run)
{
    MemoryBalloonClass *mc = object_interface(OBJECT(run->d->vdev), &memory_balloon_type);
    uint64_t target = run->d->t->config_read(run->d, 0, 4) * PAGE;

    g_assert(mc->actual(OBJECT(run->d->vdev)) <= FAKE_RAM_SIZE);
    g_assert(target <= FAKE_RAM_SIZE);
    g_assert(ledger_wrong_sum(OBJECT(run->d->vdev)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Run run = {.in = {data, size}};

    json_t *before, *after;

    run.m = fuzz_machine_any(FUZZ_BALLOON, &run.in);
    run.d = run.m->d;
    before = ledger_of(OBJECT(run.d->vdev));
    g_assert(fuzz_up(run.d, 16, 0));
    mark_pages(&run);
    for (unsigned i = 0; i < OPS_MAX && run.in.left > 0; i++) {
        operate(&run);
    }
    fake_machine_run(run.d->m);
    check_pages(&run);
    check_balloon(&run);
    after = ledger_of(OBJECT(run.d->vdev));
    g_assert(!ledger_shrunk(before, after));
    json_decref(before);
    json_decref(after);
    fuzz_end(run.m, false);
    return 0;
}
