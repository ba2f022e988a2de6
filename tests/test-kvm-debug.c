/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debugger asks of the kvm accelerator, on a real /dev/kvm. A KVM that emulates the guest
 * (no vmx, no svm) has no watchpoints, and no INT3 but a debugger's: those tests are left out. A
 * host that QEMU's TCG emulates (tools/kvm-host) passes single steps on, and no breakpoints.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm-payloads.h"
#include "tests/suite.h"
#include "vmm/accel/accel.h"

enum { RAM = 1 << 20, GDT = 0x800, IDT = 0x4000, WAIT_SECONDS = 60 };
enum { LOOP = PAYLOAD_BASE, STORE = LOOP + 3, LOAD = STORE + 8, NOP = LOAD + 8, JUMP = NOP + 1 };
enum { COUNTER = 0x3000, OTHER = 0x3008, CAUGHT = 0x3010 };

PAYLOAD(loop, 64, "1: inc %rax; mov %rax, 0x3000; mov 0x3008, %rbx; nop; jmp 1b\n");
/* INT3 in the guest's own hands: it counts in the handler, which does not return. */
PAYLOAD(own_int3, 64, "nop; int3; 1: jmp 1b\n");
PAYLOAD(handler, 64, "incl 0x3010; 1: jmp 1b\n");

typedef struct {
    Platform p;
    Accel *accel;
    CpuDebugger debugger;
    CpuStop stop;
    unsigned stops;
    bool refuse; /* the next stop is none of ours */
    pthread_cond_t changed;
} Vm;

static bool cpuinfo_has(const char *word)
{
    g_autofree char *text = NULL;

    return g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL) && strstr(text, word);
}

static void must(bool ok, GError **err)
{
    ck_assert_msg(ok, "%s", *err ? (*err)->message : "failed without an error");
}

static bool on_stop(void *opaque, const CpuStop *stop)
{
    Vm *vm = opaque;

    vm->stop = *stop;
    vm->stops++;
    pthread_cond_broadcast(&vm->changed);
    return !vm->refuse;
}

static void put(Vm *vm, uint64_t gpa, const void *bytes, size_t len)
{
    ck_assert(gmem_write(vm->p.mem, GPA(gpa), bytes, len));
}

static void put64(Vm *vm, uint64_t gpa, uint64_t value)
{
    put(vm, gpa, &value, sizeof value);
}

static uint64_t get64(Vm *vm, uint64_t gpa)
{
    uint64_t value;

    ck_assert(gmem_read(vm->p.mem, GPA(gpa), &value, sizeof value));
    return value;
}

static void reset(Vm *vm)
{
    g_autoptr(GError) err = NULL;
    CpuStartState state = {.arch = CPU_START_X86};

    state.x86 = (X86CpuState){.mode = X86_START_LONG64,
                              .rip = PAYLOAD_BASE,
                              .rsp = 0x9000,
                              .page_table = GPA(0x5000),
                              .gdt = GPA(GDT),
                              .gdt_limit = 0x27,
                              .code_selector = 0x20,
                              .data_selector = 0x18};
    must(accel_reset(vm->accel, &state, &err), &err);
}

static Vm *vm_new(const uint8_t *payload, const uint8_t *end)
{
    g_autoptr(GError) err = NULL;
    Vm *vm = g_new0(Vm, 1);

    platform_init(&vm->p, true, false);
    pthread_cond_init(&vm->changed, NULL);
    pthread_mutex_lock(&vm->p.lock);
    must(gmem_add(vm->p.mem, GPA(0), RAM, GMEM_ANONYMOUS, &err), &err);
    vm->accel = ACCEL(object_new(&kvm_accel_type));
    vm->debugger = (CpuDebugger){on_stop, vm};
    must(accel_open(vm->accel, &vm->p, &err), &err);
    must(accel_create_vcpus(vm->accel, 1, &err), &err);
    vm->accel->debugger = &vm->debugger;
    put64(vm, GDT + 0x18, UINT64_C(0x00cf93000000ffff));
    put64(vm, GDT + 0x20, UINT64_C(0x00af9b000000ffff));
    put64(vm, 0x5000, 0x6003);
    put64(vm, 0x6000, 0x7003);
    put64(vm, 0x7000, 0x83);
    put(vm, PAYLOAD_BASE, payload, (size_t)(end - payload));
    reset(vm);
    return vm; /* with the VM lock held */
}

