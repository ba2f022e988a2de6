/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QMP server as a client sees it: greeting, negotiation, requests good and bad in every shape
 * of packet, and clients that come, go, or do not read. Commands, events and random input are in
 * test-qmp-commands.c, test-qmp-events.c and test-qmp-random.c.
 */
#include <string.h>
#include <sys/socket.h>

#include "tests/qmp-fixture.h"
#include "vmm/monitor/qmp-stream.h"
#include "tests/suite.h"

#define GENERIC   "GenericError"
#define NOT_FOUND "CommandNotFound"
#define TOO_LARGE "JSON parse error, request is larger than 1 MiB"
#define TOO_DEEP  "JSON nesting depth limit exceeded"

static const char status[] = "{'running':true,'singlestep':false,'status':'running'}";

/* --- greeting and negotiation --- */

static QmpClient *fresh_client(void)
{
    QmpClient *c;

    client_free(client);
    client = NULL;
    c = client_new();
    json_decref(client_next(c));
    return c;
}

START_TEST(greeting_has_qemus_shape)
{
    client_free(client);
    client = client_new();
    expect_json(client_next(client),
                "{'QMP':{'version':{'qemu':{'micro':0,'minor':2,'major':7},"
                "'package':'aerostat-" AEROSTAT_VERSION "'},'capabilities':[]}}");
    expect_nothing(client);
}
END_TEST

START_TEST(commands_before_negotiation_are_refused)
{
    client = fresh_client();
    expect_error(client, "{'execute':'query-status'}", NOT_FOUND,
                 "Expecting capabilities negotiation with 'qmp_capabilities'");
    expect_error(client, "{'execute':'nope'}", NOT_FOUND,
                 "Expecting capabilities negotiation with 'qmp_capabilities'");
    expect_error(client, "{'execute':5}", GENERIC, "QMP input member 'execute' must be a string");
    expect_return(client, "{'execute':'qmp_capabilities'}", "{}");
    expect_return(client, "{'execute':'query-status'}", status);
}
END_TEST

static const char *const bad_negotiations[][2] = {
    {"{'enable':['oob']}", "Capability 'oob' is not available"},
    {"{'enable':['\xc3\xa9']}", "Capability '\xc3\xa9' is not available"},
    {"{'enable':[5]}", "Invalid parameter type for 'enable[0]', expected: string"},
    {"{'enable':'oob'}", "Invalid parameter type for 'enable', expected: array"},
    {"{'enable':null}", "Invalid parameter type for 'enable', expected: array"},
    {"{'foo':1}", "Parameter 'foo' is unexpected"},
    {"[]", "QMP input member 'arguments' must be an object"},
};

START_TEST(negotiation_checks_its_arguments)
{
    g_autofree char *request =
        g_strdup_printf("{'execute':'qmp_capabilities','arguments':%s}", bad_negotiations[_i][0]);

    client = fresh_client();
    expect_error(client, request, GENERIC, bad_negotiations[_i][1]);
    expect_error(client, "{'execute':'query-status'}", NOT_FOUND,
                 "Expecting capabilities negotiation with 'qmp_capabilities'");
    expect_return(client, "{'execute':'qmp_capabilities','arguments':{'enable':[]}}", "{}");
    expect_alive(client);
}
END_TEST

START_TEST(negotiation_is_done_once)
{
    expect_error(client, "{'execute':'qmp_capabilities'}", NOT_FOUND,
                 "Capabilities negotiation is already complete, command ignored");
    expect_alive(client);
}
END_TEST

/* --- requests --- */

static const char *const ids[] = {
    "1",
    "-5",
    "2.5",
    "'text'",
    "''",
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[1,[2,{'a':null}]]",
    "{'a':{'b':[1,2.5,null,true,'x']}}",
    "9223372036854775807",
    "'\\u00e9\\n\\\"'",
};

