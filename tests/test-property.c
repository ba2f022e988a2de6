/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Properties: every kind from text and from JSON, ranges, defaults, links, delegates, aliases,
 * freezing, and the error lines that users read.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "qom/property.h"
#include "tests/suite.h"

OBJECT_DECLARE(Gadget, gadget, GADGET)
OBJECT_DECLARE(Child, child, CHILD)
OBJECT_DECLARE(Proxy, proxy, PROXY)

struct Gadget {
    Object parent;
    bool flag;
    uint64_t features;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32, optional;
    uint64_t u64;
    int32_t i32;
    uint64_t size;
    char *text;
    char *name;
    int mode;
    Gadget *peer;
    MacAddr mac;
    PciAddr addr;
    uint32_t fixed;
    uint32_t live;
    uint8_t any;
    int level;
    int changes;
};

static const char *const modes[] = {"auto", "on", "off", NULL};

static json_t *level_get(Object *obj, const Property *prop, GError **err)
{
    int level = GADGET(obj)->level;

    if (level < 0) {
        error_set(err, "no level yet");
        return NULL;
    }
    return json_integer(level);
}

static bool level_set(Object *obj, const Property *prop, json_t *value, GError **err)
{
    if (!json_is_integer(value) || json_integer_value(value) > 9) {
        return error_set(err, "a level goes from 0 to 9");
    }
    GADGET(obj)->level = (int)json_integer_value(value);
    return true;
}

static void count_change(Object *obj, const Property *prop)
{
    GADGET(obj)->changes++;
}

static const Property gadget_props[] = {
    PROP_BOOL("flag", Gadget, flag, true, "a flag"),
    PROP_BIT64("bit40", Gadget, features, 40, true, "feature bit 40"),
    PROP_BIT64("bit3", Gadget, features, 3, false, "feature bit 3"),
    PROP_UINT8("u8", Gadget, u8, 7, 1, 200, "a byte"),
    PROP_UINT16("u16", Gadget, u16, 128, 0, UINT16_MAX, "a half word"),
    PROP_UINT32("u32", Gadget, u32, 0, 0, UINT32_MAX, "a word"),
    PROP_UINT32_OPTIONAL("optional", Gadget, optional, UINT32_MAX, "a word that may be missing"),
    PROP_UINT64("u64", Gadget, u64, 0, 0, UINT64_MAX, "a long word"),
    PROP_INT32("i32", Gadget, i32, -1, -1, 1000, "a signed word"),
    PROP_SIZE("size", Gadget, size, 64 * 1024 * 1024, 1024 * 1024, UINT64_C(1) << 40, "a size"),
    PROP_STRING("text", Gadget, text, NULL, "a string"),
    PROP_STRING("name", Gadget, name, "gadget", "a string with a default"),
    PROP_ENUM("mode", Gadget, mode, modes, 0, "a word"),
    PROP_LINK("peer", Gadget, peer, Gadget, &gadget_type, "another gadget"),
    PROP_MAC("mac", Gadget, mac, "an address"),
    PROP_PCI_ADDR("addr", Gadget, addr, "a slot"),
    {.name = "fixed",
     .kind = PROP_KIND_UINT32,
     .offset = PROP_FIELD_(Gadget, fixed, uint32_t),
     .def = 5,
     .flags = PROP_READONLY},
    {.name = "live",
     .kind = PROP_KIND_UINT32,
     .offset = PROP_FIELD_(Gadget, live, uint32_t),
     .flags = PROP_RUNTIME,
     .changed = count_change},
    {.name = "any", .kind = PROP_KIND_UINT8, .offset = PROP_FIELD_(Gadget, any, uint8_t)},
    PROP_CUSTOM("level", "int", level_get, level_set, PROP_RUNTIME, "a custom number"),
    PROP_CUSTOM("level-ro", "int", level_get, NULL, PROP_RUNTIME, "the same, read only"),
    PROP_CUSTOM("level-wo", "int", NULL, level_set, 0, "the same, write only"),
    PROP_END,
};

const TypeInfo gadget_type = {
    .name = "test-gadget",
    .instance_size = sizeof(Gadget),
    .props = gadget_props,
};

/* A child type: one property of its own, one that shadows the parent's default. */
struct Child {
    Gadget parent;
    bool extra;
};

