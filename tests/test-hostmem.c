/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory backends: what -object memory-backend-* takes and refuses, what goes back to the host from
 * each kind of memory, and given pages on it.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/hostmem.h"
#include "backends/user-creatable.h"
#include "core/given.h"
#include "qom/property.h"
#include "tests/suite.h"

enum { PAGE = 4096, MIB = 1 << 20, SIZE = 4 * MIB };

static Object *root;
static char *dir;

static void setup(void)
{
    static const TypeInfo *const types[] = {&memory_backend_ram_type, &memory_backend_memfd_type,
                                            &memory_backend_file_type, NULL};

    type_register_list(types);
    root = object_new(&container_type);
    dir = g_dir_make_tmp("hostmem-XXXXXX", NULL);
}

static void teardown(void)
{
    g_autofree char *path = g_build_filename(dir, "ram", NULL);

    object_unref(root);
    unlink(path);
    g_rmdir(dir);
    g_free(dir);
}

/* props: "name=value,..." with %s for the directory. */
static HostMem *make(const char *type, const char *props, GError **err)
{
    g_auto(GStrv) items = g_strsplit(props, ";", -1);
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", type, "id", "m0");
    Object *obj;

    for (unsigned i = 0; items[i]; i++) {
        g_auto(GStrv) pair = g_strsplit(items[i], "=", 2);
        g_auto(GStrv) parts = g_strsplit(pair[1], "%s", 2);
        g_autofree char *value = g_strjoinv(dir, parts);

        json_object_set_new(opts, pair[0], json_string(value));
    }
    obj = user_creatable_add(root, opts, err);
    json_decref(opts);
    return obj ? MEMORY_BACKEND(obj) : NULL;
}

static const struct {
    const char *type, *props, *error;
} refusals[] = {
    {"memory-backend-ram", "share=on", "size is missing"},
    {"memory-backend-ram", "size=4M;hugetlb=on", "hugetlb"},
    {"memory-backend-ram", "size=4097", "multiples of the page size"},
    {"memory-backend-ram", "size=4M;policy=bind", "needs host-nodes"},
    {"memory-backend-ram", "size=4M;host-nodes=0", "policy other than default"},
    {"memory-backend-ram", "size=4M;host-nodes=3-1;policy=bind", "host nodes are 0 to"},
    {"memory-backend-ram", "size=4M;host-nodes=1023;policy=bind", "this host cannot serve"},
    {"memory-backend-ram", "size=4M;prealloc=on;reserve=off", "exclude each other"},
    {"memory-backend-ram", "size=1E", "cannot"},
    {"memory-backend-memfd", "size=3M;hugetlb=on;hugetlbsize=2M", "multiple of the huge page"},
    {"memory-backend-memfd", "size=4M;hugetlbsize=2M", "needs hugetlb=on"},
    {"memory-backend-memfd", "size=12M;hugetlb=on;hugetlbsize=3M", "power of 2"},
    {"memory-backend-ram", "size=4M;prealloc-threads=0", "out of range"},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;pmem=on",
     "persistent memory is not supported"},
    {"memory-backend-file", "size=4M", "mem-path is missing"},
    {"memory-backend-file", "size=4M;mem-path=%s/no/ram", "cannot open"},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;readonly=on", "cannot open"},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;readonly=on;share=on", "exclude each other"},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;offset=5", "multiples of the page size"},
};

START_TEST(a_backend_that_cannot_be_is_refused_in_one_line)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(make(refusals[_i].type, refusals[_i].props, &err));
    ck_assert_ptr_nonnull(strstr(err->message, refusals[_i].error));
    ck_assert_ptr_null(strchr(err->message, '\n'));
    ck_assert_ptr_null(object_child(object_container(root, "objects"), "m0"));
}
END_TEST

START_TEST(a_short_file_is_refused)
{
    g_autofree char *path = g_build_filename(dir, "ram", NULL);
    g_autoptr(GError) err = NULL;

    ck_assert(g_file_set_contents(path, "short", -1, NULL));
    ck_assert_ptr_null(make("memory-backend-file", "size=4M;mem-path=%s/ram;share=on", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "has 5 bytes, and 4194304 are wanted"));
}
END_TEST

