/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gdb server: what packets do to a machine whose vCPUs only note what is asked of them. With
 * gdb itself and real vCPUs: tests/cli/gdb-test.py.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fake-vm.h"
#include "tests/suite.h"
#include "vmm/gdb/gdb-internal.h"
#include "vmm/monitor/monitor.h"

static FakeVm vm;
static int fd = -1;
static GString *got;

/* --- the server --- */

static void dial(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    g_snprintf(addr.sun_path, sizeof addr.sun_path, "%s/gdb", vm.dir);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    fake_vm_settle(&vm);
}

static void hang_up(void)
{
    close(fd);
    fd = -1;
    fake_vm_settle(&vm);
}

static void serve(void)
{
    g_autofree char *stream = g_strdup_printf("unix:%s/gdb,server=on", vm.dir);
    g_autoptr(GError) err = NULL;

    ck_assert_msg(gdb_serve(vm.m, stream, "-gdb", &err), "%s", err ? err->message : "");
}

static void setup(void)
{
    fake_vm_init(&vm);
    vm.m->smp = 2;
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert(machine_boot(vm.m, NULL));
    serve();
    got = g_string_new(NULL);
    dial();
}

static void teardown(void)
{
    gdb_end(vm.m);
    if (fd >= 0) {
        close(fd);
    }
    g_string_free(got, TRUE);
    fake_vm_finish(&vm);
}

static void send_bytes(const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, bytes + done, len - done, MSG_NOSIGNAL);

        ck_assert(n > 0 || errno == EAGAIN);
        done += n > 0 ? (size_t)n : 0;
        fake_vm_settle(&vm);
    }
}

/* All that has come. */
static const char *receive(void)
{
    char buf[4096];
    ssize_t n;

    g_string_truncate(got, 0);
    do {
        fake_vm_settle(&vm);
        n = recv(fd, buf, sizeof buf, 0);
        if (n > 0) {
            g_string_append_len(got, buf, n);
        }
    } while (n > 0);
    return got->str;
}

static void send_packet(const char *data, size_t len)
{
    GString *frame = gdb_frame(data, len);

    send_bytes(frame->str, frame->len);
    g_string_free(frame, TRUE);
}

/* The reply to a packet, without its frame; NULL: none. */
static char *ask_bytes(const char *data, size_t len)
{
    char *reply = NULL;
    GdbReader r;

    send_packet(data, len);
    receive();
    ck_assert_msg(got->str[0] == '+', "%s: %s", data, got->str);
    gdb_reader_init(&r);
    for (size_t i = 1; i < got->len; i++) {
        GdbInput in = gdb_reader_take(&r, (uint8_t)got->str[i]);

        ck_assert_int_ne(in, GDB_INPUT_BAD);
        if (in == GDB_INPUT_PACKET) {
            ck_assert_ptr_null(reply);
            reply = g_strdup(r.data->str);
        }
    }
    gdb_reader_finish(&r);
    return reply;
}

static void expect(const char *packet, const char *reply)
{
    g_autofree char *text = ask_bytes(packet, strlen(packet));

    ck_assert_msg(g_strcmp0(text, reply) == 0, "%s: %s instead of %s", packet, text, reply);
}

static void must_stop(unsigned cpu, CpuStopKind kind, uint64_t pc, unsigned point)
{
    CpuStop stop = {.cpu = cpu, .kind = kind, .pc = pc, .point = point};

    ck_assert(vm.m->accel->debugger->stopped(vm.m->accel->debugger->opaque, &stop));
}

static uint8_t byte_at(uint64_t gpa)
{
    uint8_t byte = 0;

    ck_assert(gmem_read(vm.m->platform.mem, GPA(gpa), &byte, 1));
    return byte;
}

static void put_byte(uint64_t gpa, uint8_t byte)
{
    ck_assert(gmem_write(vm.m->platform.mem, GPA(gpa), &byte, 1));
}