static const Property child_props[] = {
    PROP_BOOL("extra", Child, extra, false, "only here"),
    {.name = "u16",
     .kind = PROP_KIND_UINT16,
     .offset = offsetof(Gadget, u16),
     .def = 256,
     .max = UINT16_MAX,
     .help = "a half word with another default"},
    {.name = "name",
     .kind = PROP_KIND_STRING,
     .offset = offsetof(Gadget, name),
     .def_str = "child"},
    PROP_END,
};

const TypeInfo child_type = {
    .name = "test-child",
    .parent = &gadget_type,
    .instance_size = sizeof(Child),
    .props = child_props,
};

/* A proxy as virtio-balloon-pci is one: a few properties of its own, the rest are its child's. */
struct Proxy {
    Object parent;
    uint32_t vectors;
    bool flag;
};

static void proxy_init(Object *obj)
{
    bool added = object_add_child(obj, "backend", object_new(&child_type), NULL);

    g_assert(added);
}

static const Property proxy_props[] = {
    PROP_UINT32("vectors", Proxy, vectors, 2, 0, 2048, "MSI-X vectors"),
    PROP_BOOL("flag", Proxy, flag, false, "hides the child's flag"),
    PROP_ALIAS("half", "backend", "u16", "the child's u16"),
    PROP_ALIAS("lost", "nobody", "u16", "an alias of a child that is not there"),
    PROP_END,
};

const TypeInfo proxy_type = {
    .name = "test-proxy",
    .instance_size = sizeof(Proxy),
    .instance_init = proxy_init,
    .props = proxy_props,
    .delegate_type = &child_type,
    .delegate_child = "backend",
};

static const TypeInfo sub_proxy_type = {.name = "test-sub-proxy", .parent = &proxy_type};

static void assert_error(GError **err, const char *text)
{
    ck_assert_ptr_nonnull(*err);
    ck_assert_str_eq((*err)->message, text);
    g_clear_error(err);
}

static void assert_json(json_t *json, const char *text)
{
    g_autofree char *dump = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

    ck_assert_pstr_eq(dump, text);
    json_decref(json);
}

static void assert_reads(Object *obj, const char *name, const char *json)
{
    assert_json(property_get_json(obj, name, NULL), json);
}

/* --- values from text --- */

static const struct {
    const char *name, *text, *json; /* json: what get gives back */
} good_texts[] = {
    {"flag", "off", "false"},
    {"flag", "on", "true"},
    {"flag", "no", "false"},
    {"flag", "yes", "true"},
    {"flag", "false", "false"},
    {"flag", "true", "true"},
    {"bit3", "on", "true"},
    {"bit40", "off", "false"},
    {"u8", "1", "1"},
    {"u8", "200", "200"},
    {"u8", "0x1f", "31"},
    {"u8", "0XC8", "200"},
    {"u8", "007", "7"},
    {"u16", "0", "0"},
    {"u16", "-0", "0"},
    {"u16", "65535", "65535"},
    {"u32", "4294967295", "4294967295"},
    {"u64", "9223372036854775807", "9223372036854775807"},
    {"u64", "18446744073709551615", "\"18446744073709551615\""},
    {"u64", "0xffffffffffffffff", "\"18446744073709551615\""},
    {"i32", "-1", "-1"},
    {"i32", "1000", "1000"},
    {"size", "1M", "1048576"},
    {"size", "1048576", "1048576"},
    {"size", "1048576B", "1048576"},
    {"size", "1t", "1099511627776"},
    {"size", "1.5G", "1610612736"},
    {"size", "0x100000", "1048576"},
    {"text", "", "\"\""},
    {"text", "a b=c,d", "\"a b=c,d\""},
    {"text", "caf\xc3\xa9", "\"caf\xc3\xa9\""},
    {"text", "\xff", "\"\xef\xbf\xbd\""},
    {"mode", "off", "\"off\""},
    {"mac", "52:54:00:12:34:56", "\"52:54:00:12:34:56\""},
    {"mac", "FF:fe:0a:B0:00:01", "\"ff:fe:0a:b0:00:01\""},
    {"addr", "03.0", "24"},
    {"addr", "3", "24"},
    {"addr", "1f.7", "255"},
    {"addr", "0x06", "48"},
    {"addr", "0x1E.0x1", "241"},
    {"addr", "0", "0"},
    {"any", "255", "255"},
    {"level", "9", "9"},
    {"level", "-3", NULL}, /* set, but its getter says there is none */
};

