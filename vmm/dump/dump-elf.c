/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a dump: what the file says of itself, and the notes about vCPUs.
 */
#include <elf.h>
#include <string.h>

#include "vmm/dump/dump-internal.h"

/* NT_PRSTATUS of x86-64: struct elf_prstatus, as the kernel writes it. */
typedef struct {
    uint8_t signal[32];
    uint32_t pid;
    uint8_t times[76];
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip,
        cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
    uint64_t fp_valid;
} PrStatus;
G_STATIC_ASSERT(sizeof(PrStatus) == 336);

/* The note "QEMU", version 1. */
typedef struct {
    uint32_t selector, limit, flags, pad;
    uint64_t base;
} QemuSegment;

typedef struct {
    uint32_t version, size;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip,
        rflags;
    QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    uint64_t cr[5], kernel_gs_base;
} QemuState;
G_STATIC_ASSERT(sizeof(QemuState) == 440);

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP }; /* of X86Registers.gpr */

/* --- notes --- */

static PrStatus prstatus_of(const X86Registers *x, unsigned cpu)
{
    const uint64_t *g = x->gpr;

    return (PrStatus){
        .pid = cpu + 1,
        .r15 = g[15],
        .r14 = g[14],
        .r13 = g[13],
        .r12 = g[12],
        .rbp = g[RBP],
        .rbx = g[RBX],
        .r11 = g[11],
        .r10 = g[10],
        .r9 = g[9],
        .r8 = g[8],
        .rax = g[RAX],
        .rcx = g[RCX],
        .rdx = g[RDX],
        .rsi = g[RSI],
        .rdi = g[RDI],
        .orig_rax = UINT64_MAX, /* in no system call */
        .rip = x->rip,
        .cs = x->seg[X86_CS],
        .rflags = x->rflags,
        .rsp = g[RSP],
        .ss = x->seg[X86_SS],
        .fs_base = x->fs_base,
        .gs_base = x->gs_base,
        .ds = x->seg[X86_DS],
        .es = x->seg[X86_ES],
        .fs = x->seg[X86_FS],
        .gs = x->seg[X86_GS],
    };
}

static QemuSegment segment_of(const X86Registers *x, unsigned n)
{
    const X86Segment *s = &x->segments[n];

    return (QemuSegment){
        .selector = s->selector, .limit = s->limit, .flags = s->flags, .base = s->base};
}

static QemuState qemu_state_of(const X86Registers *x)
{
    const uint64_t *g = x->gpr;

    return (QemuState){
        .version = 1,
        .size = sizeof(QemuState),
        .rax = g[RAX],
        .rbx = g[RBX],
        .rcx = g[RCX],
        .rdx = g[RDX],
        .rsi = g[RSI],
        .rdi = g[RDI],
        .rsp = g[RSP],
        .rbp = g[RBP],
        .r8 = g[8],
        .r9 = g[9],
        .r10 = g[10],
        .r11 = g[11],
        .r12 = g[12],
        .r13 = g[13],
        .r14 = g[14],
        .r15 = g[15],
        .rip = x->rip,
        .rflags = x->rflags,
        .cs = segment_of(x, X86_CS),
        .ds = segment_of(x, X86_DS),
        .es = segment_of(x, X86_ES),
        .fs = segment_of(x, X86_FS),
        .gs = segment_of(x, X86_GS),
        .ss = segment_of(x, X86_SS),
        .ldt = segment_of(x, X86_LDT),
        .tr = segment_of(x, X86_TR),
        .gdt = segment_of(x, X86_GDT),
        .idt = segment_of(x, X86_IDT),
        .cr = {x->cr0, 0, x->cr2, x->cr3, x->cr4},
        .kernel_gs_base = x->kernel_gs_base,
    };
}

static void put_padded(GByteArray *out, const void *bytes, size_t len)
{
    static const uint8_t zero[3];

    g_byte_array_append(out, bytes, (guint)len);
    g_byte_array_append(out, zero, (guint)(-len & 3));
}

static void put_note(GByteArray *out, const char *name, uint32_t type, const void *desc, size_t len)
{
    Elf64_Nhdr head = {
        .n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)len, .n_type = type};

    g_byte_array_append(out, (const guint8 *)&head, sizeof head);
    put_padded(out, name, head.n_namesz);
    put_padded(out, desc, len);
}