static const struct {
    const char *type, *props;
    bool file;   /* on a disk: its file system may keep zeroed pages in its cache */
    bool refuse; /* cannot be given back */
} kinds[] = {
    {"memory-backend-ram", "size=4M", false, false},
    {"memory-backend-ram", "size=4M;share=on", false, false},
    {"memory-backend-ram", "size=4M;prealloc=on;merge=on;dump=on", false, false},
    {"memory-backend-ram", "size=4M;host-nodes=0;policy=preferred", false, false},
    {"memory-backend-ram", "size=4M;host-nodes=0;policy=bind", false, false},
    {"memory-backend-ram", "size=4M;host-nodes=0;policy=interleave;share=on", false, false},
    {"memory-backend-ram", "size=4M;reserve=off", false, false},
    {"memory-backend-memfd", "size=4M", false, false},
    {"memory-backend-memfd", "size=4M;share=off", false, false},
    {"memory-backend-memfd", "size=4M;seal=off;prealloc=on", false, false},
    {"memory-backend-ram", "size=4M;prealloc=on;prealloc-threads=3", false, false},
    {"memory-backend-ram", "size=4M;prealloc=on;prealloc-threads=2", false, false},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;share=on", true, false},
    {"memory-backend-file", "size=4M;mem-path=%s/ram;share=on;offset=1M", true, false},
    {"memory-backend-file", "size=4M;mem-path=%s;share=on", true, false},
    {"memory-backend-file", "size=4M;mem-path=%s/ram", false, true},
};

static uint64_t resident(GuestMemory *mem)
{
    return gmem_resident(mem);
}

START_TEST(memory_of_each_kind_goes_back_or_says_that_it_cannot)
{
    HostMem *b = make(kinds[_i].type, kinds[_i].props, NULL);
    g_autoptr(GuestMemory) mem = gmem_new();
    bool refuse = kinds[_i].refuse;
    uint64_t word;

    ck_assert_ptr_nonnull(b);
    ck_assert(gmem_add_block(mem, GPA(0), memory_backend_take(b, NULL), 0, SIZE, NULL));
    ck_assert_uint_eq(resident(mem), strstr(kinds[_i].props, "prealloc") ? SIZE : 0);
    ck_assert(gmem_set(mem, GPA(0), 0xaa, SIZE));
    ck_assert_uint_eq(gmem_discard(mem, GPA(MIB), 2 * MIB, NULL), refuse ? 0 : 2 * MIB);
    if (!kinds[_i].file) {
        ck_assert_uint_eq(resident(mem), refuse ? SIZE : SIZE - 2 * MIB);
    }
    ck_assert(gmem_read(mem, GPA(2 * MIB), &word, sizeof word));
    ck_assert_uint_eq(word, refuse ? 0xaaaaaaaaaaaaaaaaULL : 0);
    ck_assert(gmem_read(mem, GPA(MIB - 8), &word, sizeof word));
    ck_assert_uint_eq(word, 0xaaaaaaaaaaaaaaaaULL);
}
END_TEST

START_TEST(a_file_with_a_name_keeps_what_the_guest_wrote)
{
    HostMem *b = make("memory-backend-file", "size=4M;mem-path=%s/ram;share=on;offset=1M", NULL);
    g_autofree char *path = g_build_filename(dir, "ram", NULL), *bytes = NULL;
    GuestMemory *mem = gmem_new();
    gsize len;

    ck_assert(gmem_add_block_split(mem, memory_backend_take(b, NULL), 2 * MIB, GPA(1ULL << 32),
                                   2 * MIB, NULL));
    ck_assert(gmem_write(mem, GPA((1ULL << 32) + PAGE), "written", 7));
    gmem_free(mem);
    ck_assert(g_file_get_contents(path, &bytes, &len, NULL));
    ck_assert_uint_eq(len, 5 * MIB);
    ck_assert(!memcmp(bytes + 3 * MIB + PAGE, "written", 7));
}
END_TEST