START_TEST(good_text_is_stored_and_reads_back)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    GError *err = NULL;

    ck_assert(property_set_string(obj, good_texts[_i].name, good_texts[_i].text, &err));
    ck_assert_ptr_null(err);
    ck_assert(property_was_set(obj, good_texts[_i].name));
    assert_reads(obj, good_texts[_i].name, good_texts[_i].json);
}
END_TEST

#define MAC_HINT  "is not a MAC address (as in 52:54:00:12:34:56)"
#define PCI_HINT  "is not a PCI address (slot.function in hex, 00.0 to 1f.7)"
#define SIZE_HINT "is not a size (as in 4096, 512M or 1.5G)"

static const struct {
    const char *name, *text, *error;
} bad_texts[] = {
    {"flag", "maybe", "'maybe' is neither 'on' nor 'off'"},
    {"flag", "", "'' is neither 'on' nor 'off'"},
    {"flag", "ON", "'ON' is neither 'on' nor 'off'"},
    {"u8", "abc", "'abc' is not a number"},
    {"u8", "", "'' is not a number"},
    {"u8", "-", "'-' is not a number"},
    {"u8", "0x", "'0x' is not a number"},
    {"u8", "1 ", "'1 ' is not a number"},
    {"u8", " 1", "' 1' is not a number"},
    {"u8", "+1", "'+1' is not a number"},
    {"u8", "1.0", "'1.0' is not a number"},
    {"u8", "1K", "'1K' is not a number"},
    {"u8", "0", "0 is out of range (1 to 200)"},
    {"u8", "201", "201 is out of range (1 to 200)"},
    {"u8", "257", "257 is out of range (1 to 200)"},
    {"u16", "70000", "70000 is out of range (0 to 65535)"},
    {"u16", "-1", "-1 is out of range (0 to 65535)"},
    {"u32", "4294967296", "4294967296 is out of range (0 to 4294967295)"},
    {"u64", "18446744073709551616",
     "18446744073709551616 is out of range (0 to 18446744073709551615)"},
    {"u64", "0x10000000000000000",
     "0x10000000000000000 is out of range (0 to 18446744073709551615)"},
    {"i32", "-2", "-2 is out of range (-1 to 1000)"},
    {"i32", "1001", "1001 is out of range (-1 to 1000)"},
    {"i32", "4294967295", "4294967295 is out of range (-1 to 1000)"},
    {"i32", "-18446744073709551617", "-18446744073709551617 is out of range (-1 to 1000)"},
    {"any", "256", "256 is out of range (0 to 255)"},
    {"size", "1023K", "1023K is out of range (1M to 1T)"},
    {"size", "2T", "2T is out of range (1M to 1T)"},
    {"size", "-1M", "'-1M' is negative"},
    {"size", "16E", "'16E' is too large"},
    {"size", "1.5", "'1.5' is not a whole number of bytes"},
    {"size", "lots", "'lots' " SIZE_HINT},
    {"mode", "aut", "'aut' is not one of: auto, on, off"},
    {"mac", "52:54:00:12:34", "'52:54:00:12:34' " MAC_HINT},
    {"mac", "52-54-00-12-34-56", "'52-54-00-12-34-56' " MAC_HINT},
    {"mac", "52:54:00:12:34:5g", "'52:54:00:12:34:5g' " MAC_HINT},
    {"mac", "52:54:00:12:34:567", "'52:54:00:12:34:567' " MAC_HINT},
    {"mac", "", "'' " MAC_HINT},
    {"addr", "20", "'20' " PCI_HINT},
    {"addr", "3.8", "'3.8' " PCI_HINT},
    {"addr", "3.", "'3.' " PCI_HINT},
    {"addr", ".1", "'.1' " PCI_HINT},
    {"addr", "", "'' " PCI_HINT},
    {"addr", "0x", "'0x' " PCI_HINT},
    {"addr", "-1", "'-1' " PCI_HINT},
    {"addr", "10000000000000003", "'10000000000000003' " PCI_HINT},
    {"level", "high", "'high' is not a number"},
    {"level", "10", "a level goes from 0 to 9"},
    {"level", "9999999999999999999", "9999999999999999999 is out of range"},
};

