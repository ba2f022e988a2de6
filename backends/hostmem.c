/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects memory-backend-ram, -memfd and -file, with the properties that QEMU has for them.
 * Left out: persistent memory.
 */
#include "backends/hostmem.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "qom/property.h"

enum { NODES_MAX = 1024, NODE_BITS = 8 * sizeof(unsigned long) };

struct HostMem {
    Object parent_obj;
    /* properties */
    uint64_t size;
    bool share, prealloc, merge, dump, reserve, canonical_path;
    int policy;
    uint32_t prealloc_threads;
    unsigned long nodes[NODES_MAX / NODE_BITS];
    bool hugetlb, seal, readonly, pmem; /* memfd, memfd, file, file */
    uint64_t hugetlbsize, offset;
    char *mem_path;

    GmemBlock *block; /* NULL: not complete */
    bool taken;
};

struct HostMemClass {
    ObjectClass parent_class;
    bool (*fill)(HostMem *b, GmemBlockSpec *spec, GError **err);
};

static const char *const policy_words[] = {[MPOL_DEFAULT] = "default",
                                           [MPOL_PREFERRED] = "preferred",
                                           [MPOL_BIND] = "bind",
                                           [MPOL_INTERLEAVE] = "interleave",
                                           NULL};

/* --- nodes --- */

static bool has_nodes(const HostMem *b)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(b->nodes); i++) {
        if (b->nodes[i]) {
            return true;
        }
    }
    return false;
}

static json_t *nodes_get(Object *obj, const Property *prop, GError **err)
{
    HostMem *b = MEMORY_BACKEND(obj);
    json_t *list = json_array();

    for (unsigned n = 0; n < NODES_MAX; n++) {
        if (b->nodes[n / NODE_BITS] >> (n % NODE_BITS) & 1) {
            json_array_append_new(list, json_integer(n));
        }
    }
    return list;
}

static bool add_nodes(unsigned long *nodes, uint64_t from, uint64_t to, GError **err)
{
    if (from > to || to >= NODES_MAX) {
        return error_set(err, "host nodes are 0 to %d", NODES_MAX - 1);
    }
    for (uint64_t n = from; n <= to; n++) {
        nodes[n / NODE_BITS] |= 1UL << (n % NODE_BITS);
    }
    return true;
}

/* "0", "0-3", and with commas between them. */
static bool parse_nodes(const char *text, unsigned long *nodes, GError **err)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);

    for (unsigned i = 0; items[i]; i++) {
        g_auto(GStrv) ends = g_strsplit(items[i], "-", 2);
        uint64_t from, to;

        if (!ends[0] || !parse_uint(ends[0], &from, err)) {
            return ends[0] ? false : error_set(err, "a host node is missing");
        }
        to = from;
        if ((ends[1] && !parse_uint(ends[1], &to, err)) || !add_nodes(nodes, from, to, err)) {
            return false;
        }
    }
    return true;
}

static bool nodes_set(Object *obj, const Property *prop, json_t *value, GError **err)
{
    HostMem *b = MEMORY_BACKEND(obj);
    unsigned long nodes[G_N_ELEMENTS(b->nodes)] = {0};
    json_t *item;
    size_t i;

    if (json_is_string(value)) {
        if (!parse_nodes(json_string_value(value), nodes, err)) {
            return false;
        }
    } else if (json_is_integer(value)) {
        if (!add_nodes(nodes, (uint64_t)json_integer_value(value),
                       (uint64_t)json_integer_value(value), err)) {
            return false;
        }
    } else if (!json_is_array(value)) {
        return error_set(err, "expects a list of host nodes, as in 0-1");
    }
    json_array_foreach(value, i, item)
    {
        uint64_t n = json_is_integer(item) ? (uint64_t)json_integer_value(item) : UINT64_MAX;

        if (!add_nodes(nodes, n, n, err)) {
            return false;
        }
    }
    memcpy(b->nodes, nodes, sizeof nodes);
    return true;
}

static bool check_policy(const HostMem *b, GError **err)
{
    if (b->policy == MPOL_DEFAULT && has_nodes(b)) {
        return error_set(err, "host-nodes need a policy other than default: bind, interleave or "
                              "preferred");
    }
    if (b->policy != MPOL_DEFAULT && !has_nodes(b)) {
        return error_set(err, "policy=%s needs host-nodes", policy_words[b->policy]);
    }
    return true;
}

