/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The address space: who is seen where, how accesses are cut to the callbacks' sizes, and where
 * doorbells are served.
 */
#include "core/aspace.h"
#include "tests/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A region that records what reaches it and reads as the bytes of its own offsets, plus a tag in
 * the high nibble. */
typedef struct Fake Fake;
struct Fake {
    IoRegion io;
    IoRegionOps ops;
    uint8_t tag;
    unsigned reads, writes, size;
    uint64_t off, value;
    GString *calls; /* "off/size=value " for each write, "off/size " for each read */
    void (*hook)(Fake *f);
    AddressSpace *as;
    Fake *other;
};

static uint64_t fake_read(void *opaque, uint64_t off, unsigned size)
{
    Fake *f = opaque;
    uint64_t v = 0;

    f->reads++;
    g_string_append_printf(f->calls, "%lu/%u ", (unsigned long)off, size);
    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)(uint8_t)(f->tag | ((off + i) & 0xf)) << (8 * i);
    }
    if (f->hook) {
        f->hook(f);
    }
    return v;
}

static void fake_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Fake *f = opaque;

    f->writes++;
    f->off = off;
    f->value = value;
    f->size = size;
    g_string_append_printf(f->calls, "%lu/%u=%lx ", (unsigned long)off, size, (unsigned long)value);
    if (f->hook) {
        f->hook(f);
    }
}

static Fake *fake_new(uint8_t tag, uint64_t size, unsigned min, unsigned max)
{
    Fake *f = g_new0(Fake, 1);

    f->ops = (IoRegionOps){fake_read, fake_write, min, max};
    f->tag = tag;
    f->calls = g_string_new(NULL);
    io_region_init(&f->io, "fake", &f->ops, f, size);
    return f;
}

static void fake_free(Fake *f)
{
    io_region_finish(&f->io);
    g_string_free(f->calls, TRUE);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fake, fake_free)

static uint64_t rd(AddressSpace *as, uint64_t addr, unsigned size, bool hit)
{
    uint64_t value = 0;

    ck_assert_int_eq(aspace_read(as, addr, size, &value), hit);
    return value;
}

static void add_range(uint64_t addr, uint64_t size, IoRegion *r, void *opaque)
{
    Fake *f = r->opaque;

    g_string_append_printf(opaque, "%x:%lx+%lx ", f->tag >> 4, (unsigned long)addr,
                           (unsigned long)size);
}

static void assert_view(AddressSpace *as, const char *want)
{
    GString *view = g_string_new(NULL);

    aspace_foreach(as, add_range, view);
    ck_assert_str_eq(view->str, want);
    g_string_free(view, TRUE);
}

/* --- who is seen --- */

START_TEST(where_nothing_is_reads_are_all_ones_and_writes_vanish)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    uint64_t reads, writes;

    ck_assert_uint_eq(rd(as, 0, 1, false), 0xff);
    ck_assert_uint_eq(rd(as, 0x1234, 4, false), 0xffffffff);
    ck_assert_uint_eq(rd(as, UINT64_MAX - 3, 8, false), UINT64_MAX); /* past the end as well */
    ck_assert(!aspace_write(as, 0x1234, 1, 4));
    ck_assert_ptr_null(aspace_find(as, 0));
    aspace_unmapped(as, &reads, &writes);
    ck_assert_uint_eq(reads, 3);
    ck_assert_uint_eq(writes, 1);
}
END_TEST

START_TEST(an_access_is_split_at_the_edges)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0x10000);
    g_autoptr(Fake) a = fake_new(0x10, 6, 0, 0);
    g_autoptr(Fake) b = fake_new(0x20, 4, 0, 0);

    aspace_map(as, &a->io, 0x100, 0);
    aspace_map(as, &b->io, 0x106, 0);
    ck_assert_uint_eq(rd(as, 0x104, 4, true), 0x21201514);
    ck_assert_uint_eq(rd(as, 0x108, 4, false), 0xffff2322);
    ck_assert_uint_eq(rd(as, 0xfe, 4, false), 0x1110ffff);
    ck_assert(!aspace_write(as, 0x108, 0x44332211, 4));
    ck_assert_uint_eq(b->value, 0x2211);
    ck_assert(aspace_write(as, 0x104, 0x44332211, 4));
    ck_assert_uint_eq(a->value, 0x2211);
    ck_assert_uint_eq(b->value, 0x4433);
}
END_TEST

