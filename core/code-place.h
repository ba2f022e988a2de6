/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where functions stand in the source, for those who want to read on: CODE_PLACE(fn) in the body of fn makes a function
 * pointer, as tables and live objects hold it, findable by name, file and line. It costs nothing when that runs.
 */
#ifndef AEROSTAT_CORE_CODE_PLACE_H
#define AEROSTAT_CORE_CODE_PLACE_H

#include "core/log.h"

typedef void (*CodeFn)(void); /* any function, cast */

typedef struct {
    const char *name;
    CodeFn fn;
    const char *file; /* as the compiler was given it */
    int line;
} CodePlace;

/* See TRACE_REF. */
#ifdef __clang__
#define CODE_PLACE_REF __attribute__((used, section("aerostat_places"), no_sanitize("address")))
#else
#define CODE_PLACE_REF __attribute__((used, section("aerostat_places")))
#endif

/* Among the declarations of the function's body, where its line is nearest to the function's name. */
#define CODE_PLACE(function)                                                                                   \
    static const CodePlace code_place_##function = {#function, (CodeFn)function, __FILE__, __LINE__};          \
    static const CodePlace *code_place_ref_##function CODE_PLACE_REF = &code_place_##function

const CodePlace *code_place_find(CodeFn fn); /* NULL: it has no CODE_PLACE */

/* "virtio_rng_handle_output (hw/virtio/virtio-rng.c:53)", the file as below the project's root. Free with g_free. */
char *code_place_text(CodeFn fn);

#endif
