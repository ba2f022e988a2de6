/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fake-vm.h. The kernel is an ELF file with one segment and the note that names the PVH entry.
 */
#include "tests/fake-vm.h"

#include <elf.h>
#include <glib/gstdio.h>
#include <string.h>

#include "backends/net.h"
#include "vmm/cli/options.h"
#include "vmm/cli/types.h"

const char fake_vm_code[16] = "\xf4\xeb\xfd no guest";

typedef struct {
    Elf64_Ehdr eh;
    Elf64_Phdr load, note;
    Elf64_Nhdr note_head;
    char note_name[4];
    uint32_t note_entry;
    char code[sizeof fake_vm_code];
} KernelFile;

static void write_kernel(const char *path)
{
    KernelFile f = {
        .eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
               .e_type = ET_EXEC,
               .e_machine = EM_X86_64,
               .e_version = EV_CURRENT,
               .e_phoff = offsetof(KernelFile, load),
               .e_ehsize = sizeof f.eh,
               .e_phentsize = sizeof f.load,
               .e_phnum = 2},
        .load = {.p_type = PT_LOAD,
                 .p_offset = offsetof(KernelFile, code),
                 .p_paddr = FAKE_VM_ENTRY,
                 .p_filesz = sizeof f.code,
                 .p_memsz = sizeof f.code},
        .note = {.p_type = PT_NOTE,
                 .p_offset = offsetof(KernelFile, note_head),
                 .p_filesz = offsetof(KernelFile, code) - offsetof(KernelFile, note_head),
                 .p_align = 4},
        .note_head = {.n_namesz = 4, .n_descsz = 4, .n_type = 18}, /* XEN_ELFNOTE_PHYS32_ENTRY */
        .note_name = "Xen",
        .note_entry = FAKE_VM_ENTRY,
    };

    memcpy(f.code, fake_vm_code, sizeof f.code);
    g_assert(g_file_set_contents(path, (const char *)&f, sizeof f, NULL));
}

static void use_manual_clocks(Platform *p)
{
    clock_free(p->vclock);
    clock_free(p->rtclock);
    p->vclock = clock_new_manual();
    p->rtclock = clock_new_manual();
}

void fake_vm_init_as(FakeVm *vm, const char *machine)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        types_register_all();
        g_once_init_leave(&once, 1);
    }
    vm->dir = g_dir_make_tmp("aerostat-vm-XXXXXX", NULL);
    g_assert(vm->dir);
    vm->kernel = g_build_filename(vm->dir, "vmlinux", NULL);
    write_kernel(vm->kernel);
    vm->root = object_new(&container_type);
    vm->m = MACHINE(object_new(machine_type_find(machine, NULL)));
    use_manual_clocks(&vm->m->platform);
    vm->m->platform.root = vm->root;
    vm->accel = FAKE_ACCEL(object_new(&fake_accel_type));
    vm->m->accel = ACCEL(vm->accel);
    object_add_child(vm->root, "machine", OBJECT(vm->m), NULL);
    object_add_child(OBJECT(vm->m), "accel", OBJECT(vm->accel), NULL);
    vm->m->ram_size = FAKE_VM_RAM;
    property_set_string(OBJECT(vm->m), "kernel", vm->kernel, NULL);
}

void fake_vm_init(FakeVm *vm)
{
    fake_vm_init_as(vm, "pc");
}

bool fake_vm_start(FakeVm *vm, GError **err)
{
    return machine_init(vm->m, err);
}

void fake_vm_finish(FakeVm *vm)
{
    if (vm->accel->running) { /* as at the end of machine_run */
        accel_pause(vm->m->accel);
    }
    machine_finish(vm->m);
    net_backend_del_all(vm->root);
    object_unref(vm->root);
    g_remove(vm->kernel);
    g_rmdir(vm->dir);
    g_free(vm->kernel);
    g_free(vm->dir);
    *vm = (FakeVm){0};
}

Device *fake_vm_add(FakeVm *vm, const char *device, GError **err)
{
    json_t *opts =
        *device == '{' ? json_loads(device, 0, NULL) : options_parse_keyvals(device, "driver", err);
    Device *dev = opts ? machine_add_device(vm->m, opts, err) : NULL;

    json_decref(opts);
    return dev;
}

void fake_vm_settle(FakeVm *vm)
{
    while (loop_iterate(vm->m->platform.loop, false)) {
    }
}
