/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kvm accelerator on a real /dev/kvm, with tiny guests (kvm-payloads.h). Where /dev/kvm does
 * not open, the test is skipped with a message (status 77).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "qom/property.h"
#include "tests/kvm-payloads.h"
#include "vmm/accel/accel.h"
#include "tests/suite.h"

enum { MMIO_BASE = 0xd0000000, MMIO_SIZE = 0x2000, GDT = 0x800, WAIT_SECONDS = 20, RAM = 1 << 20 };

/* A board of RAM, a port that takes characters, and a device that logs what it gets. */
typedef struct {
    Platform p;
    Accel *accel;
    IoRegion console, ports, mmio;
    GString *out; /* characters from port 0x400 */
    GString *log; /* writes to the device: "off/size=value " */
    uint8_t next; /* what port 0x410 says next */
    bool pending; /* what port 0x416 says; a write there clears it */
    IrqLine line; /* follows pending */
    unsigned resets, shutdowns;
    ShutdownCause cause;
    pthread_cond_t changed;
} Vm;

/* --- the board --- */

static void vm_reset_requested(Platform *p, ShutdownCause cause)
{
    Vm *vm = p->opaque;

    vm->resets++;
    vm->cause = cause;
    pthread_cond_broadcast(&vm->changed);
}

static void vm_shutdown_requested(Platform *p, ShutdownCause cause)
{
    Vm *vm = p->opaque;

    vm->shutdowns++;
    vm->cause = cause;
    pthread_cond_broadcast(&vm->changed);
}

static const PlatformOps vm_platform_ops = {
    .shutdown_request = vm_shutdown_requested,
    .reset_request = vm_reset_requested,
};

static void console_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Vm *vm = opaque;

    g_string_append_c(vm->out, (char)value);
    pthread_cond_broadcast(&vm->changed);
}

static uint64_t all_ones(void *opaque, uint64_t off, unsigned size)
{
    return UINT64_MAX;
}

static uint64_t ports_read(void *opaque, uint64_t off, unsigned size)
{
    Vm *vm = opaque;

    if (off == 6) {
        return vm->pending;
    }
    if (size == 2) {
        uint64_t two = vm->next | (vm->next + 1) << 8;
        vm->next += 2;
        return two;
    }
    return vm->next;
}

static void ports_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Vm *vm = opaque;

    if (off == 6) {
        vm->pending = false;
        irq_lower(vm->line);
    }
    g_string_append_printf(vm->log, "port%" PRIu64 "/%u=%" PRIx64 " ", off, size, value);
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= ((off + i) & 0xff) << (8 * i);
    }
    return value;
}

static void mmio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Vm *vm = opaque;

    g_string_append_printf(vm->log, "%" PRIx64 "/%u=%" PRIx64 " ", off, size, value);
}

static const IoRegionOps console_ops = {all_ones, console_write, 1, 1};
static const IoRegionOps ports_ops = {ports_read, ports_write, 1, 2};
static const IoRegionOps mmio_ops = {mmio_read, mmio_write, 1, 8};

static void must(bool ok, GError **err)
{
    ck_assert_msg(ok, "%s", *err ? (*err)->message : "failed without an error");
}

static void vm_put(Vm *vm, uint64_t gpa, const void *data, size_t len)
{
    ck_assert(gmem_write(vm->p.mem, GPA(gpa), data, len));
}

static void vm_put64(Vm *vm, uint64_t gpa, uint64_t value)
{
    vm_put(vm, gpa, &value, sizeof value);
}

