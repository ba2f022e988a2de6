/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Property values by kind: from text and from JSON into a checked PropertyValue, from there into
 * the field, and from the field to JSON. Nothing here knows about names, freezing or delegates:
 * that is property.c.
 */
#include "qom/internal.h"

#include <string.h>

static void *property_field(Object *obj, const Property *prop)
{
    return (char *)obj + prop->offset;
}

/* --- numbers --- */

/* The table's limits, held within what the field can take; none given (0 to 0) means all of that.
 */
static void number_limits(const Property *prop, uint64_t *ret_min, uint64_t *ret_max)
{
    uint64_t widest = prop->kind == PROP_KIND_UINT8    ? UINT8_MAX
                      : prop->kind == PROP_KIND_UINT16 ? UINT16_MAX
                      : prop->kind == PROP_KIND_UINT32 ? UINT32_MAX
                                                       : UINT64_MAX;

    *ret_min = prop->min;
    *ret_max = prop->max == 0 && prop->min == 0 ? widest : MIN(prop->max, widest);
}

static bool uint_from_string(const Property *prop, const char *text, uint64_t *ret, GError **err)
{
    Number number;
    uint64_t min, max;

    if (!parse_number(text, &number, err)) {
        return false;
    }
    number_limits(prop, &min, &max);
    if (number.negative || number.overflow || number.magnitude < min || number.magnitude > max) {
        return error_set(err, "%s is out of range (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")",
                         text, min, max);
    }
    *ret = number.magnitude;
    return true;
}

static bool int32_from_string(const Property *prop, const char *text, uint64_t *ret, GError **err)
{
    bool limited = prop->min != 0 || prop->max != 0;
    int64_t min = limited ? MAX((int64_t)prop->min, INT32_MIN) : INT32_MIN;
    int64_t max = limited ? MIN((int64_t)prop->max, INT32_MAX) : INT32_MAX;
    Number number;
    int64_t value;

    if (!parse_number(text, &number, err)) {
        return false;
    }
    /* Anything beyond 32 bits is out of range, whatever its sign. */
    value = number.overflow ? INT64_MAX : (int64_t)MIN(number.magnitude, (uint64_t)INT64_MAX);
    value = number.negative ? -value : value;
    if (value < min || value > max) {
        return error_set(err, "%s is out of range (%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ")",
                         text, min, max);
    }
    *ret = (uint64_t)value;
    return true;
}

static bool size_from_string(const Property *prop, const char *text, uint64_t *ret, GError **err)
{
    uint64_t size, min, max;

    if (!parse_size(text, 1, &size, err)) {
        return false;
    }
    number_limits(prop, &min, &max);
    if (size < min || size > max) {
        g_autofree char *low = format_size(min);
        g_autofree char *high = format_size(max);

        return error_set(err, "%s is out of range (%s to %s)", text, low, high);
    }
    *ret = size;
    return true;
}

static bool enum_from_string(const Property *prop, const char *text, uint64_t *ret, GError **err)
{
    g_autofree char *all = NULL;

    for (uint64_t i = 0; prop->words[i] != NULL; i++) {
        if (strcmp(text, prop->words[i]) == 0) {
            *ret = i;
            return true;
        }
    }
    all = g_strjoinv(", ", (char **)prop->words);
    return error_set(err, "'%s' is not one of: %s", text, all);
}

/* --- links --- */

bool property_value_check_link(const Property *prop, Object *target, GError **err)
{
    if (target != NULL && !object_is_a(target, prop->link_type)) {
        return error_set(err, "'%s' is of type %s, but a %s is needed",
                         target->name != NULL ? target->name : "(unnamed)",
                         object_type_name(target), prop->link_type->name);
    }
    return true;
}

/* "object 'x' not found" names the kind that was looked for. */
static bool say_kind(const Property *prop, GError **err)
{
    static const char prefix[] = "object '";
    const char *text = err && *err ? (*err)->message : "";

    if (g_str_has_prefix(text, prefix) && prop->link_type != &object_type) {
        char *better = g_strdup_printf("%s '%s", prop->link_type->name, text + sizeof prefix - 1);

        g_free((*err)->message);
        (*err)->message = better;
    }
    return false;
}

static bool link_from_string(Object *obj, const Property *prop, const char *text, Object **ret,
                             GError **err)
{
    Object *target = NULL;

    if (text[0] != '\0') {
        target = object_resolve_link(object_root(obj), text, prop->link_type, err);
        if (target == NULL) {
            return say_kind(prop, err);
        }
    }
    if (!property_value_check_link(prop, target, err)) {
        return false;
    }
    *ret = target;
    return true;
}

/* --- text --- */

