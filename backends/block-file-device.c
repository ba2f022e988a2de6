/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel tells of a block device beyond its bytes: topology, what can be discarded and
 * erased, how worn it is.
 */
#include "backends/block-file.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

/* --- sysfs --- */

/* A file of the device or, if that is a partition, of its disk. NULL: there is none. g_free. */
static char *attribute(dev_t rdev, const char *name)
{
    static const char *const places[] = {"", "../"};
    char *text = NULL;

    for (unsigned i = 0; !text && i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path =
            g_strdup_printf("/sys/dev/block/%u:%u/%s%s", major(rdev), minor(rdev), places[i], name);

        if (!g_file_get_contents(path, &text, NULL, NULL)) {
            text = NULL;
        }
    }
    return text;
}

/* 0: not known. */
static uint64_t number(dev_t rdev, const char *name)
{
    g_autofree char *text = attribute(rdev, name);

    return text ? g_ascii_strtoull(text, NULL, 0) : 0;
}

/* --- limits --- */

/*
 * The kernel has no question for this, but before it looks at the range it looks at the device. One
 * that is no multiple of a sector is never erased. (Before Linux 5.19 it looked at the range
 * first.)
 */
static bool can_secure_erase(const BlockFile *n)
{
    uint64_t no_range[2] = {1, 1};
    unsigned version = 0, sublevel = 0;
    struct utsname u;

    if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &version, &sublevel) != 2 || version < 5 ||
        (version == 5 && sublevel < 19)) {
        return false;
    }
    return ioctl(n->fd, BLKSECDISCARD, no_range) < 0 && errno == EINVAL;
}

void file_device_limits(BlockFile *n, dev_t rdev, BlockLimits *l)
{
    unsigned pb = 0, opt = 0;
    BlockLifetime life;

    if (ioctl(n->fd, BLKPBSZGET, &pb) == 0 && pb <= UINT16_MAX) {
        l->physical_block = pb;
    }
    if (ioctl(n->fd, BLKIOOPT, &opt) == 0) {
        l->opt_io = opt;
    }
    l->discard_alignment = (uint32_t)MIN(number(rdev, "queue/discard_granularity"), UINT32_MAX);
    if (number(rdev, "queue/discard_max_bytes") == 0) {
        l->max_discard = 0;
    }
    l->max_secure_erase = can_secure_erase(n) ? FILE_MAX_RANGE : 0;
    l->lifetime = file_device_lifetime(&n->parent_obj, &life);
}

/* --- lifetime --- */

/* Values that the specifications do not know mean nothing to a guest either (VIRTIO 1.4 §5.2.6.2).
 */
static uint8_t known(uint64_t value, uint8_t most)
{
    return value <= most ? (uint8_t)value : 0;
}

/* eMMC: "0x01 0x02" in one file. UFS: a directory of its host controller. */
bool file_device_lifetime(BlockNode *node, BlockLifetime *ret_lifetime)
{
    enum { PRE_EOL_MOST = 3, TENTHS_MOST = 11 };
    static const char ufs[] = "device/../../../health_descriptor";
    g_autofree char *both = NULL;
    unsigned a = 0, b = 0;
    uint64_t pre_eol;
    struct stat st;

    if (fstat(BLOCK_FILE(node)->fd, &st) < 0 || !S_ISBLK(st.st_mode)) {
        return false;
    }
    both = attribute(st.st_rdev, "device/life_time");
    if (both) {
        sscanf(both, "%x %x", &a, &b);
        pre_eol = number(st.st_rdev, "device/pre_eol_info");
    } else {
        g_autofree char *eol = g_strconcat(ufs, "/eol_info", NULL);
        g_autofree char *typ_a = g_strconcat(ufs, "/life_time_estimation_a", NULL);
        g_autofree char *typ_b = g_strconcat(ufs, "/life_time_estimation_b", NULL);

        pre_eol = number(st.st_rdev, eol);
        a = (unsigned)number(st.st_rdev, typ_a);
        b = (unsigned)number(st.st_rdev, typ_b);
    }
    *ret_lifetime =
        (BlockLifetime){known(pre_eol, PRE_EOL_MOST), known(a, TENTHS_MOST), known(b, TENTHS_MOST)};
    return ret_lifetime->pre_eol || ret_lifetime->typ_a || ret_lifetime->typ_b;
}