START_TEST(id_of_every_type_comes_back)
{
    g_autofree char *good = g_strdup_printf("{'execute':'query-name','id':%s}", ids[_i]);
    g_autofree char *bad = g_strdup_printf("{'id':%s,'execute':'nope'}", ids[_i]);
    g_autofree char *shapeless = g_strdup_printf("{'id':%s}", ids[_i]);
    const char *const requests[] = {good, bad, shapeless};

    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        json_t *answer = client_ask(client, requests[i]);

        expect_json(json_incref(json_object_get(answer, "id")), ids[_i]);
        ck_assert_uint_eq(json_object_size(answer), 2);
        json_decref(answer);
    }
}
END_TEST

START_TEST(answer_without_id_has_none)
{
    expect_json(client_ask(client, "{'execute':'query-name'}"), "{'return':{}}");
}
END_TEST

static const char *const shapeless[][2] = {
    {"[]", "QMP input must be a JSON object"},
    {"'abc'", "QMP input must be a JSON object"},
    {"5\n", "QMP input must be a JSON object"},
    {"true ", "QMP input must be a JSON object"},
    {"{}", "QMP input lacks member 'execute'"},
    {"{'arguments':{}}", "QMP input lacks member 'execute'"},
    {"{'execute':null}", "QMP input member 'execute' must be a string"},
    {"{'execute':['query-status']}", "QMP input member 'execute' must be a string"},
    {"{'execute':'query-status','arguments':5}", "QMP input member 'arguments' must be an object"},
    {"{'execute':'query-status','arguments':null}",
     "QMP input member 'arguments' must be an object"},
    {"{'execute':'query-status','foo':5}", "QMP input member 'foo' is unexpected"},
    {"{'exec-oob':'query-status'}", "QMP input member 'exec-oob' is unexpected"},
    {"{'execute':'query-status','exec-oob':'query-status'}",
     "QMP input member 'exec-oob' is unexpected"},
    {"{'execute':'query-status','control':{'run-oob':true}}",
     "QMP input member 'control' is unexpected"},
};

START_TEST(request_of_a_wrong_shape_gets_an_error)
{
    expect_error(client, shapeless[_i][0], GENERIC, shapeless[_i][1]);
    expect_alive(client);
}
END_TEST

START_TEST(unknown_command_has_its_own_class)
{
    expect_error(client, "{'execute':'nope'}", NOT_FOUND, "The command nope has not been found");
    expect_error(client, "{'execute':''}", NOT_FOUND, "The command  has not been found");
    expect_error(client, "{'execute':'nope','arguments':{'a':1}}", NOT_FOUND,
                 "The command nope has not been found");
}
END_TEST

/* Each gets exactly one error, at once, and leaves nothing behind. */
static const char *const malformed[] = {
    "]",
    "}",
    ",",
    ":",
    "{]",
    "[}",
    "{,}",
    "{'execute':'query-status',}",
    "{'execute' 'query-status'}",
    "{'execute':}",
    "{execute:'query-status'}",
    "foo\n",
    "{'a':1,'a':2}",
    "{'execute':'\\ud800'}",
    "{'execute':'\\u0000'}",
    "{'execute':'\\x'}",
    "[1 2]",
    "[1,]",
    "-\n",
    "{'execute':'query-\xc0\xaf'}",
    "{'\xff",
    "{'\xfe",
    "{'execute':'\xed\xa0\x80'}",
    "{'a':1e999}",
    "{'a':99999999999999999999}",
    "{'execute':'query-st\n",
    "{'execute':\x01",
    "{'a':'\x7f\xf5'}",
    "nul]\n",
};

START_TEST(malformed_request_gets_one_error)
{
    g_autofree char *text = g_strdelimit(g_strdup(malformed[_i]), "'", '"');
    json_t *answer;

    client_say(client, text);
    answer = client_answer(client);
    ck_assert_ptr_nonnull(json_object_get(answer, "error"));
    json_decref(answer);
    expect_nothing(client);
    expect_alive(client);
}
END_TEST

START_TEST(strings_may_stand_between_apostrophes)
{
    json_t *answer;

    client_say(client, "{'execute': 'query-name', \"id\": '\"{\\''}");
    answer = client_answer(client);
    ck_assert_str_eq(json_string_value(json_object_get(answer, "id")), "\"{'");
    ck_assert_ptr_nonnull(json_object_get(answer, "return"));
    json_decref(answer);
    expect_nothing(client);
    client_say(client, "{'id': '\n"); /* a newline in a string ends it */
    answer = client_answer(client);
    ck_assert_ptr_nonnull(json_object_get(answer, "error"));
    json_decref(answer);
    expect_alive(client);
}
END_TEST

