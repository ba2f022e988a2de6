/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting a VM, reading its console and QMP socket, and ending it. One thread, one poll loop:
 * whoever waits for something takes in everything that comes meanwhile.
 */
#include "tests/guest/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/guest/dump.h"

double started;
static Vm *newest; /* for fail */

enum { PATIENCE = 4 };

double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- saying how it goes --- */

static void print_tail(const char *title, const GString *text)
{
    const char *p = text->str + text->len;

    for (int lines = 0; p > text->str && lines <= 15; p--) {
        lines += p[-1] == '\n';
    }
    if (text->len > 0) {
        printf("--- %s:\n%s\n", title, p);
    }
}

/* What is asked in here may fail in turn. */
static void print_state(Vm *vm)
{
    static bool begun;

    if (!begun && vm_alive(vm)) {
        begun = true;
        dump_host(vm);
        dump_guest(vm);
    }
}

void fail(const char *fmt, ...)
{
    va_list ap;

    printf("FAILED after %.1f s: ", now() - started);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    if (newest) {
        print_tail("end of the console", newest->console);
        print_tail("end of stderr", newest->err);
        fflush(stdout);
        print_state(newest);
    }
    fflush(stdout);
    if (newest && !newest->ended) {
        kill(newest->pid, SIGKILL);
    }
    exit(1);
}

void passed(const char *fmt, ...)
{
    va_list ap;

    printf("[%6.1f s] ok: ", now() - started);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
}

/* --- input --- */

static void take_line(Vm *vm, const char *line)
{
    json_error_t jerr;
    json_t *message = json_loads(line, 0, &jerr);

    if (!message) {
        fail("QMP: not JSON (%s): %s", jerr.text, line);
    }
    if (json_object_get(message, "event")) {
        g_queue_push_tail(&vm->events, message);
        vm->resets += !g_strcmp0(json_string_value(json_object_get(message, "event")), "RESET");
    } else {
        if (vm->answer) {
            fail("QMP: an answer too many: %s", line);
        }
        vm->answer = message;
    }
}

static void take_qmp(Vm *vm)
{
    char *end;

    while ((end = strchr(vm->qmp_in->str, '\n'))) {
        g_autofree char *line = g_strndup(vm->qmp_in->str, (gsize)(end - vm->qmp_in->str));

        g_string_erase(vm->qmp_in, 0, end - vm->qmp_in->str + 1);
        take_line(vm, line);
    }
}

/* Reads what is there; closes *fd at its end. */
static bool take(int *fd, GString *into)
{
    char data[4096];
    ssize_t n = read(*fd, data, sizeof data);

    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return false;
        }
        close(*fd);
        *fd = -1;
        return false;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (data[i] != '\r' && data[i] != '\0') {
            g_string_append_c(into, data[i]);
        }
    }
    return true;
}

/* Takes in what comes, for at most that time. */
static void pump(Vm *vm, double seconds)
{
    struct pollfd p[] = {{.fd = vm->from_guest, .events = POLLIN},
                         {.fd = vm->errors, .events = POLLIN},
                         {.fd = vm->qmp, .events = POLLIN}};

    if (poll(p, G_N_ELEMENTS(p), seconds > 0 ? (int)(seconds * 1000) + 1 : 0) <= 0) {
        return;
    }
    if (p[0].revents) {
        take(&vm->from_guest, vm->console);
    }
    if (p[1].revents) {
        take(&vm->errors, vm->err);
    }
    if (p[2].revents && take(&vm->qmp, vm->qmp_in)) {
        take_qmp(vm);
    }
}

bool vm_alive(Vm *vm)
{
    if (!vm->ended && waitpid(vm->pid, &vm->status, WNOHANG) == vm->pid) {
        vm->ended = true;
    }
    return !vm->ended;
}

