/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 16550A UART with FIFOs (National Semiconductor PC16550D data sheet), at ISA ports. It has no baud
 * rate: what the guest sends is gone at once, so the transmitter is always empty, and received
 * bytes below the trigger level raise the character timeout without a delay. The transmit break and
 * DMA modes are left out.
 */
#include <linux/serial_reg.h>

#include "core/boot-trace.h"
#include "core/log.h"
#include "hw/char/serial.h"
#include "hw/isa/isa.h"

enum {
    SERIAL_PORTS = 8,
    FIFO_SIZE = 16,
    IER_BITS = UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI,
    FCR_BITS = UART_FCR_ENABLE_FIFO | UART_FCR_DMA_SELECT | UART_FCR_TRIGGER_MASK,
    MCR_BITS = 0x1f,
    MSR_LINES = 0xf0,
    LSR_RX_ERRORS = UART_LSR_PE | UART_LSR_FE | UART_LSR_BI,
};

OBJECT_DECLARE(SerialState, isa_serial, ISA_SERIAL)

struct SerialState {
    IsaDevice parent_obj;
    uint32_t iobase, irq;
    Chardev *chardev;
    IoRegion io;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t msr; /* lines and their deltas */
    uint16_t divisor;
    bool overrun;
    bool thre_pending; /* "transmitter empty" has not been seen through IIR yet */
    struct {
        uint8_t data, lsr; /* the byte, and what was wrong with it */
    } fifo[FIFO_SIZE];     /* a ring; without FIFO mode only one entry is used */
    unsigned head, count;
};

/* --- interrupts --- */

static unsigned serial_capacity(const SerialState *s)
{
    return s->fcr & UART_FCR_ENABLE_FIFO ? FIFO_SIZE : 1;
}

static unsigned serial_trigger(const SerialState *s)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return s->fcr & UART_FCR_ENABLE_FIFO ? levels[s->fcr >> 6] : 1;
}

/* PC16550D, LSR bit 7: some byte in the FIFO is not good; always 0 without FIFOs. */
static bool serial_fifo_error(const SerialState *s)
{
    if (s->fcr & UART_FCR_ENABLE_FIFO) {
        for (unsigned i = 0; i < s->count; i++) {
            if (s->fifo[(s->head + i) % FIFO_SIZE].lsr) {
                return true;
            }
        }
    }
    return false;
}

static uint8_t serial_lsr(const SerialState *s)
{
    uint8_t lsr = UART_LSR_THRE | UART_LSR_TEMT;

    if (s->count > 0) {
        lsr |= UART_LSR_DR | s->fifo[s->head].lsr;
    }
    if (serial_fifo_error(s)) {
        lsr |= UART_LSR_FIFOE;
    }
    return lsr | (s->overrun ? UART_LSR_OE : 0);
}

/* PC16550D table 4: the highest-priority source that is enabled and active. */
static uint8_t serial_source(const SerialState *s)
{
    if ((s->ier & UART_IER_RLSI) && (serial_lsr(s) & (LSR_RX_ERRORS | UART_LSR_OE))) {
        return UART_IIR_RLSI;
    }
    if ((s->ier & UART_IER_RDI) && s->count > 0) {
        return s->count >= serial_trigger(s) ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
    }
    if ((s->ier & UART_IER_THRI) && s->thre_pending) {
        return UART_IIR_THRI;
    }
    if ((s->ier & UART_IER_MSI) && (s->msr & UART_MSR_ANY_DELTA)) {
        return UART_IIR_MSI;
    }
    return UART_IIR_NO_INT;
}

static void serial_update_irq(SerialState *s)
{
    isa_irq_set(ISA_DEVICE(s), serial_source(s) != UART_IIR_NO_INT);
}

/* --- receiving --- */

static void serial_push(SerialState *s, uint8_t byte, uint8_t lsr)
{
    unsigned capacity = serial_capacity(s), at;

    if (s->count >= capacity) {
        s->overrun = true;
        if (capacity > 1) {
            return; /* with FIFOs the new byte is lost, without the old one */
        }
        s->count = 0;
    }
    at = (s->head + s->count++) % FIFO_SIZE;
    s->fifo[at].data = byte;
    s->fifo[at].lsr = lsr;
}

static void serial_clear_rx(SerialState *s)
{
    s->head = s->count = 0;
}