START_TEST(percent_is_an_error_at_once)
{
    static const char *const texts[] = {"%p", "{\"execute\": %s, [}", "12%"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_t *answer;

        client_say(client, texts[i]);
        answer = client_answer(client);
        expect_json(json_incref(json_object_get(json_object_get(answer, "error"), "desc")),
                    "'JSON parse error, stray byte 0x25'");
        json_decref(answer);
        if (i == 1) {
            client_say(client, "\xff");
            while ((answer = client_answer(client))) {
                json_decref(answer);
            }
        }
        expect_alive(client);
    }
}
END_TEST

START_TEST(stray_brackets_do_not_swallow_what_follows)
{
    client_say(client, "]]}{\"execute\":\"query-name\",\"id\":1}]");
    for (unsigned i = 0; i < 5; i++) {
        json_t *answer = client_answer(client);

        ck_assert_ptr_nonnull(json_object_get(answer, i == 3 ? "return" : "error"));
        json_decref(answer);
    }
    expect_nothing(client);
}
END_TEST

START_TEST(words_outside_of_brackets_are_values_of_their_own)
{
    client_say(client, "foo 5 \"x\"true{\"execute\":\"query-name\"}nil[]");
    for (unsigned i = 0; i < 7; i++) {
        json_t *answer = client_answer(client);

        ck_assert_ptr_nonnull(json_object_get(answer, i == 4 ? "return" : "error"));
        json_decref(answer);
    }
    expect_nothing(client);
}
END_TEST

START_TEST(requests_in_one_packet_are_answered_in_order)
{
    client_say(client,
               "{\"execute\":\"query-name\",\"id\":1}{\"execute\":\"query-name\",\"id\":2}\n"
               "{\"execute\":\"nope\",\"id\":3} {\"execute\":\"query-name\",\"id\":4}");
    for (json_int_t id = 1; id <= 4; id++) {
        json_t *answer = client_answer(client);

        ck_assert_int_eq(json_integer_value(json_object_get(answer, "id")), id);
        json_decref(answer);
    }
    expect_nothing(client);
}
END_TEST

START_TEST(request_may_come_byte_by_byte)
{
    const char *request = "{\"execute\":\"query-status\",\"id\":\"\\\"}]\\\\\"}";

    for (const char *p = request; *p; p++) {
        expect_nothing(client);
        client_send(client, p, 1);
    }
    expect_json(client_next(client),
                "{'return':{'running':true,'singlestep':false,'status':'running'},"
                "'id':'\\\"}]\\\\'}");
}
END_TEST

START_TEST(request_may_be_pretty_printed)
{
    expect_return(client,
                  "\n\n  {\r\n\t'execute' :\r\n\t\t'query-status' ,\n 'arguments' : { }\n}\n\n",
                  status);
    expect_nothing(client);
}
END_TEST

/* --- limits --- */

/* A request whose text has that many bytes. */
static char *request_of_size(size_t size)
{
    const char *head = "{\"execute\":\"query-name\",\"id\":\"", *tail = "\"}";
    GString *text = g_string_new(head);
    size_t pad = size - strlen(head) - strlen(tail);

    g_string_set_size(text, text->len + pad);
    memset(text->str + strlen(head), 'x', pad);
    g_string_append(text, tail);
    return g_string_free(text, FALSE);
}

START_TEST(request_of_1_mib_is_taken_and_a_larger_one_refused)
{
    g_autofree char *largest = request_of_size(MONITOR_MAX_REQUEST);
    g_autofree char *larger = request_of_size(MONITOR_MAX_REQUEST + 1);
    g_autofree char *far_larger = request_of_size(5 * MONITOR_MAX_REQUEST);
    json_t *answer = client_ask(client, largest);

    ck_assert_ptr_nonnull(json_object_get(answer, "return"));
    json_decref(answer);
    expect_error(client, larger, GENERIC, TOO_LARGE);
    expect_error(client, far_larger, GENERIC, TOO_LARGE);
    expect_alive(client);
}
END_TEST