/* What the pipes still hold after its end. */
static void drain(Vm *vm)
{
    for (int i = 0; i < 1000 && (vm->from_guest >= 0 || vm->errors >= 0 || vm->qmp >= 0); i++) {
        struct pollfd p[] = {{.fd = vm->from_guest, .events = POLLIN},
                             {.fd = vm->errors, .events = POLLIN},
                             {.fd = vm->qmp, .events = POLLIN}};

        if (poll(p, G_N_ELEMENTS(p), 0) <= 0) {
            return;
        }
        pump(vm, 0);
    }
}

void vm_sleep(Vm *vm, double seconds)
{
    for (double end = now() + seconds, left; (left = end - now()) > 0;) {
        pump(vm, MIN(left, 0.1));
    }
}

/* --- starting --- */

static Vm *spawn(char *const *argv)
{
    int in[2], out[2], err[2];
    Vm *vm = g_new0(Vm, 1);

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
        fail("pipe: %s", strerror(errno));
    }
    vm->pid = fork();
    if (vm->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        execv(argv[0], argv);
        dprintf(2, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    vm->to_guest = in[1];
    vm->from_guest = out[0];
    vm->errors = err[0];
    vm->qmp = -1;
    vm->console = g_string_new(NULL);
    vm->err = g_string_new(NULL);
    vm->qmp_in = g_string_new(NULL);
    g_queue_init(&vm->events);
    newest = vm;
    return vm;
}

Vm *vm_start_plain(char *const *argv)
{
    return spawn(argv);
}

static void add(GPtrArray *argv, const char *text)
{
    g_ptr_array_add(argv, g_strdup(text));
}

Vm *vm_start(const char *arg, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *dir = g_dir_make_tmp("guest-test-XXXXXX", NULL);
    g_autofree char *path = g_strdup_printf("%s/qmp", dir);
    const char *const fixed[] = {
        paths->vmm,    "-M",           "pc",
        "-accel",      "kvm",          "-m",
        "512",         "-nodefaults",  "-display",
        "none",        "-serial",      "stdio",
        "-kernel",     paths->vmlinux, "-initrd",
        paths->initrd, "-append",      "console=ttyS0 quiet panic=-1 cryptomgr.notests",
    };
    va_list ap;
    Vm *vm;

    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
        add(argv, fixed[i]);
    }
    add(argv, "-qmp");
    g_ptr_array_add(argv, g_strdup_printf("unix:%s,server=on,wait=off", path));
    va_start(ap, arg);
    for (; arg; arg = va_arg(ap, const char *)) {
        add(argv, arg);
    }
    va_end(ap);
    g_ptr_array_add(argv, NULL);
    vm = spawn((char *const *)argv->pdata);
    vm->dir = dir;
    vm_connect_qmp(vm, path);
    return vm;
}

/* --- ending --- */

int vm_wait_exit(Vm *vm, int seconds)
{
    for (double end = now() + seconds; vm_alive(vm); pump(vm, 0.05)) {
        if (now() > end) {
            fail("the VMM did not end within %d s", seconds);
        }
    }
    drain(vm);
    if (WIFSIGNALED(vm->status)) {
        fail("the VMM was killed by signal %d (%s)", WTERMSIG(vm->status),
             strsignal(WTERMSIG(vm->status)));
    }
    return WEXITSTATUS(vm->status);
}

static void vm_free(Vm *vm)
{
    const int fds[] = {vm->to_guest, vm->from_guest, vm->errors, vm->qmp};

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    g_string_free(vm->console, TRUE);
    g_string_free(vm->err, TRUE);
    g_string_free(vm->qmp_in, TRUE);
    vm_forget_events(vm);
    json_decref(vm->answer);
    g_free(vm->dir);
    g_free(vm);
    newest = NULL;
}

void vm_finish(Vm *vm)
{
    int status = vm_wait_exit(vm, T_EXIT);

    if (status != 0) {
        fail("the VMM ended with status %d, expected 0", status);
    }
    if (vm->err->len > 0) {
        fail("the VMM wrote to stderr: %s", vm->err->str);
    }
    if (vm->dir && g_rmdir(vm->dir) < 0) {
        fail("the VMM left something in %s", vm->dir);
    }
    vm_free(vm);
}

