/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QMP server: greeting, capabilities negotiation, one answer for each request, events. One
 * client at a time; the next one starts afresh.
 *
 * A client that does not read what it asked for is disconnected when the stream's buffer is full:
 * dropping single bytes would break its JSON.
 */
#include <string.h>

#include "backends/fd-table.h"
#include "core/log.h"
#include "vmm/monitor/monitor-internal.h"
#include "vmm/monitor/qmp-command.h"
#include "vmm/monitor/qmp-stream.h"

/* Events that may come often: at most one per period, the newest data wins. */
#define THROTTLE_PERIOD_NS INT64_C(1000000000)
static const char *const throttled_events[] = {"BALLOON_CHANGE"};

typedef struct {
    struct QmpMonitor *mon;
    const char *name;
    LoopTimer *timer; /* armed during the period after an event */
    json_t *pending;  /* the newest event of the period; NULL: none */
} Throttle;

typedef struct QmpMonitor {
    Monitor base;
    QmpStream in;
    bool pretty;
    bool connected;
    bool negotiated;  /* qmp_capabilities was given */
    bool cut_off;     /* it did not read: nothing more is sent */
    uint64_t dropped; /* chardev_dropped when it came */
    Throttle throttles[G_N_ELEMENTS(throttled_events)];
} QmpMonitor;

/* --- output --- */

/* Steals message. */
static void put(QmpMonitor *mon, json_t *message)
{
    g_autofree char *text = NULL;
    char *dumped = json_dumps(message, JSON_ENCODE_ANY | (mon->pretty ? JSON_INDENT(4) : 0));

    json_decref(message);
    text = g_strconcat(dumped, "\r\n", NULL);
    free(dumped);
    chardev_write(mon->base.stream, text, strlen(text));
}

/* Steals message. */
static void send(QmpMonitor *mon, json_t *message)
{
    if (mon->cut_off) {
        json_decref(message);
        return;
    }
    put(mon, message);
    if (chardev_dropped(mon->base.stream) != mon->dropped) {
        mon->cut_off = true;
        log_warn("QMP: a client left or does not read its answers; it is disconnected");
        chardev_disconnect(mon->base.stream);
    }
}

static const char *error_class(const GError *err)
{
    if (err->domain != AEROSTAT_ERROR) {
        return "GenericError";
    }
    switch (err->code) {
    case AEROSTAT_ERROR_NOT_FOUND:
        return "DeviceNotFound";
    case AEROSTAT_ERROR_NOT_ACTIVE:
        return "DeviceNotActive";
    case AEROSTAT_ERROR_COMMAND_NOT_FOUND:
        return "CommandNotFound";
    case AEROSTAT_ERROR_KVM_MISSING_CAP:
        return "KVMMissingCap";
    default:
        return "GenericError";
    }
}

/* The text of an error may quote bytes of the client that are not UTF-8. */
static json_t *error_object(const char *klass, const char *desc)
{
    g_autofree char *valid = g_utf8_make_valid(desc, -1);

    return json_pack("{s:{s:s, s:s}}", "error", "class", klass, "desc", valid);
}

/* Steals answer. */
static void reply(QmpMonitor *mon, json_t *request, json_t *answer)
{
    json_t *id = json_object_get(request, "id");

    if (id) {
        json_object_set(answer, "id", id);
    }
    send(mon, answer);
}

static json_t *timestamp(void)
{
    gint64 now = g_get_real_time();

    return json_pack("{s:I, s:I}", "seconds", (json_int_t)(now / G_USEC_PER_SEC), "microseconds",
                     (json_int_t)(now % G_USEC_PER_SEC));
}

/* --- events --- */

static void throttle_expired(void *opaque)
{
    Throttle *t = opaque;

    if (t->pending) {
        send(t->mon, g_steal_pointer(&t->pending));
        loop_timer_arm_in(t->timer, THROTTLE_PERIOD_NS);
    }
}

static Throttle *find_throttle(QmpMonitor *mon, const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(mon->throttles); i++) {
        if (!strcmp(mon->throttles[i].name, name)) {
            return &mon->throttles[i];
        }
    }
    return NULL;
}

static void on_event(void *opaque, const char *name, json_t *data)
{
    QmpMonitor *mon = opaque;
    Throttle *t = find_throttle(mon, name);
    json_t *event;

    if (!mon->connected || !mon->negotiated) {
        return;
    }
    event = json_pack("{s:o, s:s}", "timestamp", timestamp(), "event", name);
    if (data) {
        json_object_set(event, "data", data);
    }
    if (t && loop_timer_armed(t->timer)) {
        json_decref(t->pending);
        t->pending = event;
        return;
    }
    send(mon, event);
    if (t) {
        loop_timer_arm_in(t->timer, THROTTLE_PERIOD_NS);
    }
}

static void clear_throttles(QmpMonitor *mon)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(mon->throttles); i++) {
        loop_timer_cancel(mon->throttles[i].timer);
        g_clear_pointer(&mon->throttles[i].pending, json_decref);
    }
}

/* --- input --- */

/* What is wrong with the shape of a request; false with err set. */
static bool check_request(json_t *request, GError **err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(request)) {
        return error_set(err, "QMP input must be a JSON object");
    }
    json_object_foreach(request, key, value)
    {
        if (!strcmp(key, "execute")) {
            if (!json_is_string(value)) {
                return error_set(err, "QMP input member 'execute' must be a string");
            }
        } else if (!strcmp(key, "arguments")) {
            if (!json_is_object(value)) {
                return error_set(err, "QMP input member 'arguments' must be an object");
            }
        } else if (strcmp(key, "id") != 0) { /* exec-oob, too: "oob" is not offered */
            return error_set(err, "QMP input member '%s' is unexpected", key);
        }
    }
    return json_object_get(request, "execute") ||
           error_set(err, "QMP input lacks member 'execute'");
}