START_TEST(a_backend_is_taken_once)
{
    HostMem *b = make("memory-backend-ram", "size=4M", NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_nonnull(memory_backend_take(b, NULL));
    ck_assert_ptr_null(memory_backend_take(b, &err));
    ck_assert_ptr_nonnull(strstr(err->message, "in use already"));
    ck_assert_uint_eq(memory_backend_size(b), SIZE);
}
END_TEST

/* --- given pages --- */

static void give(GivenPages *g, uint32_t first, unsigned n)
{
    uint32_t pfns[GIVEN_SORT_MAX];

    for (unsigned i = 0; i < n; i++) {
        pfns[i] = first + n - 1 - i;
    }
    given_sort(pfns, n);
    given_inflate(g, pfns, n);
}

START_TEST(given_memory_of_each_kind_is_released_or_held_back)
{
    HostMem *b = make(kinds[_i].type, kinds[_i].props, NULL);
    g_autoptr(GuestMemory) mem = gmem_new();
    GivenPages *g = given_new(mem, GIVEN_AUTO, false);
    const GivenLedger *l = given_ledger(g);

    ck_assert(gmem_add_block(mem, GPA(0), memory_backend_take(b, NULL), 0, SIZE, NULL));
    ck_assert(gmem_set(mem, GPA(0), 0xaa, SIZE));
    given_set_told(g, true);
    give(g, 0, 512);
    ck_assert_uint_eq(l->given, 2 * MIB);
    ck_assert_uint_eq(l->released, kinds[_i].refuse ? 0 : 2 * MIB);
    ck_assert_uint_eq(l->refused, kinds[_i].refuse ? 2 * MIB : 0);
    ck_assert_uint_eq(l->held_back, l->given - l->released);
    ck_assert(kinds[_i].file || given_faulted_again(g) == 0);
    ck_assert(gmem_set(mem, GPA(PAGE), 1, 1));
    ck_assert_uint_ge(given_faulted_again(g), kinds[_i].refuse ? 0 : PAGE);
    given_free(g);
}
END_TEST

/* The host's own pages of 2 MiB, where it has set some aside. */
START_TEST(huge_pages_go_whole_or_not_at_all)
{
    g_autoptr(GError) err = NULL;
    HostMem *b = make("memory-backend-memfd", "size=4M;hugetlb=on;hugetlbsize=2M", &err);
    g_autoptr(GuestMemory) mem = gmem_new();
    GivenPages *g;

    if (!b) {
        ck_assert_ptr_nonnull(strstr(err->message, "huge pages"));
        return; /* the host has none: the error says so */
    }
    g = given_new(mem, GIVEN_4K, false);
    ck_assert(gmem_add_block(mem, GPA(0), memory_backend_take(b, NULL), 0, SIZE, NULL));
    ck_assert_uint_eq(gmem_region(mem, 0)->page_size, 2 * MIB);
    ck_assert(gmem_set(mem, GPA(0), 0xaa, SIZE));
    given_set_told(g, true);
    give(g, 0, 500);
    ck_assert_uint_eq(given_ledger(g)->released, 0);
    ck_assert(!given_settle(g, 100));
    ck_assert_uint_eq(resident(mem), SIZE);
    give(g, 500, 12);
    ck_assert_uint_eq(given_ledger(g)->released, 2 * MIB);
    ck_assert_uint_eq(resident(mem), SIZE - 2 * MIB);
    given_free(g);
}
END_TEST

START_TEST(given_pages_survive_a_change_of_the_regions)
{
    g_autoptr(GuestMemory) mem = gmem_new();
    GivenPages *g = given_new(mem, GIVEN_4K, false);
    const GivenLedger *l = given_ledger(g);

    ck_assert(gmem_add(mem, GPA(16 * MIB), MIB, GMEM_ANONYMOUS, NULL));
    ck_assert(gmem_add(mem, GPA(32 * MIB), MIB, GMEM_MEMFD, NULL));
    given_set_told(g, true);
    give(g, 16 * MIB / PAGE, 10);
    give(g, 32 * MIB / PAGE, 20);
    ck_assert(gmem_add(mem, GPA(0), MIB, GMEM_ANONYMOUS, NULL));
    give(g, 16 * MIB / PAGE + 5, 10);
    ck_assert_uint_eq(l->repeated, 5 * PAGE);
    ck_assert_uint_eq(l->given, 35 * PAGE);
    ck_assert(gmem_remove(mem, GPA(32 * MIB), NULL));
    give(g, 32 * MIB / PAGE, 1);
    ck_assert_uint_eq(l->inflate_outside, PAGE);
    ck_assert_uint_eq(l->given, 15 * PAGE);
    ck_assert_uint_eq(l->forgotten, 20 * PAGE);
    ck_assert_uint_eq(l->inflated, l->deflated + l->forgotten + l->given);
    given_free(g);
}
END_TEST

/* Against one flag per page, with regions that begin anywhere in a unit. */
START_TEST(bitmaps_agree_with_a_simple_model)
{
    enum { PAGES = 2048, FIRST = 100 };
    static const GivenGranule granules[] = {GIVEN_AUTO, GIVEN_4K, GIVEN_2M};
    g_autoptr(GuestMemory) mem = gmem_new();
    GmemBlockSpec spec = {.size = PAGES * PAGE};
    g_autoptr(GmemBlock) b = gmem_block_new(&spec, NULL);
    GivenPages *g = given_new(mem, granules[_i], false);
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32)_i + 7);
    bool model[PAGES] = {false};
    unsigned wrong = 0;

    ck_assert(
        gmem_add_block(mem, GPA(FIRST * PAGE), b, FIRST * PAGE, (PAGES - 2 * FIRST) * PAGE, NULL));
    given_set_told(g, true);
    for (unsigned n = 0; n < 2000; n++) {
        uint32_t pfns[GIVEN_SORT_MAX], count = 0, first = g_rand_int(r) % PAGES;
        unsigned len = 1 + g_rand_int(r) % 700;
        bool in = g_rand_int(r) % 3;
        uint64_t given = 0;

        for (unsigned i = first; i < MIN(first + len, PAGES); i++) {
            pfns[count++] = i;
            model[i] = in && i >= FIRST && i < PAGES - FIRST;
        }
        (in ? given_inflate : given_deflate)(g, pfns, count);
        if (n % 5 == 0) {
            given_settle(g, 300);
        }
        for (unsigned i = 0; i < PAGES; i++) {
            given += model[i] * (uint64_t)PAGE;
        }
        wrong += given_ledger(g)->given != given ||
                 given != given_ledger(g)->released + given_ledger(g)->held_back ||
                 (granules[_i] == GIVEN_4K && given_ledger(g)->held_back != 0);
    }
    ck_assert_uint_eq(wrong, 0);
    given_free(g);
}
END_TEST

