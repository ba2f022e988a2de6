/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -object iothread,id=ID: a thread that devices may be put on. It runs from the object's completion to its end, which
 * comes after that of all devices that refer to it.
 */
#ifndef AEROSTAT_BACKENDS_IOTHREAD_H
#define AEROSTAT_BACKENDS_IOTHREAD_H

#include "core/loop.h"
#include "qom/object.h"

OBJECT_DECLARE(IoThreadObject, iothread, IOTHREAD)

IoThread *iothread_object_thread(IoThreadObject *o); /* borrowed */
void iothread_object_polling(const IoThreadObject *o, LoopPolling *ret_polling);

#endif
