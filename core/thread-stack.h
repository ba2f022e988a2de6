/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the stacks of our threads lie, for the memory bill. The main thread's is the kernel's to tell ("[stack]").
 */
#ifndef AEROSTAT_CORE_THREAD_STACK_H
#define AEROSTAT_CORE_THREAD_STACK_H

#include <stddef.h>

void thread_stack_register(void); /* by a thread about itself, first thing; it is forgotten when the thread ends */

/* name: the thread's as the kernel has it. No thread begins or ends meanwhile. */
void thread_stack_foreach(void (*fn)(void *opaque, const char *name, const void *start, size_t size), void *opaque);

#endif