START_TEST(long_word_is_refused_at_once)
{
    g_autofree char *word = g_strnfill(MONITOR_MAX_REQUEST + 5, '7');

    expect_error(client, word, GENERIC, TOO_LARGE);
    client_say(client, "77\n");
    expect_nothing(client);
    expect_alive(client);
}
END_TEST

/* Begun, never ended; then what ends the skipping. */
static const struct {
    const char *head, *tail;
    char fill;
} open_ended[] = {
    {"\"", "\n", 'x'},         {"{\"a\":\"", "\n", 'x'}, {"{\"a\":\"", "\x01", 'x'},
    {"{\"a\":", "\n\n}", ' '}, {"[[", "\n]\n]", '1'},
};

START_TEST(open_text_that_is_too_large_gets_one_error_at_once)
{
    g_autofree char *fill = g_strnfill(3 * MONITOR_MAX_REQUEST, open_ended[_i].fill);
    g_autofree char *text = g_strconcat(open_ended[_i].head, fill, NULL);

    expect_error(client, text, GENERIC, TOO_LARGE);
    client_say(client, open_ended[_i].tail);
    expect_nothing(client);
    expect_alive(client);
}
END_TEST

START_TEST(byte_0xff_in_a_text_that_is_too_large_gives_a_clean_start)
{
    g_autofree char *fill = g_strnfill(3 * MONITOR_MAX_REQUEST, 'x');

    client_say(client, "\"");
    expect_error(client, fill, GENERIC, TOO_LARGE);
    expect_error(client, "\xff", GENERIC, "JSON parse error, stray byte 0xff");
    expect_alive(client);
}
END_TEST

static char *nested(unsigned depth)
{
    g_autofree char *left = g_strnfill(depth, '['), *right = g_strnfill(depth, ']');

    return g_strconcat(left, right, NULL);
}

START_TEST(nesting_has_a_limit)
{
    g_autofree char *deepest = nested(QMP_MAX_NESTING), *deeper = nested(QMP_MAX_NESTING + 1);
    g_autofree char *abyss = nested(100000);

    expect_error(client, deepest, GENERIC, "QMP input must be a JSON object");
    expect_error(client, deeper, GENERIC, TOO_DEEP);
    expect_error(client, abyss, GENERIC, TOO_DEEP);
    expect_alive(client);
}
END_TEST

START_TEST(open_brackets_that_are_too_deep_are_refused_at_once_and_end_with_the_line)
{
    static const char *const rest[] = {"\n", "\r\n", "{\"a\":1, \"b]\n", "\"x\n", "]]] \"a\"\n"};
    g_autofree char *abyss = g_strnfill(QMP_MAX_NESTING + 1 + 50 * (unsigned)_i, '[');

    expect_error(client, abyss, GENERIC, TOO_DEEP);
    client_say(client, rest[_i]);
    expect_nothing(client);
    expect_alive(client);
}
END_TEST

START_TEST(brackets_that_are_too_deep_may_be_followed_on_their_line)
{
    g_autofree char *abyss = nested(5000);
    g_autofree char *text = g_strconcat(abyss, "{\"execute\":\"query-name\"}", NULL);
    json_t *answer;

    client_say(client, text);
    json_decref(client_answer(client));
    answer = client_answer(client);
    expect_json(answer, "{'return':{}}");
    expect_nothing(client);
}
END_TEST

START_TEST(deeply_nested_id_comes_back)
{
    g_autofree char *id = nested(QMP_MAX_NESTING - 1);
    g_autofree char *request = g_strdup_printf("{'execute':'query-name','id':%s}", id);
    json_t *answer = client_ask(client, request);

    expect_json(json_incref(json_object_get(answer, "id")), id);
    json_decref(answer);
}
END_TEST

