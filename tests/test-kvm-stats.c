/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's statistics files, from files made here: every kind of entry, and files that make no sense.
 */
#include "vmm/accel/kvm-stats.h"

#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/suite.h"

/* As Linux' API has them. */
typedef struct {
    uint32_t flags, name_size, num_desc, id_offset, desc_offset, data_offset;
} Header;

enum { NAME_SIZE = 48 };

typedef struct {
    uint32_t flags;
    int16_t exponent;
    uint16_t size;
    uint32_t offset, bucket_size;
    char name[NAME_SIZE];
} Desc;

enum {
    CUMULATIVE = 0,
    INSTANT = 1,
    PEAK = 2,
    LINEAR = 3,
    LOG = 4,
    TYPE_UNKNOWN = 5,
    BYTES = 1 << 4,
    SECONDS = 2 << 4,
    CYCLES = 3 << 4,
    BOOLEAN = 4 << 4,
    UNIT_UNKNOWN = 5 << 4,
    POW2 = 1 << 8,
    BASE_UNKNOWN = 2 << 8,
};

static const Desc descs[] = {
    {CUMULATIVE, 0, 1, 0, 0, "exits"},
    {INSTANT | BOOLEAN, 0, 1, 8, 0, "guest_mode"},
    {PEAK | BYTES | POW2, 20, 1, 16, 0, "largest"},
    {LOG | SECONDS, -9, 3, 24, 0, "wait_hist"},
    {LINEAR, 0, 2, 48, 50, "steps"},
    {TYPE_UNKNOWN, 0, 1, 0, 0, "newer"},
    {CUMULATIVE | UNIT_UNKNOWN, 0, 1, 0, 0, "newer_unit"},
    {CUMULATIVE | BASE_UNKNOWN, 0, 1, 0, 0, "newer_base"},
    {CUMULATIVE | CYCLES, 0, 1, 8, 0, "cycles"},
};
static const uint64_t data[] = {1234, 1, 7, 10, 20, 30, 5, 6};

static int fd = -1;
static Header header;

static void put(const void *bytes, size_t len, off_t at)
{
    ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
}

/* With an id, as the kernel has it, between header and descriptors. */
static void setup(void)
{
    fd = memfd_create("stats", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    header = (Header){.name_size = NAME_SIZE,
                      .num_desc = G_N_ELEMENTS(descs),
                      .id_offset = sizeof(Header),
                      .desc_offset = sizeof(Header) + NAME_SIZE,
                      .data_offset = sizeof(Header) + NAME_SIZE + sizeof descs};
    put(&header, sizeof header, 0);
    put("kvm-1/vcpu-0", sizeof "kvm-1/vcpu-0", header.id_offset);
    put(descs, sizeof descs, header.desc_offset);
    put(data, sizeof data, header.data_offset);
}

static void teardown(void)
{
    close(fd);
}

static void expect(bool schemas, const char *want)
{
    g_autoptr(GError) err = NULL;
    json_t *got = kvm_stats_read(fd, schemas, &err), *wanted;
    g_autofree char *text = g_strdelimit(g_strdup(want), "'", '"');
    char *shown = json_dumps(got, 0);

    wanted = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(wanted);
    ck_assert_msg(json_equal(got, wanted), "got %s, %s", shown, err ? err->message : "");
    free(shown);
    json_decref(got);
    json_decref(wanted);
}

static void expect_error(const char *want)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(kvm_stats_read(fd, false, &err));
    ck_assert_str_eq(err->message, want);
}

START_TEST(values_are_numbers_booleans_and_lists)
{
    expect(false, "[{'name':'exits','value':1234},{'name':'guest_mode','value':true},"
                  "{'name':'largest','value':7},{'name':'wait_hist','value':[10,20,30]},"
                  "{'name':'steps','value':[5,6]},{'name':'cycles','value':1}]");
}
END_TEST

START_TEST(schemas_have_types_and_units)
{
    expect(true,
           "[{'name':'exits','type':'cumulative','exponent':0},"
           "{'name':'guest_mode','type':'instant','exponent':0,'unit':'boolean'},"
           "{'name':'largest','type':'peak','exponent':20,'base':2,'unit':'bytes'},"
           "{'name':'wait_hist','type':'log2-histogram','exponent':-9,'base':10,'unit':'seconds'},"
           "{'name':'steps','type':'linear-histogram','exponent':0,'bucket-size':50},"
           "{'name':'cycles','type':'cumulative','exponent':0,'unit':'cycles'}]");
}
END_TEST

START_TEST(a_name_without_end_is_cut)
{
    char name[NAME_SIZE];

    memset(name, 'x', sizeof name);
    put(name, sizeof name, header.desc_offset + (off_t)offsetof(Desc, name));
    header.num_desc = 1;
    put(&header, sizeof header, 0);
    expect(false, "[{'name':'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx','value':1234}]");
}
END_TEST

START_TEST(files_that_end_early_are_errors)
{
    static const char want[] = "KVM's statistics are shorter than they say";

    ck_assert_int_eq(ftruncate(fd, header.data_offset + 8), 0);
    expect_error(want);
    ck_assert_int_eq(ftruncate(fd, header.desc_offset + 8), 0);
    expect_error(want);
    ck_assert_int_eq(ftruncate(fd, 8), 0);
    expect_error(want);
}
END_TEST

START_TEST(sizes_that_make_no_sense_are_errors)
{
    Desc desc = descs[0];

    header.num_desc = 1u << 31;
    put(&header, sizeof header, 0);
    expect_error("KVM's statistics have 2147483648 entries with names of 48 bytes");
    header.num_desc = 1;
    header.name_size = 0;
    put(&header, sizeof header, 0);
    expect_error("KVM's statistics have 1 entries with names of 0 bytes");
    header.name_size = NAME_SIZE;
    put(&header, sizeof header, 0);
    desc.size = 0;
    put(&desc, sizeof desc, header.desc_offset);
    expect_error("KVM's statistics have an entry of 0 values");
    desc.size = 65535;
    put(&desc, sizeof desc, header.desc_offset);
    expect_error("KVM's statistics have an entry of 65535 values");
    desc = descs[0];
    desc.offset = UINT32_MAX;
    put(&desc, sizeof desc, header.desc_offset);
    expect_error("KVM's statistics are shorter than they say");
}
END_TEST

START_TEST(what_cannot_be_read_is_an_error)
{
    int pipes[2];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    close(fd);
    fd = pipes[0];
    expect_error("KVM's statistics: Illegal seek");
    close(pipes[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kvm-stats");
    TCase *tc = tcase_create("files");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, values_are_numbers_booleans_and_lists);
    tcase_add_test(tc, schemas_have_types_and_units);
    tcase_add_test(tc, a_name_without_end_is_cut);
    tcase_add_test(tc, files_that_end_early_are_errors);
    tcase_add_test(tc, sizes_that_make_no_sense_are_errors);
    tcase_add_test(tc, what_cannot_be_read_is_an_error);
    return suite_run(s);
}
