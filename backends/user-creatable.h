/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that a user makes with -object: types with the interface "user-creatable". They live in /objects/ID, and
 * devices refer to them by id through link properties.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_BACKENDS_USER_CREATABLE_H
#define AEROSTAT_BACKENDS_USER_CREATABLE_H

#include "qom/object.h"

typedef struct {
    ObjectClass parent_class;
    /* Called once when all properties are set; they are frozen after it. NULL: nothing to do. */
    bool (*complete)(Object *obj, GError **err);
    /* Called by a checker instead: refuses what complete would, but makes and opens nothing that others see. NULL: complete
     * does not either. */
    bool (*check)(Object *obj, GError **err);
    bool after_devices; /* refers to a device: made when they are there, not before them */
    bool (*in_use)(Object *obj); /* by somebody who holds no reference. NULL: nobody does that */
} UserCreatableClass;

extern const TypeInfo user_creatable_type;

/*
 * opts is an object with "qom-type", "id" and the type's properties (strings or JSON values). The object lands in
 * /objects/ID of root and is complete. Borrowed; NULL with one line in err.
 */
Object *user_creatable_add(Object *root, json_t *opts, GError **err);

/* The same for a checker. */
Object *user_creatable_check(Object *root, json_t *opts, GError **err);

/* Somebody needs it: it must not be deleted. */
bool user_creatable_in_use(Object *obj);

/* Completes an object that code has made; harmless for a type without complete. */
bool user_creatable_complete(Object *obj, GError **err);

/* The concrete type of that name; NULL with one line and a suggestion. */
const TypeInfo *user_creatable_find_type(const char *name, GError **err);

/* Concrete types, sorted by name. Free with g_ptr_array_unref. */
GPtrArray *user_creatable_types(void);

/* Letters, digits, '-', '.', '_', beginning with a letter: what QEMU takes as an id. */
bool user_id_check(const char *id, GError **err);

/* Whether a file could be made or written at path, as far as can be said without doing it. */
bool user_file_check(const char *path, GError **err);

#endif