START_TEST(the_higher_priority_is_seen_then_the_earlier)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) a = fake_new(0x10, 0x100, 0, 0);
    g_autoptr(Fake) b = fake_new(0x20, 0x100, 0, 0);
    g_autoptr(Fake) c = fake_new(0x30, 0x10, 0, 0);

    aspace_map(as, &a->io, 0x1000, 0);
    aspace_map(as, &b->io, 0x1080, 0);
    assert_view(as, "1:1000+100 2:1100+80 ");
    aspace_map(as, &c->io, 0x10f8, 1);
    assert_view(as, "1:1000+f8 3:10f8+10 2:1108+78 ");
    aspace_map(as, &c->io, 0x1010, -1); /* below both */
    assert_view(as, "1:1000+100 2:1100+80 ");
    aspace_unmap(&a->io);
    assert_view(as, "3:1010+10 2:1080+100 ");
    aspace_map(as, &c->io, 0x10f0, 1); /* in the middle of b */
    assert_view(as, "2:1080+70 3:10f0+10 2:1100+80 ");
    ck_assert_ptr_eq(aspace_find(as, 0x10ff), &c->io);
    ck_assert_ptr_eq(aspace_find(as, 0x1100), &b->io);
    ck_assert_uint_eq(rd(as, 0x1101, 1, true), 0x21); /* offsets count from b's start */
    aspace_map(as, &a->io, 0x1000, 0);                /* a is now the later one */
    assert_view(as, "1:1000+80 2:1080+70 3:10f0+10 2:1100+80 ");
}
END_TEST

START_TEST(a_move_counts_as_mapping_anew_and_no_move_changes_nothing)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) a = fake_new(0x10, 0x10, 0, 0);
    g_autoptr(Fake) b = fake_new(0x20, 0x10, 0, 0);

    aspace_map(as, &a->io, 0, 0);
    aspace_map(as, &b->io, 0, 0);
    aspace_map(as, &a->io, 0, 0);
    assert_view(as, "1:0+10 ");
    aspace_map(as, &a->io, 0x100, 0);
    aspace_map(as, &a->io, 0, 0);
    assert_view(as, "2:0+10 ");
    aspace_unmap(&b->io);
    aspace_unmap(&b->io);
    assert_view(as, "1:0+10 ");
}
END_TEST

START_TEST(a_region_past_the_end_is_cut_off)
{
    g_autoptr(AddressSpace) ports = aspace_new("ports", 0x10000);
    g_autoptr(AddressSpace) all = aspace_new("all", 0);
    g_autoptr(Fake) a = fake_new(0x10, 0x10, 0, 0);
    g_autoptr(Fake) whole = fake_new(0x20, UINT64_MAX, 0, 0);

    aspace_map(ports, &a->io, 0xfff8, 0);
    assert_view(ports, "1:fff8+8 ");
    ck_assert_uint_eq(rd(ports, 0xfffe, 4, false), 0xffff1716);
    aspace_map(ports, &a->io, 0x20000, 0);
    assert_view(ports, "");
    aspace_map(all, &a->io, UINT64_MAX - 7, 0); /* from one space to another; wraps */
    assert_view(all, "1:fffffffffffffff8+8 ");
    ck_assert_uint_eq(rd(all, UINT64_MAX, 2, false), 0xff17);
    aspace_map(all, &whole->io, 0, 0);
    assert_view(all, "2:0+fffffffffffffff8 1:fffffffffffffff8+8 ");
}
END_TEST