START_TEST(bad_text_is_refused_with_what_is_wrong_and_changes_nothing)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    g_autoptr(GError) err = NULL;
    g_autofree char *line = NULL;
    json_t *before = property_get_json(obj, bad_texts[_i].name, NULL);
    json_t *after;

    ck_assert(!property_set_string(obj, bad_texts[_i].name, bad_texts[_i].text, &err));
    line = g_strdup_printf("property '%s' of test-gadget: %s", bad_texts[_i].name,
                           bad_texts[_i].error);
    ck_assert_str_eq(err->message, line);
    ck_assert(!property_set_string(obj, bad_texts[_i].name, bad_texts[_i].text, NULL));
    after = property_get_json(obj, bad_texts[_i].name, NULL);
    ck_assert(json_equal(before, after));
    ck_assert(!property_was_set(obj, bad_texts[_i].name));
    json_decref(before);
    json_decref(after);
}
END_TEST

/* --- values from JSON --- */

static const struct {
    const char *name, *json, *reads;
} good_jsons[] = {
    {"flag", "false", "false"},
    {"bit3", "true", "true"},
    {"u8", "200", "200"},
    {"u64", "9223372036854775807", "9223372036854775807"},
    {"u64", "\"18446744073709551615\"", "\"18446744073709551615\""},
    {"i32", "-1", "-1"},
    {"size", "1048576", "1048576"},
    {"size", "\"2M\"", "2097152"},
    {"text", "\"hello\"", "\"hello\""},
    {"mode", "\"on\"", "\"on\""},
    {"peer", "null", "\"\""},
    {"peer", "\"\"", "\"\""},
    {"mac", "\"52:54:00:12:34:56\"", "\"52:54:00:12:34:56\""},
    {"addr", "\"03.1\"", "25"},
    {"addr", "255", "255"},
    {"addr", "-1", "-1"},
    {"level", "5", "5"},
};

START_TEST(good_json_is_stored_and_reads_back)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    json_t *json = json_loads(good_jsons[_i].json, JSON_DECODE_ANY, NULL);

    ck_assert(property_set_json(obj, good_jsons[_i].name, json, NULL));
    assert_reads(obj, good_jsons[_i].name, good_jsons[_i].reads);
    json_decref(json);
}
END_TEST

static const struct {
    const char *name, *json, *error;
} bad_jsons[] = {
    {"flag", "1", "a boolean is needed, not a number"},
    {"flag", "\"on\"", "a boolean is needed, not a string"},
    {"u8", "\"1\"", "a number is needed, not a string"},
    {"u8", "1.5", "a number is needed, not a fractional number"},
    {"u8", "true", "a number is needed, not a boolean"},
    {"u8", "201", "201 is out of range (1 to 200)"},
    {"u16", "70000", "70000 is out of range (0 to 65535)"},
    {"u64", "-1", "-1 is out of range (0 to 18446744073709551615)"},
    {"i32", "-9223372036854775808", "-9223372036854775808 is out of range (-1 to 1000)"},
    {"size", "0", "0 is out of range (1M to 1T)"},
    {"size", "-1048576", "'-1048576' is negative"},
    {"size", "[]", "a number or a size string is needed, not an array"},
    {"text", "1", "a string is needed, not a number"},
    {"text", "null", "a string is needed, not null"},
    {"mode", "0", "a string is needed, not a number"},
    {"mode", "\"of\"", "'of' is not one of: auto, on, off"},
    {"peer", "{}", "an id, a path or null is needed, not an object"},
    {"mac", "12", "a string is needed, not a number"},
    {"addr", "256", "256 is out of range (-1 to 255)"},
    {"addr", "-2", "-2 is out of range (-1 to 255)"},
    {"level", "\"1\"", "a level goes from 0 to 9"},
};

START_TEST(bad_json_is_refused_with_what_is_wrong)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    g_autoptr(GError) err = NULL;
    g_autofree char *line = NULL;
    json_t *json = json_loads(bad_jsons[_i].json, JSON_DECODE_ANY, NULL);

    ck_assert(!property_set_json(obj, bad_jsons[_i].name, json, &err));
    line = g_strdup_printf("property '%s' of test-gadget: %s", bad_jsons[_i].name,
                           bad_jsons[_i].error);
    ck_assert_str_eq(err->message, line);
    ck_assert(!property_was_set(obj, bad_jsons[_i].name));
    json_decref(json);
}
END_TEST

