/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The human monitor as its user sees it: prompts, and lines that come by QMP.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "tests/fake-vm.h"
#include "vmm/monitor/monitor.h"
#include "tests/suite.h"

#define PROMPT "(aerostat) "

static FakeVm vm;
static Chardev *stream;
static Monitor *monitor;
static int user = -1;

/* What the monitor says to that. Free with g_free. */
static char *say(const char *text)
{
    char buf[4096];
    ssize_t n;

    ck_assert_int_eq(send(user, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    fake_vm_settle(&vm);
    n = recv(user, buf, sizeof buf - 1, MSG_DONTWAIT);
    return g_strndup(buf, n > 0 ? (gsize)n : 0);
}

static void setup(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    g_autofree char *option = NULL, *greeting = NULL;

    fake_vm_init(&vm);
    ck_assert(fake_vm_start(&vm, NULL));
    ck_assert(machine_boot(vm.m, NULL));
    ck_assert(machine_cont(vm.m, NULL));
    g_snprintf(addr.sun_path, sizeof addr.sun_path, "%s/hmp", vm.dir);
    option = g_strdup_printf("unix:%s,server=on,wait=off", addr.sun_path);
    stream = chardev_new_from_option(vm.m->platform.loop, "-monitor", option, NULL);
    ck_assert_ptr_nonnull(stream);
    monitor = monitor_new_hmp(vm.m, stream);
    user = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(user, (struct sockaddr *)&addr, sizeof addr), 0);
    greeting = say("");
    ck_assert(g_str_has_suffix(greeting, PROMPT));
}

static void teardown(void)
{
    close(user);
    fake_vm_settle(&vm);
    monitor_free(monitor);
    chardev_close(stream);
    object_unref(stream);
    fake_vm_finish(&vm);
}

START_TEST(a_command_is_echoed_answered_and_followed_by_a_prompt)
{
    g_autofree char *answer = say("info status\n");

    ck_assert_str_eq(answer, "info status\r\nVM status: running\r\n" PROMPT);
}
END_TEST

START_TEST(quit_is_followed_by_no_prompt)
{
    g_autofree char *answer = say(_i ? "q\r\n" : "quit\n");

    ck_assert_str_eq(answer, _i ? "q\r\n" : "quit\r\n");
    ck_assert(vm.m->ending);
}
END_TEST

static const char *const by_qmp[][2] = {
    {"info status", "VM status: running\r\n"},
    {"  info name ", "\r\n"},
    {"", ""},
    {"caf\xc3\xa9", "unknown command: 'caf\xc3\xa9'; 'help' lists all\r\n"},
    {"balloon 100", "Error: No balloon device has been activated\r\n"},
    {"help xp", "xp [/FMT] ADDR -- physical memory, likewise\r\n"},
    {"help info uuid", "info uuid  -- the VM's UUID\r\n"},
    {"info uuid", "00000000-0000-0000-0000-000000000000\r\n"},
    {"info kvm", "kvm support: disabled\r\n"},
    {"info cpus", "* CPU #0: thread_id=1000\r\n"},
    {"info virtio", "No VirtIO devices\r\n"},
    {"info qom-tree /machine/accel", "/accel (fake-accel)\r\n  /cpu[0] (cpu)\r\n"},
    {"info qom-tree /nothing", "Error: object '/nothing' not found\r\n"},
    {"device_del x", "Error: Device 'x' not found\r\n"},
    {"device_add nothing", "Error: unknown device 'nothing'; '-device help' lists all\r\n"},
    {"nmi", ""},
    /* what the fixture's kernel begins with: hlt, cli, jump, " no guest" */
    {"xp /4xb 0x200000", "0000000000200000: 0xf4 0xeb 0xfd 0x20\r\n"},
    {"xp /9xb 0x200000",
     "0000000000200000: 0xf4 0xeb 0xfd 0x20 0x6e 0x6f 0x20 0x67\r\n0000000000200008: 0x75\r\n"},
    {"xp 0x200000", "0000000000200000: 0x20fdebf4\r\n"},
    {"xp /2hd 0x200000", "0000000000200000: -5132  8445\r\n"},
    {"xp /1hu 0x200000", "0000000000200000: 60404\r\n"},
    {"xp /1ob 0x200000", "0000000000200000: 0364\r\n"},
    {"xp /1gx 2097152", "0000000000200000: 0x67206f6e20fdebf4\r\n"},
    {"xp /5c 0x200002", "0000000000200002: '\\xfd' ' ' 'n' 'o' ' '\r\n"},
    {"x /3c 0x8000000000200004", "8000000000200004: 'n' 'o' ' '\r\n"},
    {"x 0x200000", "0000000000200000: Cannot access memory\r\n"},
    {"xp /2xg 0x1fffff8", "0000000001fffff8: 0x0000000000000000 Cannot access memory\r\n"},
    {"xp", "give an address: [/FMT] ADDR, as in /16xb 0x1000\r\nTry \"help xp\" for more "
           "information\r\n"},
    {"xp /2 zz", "invalid char 'z' in expression\r\nTry \"help xp\" for more information\r\n"},
    {"x /2i 0", "'i' is not a format: a count, one of xduoc and one of bhwg\r\nTry \"help x\" for "
                "more information\r\n"},
};

/* A tabulator after what is there; what follows on the line. */
static const char *const completions[][2] = {
    {"he\t", "help "},
    {"hostfwd_\t", "hostfwd_\r\nhostfwd_add  hostfwd_remove\r\n" PROMPT "hostfwd_"},
    {"sy\t", "system_"},
    {"info statu\t", "info status "},
    {"help info q\t", "help info q\r\nqom-tree  qtree\r\n" PROMPT "help info q"},
    {"help x\t", "help x\r\nx  xp\r\n" PROMPT "help x"},
    {"nothing\t", "nothing"},
};

START_TEST(a_tabulator_completes_a_word)
{
    g_autofree char *answer = say(completions[_i][0]);

    ck_assert_str_eq(answer, completions[_i][1]);
}
END_TEST

static const struct {
    const char *line;
    const char *want[4];
} shown[] = {
    {"info pci",
     {"  Bus  0, device   0, function 0:\r\n    Host bridge: PCI device 1b36:0008\r\n",
      "PCI device 1af4:", " pin A\r\n      BAR", "      id \"r0\"\r\n"}},
    {"info qtree",
     {"bus: main-system-bus\r\n  type main-bus\r\n", "dev: virtio-rng-pci, id \"r0\"\r\n",
      "max-bytes = ", "type virtio-pci-bus\r\n"}},
    {"info qom-tree",
     {"/machine (pc-machine)\r\n", "    /r0 (virtio-rng-pci)\r\n",
      "      /virtio-backend (virtio-rng-device)\r\n", "/accel (fake-accel)"}},
    {"info mtree",
     {"address-space: memory\r\n  0000000000000000-0000000001ffffff (ram): ram\r\n",
      "\r\naddress-space: I/O\r\n", "0000000000000cf8", "(i/o): "}},
    {"info virtio", {"/machine/peripheral/r0/virtio-backend [virtio-rng]\r\n"}},
    {"info", {"info balloon  -- ", "info qtree  -- "}},
    {"info nothing", {"unknown command: 'info nothing'\r\n", "info mtree"}},
    {"help", {"device_add TYPE[,name=value,...] -- add a device; ", "x [/FMT] ADDR -- "}},
};

START_TEST(info_shows_what_the_machine_has)
{
    json_t *args = json_pack("{s:s}", "command-line", shown[_i].line), *result;
    const char *text;

    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng,id=r0,addr=3", NULL));
    result = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    text = json_string_value(result);
    for (unsigned i = 0; i < G_N_ELEMENTS(shown[_i].want) && shown[_i].want[i]; i++) {
        ck_assert_msg(strstr(text, shown[_i].want[i]), "no %s in %s", shown[_i].want[i], text);
    }
    json_decref(args);
    json_decref(result);
}
END_TEST

/* Free with g_free. */
static char *by_hmp(const char *line)
{
    json_t *args = json_pack("{s:s}", "command-line", line);
    json_t *result = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    char *text = g_strdup(json_string_value(result));

    json_decref(args);
    json_decref(result);
    return text;
}

/* --- vCPUs --- */

static X86Registers *registers(unsigned cpu)
{
    vm.accel->parent_obj.nr_vcpus = 2;
    return &vm.accel->registers[cpu];
}

/* The first column as QEMU has it, of a vCPU in 64-bit mode. */
static const char *const wide[] = {
    "\r\nCPU#1\r\n"
    "RAX=0000000000000000 RBX=0000000000000001 RCX=0000000000000002 RDX=0000000000000003\r\n"
    "RSI=0000000000000004 RDI=0000000000000005 RBP=0000000000000006 RSP=ffff800000000007\r\n"
    "R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a R11=000000000000000b\r\n"
    "R12=000000000000000c R13=000000000000000d R14=000000000000000e R15=000000000000000f\r\n"
    "RIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=3\r\n",
    "\r\nCS =0033 0000000000000000 ffffffff 00a0fb00 DPL=3 CS64 [-RA]\r\n"
    "SS =002b 0000000000000000 ffffffff 00c0f300 DPL=3 DS   [-WA]\r\n",
    "\r\nTR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy\r\n"
    "GDT=     fffffe0000001000 0000007f\r\nIDT=     0000000000000000 00000000\r\n"
    "CR0=80050033 CR2=00007f0000000000 CR3=0000000001000000 CR4=000006f0\r\n"
    "EFER=0000000000000d01\r\nFCW=037f FSW=3800 [ST=7] FTW=80 MXCSR=00001f80\r\n"
    "FPR0=8000000000000000 3fff FPR1=0000000000000000 0000\r\n",
    "XMM14=0000000000000000 0000000000000000 XMM15=ff00000000000000 00000000000000ee\r\n",
};

static void fill_wide(X86Registers *x)
{
    for (unsigned i = 0; i < 16; i++) {
        x->gpr[i] = i;
    }
    x->gpr[7] = 0xffff800000000007;
    x->rip = 0xffffffff81000000;
    x->rflags = 0x246;
    x->segments[X86_CS] = (X86Segment){0x33, 0xffffffff, 0xa0fb00, 0};
    x->segments[X86_SS] = (X86Segment){0x2b, 0xffffffff, 0xc0f300, 0};
    x->segments[X86_TR] = (X86Segment){0x40, 0x4087, 0x8b00, 0xfffffe0000003000};
    x->segments[X86_GDT] = (X86Segment){.limit = 0x7f, .base = 0xfffffe0000001000};
    x->cr0 = 0x80050033;
    x->cr2 = 0x7f0000000000;
    x->cr3 = 0x1000000;
    x->cr4 = 0x6f0;
    x->efer = 0xd01;
    x->fcw = 0x37f;
    x->fsw = 0x3800;
    x->ftw = 0x80;
    x->mxcsr = 0x1f80;
    memcpy(x->st[0], "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
    x->xmm[15][0] = 0xee;
    x->xmm[15][15] = 0xff;
}

START_TEST(info_registers_of_64_bit_code_is_wide)
{
    g_autofree char *text = NULL;
    const char *at;

    fill_wide(registers(1));
    text = by_hmp("info registers 1");
    at = text;
    for (unsigned i = 0; i < G_N_ELEMENTS(wide); i++) {
        at = strstr(at, wide[i]);
        ck_assert_msg(at, "no %s in %s", wide[i], text);
    }
    ck_assert(vm.accel->running); /* it was paused, as the fake insists */
}
END_TEST

START_TEST(info_registers_of_other_code_is_narrow)
{
    X86Registers *x = registers(0);
    g_autofree char *text = NULL;

    x->rip = 0xfff0;
    x->rflags = 2;
    x->gpr[3] = 0x60fb1;
    x->segments[X86_CS] = (X86Segment){0xf000, 0xffff, 0x9b00, 0xffff0000};
    text = by_hmp("info registers");
    ck_assert(g_str_has_prefix(text,
                               "\r\nCPU#0\r\nEAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1"
                               "\r\nESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000\r\n"
                               "EIP=0000fff0 EFL=00000002 [-------] CPL=0\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\nCS =f000 ffff0000 0000ffff 00009b00\r\n"));
    ck_assert_ptr_null(strstr(text, "XMM08"));
    x->cr0 = 1;
    x->segments[X86_CS] = (X86Segment){0x10, 0xffffffff, 0xcf9b00, 0};
    x->segments[X86_DS] = (X86Segment){0x18, 0xffff, 0x9600, 0};
    x->segments[X86_LDT] = (X86Segment){0, 0xffff, 0x8200, 0};
    g_free(text);
    text = by_hmp("info registers 0");
    ck_assert_ptr_nonnull(strstr(text, "CS =0010 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "DS =0018 00000000 0000ffff 00009600 DPL=0 DS16 [EW-]\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "LDT=0000 00000000 0000ffff 00008200 DPL=0 LDT\r\n"));
}
END_TEST

START_TEST(cpu_chooses_what_commands_are_about)
{
    g_autofree char *first = NULL, *cpus = NULL, *all = NULL, *answer = NULL;

    registers(1)->rip = 0x1234;
    vm.m->smp = 2; /* of which info cpus tells */
    first = say("cpu 2\r");
    ck_assert(g_str_has_suffix(first, "invalid CPU index\r\n" PROMPT));
    g_free(say("cpu 1\r"));
    cpus = say("info cpus\r");
    ck_assert_ptr_nonnull(
        strstr(cpus, "\r\n  CPU #0: thread_id=1000\r\n* CPU #1: thread_id=1001\r\n"));
    answer = say("info registers\r");
    ck_assert(strstr(answer, "\r\nCPU#1\r\n") && strstr(answer, "EIP=00001234 "));
    ck_assert_ptr_null(strstr(answer, "CPU#0"));
    all = say("info registers -a\r");
    ck_assert(strstr(all, "\r\nCPU#0\r\n") && strstr(all, "\r\nCPU#1\r\n"));
}
END_TEST

static const struct {
    const char *line, *want;
    unsigned vcpus;
} no_registers[] = {
    {"info registers 2", "CPU#2 not available\r\n", 2},
    {"info registers 4294967296", "CPU#4294967296 not available\r\n", 2},
    {"info registers x", "Error: info registers: give -a or the number of a vCPU, not 'x'\r\n", 2},
    {"info registers -a", "No CPU available\r\n", 0},
    {"info registers 0", "Error: fake: no registers\r\n", 1},
    {"cpu", "invalid CPU index\r\n", 1},
    {"cpu -1", "invalid CPU index\r\n", 1},
};

START_TEST(registers_that_there_are_not_are_refused)
{
    g_autofree char *text = NULL;

    vm.accel->parent_obj.nr_vcpus = no_registers[_i].vcpus;
    vm.accel->fail_registers = true;
    text = by_hmp(no_registers[_i].line);
    ck_assert_str_eq(text, no_registers[_i].want);
    ck_assert(vm.accel->running);
}
END_TEST

START_TEST(a_line_of_qmp_names_its_vcpu)
{
    json_t *args = json_pack("{s:s, s:i}", "command-line", "info registers", "cpu-index", 1);
    g_autoptr(GError) err = NULL;
    json_t *result;

    registers(1)->rip = 0x1234;
    result = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    ck_assert_ptr_nonnull(strstr(json_string_value(result), "CPU#1\r\n"));
    json_decref(result);
    json_object_set_new(args, "cpu-index", json_integer(2));
    ck_assert_ptr_null(qmp_execute(vm.m, "human-monitor-command", args, &err));
    ck_assert_str_eq(err->message, "Parameter 'cpu-index' expects a CPU number");
    json_decref(args);
}
END_TEST

/* The transport has its own properties alone, the device behind it has the others. */
START_TEST(a_line_may_be_fetched_back_and_changed)
{
    g_autofree char *first = say("info name\r\n"), *again = say("\033[A"), *tab = NULL;
    g_autofree char *answer = say("\027status\r");

    ck_assert_str_eq(first, "info name\r\n\r\n" PROMPT);
    ck_assert_str_eq(again, "info name");
    ck_assert(g_str_has_suffix(answer, "status\r\nVM status: running\r\n" PROMPT));
    tab = say(" stat\001info\t");
    ck_assert(g_str_has_suffix(tab, "\b\b\b\b"));
}
END_TEST

START_TEST(info_qtree_shows_each_property_once)
{
    g_autofree char *text = NULL;
    const char *proxy, *child;

    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-rng,id=r0,addr=3,max-bytes=512", NULL));
    text = by_hmp("info qtree");
    proxy = strstr(text, "dev: virtio-rng-pci, id \"r0\"\r\n");
    child = strstr(text, "dev: virtio-rng-device, id \"\"\r\n");
    ck_assert(proxy && child && proxy < child);
    ck_assert_ptr_eq(strstr(text, "max-bytes = "), strstr(child, "max-bytes = 512\r\n"));
    ck_assert_ptr_null(strstr(strstr(child, "max-bytes = ") + 1, "max-bytes = "));
    ck_assert(strstr(proxy, "addr = ") && strstr(proxy, "addr = ") < child);
}
END_TEST

START_TEST(info_balloon_tells_where_the_memory_is)
{
    json_t *opts = json_pack("{s:s}", "driver", "virtio-balloon");
    g_autofree char *answer = NULL;

    ck_assert_ptr_nonnull(machine_add_device(vm.m, opts, NULL));
    json_decref(opts);
    answer = say("info balloon\r");
    ck_assert_ptr_nonnull(strstr(answer, "balloon: actual=32\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "released               0.0 MiB, of it in use again 0.0"));
    ck_assert_ptr_nonnull(strstr(answer, "held back              0.0 MiB"));
    ck_assert_ptr_nonnull(strstr(answer, "discards                   0 in 0.0 ms"));
}
END_TEST

START_TEST(info_balloon_policy_explains_itself)
{
    json_t *opts = json_pack("{s:s, s:s}", "driver", "virtio-balloon", "id", "balloon0");
    g_autofree char *none = say("info balloon-policy\r"), *answer = NULL;
    g_autofree char *high = g_build_filename(vm.dir, "memory.high", NULL);
    g_autofree char *current = g_build_filename(vm.dir, "memory.current", NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_nonnull(strstr(none, "no balloon-policy; -object balloon-policy,id=ID"));
    ck_assert_ptr_nonnull(machine_add_device(vm.m, opts, NULL));
    json_decref(opts);
    g_assert(g_file_set_contents(high, "104857600\n", -1, NULL));
    g_assert(g_file_set_contents(current, "3145728\n", -1, NULL));
    opts = json_pack("{s:s, s:s, s:s, s:s, s:s}", "qom-type", "balloon-policy", "id", "p0",
                     "device", "balloon0", "source", vm.dir, "interval", "100");
    ck_assert_msg(user_creatable_add(vm.root, opts, &err), "%s", err ? err->message : "");
    json_decref(opts);
    clock_step_to(vm.m->platform.vclock, clock_now(vm.m->platform.vclock) + 200000000);
    answer = say("info balloon-policy\r");
    ck_assert_ptr_nonnull(strstr(answer, "p0: on\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "last decision     hold, no-statistics: hands off"));
    ck_assert_ptr_nonnull(strstr(answer, "bounds                     8 to 32 MiB\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "host pressure           none, looked at\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "cgroup uses                3 MiB\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "decisions                  1, inflated 0 times"));
    ck_assert_int_eq(remove(high) | remove(current), 0);
}
END_TEST

START_TEST(a_line_may_come_by_qmp)
{
    json_t *args = json_pack("{s:s}", "command-line", by_qmp[_i][0]);
    json_t *result = qmp_execute(vm.m, "human-monitor-command", args, NULL);
    g_autofree char *stream_says = say("");

    ck_assert_str_eq(json_string_value(result), by_qmp[_i][1]);
    ck_assert_str_eq(stream_says, "");
    json_decref(args);
    json_decref(result);
}
END_TEST

/* One after the other; DIR is the test's directory. An answer that begins with '~' is somewhere in
 * what is said. */
static const char *const managed[][2] = {
    {"device_add help", "~name \"virtio-blk-pci\", desc \"disk\"\r\n"},
    {"device_add virtio-rng,help",
     "~  max-bytes=<uint64> - bytes that the guest gets in a period\r\n"},
    {"device_add nothing,help", "Error: Device 'nothing' not found\r\n"},
    {"device_add", "Error: Parameter 'driver' is missing\r\n"},
    {"drive_add 0 file=DIR/a,,b,if=none,id=d", ""},
    {"drive_add file=DIR/a,,b,if=none,id=e,readonly=on,format=raw", ""},
    {"drive_add 0 file=DIR/a,,b,if=virtio,id=f",
     "Error: drive_add: the form is 0 file=FILE,if=none,id=ID[,format=raw][,readonly=on]\r\n"},
    {"drive_add",
     "Error: drive_add: the form is 0 file=FILE,if=none,id=ID[,format=raw][,readonly=on]\r\n"},
    {"drive_add 0 file=x,if=none,id=f,cache=none",
     "Error: drive_add knows no 'cache'; QMP's blockdev-add has more\r\n"},
    {"drive_add 0 file=/none/x,if=none,id=f",
     "Error: could not open '/none/x': No such file or directory\r\n"},
    {"device_add virtio-blk,drive=d,id=disk", ""},
    {"info block", "~d: DIR/a,b (raw)\r\n"},
    {"drive_del d", "Error: Node d is in use\r\n"},
    {"drive_del e", ""},
    {"netdev_add null,id=n", ""},
    {"netdev_add", "Error: Parameter 'type' is missing\r\n"},
    {"device_add virtio-net,netdev=n,id=card,mac=52:54:00:00:00:01", ""},
    {"qom-get /machine/peripheral/card mac", "\"52:54:00:00:00:01\"\r\n"},
    {"qom-get /machine", "Error: qom-get: give a path and a property\r\n"},
    {"netdev_del n", ""},
    {"object_add rng-builtin,id=r", ""},
    {"object_add rng-builtin", "Error: Parameter 'id' is missing\r\n"},
    {"qom-list /objects", "type (string)\r\nr (child<rng-builtin>)\r\n"},
    {"object_del r", ""},
    {"object_del r", "Error: object 'r' not found\r\n"},
    {"chardev-add help", "~  ringbuf\r\n"},
    {"chardev-add", "Error: the kind is missing: give KIND,id=ID\r\n"},
    {"chardev-add null", "Error: id= is missing: give KIND,id=ID\r\n"},
    {"chardev-add nothing,id=c", "Error: unknown kind 'nothing'; '-chardev help' lists all\r\n"},
    {"chardev-add ringbuf,id=c,size=4K", ""},
    {"chardev-add null,id=c", "Error: Chardev with id 'c' already exists\r\n"},
    {"chardev-add socket,id=s,path=DIR/s,,s,server=on", ""},
    {"chardev-add socket,id=t,path=DIR/t,server,nowait", ""},
    {"info chardev", "~s: filename=unix:DIR/s,s,server=on"},
    {"chardev-add socket,id=w,path=DIR/w,server=on,wait=on",
     "Error: wait=on would stop the VM until somebody connects: leave it out\r\n"},
    {"chardev-add socket,id=w,path=DIR/w,server=on,wait=maybe", "~Error: wait=maybe: "},
    {"chardev-add socket,id=w,fd=none", "~Error: "},
    {"chardev-add socket,id=w,str=none", "Error: unknown 'str' for a socket\r\n"},
    {"chardev-remove c", ""},
    {"chardev-remove c", "Error: Chardev 'c' not found\r\n"},
    {"chardev-remove s", ""},
    {"chardev-remove t", ""},
    {"device_add virtio-balloon,id=b", ""},
    {"qom-set /machine/peripheral/b guest-stats-polling-interval 5", ""},
    {"qom-get /machine/peripheral/b guest-stats-polling-interval", "5\r\n"},
    {"qom-set /machine/peripheral/b granule",
     "Error: qom-set: give a path, a property and a value\r\n"},
    {"qom-set /machine/peripheral/card mac 52:54:00:00:00:02",
     "Error: property 'mac' of virtio-net-pci cannot be changed after realize\r\n"},
    {"qom-set /none x y", "Error: object '/none' not found\r\n"},
    {"qom-list", "~machine (child<pc-machine>)\r\n"},
};

static char *in_dir(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "DIR", -1);

    return g_strjoinv(vm.dir, parts);
}

START_TEST(things_are_made_and_deleted_with_the_keys_of_options)
{
    g_autofree char *path = g_build_filename(vm.dir, "a,b", NULL);

    g_assert(g_file_set_contents(path, "", 0, NULL) && truncate(path, 65536) == 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(managed); i++) {
        g_autofree char *line = in_dir(managed[i][0]), *want = in_dir(managed[i][1]);
        json_t *args = json_pack("{s:s}", "command-line", line);
        json_t *result = qmp_execute(vm.m, "human-monitor-command", args, NULL);
        const char *got = json_string_value(result);

        ck_assert_msg(*want == '~' ? strstr(got, want + 1) != NULL : !strcmp(got, want), "%s: %s",
                      line, got);
        json_decref(args);
        json_decref(result);
    }
    unlink(path);
}
END_TEST

START_TEST(a_line_of_qmp_that_is_too_long_is_refused)
{
    g_autofree char *text = g_strnfill(1024, 'x');
    json_t *args = json_pack("{s:s}", "command-line", text);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(qmp_execute(vm.m, "human-monitor-command", args, &err));
    ck_assert_str_eq(err->message, "the command line is longer than 1023 bytes");
    json_decref(args);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hmp");
    TCase *tc = tcase_create("prompt");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_command_is_echoed_answered_and_followed_by_a_prompt);
    tcase_add_test(tc, a_line_may_be_fetched_back_and_changed);
    tcase_add_test(tc, info_registers_of_64_bit_code_is_wide);
    tcase_add_test(tc, info_registers_of_other_code_is_narrow);
    tcase_add_test(tc, cpu_chooses_what_commands_are_about);
    tcase_add_loop_test(tc, registers_that_there_are_not_are_refused, 0,
                        G_N_ELEMENTS(no_registers));
    tcase_add_test(tc, a_line_of_qmp_names_its_vcpu);
    tcase_add_test(tc, info_qtree_shows_each_property_once);
    tcase_add_test(tc, info_balloon_tells_where_the_memory_is);
    tcase_add_test(tc, info_balloon_policy_explains_itself);
    tcase_add_loop_test(tc, quit_is_followed_by_no_prompt, 0, 2);
    tcase_add_loop_test(tc, a_line_may_come_by_qmp, 0, G_N_ELEMENTS(by_qmp));
    tcase_add_test(tc, things_are_made_and_deleted_with_the_keys_of_options);
    tcase_add_test(tc, a_line_of_qmp_that_is_too_long_is_refused);
    tcase_add_loop_test(tc, a_tabulator_completes_a_word, 0, G_N_ELEMENTS(completions));
    tcase_add_loop_test(tc, info_shows_what_the_machine_has, 0, G_N_ELEMENTS(shown));
    suite_add_tcase(s, tc);
    return suite_run(s);
}
