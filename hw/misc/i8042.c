/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is left of the PC's keyboard controller (Intel 8042): its two ways to reset the machine, and
 * system control port A (0x92) with a third. There is no keyboard.
 *
 * The status always says that a byte waits and that commands are taken: a driver that looks for a
 * keyboard drains the buffer for a moment and gives up (Linux: "No controller found"), and one that
 * waits to send the reset command need not. The A20 gate is always open.
 */
#include "core/log.h"
#include "hw/isa/isa.h"

enum {
    I8042_DATA = 0x60,
    I8042_COMMAND = 0x64,
    PORT_A = 0x92,

    STATUS_OUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_UNLOCKED = 0x10,

    CMD_SELF_TEST = 0xaa,
    SELF_TEST_PASSED = 0x55,
    CMD_WRITE_OUT_PORT = 0xd1,
    OUT_PORT_NOT_RESET = 0x01,
    CMD_PULSE = 0xf0, /* to 0xff: the low four bits name the lines that are not pulsed */
    CMD_PULSE_NOT_RESET = 0x01,

    PORT_A_RESET = 0x01,
    PORT_A_A20 = 0x02,
};

OBJECT_DECLARE(I8042State, i8042, I8042)

struct I8042State {
    IsaDevice parent_obj;
    IoRegion data_io, command_io, port_a_io;
    uint8_t out;     /* what the data port reads */
    uint8_t command; /* the one that waits for its data byte, or 0 */
    uint8_t port_a;
};

static void i8042_reset_machine(I8042State *s)
{
    TRACE(i8042_reset_machine, "guest asks for a reset");
    platform_reset_request(device_platform(DEVICE(s)), SHUTDOWN_CAUSE_GUEST_RESET);
}

static uint64_t i8042_read_data(void *opaque, uint64_t off, unsigned size)
{
    return ((I8042State *)opaque)->out;
}

static void i8042_write_data(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    I8042State *s = opaque;

    if (s->command == CMD_WRITE_OUT_PORT && !(value & OUT_PORT_NOT_RESET)) {
        i8042_reset_machine(s);
    }
    s->command = 0;
}

static uint64_t i8042_read_status(void *opaque, uint64_t off, unsigned size)
{
    return STATUS_OUT_FULL | STATUS_SYSTEM | STATUS_UNLOCKED;
}

static void i8042_write_command(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    I8042State *s = opaque;

    s->command = (uint8_t)value;
    s->out = value == CMD_SELF_TEST ? SELF_TEST_PASSED : 0;
    if (value >= CMD_PULSE && !(value & CMD_PULSE_NOT_RESET)) {
        i8042_reset_machine(s);
    }
}

static uint64_t port_a_read(void *opaque, uint64_t off, unsigned size)
{
    return ((I8042State *)opaque)->port_a;
}

static void port_a_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    I8042State *s = opaque;
    bool rises = value & ~s->port_a & PORT_A_RESET;

    s->port_a = (uint8_t)(value & PORT_A_RESET) | PORT_A_A20;
    if (rises) {
        i8042_reset_machine(s);
    }
}

static const IoRegionOps data_ops = {i8042_read_data, i8042_write_data, 1, 1};
static const IoRegionOps command_ops = {i8042_read_status, i8042_write_command, 1, 1};
static const IoRegionOps port_a_ops = {port_a_read, port_a_write, 1, 1};

static void i8042_reset(Device *dev)
{
    I8042State *s = I8042(dev);

    s->out = s->command = 0;
    s->port_a = PORT_A_A20;
}

static bool i8042_realize(Device *dev, GError **err)
{
    I8042State *s = I8042(dev);
    IsaDevice *isa = ISA_DEVICE(dev);

    i8042_reset(dev);
    return isa_map_pio(isa, &s->data_io, "i8042-data", &data_ops, I8042_DATA, 1, err) &&
           isa_map_pio(isa, &s->command_io, "i8042-cmd", &command_ops, I8042_COMMAND, 1, err) &&
           isa_map_pio(isa, &s->port_a_io, "port92", &port_a_ops, PORT_A, 1, err);
}

static void i8042_unrealize(Device *dev)
{
    I8042State *s = I8042(dev);

    io_region_finish(&s->data_io);
    io_region_finish(&s->command_io);
    io_region_finish(&s->port_a_io);
}

static void i8042_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = i8042_realize;
    dc->unrealize = i8042_unrealize;
    dc->reset = i8042_reset;
    dc->category = "misc";
}

const TypeInfo i8042_type = {
    .name = "i8042",
    .parent = &isa_device_type,
    .instance_size = sizeof(I8042State),
    .class_init = i8042_class_init,
    .desc = "keyboard controller's reset ports, without a keyboard",
};
