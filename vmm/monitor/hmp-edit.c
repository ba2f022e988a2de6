/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See hmp-edit.h. What is shown is changed with backspaces and blanks alone, so that even a
 * terminal that knows no sequences shows it right; the column is that of the cursor at all times.
 */
#include "vmm/monitor/hmp-edit.h"

#include <stdbool.h>
#include <string.h>

typedef enum {
    KEY_NONE,
    KEY_UP,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
    KEY_BACKSPACE,
    KEY_KILL_REST,  /* from the cursor to the end */
    KEY_KILL_START, /* from the begin to the cursor */
    KEY_KILL_WORD,  /* the word left of the cursor */
} Key;

typedef enum {
    PLAIN,
    ESCAPE,  /* behind ESC */
    CSI,     /* behind ESC [ : parameters, then the key */
    SS3,     /* behind ESC O, likewise */
    SWALLOW, /* behind ESC [ [, which is how Linux's console says F1: one more */
} State;

struct HmpEdit {
    const HmpEditOps *ops;
    void *opaque;
    char text[HMP_LINE_MAX]; /* terminated, whole characters */
    size_t len, at;          /* at: of the cursor */
    GPtrArray *history;      /* of char *, oldest first, each once */
    guint place;             /* what is edited came from there; history->len: it is new */
    char *draft;             /* the new line while an old one is edited */
    State state;
    unsigned number; /* the first parameter of a sequence */
    bool more;       /* ... which is complete */
    char piece[4];   /* of a character of more than one byte */
    unsigned have, want;
    bool after_cr; /* \r\n is one */
};

HmpEdit *hmp_edit_new(const HmpEditOps *ops, void *opaque)
{
    HmpEdit *e = g_new0(HmpEdit, 1);

    e->ops = ops;
    e->opaque = opaque;
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void hmp_edit_free(HmpEdit *e)
{
    if (e) {
        g_ptr_array_unref(e->history);
        g_free(e->draft);
        g_free(e);
    }
}

void hmp_edit_reset(HmpEdit *e)
{
    e->text[0] = '\0';
    e->len = e->at = 0;
    e->place = e->history->len;
    e->state = PLAIN;
    e->have = e->want = 0;
}

/* --- what is shown --- */

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static size_t columns(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        n += !is_continuation(text[i]);
    }
    return n;
}

static void print(HmpEdit *e, const char *bytes, size_t len)
{
    if (len > 0) {
        e->ops->print(e->opaque, bytes, len);
    }
}

static void repeat(HmpEdit *e, char c, size_t n)
{
    g_autofree char *text = g_strnfill(n, c);

    print(e, text, n);
}

static void move_to(HmpEdit *e, size_t to)
{
    if (to < e->at) {
        repeat(e, '\b', columns(e->text + to, e->at - to));
    } else {
        print(e, e->text + e->at, to - e->at);
    }
    e->at = to;
}

void hmp_edit_redraw(HmpEdit *e)
{
    size_t at = e->at;

    e->ops->prompt(e->opaque);
    e->at = 0;
    move_to(e, e->len);
    move_to(e, at);
}

/* --- changes --- */

static void insert(HmpEdit *e, const char *bytes, size_t len)
{
    size_t rest = e->len - e->at;

    if (e->len + len >= sizeof e->text) {
        return;
    }
    memmove(e->text + e->at + len, e->text + e->at, rest + 1);
    memcpy(e->text + e->at, bytes, len);
    e->len += len;
    print(e, e->text + e->at, len + rest);
    e->at += len;
    repeat(e, '\b', columns(e->text + e->at, rest));
}

void hmp_edit_insert(HmpEdit *e, const char *text)
{
    insert(e, text, strlen(text));
}

char *hmp_edit_before(const HmpEdit *e)
{
    return g_strndup(e->text, e->at);
}

static void erase(HmpEdit *e, size_t from, size_t to)
{
    size_t rest = e->len - to, gone = columns(e->text + from, to - from);

    if (from == to) {
        return;
    }
    move_to(e, from);
    memmove(e->text + from, e->text + to, rest + 1);
    e->len -= to - from;
    print(e, e->text + from, rest);
    repeat(e, ' ', gone);
    repeat(e, '\b', gone + columns(e->text + from, rest));
}

static size_t left_of(const HmpEdit *e, size_t at)
{
    while (at > 0 && is_continuation(e->text[--at])) {
    }
    return at;
}

static size_t right_of(const HmpEdit *e, size_t at)
{
    while (at < e->len && is_continuation(e->text[++at])) {
    }
    return at;
}

