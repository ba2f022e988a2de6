/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as what a debugger sends, to a VM whose vCPUs only note what is asked of them. Frames are
 * made around lines, so that the input need not know checksums; what begins with '$' or has no
 * newline goes as it is. A line of '!' and a digit is a vCPU that stops. Whatever comes: each frame
 * that comes back is whole, its memory is bounded, and afterwards no breakpoint is left.
 */
#include <stdlib.h>
#include <string.h>

#include "backends/chardev-impl.h"
#include "tests/fake-vm.h"
#include "vmm/gdb/gdb-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

OBJECT_DECLARE(FuzzChardev, fuzz_chardev, FUZZ_CHARDEV)

struct FuzzChardev {
    Chardev parent_obj;
    GdbReader reader;
};

static void fuzz_chardev_write(Chardev *c, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        g_assert(gdb_reader_take(&FUZZ_CHARDEV(c)->reader, buf[i]) != GDB_INPUT_BAD);
    }
}

static void fuzz_chardev_init(Object *obj)
{
    gdb_reader_init(&FUZZ_CHARDEV(obj)->reader);
}

static void fuzz_chardev_finalize(Object *obj)
{
    gdb_reader_finish(&FUZZ_CHARDEV(obj)->reader);
}

static void fuzz_chardev_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->write = fuzz_chardev_write;
}

const TypeInfo fuzz_chardev_type = {
    .name = "chardev-fuzz",
    .parent = &chardev_type,
    .instance_size = sizeof(FuzzChardev),
    .instance_init = fuzz_chardev_init,
    .instance_finalize = fuzz_chardev_finalize,
    .class_init = fuzz_chardev_class_init,
};

static FakeVm vm;
static Chardev *stream;

static void finish(void)
{
    gdb_end(vm.m);
    fake_vm_finish(&vm);
}

static void begin(void)
{
    if (!vm.m) {
        fake_vm_init(&vm);
        vm.m->smp = 2;
        g_assert(fake_vm_start(&vm, NULL));
        g_assert(machine_boot(vm.m, NULL));
        stream = chardev_new(&fuzz_chardev_type, vm.m->platform.loop, "fuzz");
        object_add_child(object_container(vm.root, "chardevs"), "fuzz", OBJECT(stream), NULL);
        g_assert(gdb_serve(vm.m, "chardev:fuzz", "-gdb", NULL));
        atexit(finish);
    }
    vm.m->gdb->dead = false;
    vm.m->ending = vm.m->shutdown_pending = false;
    machine_request_reset(vm.m, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    fake_vm_settle(&vm);
    g_assert(gmem_set(vm.m->platform.mem, GPA(0), 0x90, 1 << 20));
    chardev_set_open(stream, true);
}

static void send(const uint8_t *bytes, size_t len)
{
    chardev_fe_receive(stream, bytes, len);
    fake_vm_settle(&vm);
}

static void stop_a_vcpu(const uint8_t *line, size_t len)
{
    CpuStop stop = {.kind = line[1] & 3, .cpu = line[1] >> 2 & 1, .point = line[1] >> 3 & 3};

    stop.kind = MIN(stop.kind, CPU_STOP_POINT);
    stop.pc = UINT64_C(1) << 63 | (len > 2 ? line[2] : 0u);
    if (vm.accel->running) {
        vm.m->accel->debugger->stopped(vm.m->accel->debugger->opaque, &stop);
        fake_vm_settle(&vm);
    }
}

static void take_line(const uint8_t *line, size_t len)
{
    GString *frame;

    if (len > 1 && line[0] == '!') {
        stop_a_vcpu(line, len);
    } else if (len > 0 && line[0] == '$') {
        send(line, len);
    } else {
        frame = gdb_frame((const char *)line, len);
        send((const uint8_t *)frame->str, frame->len);
        g_string_free(frame, TRUE);
    }
}

static void check_no_breakpoints(void)
{
    uint8_t byte;

    for (unsigned i = 0; i < 4096; i++) {
        g_assert(gmem_read(vm.m->platform.mem, GPA(i), &byte, 1));
        g_assert(byte != 0xcc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end;

    if (memchr(data, 0xcc, size) || memmem(data, size, "cc", 2) || memmem(data, size, "CC", 2)) {
        return 0; /* it could write what is looked for below */
    }
    begin();
    while ((end = memchr(data, '\n', size))) {
        take_line(data, (size_t)(end - data));
        size -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    send(data, size);
    g_assert(vm.m->gdb->breakpoints->len <= GDB_POINTS_MAX);
    g_assert(vm.m->gdb->reader.data->len <= GDB_PACKET_MAX);
    chardev_set_open(stream, false);
    fake_vm_settle(&vm);
    g_assert(vm.m->gdb->breakpoints->len == 0);
    check_no_breakpoints();
    return 0;
}