#define vm_load(vm, gpa, name) \
    vm_put(vm, gpa, payload_##name, (size_t)(payload_##name##_end - payload_##name))

/* GDT at 0x800 (32-bit code 0x10, data 0x18, 64-bit code 0x20); page tables at 0x5000: 2 MiB of
 * RAM, and the device. */
static void vm_put_tables(Vm *vm)
{
    vm_put64(vm, GDT + 0x10, UINT64_C(0x00cf9b000000ffff));
    vm_put64(vm, GDT + 0x18, UINT64_C(0x00cf93000000ffff));
    vm_put64(vm, GDT + 0x20, UINT64_C(0x00af9b000000ffff));
    vm_put64(vm, 0x5000, 0x6003);
    vm_put64(vm, 0x6000, 0x7003);
    vm_put64(vm, 0x6000 + 8 * 3, 0x8003);
    vm_put64(vm, 0x7000, 0x83);
    vm_put64(vm, 0x8000 + 8 * ((MMIO_BASE >> 21) & 511), MMIO_BASE | UINT64_C(0x83));
}

static Vm *vm_new(unsigned cpus)
{
    g_autoptr(GError) err = NULL;
    Vm *vm = g_new0(Vm, 1);

    platform_init(&vm->p, true, false);
    vm->p.ops = &vm_platform_ops;
    vm->p.opaque = vm;
    vm->out = g_string_new(NULL);
    vm->log = g_string_new(NULL);
    pthread_cond_init(&vm->changed, NULL);
    io_region_init(&vm->console, "console", &console_ops, vm, 1);
    io_region_init(&vm->ports, "ports", &ports_ops, vm, 16);
    io_region_init(&vm->mmio, "device", &mmio_ops, vm, MMIO_SIZE);
    pthread_mutex_lock(&vm->p.lock);
    must(gmem_add(vm->p.mem, GPA(0), RAM, GMEM_ANONYMOUS, &err), &err);
    aspace_map(vm->p.pio, &vm->console, 0x400, 0);
    aspace_map(vm->p.pio, &vm->ports, 0x410, 0);
    aspace_map(vm->p.mmio, &vm->mmio, MMIO_BASE, 0);
    vm->accel = ACCEL(object_new(&kvm_accel_type));
    must(accel_open(vm->accel, &vm->p, &err), &err);
    must(accel_create_vcpus(vm->accel, cpus, &err), &err);
    vm_put_tables(vm);
    return vm; /* with the VM lock held, as on the main thread */
}

static void vm_free(Vm *vm)
{
    accel_close(vm->accel);
    object_unref(vm->accel);
    io_region_finish(&vm->console);
    io_region_finish(&vm->ports);
    io_region_finish(&vm->mmio);
    pthread_mutex_unlock(&vm->p.lock);
    platform_finish(&vm->p);
    pthread_cond_destroy(&vm->changed);
    g_string_free(vm->out, true);
    g_string_free(vm->log, true);
    g_free(vm);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

static void vm_reset(Vm *vm, X86StartMode mode)
{
    g_autoptr(GError) err = NULL;
    CpuStartState state = {.arch = CPU_START_X86};

    state.x86 = (X86CpuState){
        .mode = mode,
        .rip = PAYLOAD_BASE,
        .rsp = 0x9000,
        .rsi = '2',
        .rbx = '1',
        .page_table = GPA(0x5000),
        .gdt = GPA(GDT),
        .gdt_limit = 0x27,
        .code_selector = mode == X86_START_LONG64 ? 0x20 : 0x10,
        .data_selector = 0x18,
    };

    must(accel_reset(vm->accel, &state, &err), &err);
}

static void vm_start(Vm *vm, X86StartMode mode)
{
    vm_reset(vm, mode);
    accel_start(vm->accel);
}

/* Waits, with the lock released, until something changed; false when it takes too long. */
static bool vm_wait(Vm *vm, time_t deadline)
{
    struct timespec until = {.tv_sec = deadline};

    return pthread_cond_timedwait(&vm->changed, &vm->p.lock, &until) == 0;
}

static void vm_expect(Vm *vm, const char *text)
{
    time_t deadline = time(NULL) + WAIT_SECONDS;

    while (vm->out->len < strlen(text) && !vm->shutdowns && vm_wait(vm, deadline)) {
    }
    ck_assert_str_eq(vm->out->str, text);
}

static void vm_expect_count(Vm *vm, const unsigned *count, unsigned value)
{
    time_t deadline = time(NULL) + WAIT_SECONDS;

    while (*count < value && vm_wait(vm, deadline)) {
    }
    ck_assert_uint_eq(*count, value);
}

static void vm_sleep_ms(Vm *vm, unsigned ms) /* lets the vCPUs at the lock */
{
    pthread_mutex_unlock(&vm->p.lock);
    g_usleep(ms * 1000);
    pthread_mutex_lock(&vm->p.lock);
}

/* --- running and exits --- */

START_TEST(port_reads_and_writes_reach_devices_repeated_ones_too)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm->next = 'A';
    vm_load(vm, PAYLOAD_BASE, serial);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "12helloAABCD");
}
END_TEST

