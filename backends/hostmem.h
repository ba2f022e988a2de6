/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for guest RAM as objects of -object: memory-backend-ram, memory-backend-memfd, memory-backend-file. A machine
 * takes one with memory-backend=ID.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_BACKENDS_HOSTMEM_H
#define AEROSTAT_BACKENDS_HOSTMEM_H

#include "core/gmem-block.h"
#include "qom/object.h"

OBJECT_DECLARE_CLASS(HostMem, HostMemClass, memory_backend, MEMORY_BACKEND)

extern const TypeInfo memory_backend_ram_type, memory_backend_memfd_type, memory_backend_file_type;

/* The complete object's memory, borrowed. It can be taken once: a second time is an error. */
GmemBlock *memory_backend_take(HostMem *b, GError **err);
uint64_t memory_backend_size(const HostMem *b);
const GmemBlock *memory_backend_block(const HostMem *b); /* NULL: not complete */

#endif
