/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads libnbd, see the header.
 */
#include "backends/block-nbd-lib.h"

#include <dlfcn.h>
#include <string.h>

#define SONAME "libnbd.so.0"

#define ENTRY(name) {"nbd_" #name, offsetof(NbdLib, name)},
static const struct {
    const char *name;
    size_t at;
} functions[] = {NBD_FUNCTIONS(ENTRY)};
#undef ENTRY

bool nbd_lib_load(NbdLib *ret_lib, GError **err)
{
    /* What it brings along (GnuTLS above all) is not made for being unloaded. */
    void *so = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    NbdLib lib;

    if (!so) {
        return error_set(err, "driver nbd: %s (not installed? apt-get install libnbd0)", dlerror());
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        void *f = dlsym(so, functions[i].name);

        if (!f) {
            dlclose(so);
            return error_set(err, "driver nbd: " SONAME " is too old, it has no %s",
                             functions[i].name);
        }
        memcpy((char *)&lib + functions[i].at, &f, sizeof f);
    }
    dlclose(so);
    *ret_lib = lib;
    return true;
}
