/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about character streams.
 */
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

#define GENERIC "GenericError"

/* The server's own socket is not in this VM's tree: the list holds what is made here. */
static Chardev *make_ring(void)
{
    json_t *opts = json_pack("{s:s, s:s, s:s}", "backend", "ringbuf", "id", "r0", "size", "8");
    Chardev *c = chardev_new_from_keyvals(vm.m->platform.loop, opts, NULL);

    ck_assert_ptr_nonnull(c);
    ck_assert(
        object_add_child(object_container(vm.m->platform.root, "chardevs"), "r0", OBJECT(c), NULL));
    json_decref(opts);
    return c;
}

START_TEST(streams_are_listed)
{
    make_ring();
    expect_return(client, "{'execute':'query-chardev'}",
                  "[{'frontend-open':false,'label':'r0','filename':'ringbuf'}]");
}
END_TEST

START_TEST(a_ring_buffer_is_read_once)
{
    Chardev *c = make_ring();

    chardev_write(c, "abc\xff", 4);
    expect_return(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':2}}",
                  "'ab'");
    expect_return(
        client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9,'format':'base64'}}",
        "'Y/8='");
    chardev_write(c, "\xff", 1);
    expect_return(client,
                  "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9,'format':'utf8'}}",
                  "'\xef\xbf\xbd'");
    expect_return(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9}}", "''");
}
END_TEST

START_TEST(bad_reads_get_qemus_errors)
{
    make_ring();
    expect_error(client, "{'execute':'ringbuf-read','arguments':{'device':'x','size':1}}", GENERIC,
                 "Device 'x' not found");
    expect_error(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':0}}", GENERIC,
                 "size must be greater than zero");
    expect_error(client,
                 "{'execute':'ringbuf-read','arguments':{'device':'r0','size':1,'format':'x'}}",
                 GENERIC, "Parameter 'format' does not accept value 'x'");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-chardev");
    TCase *tc = tcase_create("streams");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, streams_are_listed);
    tcase_add_test(tc, a_ring_buffer_is_read_once);
    tcase_add_test(tc, bad_reads_get_qemus_errors);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
