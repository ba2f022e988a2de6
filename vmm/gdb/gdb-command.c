/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What packets ask for. The VM is stopped. Each gets one reply, but those that let the VM go on:
 * theirs is its next stop. What is not known gets an empty one.
 */
#include "vmm/gdb/gdb-internal.h"

#include <inttypes.h>
#include <string.h>

#define NO_MEMORY "E0e" /* EFAULT */
#define BAD_VALUE "E16" /* EINVAL */
#define NO_THREAD "E03" /* ESRCH */

enum { REGISTER_BYTES_MAX = 16, DATA_MAX = GDB_PACKET_MAX / 2 - 16 };

typedef struct {
    const char *
        name; /* what the packet begins with; ended by one of ":;,?" or its end when it is a word */
    bool word;
    void (*run)(GdbServer *g, const char *arg, size_t len); /* arg: what follows the name */
} Command;

static void ok(GdbServer *g)
{
    gdb_reply(g, "OK");
}

static unsigned nr_cpus(const GdbServer *g)
{
    return g->m->accel->nr_vcpus;
}

/* --- threads: number 1 is vCPU 0 --- */

typedef enum { THREAD_ONE, THREAD_ANY, THREAD_ALL, THREAD_BAD } ThreadKind;

/* "1f", "0" (any) and "-1" (all); moves behind it. */
static ThreadKind take_thread(const GdbServer *g, const char **text, unsigned *ret_cpu)
{
    uint64_t n;

    if (g_str_has_prefix(*text, "-1")) {
        *text += 2;
        return THREAD_ALL;
    }
    if (!gdb_take_number(text, &n) || n > nr_cpus(g)) {
        return THREAD_BAD;
    }
    *ret_cpu = n > 0 ? (unsigned)n - 1 : 0;
    return n > 0 ? THREAD_ONE : THREAD_ANY;
}