START_TEST(packets_are_acknowledged_and_replies_given_again)
{
    send_bytes("$qC#b4", 6);
    ck_assert_str_eq(receive(), "+$QC1#c5");
    send_bytes("-", 1);
    ck_assert_str_eq(receive(), "$QC1#c5");
    send_bytes("$qC#b5", 6);
    ck_assert_str_eq(receive(), "-");
    expect("QStartNoAckMode", "OK");
    send_bytes("$qC#b5$qC#b4", 12);
    ck_assert_str_eq(receive(), "$QC1#c5");
}
END_TEST

START_TEST(what_is_unknown_gets_an_empty_reply)
{
    static const char *const packets[] = {
        "vMustReplyEmpty", "qTStatus", "QNonStop:1", "vContx;c", "!",
        "qSupportedx",     "bc",       "",           "\xff\xff", "Z5,0,0",
        "Z3,0,1",          "z9,0,0",   "Z0,0,1;X1,0"};

    for (unsigned i = 0; i < G_N_ELEMENTS(packets); i++) {
        expect(packets[i], "");
    }
}
END_TEST

START_TEST(what_is_malformed_gets_an_error)
{
    static const char *const packets[] = {
        "m",
        "m,",
        "m0",
        "m0,",
        "m0,1x",
        "m0,fffff",
        "m11111111111111111,1",
        "M0,1",
        "M0,1:",
        "M0,1:0",
        "M0,1:000",
        "M0,2:0g00",
        "X0,2:a",
        "X0,1:ab",
        "p",
        "p1000",
        "px",
        "P1",
        "P1=",
        "P1=00",
        "P1000=00",
        "G0",
        "G0g",
        "Z0",
        "Z0,",
        "Z0,0",
        "Z1,0,",
        "Z2,1,2",
        "Z2,0,3",
        "Z4,0,10",
        "cx",
        "sx",
        "vCont",
        "vCont;",
        "vCont;x",
        "vCont;c:",
        "vCont;c:9",
        "vCont;c;",
        "vCont;C",
        "Hx1",
        "H",
        "Qqemu.PhyMemMode",
        "Qqemu.PhyMemMode:2",
        "qXfer:features:read:target.xml:0",
        "qXfer:features:read:target.xml:0,x",
        "qXfer:features:read:target.xml:fffff,1",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(packets); i++) {
        g_autofree char *reply = ask_bytes(packets[i], strlen(packets[i]));

        ck_assert_msg(reply && reply[0] == 'E' && strlen(reply) == 3, "%s: %s", packets[i], reply);
    }
    ck_assert(!vm.accel->running);
    expect("qXfer:features:read:other.xml:0,10", "E00");
}
END_TEST

START_TEST(features_are_offered_and_described)
{
    g_autoptr(GString) xml = g_string_new(NULL);
    bool more = true;

    expect(
        "qSupported:multiprocess+;swbreak+",
        "PacketSize=4000;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+");
    while (more) {
        g_autofree char *packet =
            g_strdup_printf("qXfer:features:read:target.xml:%x,3f0", (unsigned)xml->len);
        g_autofree char *reply = ask_bytes(packet, strlen(packet));

        ck_assert(reply && (reply[0] == 'm' || reply[0] == 'l'));
        more = reply[0] == 'm';
        g_string_append(xml, reply + 1);
    }
    ck_assert_str_eq(xml->str, gdb_target_xml);
    ck_assert(g_str_has_suffix(xml->str, "</target>"));
    expect("vCont?", "vCont;c;C;s;S");
    expect("qAttached", "1");
}
END_TEST

START_TEST(threads_are_vcpus)
{
    expect("qfThreadInfo", "m1,2");
    expect("qsThreadInfo", "l");
    expect("T1", "OK");
    expect("T2", "OK");
    expect("T3", "E03");
    expect("T0", "E03");
    expect("qThreadExtraInfo,2", "4350552031"); /* "CPU 1" */
    expect("qThreadExtraInfo,3", "E03");
    expect("Hg2", "OK");
    expect("qC", "QC2");
    expect("Hg0", "OK");
    expect("Hc-1", "OK");
    expect("Hg3", "E03");
    expect("qC", "QC2");
}
END_TEST

