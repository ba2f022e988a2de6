/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: what lies inside RAM is copied whole, everything else is refused whole; discarded
 * pages really leave.
 */
#include "core/gmem.h"
#include "tests/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB  (1024 * 1024UL)

/*
 * The map most tests use: two regions that touch, a hole, a third, and one at the very end of the
 * address space. A [1 MiB, 1 MiB + 2 pages)  B [+2 pages, +3 pages)  hole of a page  C [+4 pages,
 * +5 pages)  D [2^64 - page, 2^64)
 */
#define A GPA(MIB)
#define B GPA(MIB + 2 * PAGE)
#define C GPA(MIB + 4 * PAGE)
#define D GPA(-PAGE)

static GuestMemory *mem_new(GmemBacking backing)
{
    GuestMemory *mem = gmem_new();

    ck_assert(gmem_add(mem, C, PAGE, backing, NULL));
    ck_assert(gmem_add(mem, A, 2 * PAGE, backing, NULL));
    ck_assert(gmem_add(mem, D, PAGE, backing, NULL));
    ck_assert(gmem_add(mem, B, PAGE, backing, NULL));
    return mem;
}

static void assert_fails(bool ok, GError **err, const char *part)
{
    ck_assert(!ok);
    ck_assert_ptr_nonnull(*err);
    ck_assert_msg(strstr((*err)->message, part) != NULL, "'%s' lacks '%s'", (*err)->message, part);
    g_clear_error(err);
}

static const struct {
    uint64_t gpa, len;
    bool ok;
    int pieces;
} ranges[] = {
    {MIB, 1, true, 1},
    {MIB, 2 * PAGE, true, 1},
    {MIB, 2 * PAGE + 1, true, 2},
    {MIB, 3 * PAGE, true, 2},
    {MIB, 3 * PAGE + 1, false, -1},
    {MIB - 1, 1, false, -1},
    {MIB - 1, 2, false, -1},
    {MIB + 2 * PAGE - 1, 2, true, 2},
    {MIB + 3 * PAGE - 1, 1, true, 1},
    {MIB + 3 * PAGE - 1, 2, false, -1},
    {MIB + 3 * PAGE, 1, false, -1},
    {MIB + 2 * PAGE, 3 * PAGE, false, -1}, /* B, the hole, C */
    {MIB + 4 * PAGE - 1, 2, false, -1},
    {MIB + 5 * PAGE, 1, false, -1},
    {0, 1, false, -1},
    {0, UINT64_MAX, false, -1},
    {MIB, UINT64_MAX, false, -1}, /* wraps */
    {MIB, -MIB, false, -1},       /* ends at 2^64 */
    {MIB, -MIB + 1, false, -1},   /* wraps by a byte */
    {-PAGE, PAGE, true, 1},       /* the last page there is */
    {-PAGE, PAGE + 1, false, -1},
    {UINT64_MAX, 1, true, 1},
    {UINT64_MAX, 2, false, -1},
    {MIB, 0, true, 0},
    {0, 0, true, 0}, /* length 0 is fine anywhere */
    {UINT64_MAX, 0, true, 0},
    {MIB + 3 * PAGE, 0, true, 0},
};

START_TEST(a_range_is_ram_only_if_every_byte_is)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    struct iovec iov[4];
    Gpa gpa = GPA(ranges[_i].gpa);

    ck_assert_int_eq(gmem_contains(mem, gpa, ranges[_i].len), ranges[_i].ok);
    ck_assert_int_eq(gmem_iov(mem, gpa, ranges[_i].len, iov, 4), ranges[_i].pieces);
}
END_TEST

START_TEST(copies_happen_whole_or_not_at_all)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    Gpa gpa = GPA(ranges[_i].gpa);
    uint64_t len = ranges[_i].len;
    bool ok = ranges[_i].ok;
    size_t room = MIN(len, 8 * PAGE);
    uint8_t in[8 * PAGE + 1], out[8 * PAGE + 1], all[3 * PAGE], zero[3 * PAGE] = {0};

    for (size_t i = 0; i < room; i++) {
        in[i] = (uint8_t)(i * 7 + 1);
    }
    memset(out, 0xee, room + 1);
    ck_assert_int_eq(gmem_write(mem, gpa, in, len), ok);
    ck_assert_int_eq(gmem_read(mem, gpa, out, len), ok);
    ck_assert_int_eq(out[ok ? len : 0], 0xee);
    if (ok) {
        ck_assert_mem_eq(in, out, len);
        ck_assert(gmem_set(mem, gpa, 0x5a, len));
        ck_assert(gmem_read(mem, gpa, out, len));
        for (size_t i = 0; i < len; i++) {
            ck_assert_int_eq(out[i], 0x5a);
        }
    } else {
        ck_assert(!gmem_set(mem, gpa, 0x5a, len));
        ck_assert(gmem_read(mem, A, all, 3 * PAGE));
        ck_assert_mem_eq(all, zero, 3 * PAGE);
    }
}
END_TEST

