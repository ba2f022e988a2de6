/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options that QEMU has and this program has not, with what does it here.
 */
#include <glib.h>
#include <string.h>

#include "vmm/cli/options.h"

static const struct {
    const char *names, *instead;
} foreign[] = {
    {"hda hdb hdc hdd sd mtdblock", "a disk is -drive file=FILE,format=raw"},
    {"cdrom", "a disk that cannot be written is -drive file=FILE,format=raw,readonly=on"},
    {"fda fdb", "there are no floppy disks"},
    {"bios pflash L option-rom", "there is no firmware: give -kernel"},
    {"dtb", "the machine makes its own description of itself"},
    {"vnc spice full-screen g k rotate curses sdl", "there is no display: use -nographic"},
    {"soundhw", "there is no sound"},
    {"usb usbdevice", "there is no USB"},
    {"virtfs fsdev tpmdev", "there is no such device; '-device help' lists what is there"},
    {"numa", "a guest has one NUMA node"},
    {"incoming loadvm", "a VM's state cannot be saved, nor moved"},
    {"icount record replay", "vCPUs run on KVM only"},
    {"smbios acpitable", "the tables that a guest reads are made by the machine"},
    {"watchdog watchdog-action", "there is no watchdog"},
    {"runas chroot run-with sandbox", "start it with the rights that it shall have"},
};

const char *options_foreign(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(foreign); i++) {
        g_auto(GStrv) names = g_strsplit(foreign[i].names, " ", -1);

        if (g_strv_contains((const char *const *)names, name)) {
            return foreign[i].instead;
        }
    }
    return NULL;
}
