/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory bill. One reading of /proc/self/smaps gives the resident bytes of each mapping. Of
 * them, first, what an owner tells of is taken: objects and their memory, rings, stacks of threads.
 * The rest of a mapping goes to whoever the mapping is: guest RAM, a file, the heap, KVM. What is
 * left in anonymous mappings that nobody knows is unaccounted.
 */
#include "vmm/monitor/memory-bill.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/hostmem.h"
#include "core/thread-stack.h"

enum {
    SMALL = 64 << 10,       /* up to here what is allocated counts as resident */
    ARENA_ALIGN = 64 << 20, /* glibc: HEAP_MAX_SIZE, of threads' arenas */
};

typedef struct {
    uintptr_t start, end;
    char *path; /* as smaps has it; "": anonymous */
    uint64_t resident, known;
    bool has_heap; /* something that malloc gave out lies here */
    bool writable;
} Mapping;

typedef struct {
    Machine *m;
    GArray *maps;        /* of Mapping, in order of address */
    GHashTable *rows;    /* "KIND\tOWNER" to uint64_t * */
    const char *owner;   /* while it tells */
    uint64_t heap_known; /* of what malloc gave out, without mappings of its own */
} Bill;

/* --- rows --- */

static void add_row(Bill *b, const char *kind, const char *owner, uint64_t bytes)
{
    g_autofree char *key = g_strconcat(kind, "\t", owner, NULL);
    uint64_t *sum = g_hash_table_lookup(b->rows, key);

    if (bytes == 0) {
        return;
    }
    if (!sum) {
        sum = g_new0(uint64_t, 1);
        g_hash_table_insert(b->rows, g_steal_pointer(&key), sum);
    }
    *sum += bytes;
}

/* --- mappings --- */

static void mapping_clear(void *opaque)
{
    g_free(((Mapping *)opaque)->path);
}

static void take_line(Bill *b, const char *line)
{
    uintptr_t start, end;
    char perms[5], *path;
    uint64_t kib;
    int at = 0;

    if (sscanf(line, "%zx-%zx %4s %*x %*x:%*x %*u %n", &start, &end, perms, &at) == 3 && at > 0) {
        Mapping map = {start, end, NULL, 0, 0, false, perms[1] == 'w'};

        path = g_strdup(line + at);
        map.path = g_strchomp(path);
        g_array_append_val(b->maps, map);
    } else if (b->maps->len > 0 && sscanf(line, "Rss: %" G_GUINT64_FORMAT " kB", &kib) == 1) {
        g_array_index(b->maps, Mapping, b->maps->len - 1).resident = kib << 10;
    }
}

static bool read_maps(Bill *b, GError **err)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char *line = NULL;
    size_t room = 0;

    if (!f) {
        return error_set(err, "cannot read /proc/self/smaps");
    }
    while (getline(&line, &room, f) >= 0) {
        take_line(b, line);
    }
    free(line);
    fclose(f);
    return true;
}

static Mapping *find_mapping(Bill *b, uintptr_t addr)
{
    unsigned low = 0, high = b->maps->len;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (g_array_index(b->maps, Mapping, mid).end <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == b->maps->len || g_array_index(b->maps, Mapping, low).start > addr) {
        return NULL;
    }
    return &g_array_index(b->maps, Mapping, low);
}

/* --- what owners tell of --- */

/* Whole pages; the range may have holes. */
static uint64_t resident_of(uintptr_t start, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = start & ~(page - 1),
              end = start + bytes;
    size_t pages = (end - from + page - 1) / page;
    g_autofree unsigned char *there = g_malloc(pages);
    uint64_t sum = 0;

    if (mincore((void *)from, pages * page, there) < 0) {
        return 0;
    }
    for (size_t i = 0; i < pages; i++) {
        uintptr_t first = MAX(from + i * page, start), last = MIN(from + (i + 1) * page, end);

        sum += there[i] & 1 ? last - first : 0;
    }
    return sum;
}

/* What crosses into another mapping is the mapping's that it begins in. */
static uint64_t take_known(Bill *b, const char *kind, const char *owner, const void *start,
                           size_t bytes)
{
    Mapping *map = find_mapping(b, (uintptr_t)start);
    uint64_t resident;

    if (!map || bytes == 0) {
        return 0;
    }
    resident = bytes <= SMALL ? bytes : resident_of((uintptr_t)start, bytes);
    resident = MIN(resident, map->resident - map->known);
    map->known += resident;
    add_row(b, kind, owner, resident);
    return resident;
}

static void take_heap(Bill *b, const char *kind, const char *owner, const void *start, size_t bytes)
{
    uint64_t taken = take_known(b, kind, owner, start, bytes);
    Mapping *map = find_mapping(b, (uintptr_t)start);

    if (map) {
        map->has_heap = true;
    }
    if (map && (!strcmp(map->path, "[heap]") || map->start % ARENA_ALIGN == 0)) {
        b->heap_known += taken;
    }
}

static void on_tell(void *opaque, const char *kind, const void *start, size_t bytes)
{
    Bill *b = opaque;

    if (!strcmp(kind, MEMORY_RING)) { /* in guest RAM */
        take_known(b, kind, b->owner, start, bytes);
    } else {
        take_heap(b, kind, b->owner, start, bytes);
    }
}

static bool take_object(Object *obj, void *opaque)
{
    Bill *b = opaque;
    g_autofree char *path = object_path(obj);

    b->owner = path ?: object_type_name(obj);
    take_heap(b, "object", b->owner, obj, malloc_usable_size(obj));
    if (obj->klass->memory) {
        obj->klass->memory(obj, on_tell, b);
    }
    return true;
}