START_TEST(stream_keeps_no_more_than_its_limit)
{
    QmpStream s;
    json_t *value;
    char *problem;
    unsigned reports = 0;

    qmp_stream_init(&s, 1 << 20);
    ck_assert(!qmp_stream_take(&s, '[', &value, &problem));
    for (unsigned i = 0; i < 3 << 20; i++) {
        if (qmp_stream_take(&s, i % 4096 ? ' ' : '[', &value, &problem)) {
            ck_assert_ptr_null(value);
            g_free(problem);
            reports++;
        }
        if (s.text->allocated_len > 2 << 20) {
            ck_abort_msg("grew at byte %u", i);
        }
    }
    ck_assert_uint_eq(reports, 1);
    ck_assert(qmp_stream_take(&s, '\xff', &value, &problem));
    ck_assert_ptr_null(value);
    g_free(problem);
    ck_assert_uint_le(s.text->allocated_len, 4096);
    qmp_stream_finish(&s);
}
END_TEST

/* --- resynchronisation --- */

START_TEST(byte_0xff_gives_a_clean_start)
{
    static const char *const begun[] = {"",       "{",  "[[{\"a\":", "\"text",
                                        "{\"a\\", "12", "tru",       "{\"execute\""};
    g_autofree char *abyss = g_strnfill(5000, '[');

    for (unsigned i = 0; i <= G_N_ELEMENTS(begun); i++) {
        if (i < G_N_ELEMENTS(begun)) {
            client_say(client, begun[i]);
        } else {
            expect_error(client, abyss, GENERIC, TOO_DEEP);
        }
        expect_nothing(client);
        expect_error(client, "\xff", GENERIC, "JSON parse error, stray byte 0xff");
        expect_alive(client);
    }
}
END_TEST

START_TEST(nul_byte_is_an_error)
{
    json_t *answer;

    client_send(client, "{\"execute\":\0", 12);
    answer = client_answer(client);
    expect_json(json_incref(json_object_get(json_object_get(answer, "error"), "desc")),
                "'JSON parse error, stray byte 0x00'");
    json_decref(answer);
    expect_alive(client);
}
END_TEST

/* --- clients --- */

START_TEST(clients_come_one_after_another_and_each_negotiates)
{
    for (unsigned i = 0; i < 5; i++) {
        client_free(client);
        client = client_new();
        json_decref(client_next(client));
        expect_error(client, "{'execute':'query-status'}", NOT_FOUND,
                     "Expecting capabilities negotiation with 'qmp_capabilities'");
        expect_return(client, "{'execute':'qmp_capabilities'}", "{}");
        expect_return(client, "{'execute':'query-status'}", status);
    }
}
END_TEST

START_TEST(second_client_waits_for_the_first_to_leave)
{
    QmpClient *second = client_new();

    expect_nothing(second);
    expect_alive(client);
    client_free(client);
    client = second;
    json_decref(client_next(client));
    expect_return(client, "{'execute':'qmp_capabilities'}", "{}");
}
END_TEST

START_TEST(half_a_request_dies_with_its_client)
{
    client_say(client, "{\"execute\":\"query-status\",\"id\":\"");
    client_free(client);
    client = client_ready();
    expect_alive(client);
}
END_TEST

START_TEST(half_closed_client_gets_its_answers)
{
    json_t *answer;

    client_send_some(client, "{\"execute\":\"query-name\"}", 24);
    shutdown(client->fd, SHUT_WR);
    answer = client_answer(client);
    expect_json(answer, "{'return':{}}");
    expect_nothing(client);
    ck_assert(client->ended);
}
END_TEST

START_TEST(client_that_does_not_read_is_disconnected)
{
    const char request[] = "{\"execute\":\"query-commands\"}\n";
    size_t sent = 0;

    while (!client->ended && sent < 64 << 20) {
        sent += client_send_some(client, request, sizeof request - 1);
        fake_vm_settle(&vm);
    }
    ck_assert(client->ended);
    ck_assert_uint_lt(sent, 1 << 20);
    client_free(client);
    client = client_ready();
    expect_alive(client);
}
END_TEST

START_TEST(nothing_is_run_for_a_client_after_its_disconnection)
{
    g_autofree char *big = request_of_size(MONITOR_MAX_REQUEST);

    client_say(client, big);
    client_say(client, big);
    client_say(client, big);
    client_say(client, "{\"execute\":\"stop\"}");
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    client_free(client);
    client = client_ready();
    expect_return(client, "{'execute':'query-status'}", status);
}
END_TEST