void vm_power_off(Vm *vm)
{
    vm_type(vm, "poweroff\n");
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-shutdown");
    vm_finish(vm);
}

void vm_kill(Vm *vm)
{
    if (vm_alive(vm)) {
        kill(vm->pid, SIGKILL);
        waitpid(vm->pid, &vm->status, 0);
    }
    if (vm->dir) {
        g_autofree char *path = g_strdup_printf("%s/qmp", vm->dir);

        unlink(path);
        g_rmdir(vm->dir);
    }
    vm_free(vm);
}

/* --- the guest's console --- */

/* A line that the guest has not finished may be a prompt: half a second is enough for the rest of
 * it. */
static void finish_line(Vm *vm, size_t from)
{
    for (double end = now() + 0.5; now() < end && !strchr(vm->console->str + from, '\n');) {
        pump(vm, 0.05);
    }
}

/* Seconds of processor time that the VMM and its guest have used. */
static double cpu_seconds(Vm *vm)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)vm->pid), *text = NULL;
    unsigned long user = 0, system = 0;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !strrchr(text, ')') ||
        sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2) {
        return 0;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/*
 * A guest that waits for something that got lost is idle; one that uses the processor is slow
 * because the machine has other things to do, and gets more time, up to PATIENCE times as much.
 */
typedef struct {
    int seconds, left;
    double begin, cpu;
} Patience;

static Patience patience_begin(Vm *vm, int seconds)
{
    return (Patience){seconds, PATIENCE, now(), cpu_seconds(vm)};
}

static bool patience_over(Vm *vm, Patience *p)
{
    double cpu;

    if (now() < p->begin + p->seconds) {
        return false;
    }
    cpu = cpu_seconds(vm);
    if (--p->left == 0 || cpu - p->cpu < (now() - p->begin) / 4) {
        return true;
    }
    p->begin = now();
    p->cpu = cpu;
    return false;
}

char *vm_wait_console(Vm *vm, const char *text, int seconds)
{
    Patience patience = patience_begin(vm, seconds);
    unsigned resets = vm->resets;
    double asked = now();

    for (;;) {
        const char *at = strstr(vm->console->str + vm->seen, text);
        const char *eol = at ? strchr(at, '\n') : NULL;

        if (at && !eol) {
            finish_line(vm, (size_t)(at - vm->console->str));
            at = strstr(vm->console->str + vm->seen, text);
            eol = strchr(at, '\n') ?: at + strlen(at);
        }
        if (at) {
            const char *begin = at;

            while (begin > vm->console->str && begin[-1] != '\n') {
                begin--;
            }
            vm->seen = (size_t)(eol - vm->console->str);
            return g_strndup(begin, (gsize)(eol - begin));
        }
        if (!vm_alive(vm)) {
            drain(vm);
            fail("the VMM ended (wait status 0x%x) before '%s' appeared", (unsigned)vm->status,
                 text);
        }
        if (vm->asking && vm->resets != resets) {
            fail("the guest was reset before '%s' appeared", text);
        }
        if (patience_over(vm, &patience)) {
            fail("'%s' did not appear within %.0f s", text, now() - asked);
        }
        pump(vm, 0.1);
    }
}

bool vm_has_said(Vm *vm, const char *text)
{
    return strstr(vm->console->str + vm->seen, text) != NULL;
}

void vm_wait_ready(Vm *vm)
{
    g_free(vm_wait_console(vm, "AEROSTAT-READY", T_BOOT));
}

void vm_type(Vm *vm, const char *text)
{
    size_t len = strlen(text);

    if (write(vm->to_guest, text, len) != (ssize_t)len) {
        fail("cannot write to the console: %s", strerror(errno));
    }
}

char *vm_ask(Vm *vm, int *ret_status, const char *command)
{
    size_t before = vm->console->len;
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    g_autofree char *done = NULL;
    char *answer, *end;

    vm->seen = before;
    vm_type(vm, line);
    vm->asking = true;
    done = vm_wait_console(vm, "AEROSTAT-DONE", T_REPLY);
    vm->asking = false;
    *ret_status = atoi(strstr(done, "AEROSTAT-DONE") + strlen("AEROSTAT-DONE"));
    answer = g_strdup(vm->console->str + before);
    end = strstr(answer, "AEROSTAT-DONE");
    *end = '\0';
    return answer;
}

char *vm_ask_ok(Vm *vm, const char *command)
{
    int status;
    char *answer = vm_ask(vm, &status, command);

    if (status != 0) {
        fail("'%s' in the guest: status %d: %s", command, status, answer);
    }
    return answer;
}

uint64_t vm_meminfo(Vm *vm, const char *key)
{
    g_autofree char *command = g_strconcat("meminfo ", key, NULL);
    g_autofree char *text = vm_ask_ok(vm, command);
    g_autofree char *word = g_strconcat(key, ":", NULL);
    const char *at = strstr(text, word);

    if (!at) {
        fail("no %s in the guest's meminfo", key);
    }
    return strtoull(at + strlen(word), NULL, 10) * 1024;
}

double vm_uptime(Vm *vm)
{
    g_autofree char *text = vm_ask_ok(vm, "uptime");
    const char *at = strstr(text, "uptime=");

    if (!at) {
        fail("no uptime: %s", text);
    }
    return strtod(at + strlen("uptime="), NULL);
}

/* --- QMP --- */

static json_t *wait_answer(Vm *vm, const char *what)
{
    double end = now() + T_REPLY;

    while (!vm->answer) {
        if (vm->qmp < 0 || !vm_alive(vm)) {
            vm_wait_exit(vm, T_EXIT);
            fail("QMP: the connection ended during %s", what);
        }
        if (now() > end) {
            fail("QMP: no answer to %s within %d s", what, T_REPLY);
        }
        pump(vm, 0.1);
    }
    return g_steal_pointer(&vm->answer);
}

static json_t *execute(Vm *vm, const char *command, json_t *args)
{
    json_t *request = json_pack("{s:s, s:o*}", "execute", command, "arguments", args);
    char *text = json_dumps(request, JSON_COMPACT);
    size_t len = strlen(text);

    if (write(vm->qmp, text, len) != (ssize_t)len) {
        fail("QMP: cannot send %s: %s", command, strerror(errno));
    }
    free(text);
    json_decref(request);
    return wait_answer(vm, command);
}

void vm_connect_qmp(Vm *vm, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    double end = now() + T_REPLY;
    json_t *greeting;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    while (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        if (!vm_alive(vm)) {
            drain(vm);
            fail("the VMM ended at once (wait status 0x%x)", (unsigned)vm->status);
        }
        if (now() > end) {
            fail("%s: cannot connect: %s", path, strerror(errno));
        }
        pump(vm, 0.02);
    }
    vm->qmp = fd;
    greeting = wait_answer(vm, "greeting");
    if (!json_object_get(greeting, "QMP")) {
        fail("QMP: no greeting");
    }
    json_decref(greeting);
    vm_do(vm, "qmp_capabilities", NULL);
}

json_t *vm_qmp(Vm *vm, const char *command, json_t *args)
{
    json_t *answer = execute(vm, command, args), *result = json_object_get(answer, "return");

    if (!result) {
        fail("QMP %s: %s", command,
             json_string_value(json_object_get(json_object_get(answer, "error"), "desc")));
    }
    json_incref(result);
    json_decref(answer);
    return result;
}

void vm_do(Vm *vm, const char *command, json_t *args)
{
    json_decref(vm_qmp(vm, command, args));
}

char *vm_qmp_error(Vm *vm, const char *command, json_t *args)
{
    json_t *answer = execute(vm, command, args), *error = json_object_get(answer, "error");
    char *text;

    if (!error) {
        fail("QMP %s: succeeded, should have failed", command);
    }
    text = g_strdup_printf("%s: %s", json_string_value(json_object_get(error, "class")),
                           json_string_value(json_object_get(error, "desc")));
    json_decref(answer);
    return text;
}

static json_t *find_event(Vm *vm, const char *name)
{
    for (GList *l = vm->events.head; l; l = l->next) {
        json_t *event = l->data;

        if (!g_strcmp0(json_string_value(json_object_get(event, "event")), name)) {
            g_queue_delete_link(&vm->events, l);
            return event;
        }
    }
    return NULL;
}

json_t *vm_wait_event(Vm *vm, const char *name, int seconds)
{
    double end = now() + seconds;
    json_t *event;

    while (!(event = find_event(vm, name))) {
        if (now() > end) {
            fail("QMP: no event %s within %d s", name, seconds);
        }
        if (vm->qmp < 0) {
            fail("QMP: the connection ended before the event %s", name);
        }
        pump(vm, 0.1);
    }
    return event;
}

void vm_forget_events(Vm *vm)
{
    json_t *event;

    while ((event = g_queue_pop_head(&vm->events))) {
        json_decref(event);
    }
}

void vm_expect_cause(Vm *vm, const char *event, bool guest, const char *reason)
{
    json_t *e = vm_wait_event(vm, event, T_BOOT), *data = json_object_get(e, "data");
    const char *got = json_string_value(json_object_get(data, "reason"));

    if (json_is_true(json_object_get(data, "guest")) != guest || g_strcmp0(got, reason) != 0) {
        fail("event %s: expected guest=%d reason=%s, got %s", event, guest, reason,
             json_dumps(e, 0));
    }
    json_decref(e);
}

void vm_expect_status(Vm *vm, const char *status)
{
    json_t *r = vm_qmp(vm, "query-status", NULL);
    const char *got = json_string_value(json_object_get(r, "status"));

    if (g_strcmp0(got, status) != 0 ||
        json_is_true(json_object_get(r, "running")) != !strcmp(status, "running")) {
        fail("query-status: expected '%s', got %s", status, json_dumps(r, 0));
    }
    json_decref(r);
}

/* --- the balloon --- */

uint64_t vm_balloon(Vm *vm)
{
    json_t *r = vm_qmp(vm, "query-balloon", NULL);
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(r, "actual"));

    json_decref(r);
    return bytes;
}

