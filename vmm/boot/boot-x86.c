/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct Linux boot on x86: opens and checks the files once, and on each start of the machine reads
 * them into guest RAM and says how vCPU 0 begins. Formats are in bzimage.c and elf-pvh.c.
 *
 * RAM below 1 MiB that it uses (boot-internal.h): 0x1000 GDT, 0x2000 PVH start info, below 0x6000
 * an initial stack, 0x7000 zero page, 0x8000 to 0xdfff page tables, 0x20000 to 0x2ffff command
 * line. Everything is loader's data that the kernel may reuse. The initrd lies as high in low RAM
 * as the kernel allows.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/boot/boot-internal.h"

struct BootX86 {
    BootFile kernel, initrd; /* initrd.fd -1: none */
    KernelImage image;
    char *cmdline; /* never NULL */
};

enum { BOOT_CODE_SELECTOR = 0x10, BOOT_DATA_SELECTOR = 0x18, GDT_ENTRIES = 5, GUEST_PAGE = 4096 };

bool boot_file_error(const BootFile *f, GError **err, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return error_set(err, "%s %s: %s", f->option, f->path, text);
}

bool boot_file_read(const BootFile *f, uint64_t off, void *dst, size_t len, GError **err)
{
    uint8_t *p = dst;

    while (len) {
        ssize_t n = pread(f->fd, p, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return boot_file_error(f, err, "cannot read: %s", g_strerror(errno));
        }
        if (n == 0) {
            return boot_file_error(f, err, "became shorter while it was read");
        }
        p += n;
        off += n;
        len -= n;
    }
    return true;
}

/* --- opening and checking --- */

static bool boot_file_open(BootFile *f, const char *option, const char *path, GError **err)
{
    struct stat st;

    f->option = option;
    f->path = g_strdup(path);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (f->fd < 0) {
        return boot_file_error(f, err, "cannot open: %s", g_strerror(errno));
    }
    if (fstat(f->fd, &st) < 0) {
        return boot_file_error(f, err, "cannot stat: %s", g_strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return boot_file_error(f, err, "is a directory; a file is needed");
    }
    if (!S_ISREG(st.st_mode)) {
        return boot_file_error(f, err, "is not a regular file");
    }
    if (st.st_size == 0) {
        return boot_file_error(f, err, "is empty");
    }
    f->size = st.st_size;
    return true;
}

static void boot_file_finish(BootFile *f)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    g_free(f->path);
}

