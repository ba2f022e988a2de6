/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Property tables: one const table per type, written once, read by -device X,help, the config checker, QMP
 * introspection and the man page. A field of the wrong type in a table does not compile.
 *
 * Values travel as JSON (json_t); strings from the command line are parsed by the property's kind.
 */
#ifndef AEROSTAT_QOM_PROPERTY_H
#define AEROSTAT_QOM_PROPERTY_H

#include "qom/object.h"

typedef struct { uint8_t b[6]; } MacAddr;

/* A PCI slot and function, "03.0" or "3"; PCI_ADDR_AUTO: not given. */
typedef struct { int32_t devfn; } PciAddr;
#define PCI_ADDR_AUTO (-1)

typedef enum {
    PROP_KIND_END,
    PROP_KIND_BOOL,    /* on/off, yes/no, true/false */
    PROP_KIND_UINT8,
    PROP_KIND_UINT16,
    PROP_KIND_UINT32,
    PROP_KIND_UINT64,  /* numbers: decimal or 0x hex */
    PROP_KIND_INT32,
    PROP_KIND_SIZE,    /* uint64_t; suffixes B, K, M, G, T, P, E (powers of 1024), fractions as in "1.5G" */
    PROP_KIND_STRING,  /* char *, owned by the object */
    PROP_KIND_ENUM,    /* int, one of a NULL-terminated list of words */
    PROP_KIND_LINK,    /* Object *, a counted reference to an object of link_type, given by id or path */
    PROP_KIND_MAC,
    PROP_KIND_PCI_ADDR,
    PROP_KIND_ALIAS,   /* another property of an object that a child of this one holds */
    PROP_KIND_CUSTOM,  /* get and set are the property's own */
} PropertyKind;

enum {
    PROP_RUNTIME = 1 << 0,  /* can be set after realize */
    PROP_READONLY = 1 << 1, /* cannot be set from outside */
    PROP_BIT = 1 << 2,      /* a PROP_KIND_BOOL that is bit number `bit` of a uint64_t field */
    PROP_NO_DEFAULT = 1 << 3, /* def stands for "not given", which is nothing to show to a user */
};

struct Property {
    const char *name;
    PropertyKind kind;
    unsigned flags;
    size_t offset;
    const char *help;           /* one line, no full stop */
    uint64_t def;               /* numbers, bool, size, enum; int32 as two's complement */
    const char *def_str;        /* string; NULL: unset */
    uint64_t min, max;          /* numbers and sizes, inclusive; int32 compares signed; both 0: all that fits */
    uint8_t bit;
    const char *const *words;   /* enum */
    const TypeInfo *link_type;
    const char *alias_child, *alias_prop;
    const char *type_name;      /* QMP type name of a custom property: "int", "str", "dict", ... */
    json_t *(*get)(Object *obj, const Property *prop, GError **err); /* custom; new reference */
    bool (*set)(Object *obj, const Property *prop, json_t *value, GError **err); /* custom; NULL: read only */
    /* Optional, after a successful set of any kind (not at init): the place for what a RUNTIME change starts. */
    void (*changed)(Object *obj, const Property *prop);
};

/* offsetof that compiles only when the field has exactly that type. */
#define PROP_FIELD_(S, f, T) (offsetof(S, f) + 0 * sizeof(_Generic(((S *)0)->f, T : 1)))

#define PROP_BOOL(n, S, f, d, h)                                                                   \
    { .name = n, .kind = PROP_KIND_BOOL, .offset = PROP_FIELD_(S, f, bool), .def = d, .help = h }
#define PROP_BIT64(n, S, f, b, d, h)                                                               \
    { .name = n, .kind = PROP_KIND_BOOL, .flags = PROP_BIT, .offset = PROP_FIELD_(S, f, uint64_t), \
      .bit = b, .def = d, .help = h }
#define PROP_UINT8(n, S, f, d, lo, hi, h)                                                          \
    { .name = n, .kind = PROP_KIND_UINT8, .offset = PROP_FIELD_(S, f, uint8_t), .def = d,          \
      .min = lo, .max = hi, .help = h }
#define PROP_UINT16(n, S, f, d, lo, hi, h)                                                         \
    { .name = n, .kind = PROP_KIND_UINT16, .offset = PROP_FIELD_(S, f, uint16_t), .def = d,        \
      .min = lo, .max = hi, .help = h }
#define PROP_UINT32(n, S, f, d, lo, hi, h)                                                         \
    { .name = n, .kind = PROP_KIND_UINT32, .offset = PROP_FIELD_(S, f, uint32_t), .def = d,        \
      .min = lo, .max = hi, .help = h }
/* unset: the value of a field that was not given; the help line says what happens then. */
#define PROP_UINT32_OPTIONAL(n, S, f, unset, h)                                                    \
    { .name = n, .kind = PROP_KIND_UINT32, .flags = PROP_NO_DEFAULT,                               \
      .offset = PROP_FIELD_(S, f, uint32_t), .def = unset, .help = h }
#define PROP_UINT64(n, S, f, d, lo, hi, h)                                                         \
    { .name = n, .kind = PROP_KIND_UINT64, .offset = PROP_FIELD_(S, f, uint64_t), .def = d,        \
      .min = lo, .max = hi, .help = h }
/* A count that the object keeps and others read. */
#define PROP_UINT64_READONLY(n, S, f, h)                                                           \
    { .name = n, .kind = PROP_KIND_UINT64, .flags = PROP_READONLY | PROP_NO_DEFAULT,               \
      .offset = PROP_FIELD_(S, f, uint64_t), .help = h }