START_TEST(registers_are_of_the_chosen_vcpu)
{
    X86Registers *r = vm.accel->registers;

    r[0].rip = 0x1122334455667788;
    r[1].gpr[0] = 0xabc;
    r[1].seg[0] = 0x10;
    r[1].rflags = 2;
    expect("p10", "8877665544332211");
    expect("Hg2", "OK");
    expect("p0", "bc0a000000000000");
    expect("p12", "10000000");
    expect("p11", "02000000");
    expect("P0=0100000000000000", "OK");
    ck_assert_uint_eq(r[1].gpr[0], 1);
    expect("P12=20000000", "OK");
    ck_assert_uint_eq(r[1].seg[0], 0x20);
    vm.accel->fail_registers = true;
    expect("P12=20000000", "E16");
    expect("g", "E16");
    expect("p0", "E16");
}
END_TEST

START_TEST(all_registers_go_both_ways)
{
    g_autofree char *all = NULL, *again = NULL, *packet = NULL;
    X86Registers *r = vm.accel->registers, was;
    size_t len = 0;

    for (unsigned i = 0; i < sizeof r[0]; i++) {
        ((uint8_t *)&r[0])[i] = (uint8_t)(i * 7 + 1);
    }
    r[0].rflags = 0x246;
    was = r[0];
    for (unsigned i = 0; i < gdb_register_count(); i++) {
        len += gdb_register_size(i);
    }
    all = ask_bytes("g", 1);
    ck_assert_uint_eq(strlen(all), 2 * len);
    r[0] = (X86Registers){0};
    packet = g_strconcat("G", all, NULL);
    expect(packet, "OK");
    again = ask_bytes("g", 1);
    ck_assert_str_eq(again, all);
    ck_assert_mem_eq(r[0].gpr, was.gpr, sizeof was.gpr);
    ck_assert_mem_eq(r[0].xmm, was.xmm, sizeof was.xmm);
    ck_assert_uint_eq(r[0].efer, was.efer);
    ck_assert_uint_eq(r[0].ftw, was.ftw);
    ck_assert_uint_eq(r[0].fip, was.fip);
    expect("G0300000000000000", "OK"); /* the first alone */
    ck_assert_uint_eq(r[0].gpr[0], 3);
    ck_assert_uint_eq(r[0].gpr[1], was.gpr[1]);
}
END_TEST

START_TEST(memory_is_virtual_or_physical)
{
    g_autofree char *reply = NULL;

    expect("M8000000003000000,3:010203", "E0e"); /* beyond RAM */
    expect("M100fff,3:010203", "E0e");           /* the fake maps the upper half alone */
    expect("M8000000000100fff,3:010203", "OK");
    ck_assert_uint_eq(byte_at(0x100fff), 1);
    ck_assert_uint_eq(byte_at(0x101001), 3);
    expect("m8000000000100fff,3", "010203");
    expect("m8000000000100fff,0", "");
    expect("m100fff,3", "E0e");
    expect("qqemu.PhyMemMode", "0");
    expect("Qqemu.PhyMemMode:1", "OK");
    expect("qqemu.PhyMemMode", "1");
    expect("m100fff,3", "010203");
    reply = ask_bytes("X100fff,3:\x00}$", 13); /* NUL, and what has to be escaped */
    ck_assert_str_eq(reply, "OK");
    expect("m100fff,3", "007d24");
    expect("mffffffffffffffff,2", "E0e");
    expect("Qqemu.PhyMemMode:0", "OK");
    hang_up();
    dial();
    expect("qqemu.PhyMemMode", "0");
}
END_TEST

START_TEST(a_software_breakpoint_is_seen_by_the_guest_alone)
{
    put_byte(0x1000, 0x90);
    expect("Z0,8000000000001000,1", "OK");
    expect("Z0,8000000000001000,1", "OK");
    ck_assert_uint_eq(byte_at(0x1000), 0xcc);
    expect("m8000000000000fff,3", "009000");
    expect("M8000000000000fff,3:112233", "OK");
    ck_assert_uint_eq(byte_at(0x1000), 0xcc);
    expect("m8000000000000fff,3", "112233");
    expect("z0,8000000000001000,1", "OK");
    ck_assert_uint_eq(byte_at(0x1000), 0x22);
    expect("z0,8000000000001000,1", "OK");
    expect("Z0,1000,1", "E0e");
    expect("Z0,8000000003000000,1", "E0e");
}
END_TEST

