/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Collects the events of a boot and writes them. Times are of CLOCK_BOOTTIME, in which the kernel
 * tells when a process was started (in steps of 10 ms, so that the time until main is that rough).
 */
#include "core/boot-trace.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"

enum { EVENTS_MAX = 1 << 16, LINE_MAX_BYTES = 256, VCPUS = 256 };

typedef struct {
    char *name, *detail;
    int64_t begin, length; /* ns; length -1: a moment */
    int tid;
} Event;

typedef struct {
    char *label;
    uint64_t reads, writes;
} Exits;

typedef struct {
    char text[LINE_MAX_BYTES];
    size_t len;
} Line;

bool boot_trace_on_;

static struct {
    pthread_mutex_t lock;
    int64_t exec, program;
    FILE *file;
    char *path, *init;
    GArray *events;      /* of Event */
    GHashTable *threads; /* tid to name */
    GHashTable *firsts;  /* of name, to a GHashTable that is a set of objects */
    GHashTable *exits;   /* of IoRegion *, to Exits */
    GPtrArray *gone;     /* of Exits: of regions that are no longer mapped */
    uint64_t entry;
    bool has_entry, exited, userspace;
    bool ran[VCPUS];
    Line lines[BOOT_CONSOLES];
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- time --- */

int64_t boot_trace_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void boot_trace_program_begins(void)
{
    trace.program = boot_trace_now();
}

/* proc(5), stat: the 22nd field; the second may hold spaces, and ends with ')'. */
static int64_t exec_time(void)
{
    g_autofree char *text = NULL;
    const char *rest;
    uint64_t ticks;

    if (!g_file_get_contents("/proc/self/stat", &text, NULL, NULL) ||
        !(rest = strrchr(text, ')')) ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
               "%*d %" SCNu64,
               &ticks) != 1) {
        return trace.program;
    }
    return (int64_t)(ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
}

/* --- events; with the lock --- */

static void event_clear(void *opaque)
{
    Event *e = opaque;

    g_free(e->name);
    g_free(e->detail);
}

static void note_thread(int tid)
{
    char name[16] = "";

    if (!g_hash_table_contains(trace.threads, GINT_TO_POINTER(tid))) {
        pthread_getname_np(pthread_self(), name, sizeof name);
        g_hash_table_insert(trace.threads, GINT_TO_POINTER(tid), g_strdup(name));
    }
}

/* Takes name and detail over. */
static void add(char *name, char *detail, int64_t begin, int64_t length)
{
    Event e = {name, detail, begin, length, gettid()};

    if (trace.events->len == EVENTS_MAX) {
        event_clear(&e);
        return;
    }
    note_thread(e.tid);
    g_array_append_val(trace.events, e);
}

void boot_trace_span(const char *name, const char *of, int64_t begin_ns)
{
    pthread_mutex_lock(&trace.lock);
    add(of ? g_strdup_printf("%s %s", name, of) : g_strdup(name), NULL, begin_ns,
        boot_trace_now() - begin_ns);
    pthread_mutex_unlock(&trace.lock);
}

void boot_trace_event(const char *name, const char *detail)
{
    pthread_mutex_lock(&trace.lock);
    add(g_strdup(name), g_strdup(detail), boot_trace_now(), -1);
    pthread_mutex_unlock(&trace.lock);
}

char *boot_trace_label(Object *obj)
{
    if (obj->parent && !g_strcmp0(obj->name, "virtio-backend")) {
        obj = obj->parent;
    }
    return g_strdup_printf("%s %s", object_type_name(obj), obj->name ?: "");
}

void boot_trace_first(const char *name, Object *obj)
{
    GHashTable *objects;

    pthread_mutex_lock(&trace.lock);
    objects = g_hash_table_lookup(trace.firsts, name);
    if (!objects) {
        objects = g_hash_table_new(NULL, NULL);
        g_hash_table_insert(trace.firsts, (void *)name, objects);
    }
    if (g_hash_table_add(objects, obj)) {
        g_autofree char *label = boot_trace_label(obj);

        add(g_strdup_printf("%s %s", name, label), NULL, boot_trace_now(), -1);
    }
    pthread_mutex_unlock(&trace.lock);
}

void boot_trace_forget(const Object *obj)
{
    GHashTableIter iter;
    void *objects;

    pthread_mutex_lock(&trace.lock);
    g_hash_table_iter_init(&iter, trace.firsts);
    while (g_hash_table_iter_next(&iter, NULL, &objects)) {
        g_hash_table_remove(objects, obj);
    }
    pthread_mutex_unlock(&trace.lock);
}

/* --- vCPUs --- */

void boot_trace_loaded(uint64_t entry)
{
    trace.entry = entry;
    trace.has_entry = true;
}

/* There is no firmware: vCPU 0 begins with the kernel's first instruction. */
void boot_trace_vcpu_runs(unsigned vcpu)
{
    int64_t now = boot_trace_now();

    pthread_mutex_lock(&trace.lock);
    if (vcpu < VCPUS && !trace.ran[vcpu]) {
        trace.ran[vcpu] = true;
        add(g_strdup_printf("first KVM_RUN of vCPU %u", vcpu), NULL, now, -1);
        if (vcpu == 0 && trace.has_entry) {
            add(g_strdup("kernel entry"), g_strdup_printf("rip 0x%" PRIx64, trace.entry), now, -1);
        }
    }
    pthread_mutex_unlock(&trace.lock);
}

static void exits_free(void *opaque)
{
    Exits *e = opaque;

    g_free(e->label);
    g_free(e);
}

typedef struct {
    const char *place;
    Object *found;
} OwnerSearch;

/* A device's regions are members of its state. */
static bool is_owner(Object *obj, void *opaque)
{
    OwnerSearch *s = opaque;
    const TypeInfo *type = obj->klass->type;

    while (type && type->instance_size == 0) {
        type = type->parent;
    }
    if (type && s->place >= (const char *)obj &&
        s->place < (const char *)obj + type->instance_size) {
        s->found = obj;
    }
    return !s->found;
}

static char *owner_label(Object *root, const IoRegion *region)
{
    OwnerSearch search = {.place = (const char *)region};

    if (!region) {
        return g_strdup("nothing there");
    }
    object_foreach(root, is_owner, &search);
    return search.found ? boot_trace_label(search.found) : g_strdup(region->name);
}

void boot_trace_exit(Object *root, const IoRegion *region, bool write)
{
    Exits *e;

    pthread_mutex_lock(&trace.lock);
    if (!trace.exited) {
        trace.exited = true;
        add(g_strdup("first exit"), NULL, boot_trace_now(), -1);
    }
    e = g_hash_table_lookup(trace.exits, region);
    if (!e) {
        e = g_new0(Exits, 1);
        e->label = owner_label(root, region);
        g_hash_table_insert(trace.exits, (void *)region, e);
    }
    *(write ? &e->writes : &e->reads) += 1;
    pthread_mutex_unlock(&trace.lock);
}

static gboolean has_label(const void *exits, const void *label)
{
    return !strcmp(((const Exits *)exits)->label, label);
}

/* A region moves often while a guest places BARs: what has one label is one entry. */
void boot_trace_unmapped(const IoRegion *region)
{
    void *key, *exits;
    guint i;

    pthread_mutex_lock(&trace.lock);
    if (g_hash_table_steal_extended(trace.exits, region, &key, &exits)) {
        Exits *e = exits;

        if (g_ptr_array_find_with_equal_func(trace.gone, e->label, has_label, &i)) {
            Exits *older = trace.gone->pdata[i];

            older->reads += e->reads;
            older->writes += e->writes;
            exits_free(e);
        } else {
            g_ptr_array_add(trace.gone, e);
        }
    }
    pthread_mutex_unlock(&trace.lock);
}

/* --- the console --- */

static bool is_userspace(const Line *line)
{
    if (trace.init) {
        return strstr(line->text, trace.init) != NULL;
    }
    return line->len > 0 && line->text[0] != '[';
}

static void line_end(Line *line)
{
    line->text[line->len] = '\0';
    if (!trace.userspace && is_userspace(line)) {
        trace.userspace = true;
        add(g_strdup("init line"), g_strdup(line->text), boot_trace_now(), -1);
    }
    line->len = 0;
}

void boot_trace_console(BootConsole console, const uint8_t *bytes, size_t len)
{
    Line *line = &trace.lines[console];

    pthread_mutex_lock(&trace.lock);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            line_end(line);
        } else if (bytes[i] >= ' ' && bytes[i] < 0x7f && line->len < sizeof line->text - 1) {
            line->text[line->len++] = (char)bytes[i];
        }
    }
    pthread_mutex_unlock(&trace.lock);
}