START_TEST(typed_setters_reach_their_kinds)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    GError *err = NULL;

    ck_assert(property_set_bool(obj, "flag", false, NULL));
    ck_assert(!GADGET(obj)->flag);
    ck_assert(property_set_uint(obj, "u64", UINT64_MAX, NULL));
    ck_assert_uint_eq(GADGET(obj)->u64, UINT64_MAX);
    ck_assert(property_set_uint(obj, "size", 1 << 20, NULL));
    ck_assert_uint_eq(GADGET(obj)->size, 1 << 20);
    ck_assert(!property_set_uint(obj, "u16", 65536, &err));
    assert_error(&err, "property 'u16' of test-gadget: 65536 is out of range (0 to 65535)");
    ck_assert(!property_set_bool(obj, "u16", true, &err));
    assert_error(&err, "property 'u16' of test-gadget: a number is needed, not a boolean");
    ck_assert(!property_set_link(obj, "u16", obj, &err));
    assert_error(&err, "property 'u16' of test-gadget is not a link");
}
END_TEST

/* --- defaults, tables, names --- */

START_TEST(a_new_object_has_its_defaults_and_nothing_counts_as_set)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    Gadget *g = GADGET(obj);

    ck_assert(g->flag);
    ck_assert_uint_eq(g->features, UINT64_C(1) << 40);
    ck_assert_uint_eq(g->u8, 7);
    ck_assert_uint_eq(g->u16, 128);
    ck_assert_int_eq(g->i32, -1);
    ck_assert_uint_eq(g->size, 64 * 1024 * 1024);
    ck_assert_ptr_null(g->text);
    ck_assert_str_eq(g->name, "gadget");
    ck_assert_int_eq(g->addr.devfn, PCI_ADDR_AUTO);
    ck_assert_uint_eq(g->fixed, 5);
    ck_assert_int_eq(g->changes, 0);
    ck_assert(!property_was_set(obj, "flag"));
    ck_assert(!property_was_set(obj, "nonsense"));
    assert_reads(obj, "text", "\"\"");
    assert_reads(obj, "peer", "\"\"");
    assert_reads(obj, "addr", "-1");
}
END_TEST

START_TEST(one_bit_is_set_without_touching_its_neighbours)
{
    g_autoptr(Object) obj = object_new(&gadget_type);

    GADGET(obj)->features = UINT64_C(0xff00);
    ck_assert(property_set_bool(obj, "bit3", true, NULL));
    ck_assert(property_set_bool(obj, "bit40", true, NULL));
    ck_assert_uint_eq(GADGET(obj)->features, UINT64_C(0x1000000ff08));
    ck_assert(property_set_bool(obj, "bit3", false, NULL));
    ck_assert_uint_eq(GADGET(obj)->features, UINT64_C(0x1000000ff00));
}
END_TEST

START_TEST(a_subtype_inherits_properties_and_its_own_default_wins)
{
    g_autoptr(Object) obj = object_new(&child_type);

    ck_assert_uint_eq(GADGET(obj)->u16, 256);
    ck_assert_str_eq(GADGET(obj)->name, "child");
    ck_assert(property_set_string(obj, "u8", "9", NULL));
    ck_assert(property_set_string(obj, "extra", "on", NULL));
    ck_assert_uint_eq(GADGET(obj)->u8, 9);
    ck_assert(CHILD(obj)->extra);
}
END_TEST

static const struct {
    const char *name, *type, *def;
} descriptions[] = {
    {"flag", "bool", "on"},       {"bit3", "bool", "off"},  {"u8", "uint8", "7"},
    {"u16", "uint16", "128"},     {"u32", "uint32", "0"},   {"u64", "uint64", "0"},
    {"i32", "int32", "-1"},       {"size", "size", "64M"},  {"text", "str", NULL},
    {"name", "str", "gadget"},    {"mode", "enum", "auto"}, {"peer", "link<test-gadget>", NULL},
    {"mac", "str", NULL},         {"addr", "str", NULL},    {"level", "int", NULL},
    {"optional", "uint32", NULL},
};