/* What people pass by mistake, by its first bytes. */
static const char *wrong_format(const uint8_t *head, size_t len)
{
    static const struct {
        uint16_t off;
        uint8_t len;
        char magic[8];
        const char *what;
    } known[] = {
        {0, 2, "\x1f\x8b", "gzip-compressed file; unpack it first (gunzip), or give a bzImage"},
        {0, 6,
         "\xfd"
         "7zXZ",
         "xz-compressed file; unpack it first (unxz), or give a bzImage"},
        {0, 4, "\x28\xb5\x2f\xfd",
         "zstd-compressed file; unpack it first (unzstd), or give a bzImage"},
        {56, 4, "ARM\x64", "arm64 Image; an x86_64 kernel is needed"},
        {0, 5, "07070",
         "cpio archive; it belongs to -initrd, -kernel is a bzImage or an x86_64 vmlinux"},
        {0, 2, "MZ",
         "EFI program without a Linux setup header; a bzImage or an x86_64 vmlinux is needed"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (len >= known[i].off + known[i].len &&
            !memcmp(head + known[i].off, known[i].magic, known[i].len)) {
            return known[i].what;
        }
    }
    return "neither a bzImage nor an uncompressed ELF vmlinux of x86_64";
}

static bool parse_kernel(BootX86 *boot, GError **err)
{
    const BootFile *f = &boot->kernel;
    uint8_t head[1024];
    size_t len = MIN(f->size, sizeof head);

    if (!boot_file_read(f, 0, head, len, err)) {
        return false;
    }
    if (elf_probe(head, len)) {
        return elf_pvh_parse(f, &boot->image, err);
    }
    if (bzimage_probe(head, len)) {
        return bzimage_parse(f, &boot->image, err);
    }
    return boot_file_error(f, err, "%s", wrong_format(head, len));
}

static bool check_cmdline(const BootX86 *boot, const char *cmdline, GError **err)
{
    size_t len = strlen(cmdline);

    if (len <= boot->image.cmdline_max) {
        return true;
    }
    return error_set(err, "-append: the command line has %zu bytes; %s takes at most %u", len,
                     boot->kernel.path, boot->image.cmdline_max);
}

BootX86 *boot_x86_new(const char *kernel, const char *initrd, const char *cmdline, GError **err)
{
    BootX86 *boot = g_new0(BootX86, 1);

    boot->kernel.fd = boot->initrd.fd = -1;
    boot->image.segments = g_array_new(FALSE, TRUE, sizeof(BootSegment));
    boot->cmdline = g_strdup(cmdline ? cmdline : "");
    if (boot_file_open(&boot->kernel, "-kernel", kernel, err) && parse_kernel(boot, err) &&
        check_cmdline(boot, boot->cmdline, err) &&
        (!initrd || boot_file_open(&boot->initrd, "-initrd", initrd, err))) {
        return boot;
    }
    boot_x86_free(boot);
    return NULL;
}

bool boot_x86_set_cmdline(BootX86 *boot, const char *cmdline, GError **err)
{
    if (!check_cmdline(boot, cmdline, err)) {
        return false;
    }
    g_free(boot->cmdline);
    boot->cmdline = g_strdup(cmdline);
    return true;
}

void boot_x86_free(BootX86 *boot)
{
    if (!boot) {
        return;
    }
    boot_file_finish(&boot->kernel);
    boot_file_finish(&boot->initrd);
    g_array_unref(boot->image.segments);
    g_free(boot->cmdline);
    g_free(boot);
}

/* --- placing: the machine's memory map decides, below low_ram_size --- */

static uint64_t mib_up(uint64_t bytes)
{
    return (bytes >> 20) + !!(bytes & 0xfffff);
}

/* The part of a map entry that kernel and initrd may use; false: none. */
static bool usable_ram(const BootX86Layout *layout, unsigned i, uint64_t *ret_start,
                       uint64_t *ret_end)
{
    const E820Entry *e = &layout->e820[i];
    uint64_t limit = MIN(layout->low_ram_size, UINT64_C(1) << 32);

    if (e->type != E820_RAM || e->base.v >= limit) {
        return false;
    }
    *ret_start = MAX(e->base.v, KERNEL_MIN);
    *ret_end = e->base.v + MIN(e->size, limit - e->base.v);
    return *ret_start < *ret_end;
}

static bool segment_in_ram(const BootSegment *s, const BootX86Layout *layout)
{
    uint64_t start, end;

    for (unsigned i = 0; i < layout->e820_count; i++) {
        if (usable_ram(layout, i, &start, &end) && s->gpa >= start && s->gpa < end &&
            s->mem_size <= end - s->gpa) {
            return true;
        }
    }
    return false;
}

static bool check_kernel_place(const BootX86 *boot, const BootX86Layout *layout, uint64_t *ret_end,
                               GError **err)
{
    uint64_t end = 0;
    bool fits = true;

    for (unsigned i = 0; i < boot->image.segments->len; i++) {
        const BootSegment *s = &g_array_index(boot->image.segments, BootSegment, i);

        fits = fits && segment_in_ram(s, layout);
        end = s->gpa + s->mem_size;
    }
    if (!fits) {
        return boot_file_error(&boot->kernel, err,
                               "needs RAM up to %" PRIu64 " MiB, the guest has %" PRIu64
                               " MiB below 4 GiB; give it more with -m",
                               mib_up(end), layout->low_ram_size >> 20);
    }
    *ret_end = end;
    return true;
}

/* The highest page-aligned place above the kernel that the memory map and the kernel's limit allow.
 */
static bool place_initrd(const BootX86 *boot, const BootX86Layout *layout, uint64_t kernel_end,
                         InitrdPlace *ret, GError **err)
{
    uint64_t size = boot->initrd.size, best = 0, start, end;

    if (boot->initrd.fd < 0) {
        return true;
    }
    for (unsigned i = 0; i < layout->e820_count; i++) {
        if (!usable_ram(layout, i, &start, &end)) {
            continue;
        }
        start = MAX(start, kernel_end);
        end = MIN(end, boot->image.initrd_end_max);
        if (start >= end || size > end - start ||
            ((end - size) & ~(uint64_t)(GUEST_PAGE - 1)) < start) {
            continue;
        }
        best = MAX(best, (end - size) & ~(uint64_t)(GUEST_PAGE - 1));
    }
    if (!best) {
        return boot_file_error(&boot->initrd, err,
                               "its %" PRIu64
                               " MiB do not fit above the kernel, which ends at %" PRIu64
                               " MiB, in %" PRIu64 " MiB of RAM; give the guest more with -m",
                               mib_up(size), mib_up(kernel_end), layout->low_ram_size >> 20);
    }
    *ret = (InitrdPlace){best, size};
    return true;
}

/* --- loading --- */

static bool load_segment(const BootX86 *boot, GuestMemory *mem, const BootSegment *s, GError **err)
{
    if (!gmem_read_file(mem, GPA(s->gpa), boot->kernel.fd, s->file_off, s->file_size, err)) {
        g_prefix_error(err, "-kernel %s: ", boot->kernel.path);
        return false;
    }
    if (s->zero_rest && !gmem_set(mem, GPA(s->gpa + s->file_size), 0, s->mem_size - s->file_size)) {
        return boot_file_error(&boot->kernel, err, "its bss at 0x%" PRIx64 " is not in RAM",
                               s->gpa + s->file_size);
    }
    return true;
}

static bool load_files(const BootX86 *boot, GuestMemory *mem, InitrdPlace initrd, GError **err)
{
    for (unsigned i = 0; i < boot->image.segments->len; i++) {
        if (!load_segment(boot, mem, &g_array_index(boot->image.segments, BootSegment, i), err)) {
            return false;
        }
    }
    if (initrd.size &&
        !gmem_read_file(mem, GPA(initrd.gpa), boot->initrd.fd, 0, initrd.size, err)) {
        g_prefix_error(err, "-initrd %s: ", boot->initrd.path);
        return false;
    }
    return true;
}

/* Flat segments where both protocols want them; the code segment is of the mode's width. */
static bool write_gdt(GuestMemory *mem, X86StartMode mode)
{
    const Le64 gdt[GDT_ENTRIES] = {
        [BOOT_CODE_SELECTOR / 8] = le64_make(
            mode == X86_START_LONG64 ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff)),
        [BOOT_DATA_SELECTOR / 8] = le64_make(UINT64_C(0x00cf93000000ffff)),
        [4] = le64_make(UINT64_C(0x00008b0000000067)), /* busy TSS: PVH wants tr loaded */
    };

    return gmem_write(mem, GPA(LOW_GDT), gdt, sizeof gdt);
}