START_TEST(length_zero_takes_null_pointers)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);

    ck_assert(gmem_read(mem, A, NULL, 0));
    ck_assert(gmem_write(mem, GPA(0), NULL, 0));
    ck_assert(gmem_set(mem, A, 1, 0));
    ck_assert_int_eq(gmem_iov(mem, A, 0, NULL, 0), 0);
    ck_assert_int_eq(gmem_discard(mem, A, 0, NULL), 0);
}
END_TEST

START_TEST(iovecs_cover_the_range_and_respect_their_limit)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    struct iovec iov[2];

    ck_assert(gmem_set(mem, gpa_add(B, 0), 0xbb, PAGE));
    ck_assert_int_eq(gmem_iov(mem, gpa_add(B, -16), 32, iov, 1), -1);
    ck_assert_int_eq(gmem_iov(mem, gpa_add(B, -16), 32, iov, 2), 2);
    ck_assert_uint_eq(iov[0].iov_len, 16);
    ck_assert_uint_eq(iov[1].iov_len, 16);
    ck_assert_int_eq(*(uint8_t *)iov[0].iov_base, 0);
    ck_assert_int_eq(*(uint8_t *)iov[1].iov_base, 0xbb);
    ck_assert_int_eq(gmem_iov(mem, A, 1, iov, 0), -1);
}
END_TEST

START_TEST(large_regions_are_aligned_for_huge_pages)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    GmemBacking backing = _i ? GMEM_MEMFD : GMEM_ANONYMOUS;
    const GmemRegion *r;

    ck_assert(gmem_add(mem, GPA(0), 5 * MIB, backing, NULL));
    ck_assert(gmem_add(mem, GPA(16 * MIB), PAGE, backing, NULL));
    r = gmem_region(mem, 0);
    ck_assert_uint_eq((uintptr_t)r->host % (2 * MIB), 0);
    ck_assert_int_eq(r->fd >= 0, _i);
    ck_assert_int_eq(r->backing, backing);
    ck_assert_uint_eq(gmem_size(mem), 5 * MIB + PAGE);
    ck_assert_uint_ne(r->slot, gmem_region(mem, 1)->slot);
}
END_TEST

static const struct {
    uint64_t gpa, size;
    const char *error;
} bad_regions[] = {
    {MIB, PAGE, "overlaps"},
    {MIB + PAGE, PAGE, "overlaps"},
    {MIB - PAGE, 2 * PAGE, "overlaps"},
    {0, 64 * MIB, "overlaps"},
    {MIB + 3 * PAGE, 2 * PAGE, "overlaps"},
    {-PAGE, PAGE, "overlaps"},
    {64 * MIB, 0, "size 0"},
    {64 * MIB + 1, PAGE, "aligned"},
    {64 * MIB, PAGE + 1, "aligned"},
    {-2 * PAGE, 4 * PAGE, "passes the end"},
    {64 * MIB, UINT64_MAX - PAGE + 1, "not possible"},
    {64 * MIB, 1ULL << 61, "RAM"}, /* no host has that much */
};

START_TEST(a_region_in_a_wrong_place_is_refused)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    uint64_t generation = gmem_generation(mem);
    GError *err = NULL;
    bool ok = gmem_add(mem, GPA(bad_regions[_i].gpa), bad_regions[_i].size, GMEM_ANONYMOUS, &err);

    assert_fails(ok, &err, bad_regions[_i].error);
    ck_assert_uint_eq(gmem_region_count(mem), 4);
    ck_assert_uint_eq(gmem_generation(mem), generation);
}
END_TEST

