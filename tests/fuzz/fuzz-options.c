/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as a command line: words end with a zero byte. What parses is used: properties are set on a
 * machine, devices are made on a VM without a guest. Errors must be one line of valid UTF-8.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake-vm.h"
#include "vmm/cli/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { WORDS_MAX = 32 };

static FakeVm vm;

static void finish(void)
{
    fake_vm_finish(&vm);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (!freopen("/dev/null", "w", stdout)) { /* help texts */
        return 1;
    }
    fake_vm_init(&vm);
    g_assert(fake_vm_start(&vm, NULL));
    atexit(finish);
    return 0;
}

static void check_error(GError *err)
{
    g_assert(err && *err->message);
    g_assert(g_utf8_validate(err->message, -1, NULL));
    g_assert(!strchr(err->message, '\n'));
    g_error_free(err);
}

static void use_devices(const Options *o)
{
    for (unsigned i = 0; i < o->devices->len; i++) {
        GError *err = NULL;
        Device *dev = machine_add_device(vm.m, o->devices->pdata[i], &err);

        if (dev) {
            g_assert(!err);
            device_reset(dev);
            device_destroy(dev);
        } else {
            check_error(err);
        }
    }
}

static void use_machine_properties(const Options *o)
{
    g_autoptr(Object) m = object_new(machine_type_find("pc", NULL));
    const char *key;
    json_t *value;

    json_object_foreach(o->machine_props, key, value)
    {
        GError *err = NULL;

        if (!property_set_string(m, key, json_string_value(value), &err)) {
            check_error(err);
        }
    }
}

/* Options that touch files or stay on for the process's life. */
static bool harmful(const char *word)
{
    word += strspn(word, "-");
    return !strcmp(word, "D") || !strcmp(word, "d") || !strcmp(word, "trace") ||
           !strcmp(word, "readconfig") || !strcmp(word, "config");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_malloc(size + 1);
    char *argv[WORDS_MAX + 2] = {(char *)"aerostat"};
    GError *err = NULL;
    int argc = 1;
    Options o;

    memcpy(text, data, size);
    text[size] = '\0';
    for (char *word = text; word < text + size && argc <= WORDS_MAX; word += strlen(word) + 1) {
        if (harmful(word)) {
            return 0;
        }
        argv[argc++] = word;
    }
    if (!options_parse(&o, argc, argv, &err)) {
        check_error(err);
    } else {
        g_assert(!err);
        use_devices(&o);
        if (json_object_size(o.machine_props) > 0) {
            use_machine_properties(&o);
        }
    }
    options_finish(&o);
    return 0;
}