/* --- beginning and end --- */

bool boot_trace_begin(const char *path, const char *init, GError **err)
{
    FILE *file;

    if (boot_trace_on_) {
        return error_set(err, "it is written to %s already", trace.path);
    }
    file = fopen(path, "we");
    if (!file) {
        return error_set_errno(err, errno, "cannot open");
    }
    trace.file = file;
    trace.path = g_strdup(path);
    trace.init = g_strdup(init);
    trace.events = g_array_new(FALSE, FALSE, sizeof(Event));
    g_array_set_clear_func(trace.events, event_clear);
    trace.threads = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    trace.firsts =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_hash_table_unref);
    trace.exits = g_hash_table_new_full(NULL, NULL, NULL, exits_free);
    trace.gone = g_ptr_array_new_with_free_func(exits_free);
    trace.exec = exec_time();
    trace.program = trace.program ?: boot_trace_now();
    add(g_strdup("exec"), NULL, trace.exec, MAX(trace.program - trace.exec, 0));
    boot_trace_on_ = true;
    return true;
}

static double micros(int64_t ns)
{
    return (double)ns / 1000;
}

static json_t *describe_event(const Event *e)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:f, s:i, s:i}", "name", e->name, "cat", "boot", "ph",
                          e->length < 0 ? "i" : "X", "ts", micros(e->begin - trace.exec), "pid",
                          getpid(), "tid", e->tid);

    if (!o) { /* a name that is not UTF-8 */
        return json_object();
    }
    if (e->length < 0) {
        json_object_set_new(o, "s", json_string("p"));
    } else {
        json_object_set_new(o, "dur", json_real(micros(e->length)));
    }
    if (e->detail) {
        json_object_set_new(o, "args", json_pack("{s:s}", "detail", e->detail));
    }
    return o;
}

