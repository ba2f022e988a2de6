/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the gdb server. Names of packets are those of the manual "Debugging with GDB", appendix "GDB
 * Remote Serial Protocol".
 */
#ifndef AEROSTAT_VMM_GDB_GDB_INTERNAL_H
#define AEROSTAT_VMM_GDB_GDB_INTERNAL_H

#include "vmm/gdb/gdb.h"

enum {
    GDB_PACKET_MAX = 0x4000, /* characters of a packet, either way */
    GDB_POINTS_MAX = 1024,   /* software breakpoints; more are refused */
};

/* --- gdb-packet.c: frames "$data#checksum" --- */

typedef enum {
    GDB_INPUT_NONE,      /* the byte belongs to something that is not complete */
    GDB_INPUT_PACKET,    /* r->data is a packet's data, unescaped and with a zero behind it */
    GDB_INPUT_BAD,       /* wrong checksum, too long, or cut off */
    GDB_INPUT_ACK, GDB_INPUT_NACK,
    GDB_INPUT_INTERRUPT, /* Ctrl-C */
} GdbInput;

typedef struct {
    GString *data; /* at most GDB_PACKET_MAX */
    enum { GDB_IDLE, GDB_DATA, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
    uint8_t sum, sent_sum;
    bool too_long;
} GdbReader;

void gdb_reader_init(GdbReader *r);
void gdb_reader_reset(GdbReader *r);
void gdb_reader_finish(GdbReader *r);
GdbInput gdb_reader_take(GdbReader *r, uint8_t byte);

GString *gdb_frame(const char *data, size_t len); /* escaped, with checksum; data without run lengths */

void gdb_put_hex(GString *out, const void *bytes, size_t len);
/* Bytes from exactly 2 * len hexadecimal digits; false: there is something else. */
bool gdb_take_hex(const char *text, uint8_t *ret, size_t len);
/* A number in hexadecimal at *text, which moves behind it; false: there is none, or it has more than 64 bits. */
bool gdb_take_number(const char **text, uint64_t *ret);
bool gdb_take_char(const char **text, char c); /* moves behind c when it is there */

/* --- gdb-registers.c --- */

extern const char gdb_target_xml[];
unsigned gdb_register_count(void);
unsigned gdb_register_size(unsigned n); /* bytes; 0: there is none */
void gdb_register_get(const X86Registers *regs, unsigned n, uint8_t *ret);
void gdb_register_set(X86Registers *regs, unsigned n, const uint8_t *bytes);

/* --- the server --- */

typedef struct {
    uint64_t addr;  /* virtual */
    Gpa gpa;        /* of the INT3 */
    uint8_t saved;  /* what it stands in place of */
} GdbBreakpoint;

typedef struct GdbServer {
    Machine *m;
    Chardev *stream;
    bool owns_stream;
    GdbReader reader;
    GString *last;         /* frame of the newest reply, for a debugger that asks for it again */
    bool no_ack, connected;
    bool owes_stop;        /* c, s or vCont came: the next stop is its reply */
    bool physical;         /* addresses of m, M and X are */
    bool tells_sw, tells_hw; /* the debugger knows the stop reasons swbreak and hwbreak */
    unsigned g_cpu, c_cpu; /* of Hg and Hc */
    GArray *breakpoints;   /* of GdbBreakpoint: software */
    CpuDebug hardware;     /* points alone */
    CpuDebugger debugger;
    LoopBh *hit;           /* a vCPU has stopped */
    bool stopped_by_hit;   /* stop is valid */
    CpuStop stop;
    bool dead;             /* k came: the VM ends */
} GdbServer;

/* --- gdb-command.c --- */
void gdb_run_packet(GdbServer *g, const char *data, size_t len);

/* --- gdb.c --- */
void gdb_reply(GdbServer *g, const char *data);
void gdb_reply_bytes(GdbServer *g, const char *data, size_t len);
void gdb_console(GdbServer *g, const char *text); /* what the debugger prints */

/* --- gdb-run.c --- */
bool gdb_on_stop(void *opaque, const CpuStop *stop); /* of CpuDebugger */
void gdb_on_hit(void *opaque);                       /* of the bottom half */
void gdb_on_event(void *opaque, const char *name, json_t *data); /* of the machine */
void gdb_send_stop(GdbServer *g);
void gdb_halt(GdbServer *g); /* stops the VM; replies to what waits for that */
/* Lets the VM go on; modes has one for each vCPU. */
void gdb_resume(GdbServer *g, const CpuDebugMode *modes);
void gdb_detach(GdbServer *g); /* no breakpoints, no steps; the VM stays as it is */

/* --- gdb-points.c: VM stopped. "" is "not served", as the protocol has it; the other replies are "OK" and "E..". --- */
const char *gdb_point_add(GdbServer *g, unsigned type, uint64_t addr, uint64_t kind);
const char *gdb_point_del(GdbServer *g, unsigned type, uint64_t addr, uint64_t kind);
void gdb_points_clear(GdbServer *g);
void gdb_points_again(GdbServer *g); /* memory was loaded anew */
bool gdb_points_apply(GdbServer *g, const CpuDebugMode *modes); /* NULL: all run */
bool gdb_breakpoint_at(const GdbServer *g, uint64_t addr);
/* Memory of g_cpu without the server's INT3s; false: some of it is not RAM. */
bool gdb_memory_read(GdbServer *g, uint64_t addr, uint8_t *ret, size_t len);
bool gdb_memory_write(GdbServer *g, uint64_t addr, const uint8_t *bytes, size_t len);

#endif
