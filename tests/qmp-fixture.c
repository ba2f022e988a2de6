/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See qmp-fixture.h.
 */
#include "tests/qmp-fixture.h"
#include "tests/qmp-validate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

FakeVm vm;
Chardev *server;
QmpClient *client;

static Monitor *monitor;
static char *sock;

/* --- the server --- */

static void start_server(void)
{
    g_autofree char *option = NULL;

    sock = g_build_filename(vm.dir, "qmp", NULL);
    option = g_strdup_printf("unix:%s,server=on,wait=off", sock);
    server = chardev_new_from_option(vm.m->platform.loop, "-qmp", option, NULL);
    ck_assert_ptr_nonnull(server);
    monitor = monitor_new_qmp(vm.m, server);
}

static void start_vm(const char *device)
{
    fake_vm_init(&vm);
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert(!device || fake_vm_add(&vm, device, NULL));
    ck_assert(machine_boot(vm.m, NULL));
    start_server();
}

void setup_bare(void)
{
    start_vm(NULL);
    client = client_ready();
}

void setup(void)
{
    start_vm("virtio-balloon,id=balloon0");
    ck_assert(machine_cont(vm.m, NULL));
    client = client_ready();
}

void teardown(void)
{
    client_free(client);
    client = NULL;
    monitor_free(monitor);
    chardev_close(server);
    object_unref(server);
    ck_assert(!g_file_test(sock, G_FILE_TEST_EXISTS));
    g_free(sock);
    fake_vm_finish(&vm);
}

void step_ms(int64_t ms)
{
    Platform *p = &vm.m->platform;

    clock_step_to(p->rtclock, clock_now(p->rtclock) + ms * 1000000);
    clock_step_to(p->vclock, clock_now(p->vclock) + ms * 1000000);
}

/* --- clients --- */

QmpClient *client_new(void)
{
    QmpClient *c = g_new0(QmpClient, 1);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    g_strlcpy(addr.sun_path, sock, sizeof addr.sun_path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&addr, sizeof addr), 0);
    c->in = g_string_new(NULL);
    c->events = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    return c;
}

void client_free(QmpClient *c)
{
    if (!c) {
        return;
    }
    close(c->fd);
    fake_vm_settle(&vm); /* the server sees it */
    g_string_free(c->in, TRUE);
    g_ptr_array_unref(c->events);
    g_free(c);
}

QmpClient *client_ready(void)
{
    QmpClient *c = client_new();
    json_t *greeting = client_next(c);

    ck_assert_ptr_nonnull(json_object_get(greeting, "QMP"));
    json_decref(greeting);
    expect_return(c, "{'execute':'qmp_capabilities'}", "{}");
    return c;
}

size_t client_send_some(QmpClient *c, const void *bytes, size_t len)
{
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);

    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        c->ended = true;
    }
    return n < 0 ? 0 : (size_t)n;
}

void client_send(QmpClient *c, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len && !c->ended;) {
        done += client_send_some(c, (const char *)bytes + done, len - done);
        fake_vm_settle(&vm);
    }
}