START_TEST(a_split_block_shows_around_its_hole)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    Gpa high = GPA(4096 * MIB);
    const GmemRegion *low, *up;
    GError *err = NULL;
    uint8_t byte;

    ck_assert(gmem_add_split(mem, 4 * MIB, high, 2 * MIB, _i ? GMEM_MEMFD : GMEM_ANONYMOUS, NULL));
    ck_assert_uint_eq(gmem_region_count(mem), 2);
    low = gmem_region(mem, 0);
    up = gmem_region(mem, 1);
    ck_assert_ptr_eq(up->host, low->host + 4 * MIB);
    ck_assert_uint_eq(up->fd_offset, 4 * MIB);
    ck_assert(gmem_contains(mem, high, 2 * MIB));
    ck_assert(!gmem_contains(mem, gpa_add(high, -1), 2));
    ck_assert(!gmem_contains(mem, GPA(4 * MIB), 1));
    ck_assert(gmem_set(mem, GPA(0), 1, 4 * MIB));
    ck_assert(gmem_set(mem, high, 2, 2 * MIB));
    ck_assert_int_eq(low->host[0], 1);
    ck_assert_int_eq(up->host[0], 2);
    /* Each half goes alone; the other keeps its bytes. */
    ck_assert(gmem_remove(mem, GPA(0), NULL));
    ck_assert(gmem_read(mem, high, &byte, 1));
    ck_assert_int_eq(byte, 2);
    ck_assert(!gmem_read(mem, GPA(0), &byte, 1));
    assert_fails(gmem_remove(mem, GPA(MIB), &err), &err, "no RAM begins");
}
END_TEST

START_TEST(a_split_without_a_high_part_is_one_region)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    GError *err = NULL;

    ck_assert(gmem_add_split(mem, MIB, GPA(4096 * MIB), 0, GMEM_ANONYMOUS, NULL));
    ck_assert_uint_eq(gmem_region_count(mem), 1);
    assert_fails(gmem_add_split(mem, 0, GPA(4096 * MIB), MIB, GMEM_ANONYMOUS, &err), &err,
                 "size 0");
    ck_assert(gmem_remove(mem, GPA(0), NULL));
    assert_fails(gmem_add_split(mem, 2 * MIB, GPA(MIB), MIB, GMEM_ANONYMOUS, &err), &err,
                 "overlaps");
}
END_TEST

START_TEST(maps_go_stale_when_the_regions_change)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    GmemMap map = {0}, kept;

    ck_assert(!gmem_map_usable(mem, &map));
    ck_assert(!gmem_map(mem, gpa_add(B, -8), 16, &map)); /* RAM, but not of one region */
    ck_assert(!gmem_map(mem, gpa_add(B, PAGE - 8), 16, &map));
    ck_assert(!gmem_map(mem, GPA(0), 16, &map));
    ck_assert(!gmem_map(mem, A, 0, &map));
    ck_assert(!gmem_map(mem, A, UINT64_MAX, &map));
    ck_assert_ptr_null(map.host);
    ck_assert(gmem_map(mem, gpa_add(A, PAGE), PAGE, &map));
    ck_assert_ptr_eq(map.host, gmem_region(mem, 0)->host + PAGE);
    ck_assert(gmem_map_usable(mem, &map));
    kept = map;
    ck_assert(gmem_add(mem, GPA(0), PAGE, GMEM_ANONYMOUS, NULL));
    ck_assert(!gmem_map_usable(mem, &map));
    ck_assert(gmem_map(mem, gpa_add(A, PAGE), PAGE, &map));
    ck_assert_ptr_eq(map.host, kept.host); /* the region itself stays put */
    ck_assert(gmem_remove(mem, GPA(0), NULL));
    ck_assert(!gmem_map_usable(mem, &map));
}
END_TEST

START_TEST(discarded_pages_leave_the_host_and_read_as_zero)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    uint64_t size = 16 * MIB, before;
    unsigned calls = 0;
    uint64_t word = 1;

    ck_assert(gmem_add(mem, GPA(0), size, _i ? GMEM_MEMFD : GMEM_ANONYMOUS, NULL));
    ck_assert_uint_eq(gmem_resident(mem), 0);
    ck_assert(gmem_set(mem, GPA(0), 0xaa, size));
    before = gmem_resident(mem);
    ck_assert_uint_ge(before, size - size / 16); /* a busy host may swap some */
    ck_assert_uint_eq(gmem_discard(mem, GPA(4 * MIB), 8 * MIB, &calls), 8 * MIB);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_le(gmem_resident(mem), size - 8 * MIB);
    ck_assert(gmem_read(mem, GPA(4 * MIB), &word, sizeof word));
    ck_assert_uint_eq(word, 0);
    ck_assert(gmem_read(mem, GPA(12 * MIB - 8), &word, sizeof word));
    ck_assert_uint_eq(word, 0);
    ck_assert(gmem_read(mem, GPA(12 * MIB), &word, sizeof word));
    ck_assert_uint_eq(word, 0xaaaaaaaaaaaaaaaaULL);
    ck_assert(gmem_read(mem, GPA(4 * MIB - 8), &word, sizeof word));
    ck_assert_uint_eq(word, 0xaaaaaaaaaaaaaaaaULL);
}
END_TEST