static bool ram_below_64k(void *opaque, uint64_t addr, uint64_t len)
{
    return addr + len <= 0x10000;
}

START_TEST(ram_wins_over_a_region)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) a = fake_new(0x10, 0x20000, 0, 0);

    aspace_map(as, &a->io, 0, 100);
    aspace_set_ram_check(as, ram_below_64k, NULL);
    ck_assert_uint_eq(rd(as, 0xfff8, 8, false), UINT64_MAX);
    ck_assert_uint_eq(rd(as, 0xfffe, 4, false), 0x1110ffff);
    ck_assert_uint_eq(rd(as, 0x10000, 4, true), 0x13121110);
    ck_assert(!aspace_write(as, 0x1000, 5, 4));
    ck_assert_uint_eq(a->writes, 0);
    ck_assert_ptr_null(aspace_find(as, 0xffff));
    ck_assert_ptr_eq(aspace_find(as, 0x10000), &a->io);
    aspace_set_ram_check(as, NULL, NULL);
    ck_assert_uint_eq(rd(as, 0, 1, true), 0x10);
}
END_TEST

START_TEST(changes_between_begin_and_commit_show_at_the_last_commit)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) a = fake_new(0x10, 0x10, 0, 0);
    g_autoptr(Fake) b = fake_new(0x20, 0x10, 0, 0);

    aspace_map(as, &a->io, 0, 0);
    aspace_begin(as);
    aspace_begin(as);
    aspace_map(as, &b->io, 0x20, 0);
    aspace_commit(as);
    assert_view(as, "1:0+10 ");
    aspace_unmap(&a->io); /* only this is seen at once */
    assert_view(as, "");
    aspace_commit(as);
    assert_view(as, "2:20+10 ");
}
END_TEST

START_TEST(many_regions_are_found_by_any_address)
{
    enum { N = 300 };
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    Fake *f[N];

    for (unsigned i = 0; i < N; i++) {
        f[i] = fake_new(0x10, 0x10, 0, 0);
        aspace_map(as, &f[i]->io, (i * 7919ULL % N) * 0x20, 0);
    }
    for (unsigned i = 0; i < N; i++) {
        uint64_t addr = f[i]->io.addr;

        ck_assert_ptr_eq(aspace_find(as, addr), &f[i]->io);
        ck_assert_ptr_eq(aspace_find(as, addr + 0xf), &f[i]->io);
        ck_assert_ptr_null(aspace_find(as, addr + 0x10));
    }
    for (unsigned i = 0; i < N; i++) {
        fake_free(f[i]);
    }
    assert_view(as, "");
}
END_TEST

/* --- sizes --- */

static const struct {
    unsigned min, max;
    uint64_t addr;
    unsigned size;
    const char *reads;
    uint64_t value;
    const char *writes; /* of 0x8877665544332211 */
} sizes[] = {
    {0, 0, 0, 8, "0/8 ", 0x1716151413121110, "0/8=8877665544332211 "},
    {0, 0, 1, 1, "1/1 ", 0x11, "1/1=11 "},
    {0, 4, 0, 8, "0/4 4/4 ", 0x1716151413121110, "0/4=44332211 4/4=88776655 "},
    {1, 1, 4, 4, "4/1 5/1 6/1 7/1 ", 0x17161514, "4/1=11 5/1=22 6/1=33 7/1=44 "},
    {4, 4, 5, 1, "4/4 ", 0x15, "4/4=1100 "},
    {4, 4, 6, 2, "4/4 ", 0x1716, "4/4=22110000 "},
    {4, 8, 4, 2, "4/4 ", 0x1514, "4/4=2211 "},
    {4, 4, 2, 4, "0/4 4/4 ", 0x15141312, "0/4=22110000 4/4=4433 "},
    {8, 8, 3, 2, "0/8 ", 0x1413, "0/8=2211000000 "},
    {0, 0, 1, 4, "1/1 2/2 4/1 ", 0x14131211, "1/1=11 2/2=3322 4/1=44 "},
    {0, 0, 4, 8, "4/4 8/4 ", 0x1b1a191817161514, "4/4=44332211 8/4=88776655 "},
    {2, 4, 1, 2, "0/2 2/2 ", 0x1211, "0/2=1100 2/2=22 "},
    {0, 0, 0, 3, "0/2 2/1 ", 0x121110, "0/2=2211 2/1=33 "},
    {4, 4, 1, 3, "0/4 ", 0x131211, "0/4=33221100 "},
};