START_TEST(type_names_and_defaults_are_told_in_qemus_spelling)
{
    const Property *prop = type_property_find(&gadget_type, descriptions[_i].name);
    g_autofree char *type = property_type_name(prop);
    g_autofree char *def = property_default_string(prop);

    ck_assert_str_eq(type, descriptions[_i].type);
    ck_assert_pstr_eq(def, descriptions[_i].def);
}
END_TEST

static void list_name(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_string_append_printf(opaque, "%s:%s ", prop->name, owner->name + strlen("test-"));
}

START_TEST(enumeration_gives_own_then_parents_then_delegates_and_shadowed_names_once)
{
    g_autoptr(GString) child = g_string_new(NULL);
    g_autoptr(GString) proxy = g_string_new(NULL);

    type_property_foreach(&child_type, list_name, child);
    ck_assert(g_str_has_prefix(child->str, "extra:child u16:child name:child flag:gadget "));
    ck_assert_ptr_null(strstr(child->str, "u16:gadget"));
    ck_assert_ptr_null(strstr(child->str, "name:gadget"));

    type_property_foreach(&sub_proxy_type, list_name, proxy);
    ck_assert(g_str_has_prefix(proxy->str, "vectors:proxy flag:proxy half:proxy lost:proxy "
                                           "extra:child u16:child name:child bit40:gadget "));
    ck_assert_ptr_null(strstr(proxy->str, "flag:gadget"));
}
END_TEST

/* --- names and rules --- */

static const struct {
    const char *name, *error;
} bad_names[] = {
    {"flg", "unknown property 'flg' of test-proxy; did you mean 'flag'?"},
    {"vectros", "unknown property 'vectros' of test-proxy; did you mean 'vectors'?"},
    {"xetra", "unknown property 'xetra' of test-proxy; did you mean 'extra'?"}, /* the delegate's */
    {"colour", "unknown property 'colour' of test-proxy"},
    {"", "unknown property '' of test-proxy"},
};

START_TEST(an_unknown_name_is_refused_with_the_nearest_known_one)
{
    g_autoptr(Object) obj = object_new(&proxy_type);
    GError *err = NULL;

    ck_assert(!property_set_string(obj, bad_names[_i].name, "1", &err));
    assert_error(&err, bad_names[_i].error);
    ck_assert_ptr_null(property_get_json(obj, bad_names[_i].name, &err));
    assert_error(&err, bad_names[_i].error);
}
END_TEST

START_TEST(a_read_only_property_is_read_but_not_set)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    GError *err = NULL;

    ck_assert(!property_set_string(obj, "fixed", "6", &err));
    assert_error(&err, "property 'fixed' of test-gadget is read-only");
    ck_assert(!property_set_uint(obj, "level-ro", 6, &err));
    assert_error(&err, "property 'level-ro' of test-gadget is read-only");
    assert_reads(obj, "fixed", "5");
    assert_reads(obj, "level-ro", "0");
    ck_assert(property_set_uint(obj, "level-wo", 6, NULL));
    ck_assert_ptr_null(property_get_json(obj, "level-wo", &err));
    assert_error(&err, "property 'level-wo' of test-gadget cannot be read");
    assert_reads(obj, "level", "6");
    GADGET(obj)->level = -1;
    ck_assert_ptr_null(property_get_json(obj, "level", &err));
    assert_error(&err, "property 'level' of test-gadget: no level yet");
}
END_TEST

START_TEST(after_realize_only_runtime_properties_change)
{
    g_autoptr(Object) obj = object_new(&gadget_type);
    GError *err = NULL;

    obj->props_frozen = true;
    ck_assert(!property_set_string(obj, "u16", "1", &err));
    assert_error(&err, "property 'u16' of test-gadget cannot be changed after realize");
    ck_assert(!property_set_link(obj, "peer", NULL, &err));
    assert_error(&err, "property 'peer' of test-gadget cannot be changed after realize");
    ck_assert(property_set_string(obj, "live", "3", NULL));
    ck_assert(property_set_uint(obj, "level", 3, NULL));
    ck_assert_uint_eq(GADGET(obj)->live, 3);
}
END_TEST

