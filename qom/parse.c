/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsers of the words, numbers, addresses and JSON that users write. Each takes the whole text or
 * fails with one line that quotes it; none depends on the locale.
 */
#include "qom/internal.h"

#include <string.h>

static int digit_value(char c, unsigned base)
{
    int value = g_ascii_xdigit_value(c);

    return value < (int)base ? value : -1;
}

/* Reads digits at *cursor and moves it behind them; false when there are none. */
static bool scan_digits(const char **cursor, unsigned base, uint64_t *ret_value, bool *ret_overflow)
{
    const char *start = *cursor;
    uint64_t value = 0;
    bool overflow = false;
    int digit;

    while ((digit = digit_value(**cursor, base)) >= 0) {
        overflow |= __builtin_mul_overflow(value, (uint64_t)base, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)digit, &value);
        ++*cursor;
    }
    if (*cursor == start) {
        return false;
    }
    *ret_value = value;
    *ret_overflow = overflow;
    return true;
}

static unsigned scan_base(const char **cursor)
{
    if ((*cursor)[0] == '0' && ((*cursor)[1] == 'x' || (*cursor)[1] == 'X')) {
        *cursor += 2;
        return 16;
    }
    return 10;
}

bool parse_number(const char *text, Number *ret_number, GError **err)
{
    const char *cursor = text;
    Number number = {0};
    unsigned base;

    if (*cursor == '-') {
        number.negative = true;
        cursor++;
    }
    base = scan_base(&cursor);
    if (!scan_digits(&cursor, base, &number.magnitude, &number.overflow) || *cursor != '\0') {
        return error_set(err, "'%s' is not a number", text);
    }
    if (number.magnitude == 0 && !number.overflow) {
        number.negative = false;
    }
    *ret_number = number;
    return true;
}

bool parse_uint(const char *text, uint64_t *ret_value, GError **err)
{
    Number number;

    if (!parse_number(text, &number, err)) {
        return false;
    }
    if (number.negative) {
        return error_set(err, "'%s' is negative", text);
    }
    if (number.overflow) {
        return error_set(err, "'%s' is too large", text);
    }
    *ret_value = number.magnitude;
    return true;
}

bool parse_bool(const char *text, bool *ret_value, GError **err)
{
    static const char *const words[][2] = {{"off", "on"}, {"no", "yes"}, {"false", "true"}};

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(text, words[i][0]) == 0 || strcmp(text, words[i][1]) == 0) {
            *ret_value = strcmp(text, words[i][1]) == 0;
            return true;
        }
    }
    return error_set(err, "'%s' is neither 'on' nor 'off'", text);
}

/* --- sizes --- */

static const char size_units[] = "BKMGTPE"; /* each 1024 times the one before */

/* The unit that a suffix letter stands for, or 0. */
static uint64_t size_unit(char letter)
{
    const char *unit = strchr(size_units, g_ascii_toupper(letter));

    return letter != '\0' && unit != NULL ? UINT64_C(1) << (10 * (unit - size_units)) : 0;
}

/* The digits behind a decimal point, as a fraction of *ret_scale. 19 fit, and tell every byte of an
 * exbibyte; more are read over. */
static bool scan_fraction(const char **cursor, uint64_t *ret_fraction, uint64_t *ret_scale)
{
    const char *start = *cursor;

    *ret_fraction = 0;
    *ret_scale = 1;
    for (; g_ascii_isdigit(**cursor); ++*cursor) {
        if (*cursor - start < 19) {
            *ret_fraction = *ret_fraction * 10 + (uint64_t)(**cursor - '0');
            *ret_scale *= 10;
        }
    }
    return *cursor != start;
}