START_TEST(accesses_are_cut_to_the_sizes_that_callbacks_take)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) f = fake_new(0x10, 0x10, sizes[_i].min, sizes[_i].max);

    aspace_map(as, &f->io, 0x1000, 0);
    ck_assert_uint_eq(rd(as, 0x1000 + sizes[_i].addr, sizes[_i].size, true), sizes[_i].value);
    ck_assert_str_eq(f->calls->str, sizes[_i].reads);
    g_string_truncate(f->calls, 0);
    ck_assert(aspace_write(as, 0x1000 + sizes[_i].addr, 0x8877665544332211, sizes[_i].size));
    ck_assert_str_eq(f->calls->str, sizes[_i].writes);
}
END_TEST

START_TEST(missing_callbacks_read_as_ones_and_drop_writes)
{
    static const IoRegionOps none;
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    IoRegion r;

    io_region_init(&r, "none", &none, NULL, 8);
    aspace_map(as, &r, 0, 0);
    ck_assert_uint_eq(rd(as, 0, 2, true), 0xffff);
    ck_assert(aspace_write(as, 0, 1, 8));
    io_region_finish(&r);
}
END_TEST

/* --- callbacks that change the map --- */

static void hook_move(Fake *f)
{
    f->hook = NULL;
    aspace_map(f->as, &f->io, 0x2000, 0);
}

static void hook_replace(Fake *f)
{
    f->hook = NULL;
    aspace_unmap(&f->io);
    aspace_map(f->as, &f->other->io, 0x1000, 0);
}

static void hook_free(Fake *f)
{
    fake_free(f);
}

static void hook_nest(Fake *f)
{
    uint64_t value;

    f->hook = NULL;
    ck_assert(aspace_read(f->as, 0x1000, 4, &value)); /* itself again */
    ck_assert(aspace_write(f->as, 0x2000, value, 4));
}

START_TEST(a_region_may_move_in_its_own_callback)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) f = fake_new(0x10, 0x10, 4, 4);

    f->as = as;
    f->hook = hook_move;
    aspace_map(as, &f->io, 0x1000, 0);
    ck_assert(!aspace_write(as, 0x1000, 0x1111111122222222, 8)); /* the second half finds nothing */
    ck_assert_uint_eq(f->writes, 1);
    ck_assert_uint_eq(rd(as, 0x2000, 4, true), 0x13121110);
}
END_TEST

START_TEST(the_rest_of_an_access_sees_the_new_map)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) f = fake_new(0x10, 0x10, 4, 4);
    g_autoptr(Fake) other = fake_new(0x20, 0x10, 1, 2);

    f->as = as;
    f->other = other;
    f->hook = hook_replace;
    aspace_map(as, &f->io, 0x1000, 0);
    ck_assert_uint_eq(rd(as, 0x1000, 8, true), 0x2726252413121110);
}
END_TEST

START_TEST(a_region_may_be_freed_in_its_own_callback)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    Fake *f = fake_new(0x10, 0x10, 4, 4);

    f->hook = hook_free;
    aspace_map(as, &f->io, 0x1000, 0);
    if (_i) {
        ck_assert(!aspace_write(as, 0x1002, 0x11223344, 4));
    } else {
        ck_assert_uint_eq(rd(as, 0x1002, 4, false), 0xffff1312);
    }
    ck_assert_ptr_null(aspace_find(as, 0x1000));
}
END_TEST

