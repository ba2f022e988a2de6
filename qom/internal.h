/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of qom/ share with each other and with nobody else.
 */
#ifndef AEROSTAT_QOM_INTERNAL_H
#define AEROSTAT_QOM_INTERNAL_H

#include "qom/property.h"

/* The parent, with NULL read as object_type (or interface_type); NULL for those two. */
const TypeInfo *type_parent(const TypeInfo *type);
size_t type_instance_size(const TypeInfo *type);

/* What a link to objects of that type means by path: a partial path may fit objects of other types, too. */
Object *object_resolve_link(Object *root, const char *path, const TypeInfo *type, GError **err);

/* A parsed number of either sign. overflow: the text is a number, but its magnitude exceeds 64 bits. */
typedef struct Number {
    uint64_t magnitude;
    bool negative, overflow;
} Number;

bool parse_number(const char *text, Number *ret_number, GError **err);
bool parse_mac(const char *text, MacAddr *ret_mac, GError **err);
bool parse_pci_addr(const char *text, int32_t *ret_devfn, GError **err);
char *format_size(uint64_t size); /* "1536M": the largest unit that loses nothing */

/* A value of any kind but ALIAS and CUSTOM, between its text or JSON form and its field. Pointers are borrowed. */
typedef struct PropertyValue {
    uint64_t number; /* bool, numbers, size, enum index; int32 and PCI address as two's complement */
    const char *text;
    Object *link;
    MacAddr mac;
} PropertyValue;

/*
 * Parse and check. obj holds the property (links are looked up from its root). Errors say what is wrong with the
 * value only; the caller puts the property's name in front.
 */
bool property_value_from_string(Object *obj, const Property *prop, const char *text,
                                PropertyValue *ret_value, GError **err);
bool property_value_from_json(Object *obj, const Property *prop, json_t *json,
                              PropertyValue *ret_value, GError **err);
bool property_value_check_link(const Property *prop, Object *target, GError **err);

void property_value_store(Object *obj, const Property *prop, const PropertyValue *value);
json_t *property_value_to_json(Object *obj, const Property *prop);

/* The JSON value that a text stands for, going by the type name of a CUSTOM property. New reference. */
json_t *property_custom_json(const Property *prop, const char *text, GError **err);

/* A JSON string of any bytes; invalid UTF-8 is replaced. */
json_t *property_json_text(const char *text);

#endif