static void vm_free(Vm *vm)
{
    accel_close(vm->accel);
    object_unref(vm->accel);
    pthread_mutex_unlock(&vm->p.lock);
    platform_finish(&vm->p);
    pthread_cond_destroy(&vm->changed);
    g_free(vm);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

#define vm_of(name) vm_new(payload_##name, payload_##name##_end)

static void debug(Vm *vm, const CpuDebug *how)
{
    g_autoptr(GError) err = NULL;

    must(accel_debug(vm->accel, 0, how, &err), &err);
}

static void run_for_ms(Vm *vm, unsigned ms)
{
    accel_start(vm->accel);
    pthread_mutex_unlock(&vm->p.lock);
    g_usleep(ms * 1000);
    pthread_mutex_lock(&vm->p.lock);
    accel_pause(vm->accel);
}

/* Runs to the next stop. */
static void run(Vm *vm)
{
    struct timespec until = {.tv_sec = time(NULL) + WAIT_SECONDS};
    unsigned before = vm->stops;

    accel_start(vm->accel);
    while (vm->stops == before && pthread_cond_timedwait(&vm->changed, &vm->p.lock, &until) == 0) {
    }
    accel_pause(vm->accel);
    ck_assert_uint_eq(vm->stops, before + 1);
}

static X86Registers registers(Vm *vm)
{
    g_autoptr(GError) err = NULL;
    X86Registers regs;

    must(accel_read_registers(vm->accel, 0, &regs, &err), &err);
    return regs;
}

static void expect_stop(Vm *vm, CpuStopKind kind, uint64_t pc)
{
    run(vm);
    ck_assert_int_eq(vm->stop.kind, kind);
    ck_assert_uint_eq(vm->stop.pc, pc);
    ck_assert_uint_eq(registers(vm).rip, pc);
}

START_TEST(steps_are_single_instructions)
{
    const CpuDebug step = {.mode = CPU_DEBUG_STEP}, none = {0};
    g_autoptr(Vm) vm = vm_of(loop);

    debug(vm, &step);
    expect_stop(vm, CPU_STOP_STEP, STORE);
    expect_stop(vm, CPU_STOP_STEP, LOAD);
    expect_stop(vm, CPU_STOP_STEP, NOP);
    expect_stop(vm, CPU_STOP_STEP, JUMP);
    expect_stop(vm, CPU_STOP_STEP, LOOP);
    ck_assert_uint_eq(get64(vm, COUNTER), 1);
    debug(vm, &none);
    run_for_ms(vm, 20);
    ck_assert_uint_gt(get64(vm, COUNTER), 1);
    ck_assert_uint_eq(vm->stops, 5);
}
END_TEST

START_TEST(an_int3_of_the_debugger_s_stops_in_front_of_it)
{
    const CpuDebug on = {.software = true}, none = {0};
    g_autoptr(Vm) vm = vm_of(loop);

    put(vm, NOP, "\xcc", 1);
    debug(vm, &on);
    expect_stop(vm, CPU_STOP_INT3, NOP);
    expect_stop(vm, CPU_STOP_INT3, NOP); /* it is still there */
    ck_assert_uint_eq(get64(vm, COUNTER), 1);
    put(vm, NOP, "\x90", 1);
    debug(vm, &none);
    run_for_ms(vm, 20);
    ck_assert_uint_gt(get64(vm, COUNTER), 1);
}
END_TEST

START_TEST(hardware_breakpoints_need_no_change_of_memory)
{
    const CpuDebug d = {.nr_points = 2,
                        .points = {{JUMP, 1, CPU_POINT_EXEC}, {LOAD, 1, CPU_POINT_EXEC}}};
    const CpuDebug step = {.mode = CPU_DEBUG_STEP};
    g_autoptr(Vm) vm = vm_of(loop);

    debug(vm, &d);
    expect_stop(vm, CPU_STOP_POINT, LOAD);
    ck_assert_uint_eq(vm->stop.point, 1);
    debug(vm, &step); /* over it, as a debugger does */
    expect_stop(vm, CPU_STOP_STEP, NOP);
    debug(vm, &d);
    expect_stop(vm, CPU_STOP_POINT, JUMP);
    ck_assert_uint_eq(vm->stop.point, 0);
    ck_assert_uint_eq(get64(vm, COUNTER), 1);
}
END_TEST

START_TEST(watchpoints_stop_behind_the_access)
{
    CpuDebug d = {.nr_points = 1, .points = {{COUNTER, 8, CPU_POINT_WRITE}}};
    g_autoptr(Vm) vm = vm_of(loop);

    debug(vm, &d);
    expect_stop(vm, CPU_STOP_POINT, LOAD);
    ck_assert_uint_eq(get64(vm, COUNTER), 1);
    expect_stop(vm, CPU_STOP_POINT, LOAD);
    ck_assert_uint_eq(get64(vm, COUNTER), 2);
    d.points[0] = (CpuPoint){OTHER, 4, CPU_POINT_ACCESS};
    debug(vm, &d);
    expect_stop(vm, CPU_STOP_POINT, NOP);
    d.points[0].kind = CPU_POINT_WRITE; /* it only reads there */
    debug(vm, &d);
    run_for_ms(vm, 20);
    ck_assert_uint_eq(vm->stops, 3);
}
END_TEST

START_TEST(an_int3_of_the_guest_s_is_left_to_it)
{
    const CpuDebug on = {.software = true};
    g_autoptr(Vm) vm = vm_of(own_int3);
    int64_t end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    put(vm, 0x2000, payload_handler, (size_t)(payload_handler_end - payload_handler));
    put64(vm, IDT + 3 * 16, UINT64_C(0x00008e0000202000)); /* 64-bit gate to 20:2000 */
    put64(vm, PAYLOAD_BASE + 0x40, 0);
    ck_assert(gmem_write(vm->p.mem, GPA(IDT - 16), "\xff\x01\x00\x40\0\0\0\0\0\0", 10));
    /* lidt at the start, in place of the first nop */
    put(vm, PAYLOAD_BASE, "\x0f\x01\x1c\x25\xf0\x3f\x00\x00\xcc\xeb\xfe", 11);
    vm->refuse = true;
    debug(vm, &on);
    while (get64(vm, CAUGHT) == 0 && g_get_monotonic_time() < end) {
        run_for_ms(vm, 10);
    }
    ck_assert_uint_eq(get64(vm, CAUGHT), 1);
    ck_assert_uint_eq(vm->stops, 1);
    ck_assert_uint_eq(vm->stop.pc, PAYLOAD_BASE + 8);
}
END_TEST

START_TEST(a_vcpu_that_is_held_stands)
{
    const CpuDebug hold = {.mode = CPU_DEBUG_HOLD}, none = {0};
    g_autoptr(Vm) vm = vm_of(loop);

    debug(vm, &hold);
    run_for_ms(vm, 20);
    ck_assert_uint_eq(get64(vm, COUNTER), 0);
    debug(vm, &none);
    run_for_ms(vm, 20);
    ck_assert_uint_gt(get64(vm, COUNTER), 0);
}
END_TEST

START_TEST(registers_can_be_changed)
{
    g_autoptr(Vm) vm = vm_of(loop);
    g_autoptr(GError) err = NULL;
    X86Registers regs = registers(vm), now;
    uint32_t mxcsr;

    ck_assert_uint_eq(regs.rip, PAYLOAD_BASE);
    ck_assert_uint_eq(regs.cr3, 0x5000);
    ck_assert_uint_eq(regs.seg[X86_CS], 0x20);
    ck_assert_uint_eq(regs.segments[X86_CS].flags & 0xff00, 0x9b00);
    ck_assert_uint_eq(regs.segments[X86_GDT].base, GDT);
    regs.gpr[0] = 1000;
    regs.gpr[15] = 15;
    regs.fs_base = 0x123000;
    regs.kernel_gs_base = 0x456000;
    regs.xmm[15][3] = 7;
    mxcsr = regs.mxcsr ? 0x1fa0 : 0; /* 0: this KVM does not tell it */
    regs.mxcsr = mxcsr;
    must(accel_write_registers(vm->accel, 0, &regs, &err), &err);
    now = registers(vm);
    ck_assert_mem_eq(now.gpr, regs.gpr, sizeof regs.gpr);
    ck_assert_uint_eq(now.fs_base, 0x123000);
    ck_assert_uint_eq(now.kernel_gs_base, 0x456000);
    ck_assert_uint_eq(now.xmm[15][3], 7);
    ck_assert_uint_eq(now.mxcsr, mxcsr);
    run_for_ms(vm, 20);
    ck_assert_uint_gt(get64(vm, COUNTER), 1000);
    regs.seg[X86_DS] = 8;
    ck_assert(!accel_write_registers(vm->accel, 0, &regs, &err));
    ck_assert_str_eq(err->message, "segment registers can be changed in real mode only");
}
END_TEST

START_TEST(a_reset_keeps_what_the_debugger_wants)
{
    const CpuDebug d = {.nr_points = 1, .points = {{NOP, 1, CPU_POINT_EXEC}}};
    g_autoptr(Vm) vm = vm_of(loop);

    debug(vm, &d);
    expect_stop(vm, CPU_STOP_POINT, NOP);
    reset(vm);
    ck_assert_uint_eq(registers(vm).rip, PAYLOAD_BASE);
    expect_stop(vm, CPU_STOP_POINT, NOP);
}
END_TEST

int main(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    Suite *s = suite_create("kvm-debug");
    TCase *tc = tcase_create("debug");

    if (fd < 0) {
        fprintf(stderr, "test-kvm-debug: skipped: /dev/kvm does not open: %s\n", strerror(errno));
        return 77;
    }
    close(fd);
    tcase_set_timeout(tc, 240);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, steps_are_single_instructions);
    tcase_add_test(tc, a_vcpu_that_is_held_stands);
    tcase_add_test(tc, registers_can_be_changed);
    if (cpuinfo_has("QEMU TCG")) {
        fprintf(stderr, "test-kvm-debug: left out: breakpoints, which TCG does not pass on\n");
        return suite_run(s);
    }
    tcase_add_test(tc, an_int3_of_the_debugger_s_stops_in_front_of_it);
    tcase_add_test(tc, hardware_breakpoints_need_no_change_of_memory);
    tcase_add_test(tc, a_reset_keeps_what_the_debugger_wants);
    if (cpuinfo_has(" vmx") || cpuinfo_has(" svm")) {
        tcase_add_test(tc, watchpoints_stop_behind_the_access);
        tcase_add_test(tc, an_int3_of_the_guest_s_is_left_to_it);
    } else {
        fprintf(stderr,
                "test-kvm-debug: left out: watchpoints, INT3 of the guest's: this KVM emulates\n");
    }
    return suite_run(s);
}