static size_t serial_can_receive(void *opaque)
{
    SerialState *s = opaque;

    return s->mcr & UART_MCR_LOOP ? 0 : serial_capacity(s) - s->count;
}

static void serial_receive(void *opaque, const uint8_t *buf, size_t len)
{
    SerialState *s = opaque;

    for (size_t i = 0; i < len; i++) {
        serial_push(s, buf[i], 0);
    }
    serial_update_irq(s);
}

static void serial_event(void *opaque, ChardevEvent event)
{
    SerialState *s = opaque;

    if (event == CHARDEV_BREAK && !(s->mcr & UART_MCR_LOOP)) {
        serial_push(s, 0, UART_LSR_BI);
        serial_update_irq(s);
    }
}

static uint8_t serial_read_rbr(SerialState *s)
{
    uint8_t byte;

    if (s->count == 0) {
        return 0;
    }
    byte = s->fifo[s->head].data;
    s->head = (s->head + 1) % FIFO_SIZE;
    s->count--;
    serial_update_irq(s);
    if (s->chardev) {
        chardev_accept_input(s->chardev);
    }
    return byte;
}

/* --- sending --- */

static void serial_write_thr(SerialState *s, uint8_t byte)
{
    TRACE(serial_write, "0x%x: 0x%02x", s->iobase, byte);
    if (boot_trace_on()) {
        boot_trace_console(BOOT_CONSOLE_SERIAL, &byte, 1);
    }
    if (s->mcr & UART_MCR_LOOP) {
        serial_push(s, byte, 0);
    } else if (s->chardev) {
        chardev_write(s->chardev, &byte, 1);
    }
    /* The byte is out already. The wire does not dip in between: an interrupt that is pending stays
     * so. */
    s->thre_pending = true;
    serial_update_irq(s);
}

/* --- modem lines --- */

/* Sets the four lines, noting what changed; RI counts when it ends. */
static void serial_set_lines(SerialState *s, uint8_t lines)
{
    uint8_t changed = (s->msr ^ lines) & MSR_LINES;
    uint8_t delta = changed >> 4 & (UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_DDCD);

    if ((changed & UART_MSR_RI) && !(lines & UART_MSR_RI)) {
        delta |= UART_MSR_TERI;
    }
    s->msr = (lines & MSR_LINES) | (s->msr & UART_MSR_ANY_DELTA) | delta;
}