#define PROP_INT32(n, S, f, d, lo, hi, h)                                                          \
    { .name = n, .kind = PROP_KIND_INT32, .offset = PROP_FIELD_(S, f, int32_t),                    \
      .def = (uint64_t)(int64_t)(d), .min = (uint64_t)(int64_t)(lo), .max = (uint64_t)(int64_t)(hi), .help = h }
#define PROP_SIZE(n, S, f, d, lo, hi, h)                                                           \
    { .name = n, .kind = PROP_KIND_SIZE, .offset = PROP_FIELD_(S, f, uint64_t), .def = d,          \
      .min = lo, .max = hi, .help = h }
#define PROP_SIZE_OPTIONAL(n, S, f, unset, h)                                                      \
    { .name = n, .kind = PROP_KIND_SIZE, .flags = PROP_NO_DEFAULT,                                 \
      .offset = PROP_FIELD_(S, f, uint64_t), .def = unset, .help = h }
#define PROP_STRING(n, S, f, d, h)                                                                 \
    { .name = n, .kind = PROP_KIND_STRING, .offset = PROP_FIELD_(S, f, char *), .def_str = d, .help = h }
#define PROP_ENUM(n, S, f, list, d, h)                                                             \
    { .name = n, .kind = PROP_KIND_ENUM, .offset = PROP_FIELD_(S, f, int), .words = list, .def = d, .help = h }
#define PROP_LINK(n, S, f, T, type, h)                                                             \
    { .name = n, .kind = PROP_KIND_LINK, .offset = PROP_FIELD_(S, f, T *), .link_type = type, .help = h }
#define PROP_MAC(n, S, f, h)                                                                       \
    { .name = n, .kind = PROP_KIND_MAC, .offset = PROP_FIELD_(S, f, MacAddr), .help = h }
#define PROP_PCI_ADDR(n, S, f, h)                                                                  \
    { .name = n, .kind = PROP_KIND_PCI_ADDR, .offset = PROP_FIELD_(S, f, PciAddr),                 \
      .def = (uint64_t)(int64_t)PCI_ADDR_AUTO, .help = h }
#define PROP_ALIAS(n, child, target, h)                                                            \
    { .name = n, .kind = PROP_KIND_ALIAS, .alias_child = child, .alias_prop = target, .help = h }
#define PROP_CUSTOM(n, type, getter, setter, fl, h)                                                \
    { .name = n, .kind = PROP_KIND_CUSTOM, .type_name = type, .get = getter, .set = setter, .flags = fl, .help = h }
#define PROP_END { .kind = PROP_KIND_END }

/* --- used by object_new and object_unref --- */
void properties_init(Object *obj);     /* defaults of all tables of obj's type */
void properties_finalize(Object *obj); /* frees strings, drops links */

/* --- lookup and enumeration --- */

/* The property of obj's type (its parents, then its delegate); *ret_holder is the object that holds it. An alias
 * gives the property that it stands for. NULL: none. */
const Property *property_find(Object *obj, const char *name, Object **ret_holder);

/* By type alone, without an instance (delegates followed; an alias is given as such, for its child is not known). */
const Property *type_property_find(const TypeInfo *type, const char *name);

/* Fails as property_set_string does for a name that the type has not. */
bool type_property_check_name(const TypeInfo *type, const char *name, GError **err);

/* Calls fn for each property of a type, its own first, then parents', then the delegate's; shadowed names once. */
void type_property_foreach(const TypeInfo *type, void (*fn)(const Property *prop, const TypeInfo *owner, void *opaque),
                           void *opaque);

/* "bool", "uint32", "size", "str", "enum", "link<type>", ... (QEMU's spelling; "alias" where type_property_find
 * gave one). Free with g_free. */
char *property_type_name(const Property *prop);

/* "default", as a string for help texts; NULL: none. Free with g_free. */
char *property_default_string(const Property *prop);

/* --- get and set ---
 * All fail with one line: unknown name (with a suggestion), bad value or out of range (with what is right), read only,
 * or frozen by realize. A link given as a string is an id or a path in the tree that holds obj: place obj in the tree
 * before its links are set. "" and JSON null unset a link.
 *
 * JSON forms: bool; integers (uint64 above 2^63 - 1 as a decimal string, both ways); sizes as integer or "1.5G";
 * strings; links as path, "" when unset; PCI addresses as a devfn integer, or set as "03.0".
 */
bool property_set_json(Object *obj, const char *name, json_t *value, GError **err); /* borrows value */
bool property_set_string(Object *obj, const char *name, const char *value, GError **err);
json_t *property_get_json(Object *obj, const char *name, GError **err); /* new reference; NULL with err */
/* As an option gives it: a string is text, as for property_set_string; anything else is a JSON form. */
bool property_set_option(Object *obj, const char *name, json_t *value, GError **err);
bool property_set_bool(Object *obj, const char *name, bool value, GError **err);
bool property_set_uint(Object *obj, const char *name, uint64_t value, GError **err);
bool property_set_link(Object *obj, const char *name, Object *value, GError **err);

/* True when the user (or code) set the property explicitly since object_new. */
bool property_was_set(Object *obj, const char *name);

/* Parsers that other options share; one-line errors that quote the text. Sizes without suffix count default_unit
 * ("-m 512": 1 MiB); fractions are cut to whole bytes; a negative or too large number is an error. */
bool parse_size(const char *text, uint64_t default_unit, uint64_t *ret_value, GError **err);
bool parse_uint(const char *text, uint64_t *ret_value, GError **err);
bool parse_bool(const char *text, bool *ret_value, GError **err);

/* Any JSON value, in which strings may stand between apostrophes, as QEMU's clients write it; keys must be unique.
 * New reference; NULL with the parser's message. */
json_t *parse_json(const char *text, size_t len, GError **err);

#endif