START_TEST(dispatch_may_recurse)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    g_autoptr(Fake) f = fake_new(0x10, 0x10, 4, 4);
    g_autoptr(Fake) other = fake_new(0x20, 0x10, 4, 4);

    f->as = as;
    f->hook = hook_nest;
    aspace_map(as, &f->io, 0x1000, 0);
    aspace_map(as, &other->io, 0x2000, 0);
    ck_assert(aspace_write(as, 0x1000, 7, 4));
    ck_assert_uint_eq(other->value, 0x13121110);
}
END_TEST

START_TEST(a_region_finished_within_a_transaction_is_gone_at_once)
{
    g_autoptr(AddressSpace) as = aspace_new("test", 0);
    Fake *f = fake_new(0x10, 0x10, 0, 0);

    aspace_map(as, &f->io, 0, 0);
    aspace_begin(as);
    fake_free(f);
    ck_assert_uint_eq(rd(as, 0, 1, false), 0xff);
    aspace_commit(as);
}
END_TEST

/* --- doorbells --- */

typedef struct {
    AspaceListener listener;
    GString *log;  /* "+addr " and "-addr " */
    unsigned full; /* refuses everything from this many on; 0: never */
    unsigned present;
} FakeListener;

static bool fake_add(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    FakeListener *f = (FakeListener *)l;

    g_string_append_printf(f->log, "+%lx ", (unsigned long)addr);
    if (f->full && f->present >= f->full) {
        return false;
    }
    f->present++;
    return true;
}

static void fake_del(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    FakeListener *f = (FakeListener *)l;

    g_string_append_printf(f->log, "-%lx ", (unsigned long)addr);
    f->present--;
}

static void assert_log(FakeListener *f, const char *want)
{
    ck_assert_str_eq(f->log->str, want);
    g_string_truncate(f->log, 0);
}

typedef struct {
    AddressSpace *as;
    Fake *f;
    FakeListener l;
    int fd[2];
} Bells;

/* f is mapped at 0x1000 and has doorbells at 0x10 (2 bytes, any value) and at 0x20 (4 bytes, value
 * 5). */