static json_t *describe_thread(int tid, const char *name)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid",
                     getpid(), "tid", tid, "args", "name", name);
}

static void add_exits(json_t *all, const Exits *e)
{
    json_t *one = json_object_get(all, e->label);
    json_int_t reads = (json_int_t)e->reads, writes = (json_int_t)e->writes;

    if (one) {
        reads += json_integer_value(json_object_get(one, "reads"));
        writes += json_integer_value(json_object_get(one, "writes"));
    }
    json_object_set_new(all, e->label, json_pack("{s:I, s:I}", "reads", reads, "writes", writes));
}

/* The regions of a device together. */
static json_t *exits_by_device(void)
{
    json_t *all = json_object();
    GHashTableIter iter;
    void *value;

    for (unsigned i = 0; i < trace.gone->len; i++) {
        add_exits(all, trace.gone->pdata[i]);
    }
    g_hash_table_iter_init(&iter, trace.exits);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        add_exits(all, value);
    }
    return all;
}

static int by_time(const void *a, const void *b)
{
    const Event *x = a, *y = b;

    return (x->begin > y->begin) - (x->begin < y->begin);
}

static json_t *describe(json_t *exits)
{
    json_t *list = json_array();
    GHashTableIter iter;
    void *tid, *name;

    g_hash_table_iter_init(&iter, trace.threads);
    while (g_hash_table_iter_next(&iter, &tid, &name)) {
        json_array_append_new(list, describe_thread(GPOINTER_TO_INT(tid), name));
    }
    for (unsigned i = 0; i < trace.events->len; i++) {
        json_array_append_new(list, describe_event(&g_array_index(trace.events, Event, i)));
    }
    return json_pack("{s:o, s:s, s:{s:O}}", "traceEvents", list, "displayTimeUnit", "ms",
                     "otherData", "exits", exits);
}

static void print_summary(json_t *exits)
{
    const char *label;
    json_t *one;

    fprintf(stderr, "aerostat: boot trace, in ms since exec (%s)\n", trace.path);
    for (unsigned i = 0; i < trace.events->len; i++) {
        const Event *e = &g_array_index(trace.events, Event, i);

        fprintf(stderr, "  %10.3f  %s%s%s", micros(e->begin - trace.exec) / 1000, e->name,
                e->detail ? ": " : "", e->detail ?: "");
        if (e->length >= 0) {
            fprintf(stderr, ", took %.3f", micros(e->length) / 1000);
        }
        fputc('\n', stderr);
    }
    fprintf(stderr, "aerostat: exits by device: reads, writes\n");
    json_object_foreach(exits, label, one)
    {
        fprintf(stderr, "  %10" JSON_INTEGER_FORMAT " %10" JSON_INTEGER_FORMAT "  %s\n",
                json_integer_value(json_object_get(one, "reads")),
                json_integer_value(json_object_get(one, "writes")), label);
    }
}

static int write_bytes(const char *bytes, size_t len, void *file)
{
    return fwrite(bytes, 1, len, file) == len ? 0 : -1;
}

/* The file is closed in any case: only then is it known whether all is written. */
static bool write_file(json_t *exits)
{
    json_t *all = describe(exits);
    bool ok = all && json_dump_callback(all, write_bytes, trace.file, JSON_INDENT(1)) == 0 &&
              fputc('\n', trace.file) != EOF && fflush(trace.file) == 0;
    int why = ok ? 0 : errno;

    if (fclose(trace.file) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (!ok) {
        log_error("-trace-boot %s: cannot write: %s", trace.path, g_strerror(why));
    }
    json_decref(all);
    return ok;
}

bool boot_trace_end(bool summary)
{
    json_t *exits;
    bool ok;

    if (!boot_trace_on_) {
        return true;
    }
    boot_trace_on_ = false;
    exits = exits_by_device();
    g_array_sort(trace.events, by_time);
    ok = write_file(exits);
    if (summary) {
        print_summary(exits);
    }
    json_decref(exits);
    g_clear_pointer(&trace.path, g_free);
    g_clear_pointer(&trace.init, g_free);
    g_clear_pointer(&trace.events, g_array_unref);
    g_clear_pointer(&trace.threads, g_hash_table_unref);
    g_clear_pointer(&trace.firsts, g_hash_table_unref);
    g_clear_pointer(&trace.exits, g_hash_table_unref);
    g_clear_pointer(&trace.gone, g_ptr_array_unref);
    return ok;
}