static void serial_write_mcr(SerialState *s, uint8_t value)
{
    uint8_t lines = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
    bool was_loop = s->mcr & UART_MCR_LOOP;

    s->mcr = value & MCR_BITS;
    if (s->mcr & UART_MCR_LOOP) {
        lines = (s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
                (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
                (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
                (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
    }
    serial_set_lines(s, lines);
    serial_update_irq(s);
    if (was_loop && !(s->mcr & UART_MCR_LOOP) && s->chardev) {
        chardev_accept_input(s->chardev);
    }
}

/* --- registers --- */

static void serial_write_ier(SerialState *s, uint8_t value)
{
    /* Enabling the transmit interrupt while the transmitter is empty raises it: drivers start
     * sending that way. */
    if ((value & UART_IER_THRI) && !(s->ier & UART_IER_THRI)) {
        s->thre_pending = true;
    }
    s->ier = value & IER_BITS;
    serial_update_irq(s);
}

static void serial_write_fcr(SerialState *s, uint8_t value)
{
    bool toggled = (value ^ s->fcr) & UART_FCR_ENABLE_FIFO;

    if (toggled || (value & UART_FCR_CLEAR_RCVR)) {
        serial_clear_rx(s);
    }
    /* The other bits are taken only together with the enable bit. */
    s->fcr = value & UART_FCR_ENABLE_FIFO ? value & FCR_BITS : 0;
    serial_update_irq(s);
    if (s->chardev) {
        chardev_accept_input(s->chardev);
    }
}

static uint8_t serial_read_iir(SerialState *s)
{
    uint8_t iir = serial_source(s);

    if (iir == UART_IIR_THRI) {
        s->thre_pending = false;
        serial_update_irq(s);
    }
    return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static uint8_t serial_read_lsr(SerialState *s)
{
    uint8_t lsr = serial_lsr(s);

    if (lsr & (LSR_RX_ERRORS | UART_LSR_OE)) {
        s->overrun = false;
        s->fifo[s->head].lsr = 0;
        serial_update_irq(s);
    }
    return lsr;
}

static uint8_t serial_read_msr(SerialState *s)
{
    uint8_t msr = s->msr;

    if (msr & UART_MSR_ANY_DELTA) {
        s->msr &= MSR_LINES;
        serial_update_irq(s);
    }
    return msr;
}

static uint64_t serial_read(void *opaque, uint64_t off, unsigned size)
{
    SerialState *s = opaque;
    bool dlab = s->lcr & UART_LCR_DLAB;

    switch (off) {
    case UART_RX:
        return dlab ? s->divisor & 0xff : serial_read_rbr(s);
    case UART_IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case UART_IIR:
        return serial_read_iir(s);
    case UART_LCR:
        return s->lcr;
    case UART_MCR:
        return s->mcr;
    case UART_LSR:
        return serial_read_lsr(s);
    case UART_MSR:
        return serial_read_msr(s);
    default:
        return s->scr;
    }
}

static void serial_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    SerialState *s = opaque;
    bool dlab = s->lcr & UART_LCR_DLAB;
    uint8_t v = (uint8_t)value;

    switch (off) {
    case UART_TX:
        if (dlab) {
            s->divisor = (s->divisor & 0xff00) | v;
        } else {
            serial_write_thr(s, v);
        }
        break;
    case UART_IER:
        if (dlab) {
            s->divisor = (uint16_t)(v << 8) | (s->divisor & 0xff);
        } else {
            serial_write_ier(s, v);
        }
        break;
    case UART_FCR:
        serial_write_fcr(s, v);
        break;
    case UART_LCR:
        s->lcr = v;
        break;
    case UART_MCR:
        serial_write_mcr(s, v);
        break;
    case UART_SCR:
        s->scr = v;
        break;
    default: /* LSR and MSR are read only */
        break;
    }
}

static const IoRegionOps serial_ops = {
    .read = serial_read,
    .write = serial_write,
    .min_size = 1,
    .max_size = 1,
};

/* --- life --- */

bool serial_set_chardev(Device *dev, Chardev *c, GError **err)
{
    return property_set_link(&dev->parent_obj, "chardev", (Object *)c, err);
}

static void serial_reset(Device *dev)
{
    SerialState *s = ISA_SERIAL(dev);

    s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
    s->msr = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
    s->divisor = 12; /* 9600 baud */
    s->overrun = s->thre_pending = false;
    serial_clear_rx(s);
    serial_update_irq(s);
    if (s->chardev) {
        chardev_accept_input(s->chardev);
    }
}

static bool serial_realize(Device *dev, GError **err)
{
    SerialState *s = ISA_SERIAL(dev);
    ChardevFrontend fe = {serial_can_receive, serial_receive, serial_event, s};

    if (!isa_map_pio(ISA_DEVICE(s), &s->io, "serial", &serial_ops, s->iobase, SERIAL_PORTS, err)) {
        return false;
    }
    serial_reset(dev);
    if (s->chardev) {
        chardev_set_frontend(s->chardev, &fe);
    }
    return true;
}

static void serial_unrealize(Device *dev)
{
    SerialState *s = ISA_SERIAL(dev);

    if (s->chardev) {
        chardev_set_frontend(s->chardev, NULL);
    }
    isa_irq_set(ISA_DEVICE(s), false);
    io_region_finish(&s->io);
}

static const Property serial_props[] = {
    PROP_UINT32("iobase", SerialState, iobase, 0x3f8, 0, 0xfff8, "first of its 8 ports"),
    PROP_UINT32("irq", SerialState, irq, 4, 0, 15, "interrupt input it is wired to"),
    PROP_LINK("chardev", SerialState, chardev, Chardev, &chardev_type,
              "stream at the other end of the cable"),
    PROP_END,
};

static void serial_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = serial_realize;
    dc->unrealize = serial_unrealize;
    dc->reset = serial_reset;
    dc->category = "input";
}

const TypeInfo isa_serial_type = {
    .name = "isa-serial",
    .parent = &isa_device_type,
    .instance_size = sizeof(SerialState),
    .class_init = serial_class_init,
    .props = serial_props,
    .desc = "16550A serial port",
};