static void run_set_thread(GdbServer *g, const char *arg, size_t len)
{
    unsigned *which = *arg == 'g' ? &g->g_cpu : &g->c_cpu, cpu = 0;
    const char *text = arg + 1;

    if (*arg != 'g' && *arg != 'c') {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    switch (take_thread(g, &text, &cpu)) {
    case THREAD_BAD:
        gdb_reply(g, NO_THREAD);
        return;
    case THREAD_ONE:
        *which = cpu;
        break;
    default: /* the one there is */
        break;
    }
    ok(g);
}

static void run_thread_alive(GdbServer *g, const char *arg, size_t len)
{
    unsigned cpu;

    gdb_reply(g, take_thread(g, &arg, &cpu) == THREAD_ONE ? "OK" : NO_THREAD);
}

static void run_first_threads(GdbServer *g, const char *arg, size_t len)
{
    g_autoptr(GString) text = g_string_new("m");

    for (unsigned i = 1; i <= nr_cpus(g); i++) {
        g_string_append_printf(text, "%s%x", i > 1 ? "," : "", i);
    }
    gdb_reply(g, text->str);
}

static void run_more_threads(GdbServer *g, const char *arg, size_t len)
{
    gdb_reply(g, "l");
}

static void run_current_thread(GdbServer *g, const char *arg, size_t len)
{
    g_autofree char *text = g_strdup_printf("QC%x", g->g_cpu + 1);

    gdb_reply(g, text);
}

static void run_thread_info(GdbServer *g, const char *arg, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *text = NULL;
    unsigned cpu;

    if (!gdb_take_char(&arg, ',') || take_thread(g, &arg, &cpu) != THREAD_ONE) {
        gdb_reply(g, NO_THREAD);
        return;
    }
    text = g_strdup_printf("CPU %u", cpu);
    gdb_put_hex(out, text, strlen(text));
    gdb_reply(g, out->str);
}

/* --- registers --- */

static bool read_registers(GdbServer *g, X86Registers *ret)
{
    return accel_read_registers(g->m->accel, g->g_cpu, ret, NULL);
}

static void write_registers(GdbServer *g, const X86Registers *regs)
{
    gdb_reply(g, accel_write_registers(g->m->accel, g->g_cpu, regs, NULL) ? "OK" : BAD_VALUE);
}

static void run_get_all(GdbServer *g, const char *arg, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t bytes[REGISTER_BYTES_MAX];
    X86Registers regs;

    if (!read_registers(g, &regs)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    for (unsigned i = 0; i < gdb_register_count(); i++) {
        gdb_register_get(&regs, i, bytes);
        gdb_put_hex(out, bytes, gdb_register_size(i));
    }
    gdb_reply(g, out->str);
}

/* A prefix of all will do: the rest stays. */
static void run_set_all(GdbServer *g, const char *arg, size_t len)
{
    g_autofree uint8_t *bytes = g_malloc0(len / 2 + 1);
    size_t at = 0;
    X86Registers regs;

    if (len % 2 != 0 || !gdb_take_hex(arg, bytes, len / 2) || !read_registers(g, &regs)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    for (unsigned i = 0; i < gdb_register_count() && at + gdb_register_size(i) <= len / 2; i++) {
        gdb_register_set(&regs, i, bytes + at);
        at += gdb_register_size(i);
    }
    write_registers(g, &regs);
}

static void run_get_one(GdbServer *g, const char *arg, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t bytes[REGISTER_BYTES_MAX];
    X86Registers regs;
    uint64_t n;

    if (!gdb_take_number(&arg, &n) || *arg || n >= gdb_register_count() ||
        !read_registers(g, &regs)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    gdb_register_get(&regs, (unsigned)n, bytes);
    gdb_put_hex(out, bytes, gdb_register_size((unsigned)n));
    gdb_reply(g, out->str);
}

static void run_set_one(GdbServer *g, const char *arg, size_t len)
{
    uint8_t bytes[REGISTER_BYTES_MAX];
    X86Registers regs;
    uint64_t n;

    if (!gdb_take_number(&arg, &n) || !gdb_take_char(&arg, '=') || n >= gdb_register_count() ||
        !gdb_take_hex(arg, bytes, gdb_register_size((unsigned)n)) || !read_registers(g, &regs)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    gdb_register_set(&regs, (unsigned)n, bytes);
    write_registers(g, &regs);
}

/* --- memory --- */

/* "ADDR,LENGTH" and what follows. */
static bool take_range(const char **arg, uint64_t *ret_addr, uint64_t *ret_len)
{
    return gdb_take_number(arg, ret_addr) && gdb_take_char(arg, ',') &&
           gdb_take_number(arg, ret_len) && *ret_len <= DATA_MAX;
}

static void run_read_memory(GdbServer *g, const char *arg, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree uint8_t *bytes = NULL;
    uint64_t addr, n;

    if (!take_range(&arg, &addr, &n) || *arg) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    bytes = g_malloc(n + 1);
    if (!gdb_memory_read(g, addr, bytes, n)) {
        gdb_reply(g, NO_MEMORY);
        return;
    }
    gdb_put_hex(out, bytes, n);
    gdb_reply(g, out->str);
}

static void run_write_memory(GdbServer *g, const char *arg, size_t len)
{
    g_autofree uint8_t *bytes = NULL;
    uint64_t addr, n;

    if (!take_range(&arg, &addr, &n) || !gdb_take_char(&arg, ':')) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    bytes = g_malloc(n + 1);
    if (!gdb_take_hex(arg, bytes, n)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    gdb_reply(g, gdb_memory_write(g, addr, bytes, n) ? "OK" : NO_MEMORY);
}

static void run_write_binary(GdbServer *g, const char *arg, size_t len)
{
    const char *end = arg + len;
    uint64_t addr, n;

    if (!take_range(&arg, &addr, &n) || !gdb_take_char(&arg, ':') || (size_t)(end - arg) != n) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    gdb_reply(g, gdb_memory_write(g, addr, (const uint8_t *)arg, n) ? "OK" : NO_MEMORY);
}

static void run_is_physical(GdbServer *g, const char *arg, size_t len)
{
    gdb_reply(g, g->physical ? "1" : "0");
}

static void run_set_physical(GdbServer *g, const char *arg, size_t len)
{
    if (strcmp(arg, ":0") != 0 && strcmp(arg, ":1") != 0) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    g->physical = arg[1] == '1';
    ok(g);
}

/* --- points: "TYPE,ADDR,KIND" --- */

static void run_point(GdbServer *g, const char *arg,
                      const char *(*act)(GdbServer *g, unsigned type, uint64_t addr, uint64_t kind))
{
    uint64_t type, addr, kind;

    if (!gdb_take_number(&arg, &type) || !gdb_take_char(&arg, ',') ||
        !gdb_take_number(&arg, &addr) || !gdb_take_char(&arg, ',') ||
        !gdb_take_number(&arg, &kind)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    if (*arg || type > 4) { /* conditions and commands were not offered */
        gdb_reply(g, "");
        return;
    }
    gdb_reply(g, act(g, (unsigned)type, addr, kind));
}

static void run_add_point(GdbServer *g, const char *arg, size_t len)
{
    run_point(g, arg, gdb_point_add);
}

static void run_del_point(GdbServer *g, const char *arg, size_t len)
{
    run_point(g, arg, gdb_point_del);
}

/* --- going on --- */

static bool set_pc(GdbServer *g, uint64_t pc)
{
    X86Registers regs;

    if (!accel_read_registers(g->m->accel, g->c_cpu, &regs, NULL)) {
        return false;
    }
    regs.rip = pc;
    return accel_write_registers(g->m->accel, g->c_cpu, &regs, NULL);
}

/* "[ADDR]"; the other vCPUs run. */
static void go_on(GdbServer *g, const char *arg, CpuDebugMode mode)
{
    g_autofree CpuDebugMode *modes = g_new0(CpuDebugMode, nr_cpus(g));
    uint64_t pc;

    if (*arg && (!gdb_take_number(&arg, &pc) || *arg || !set_pc(g, pc))) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    modes[g->c_cpu] = mode;
    gdb_resume(g, modes);
}

static void run_continue(GdbServer *g, const char *arg, size_t len)
{
    go_on(g, arg, CPU_DEBUG_RUN);
}

static void run_step(GdbServer *g, const char *arg, size_t len)
{
    go_on(g, arg, CPU_DEBUG_STEP);
}

/* "SIGNAL[;ADDR]": a guest has no signals. */
static const char *behind_signal(const char *arg)
{
    const char *semicolon = strchr(arg, ';');

    return semicolon ? semicolon + 1 : "";
}

static void run_continue_signal(GdbServer *g, const char *arg, size_t len)
{
    go_on(g, behind_signal(arg), CPU_DEBUG_RUN);
}

static void run_step_signal(GdbServer *g, const char *arg, size_t len)
{
    go_on(g, behind_signal(arg), CPU_DEBUG_STEP);
}

static void run_offer_vcont(GdbServer *g, const char *arg, size_t len)
{
    gdb_reply(g, "vCont;c;C;s;S");
}

/* "c", "s", "Cxx", "Sxx"; moves behind it. */
static bool take_action(const char **arg, CpuDebugMode *ret)
{
    uint64_t signal;
    char c = **arg;

    *ret = g_ascii_tolower(c) == 's' ? CPU_DEBUG_STEP : CPU_DEBUG_RUN;
    if (!gdb_take_char(arg, 'c') && !gdb_take_char(arg, 's')) {
        return (gdb_take_char(arg, 'C') || gdb_take_char(arg, 'S')) &&
               gdb_take_number(arg, &signal);
    }
    return true;
}

static void set_modes(GdbServer *g, CpuDebugMode *modes, bool *done, unsigned first, unsigned count,
                      CpuDebugMode mode)
{
    for (unsigned i = first; i < first + count; i++) {
        if (!done[i]) { /* the first action that matches counts */
            modes[i] = mode;
            done[i] = true;
        }
    }
}

/* ";ACTION[:THREAD]..."; a vCPU without one stands. */
static bool take_actions(GdbServer *g, const char *arg, CpuDebugMode *modes, bool *done)
{
    CpuDebugMode mode;
    unsigned cpu = 0;

    while (gdb_take_char(&arg, ';')) {
        if (!take_action(&arg, &mode)) {
            return false;
        }
        switch (gdb_take_char(&arg, ':') ? take_thread(g, &arg, &cpu) : THREAD_ALL) {
        case THREAD_ONE:
            set_modes(g, modes, done, cpu, 1, mode);
            break;
        case THREAD_ANY:
            set_modes(g, modes, done, g->c_cpu, 1, mode);
            break;
        case THREAD_ALL:
            set_modes(g, modes, done, 0, nr_cpus(g), mode);
            break;
        default:
            return false;
        }
    }
    return !*arg;
}

static void run_vcont(GdbServer *g, const char *arg, size_t len)
{
    g_autofree CpuDebugMode *modes = g_new(CpuDebugMode, nr_cpus(g));
    g_autofree bool *done = g_new0(bool, nr_cpus(g));
    bool any = false;

    for (unsigned i = 0; i < nr_cpus(g); i++) {
        modes[i] = CPU_DEBUG_HOLD;
    }
    if (!take_actions(g, arg, modes, done)) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    for (unsigned i = 0; i < nr_cpus(g); i++) {
        any |= done[i];
    }
    if (any) {
        gdb_resume(g, modes);
    } else {
        gdb_reply(g, BAD_VALUE);
    }
}

/* --- the connection --- */

static void run_why(GdbServer *g, const char *arg, size_t len)
{
    g_autofree char *text = g_strdup_printf("T05thread:%02x;", g->c_cpu + 1);

    gdb_points_clear(g); /* a debugger begins */
    gdb_reply(g, text);
}

static void run_supported(GdbServer *g, const char *arg, size_t len)
{
    g_autofree char *text =
        g_strdup_printf("PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;"
                        "swbreak+;hwbreak+",
                        (unsigned)GDB_PACKET_MAX);

    g->tells_sw = strstr(arg, "swbreak+") != NULL;
    g->tells_hw = strstr(arg, "hwbreak+") != NULL;
    gdb_reply(g, text);
}

/* ":target.xml:OFFSET,LENGTH" */
static void run_features(GdbServer *g, const char *arg, size_t len)
{
    static const char annex[] = ":target.xml:";
    size_t total = strlen(gdb_target_xml);
    g_autoptr(GString) out = NULL;
    uint64_t offset, n;

    if (!g_str_has_prefix(arg, annex)) {
        gdb_reply(g, "E00");
        return;
    }
    arg += strlen(annex);
    if (!gdb_take_number(&arg, &offset) || !gdb_take_char(&arg, ',') ||
        !gdb_take_number(&arg, &n) || *arg || offset > total) {
        gdb_reply(g, BAD_VALUE);
        return;
    }
    n = MIN(n, MIN(DATA_MAX, total - offset));
    out = g_string_new(offset + n < total ? "m" : "l");
    g_string_append_len(out, gdb_target_xml + offset, (gssize)n);
    gdb_reply(g, out->str);
}

static void run_no_ack(GdbServer *g, const char *arg, size_t len)
{
    ok(g);
    g->no_ack = true;
}

static void run_attached(GdbServer *g, const char *arg, size_t len)
{
    gdb_reply(g, "1");
}

static void run_detach(GdbServer *g, const char *arg, size_t len)
{
    gdb_detach(g);
    ok(g);
    machine_cont(g->m, NULL); /* a VM that needs a reset stays as it is */
}

static void run_kill(GdbServer *g, const char *arg, size_t len)
{
    g->dead = true;
    machine_request_shutdown(g->m, SHUTDOWN_CAUSE_HOST_UI);
}

static void run_kill_process(GdbServer *g, const char *arg, size_t len)
{
    ok(g);
    run_kill(g, arg, len);
}

/* Longer names before those that they begin with. */
static const Command commands[] = {
    {"qSupported", true, run_supported},
    {"qXfer:features:read", true, run_features},
    {"qAttached", true, run_attached},
    {"qfThreadInfo", true, run_first_threads},
    {"qsThreadInfo", true, run_more_threads},
    {"qThreadExtraInfo", true, run_thread_info},
    {"qC", true, run_current_thread},
    {"qqemu.PhyMemMode", true, run_is_physical},
    {"Qqemu.PhyMemMode", true, run_set_physical},
    {"QStartNoAckMode", true, run_no_ack},
    {"vCont?", false, run_offer_vcont},
    {"vCont", true, run_vcont},
    {"vKill", true, run_kill_process},
    {"?", false, run_why},
    {"g", false, run_get_all},
    {"G", false, run_set_all},
    {"p", false, run_get_one},
    {"P", false, run_set_one},
    {"m", false, run_read_memory},
    {"M", false, run_write_memory},
    {"X", false, run_write_binary},
    {"Z", false, run_add_point},
    {"z", false, run_del_point},
    {"c", false, run_continue},
    {"C", false, run_continue_signal},
    {"s", false, run_step},
    {"S", false, run_step_signal},
    {"H", false, run_set_thread},
    {"T", false, run_thread_alive},
    {"D", false, run_detach},
    {"k", false, run_kill},
};

void gdb_run_packet(GdbServer *g, const char *data, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        const Command *c = &commands[i];
        size_t n = strlen(c->name);

        if (strncmp(data, c->name, n) == 0 && (!c->word || !data[n] || strchr(":;,", data[n]))) {
            c->run(g, data + n, len - n);
            return;
        }
    }
    gdb_reply(g, "");
}