START_TEST(a_breakpoint_that_the_guest_wrote_over_is_not_put_back)
{
    put_byte(0x1000, 0x90);
    expect("Z0,8000000000001000,1", "OK");
    put_byte(0x1000, 0x55);
    expect("z0,8000000000001000,1", "OK");
    ck_assert_uint_eq(byte_at(0x1000), 0x55);
}
END_TEST

START_TEST(breakpoints_outlive_a_reset)
{
    g_autofree char *packet =
        g_strdup_printf("Z0,%" PRIx64 ",1", UINT64_C(1) << 63 | FAKE_VM_ENTRY);

    expect(packet, "OK");
    send_packet("c", 1);
    machine_request_reset(vm.m, SHUTDOWN_CAUSE_GUEST_RESET);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(byte_at(FAKE_VM_ENTRY), 0xcc);
    gdb_end(vm.m);
    ck_assert_uint_eq(byte_at(FAKE_VM_ENTRY), (uint8_t)fake_vm_code[0]);
}
END_TEST

START_TEST(two_names_of_a_byte_know_what_a_reset_put_there)
{
    uint64_t at = UINT64_C(1) << 63 | FAKE_VM_ENTRY;
    g_autofree char *first = g_strdup_printf("Z0,%" PRIx64 ",1", at);
    g_autofree char *second = g_strdup_printf("Z0,%" PRIx64 ",1", at | UINT64_C(1) << 62);

    put_byte(FAKE_VM_ENTRY, 0x90);
    expect(first, "OK");
    expect(second, "OK");
    expect("c", NULL);
    machine_request_reset(vm.m, SHUTDOWN_CAUSE_GUEST_RESET);
    fake_vm_settle(&vm);
    send_bytes("\x03", 1);
    ck_assert_str_eq(receive(), "$T02thread:01;#04");
    first[0] = second[0] = 'z';
    expect(first, "OK");
    expect(second, "OK");
    ck_assert_uint_eq(byte_at(FAKE_VM_ENTRY), (uint8_t)fake_vm_code[0]);
}
END_TEST

START_TEST(the_number_of_breakpoints_is_bounded)
{
    g_autofree char *last = NULL;

    for (unsigned i = 0; i <= GDB_POINTS_MAX; i++) {
        g_autofree char *packet = g_strdup_printf("Z0,8%015x,1", 0x10000 + i);

        g_free(last);
        last = ask_bytes(packet, strlen(packet));
    }
    ck_assert_str_eq(last, "E1c");
}
END_TEST

START_TEST(there_are_four_hardware_points)
{
    const CpuDebug *d = &vm.accel->debug[1];

    expect("Z1,fff,1", "OK");
    expect("Z2,2000,8", "OK");
    expect("Z4,3004,4", "OK");
    expect("Z2,4001,1", "OK");
    expect("Z2,4001,1", "OK");
    expect("Z1,5000,1", "E1c");
    expect("z2,2000,4", "OK"); /* another one */
    expect("z1,fff,1", "OK");
    expect("Z1,5000,1", "OK");
    send_packet("vCont;c", 7);
    ck_assert_uint_eq(d->nr_points, 4);
    ck_assert(!d->software && d->mode == CPU_DEBUG_RUN);
    must_stop(1, CPU_STOP_POINT, 0x77, 1);
    receive();
    ck_assert_str_eq(got->str, "+$T05thread:02;watch:2000;#56");
}
END_TEST

START_TEST(a_stop_is_the_reply_to_going_on)
{
    put_byte(0x1000, 0x90);
    expect(
        "qSupported:swbreak+;hwbreak+",
        "PacketSize=4000;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+");
    expect("Z0,8000000000001000,1", "OK");
    expect("c", NULL);
    ck_assert(vm.accel->running && vm.accel->debug[0].software);
    must_stop(1, CPU_STOP_INT3, UINT64_C(0x8000000000001000), 0);
    must_stop(0, CPU_STOP_INT3, UINT64_C(0x8000000000001000), 0); /* comes too late */
    ck_assert(vm.accel->running);
    receive();
    ck_assert(strstr(got->str, "$T05thread:02;swbreak:;#"));
    ck_assert(!vm.accel->running);
    ck_assert_int_eq(vm.m->state, RUN_STATE_DEBUG);
    ck_assert_str_eq(run_state_name(vm.m->state), "debug");
    expect("qC", "QC2");
    ck_assert_str_eq(receive(), "");
}
END_TEST

