/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands that make and delete the objects of -object.
 */
#include "vmm/monitor/qmp-command.h"

#include "backends/user-creatable.h"

static Object *objects(Machine *m)
{
    return object_container(m->platform.root, "objects");
}

static json_t *run_object_add(Machine *m, json_t *args, GError **err)
{
    return user_creatable_add(m->platform.root, args, err) ? json_object() : NULL;
}

static json_t *run_object_del(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    Object *obj = object_child(objects(m), id);

    if (!obj) {
        error_set(err, "object '%s' not found", id);
        return NULL;
    }
    if (user_creatable_in_use(obj)) {
        error_set(err, "object '%s' is in use, can not be deleted", id);
        return NULL;
    }
    object_unparent(obj);
    return json_object();
}

const QmpCommand qmp_object_commands[] = {
    {.name = "object-add",
     .help = "make an object, with arguments as after -object",
     .args = {{"qom-type", QMP_ARG_STR, false}, {"id", QMP_ARG_STR, false}},
     .open = true,
     .run = run_object_add},
    {.name = "object-del",
     .help = "delete an object that is not in use",
     .args = {{"id", QMP_ARG_STR, false}},
     .run = run_object_del},
    {0},
};