START_TEST(a_real_mode_start_is_at_the_reset_vector)
{
    g_autoptr(Vm) vm = vm_new(1);
    g_autoptr(GError) err = NULL;

    must(gmem_add(vm->p.mem, GPA(0xffff0000), 0x10000, GMEM_ANONYMOUS, &err), &err);
    vm_load(vm, 0xfffffff0, real_vector);
    vm_load(vm, PAYLOAD_BASE, real);
    vm_start(vm, X86_START_REAL);
    vm_expect(vm, "R0");
}
END_TEST

START_TEST(mmio_of_all_sizes_reaches_devices_from_a_64_bit_start)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, mmio);
    vm_start(vm, X86_START_LONG64);
    vm_expect(vm, "\x10\x12\x14\x1f");
    ck_assert_str_eq(vm->log->str, "0/1=11 2/2=2222 4/4=33333333 8/8=4444444444444444 "
                                   "ffe/2=7788 1000/2=5566 ");
}
END_TEST

START_TEST(cpuid_offers_the_paravirtual_clock_and_no_monitor)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, cpuid);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "Kch2.");
}
END_TEST

START_TEST(code_outside_memory_ends_the_vm_with_an_error)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, astray);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect_count(vm, &vm->shutdowns, 1);
    ck_assert_int_eq(vm->cause, SHUTDOWN_CAUSE_HOST_ERROR);
    ck_assert_str_eq(vm->out->str, "a");
}
END_TEST

/* --- doorbells --- */

static uint64_t kicks(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

START_TEST(doorbells_ring_without_an_exit)
{
    g_autoptr(Vm) vm = vm_new(1);
    int fd[4];

    for (unsigned i = 0; i < G_N_ELEMENTS(fd); i++) {
        fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    io_region_add_eventfd(&vm->mmio, &(IoEventfd){.off = 0x100, .size = 4, .fd = fd[0]});
    io_region_add_eventfd(&vm->mmio, &(IoEventfd){0x104, 2, true, 5, fd[1]});
    io_region_add_eventfd(&vm->mmio, &(IoEventfd){.off = 0x200, .size = 0, .fd = fd[2]});
    io_region_add_eventfd(&vm->ports, &(IoEventfd){.off = 4, .size = 2, .fd = fd[3]});
    vm_load(vm, PAYLOAD_BASE, doorbell);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "k");
    ck_assert_uint_eq(kicks(fd[0]), 1);
    ck_assert_uint_eq(kicks(fd[1]), 1);
    ck_assert_uint_eq(kicks(fd[2]), 2);
    ck_assert_uint_eq(kicks(fd[3]), 1);
    ck_assert_str_eq(vm->log->str, "104/2=6 "); /* the value that has no doorbell */
    io_region_del_eventfd(&vm->mmio, &(IoEventfd){.off = 0x100, .size = 4, .fd = fd[0]});
    accel_pause(vm->accel);
    g_string_truncate(vm->log, 0);
    vm_reset(vm, X86_START_PROTECTED32);
    accel_start(vm->accel);
    vm_expect(vm, "kk");
    ck_assert_str_eq(vm->log->str, "100/4=1 104/2=6 "); /* the removed one exits again */
    ck_assert_uint_eq(kicks(fd[0]), 0);
    ck_assert_uint_eq(kicks(fd[2]), 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(fd); i++) {
        close(fd[i]);
    }
}
END_TEST

/* --- interrupts --- */

static MsiMessage message(unsigned vector)
{
    return (MsiMessage){.addr = 0xfee00000, .data = vector};
}

static void *fire_route(void *route)
{
    msi_route_fire(route);
    return NULL;
}

static void fire_from_a_thread(MsiRoute *route)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, fire_route, route), 0);
    pthread_join(thread, NULL);
}

static Vm *irq_vm(void)
{
    Vm *vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, irq);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "s");
    return vm;
}

START_TEST(an_msi_route_fired_by_another_thread_interrupts_the_guest)
{
    g_autoptr(Vm) vm = irq_vm();
    MsiRoute *route = msi_route_new(vm->p.msi, message(0x40), 0);

    ck_assert_ptr_nonnull(route);
    fire_from_a_thread(route);
    vm_expect(vm, "si");
    msi_route_update(route, message(0x41));
    fire_from_a_thread(route);
    vm_expect(vm, "sij");
    msi_send(vm->p.msi, message(0x40), 0);
    vm_expect(vm, "siji");
    msi_route_free(route);
}
END_TEST