START_TEST(the_guest_s_own_int3_is_left_to_it)
{
    CpuStop stop = {.kind = CPU_STOP_INT3, .pc = UINT64_C(0x8000000000002000)};

    expect("Z0,8000000000001000,1", "OK");
    expect("c", NULL);
    ck_assert(!vm.m->accel->debugger->stopped(vm.m->accel->debugger->opaque, &stop));
    stop.pc = UINT64_C(0x8000000000001000);
    ck_assert(vm.m->accel->debugger->stopped(vm.m->accel->debugger->opaque, &stop));
}
END_TEST

START_TEST(actions_are_of_threads)
{
    static const struct {
        const char *packet;
        CpuDebugMode modes[2];
    } rows[] = {
        {"vCont;c", {CPU_DEBUG_RUN, CPU_DEBUG_RUN}},
        {"vCont;s:1", {CPU_DEBUG_STEP, CPU_DEBUG_HOLD}},
        {"vCont;s:2;c", {CPU_DEBUG_RUN, CPU_DEBUG_STEP}},
        {"vCont;S05:2;C02:1", {CPU_DEBUG_RUN, CPU_DEBUG_STEP}},
        {"vCont;c:-1;s:1", {CPU_DEBUG_RUN, CPU_DEBUG_RUN}},
        {"c", {CPU_DEBUG_RUN, CPU_DEBUG_RUN}},
        {"C05", {CPU_DEBUG_RUN, CPU_DEBUG_RUN}},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(rows[i].packet, NULL);
        ck_assert_msg(vm.accel->debug[0].mode == rows[i].modes[0] &&
                          vm.accel->debug[1].mode == rows[i].modes[1],
                      "%s", rows[i].packet);
        send_bytes("\x03", 1);
        ck_assert_str_eq(receive(), "$T02thread:01;#04");
        ck_assert(vm.accel->debug[0].mode == CPU_DEBUG_RUN);
    }
    expect("Hc2", "OK");
    expect("S05;1234", NULL);
    ck_assert(vm.accel->debug[0].mode == CPU_DEBUG_RUN &&
              vm.accel->debug[1].mode == CPU_DEBUG_STEP);
    ck_assert_uint_eq(vm.accel->registers[1].rip, 0x1234);
}
END_TEST

START_TEST(other_stops_are_told_with_their_signal)
{
    expect("c", NULL);
    platform_stop_request(&vm.m->platform, STOP_CAUSE_IO_ERROR);
    ck_assert_str_eq(receive(), "$T11thread:01;#04");
    vm.m->no_shutdown = true;
    expect("c", NULL);
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    ck_assert_str_eq(receive(), "$T03thread:01;#05");
    send_packet("c", 1); /* cannot */
    receive();
    ck_assert_ptr_nonnull(strstr(got->str, "$O"));
    ck_assert_ptr_nonnull(strstr(got->str, "$T03thread:01;#05"));
}
END_TEST

START_TEST(a_monitor_s_stop_and_cont_change_nothing_for_a_debugger_that_waits_for_none)
{
    ck_assert(machine_cont(vm.m, NULL));
    machine_stop(vm.m, RUN_STATE_PAUSED);
    ck_assert_str_eq(receive(), "");
    ck_assert(machine_cont(vm.m, NULL));
    expect("qC", "QC1"); /* what comes while it runs stops it */
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
}
END_TEST

START_TEST(a_dump_in_between_is_no_stop)
{
    expect("vCont;s:2;c", NULL);
    machine_stop(vm.m, RUN_STATE_SAVE_VM);
    ck_assert_str_eq(receive(), "");
    ck_assert(machine_cont(vm.m, NULL));
    ck_assert(vm.accel->debug[1].mode == CPU_DEBUG_STEP);
    must_stop(1, CPU_STOP_STEP, 0x1000, 0);
    ck_assert_str_eq(receive(), "$T05thread:02;#08");
}
END_TEST

