/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An accelerator without a guest: it notes what the machine asks of it. Interrupt inputs and messages are recorded.
 */
#ifndef AEROSTAT_TESTS_FAKE_ACCEL_H
#define AEROSTAT_TESTS_FAKE_ACCEL_H

#include "vmm/accel/accel.h"

OBJECT_DECLARE(FakeAccel, fake_accel, FAKE_ACCEL)

enum { FAKE_GSIS = 24, FAKE_CPUS = 4 };

struct FakeAccel {
    Accel parent_obj;
    MsiController msi;
    bool fail_open, fail_vcpus, fail_reset; /* set by the test: that step fails */
    bool has_stats;            /* set by the test */
    bool open, running;
    unsigned starts, pauses, resets, closes, nmis;
    X86CpuState state;         /* of the newest reset */
    int level[FAKE_GSIS];
    unsigned raised[FAKE_GSIS]; /* changes from low to high */
    unsigned messages;
    MsiMessage last_message;
    uint16_t last_requester;
    X86Registers registers[FAKE_CPUS];
    CpuDebug debug[FAKE_CPUS]; /* as of the newest accel_debug */
    bool fail_registers, fail_debug;
    /* Called once, from the next pause, as a vCPU may do something before it stops. NULL: nothing. */
    void (*on_pause)(void *opaque);
    void *on_pause_opaque;
};

#endif