START_TEST(msi_routes_come_and_go_without_mixing_up)
{
    g_autoptr(Vm) vm = irq_vm();
    MsiRoute *many[100], *late;
    g_autoptr(GString) expected = g_string_new("s");

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(many); i++) {
            many[i] = msi_route_new(vm->p.msi, message(0x40 + ((i + round) & 1)), 0);
            ck_assert_ptr_nonnull(many[i]);
        }
        msi_route_fire(many[50]);
        g_string_append_c(expected, round & 1 ? 'j' : 'i');
        vm_expect(vm, expected->str);
        msi_route_fire(many[99]);
        g_string_append_c(expected, round & 1 ? 'i' : 'j');
        vm_expect(vm, expected->str);
        for (unsigned i = 0; i < G_N_ELEMENTS(many); i++) {
            msi_route_free(many[i]);
        }
    }
    late = msi_route_new(vm->p.msi, message(0x40), 0);
    accel_close(vm->accel);
    ck_assert_ptr_null(vm->p.msi);
    msi_route_fire(late); /* a device that outlives the accelerator */
    msi_route_free(late);
}
END_TEST

static void vm_raise(Vm *vm)
{
    vm->pending = true;
    irq_raise(vm->line);
}

START_TEST(lines_interrupt_through_the_ioapic_and_the_pic)
{
    g_autoptr(Vm) vm = irq_vm();

    vm->line = accel_gsi(vm->accel, 10);
    vm_raise(vm);
    vm_expect(vm, "sl");
    vm_raise(vm);
    vm_expect(vm, "sll");
    irq_pulse(accel_gsi(vm->accel, 3));
    vm_expect(vm, "sllp");
    vm_sleep_ms(vm, 5);
    ck_assert_str_eq(vm->out->str, "sllp"); /* the level line went down when acknowledged */
}
END_TEST

/* --- pause, reset --- */

static uint32_t counter(Vm *vm)
{
    uint32_t n;

    ck_assert(gmem_read(vm->p.mem, GPA(0x3000), &n, sizeof n));
    return n;
}

START_TEST(a_paused_guest_stands_still_and_goes_on_after)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, count);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "c");
    for (unsigned i = 0; i < 20; i++) {
        accel_pause(vm->accel);
        uint32_t before = counter(vm);
        vm_sleep_ms(vm, 2);
        ck_assert_uint_eq(counter(vm), before);
        accel_start(vm->accel);
        time_t deadline = time(NULL) + WAIT_SECONDS;
        while (counter(vm) == before && time(NULL) < deadline) {
            vm_sleep_ms(vm, 1);
        }
        ck_assert_uint_ne(counter(vm), before);
    }
    accel_pause(vm->accel);
    accel_pause(vm->accel);
    accel_start(vm->accel);
    accel_start(vm->accel);
    accel_pause(vm->accel); /* at once, before the vCPU woke */
}
END_TEST

START_TEST(pause_finishes_the_access_under_way)
{
    g_autoptr(Vm) vm = vm_new(1);
    g_autoptr(GString) expected = g_string_new(NULL);

    vm->next = 'x';
    vm_load(vm, PAYLOAD_BASE, poll);
    for (unsigned i = 0; i < 30; i++) {
        vm_start(vm, X86_START_PROTECTED32);
        g_string_append_c(expected, 'P');
        vm_expect(vm, expected->str);
        for (unsigned k = 0; k < 3; k++) {
            vm_sleep_ms(vm, k & 1);
            accel_pause(vm->accel);
            accel_start(vm->accel);
        }
        vm_sleep_ms(vm, 1);
        accel_pause(vm->accel);
    }
    vm_expect(vm, expected->str);
}
END_TEST

START_TEST(reset_in_place_brings_back_the_state_after_power_on)
{
    g_autoptr(Vm) vm = vm_new(2);

    vm_load(vm, PAYLOAD_BASE, mess);
    for (unsigned i = 0; i < 3; i++) {
        vm_start(vm, X86_START_PROTECTED32);
        vm_expect(vm, i == 0 ? "r." : i == 1 ? "r.r." : "r.r.r.");
        vm_sleep_ms(vm, 1);
        accel_pause(vm->accel);
    }
}
END_TEST