bool property_value_from_string(Object *obj, const Property *prop, const char *text,
                                PropertyValue *ret_value, GError **err)
{
    bool flag = false;
    int32_t devfn = PCI_ADDR_AUTO;

    switch (prop->kind) {
    case PROP_KIND_BOOL:
        if (!parse_bool(text, &flag, err)) {
            return false;
        }
        ret_value->number = flag;
        return true;
    case PROP_KIND_UINT8:
    case PROP_KIND_UINT16:
    case PROP_KIND_UINT32:
    case PROP_KIND_UINT64:
        return uint_from_string(prop, text, &ret_value->number, err);
    case PROP_KIND_INT32:
        return int32_from_string(prop, text, &ret_value->number, err);
    case PROP_KIND_SIZE:
        return size_from_string(prop, text, &ret_value->number, err);
    case PROP_KIND_STRING:
        ret_value->text = text;
        return true;
    case PROP_KIND_ENUM:
        return enum_from_string(prop, text, &ret_value->number, err);
    case PROP_KIND_LINK:
        return link_from_string(obj, prop, text, &ret_value->link, err);
    case PROP_KIND_MAC:
        return parse_mac(text, &ret_value->mac, err);
    case PROP_KIND_PCI_ADDR:
        if (!parse_pci_addr(text, &devfn, err)) {
            return false;
        }
        ret_value->number = (uint64_t)devfn;
        return true;
    case PROP_KIND_END:
    case PROP_KIND_ALIAS:
    case PROP_KIND_CUSTOM:
        break;
    }
    g_assert_not_reached();
}

/* --- JSON --- */

static const char *json_kind_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_REAL:
        return "a fractional number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    g_assert_not_reached();
}

static bool kind_is_integer(PropertyKind kind)
{
    return kind == PROP_KIND_UINT8 || kind == PROP_KIND_UINT16 || kind == PROP_KIND_UINT32 ||
           kind == PROP_KIND_UINT64 || kind == PROP_KIND_INT32;
}

/* What a JSON value of this kind should have been. */
static const char *kind_wants(PropertyKind kind)
{
    return kind == PROP_KIND_BOOL   ? "a boolean"
           : kind == PROP_KIND_SIZE ? "a number or a size string"
           : kind_is_integer(kind)  ? "a number"
           : kind == PROP_KIND_LINK ? "an id, a path or null"
                                    : "a string";
}

static bool pci_addr_from_integer(json_int_t devfn, uint64_t *ret, GError **err)
{
    if (devfn < PCI_ADDR_AUTO || devfn > 0xff) {
        return error_set(err, "%" JSON_INTEGER_FORMAT " is out of range (-1 to 255)", devfn);
    }
    *ret = (uint64_t)devfn;
    return true;
}

bool property_value_from_json(Object *obj, const Property *prop, json_t *json,
                              PropertyValue *ret_value, GError **err)
{
    bool number = kind_is_integer(prop->kind);

    if (json_is_boolean(json) && prop->kind == PROP_KIND_BOOL) {
        ret_value->number = json_is_true(json);
        return true;
    }
    if (json_is_null(json) && prop->kind == PROP_KIND_LINK) {
        ret_value->link = NULL;
        return true;
    }
    if (json_is_integer(json) && prop->kind == PROP_KIND_PCI_ADDR) {
        return pci_addr_from_integer(json_integer_value(json), &ret_value->number, err);
    }
    if (json_is_integer(json) && (number || prop->kind == PROP_KIND_SIZE)) {
        char text[24]; /* holds any 64-bit integer */

        g_snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return property_value_from_string(obj, prop, text, ret_value, err);
    }
    /* jansson's integers end at 2^63 - 1, so larger uint64 values travel as strings. */
    if (json_is_string(json) && prop->kind != PROP_KIND_BOOL &&
        (!number || prop->kind == PROP_KIND_UINT64)) {
        return property_value_from_string(obj, prop, json_string_value(json), ret_value, err);
    }
    return error_set(err, "%s is needed, not %s", kind_wants(prop->kind), json_kind_name(json));
}

json_t *property_json_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_string(valid);
}

static json_t *uint_to_json(uint64_t value)
{
    g_autofree char *text = NULL;

    if (value <= INT64_MAX) {
        return json_integer((json_int_t)value);
    }
    text = g_strdup_printf("%" G_GUINT64_FORMAT, value);
    return json_string(text);
}

static json_t *link_to_json(Object *target)
{
    g_autofree char *path = target != NULL ? object_path(target) : NULL;

    return property_json_text(path != NULL ? path : "");
}

static json_t *enum_to_json(const Property *prop, int index)
{
    for (int i = 0; prop->words[i] != NULL; i++) {
        if (i == index) {
            return json_string(prop->words[i]);
        }
    }
    return json_null();
}