START_TEST(a_debugger_that_cannot_be_served_is_told)
{
    vm.accel->fail_debug = true;
    send_packet("c", 1);
    receive();
    ck_assert_ptr_nonnull(strstr(got->str, "$O"));
    ck_assert_ptr_nonnull(strstr(got->str, "$T05thread:01;"));
    ck_assert(!vm.accel->running);
}
END_TEST

START_TEST(who_vanishes_leaves_no_breakpoints)
{
    put_byte(0x1000, 0x90);
    expect("Z0,8000000000001000,1", "OK");
    expect("Z1,2000,1", "OK");
    expect("vCont;s:2", NULL);
    hang_up();
    ck_assert_uint_eq(byte_at(0x1000), 0x90);
    ck_assert(vm.accel->running);
    ck_assert(!vm.accel->debug[0].software && vm.accel->debug[0].nr_points == 0);
    ck_assert(vm.accel->debug[0].mode == CPU_DEBUG_RUN && vm.accel->debug[1].mode == CPU_DEBUG_RUN);
    dial(); /* the next stops it */
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
    expect("?", "T05thread:01;");
}
END_TEST

static void hit_at_last(void *opaque)
{
    must_stop(0, CPU_STOP_POINT, 0x2000, 0);
}

/* A vCPU comes to a point while it is told to pause, because the debugger is gone. */
START_TEST(what_is_hit_while_a_debugger_leaves_stops_nobody)
{
    expect("Z1,2000,1", "OK");
    expect("c", NULL);
    vm.accel->on_pause = hit_at_last;
    hang_up();
    ck_assert_ptr_null(vm.accel->on_pause);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    ck_assert(vm.accel->running);
}
END_TEST

START_TEST(a_dump_does_not_let_go_on_what_a_debugger_halts)
{
    expect("c", NULL);
    machine_stop(vm.m, RUN_STATE_SAVE_VM);
    ck_assert_str_eq(receive(), "");
    send_bytes("\x03", 1);
    ck_assert_str_eq(receive(), "$T02thread:01;#04");
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
    expect("c", NULL);
    hang_up();
    machine_stop(vm.m, RUN_STATE_SAVE_VM);
    dial();
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
}
END_TEST

START_TEST(detaching_lets_it_run)
{
    put_byte(0x1000, 0x90);
    expect("Z0,8000000000001000,1", "OK");
    expect("D", "OK");
    ck_assert_uint_eq(byte_at(0x1000), 0x90);
    ck_assert(vm.accel->running);
}
END_TEST

START_TEST(killing_ends_the_vm)
{
    const char *packet = _i ? "vKill;1" : "k";

    expect(packet, _i ? "OK" : NULL);
    ck_assert(vm.m->ending);
    send_packet("c", 1); /* heard by nobody */
    ck_assert(!vm.accel->running);
    gdb_end(vm.m);
    receive();
    ck_assert_ptr_nonnull(strstr(got->str, "$W00#b7"));
}
END_TEST