static GByteArray *make_notes(Machine *m, GError **err)
{
    unsigned n = accel_runs_guests(m->accel) ? m->accel->nr_vcpus : 0;
    g_autofree X86Registers *regs = g_new(X86Registers, n + 1);
    g_autoptr(GByteArray) notes = g_byte_array_new();

    for (unsigned i = 0; i < n; i++) {
        PrStatus status;

        if (!accel_read_registers(m->accel, i, &regs[i], err)) {
            return NULL;
        }
        status = prstatus_of(&regs[i], i);
        put_note(notes, "CORE", NT_PRSTATUS, &status, sizeof status);
    }
    for (unsigned i = 0; i < n; i++) {
        QemuState state = qemu_state_of(&regs[i]);

        put_note(notes, "QEMU", 0, &state, sizeof state);
    }
    return g_steal_pointer(&notes);
}

/* --- ranges --- */

static void add_range(DumpImage *image, const GmemRegion *r, uint64_t begin, uint64_t end)
{
    DumpRange range = {.gpa = begin,
                       .size = end - begin,
                       .host = r->host + (begin - r->gpa.v),
                       .block = gmem_block_ref(r->block)};

    g_array_append_val(image->ranges, range);
    image->total += range.size;
}

static bool find_ranges(DumpImage *image, GuestMemory *mem, const GuestDumpSpec *spec, GError **err)
{
    uint64_t first = spec->filter ? spec->begin : 0, last = UINT64_MAX;

    if (spec->filter && spec->length <= UINT64_MAX - spec->begin) {
        last = spec->begin + spec->length;
    }
    for (unsigned i = 0; i < gmem_region_count(mem); i++) {
        const GmemRegion *r = gmem_region(mem, i);
        uint64_t begin = MAX(first, r->gpa.v), end = MIN(last, r->gpa.v + r->size);

        if (begin < end) {
            add_range(image, r, begin, end);
        }
    }
    return image->total > 0 ||
           error_set(err, spec->filter
                              ? "Invalid parameter 'begin': there is no memory in that range"
                              : "there is no guest memory to dump");
}

/* --- the file's head --- */

static void put_program_headers(DumpImage *image, uint64_t notes_size)
{
    uint64_t notes_at = sizeof(Elf64_Ehdr) + (image->ranges->len + 1) * sizeof(Elf64_Phdr);
    uint64_t at = notes_at + notes_size;
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes_size};

    g_byte_array_append(image->header, (const guint8 *)&note, sizeof note);
    for (unsigned i = 0; i < image->ranges->len; i++) {
        const DumpRange *r = &g_array_index(image->ranges, DumpRange, i);
        Elf64_Phdr load = {.p_type = PT_LOAD,
                           .p_flags = PF_R | PF_W | PF_X,
                           .p_offset = at,
                           .p_vaddr = r->gpa,
                           .p_paddr = r->gpa,
                           .p_filesz = r->size,
                           .p_memsz = r->size};

        g_byte_array_append(image->header, (const guint8 *)&load, sizeof load);
        at += r->size;
    }
}

static void put_header(DumpImage *image, const GByteArray *notes)
{
    Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof eh,
        .e_ehsize = sizeof eh,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(image->ranges->len + 1),
    };

    g_byte_array_append(image->header, (const guint8 *)&eh, sizeof eh);
    put_program_headers(image, notes->len);
    g_byte_array_append(image->header, notes->data, notes->len);
}

bool dump_image_init(DumpImage *image, Machine *m, const GuestDumpSpec *spec, GError **err)
{
    g_autoptr(GByteArray) notes = NULL;

    *image = (DumpImage){.header = g_byte_array_new(),
                         .ranges = g_array_new(FALSE, FALSE, sizeof(DumpRange))};
    if (!find_ranges(image, m->platform.mem, spec, err) || !(notes = make_notes(m, err))) {
        dump_image_finish(image);
        return false;
    }
    put_header(image, notes);
    return true;
}

void dump_image_finish(DumpImage *image)
{
    for (unsigned i = 0; image->ranges && i < image->ranges->len; i++) {
        gmem_block_unref(g_array_index(image->ranges, DumpRange, i).block);
    }
    g_clear_pointer(&image->ranges, g_array_unref);
    g_clear_pointer(&image->header, g_byte_array_unref);
}