START_TEST(client_may_leave_without_reading)
{
    const char *requests = "{\"execute\":\"stop\"}{\"execute\":\"cont\"}";

    client_send_some(client, requests, strlen(requests));
    client_free(client);
    client = client_ready();
    ck_assert_uint_eq(vm.accel->pauses, 1);
    expect_return(client, "{'execute':'query-status'}", status);
}
END_TEST

START_TEST(client_may_leave_before_it_is_accepted)
{
    const char *requests = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"stop\"}";

    client_free(client);
    client = client_new();
    client_send_some(client, requests, strlen(requests));
    client_free(client);
    client = client_ready();
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
}
END_TEST

static void add_protocol_tests(Suite *s)
{
    TCase *tc = tcase_create("protocol");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, greeting_has_qemus_shape);
    tcase_add_test(tc, commands_before_negotiation_are_refused);
    tcase_add_loop_test(tc, negotiation_checks_its_arguments, 0, G_N_ELEMENTS(bad_negotiations));
    tcase_add_test(tc, negotiation_is_done_once);
    tcase_add_loop_test(tc, id_of_every_type_comes_back, 0, G_N_ELEMENTS(ids));
    tcase_add_test(tc, answer_without_id_has_none);
    tcase_add_loop_test(tc, request_of_a_wrong_shape_gets_an_error, 0, G_N_ELEMENTS(shapeless));
    tcase_add_test(tc, unknown_command_has_its_own_class);
    tcase_add_loop_test(tc, malformed_request_gets_one_error, 0, G_N_ELEMENTS(malformed));
    tcase_add_test(tc, strings_may_stand_between_apostrophes);
    tcase_add_test(tc, percent_is_an_error_at_once);
    tcase_add_test(tc, stray_brackets_do_not_swallow_what_follows);
    tcase_add_test(tc, words_outside_of_brackets_are_values_of_their_own);
    tcase_add_test(tc, requests_in_one_packet_are_answered_in_order);
    tcase_add_test(tc, request_may_come_byte_by_byte);
    tcase_add_test(tc, request_may_be_pretty_printed);
    tcase_add_test(tc, byte_0xff_gives_a_clean_start);
    tcase_add_test(tc, nul_byte_is_an_error);
    suite_add_tcase(s, tc);
}

static void add_limit_tests(Suite *s)
{
    TCase *tc = tcase_create("limits");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, request_of_1_mib_is_taken_and_a_larger_one_refused);
    tcase_add_test(tc, long_word_is_refused_at_once);
    tcase_add_loop_test(tc, open_text_that_is_too_large_gets_one_error_at_once, 0,
                        G_N_ELEMENTS(open_ended));
    tcase_add_test(tc, byte_0xff_in_a_text_that_is_too_large_gives_a_clean_start);
    tcase_add_loop_test(
        tc, open_brackets_that_are_too_deep_are_refused_at_once_and_end_with_the_line, 0, 5);
    tcase_add_test(tc, brackets_that_are_too_deep_may_be_followed_on_their_line);
    tcase_add_test(tc, nesting_has_a_limit);
    tcase_add_test(tc, deeply_nested_id_comes_back);
    tcase_add_test(tc, stream_keeps_no_more_than_its_limit);
    suite_add_tcase(s, tc);
}

static void add_client_tests(Suite *s)
{
    TCase *tc = tcase_create("clients");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, clients_come_one_after_another_and_each_negotiates);
    tcase_add_test(tc, second_client_waits_for_the_first_to_leave);
    tcase_add_test(tc, half_a_request_dies_with_its_client);
    tcase_add_test(tc, half_closed_client_gets_its_answers);
    tcase_add_test(tc, client_that_does_not_read_is_disconnected);
    tcase_add_test(tc, nothing_is_run_for_a_client_after_its_disconnection);
    tcase_add_test(tc, client_may_leave_without_reading);
    tcase_add_test(tc, client_may_leave_before_it_is_accepted);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("qmp");

    add_protocol_tests(s);
    add_limit_tests(s);
    add_client_tests(s);
    add_command_tests(s);
    add_event_tests(s);
    add_random_tests(s);
    return suite_run(s);
}
