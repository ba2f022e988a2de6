/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as properties of everything that a user can make: devices, objects, machines. The first
 * byte chooses the type; then come operations: a property, by number or by name, is set from text
 * or from JSON, read, and at some time the device is realized. (fuzz-options has whole command
 * lines, with their own parsing and no JSON values but strings.)
 *
 * What was set can be read, and setting what was read changes nothing; what failed changed nothing,
 * and says why in one line of valid UTF-8.
 */
#include <stdlib.h>
#include <string.h>

#include "backends/user-creatable.h"
#include "core/log.h"
#include "tests/fake-vm.h"
#include "tests/fuzz/fuzz.h"

enum { OPS_MAX = 100, TEXT_MAX = 200 };

typedef struct {
    const TypeInfo *type;
    GPtrArray *props; /* of const Property *, as a lookup in the type finds them */
} Kind;

static FakeVm vm;
static GArray *kinds; /* of Kind */

/* --- the types --- */

static void add_prop(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_ptr_array_add(opaque, (void *)prop);
}

static void add_kind(const TypeInfo *type)
{
    Kind kind = {type, g_ptr_array_new()};

    type_property_foreach(type, add_prop, kind.props);
    g_array_append_val(kinds, kind);
}

static void add_kinds(void)
{
    g_autoptr(GPtrArray) devices = type_list(&device_type, false);
    g_autoptr(GPtrArray) objects = user_creatable_types();
    g_autoptr(GPtrArray) machines = type_list(&machine_type, false);

    kinds = g_array_new(false, false, sizeof(Kind));
    for (unsigned i = 0; i < devices->len; i++) {
        const TypeInfo *type = devices->pdata[i];

        if (DEVICE_CLASS(type_class(type))->user_creatable) {
            add_kind(type);
        }
    }
    for (unsigned i = 0; i < objects->len; i++) {
        const TypeInfo *type = objects->pdata[i];

        if (!type->interface) {
            add_kind(type);
        }
    }
    for (unsigned i = 0; i < machines->len; i++) {
        add_kind(machines->pdata[i]);
    }
}

static void finish(void)
{
    for (unsigned i = 0; i < kinds->len; i++) {
        g_ptr_array_unref(g_array_index(kinds, Kind, i).props);
    }
    g_array_unref(kinds);
    fake_vm_finish(&vm);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_assert(log_set_file("/dev/null", NULL));
    fake_vm_init(&vm);
    g_assert(fake_vm_start(&vm, NULL));
    g_assert(fake_vm_add(&vm, "virtio-serial,id=serial0", NULL));
    add_kinds();
    atexit(finish);
    return 0;
}

/* --- values --- */

/* Words that some parser waits for. */
static const char *const words[] = {
    "on",
    "off",
    "yes",
    "auto",
    "0",
    "1",
    "-1",
    "0x7fffffff",
    "4294967295",
    "64K",
    "1.5G",
    "03.0",
    "1f.7",
    "",
    "/machine",
    "r0",
    "52:54:00:12:34:56",
    "null",
    "true",
    "[]",
    "{\"a\": 1}",
    "18446744073709551615",
    "1e3",
    "\"on\"",
};

static char *pick_text(FuzzInput *in)
{
    size_t len;
    unsigned i = fuzz_u8(in);
    const uint8_t *bytes;

    if (i < G_N_ELEMENTS(words)) {
        return g_strdup(words[i]);
    }
    bytes = fuzz_bytes(in, TEXT_MAX, &len);
    return g_strndup((const char *)bytes, len);
}

static const Property *pick_prop(FuzzInput *in, const Kind *kind)
{
    return kind->props->pdata[fuzz_below(in, MAX(kind->props->len, 1))];
}

/* --- errors and values --- */

static void check_error(GError *err)
{
    g_assert(err && *err->message);
    g_assert(g_utf8_validate(err->message, -1, NULL));
    g_assert(!strchr(err->message, '\n'));
    g_error_free(err);
}

static json_t *read_prop(Object *obj, const char *name)
{
    GError *err = NULL;
    json_t *value = property_get_json(obj, name, &err);

    if (value) {
        g_assert(!err);
    } else {
        check_error(err);
    }
    return value;
}

/* What was read may be written, and reads the same again. */
static void check_set(Object *obj, const Property *prop)
{
    json_t *value = read_prop(obj, prop->name), *again;

    if (prop->kind != PROP_KIND_CUSTOM) {
        g_assert(value && property_was_set(obj, prop->name));
        g_assert(property_set_json(obj, prop->name, value, NULL));
        again = read_prop(obj, prop->name);
        g_assert(json_equal(value, again));
        json_decref(again);
    }
    json_decref(value);
}

static void check_not_set(Object *obj, const Property *prop, json_t *before, GError *err)
{
    json_t *after = read_prop(obj, prop->name);

    check_error(err);
    g_assert(prop->kind == PROP_KIND_CUSTOM || json_equal(before, after));
    json_decref(after);
}

static void set(Object *obj, const Property *prop, const char *text, bool as_json)
{
    json_t *json = as_json ? parse_json(text, strlen(text), NULL) : NULL, *before;
    GError *err = NULL;
    bool ok;

    if (as_json && !json) {
        return;
    }
    before = read_prop(obj, prop->name);
    ok = as_json ? property_set_json(obj, prop->name, json, &err)
                 : property_set_string(obj, prop->name, text, &err);
    if (ok) {
        g_assert(!err);
        check_set(obj, prop);
    } else {
        check_not_set(obj, prop, before, err);
    }
    json_decref(before);
    json_decref(json);
}

static void set_unknown(Object *obj, const char *name)
{
    GError *err = NULL;

    if (!property_find(obj, name, NULL)) {
        g_assert(!property_set_string(obj, name, "1", &err));
        check_error(err);
        err = NULL;
        g_assert(!property_get_json(obj, name, &err));
        check_error(err);
    }
}

/* --- the run --- */

static void realize(Object *obj)
{
    const TypeInfo *wanted = DEVICE_GET_CLASS(obj)->bus_type;
    Device *dev = DEVICE(obj);
    Bus *bus = wanted ? bus_find(vm.m->main_bus, wanted) : vm.m->main_bus;
    GError *err = NULL;

    if (dev->realized || !bus) {
        return;
    }
    if (!device_realize(dev, bus, &err)) {
        check_error(err);
        g_assert(!dev->realized);
    } else {
        device_reset(dev);
    }
}

static void operate(FuzzInput *in, Object *obj, const Kind *kind)
{
    uint8_t op = fuzz_u8(in);
    const Property *prop = pick_prop(in, kind);
    g_autofree char *text = pick_text(in);

    if (op % 8 < 3) {
        set(obj, prop, text, false);
    } else if (op % 8 < 6) {
        set(obj, prop, text, true);
    } else if (op % 8 == 6) {
        set_unknown(obj, text);
    } else if (object_is_a(obj, &device_type)) {
        if (op & 0x80) {
            device_unrealize(DEVICE(obj));
        } else {
            realize(obj);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    const Kind *kind = &g_array_index(kinds, Kind, fuzz_below(&in, kinds->len));
    Object *obj = object_new(kind->type);

    g_assert(object_add_child(vm.root, "it", obj, NULL));
    for (unsigned i = 0; i < OPS_MAX && in.left > 0 && kind->props->len > 0; i++) {
        operate(&in, obj, kind);
    }
    if (object_is_a(obj, &device_type)) {
        device_destroy(DEVICE(obj));
    } else {
        object_unparent(obj);
    }
    fake_vm_settle(&vm);
    return 0;
}