static void bells_init(Bells *b)
{
    b->as = aspace_new("test", 0);
    b->f = fake_new(0x10, 0x100, 0, 4);
    b->l = (FakeListener){.listener = {fake_add, fake_del}, .log = g_string_new(NULL)};
    for (int i = 0; i < 2; i++) {
        b->fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    io_region_add_eventfd(&b->f->io, &(IoEventfd){.off = 0x10, .size = 2, .fd = b->fd[0]});
    aspace_map(b->as, &b->f->io, 0x1000, 0);
    io_region_add_eventfd(
        &b->f->io, &(IoEventfd){.off = 0x20, .size = 4, .match = true, .value = 5, .fd = b->fd[1]});
}

static void bells_finish(Bells *b)
{
    fake_free(b->f);
    aspace_free(b->as);
    g_string_free(b->l.log, TRUE);
    close(b->fd[0]);
    close(b->fd[1]);
}

static uint64_t rings(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static const struct {
    uint64_t addr, value;
    unsigned size;
    int bell; /* -1: the callback is called */
} hits[] = {
    {0x1010, 0, 2, 0},  {0x1010, 0xffff, 2, 0},      {0x1010, 0, 4, -1}, /* another size */
    {0x1010, 0, 1, -1}, {0x1011, 0, 2, -1},                              /* another place */
    {0x1020, 5, 4, 1},  {0x1020, 0x100000005, 4, 1}, /* what is above the size does not count */
    {0x1020, 6, 4, -1}, {0x1020, 5, 2, -1},
};

START_TEST(a_write_rings_a_doorbell_of_its_place_size_and_value)
{
    Bells b;

    bells_init(&b);
    ck_assert(aspace_write(b.as, hits[_i].addr, hits[_i].value, hits[_i].size));
    ck_assert_uint_eq(rings(b.fd[0]), hits[_i].bell == 0);
    ck_assert_uint_eq(rings(b.fd[1]), hits[_i].bell == 1);
    ck_assert_int_eq(b.f->writes > 0, hits[_i].bell < 0);
    bells_finish(&b);
}
END_TEST

START_TEST(a_doorbell_of_size_0_takes_any_size)
{
    Bells b;

    bells_init(&b);
    io_region_add_eventfd(&b.f->io, &(IoEventfd){.off = 0x40, .fd = b.fd[0]});
    for (unsigned size = 1; size <= 8; size *= 2) {
        ck_assert(aspace_write(b.as, 0x1040, 1, size));
    }
    ck_assert_uint_eq(rings(b.fd[0]), 4);
    bells_finish(&b);
}
END_TEST

START_TEST(a_removed_doorbell_is_silent)
{
    Bells b;

    bells_init(&b);
    io_region_del_eventfd(&b.f->io,
                          &(IoEventfd){.off = 0x10, .size = 2, .fd = b.fd[1]}); /* no such one */
    ck_assert(aspace_write(b.as, 0x1010, 0, 2));
    ck_assert_uint_eq(rings(b.fd[0]), 1);
    io_region_del_eventfd(&b.f->io, &(IoEventfd){.off = 0x10, .size = 2, .fd = b.fd[0]});
    ck_assert(aspace_write(b.as, 0x1010, 0, 2));
    ck_assert_uint_eq(rings(b.fd[0]), 0);
    ck_assert_uint_eq(b.f->writes, 1);
    bells_finish(&b);
}
END_TEST

START_TEST(the_listener_follows_the_region)
{
    Bells b;

    bells_init(&b);
    aspace_listen(b.as, &b.l.listener);
    assert_log(&b.l, "+1010 +1020 ");
    aspace_map(b.as, &b.f->io, 0x2000, 0);
    assert_log(&b.l, "-1020 -1010 +2010 +2020 ");
    aspace_map(b.as, &b.f->io, 0x2000, 0);
    assert_log(&b.l, "");
    aspace_unmap(&b.f->io);
    assert_log(&b.l, "-2020 -2010 ");
    aspace_map(b.as, &b.f->io, UINT64_MAX - 0x1f, 0); /* the second one is past the end */
    assert_log(&b.l, "+fffffffffffffff0 ");
    io_region_del_eventfd(&b.f->io, &(IoEventfd){.off = 0x10, .size = 2, .fd = b.fd[0]});
    assert_log(&b.l, "-fffffffffffffff0 ");
    aspace_map(b.as, &b.f->io, 0x1000, 0);
    assert_log(&b.l, "+1020 ");
    aspace_unlisten(b.as, &b.l.listener);
    assert_log(&b.l, "-1020 ");
    bells_finish(&b);
}
END_TEST

START_TEST(a_covered_doorbell_is_withdrawn_until_it_shows_again)
{
    g_autoptr(Fake) cover = fake_new(0x20, 1, 0, 0);
    Bells b;

    bells_init(&b);
    aspace_listen(b.as, &b.l.listener);
    assert_log(&b.l, "+1010 +1020 ");
    aspace_map(b.as, &cover->io, 0x1023, 1); /* its last byte */
    assert_log(&b.l, "-1020 ");
    ck_assert(aspace_write(b.as, 0x1020, 5, 4));
    ck_assert_uint_eq(rings(b.fd[1]), 0);
    aspace_map(b.as, &cover->io, 0x1024, 1);
    assert_log(&b.l, "+1020 ");
    aspace_set_ram_check(b.as, ram_below_64k, NULL);
    assert_log(&b.l, "-1010 -1020 ");
    ck_assert(!aspace_write(b.as, 0x1020, 5, 4));
    ck_assert_uint_eq(rings(b.fd[1]), 0);
    bells_finish(&b);
}
END_TEST

START_TEST(a_transaction_announces_only_the_difference)
{
    g_autoptr(Fake) other = fake_new(0x20, 0x1000, 0, 0);
    Bells b;

    bells_init(&b);
    aspace_listen(b.as, &b.l.listener);
    assert_log(&b.l, "+1010 +1020 ");
    aspace_begin(b.as);
    aspace_map(b.as, &other->io, 0x1000, 0); /* behind f: nothing to say */
    io_region_add_eventfd(&b.f->io, &(IoEventfd){.off = 0x30, .size = 2, .fd = b.fd[0]});
    assert_log(&b.l, "");
    /* A removal is not put off: the fd may be closed next. */
    io_region_del_eventfd(&b.f->io, &(IoEventfd){.off = 0x10, .size = 2, .fd = b.fd[0]});
    assert_log(&b.l, "-1010 ");
    aspace_commit(b.as);
    assert_log(&b.l, "+1030 ");
    bells_finish(&b);
}
END_TEST

START_TEST(a_doorbell_that_the_listener_refuses_still_rings)
{
    Bells b;

    bells_init(&b);
    b.l.full = 1;
    aspace_listen(b.as, &b.l.listener);
    assert_log(&b.l, "+1010 +1020 ");
    ck_assert(aspace_write(b.as, 0x1020, 5, 4));
    ck_assert_uint_eq(rings(b.fd[1]), 1);
    aspace_unmap(&b.f->io);
    assert_log(&b.l, "-1010 "); /* only what it took */
    bells_finish(&b);
}
END_TEST

START_TEST(freeing_the_space_withdraws_everything)
{
    Bells b;

    bells_init(&b);
    aspace_listen(b.as, &b.l.listener);
    aspace_free(b.as);
    ck_assert_uint_eq(b.l.present, 0);
    ck_assert_ptr_null(b.f->io.as);
    b.as = NULL;
    bells_finish(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("aspace");
    TCase *tc = tcase_create("aspace");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, where_nothing_is_reads_are_all_ones_and_writes_vanish);
    tcase_add_test(tc, an_access_is_split_at_the_edges);
    tcase_add_test(tc, the_higher_priority_is_seen_then_the_earlier);
    tcase_add_test(tc, a_move_counts_as_mapping_anew_and_no_move_changes_nothing);
    tcase_add_test(tc, a_region_past_the_end_is_cut_off);
    tcase_add_test(tc, ram_wins_over_a_region);
    tcase_add_test(tc, changes_between_begin_and_commit_show_at_the_last_commit);
    tcase_add_test(tc, many_regions_are_found_by_any_address);
    tcase_add_loop_test(tc, accesses_are_cut_to_the_sizes_that_callbacks_take, 0,
                        G_N_ELEMENTS(sizes));
    tcase_add_test(tc, missing_callbacks_read_as_ones_and_drop_writes);
    tcase_add_test(tc, a_region_may_move_in_its_own_callback);
    tcase_add_test(tc, the_rest_of_an_access_sees_the_new_map);
    tcase_add_loop_test(tc, a_region_may_be_freed_in_its_own_callback, 0, 2);
    tcase_add_test(tc, dispatch_may_recurse);
    tcase_add_test(tc, a_region_finished_within_a_transaction_is_gone_at_once);
    tcase_add_loop_test(tc, a_write_rings_a_doorbell_of_its_place_size_and_value, 0,
                        G_N_ELEMENTS(hits));
    tcase_add_test(tc, a_doorbell_of_size_0_takes_any_size);
    tcase_add_test(tc, a_removed_doorbell_is_silent);
    tcase_add_test(tc, the_listener_follows_the_region);
    tcase_add_test(tc, a_covered_doorbell_is_withdrawn_until_it_shows_again);
    tcase_add_test(tc, a_transaction_announces_only_the_difference);
    tcase_add_test(tc, a_doorbell_that_the_listener_refuses_still_rings);
    tcase_add_test(tc, freeing_the_space_withdraws_everything);
    return suite_run(s);
}