START_TEST(a_triple_fault_requests_a_reset)
{
    g_autoptr(Vm) vm = vm_new(1);

    vm_load(vm, PAYLOAD_BASE, triple);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect_count(vm, &vm->resets, 1);
    ck_assert_int_eq(vm->cause, SHUTDOWN_CAUSE_GUEST_RESET);
    accel_pause(vm->accel);
    accel_start(vm->accel); /* without a reset it stays down */
    vm_sleep_ms(vm, 5);
    ck_assert_uint_eq(vm->resets, 1);
    accel_pause(vm->accel);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect_count(vm, &vm->resets, 2);
    ck_assert_str_eq(vm->out->str, "tt");
}
END_TEST

START_TEST(the_first_vcpu_starts_the_second_again_after_a_reset)
{
    g_autoptr(Vm) vm = vm_new(2);
    const uint32_t zero = 0;

    vm_load(vm, PAYLOAD_BASE, smp);
    vm_load(vm, 0x8000, trampoline);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "102"); /* AP's id; then BSP's id, and the package's size */
    vm_sleep_ms(vm, 1);
    accel_pause(vm->accel);
    vm_put(vm, 0x3000, &zero, sizeof zero);
    vm_start(vm, X86_START_PROTECTED32);
    vm_expect(vm, "102102");
    vm_sleep_ms(vm, 1);
    accel_pause(vm->accel);
    accel_start(vm->accel);
}
END_TEST

/* --- what the user did wrong --- */

static void expect_open_error(const char *device, const char *text)
{
    g_autoptr(GError) err = NULL;
    Platform p = {0};

    platform_init(&p, true, false);
    pthread_mutex_lock(&p.lock);
    Accel *accel = ACCEL(object_new(&kvm_accel_type));
    must(property_set_string(&accel->parent_obj, "device", device, &err), &err);
    ck_assert(!accel_open(accel, &p, &err));
    ck_assert_msg(strstr(err->message, text) != NULL, "%s", err->message);
    accel_close(accel);
    object_unref(accel);
    pthread_mutex_unlock(&p.lock);
    platform_finish(&p);
}

START_TEST(a_device_node_that_is_not_kvm_gives_one_clear_line)
{
    expect_open_error("/nonexistent/kvm", "does not exist: load kvm-intel or kvm-amd");
    expect_open_error("/dev/null", "/dev/null is not a KVM device");
}
END_TEST

START_TEST(too_many_vcpus_are_refused)
{
    g_autoptr(Vm) vm = vm_new(1);
    g_autoptr(GError) err = NULL;

    accel_close(vm->accel);
    must(accel_open(vm->accel, &vm->p, &err), &err); /* open again after close */
    ck_assert(!accel_create_vcpus(vm->accel, 100000, &err));
    ck_assert_msg(strstr(err->message, "-smp 100000") != NULL, "%s", err->message);
}
END_TEST

static Suite *kvm_suite(void)
{
    Suite *s = suite_create("kvm");
    TCase *tc = tcase_create("kvm");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, port_reads_and_writes_reach_devices_repeated_ones_too);
    tcase_add_test(tc, a_real_mode_start_is_at_the_reset_vector);
    tcase_add_test(tc, mmio_of_all_sizes_reaches_devices_from_a_64_bit_start);
    tcase_add_test(tc, cpuid_offers_the_paravirtual_clock_and_no_monitor);
    tcase_add_test(tc, code_outside_memory_ends_the_vm_with_an_error);
    tcase_add_test(tc, doorbells_ring_without_an_exit);
    tcase_add_test(tc, an_msi_route_fired_by_another_thread_interrupts_the_guest);
    tcase_add_test(tc, msi_routes_come_and_go_without_mixing_up);
    tcase_add_test(tc, lines_interrupt_through_the_ioapic_and_the_pic);
    tcase_add_test(tc, a_paused_guest_stands_still_and_goes_on_after);
    tcase_add_test(tc, pause_finishes_the_access_under_way);
    tcase_add_test(tc, reset_in_place_brings_back_the_state_after_power_on);
    tcase_add_test(tc, a_triple_fault_requests_a_reset);
    tcase_add_test(tc, the_first_vcpu_starts_the_second_again_after_a_reset);
    tcase_add_test(tc, a_device_node_that_is_not_kvm_gives_one_clear_line);
    tcase_add_test(tc, too_many_vcpus_are_refused);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        fprintf(stderr, "test-kvm: skipped: /dev/kvm does not open: %s\n", strerror(errno));
        return 77;
    }
    close(fd);
    return suite_run(kvm_suite());
}