bool parse_size(const char *text, uint64_t default_unit, uint64_t *ret_value, GError **err)
{
    const char *cursor = text + (*text == '-');
    unsigned base = scan_base(&cursor);
    uint64_t whole, fraction = 0, scale = 1, unit = default_unit;
    bool overflow;
    unsigned __int128 size;

    if (!scan_digits(&cursor, base, &whole, &overflow)) {
        goto bad;
    }
    if (base == 10 && *cursor == '.') {
        cursor++;
        if (!scan_fraction(&cursor, &fraction, &scale)) {
            goto bad;
        }
    }
    if (base == 10 && size_unit(*cursor) != 0) {
        unit = size_unit(*cursor++);
    }
    if (*cursor != '\0') {
        goto bad;
    }
    if (*text == '-') {
        return error_set(err, "'%s' is negative", text);
    }
    if (fraction != 0 && unit == 1) {
        return error_set(err, "'%s' is not a whole number of bytes", text);
    }
    size = (unsigned __int128)whole * unit + (unsigned __int128)fraction * unit / scale;
    if (overflow || size > UINT64_MAX) {
        return error_set(err, "'%s' is too large", text);
    }
    *ret_value = (uint64_t)size;
    return true;

bad:
    return error_set(err, "'%s' is not a size (as in 4096, 512M or 1.5G)", text);
}

char *format_size(uint64_t size)
{
    size_t unit = 0;

    while (size != 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    return unit == 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, size)
                     : g_strdup_printf("%" G_GUINT64_FORMAT "%c", size, size_units[unit]);
}

/* --- addresses --- */

bool parse_mac(const char *text, MacAddr *ret_mac, GError **err)
{
    MacAddr mac;
    bool good = strlen(text) == 3 * sizeof mac.b - 1;

    for (size_t i = 0; good && i < sizeof mac.b; i++) {
        const char *pair = text + 3 * i;

        good = g_ascii_isxdigit(pair[0]) && g_ascii_isxdigit(pair[1]) &&
               (i + 1 == sizeof mac.b || pair[2] == ':');
        if (good) {
            mac.b[i] =
                (uint8_t)(g_ascii_xdigit_value(pair[0]) << 4 | g_ascii_xdigit_value(pair[1]));
        }
    }
    if (!good) {
        return error_set(err, "'%s' is not a MAC address (as in 52:54:00:12:34:56)", text);
    }
    *ret_mac = mac;
    return true;
}

/* With or without 0x before it. */
static bool scan_hex(const char **cursor, uint64_t *ret_value)
{
    bool overflow = false;

    scan_base(cursor);
    return scan_digits(cursor, 16, ret_value, &overflow) && !overflow;
}

bool parse_pci_addr(const char *text, int32_t *ret_devfn, GError **err)
{
    const char *cursor = text;
    uint64_t slot = 0, function = 0;
    bool good = scan_hex(&cursor, &slot);

    if (good && *cursor == '.') {
        cursor++;
        good = scan_hex(&cursor, &function);
    }
    if (!good || *cursor != '\0' || slot > 0x1f || function > 7) {
        return error_set(err, "'%s' is not a PCI address (slot.function in hex, 00.0 to 1f.7)",
                         text);
    }
    *ret_devfn = (int32_t)(slot << 3 | function);
    return true;
}

/* --- JSON --- */

/* The byte at text[*i] inside of a string; *quote becomes 0 at its end. */
static void append_quoted(GString *out, const char *text, size_t len, size_t *i, char *quote)
{
    char c = text[*i];

    if (c == '\\' && *i + 1 < len) {
        c = text[++*i];
        if (c != '\'') {
            g_string_append_c(out, '\\');
        }
        g_string_append_c(out, c);
    } else if (c == *quote) {
        *quote = 0;
        g_string_append_c(out, '"');
    } else {
        g_string_append(out, c == '"' ? "\\" : "");
        g_string_append_c(out, c);
    }
}

json_t *parse_json(const char *text, size_t len, GError **err)
{
    g_autoptr(GString) plain = g_string_sized_new(len);
    json_error_t jerr;
    json_t *value;
    char quote = 0;

    for (size_t i = 0; i < len; i++) {
        if (quote) {
            append_quoted(plain, text, len, &i, &quote);
        } else {
            quote = text[i] == '"' || text[i] == '\'' ? text[i] : 0;
            g_string_append_c(plain, quote ? '"' : text[i]);
        }
    }
    value = json_loadb(plain->str, plain->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &jerr);
    if (!value) {
        error_set(err, "%s", jerr.text);
    }
    return value;
}