static const struct {
    uint64_t gpa, len, given;
    unsigned calls;
} discards[] = {
    {MIB, PAGE, PAGE, 1},
    {MIB + 1, PAGE, 0, 0}, /* parts of two pages */
    {MIB + 1, 2 * PAGE - 1, PAGE, 1},
    {MIB, 2 * PAGE - 1, PAGE, 1},
    {MIB, PAGE - 1, 0, 0},
    {MIB, 3 * PAGE, 3 * PAGE, 2},   /* A and B */
    {0, 2 * MIB, 4 * PAGE, 3},      /* with holes between */
    {0, UINT64_MAX, 4 * PAGE, 3},   /* all but the last byte, hence the last page */
    {1, UINT64_MAX, 5 * PAGE, 4},   /* up to the end */
    {MIB, UINT64_MAX, 5 * PAGE, 4}, /* a range that wraps ends with the address space */
    {MIB + 3 * PAGE, PAGE, 0, 0},
    {-PAGE, PAGE, PAGE, 1},
    {UINT64_MAX, 1, 0, 0},
    {0, 1, 0, 0},
};

START_TEST(discard_takes_whole_pages_of_ram_only)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    unsigned calls = 0;

    ck_assert_uint_eq(gmem_discard(mem, GPA(discards[_i].gpa), discards[_i].len, &calls),
                      discards[_i].given);
    ck_assert_uint_eq(calls, discards[_i].calls);
}
END_TEST

START_TEST(memory_that_was_only_read_is_not_resident)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    g_autofree uint8_t *buf = g_malloc(4 * MIB);

    ck_assert(gmem_add(mem, GPA(0), 4 * MIB, GMEM_ANONYMOUS, NULL));
    ck_assert(gmem_read(mem, GPA(0), buf, 4 * MIB));
    if (access("/proc/self/pagemap", R_OK) == 0) {
        ck_assert_uint_eq(gmem_resident(mem), 0);
    }
}
END_TEST

static int temp_file(size_t size)
{
    g_autofree char *path = NULL;
    g_autofree uint8_t *data = g_malloc(size);
    int fd = g_file_open_tmp("aerostat-XXXXXX", &path, NULL);

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i / 256 + i);
    }
    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    return fd;
}

START_TEST(a_file_is_read_across_regions)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    int fd = temp_file(4 * PAGE);
    uint8_t *got = g_malloc(3 * PAGE), *want = g_malloc(3 * PAGE);

    ck_assert(gmem_read_file(mem, A, fd, 100, 3 * PAGE, NULL));
    ck_assert(gmem_read(mem, A, got, 3 * PAGE));
    ck_assert_int_eq(pread(fd, want, 3 * PAGE, 100), (ssize_t)(3 * PAGE));
    ck_assert_mem_eq(got, want, 3 * PAGE);
    g_free(got);
    g_free(want);
    close(fd);
}
END_TEST

START_TEST(a_file_that_is_short_or_does_not_fit_is_refused)
{
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    int fd = temp_file(PAGE);
    GError *err = NULL;

    assert_fails(gmem_read_file(mem, A, fd, 0, PAGE + 1, &err), &err, "too short");
    assert_fails(gmem_read_file(mem, A, fd, 0, 4 * PAGE, &err), &err, "do not fit");
    assert_fails(gmem_read_file(mem, A, -1, 0, 16, &err), &err, "cannot read");
    ck_assert(gmem_read_file(mem, A, fd, 0, 0, NULL));
    close(fd);
}
END_TEST

typedef struct {
    GmemListener listener;
    unsigned present, fail_at; /* fail_at: the add that fails, counted from 1; 0: none */
    unsigned adds;
    uint64_t slots;
} FakeListener;