void vm_set_balloon(Vm *vm, uint64_t bytes)
{
    double end = now() + T_REPLY;

    vm_do(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)bytes));
    for (uint64_t got; (got = vm_balloon(vm)) != bytes; vm_sleep(vm, 0.05)) {
        if (now() > end) {
            fail("the guest has %" G_GUINT64_FORMAT " MiB, asked for %" G_GUINT64_FORMAT, got / MiB,
                 bytes / MiB);
        }
    }
}

static void expect_total_changed(Vm *vm, uint64_t from, int64_t wanted)
{
    int64_t change = (int64_t)(vm_meminfo(vm, "MemTotal") - from);

    if (!near(change, wanted)) {
        fail("the guest's memory changed by %.1f MiB, not by %.1f", (double)change / MiB,
             (double)wanted / MiB);
    }
}

void vm_expect_balloon_works(Vm *vm)
{
    uint64_t full = vm_meminfo(vm, "MemTotal"), less;

    vm_set_balloon(vm, 496 * MiB);
    expect_total_changed(vm, full, -16 * (int64_t)MiB);
    less = vm_meminfo(vm, "MemTotal");
    vm_set_balloon(vm, 512 * MiB);
    expect_total_changed(vm, less, 16 * (int64_t)MiB);
    passed("the balloon took 16 MiB and gave them back");
}

/* --- measuring --- */

uint64_t vm_resident(Vm *vm)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", (int)vm->pid);
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !(at = strstr(text, "Rss:"))) {
        fail("%s cannot be read", path);
    }
    return strtoull(at + strlen("Rss:"), NULL, 10) * 1024;
}

bool near(int64_t got, int64_t wanted)
{
    return llabs(got - wanted) <= llabs(wanted) / 10;
}

/* --- sockets --- */

int connect_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    return fd;
}