START_TEST(a_debugger_that_does_not_read_is_waited_for)
{
    g_autoptr(GString) many = g_string_new("$QStartNoAckMode#b0");
    GString *one = gdb_frame("m8000000000001000,1f00", 22);
    size_t total = 0, sent = 0;

    for (unsigned i = 0; i < 300; i++) {
        g_string_append_len(many, one->str, (gssize)one->len);
    }
    while (sent < many->len || receive()[0]) {
        ssize_t n = send(fd, many->str + sent, many->len - sent, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        receive();
        total += got->len;
    }
    g_string_free(one, TRUE);
    ck_assert_uint_eq(total, strlen("+$OK#9a") + 300u * (2 * 0x1f00 + strlen("$#xx")));
    ck_assert_uint_eq(chardev_dropped(vm.m->gdb->stream), 0);
}
END_TEST

/* --- the server's own life --- */

static void expect_refused(const char *stream, const char *line)
{
    g_autoptr(GError) err = NULL;

    ck_assert(!gdb_serve(vm.m, stream, "-gdb", &err));
    ck_assert_str_eq(err->message, line);
}

START_TEST(streams_are_checked)
{
    expect_refused(
        "nonsense",
        "-gdb nonsense: unknown kind 'nonsense'; one of stdio, mon:stdio, null, file:PATH, "
        "unix:PATH[,server=on|off][,wait=on|off], tcp:HOST:PORT[,server=on|off], pipe:PATH, pty");
    expect_refused("chardev:c", "-gdb chardev:c: chardev 'c' not found");
    ck_assert_ptr_null(vm.m->gdb);
    ck_assert(gdb_serve(vm.m, "none", "-gdb", NULL));
    ck_assert(gdb_serve(vm.m, "tcp::0", "-gdb", NULL));
    ck_assert(g_str_has_prefix(chardev_filename(vm.m->gdb->stream), "tcp:127.0.0.1:"));
    ck_assert(gdb_serve(vm.m, "none", "-gdb", NULL));
    ck_assert_ptr_null(vm.m->gdb);
}
END_TEST

START_TEST(the_monitor_starts_and_ends_it)
{
    json_t *args = json_pack("{s:s}", "command-line", "gdbserver none"), *said;

    said = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    ck_assert_str_eq(json_string_value(said), "Disabled gdbserver\r\n");
    json_decref(said);
    ck_assert_ptr_null(vm.m->gdb);
    json_object_set_new(args, "command-line", json_string("gdbserver tcp::0"));
    said = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    ck_assert_str_eq(json_string_value(said), "Waiting for gdb connection on device 'tcp::0'\r\n");
    json_decref(said);
    json_decref(args);
    ck_assert_ptr_nonnull(vm.m->gdb);
}
END_TEST

static void add_server_tests(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, packets_are_acknowledged_and_replies_given_again);
    tcase_add_test(tc, what_is_unknown_gets_an_empty_reply);
    tcase_add_test(tc, what_is_malformed_gets_an_error);
    tcase_add_test(tc, features_are_offered_and_described);
    tcase_add_test(tc, threads_are_vcpus);
    tcase_add_test(tc, registers_are_of_the_chosen_vcpu);
    tcase_add_test(tc, all_registers_go_both_ways);
    tcase_add_test(tc, memory_is_virtual_or_physical);
    tcase_add_test(tc, a_software_breakpoint_is_seen_by_the_guest_alone);
    tcase_add_test(tc, a_breakpoint_that_the_guest_wrote_over_is_not_put_back);
    tcase_add_test(tc, breakpoints_outlive_a_reset);
    tcase_add_test(tc, two_names_of_a_byte_know_what_a_reset_put_there);
    tcase_add_test(tc, the_number_of_breakpoints_is_bounded);
    tcase_add_test(tc, there_are_four_hardware_points);
    tcase_add_test(tc, a_stop_is_the_reply_to_going_on);
    tcase_add_test(tc, the_guest_s_own_int3_is_left_to_it);
    tcase_add_test(tc, actions_are_of_threads);
    tcase_add_test(tc, other_stops_are_told_with_their_signal);
    tcase_add_test(tc, a_monitor_s_stop_and_cont_change_nothing_for_a_debugger_that_waits_for_none);
    tcase_add_test(tc, a_dump_in_between_is_no_stop);
    tcase_add_test(tc, a_debugger_that_cannot_be_served_is_told);
    tcase_add_test(tc, who_vanishes_leaves_no_breakpoints);
    tcase_add_test(tc, what_is_hit_while_a_debugger_leaves_stops_nobody);
    tcase_add_test(tc, a_dump_does_not_let_go_on_what_a_debugger_halts);
    tcase_add_test(tc, detaching_lets_it_run);
    tcase_add_loop_test(tc, killing_ends_the_vm, 0, 2);
    tcase_add_test(tc, a_debugger_that_does_not_read_is_waited_for);
    tcase_add_test(tc, streams_are_checked);
    tcase_add_test(tc, the_monitor_starts_and_ends_it);
}

int main(void)
{
    Suite *s = suite_create("gdb");
    TCase *server = tcase_create("server");

    add_server_tests(server);
    suite_add_tcase(s, server);
    return suite_run(s);
}
