/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list that names all types: a new device model adds its line here.
 */
#include "vmm/cli/types.h"

#include "backends/block.h"
#include "backends/block-throttle.h"
#include "backends/chardev.h"
#include "backends/hostmem.h"
#include "backends/iothread.h"
#include "backends/net.h"
#include "backends/rng.h"
#include "backends/user-creatable.h"
#include "hw/core/device.h"
#include "hw/core/memory-balloon.h"
#include "hw/core/net-card.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-host.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "vmm/accel/accel.h"
#include "vmm/machine/machine.h"

extern const TypeInfo isa_serial_type, acpi_ged_type, mc146818rtc_type, i8042_type,
    isa_debug_exit_type, fw_cfg_type, acpi_pcihp_type, pcie_root_port_type;

static const TypeInfo *const all_types[] = {
    /* buses and base classes */
    &container_type,
    &main_bus_type,
    &pci_bus_type,
    &pci_bridge_type,
    &virtio_bus_type,
    &virtio_mmio_bus_type,
    &hotplug_handler_type,
    &memory_balloon_type,
    &net_card_type,
    &user_creatable_type,
    /* character streams */
    &chardev_null_type,
    &chardev_file_type,
    &chardev_stdio_type,
    &chardev_socket_type,
    &chardev_mux_type,
    &chardev_pipe_type,
    &chardev_pty_type,
    &chardev_ringbuf_type,
    &iothread_type,
    /* memory */
    &memory_backend_ram_type,
    &memory_backend_memfd_type,
    &memory_backend_file_type,
    /* filters of networks */
    &filter_dump_type,
    &filter_throttle_type,
    /* sources of randomness */
    &rng_builtin_type,
    &rng_random_type,
    &throttle_group_type,
    /* board devices */
    &pci_host_type,
    &isa_serial_type,
    &acpi_ged_type,
    &mc146818rtc_type,
    &i8042_type,
    &isa_debug_exit_type,
    &fw_cfg_type,
    &acpi_pcihp_type,
    &pcie_root_port_type,
    &virtio_mmio_type,
    /* virtio devices; their PCI proxies are made from the table in virtio-pci.c */
    &virtio_blk_type,
    &virtio_net_type,
    &virtio_balloon_type,
    &balloon_policy_type,
    &virtio_rng_type,
    &virtio_serial_type,
    &virtserialport_type,
    &virtconsole_type,
    NULL,
};

void types_register_all(void)
{
    type_register_list(all_types);
    type_register_list(block_types);
    type_register_list(net_types);
    type_register_list(virtio_pci_types);
    type_register_list(accel_types);
    type_register_list(machine_types);
}