json_t *property_value_to_json(Object *obj, const Property *prop)
{
    const void *field = property_field(obj, prop);

    switch (prop->kind) {
    case PROP_KIND_BOOL:
        return json_boolean(prop->flags & PROP_BIT ? *(const uint64_t *)field >> prop->bit & 1
                                                   : *(const bool *)field);
    case PROP_KIND_UINT8:
        return json_integer(*(const uint8_t *)field);
    case PROP_KIND_UINT16:
        return json_integer(*(const uint16_t *)field);
    case PROP_KIND_UINT32:
        return json_integer(*(const uint32_t *)field);
    case PROP_KIND_UINT64:
    case PROP_KIND_SIZE:
        return uint_to_json(*(const uint64_t *)field);
    case PROP_KIND_INT32:
        return json_integer(*(const int32_t *)field);
    case PROP_KIND_STRING:
        return property_json_text(*(char *const *)field != NULL ? *(char *const *)field : "");
    case PROP_KIND_ENUM:
        return enum_to_json(prop, *(const int *)field);
    case PROP_KIND_LINK:
        return link_to_json(*(Object *const *)field);
    case PROP_KIND_MAC: {
        const uint8_t *b = ((const MacAddr *)field)->b;

        return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    }
    case PROP_KIND_PCI_ADDR:
        return json_integer(((const PciAddr *)field)->devfn);
    case PROP_KIND_END:
    case PROP_KIND_ALIAS:
    case PROP_KIND_CUSTOM:
        break;
    }
    g_assert_not_reached();
}

json_t *property_custom_json(const Property *prop, const char *text, GError **err)
{
    const char *type = prop->type_name != NULL ? prop->type_name : "str";
    Number number;
    uint64_t size;
    bool flag;

    if (strcmp(type, "bool") == 0) {
        return parse_bool(text, &flag, err) ? json_boolean(flag) : NULL;
    }
    if (strcmp(type, "size") == 0) {
        return parse_size(text, 1, &size, err) ? uint_to_json(size) : NULL;
    }
    if (!g_str_has_prefix(type, "int") && !g_str_has_prefix(type, "uint")) {
        return property_json_text(text);
    }
    if (!parse_number(text, &number, err)) {
        return NULL;
    }
    if (number.overflow || number.magnitude > INT64_MAX) {
        error_set(err, "%s is out of range", text);
        return NULL;
    }
    return json_integer(number.negative ? -(json_int_t)number.magnitude
                                        : (json_int_t)number.magnitude);
}

/* --- fields --- */

static void store_flag(void *field, const Property *prop, bool on)
{
    if (prop->flags & PROP_BIT) {
        uint64_t *word = field;
        uint64_t bit = UINT64_C(1) << prop->bit;

        *word = on ? *word | bit : *word & ~bit;
    } else {
        *(bool *)field = on;
    }
}

static void store_text(char **field, const char *text)
{
    char *old = *field;

    *field = g_strdup(text);
    g_free(old);
}

static void store_link(Object **field, Object *target)
{
    Object *old = *field;

    *field = target != NULL ? object_ref(target) : NULL;
    object_unref(old);
}

void property_value_store(Object *obj, const Property *prop, const PropertyValue *value)
{
    void *field = property_field(obj, prop);

    switch (prop->kind) {
    case PROP_KIND_BOOL:
        store_flag(field, prop, value->number != 0);
        break;
    case PROP_KIND_UINT8:
        *(uint8_t *)field = (uint8_t)value->number;
        break;
    case PROP_KIND_UINT16:
        *(uint16_t *)field = (uint16_t)value->number;
        break;
    case PROP_KIND_UINT32:
        *(uint32_t *)field = (uint32_t)value->number;
        break;
    case PROP_KIND_UINT64:
    case PROP_KIND_SIZE:
        *(uint64_t *)field = value->number;
        break;
    case PROP_KIND_INT32:
        *(int32_t *)field = (int32_t)value->number;
        break;
    case PROP_KIND_STRING:
        store_text(field, value->text);
        break;
    case PROP_KIND_ENUM:
        *(int *)field = (int)value->number;
        break;
    case PROP_KIND_LINK:
        store_link(field, value->link);
        break;
    case PROP_KIND_MAC:
        *(MacAddr *)field = value->mac;
        break;
    case PROP_KIND_PCI_ADDR:
        ((PciAddr *)field)->devfn = (int32_t)value->number;
        break;
    case PROP_KIND_END:
    case PROP_KIND_ALIAS:
    case PROP_KIND_CUSTOM:
        break;
    }
}