static bool write_low(const BootX86 *boot, GuestMemory *mem, const BootX86Layout *layout,
                      InitrdPlace initrd)
{
    if (!write_gdt(mem, boot->image.mode) ||
        !gmem_write(mem, GPA(LOW_CMDLINE), boot->cmdline, strlen(boot->cmdline) + 1)) {
        return false;
    }
    if (boot->image.mode == X86_START_LONG64) {
        return bzimage_write_params(&boot->image, mem, layout, initrd);
    }
    return pvh_write_start_info(mem, layout, initrd);
}

static X86CpuState start_state(const KernelImage *img)
{
    bool long64 = img->mode == X86_START_LONG64;

    return (X86CpuState){
        .mode = img->mode,
        .rip = img->entry,
        .rsp = LOW_STACK_TOP,
        .rsi = long64 ? LOW_BOOT_PARAMS : 0,
        .rbx = long64 ? 0 : LOW_START_INFO,
        .page_table = GPA(long64 ? LOW_PAGE_TABLES : 0),
        .gdt = GPA(LOW_GDT),
        .gdt_limit = GDT_ENTRIES * 8 - 1,
        .code_selector = BOOT_CODE_SELECTOR,
        .data_selector = BOOT_DATA_SELECTOR,
    };
}

bool boot_x86_load(BootX86 *boot, GuestMemory *mem, const BootX86Layout *layout,
                   X86CpuState *ret_state, GError **err)
{
    InitrdPlace initrd = {0};
    uint64_t kernel_end = 0;

    g_assert(layout->e820_count <= E820_MAX);
    if (!check_kernel_place(boot, layout, &kernel_end, err) ||
        !place_initrd(boot, layout, kernel_end, &initrd, err) ||
        !load_files(boot, mem, initrd, err)) {
        return false;
    }
    if (!write_low(boot, mem, layout, initrd)) {
        return error_set(err, "-m: the first %d KiB of guest memory must be RAM to start a kernel",
                         LOW_END >> 10);
    }
    *ret_state = start_state(&boot->image);
    return true;
}