void client_say(QmpClient *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static void client_receive(QmpClient *c)
{
    char buf[65536];
    ssize_t n;

    do {
        fake_vm_settle(&vm);
        n = recv(c->fd, buf, sizeof buf, 0);
        if (n > 0) {
            g_string_append_len(c->in, buf, n);
        }
    } while (n > 0);
    c->ended |= n == 0 || errno != EAGAIN;
}

json_t *client_next(QmpClient *c)
{
    char *end = strstr(c->in->str, "\r\n");
    json_t *message;

    if (!end) {
        client_receive(c);
        end = strstr(c->in->str, "\r\n");
    }
    if (!end) {
        ck_assert_uint_eq(c->in->len, 0);
        return NULL;
    }
    message = json_loadb(c->in->str, (size_t)(end - c->in->str), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(message, "not JSON: %.200s", c->in->str);
    g_string_erase(c->in, 0, end + 2 - c->in->str);
    return message;
}

json_t *client_answer(QmpClient *c)
{
    json_t *message;

    while ((message = client_next(c)) && json_object_get(message, "event")) {
        g_ptr_array_add(c->events, message);
    }
    return message;
}

/* What the schema promises of a result. */
static void check_result(const char *text, json_t *answer)
{
    json_t *request = json_loads(text, 0, NULL), *result = json_object_get(answer, "return");
    const char *command = json_string_value(json_object_get(request, "execute"));
    g_autofree char *problem = command && result ? qmp_validate_return(command, result) : NULL;

    ck_assert_msg(!problem, "%s", problem);
    json_decref(request);
}

static json_t *known_event(json_t *event)
{
    g_autofree char *problem = event ? qmp_validate_event(event) : NULL;

    ck_assert_msg(!problem, "%s", problem);
    return event;
}

json_t *client_event(QmpClient *c)
{
    json_t *message;

    if (c->events->len > 0) {
        return known_event(g_ptr_array_steal_index(c->events, 0));
    }
    message = client_next(c);
    ck_assert(!message || json_object_get(message, "event"));
    return known_event(message);
}

static char *with_quotes(const char *text)
{
    return g_strdelimit(g_strdup(text), "'", '"');
}

json_t *client_ask(QmpClient *c, const char *request)
{
    g_autofree char *text = with_quotes(request);
    json_t *answer, *more;

    client_say(c, text);
    answer = client_answer(c);
    ck_assert_msg(answer, "no answer to %.200s", request);
    more = client_answer(c);
    ck_assert_msg(!more, "two answers to %.200s", request);
    check_result(text, answer);
    return answer;
}

/* --- expectations --- */

void expect_json(json_t *got, const char *want)
{
    g_autofree char *text = with_quotes(want);
    json_t *parsed = json_loads(text, JSON_DECODE_ANY, NULL);
    char *shown = json_dumps(got, JSON_ENCODE_ANY);

    ck_assert_msg(parsed, "the test's JSON is bad: %s", want);
    ck_assert_msg(json_equal(got, parsed), "got %s, want %s", shown ? shown : "nothing", want);
    free(shown);
    json_decref(parsed);
    json_decref(got);
}

json_t *get_return(QmpClient *c, const char *request)
{
    json_t *answer = client_ask(c, request);
    json_t *result = json_incref(json_object_get(answer, "return"));
    char *shown = json_dumps(answer, 0);

    ck_assert_msg(result, "%s: %s", request, shown);
    free(shown);
    json_decref(answer);
    return result;
}

void expect_return(QmpClient *c, const char *request, const char *result)
{
    expect_json(get_return(c, request), result);
}

void expect_error(QmpClient *c, const char *request, const char *klass, const char *desc)
{
    json_t *answer = client_ask(c, request), *error = json_object_get(answer, "error");

    ck_assert_msg(error, "%.200s: no error", request);
    ck_assert_str_eq(json_string_value(json_object_get(error, "class")), klass);
    ck_assert_str_eq(json_string_value(json_object_get(error, "desc")), desc);
    ck_assert_uint_eq(json_object_size(error), 2);
    json_decref(answer);
}

void expect_event(QmpClient *c, const char *name, const char *data)
{
    json_t *event = client_event(c), *stamp = json_object_get(event, "timestamp");

    ck_assert_msg(event, "no event %s", name);
    ck_assert_str_eq(json_string_value(json_object_get(event, "event")), name);
    ck_assert(json_is_integer(json_object_get(stamp, "seconds")));
    ck_assert(json_is_integer(json_object_get(stamp, "microseconds")));
    if (data) {
        expect_json(json_incref(json_object_get(event, "data")), data);
    } else {
        ck_assert_ptr_null(json_object_get(event, "data"));
    }
    json_decref(event);
}

void expect_nothing(QmpClient *c)
{
    json_t *message = c->events->len > 0 ? c->events->pdata[0] : client_next(c);
    char *shown = json_dumps(message, 0);

    ck_assert_msg(!message, "not expected: %s", shown);
    free(shown);
}

void expect_alive(QmpClient *c)
{
    json_t *answer = client_ask(c, "{'execute':'query-status','id':'alive'}");

    ck_assert_str_eq(json_string_value(json_object_get(answer, "id")), "alive");
    ck_assert_ptr_nonnull(json_object_get(answer, "return"));
    json_decref(answer);
}