START_TEST(the_changed_hook_runs_after_each_successful_set_only)
{
    g_autoptr(Object) obj = object_new(&gadget_type);

    ck_assert(property_set_string(obj, "live", "3", NULL));
    ck_assert(property_set_uint(obj, "live", 3, NULL));
    ck_assert(!property_set_string(obj, "live", "x", NULL));
    ck_assert(property_set_string(obj, "u16", "3", NULL));
    ck_assert_int_eq(GADGET(obj)->changes, 2);
}
END_TEST

/* --- delegates and aliases --- */

START_TEST(a_proxy_has_the_properties_of_its_delegate)
{
    g_autoptr(Object) obj = object_new(&sub_proxy_type);
    Object *backend = object_child(obj, "backend");
    Object *holder = NULL;
    GError *err = NULL;

    ck_assert_ptr_nonnull(property_find(obj, "extra", &holder));
    ck_assert_ptr_eq(holder, backend);
    ck_assert_ptr_nonnull(property_find(obj, "vectors", NULL));
    ck_assert(property_set_string(obj, "u8", "9", NULL));
    ck_assert_uint_eq(GADGET(backend)->u8, 9);
    ck_assert(property_was_set(obj, "u8"));
    ck_assert(property_was_set(backend, "u8"));
    ck_assert(!property_set_string(obj, "u8", "abc", &err));
    assert_error(&err, "property 'u8' of test-sub-proxy: 'abc' is not a number");
    ck_assert(property_set_bool(obj, "flag", true, NULL)); /* its own, not the child's */
    ck_assert(PROXY(obj)->flag);
    ck_assert(!property_was_set(backend, "flag"));
    ck_assert_ptr_eq(type_property_find(&sub_proxy_type, "extra"), &child_props[0]);
    ck_assert_ptr_eq(type_find("test-child"), &child_type); /* registered with the proxy */
}
END_TEST

START_TEST(a_realized_proxy_freezes_what_it_delegates)
{
    g_autoptr(Object) obj = object_new(&proxy_type);
    GError *err = NULL;

    obj->props_frozen = true;
    ck_assert(!property_set_string(obj, "u8", "9", &err));
    assert_error(&err, "property 'u8' of test-proxy cannot be changed after realize");
    obj->props_frozen = false;
    object_child(obj, "backend")->props_frozen = true;
    ck_assert(!property_set_string(obj, "half", "9", &err));
    assert_error(&err, "property 'half' of test-proxy cannot be changed after realize");
    ck_assert(property_set_string(obj, "live", "9", NULL));
}
END_TEST

START_TEST(an_alias_is_another_name_for_a_childs_property)
{
    g_autoptr(Object) obj = object_new(&proxy_type);
    Object *backend = object_child(obj, "backend");
    GError *err = NULL;

    assert_reads(obj, "half", "256");
    ck_assert(property_set_string(obj, "half", "12", NULL));
    ck_assert_uint_eq(GADGET(backend)->u16, 12);
    ck_assert(property_was_set(obj, "half"));
    ck_assert(property_was_set(obj, "u16"));
    ck_assert(!property_set_string(obj, "half", "70000", &err));
    assert_error(&err, "property 'half' of test-proxy: 70000 is out of range (0 to 65535)");
    ck_assert_ptr_null(property_find(obj, "lost", NULL));
}
END_TEST

/* --- links --- */

static Object *make_tree(void)
{
    Object *root = object_new(&container_type);
    Object *objects = object_container(root, "objects");

    ck_assert(object_add_child(objects, "a", object_new(&gadget_type), NULL));
    ck_assert(object_add_child(objects, "beta", object_new(&child_type), NULL));
    ck_assert(object_add_child(root, "proxy", object_new(&proxy_type), NULL));
    return root;
}