static void take_stack(void *opaque, const char *name, const void *start, size_t size)
{
    Bill *b = opaque;
    uintptr_t at = (uintptr_t)start, end = at + size;

    while (at < end) { /* a guard page, and the stack behind it */
        Mapping *map = find_mapping(b, at);
        uintptr_t stop = map ? MIN(map->end, end) : end;

        if (map) {
            take_known(b, "stack", name, (void *)at, stop - at);
        }
        at = stop;
    }
}

/* --- what mappings are --- */

static bool is_object_of(Object *obj, const GmemBlock *block)
{
    return object_is_a(obj, &memory_backend_type) &&
           memory_backend_block(MEMORY_BACKEND(obj)) == block;
}

static const char *owner_of_ram(Bill *b, const GmemBlock *block, char **ret_path)
{
    Object *objects = object_child(b->m->platform.root, "objects");

    for (unsigned i = 0; objects && objects->children && i < objects->children->len; i++) {
        if (is_object_of(objects->children->pdata[i], block)) {
            return *ret_path = object_path(objects->children->pdata[i]);
        }
    }
    return "/machine";
}

/* The block of guest RAM that a mapping is a part of. */
static const GmemBlock *ram_at(Bill *b, const Mapping *map)
{
    GuestMemory *mem = b->m->platform.mem;

    for (unsigned i = 0; i < gmem_region_count(mem); i++) {
        const GmemBlock *block = gmem_region(mem, i)->block;
        uintptr_t host = (uintptr_t)block->host;

        if (map->start < host + block->size && host < map->end) {
            return block;
        }
    }
    return NULL;
}

/* The anonymous rest of a file's data, which lies right behind it. */
static const Mapping *file_before(Bill *b, unsigned i)
{
    const Mapping *map = &g_array_index(b->maps, Mapping, i);
    const Mapping *before = i > 0 ? map - 1 : NULL;

    return before && before->end == map->start && before->path[0] == '/' && map->writable ? before
                                                                                          : NULL;
}

static void add_file(Bill *b, const char *path, uint64_t bytes)
{
    g_autofree char *name = g_path_get_basename(path);

    add_row(b, "file", name, bytes);
}

static bool is_heap(const Mapping *map)
{
    return !strcmp(map->path, "[heap]") ||
           (!*map->path && map->writable && (map->has_heap || map->start % ARENA_ALIGN == 0));
}

/* Returns what is of the heap's own pools, to be told apart later. */
static uint64_t take_rest(Bill *b, unsigned i, uint64_t *unaccounted)
{
    const Mapping *map = &g_array_index(b->maps, Mapping, i), *file;
    uint64_t rest = map->resident - map->known;
    const GmemBlock *block = ram_at(b, map);
    g_autofree char *path = NULL;

    if (block) {
        add_row(b, "ram", owner_of_ram(b, block, &path), rest);
    } else if (map->path[0] == '/') {
        add_file(b, map->path, rest);
    } else if (!strcmp(map->path, "[stack]")) {
        add_row(b, "stack", "main", rest);
    } else if (is_heap(map)) {
        return rest;
    } else if (*map->path) { /* "anon_inode:kvm-vcpu:0", "[vdso]" */
        add_row(b, "kernel", map->path, rest);
    } else if ((file = file_before(b, i))) {
        add_file(b, file->path, rest);
    } else {
        *unaccounted += rest;
    }
    return 0;
}

/* What is in use there, as malloc counts it, and what it keeps. */
static void take_heap_rest(Bill *b, uint64_t rest)
{
    struct mallinfo2 info = mallinfo2();
    uint64_t used = info.uordblks > b->heap_known ? info.uordblks - b->heap_known : 0;

    used = info.uordblks ? MIN(used, rest) : rest; /* a sanitizer's malloc does not count */
    add_row(b, "heap", "in use by others", used);
    add_row(b, "heap", "free", rest - used);
}

/* --- the answer --- */

static int by_bytes(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "bytes"));
    json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "bytes"));

    return (x < y) - (x > y);
}

static json_t *answer(Bill *b, uint64_t resident, uint64_t unaccounted)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    json_t *rows = json_array();
    uint64_t sum = 0;
    GHashTableIter iter;
    void *key, *bytes;

    g_hash_table_iter_init(&iter, b->rows);
    while (g_hash_table_iter_next(&iter, &key, &bytes)) {
        g_auto(GStrv) words = g_strsplit(key, "\t", 2);

        sum += *(uint64_t *)bytes;
        g_ptr_array_add(sorted, json_pack("{s:s, s:s, s:I}", "owner", words[1], "kind", words[0],
                                          "bytes", (json_int_t) * (uint64_t *)bytes));
    }
    g_ptr_array_sort(sorted, by_bytes);
    for (unsigned i = 0; i < sorted->len; i++) {
        json_array_append_new(rows, sorted->pdata[i]);
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "resident", (json_int_t)resident, "accounted",
                     (json_int_t)sum, "unaccounted", (json_int_t)unaccounted, "rows", rows);
}

json_t *memory_bill(Machine *m, GError **err)
{
    Bill b = {
        .m = m,
        .maps = g_array_new(FALSE, FALSE, sizeof(Mapping)),
        .rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
    };
    uint64_t resident = 0, heap = 0, unaccounted = 0;
    json_t *result = NULL;

    g_array_set_clear_func(b.maps, mapping_clear);
    if (read_maps(&b, err)) {
        object_foreach(m->platform.root, take_object, &b);
        thread_stack_foreach(take_stack, &b);
        for (unsigned i = 0; i < b.maps->len; i++) {
            resident += g_array_index(b.maps, Mapping, i).resident;
            heap += take_rest(&b, i, &unaccounted);
        }
        take_heap_rest(&b, heap);
        result = answer(&b, resident, unaccounted);
    }
    g_array_unref(b.maps);
    g_hash_table_unref(b.rows);
    return result;
}
