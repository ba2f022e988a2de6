/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -object, see objects.h.
 */
#include "vmm/cli/objects.h"

#include "backends/net.h"
#include "backends/user-creatable.h"
#include "vmm/cli/check.h"

static const TypeInfo *object_type_of(json_t *opts)
{
    const char *name = json_string_value(json_object_get(opts, "qom-type"));

    return name ? user_creatable_find_type(name, NULL) : NULL;
}

static ObjectTurn turn_of(json_t *opts)
{
    const TypeInfo *type = object_type_of(opts);
    const UserCreatableClass *uc =
        type ? object_class_interface(type_class(type), &user_creatable_type) : NULL;

    if (uc && uc->after_devices) {
        return OBJECTS_AFTER_DEVICES;
    }
    return type && type_is_a(type, &net_filter_type) ? OBJECTS_AFTER_NETS : OBJECTS_FIRST;
}

void objects_sort(Options *o)
{
    GPtrArray *sorted = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);

    for (ObjectTurn turn = 0; turn < OBJECT_TURNS; turn++) {
        for (unsigned i = 0; i < o->objects->len; i++) {
            json_t *opts = o->objects->pdata[i];

            if (turn_of(opts) == turn) {
                g_ptr_array_add(sorted, json_incref(opts));
            }
        }
    }
    g_ptr_array_unref(o->objects);
    o->objects = sorted;
}

static bool make_object(Vmm *vmm, json_t *opts, GError **err)
{
    const TypeInfo *type = object_type_of(opts);

    if (vmm->opts.check && type &&
        !check_properties(&vmm->opts, vmm->root, type, opts, "-object", "qom-type")) {
        return false;
    }
    if (!(vmm->opts.check ? user_creatable_check : user_creatable_add)(vmm->root, opts, err)) {
        options_say_where(&vmm->opts, opts, err, "-object", "qom-type");
        return false;
    }
    return true;
}

bool objects_make(Vmm *vmm, ObjectTurn turn, GError **err)
{
    const GPtrArray *all = vmm->opts.objects;
    g_autoptr(GPtrArray) now = g_ptr_array_new();

    while (vmm->made_objects < all->len && turn_of(all->pdata[vmm->made_objects]) == turn) {
        g_ptr_array_add(now, all->pdata[vmm->made_objects++]);
    }
    return vmm_make_each(vmm, now, make_object, err);
}