START_TEST(a_link_is_given_by_id_or_path_and_holds_a_reference)
{
    g_autoptr(Object) root = make_tree();
    Object *a = object_resolve_path(root, "a", NULL);
    Object *beta = object_resolve_path(root, "beta", NULL);
    Object *proxy = object_child(root, "proxy");

    ck_assert(property_set_string(a, "peer", "beta", NULL));
    ck_assert_ptr_eq(GADGET(a)->peer, beta);
    ck_assert_int_eq(beta->ref, 2);
    assert_reads(a, "peer", "\"/objects/beta\"");
    ck_assert(property_set_string(proxy, "peer", "/objects/beta", NULL)); /* by its delegate */
    ck_assert_int_eq(beta->ref, 3);
    ck_assert(property_set_string(a, "peer", "beta", NULL)); /* the same again */
    ck_assert_int_eq(beta->ref, 3);
    ck_assert(property_set_string(a, "peer", "", NULL));
    ck_assert(property_set_link(proxy, "peer", NULL, NULL));
    ck_assert_int_eq(beta->ref, 1);
    ck_assert(property_set_link(a, "peer", beta, NULL));
    object_unparent(a); /* its last reference: the link goes with it */
    ck_assert_int_eq(beta->ref, 1);
}
END_TEST

START_TEST(a_link_to_nothing_or_to_another_type_is_refused)
{
    g_autoptr(Object) root = make_tree();
    Object *a = object_resolve_path(root, "a", NULL);
    GError *err = NULL;

    ck_assert(!property_set_string(a, "peer", "bate", &err));
    ck_assert_int_eq(err->code, AEROSTAT_ERROR_NOT_FOUND); /* kept through the prefix */
    assert_error(&err, "property 'peer' of test-gadget: test-gadget 'bate' not found");
    ck_assert(!property_set_string(a, "peer", "beat", &err));
    assert_error(&err, "property 'peer' of test-gadget: test-gadget 'beat' not found; "
                       "did you mean 'beta'?");
    ck_assert(!property_set_string(a, "peer", "objects", &err));
    assert_error(&err, "property 'peer' of test-gadget: 'objects' is of type container, "
                       "but a test-gadget is needed");
    ck_assert(!property_set_link(a, "peer", root, &err));
    assert_error(&err, "property 'peer' of test-gadget: '(unnamed)' is of type container, "
                       "but a test-gadget is needed");
    ck_assert_ptr_null(GADGET(a)->peer);
}
END_TEST

static void setup(void)
{
    static const TypeInfo *const types[] = {&sub_proxy_type, &container_type, NULL};

    type_register_list(types);
}

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, setup, NULL);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("property");
    TCase *tc = make_case(suite, "values");

    tcase_add_loop_test(tc, good_text_is_stored_and_reads_back, 0, G_N_ELEMENTS(good_texts));
    tcase_add_loop_test(tc, bad_text_is_refused_with_what_is_wrong_and_changes_nothing, 0,
                        G_N_ELEMENTS(bad_texts));
    tcase_add_loop_test(tc, good_json_is_stored_and_reads_back, 0, G_N_ELEMENTS(good_jsons));
    tcase_add_loop_test(tc, bad_json_is_refused_with_what_is_wrong, 0, G_N_ELEMENTS(bad_jsons));
    tcase_add_test(tc, typed_setters_reach_their_kinds);

    tc = make_case(suite, "tables");
    tcase_add_test(tc, a_new_object_has_its_defaults_and_nothing_counts_as_set);
    tcase_add_test(tc, one_bit_is_set_without_touching_its_neighbours);
    tcase_add_test(tc, a_subtype_inherits_properties_and_its_own_default_wins);
    tcase_add_loop_test(tc, type_names_and_defaults_are_told_in_qemus_spelling, 0,
                        G_N_ELEMENTS(descriptions));
    tcase_add_test(tc, enumeration_gives_own_then_parents_then_delegates_and_shadowed_names_once);

    tc = make_case(suite, "rules");
    tcase_add_loop_test(tc, an_unknown_name_is_refused_with_the_nearest_known_one, 0,
                        G_N_ELEMENTS(bad_names));
    tcase_add_test(tc, a_read_only_property_is_read_but_not_set);
    tcase_add_test(tc, after_realize_only_runtime_properties_change);
    tcase_add_test(tc, the_changed_hook_runs_after_each_successful_set_only);
    tcase_add_test(tc, a_proxy_has_the_properties_of_its_delegate);
    tcase_add_test(tc, a_realized_proxy_freezes_what_it_delegates);
    tcase_add_test(tc, an_alias_is_another_name_for_a_childs_property);
    tcase_add_test(tc, a_link_is_given_by_id_or_path_and_holds_a_reference);
    tcase_add_test(tc, a_link_to_nothing_or_to_another_type_is_refused);

    return suite_run(suite);
}