/* Before the first page is there. */
static bool bind_nodes(const HostMem *b, GError **err)
{
    if (b->policy == MPOL_DEFAULT) {
        return true;
    }
    if (syscall(SYS_mbind, b->block->host, b->block->size, b->policy, b->nodes, NODES_MAX + 1UL,
                MPOL_MF_STRICT) == 0) {
        return true;
    }
    return error_set_errno(err, errno, "this host cannot serve policy=%s with these host-nodes",
                           policy_words[b->policy]);
}

/* --- life --- */

/* What the properties ask for. */
static bool make_spec(HostMem *b, GmemBlockSpec *spec, GError **err)
{
    HostMemClass *bc = MEMORY_BACKEND_GET_CLASS(b);

    if (b->size == 0) {
        return error_set(err, "size is missing: give for example size=512M");
    }
    if (b->prealloc && !b->reserve) {
        return error_set(err, "prealloc=on and reserve=off exclude each other");
    }
    *spec = (GmemBlockSpec){.size = b->size, .share = b->share, .no_reserve = !b->reserve};
    return check_policy(b, err) && (!bc->fill || bc->fill(b, spec, err));
}

/* The file as it is; one that is not there yet must not come to be. */
static bool check_file(const GmemBlockSpec *spec, GError **err)
{
    GmemBlockSpec there = *spec;
    GmemBlock *b;
    struct stat st;

    if (stat(spec->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return access(spec->path, W_OK) == 0 ||
               error_set_errno(err, errno, "cannot write to %s", spec->path);
    }
    if (access(spec->path, F_OK) != 0 && !spec->read_only_file) {
        if (!user_file_check(spec->path, err)) {
            g_prefix_error(err, "mem-path=%s: ", spec->path);
            return false;
        }
        return true;
    }
    there.read_only_file = true;
    there.share = false;
    b = gmem_block_new(&there, err);
    gmem_block_unref(b);
    return b != NULL;
}

/* Memory of that size which is only addresses stands in for what others could see or would miss. */
static bool memory_backend_check(Object *obj, GError **err)
{
    HostMem *b = MEMORY_BACKEND(obj);
    GmemBlockSpec spec, stand_in = {.size = b->size, .no_reserve = true};

    if (!make_spec(b, &spec, err) || (spec.path && !check_file(&spec, err))) {
        return false;
    }
    b->block = gmem_block_new(&stand_in, err);
    return b->block && bind_nodes(b, err);
}

static bool memory_backend_complete(Object *obj, GError **err)
{
    HostMem *b = MEMORY_BACKEND(obj);
    GmemBlockSpec spec;

    if (!make_spec(b, &spec, err)) {
        return false;
    }
    b->block = gmem_block_new(&spec, err);
    if (!b->block || !bind_nodes(b, err)) {
        return false;
    }
    if (b->merge) {
        (void)madvise(b->block->host, b->size, MADV_MERGEABLE);
    }
    if (b->dump) {
        (void)madvise(b->block->host, b->size, MADV_DODUMP);
    }
    return !b->prealloc || gmem_block_prealloc(b->block, b->prealloc_threads, err);
}

static void memory_backend_finalize(Object *obj)
{
    gmem_block_unref(MEMORY_BACKEND(obj)->block);
}

GmemBlock *memory_backend_take(HostMem *b, GError **err)
{
    if (b->taken) {
        error_set(err, "the memory backend is in use already");
        return NULL;
    }
    b->taken = true;
    return b->block;
}

static bool memory_backend_in_use(Object *obj)
{
    return MEMORY_BACKEND(obj)->taken;
}

uint64_t memory_backend_size(const HostMem *b)
{
    return b->size;
}

const GmemBlock *memory_backend_block(const HostMem *b)
{
    return b->block;
}

static void memory_backend_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->check = memory_backend_check;
    uc->complete = memory_backend_complete;
    uc->in_use = memory_backend_in_use;
}

static const Property memory_backend_props[] = {
    PROP_SIZE("size", HostMem, size, 0, 0, INT64_MAX / 2, "bytes, as in 512M"),
    PROP_BOOL("prealloc", HostMem, prealloc, false, "make all of it resident at the start"),
    PROP_UINT32("prealloc-threads", HostMem, prealloc_threads, 1, 1, 1024, "threads that do so"),
    PROP_BOOL("merge", HostMem, merge, false, "let the host merge equal pages (KSM)"),
    PROP_BOOL("dump", HostMem, dump, false, "have it in core dumps"),
    PROP_BOOL("reserve", HostMem, reserve, true, "set swap space or huge pages aside for it"),
    PROP_ENUM("policy", HostMem, policy, policy_words, MPOL_DEFAULT,
              "which of host-nodes a page comes from"),
    PROP_CUSTOM("host-nodes", "list", nodes_get, nodes_set, 0, "NUMA nodes of the host, as in 0-1"),
    PROP_BOOL("x-use-canonical-path-for-ramblock-id", HostMem, canonical_path, true,
              "a name that matters to migration alone; taken for libvirt"),
    PROP_END,
};

