/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aerostat-qmp: sends one QMP command to a Unix socket and prints its answer, or waits for an
 * event. For scripts.
 *
 *   aerostat-qmp SOCKET COMMAND [key=value...]
 *   aerostat-qmp SOCKET --wait-event NAME [--timeout SECONDS]
 *
 * A value that is valid JSON is sent as such, anything else as a string. Exit status: 0 done, 1 the
 * command failed, 2 bad usage or no connection.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

enum { EXIT_COMMAND_FAILED = 1, EXIT_USAGE = 2, DEFAULT_TIMEOUT = 30 };

static void print_usage(FILE *to)
{
    fprintf(to, "usage: aerostat-qmp SOCKET COMMAND [key=value...]\n"
                "       aerostat-qmp SOCKET --wait-event NAME [--timeout SECONDS]\n"
                "       aerostat-qmp --help\n");
}

static int usage(void)
{
    print_usage(stderr);
    return EXIT_USAGE;
}

static int help(void)
{
    print_usage(stdout);
    printf("Sends one QMP command and prints its answer, or waits for an event.\n"
           "A value that is valid JSON is sent as such, anything else as a string.\n"
           "For example, with 'aerostat -qmp unix:qmp.sock,server=on,wait=off ...':\n"
           "  aerostat-qmp qmp.sock balloon value=268435456\n"
           "  aerostat-qmp qmp.sock query-commands    lists the commands\n"
           "Exit status: 0 done, 1 the command failed, 2 bad usage or no connection.\n");
    return 0;
}

/* Reading and writing keep separate buffers: a socket cannot seek, which switching one stream
 * between them needs. */
typedef struct {
    FILE *in, *out;
} Connection;

static bool connect_to(Connection *conn, const char *path, int timeout)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval tv = {.tv_sec = timeout};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof addr.sun_path) {
        fprintf(stderr, "aerostat-qmp: %s: path is too long for a socket\n", path);
        return false;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        fprintf(stderr, "aerostat-qmp: %s: cannot connect: %s\n", path, strerror(errno));
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    conn->in = fdopen(fd, "r");
    conn->out = fdopen(dup(fd), "w");
    return conn->in && conn->out;
}

static bool send_command(Connection *conn, const char *command, json_t *args)
{
    json_t *request = json_pack("{s:s, s:O}", "execute", command, "arguments", args);
    bool ok = json_dumpf(request, conn->out, JSON_COMPACT) == 0 && fputc('\n', conn->out) != EOF &&
              fflush(conn->out) == 0;

    json_decref(request);
    return ok;
}

/* The next message that has one of the two members; NULL at the end of the connection or after the
 * timeout. */
static json_t *next_message(Connection *conn, const char *member, const char *other)
{
    for (;;) {
        json_t *message = json_loadf(conn->in, JSON_DISABLE_EOF_CHECK, NULL);

        if (!message || json_object_get(message, member) || json_object_get(message, other)) {
            return message;
        }
        json_decref(message);
    }
}

static bool negotiate(Connection *conn)
{
    json_t *greeting = next_message(conn, "QMP", "QMP"), *args = json_object(), *answer = NULL;
    bool ok = greeting && send_command(conn, "qmp_capabilities", args);

    if (ok) {
        answer = next_message(conn, "return", "error");
        ok = json_object_get(answer, "return") != NULL;
    }
    json_decref(greeting);
    json_decref(args);
    json_decref(answer);
    return ok;
}

static json_t *parse_args(int n, char **words)
{
    json_t *args = json_object();

    for (int i = 0; i < n; i++) {
        char *eq = strchr(words[i], '=');
        json_t *value;

        if (!eq) {
            fprintf(stderr, "aerostat-qmp: '%s': arguments have the form key=value\n", words[i]);
            json_decref(args);
            return NULL;
        }
        *eq = '\0';
        value = json_loads(eq + 1, JSON_DECODE_ANY, NULL);
        json_object_set_new(args, words[i], value ? value : json_string(eq + 1));
    }
    return args;
}

static int run_command(Connection *conn, const char *command, int n, char **words)
{
    json_t *args = parse_args(n, words), *answer, *result;
    int status = EXIT_COMMAND_FAILED;

    if (!args) {
        return EXIT_USAGE;
    }
    send_command(conn, command, args);
    json_decref(args);
    answer = next_message(conn, "return", "error");
    if (!answer) {
        fprintf(stderr, "aerostat-qmp: no answer to %s\n", command);
    } else if ((result = json_object_get(answer, "return"))) {
        json_dumpf(result, stdout, JSON_ENCODE_ANY);
        putchar('\n');
        status = 0;
    } else {
        fprintf(stderr, "aerostat-qmp: %s: %s\n", command,
                json_string_value(json_object_get(json_object_get(answer, "error"), "desc")));
    }
    json_decref(answer);
    return status;
}

static int wait_event(Connection *conn, const char *name)
{
    for (;;) {
        json_t *event = next_message(conn, "event", "event");
        const char *got = json_string_value(json_object_get(event, "event"));

        if (!event) {
            fprintf(stderr, "aerostat-qmp: event %s did not come\n", name);
            return EXIT_COMMAND_FAILED;
        }
        if (!strcmp(got, name)) {
            json_dumpf(event, stdout, 0);
            putchar('\n');
            json_decref(event);
            return 0;
        }
        json_decref(event);
    }
}

int main(int argc, char **argv)
{
    const char *event = NULL;
    int timeout = DEFAULT_TIMEOUT;
    Connection conn;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        return help();
    }
    if (argc < 3) {
        return usage();
    }
    if (!strcmp(argv[2], "--wait-event")) {
        if (argc != 4 && !(argc == 6 && !strcmp(argv[4], "--timeout"))) {
            return usage();
        }
        event = argv[3];
        timeout = argc == 6 ? atoi(argv[5]) : timeout;
    }
    if (!connect_to(&conn, argv[1], timeout)) {
        return EXIT_USAGE;
    }
    if (!negotiate(&conn)) {
        fprintf(stderr, "aerostat-qmp: %s: no QMP server\n", argv[1]);
        return EXIT_USAGE;
    }
    return event ? wait_event(&conn, event) : run_command(&conn, argv[2], argc - 3, argv + 3);
}
