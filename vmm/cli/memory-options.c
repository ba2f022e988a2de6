/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -mem-path and -mem-prealloc, see memory-options.h.
 */
#include "vmm/cli/memory-options.h"

#include <string.h>

#include "backends/user-creatable.h"

void memory_options_prealloc(const Options *o)
{
    for (unsigned i = 0; o->mem_prealloc && i < o->objects->len; i++) {
        json_t *opts = o->objects->pdata[i];
        const char *type = json_string_value(json_object_get(opts, "qom-type"));

        if (type && g_str_has_prefix(type, "memory-backend-") &&
            !json_object_get(opts, "prealloc")) {
            json_object_set_new(opts, "prealloc", json_true());
        }
    }
}

/* The machine's name without "-machine", as in QEMU: "pc.ram". */
static char *backend_id(Machine *m)
{
    const char *type = object_type_name(m);
    size_t len = strcspn(type, "-");

    return g_strdup_printf("%.*s.ram", (int)len, type);
}

bool memory_options_make(const Options *o, Machine *m, GError **err)
{
    g_autofree char *id = NULL;
    json_t *opts;
    bool ok;

    if (!o->mem_path && (!o->mem_prealloc || m->memory_backend)) {
        return true;
    }
    if (m->memory_backend) {
        return error_set(err, "-mem-path and -M memory-backend=%s exclude each other",
                         m->memory_backend);
    }
    id = backend_id(m);
    opts = json_pack("{s:s, s:s, s:I, s:b}", "qom-type",
                     o->mem_path ? "memory-backend-file" : "memory-backend-ram", "id", id, "size",
                     (json_int_t)m->ram_size, "prealloc", o->mem_prealloc);
    if (o->mem_path) {
        json_object_set_new(opts, "mem-path", json_string(o->mem_path));
    }
    ok = user_creatable_add(m->platform.root, opts, err) != NULL;
    json_decref(opts);
    if (!ok) {
        g_prefix_error(err, "%s: ", o->mem_path ? "-mem-path" : "-mem-prealloc");
        return false;
    }
    m->memory_backend = g_steal_pointer(&id);
    return true;
}