const TypeInfo memory_backend_type = {
    .name = "memory-backend",
    .abstract = true,
    .instance_size = sizeof(HostMem),
    .instance_finalize = memory_backend_finalize,
    .class_size = sizeof(HostMemClass),
    .class_init = memory_backend_class_init,
    .props = memory_backend_props,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "memory for guest RAM",
};

/* --- ram --- */

static const Property ram_props[] = {
    PROP_BOOL("share", HostMem, share, false, "let other processes map it"),
    PROP_END,
};

const TypeInfo memory_backend_ram_type = {
    .name = "memory-backend-ram",
    .parent = &memory_backend_type,
    .props = ram_props,
    .desc = "guest RAM: anonymous memory",
};

/* --- memfd --- */

static uint64_t default_huge_page(void)
{
    g_autofree char *text = NULL;
    const char *line = NULL;

    if (g_file_get_contents("/proc/meminfo", &text, NULL, NULL)) {
        line = strstr(text, "Hugepagesize:");
    }
    return line ? strtoull(line + strlen("Hugepagesize:"), NULL, 10) << 10 : 2 << 20;
}

static bool memfd_fill(HostMem *b, GmemBlockSpec *spec, GError **err)
{
    spec->memfd = true;
    spec->no_seal = !b->seal;
    if (b->hugetlbsize && !b->hugetlb) {
        return error_set(err, "hugetlbsize needs hugetlb=on");
    }
    if (b->hugetlbsize & (b->hugetlbsize - 1)) {
        return error_set(err, "hugetlbsize must be a power of 2");
    }
    if (b->hugetlb) {
        spec->huge_page = b->hugetlbsize ? b->hugetlbsize : default_huge_page();
        if (b->size % spec->huge_page) {
            return error_set(err, "size must be a multiple of the huge page, %" PRIu64 " bytes",
                             spec->huge_page);
        }
    }
    return true;
}

static void memfd_class_init(ObjectClass *klass, const void *data)
{
    MEMORY_BACKEND_CLASS(klass)->fill = memfd_fill;
}

static const Property memfd_props[] = {
    PROP_BOOL("share", HostMem, share, true, "let other processes map it"),
    PROP_BOOL("hugetlb", HostMem, hugetlb, false, "use huge pages that the host has set aside"),
    PROP_SIZE("hugetlbsize", HostMem, hugetlbsize, 0, 0, UINT64_C(1) << 40,
              "their size; 0: the host's usual one"),
    PROP_BOOL("seal", HostMem, seal, true, "nobody may change its size"),
    PROP_END,
};

const TypeInfo memory_backend_memfd_type = {
    .name = "memory-backend-memfd",
    .parent = &memory_backend_type,
    .class_init = memfd_class_init,
    .props = memfd_props,
    .desc = "guest RAM: a memory file without a name",
};

/* --- file --- */

static bool file_fill(HostMem *b, GmemBlockSpec *spec, GError **err)
{
    if (!b->mem_path || !*b->mem_path) {
        return error_set(err, "mem-path is missing: a file, or a directory to make one in");
    }
    if (b->pmem) {
        return error_set(err, "pmem=on: persistent memory is not supported; with share=on the file "
                              "gets what the guest writes, when the host writes it back");
    }
    if (b->readonly && b->share) {
        return error_set(err, "readonly=on and share=on exclude each other: RAM is written to");
    }
    spec->path = b->mem_path;
    spec->offset = b->offset;
    spec->read_only_file = b->readonly;
    return true;
}

static void file_class_init(ObjectClass *klass, const void *data)
{
    MEMORY_BACKEND_CLASS(klass)->fill = file_fill;
}

static const Property file_props[] = {
    PROP_STRING("mem-path", HostMem, mem_path, NULL,
                "the file, made when it is not there, or a directory for one without a name"),
    PROP_BOOL("share", HostMem, share, false, "the file gets what the guest writes"),
    PROP_BOOL("readonly", HostMem, readonly, false, "the file is only read"),
    PROP_BOOL("pmem", HostMem, pmem, false, "persistent memory: not supported"),
    PROP_SIZE("offset", HostMem, offset, 0, 0, INT64_MAX / 2,
              "where in the file the memory begins"),
    PROP_END,
};

const TypeInfo memory_backend_file_type = {
    .name = "memory-backend-file",
    .parent = &memory_backend_type,
    .class_init = file_class_init,
    .props = file_props,
    .desc = "guest RAM: a file, for example on hugetlbfs",
};