static bool fake_add(GmemListener *l, const GmemRegion *r, GError **err)
{
    FakeListener *f = (FakeListener *)l;

    if (++f->adds == f->fail_at) {
        return error_set(err, "the listener has had enough");
    }
    ck_assert_uint_eq(f->slots & 1ULL << r->slot, 0);
    f->slots |= 1ULL << r->slot;
    f->present++;
    return true;
}

static void fake_del(GmemListener *l, const GmemRegion *r)
{
    FakeListener *f = (FakeListener *)l;

    ck_assert_uint_ne(f->slots & 1ULL << r->slot, 0);
    f->slots &= ~(1ULL << r->slot);
    f->present--;
}

START_TEST(listeners_see_every_region_come_and_go)
{
    FakeListener f = {.listener = {fake_add, fake_del}}, other = f;
    GuestMemory *mem = mem_new(GMEM_ANONYMOUS);

    ck_assert(gmem_listen(mem, &f.listener, NULL));
    ck_assert_uint_eq(f.present, 4);
    ck_assert(gmem_remove(mem, B, NULL));
    ck_assert_uint_eq(f.present, 3);
    ck_assert(gmem_add(mem, B, PAGE, GMEM_ANONYMOUS, NULL));
    ck_assert_uint_eq(f.slots, 0xf); /* slots are used again */
    ck_assert(gmem_listen(mem, &other.listener, NULL));
    gmem_unlisten(mem, &f.listener);
    ck_assert_uint_eq(f.present, 0);
    ck_assert_uint_eq(other.present, 4);
    gmem_free(mem);
    ck_assert_uint_eq(other.present, 0);
}
END_TEST

START_TEST(a_listener_that_refuses_undoes_the_change)
{
    FakeListener good = {.listener = {fake_add, fake_del}}, bad = good;
    g_autoptr(GuestMemory) mem = mem_new(GMEM_ANONYMOUS);
    GError *err = NULL;

    bad.fail_at = 3;
    assert_fails(gmem_listen(mem, &bad.listener, &err), &err, "enough");
    ck_assert_uint_eq(bad.present, 0);
    bad.adds = 0;
    bad.fail_at = 6; /* the second half of the split below */
    ck_assert(gmem_listen(mem, &good.listener, NULL));
    ck_assert(gmem_listen(mem, &bad.listener, NULL));
    assert_fails(gmem_add_split(mem, PAGE, GPA(64 * MIB), PAGE, GMEM_MEMFD, &err), &err, "enough");
    ck_assert_uint_eq(good.present, 4);
    ck_assert_uint_eq(bad.present, 4);
    ck_assert_uint_eq(gmem_region_count(mem), 4);
    ck_assert(!gmem_contains(mem, GPA(0), 1));
    gmem_unlisten(mem, &good.listener);
    gmem_unlisten(mem, &bad.listener);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem");
    TCase *tc = tcase_create("gmem");

    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, a_range_is_ram_only_if_every_byte_is, 0, G_N_ELEMENTS(ranges));
    tcase_add_loop_test(tc, copies_happen_whole_or_not_at_all, 0, G_N_ELEMENTS(ranges));
    tcase_add_test(tc, length_zero_takes_null_pointers);
    tcase_add_test(tc, iovecs_cover_the_range_and_respect_their_limit);
    tcase_add_loop_test(tc, large_regions_are_aligned_for_huge_pages, 0, 2);
    tcase_add_loop_test(tc, a_region_in_a_wrong_place_is_refused, 0, G_N_ELEMENTS(bad_regions));
    tcase_add_loop_test(tc, a_split_block_shows_around_its_hole, 0, 2);
    tcase_add_test(tc, a_split_without_a_high_part_is_one_region);
    tcase_add_test(tc, maps_go_stale_when_the_regions_change);
    tcase_add_loop_test(tc, discarded_pages_leave_the_host_and_read_as_zero, 0, 2);
    tcase_add_loop_test(tc, discard_takes_whole_pages_of_ram_only, 0, G_N_ELEMENTS(discards));
    tcase_add_test(tc, memory_that_was_only_read_is_not_resident);
    tcase_add_test(tc, a_file_is_read_across_regions);
    tcase_add_test(tc, a_file_that_is_short_or_does_not_fit_is_refused);
    tcase_add_test(tc, listeners_see_every_region_come_and_go);
    tcase_add_test(tc, a_listener_that_refuses_undoes_the_change);
    return suite_run(s);
}