START_TEST(sorting_sorts)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(3);
    unsigned wrong = 0;

    for (unsigned n = 0; n < 300; n++) {
        uint32_t pfns[GIVEN_SORT_MAX];
        unsigned count = g_rand_int(r) % (GIVEN_SORT_MAX + 1);
        uint64_t before = 0, after = 0;

        for (unsigned i = 0; i < count; i++) {
            pfns[i] = n % 3 == 0 ? i : n % 3 == 1 ? 5000 - i : g_rand_int(r) >> (n % 31);
            before += pfns[i];
        }
        given_sort(pfns, count);
        for (unsigned i = 0; i < count; i++) {
            after += pfns[i];
            wrong += i > 0 && pfns[i] < pfns[i - 1];
        }
        wrong += before != after;
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(pins_count)
{
    g_autoptr(GuestMemory) mem = gmem_new();

    gmem_pin(mem, GPA(0x1800), 0x1000);
    gmem_pin(mem, GPA(0x1800), 0x1000);
    ck_assert(!gmem_pinned(mem, GPA(0), 0x1800));
    ck_assert(gmem_pinned(mem, GPA(0), 0x1801));
    ck_assert(gmem_pinned(mem, GPA(0x27ff), 1));
    ck_assert(!gmem_pinned(mem, GPA(0x2800), 0x1000));
    gmem_unpin(mem, GPA(0x1800), 0x1000);
    ck_assert(gmem_pinned(mem, GPA(0x2000), 1));
    gmem_unpin(mem, GPA(0x1800), 0x1000);
    ck_assert(!gmem_pinned(mem, GPA(0), UINT64_MAX));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("hostmem");
    TCase *tc = tcase_create("backends"), *given = tcase_create("given");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_backend_that_cannot_be_is_refused_in_one_line, 0,
                        (int)G_N_ELEMENTS(refusals));
    tcase_add_test(tc, a_short_file_is_refused);
    tcase_add_loop_test(tc, memory_of_each_kind_goes_back_or_says_that_it_cannot, 0,
                        (int)G_N_ELEMENTS(kinds));
    tcase_add_test(tc, a_file_with_a_name_keeps_what_the_guest_wrote);
    tcase_add_test(tc, a_backend_is_taken_once);
    tcase_add_loop_test(tc, given_memory_of_each_kind_is_released_or_held_back, 0,
                        (int)G_N_ELEMENTS(kinds));
    tcase_add_test(tc, huge_pages_go_whole_or_not_at_all);
    suite_add_tcase(s, tc);
    tcase_add_test(given, given_pages_survive_a_change_of_the_regions);
    tcase_add_loop_test(given, bitmaps_agree_with_a_simple_model, 0, 3);
    tcase_add_test(given, sorting_sorts);
    tcase_add_test(given, pins_count);
    suite_add_tcase(s, given);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
