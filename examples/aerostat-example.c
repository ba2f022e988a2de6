/* SPDX-License-Identifier: BSD-2-Clause */
/* Aerostat with one more device. */
#include "vmm/cli/main.h"

extern const TypeInfo *const virtio_hash_types[];

int main(int argc, char **argv)
{
    return aerostat_main(argc, argv, virtio_hash_types);
}