/* qmp_capabilities of a session that has not negotiated yet. */
static json_t *negotiate(QmpMonitor *mon, json_t *args, GError **err)
{
    json_t *enable = json_object_get(args, "enable");

    if (!qmp_check_arguments("qmp_capabilities", args, err)) {
        return NULL;
    }
    if (json_array_size(enable) > 0) {
        const char *name = json_string_value(json_array_get(enable, 0));

        if (name) {
            error_set(err, "Capability '%s' is not available", name);
        } else {
            error_set(err, "Invalid parameter type for 'enable[0]', expected: string");
        }
        return NULL;
    }
    mon->negotiated = true;
    return json_object();
}

/* For getfd and add-fd. */
static int take_fd(void *opaque)
{
    const QmpMonitor *mon = opaque;

    return chardev_receive_fd(mon->base.stream);
}

static json_t *execute(QmpMonitor *mon, json_t *request, GError **err)
{
    const char *command;
    json_t *args;

    if (!check_request(request, err)) {
        return NULL;
    }
    command = json_string_value(json_object_get(request, "execute"));
    args = json_object_get(request, "arguments");
    if (mon->negotiated) {
        FdTable *fds = fd_table_of(mon->base.machine->platform.root);
        json_t *result;

        fd_table_set_source(fds, take_fd, mon);
        result = qmp_execute(mon->base.machine, command, args, err);
        fd_table_set_source(fds, NULL, NULL);
        return result;
    }
    if (!strcmp(command, "qmp_capabilities")) {
        return negotiate(mon, args, err);
    }
    g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_COMMAND_NOT_FOUND,
                "Expecting capabilities negotiation with 'qmp_capabilities'");
    return NULL;
}

static void handle_request(QmpMonitor *mon, json_t *request)
{
    g_autoptr(GError) err = NULL;
    json_t *result = execute(mon, request, &err);

    if (result) {
        reply(mon, request, json_pack("{s:o}", "return", result));
    } else {
        reply(mon, request, error_object(error_class(err), err->message));
    }
}

static size_t can_receive(void *opaque)
{
    return 4096;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    QmpMonitor *mon = opaque;

    for (size_t i = 0; i < len && mon->connected; i++) {
        json_t *request;
        g_autofree char *problem = NULL;

        if (!qmp_stream_take(&mon->in, buf[i], &request, &problem)) {
            continue;
        }
        if (request) {
            handle_request(mon, request);
            json_decref(request);
        } else {
            send(mon, error_object("GenericError", problem));
        }
    }
}

/* As QEMU has it: names stay, sets that nobody uses go with the last client of a VM that runs. */
static void count_client(QmpMonitor *mon, bool here)
{
    const Machine *m = mon->base.machine;

    if (mon->connected != here) {
        mon->connected = here;
        fd_table_count_clients(fd_table_of(m->platform.root), here ? 1 : -1,
                               m->state == RUN_STATE_RUNNING);
    }
}

static void stream_event(void *opaque, ChardevEvent event)
{
    QmpMonitor *mon = opaque;

    if (event == CHARDEV_OPENED) {
        count_client(mon, true);
        mon->negotiated = mon->cut_off = false;
        qmp_stream_reset(&mon->in);
        put(mon, json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(), "capabilities"));
        /* One that left already may have sent requests: they are run. */
        mon->dropped = chardev_dropped(mon->base.stream);
    } else if (event == CHARDEV_CLOSED) {
        count_client(mon, false);
        clear_throttles(mon);
        qmp_stream_reset(&mon->in);
    }
}

/* --- life --- */

static void qmp_free(Monitor *base)
{
    QmpMonitor *mon = (QmpMonitor *)base;

    chardev_set_frontend(base->stream, NULL);
    count_client(mon, false);
    machine_remove_event_sink(base->machine, mon);
    clear_throttles(mon);
    for (unsigned i = 0; i < G_N_ELEMENTS(mon->throttles); i++) {
        loop_timer_free(mon->throttles[i].timer);
    }
    qmp_stream_finish(&mon->in);
    g_free(mon);
}

static Monitor *new_qmp(Machine *m, Chardev *stream, bool pretty)
{
    QmpMonitor *mon = g_new0(QmpMonitor, 1);
    ChardevFrontend fe = {can_receive, receive, stream_event, mon};

    mon->base = (Monitor){m, stream, qmp_free};
    mon->pretty = pretty;
    qmp_stream_init(&mon->in, MONITOR_MAX_REQUEST);
    for (unsigned i = 0; i < G_N_ELEMENTS(mon->throttles); i++) {
        Throttle *t = &mon->throttles[i];

        *t = (Throttle){.mon = mon, .name = throttled_events[i]};
        t->timer = loop_timer_new(m->platform.loop, m->platform.rtclock, throttle_expired, t);
    }
    machine_add_event_sink(m, on_event, mon);
    chardev_want_fds(stream);
    chardev_set_frontend(stream, &fe);
    return &mon->base;
}

Monitor *monitor_new_qmp(Machine *m, Chardev *stream)
{
    return new_qmp(m, stream, false);
}

Monitor *monitor_new_qmp_pretty(Machine *m, Chardev *stream)
{
    return new_qmp(m, stream, true);
}

void monitor_free(Monitor *mon)
{
    if (mon) {
        mon->free(mon);
    }
}