static size_t word_begin(const HmpEdit *e)
{
    size_t at = e->at;

    while (at > 0 && e->text[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && e->text[at - 1] != ' ') {
        at--;
    }
    return at;
}

/* --- history --- */

static void remember(HmpEdit *e, const char *line)
{
    guint older;

    if (!line[strspn(line, " ")]) {
        return;
    }
    if (g_ptr_array_find_with_equal_func(e->history, line, g_str_equal, &older)) {
        g_ptr_array_remove_index(e->history, older);
    }
    g_ptr_array_add(e->history, g_strdup(line));
    if (e->history->len > HMP_HISTORY_MAX) {
        g_ptr_array_remove_index(e->history, 0);
    }
}

static void go_to(HmpEdit *e, guint place)
{
    const char *text;

    if (e->place == e->history->len) {
        g_free(e->draft);
        e->draft = g_strdup(e->text);
    }
    e->place = place;
    text = place < e->history->len ? e->history->pdata[place] : e->draft;
    erase(e, 0, e->len);
    insert(e, text, strlen(text));
}

/* --- keys --- */

static void press(HmpEdit *e, Key key)
{
    switch (key) {
    case KEY_NONE:
        break;
    case KEY_UP:
        if (e->place > 0) {
            go_to(e, e->place - 1);
        }
        break;
    case KEY_DOWN:
        if (e->place < e->history->len) {
            go_to(e, e->place + 1);
        }
        break;
    case KEY_LEFT:
        move_to(e, left_of(e, e->at));
        break;
    case KEY_RIGHT:
        move_to(e, right_of(e, e->at));
        break;
    case KEY_HOME:
        move_to(e, 0);
        break;
    case KEY_END:
        move_to(e, e->len);
        break;
    case KEY_DELETE:
        erase(e, e->at, right_of(e, e->at));
        break;
    case KEY_BACKSPACE:
        erase(e, left_of(e, e->at), e->at);
        break;
    case KEY_KILL_REST:
        erase(e, e->at, e->len);
        break;
    case KEY_KILL_START:
        erase(e, 0, e->at);
        break;
    case KEY_KILL_WORD:
        erase(e, word_begin(e), e->at);
    }
}

typedef struct {
    uint8_t code;
    Key key;
} KeyCode;

static Key find_key(const KeyCode *codes, size_t n, unsigned code)
{
    for (size_t i = 0; i < n; i++) {
        if (codes[i].code == code) {
            return codes[i].key;
        }
    }
    return KEY_NONE;
}

static Key key_of_control(uint8_t c)
{
    static const KeyCode codes[] = {
        {'A' - '@', KEY_HOME},       {'B' - '@', KEY_LEFT},      {'D' - '@', KEY_DELETE},
        {'E' - '@', KEY_END},        {'F' - '@', KEY_RIGHT},     {'H' - '@', KEY_BACKSPACE},
        {'K' - '@', KEY_KILL_REST},  {'N' - '@', KEY_DOWN},      {'P' - '@', KEY_UP},
        {'U' - '@', KEY_KILL_START}, {'W' - '@', KEY_KILL_WORD}, {0x7f, KEY_BACKSPACE},
    };

    return find_key(codes, G_N_ELEMENTS(codes), c);
}

/* ECMA-48's functions and xterm's, and the numbers of VT220 and rxvt before '~'. */
static Key key_of_sequence(uint8_t last, unsigned number)
{
    static const KeyCode letters[] = {{'A', KEY_UP},   {'B', KEY_DOWN}, {'C', KEY_RIGHT},
                                      {'D', KEY_LEFT}, {'H', KEY_HOME}, {'F', KEY_END}};
    static const KeyCode numbers[] = {
        {1, KEY_HOME}, {3, KEY_DELETE}, {4, KEY_END}, {7, KEY_HOME}, {8, KEY_END}};

    return last == '~' ? find_key(numbers, G_N_ELEMENTS(numbers), number)
                       : find_key(letters, G_N_ELEMENTS(letters), last);
}

/* --- bytes --- */

static void enter(HmpEdit *e)
{
    g_autofree char *line = g_strdup(e->text);

    move_to(e, e->len);
    print(e, "\r\n", 2);
    remember(e, line);
    hmp_edit_reset(e);
    e->ops->line(e->opaque, line);
}

static void give_up(HmpEdit *e)
{
    print(e, "\r\n", 2);
    hmp_edit_reset(e);
    e->ops->prompt(e->opaque);
}

/* A character of more than one byte is inserted once all of it is there; what is none is dropped.
 */
static void take_piece(HmpEdit *e, uint8_t c)
{
    if (!is_continuation((char)c)) {
        e->want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        e->have = 0;
    } else if (e->have == 0) {
        return;
    }
    e->piece[e->have++] = (char)c;
    if (e->have == e->want) {
        e->have = 0;
        if (g_utf8_validate(e->piece, e->want, NULL)) {
            insert(e, e->piece, e->want);
        }
    }
}

static void take_plain(HmpEdit *e, uint8_t c)
{
    bool again = c == '\n' && e->after_cr;

    e->after_cr = c == '\r';
    if (c >= 0x80) {
        take_piece(e, c);
        return;
    }
    e->have = 0;
    if (c == '\r' || c == '\n') {
        if (!again) {
            enter(e);
        }
    } else if (c == 'C' - '@') {
        give_up(e);
    } else if (c == '\t') {
        e->ops->complete(e->opaque);
    } else if (c >= ' ' && c < 0x7f) {
        insert(e, (const char *)&c, 1);
    } else {
        press(e, key_of_control(c));
    }
}

static void take_parameter(HmpEdit *e, uint8_t c)
{
    if (c < '0' || c > '9') {
        e->more = true;
    } else if (!e->more) {
        e->number = MIN(e->number * 10 + (c - '0'), 1000);
    }
}

static void begin_sequence(HmpEdit *e, State state)
{
    e->state = state;
    e->number = 0;
    e->more = false;
}

static void take_escaped(HmpEdit *e, uint8_t c)
{
    State state = e->state;

    if (state == ESCAPE && (c == '[' || c == 'O')) {
        begin_sequence(e, c == '[' ? CSI : SS3);
    } else if (state == CSI && c == '[') {
        e->state = SWALLOW;
    } else if ((state == CSI || state == SS3) && c < '@') {
        take_parameter(e, c);
    } else {
        e->state = PLAIN;
        if (state == CSI || state == SS3) {
            press(e, key_of_sequence(c, e->number));
        }
    }
}

void hmp_edit_feed(HmpEdit *e, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 0x1b) {
            e->have = 0;
            e->state = ESCAPE;
        } else if (e->state == PLAIN || bytes[i] < ' ') {
            e->state = PLAIN;
            take_plain(e, bytes[i]);
        } else {
            take_escaped(e, bytes[i]);
        }
    }
}
