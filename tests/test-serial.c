/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550A, reached through its ports as a guest would, with a recording stream at the other end.
 */
#include <check.h>
#include <linux/serial_reg.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chardev-impl.h"
#include "hw/char/serial.h"
#include "hw/isa/isa.h"
#include "tests/suite.h"

enum { BASE = 0x3f8, FIFO = 16 };

/* --- a stream whose other end is the test --- */

OBJECT_DECLARE(TestChardev, chardev_test, CHARDEV_TEST)

struct TestChardev {
    Chardev parent_obj;
    char out[256];
    size_t out_len;
    const char *in; /* what was not delivered yet */
};

static void test_write(Chardev *c, const uint8_t *buf, size_t len)
{
    TestChardev *t = CHARDEV_TEST(c);

    ck_assert_uint_lt(t->out_len + len, sizeof t->out);
    memcpy(t->out + t->out_len, buf, len);
    t->out_len += len;
}

static void test_accept_input(Chardev *c)
{
    TestChardev *t = CHARDEV_TEST(c);
    size_t room = chardev_fe_room(c), len = t->in ? MIN(strlen(t->in), room) : 0;
    const char *from = t->in;

    if (len > 0) {
        t->in += len;
        chardev_fe_receive(c, (const uint8_t *)from, len);
    }
}

static void test_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->write = test_write;
    CHARDEV_CLASS(klass)->accept_input = test_accept_input;
}

const TypeInfo chardev_test_type = {
    .name = "chardev-test",
    .parent = &chardev_type,
    .instance_size = sizeof(TestChardev),
    .class_init = test_class_init,
};

/* --- the machine around it --- */

static Platform platform;
static Bus *bus;
static Device *dev;
static TestChardev *stream;
static int irq_level, irq_edges;

static void on_irq(void *opaque, int n, int level)
{
    ck_assert_int_ne(level, irq_level);
    irq_level = level;
    irq_edges += level;
}

static void setup(void)
{
    platform_init(&platform, true, true);
    bus = bus_new(&main_bus_type, NULL, "main", &platform);
    stream = CHARDEV_TEST(chardev_new(&chardev_test_type, platform.loop, "test"));
    dev = DEVICE(object_new(&isa_serial_type));
    irq_level = irq_edges = 0;
    isa_connect_irq(dev, (IrqLine){on_irq, NULL, 4});
    ck_assert(serial_set_chardev(dev, CHARDEV(stream), NULL));
    ck_assert(device_realize(dev, bus, NULL));
}

static void teardown(void)
{
    device_unrealize(dev);
    object_unref(dev);
    object_unref(stream);
    object_unref(bus);
    platform_finish(&platform);
}

static uint8_t in(unsigned reg)
{
    uint64_t v;

    ck_assert(aspace_read(platform.pio, BASE + reg, 1, &v));
    return (uint8_t)v;
}

static void out(unsigned reg, uint8_t value)
{
    ck_assert(aspace_write(platform.pio, BASE + reg, value, 1));
}

static void type_text(const char *text)
{
    stream->in = text;
    chardev_accept_input(CHARDEV(stream));
}

static void use_fifo(uint8_t trigger)
{
    out(UART_FCR, UART_FCR_ENABLE_FIFO | trigger);
}

/* --- sending --- */

START_TEST(a_byte_written_is_out_at_once_and_the_transmitter_is_always_empty)
{
    out(UART_TX, 'h');
    ck_assert_uint_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
    out(UART_TX, 'i');
    ck_assert_uint_eq(stream->out_len, 2);
    ck_assert_mem_eq(stream->out, "hi", 2);
    ck_assert_int_eq(irq_edges, 0);
}
END_TEST

START_TEST(enabling_the_transmit_interrupt_raises_it_every_time)
{
    for (int i = 1; i <= 3; i++) {
        out(UART_IER, UART_IER_THRI);
        ck_assert_int_eq(irq_level, 1);
        ck_assert_uint_eq(in(UART_IIR), UART_IIR_THRI);
        ck_assert_int_eq(irq_level, 0);
        ck_assert_uint_eq(in(UART_IIR), UART_IIR_NO_INT);
        out(UART_IER, 0);
        ck_assert_int_eq(irq_edges, i);
    }
}
END_TEST

START_TEST(a_burst_of_bytes_is_one_interrupt)
{
    use_fifo(0);
    out(UART_IER, UART_IER_THRI);
    ck_assert_uint_eq(in(UART_IIR), UART_IIR_THRI | 0xc0);
    for (int i = 0; i < FIFO; i++) {
        out(UART_TX, 'x');
    }
    ck_assert_int_eq(irq_edges, 2);
    ck_assert_uint_eq(in(UART_IIR)&0x0f, UART_IIR_THRI);
    ck_assert_int_eq(irq_level, 0);
    ck_assert_uint_eq(stream->out_len, FIFO);
}
END_TEST

/* --- receiving --- */

START_TEST(received_bytes_are_read_in_order_and_no_more_is_taken_than_fits)
{
    const char *text = "the quick brown fox jumps over the lazy dog";

    use_fifo(0);
    type_text(text);
    ck_assert_str_eq(stream->in, text + FIFO);
    for (const char *p = text; *p; p++) {
        ck_assert(in(UART_LSR)&UART_LSR_DR);
        ck_assert_uint_eq(in(UART_RX), (uint8_t)*p);
    }
    ck_assert_uint_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
    ck_assert_uint_eq(in(UART_RX), 0);
}
END_TEST

START_TEST(without_fifos_there_is_room_for_one_byte)
{
    out(UART_IER, UART_IER_RDI);
    type_text("ab");
    ck_assert_str_eq(stream->in, "b");
    ck_assert_uint_eq(in(UART_IIR), UART_IIR_RDI);
    ck_assert_uint_eq(in(UART_RX), 'a');
    ck_assert_uint_eq(in(UART_RX), 'b');
    ck_assert_int_eq(irq_level, 0);
    ck_assert_int_eq(irq_edges, 2);
}
END_TEST

START_TEST(the_trigger_level_tells_data_from_a_timeout)
{
    static const struct {
        uint8_t fcr;
        unsigned level;
    } triggers[] = {{UART_FCR_R_TRIG_00, 1},
                    {UART_FCR_R_TRIG_01, 4},
                    {UART_FCR_R_TRIG_10, 8},
                    {UART_FCR_R_TRIG_11, 14}};

    for (unsigned i = 0; i < G_N_ELEMENTS(triggers); i++) {
        use_fifo(triggers[i].fcr | UART_FCR_CLEAR_RCVR);
        out(UART_IER, UART_IER_RDI);
        type_text(&"0123456789abcdef"[FIFO - triggers[i].level]);
        ck_assert_uint_eq(in(UART_IIR), 0xc0 | UART_IIR_RDI);
        in(UART_RX);
        ck_assert_uint_eq(in(UART_IIR),
                          0xc0 | (triggers[i].level > 1 ? UART_IIR_RX_TIMEOUT : UART_IIR_NO_INT));
        while (in(UART_LSR)&UART_LSR_DR) {
            in(UART_RX);
        }
        ck_assert_int_eq(irq_level, 0);
    }
}
END_TEST

START_TEST(a_break_is_a_line_status_interrupt_above_all_others)
{
    use_fifo(0);
    out(UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_THRI);
    chardev_fe_event(CHARDEV(stream), CHARDEV_BREAK);
    ck_assert_uint_eq(in(UART_IIR), 0xc0 | UART_IIR_RLSI);
    ck_assert_uint_eq(in(UART_LSR) & (UART_LSR_BI | UART_LSR_DR), UART_LSR_BI | UART_LSR_DR);
    ck_assert_uint_eq(in(UART_LSR)&UART_LSR_BI, 0);
    ck_assert_uint_eq(in(UART_IIR), 0xc0 | UART_IIR_RDI);
    ck_assert_uint_eq(in(UART_RX), 0);
    ck_assert_uint_eq(in(UART_IIR), 0xc0 | UART_IIR_THRI);
    ck_assert_int_eq(irq_level, 0);
}
END_TEST

/* PC16550D: reading LSR clears bit 7 only when no later byte is in error. */
START_TEST(an_error_anywhere_in_the_fifo_shows_in_bit_7_until_it_was_seen)
{
    use_fifo(0);
    type_text("ab");
    ck_assert_uint_eq(in(UART_LSR)&UART_LSR_FIFOE, 0);
    chardev_fe_event(CHARDEV(stream), CHARDEV_BREAK);
    type_text("c");
    for (const char *p = "ab"; *p; p++) {
        ck_assert_uint_eq(in(UART_LSR) & (UART_LSR_FIFOE | UART_LSR_BI), UART_LSR_FIFOE);
        ck_assert_uint_eq(in(UART_RX), (uint8_t)*p);
    }
    ck_assert_uint_eq(in(UART_LSR) & (UART_LSR_FIFOE | UART_LSR_BI), UART_LSR_FIFOE | UART_LSR_BI);
    ck_assert_uint_eq(in(UART_LSR) & (UART_LSR_FIFOE | UART_LSR_BI), 0);
    ck_assert_uint_eq(in(UART_RX), 0);
    ck_assert_uint_eq(in(UART_RX), 'c');
}
END_TEST

START_TEST(bit_7_is_0_without_fifos)
{
    chardev_fe_event(CHARDEV(stream), CHARDEV_BREAK);
    ck_assert_uint_eq(in(UART_LSR) & (UART_LSR_FIFOE | UART_LSR_BI), UART_LSR_BI);
}
END_TEST

START_TEST(clearing_the_receive_fifo_drops_what_is_in_it_and_takes_more)
{
    use_fifo(0);
    type_text("0123456789abcdefXY");
    use_fifo(UART_FCR_CLEAR_RCVR);
    ck_assert_uint_eq(in(UART_RX), 'X');
    ck_assert_uint_eq(in(UART_RX), 'Y');
}
END_TEST

/* --- modem lines, loopback --- */

START_TEST(loopback_turns_bytes_and_lines_around)
{
    use_fifo(0);
    in(UART_MSR);
    type_text("");
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
    ck_assert_uint_eq(in(UART_MSR)&0xf0, UART_MSR_CTS | UART_MSR_DCD);
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_OUT1);
    ck_assert_uint_eq(in(UART_MSR),
                      UART_MSR_DSR | UART_MSR_RI | UART_MSR_DDSR | UART_MSR_DCTS | UART_MSR_DDCD);
    out(UART_MCR, UART_MCR_LOOP);
    ck_assert_uint_eq(in(UART_MSR), UART_MSR_DDSR | UART_MSR_TERI);
    type_text("outside");
    out(UART_TX, 'L');
    ck_assert_uint_eq(stream->out_len, 0);
    ck_assert_uint_eq(in(UART_RX), 'L');
    ck_assert(!(in(UART_LSR)&UART_LSR_DR));
    out(UART_MCR, 0);
    ck_assert_uint_eq(in(UART_RX), 'o');
}
END_TEST

START_TEST(loopback_overruns_its_fifo_and_says_so_once)
{
    use_fifo(0);
    out(UART_MCR, UART_MCR_LOOP);
    for (int i = 0; i < 1000; i++) {
        out(UART_TX, (uint8_t)i);
    }
    ck_assert(in(UART_LSR)&UART_LSR_OE);
    ck_assert(!(in(UART_LSR)&UART_LSR_OE));
    for (int i = 0; i < FIFO; i++) {
        ck_assert_uint_eq(in(UART_RX), (uint8_t)i);
    }
    ck_assert(!(in(UART_LSR)&UART_LSR_DR));
}
END_TEST

START_TEST(a_change_of_the_modem_lines_interrupts_until_it_is_read)
{
    out(UART_IER, UART_IER_MSI);
    out(UART_MCR, UART_MCR_LOOP);
    ck_assert_int_eq(irq_level, 1);
    ck_assert_uint_eq(in(UART_IIR), UART_IIR_MSI);
    in(UART_MSR);
    ck_assert_int_eq(irq_level, 0);
}
END_TEST

/* --- registers --- */

/* What Linux' 8250 driver does to find out what the port is, in its order. */
START_TEST(a_driver_detects_a_16550a)
{
    out(UART_IER, 0);
    ck_assert_uint_eq(in(UART_IER), 0);
    out(UART_IER, 0xff);
    ck_assert_uint_eq(in(UART_IER), 0x0f);
    out(UART_IER, 0);
    out(UART_MCR, UART_MCR_LOOP | 0x0a);
    ck_assert_uint_eq(in(UART_MSR)&0xf0, 0x90);
    out(UART_MCR, 0);
    out(UART_LCR, 0xbf);
    out(UART_FCR, 0);
    out(UART_LCR, 0);
    out(UART_FCR, UART_FCR_ENABLE_FIFO);
    ck_assert_uint_eq(in(UART_IIR) >> 6, 3);
    out(UART_LCR, UART_LCR_DLAB);
    ck_assert_uint_ne(in(UART_EFR), 0);
    out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
    ck_assert_uint_eq(in(UART_IIR) >> 5, 6); /* not a 16750 */
    out(UART_LCR, 0);
    out(UART_FCR, 0);
    ck_assert_uint_eq(in(UART_IIR) >> 6, 0);
    out(UART_SCR, 0x5a);
    ck_assert_uint_eq(in(UART_SCR), 0x5a);
}
END_TEST

START_TEST(the_divisor_hides_behind_dlab)
{
    out(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
    out(UART_DLL, 0x34);
    out(UART_DLM, 0x12);
    ck_assert_uint_eq(in(UART_DLL), 0x34);
    ck_assert_uint_eq(in(UART_DLM), 0x12);
    out(UART_LCR, UART_LCR_WLEN8);
    ck_assert_uint_eq(in(UART_IER), 0);
    ck_assert_uint_eq(in(UART_LCR), UART_LCR_WLEN8);
    ck_assert_uint_eq(stream->out_len, 0);
}
END_TEST

START_TEST(reset_puts_registers_fifo_and_wire_back)
{
    use_fifo(0);
    type_text("abc");
    out(UART_IER, 0x0f);
    out(UART_LCR, UART_LCR_DLAB);
    ck_assert_int_eq(irq_level, 1);
    device_reset(dev);
    ck_assert_int_eq(irq_level, 0);
    ck_assert_uint_eq(in(UART_IER), 0);
    ck_assert_uint_eq(in(UART_IIR), UART_IIR_NO_INT);
    ck_assert_uint_eq(in(UART_LCR), 0);
    ck_assert_uint_eq(in(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}
END_TEST

START_TEST(any_access_of_any_size_is_harmless)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    type_text("food for the reads");
    for (int i = 0; i < 20000; i++) {
        uint64_t v, addr = BASE + (uint64_t)g_rand_int_range(rand, -4, 8);
        unsigned size = 1u << g_rand_int_range(rand, 0, 4);

        stream->out_len = 0;
        if (g_rand_boolean(rand)) {
            aspace_write(platform.pio, addr, g_rand_int(rand), size);
        } else {
            aspace_read(platform.pio, addr, size, &v);
        }
        if (i % 64 == 0) {
            type_text("more");
            chardev_fe_event(CHARDEV(stream), CHARDEV_BREAK);
        }
    }
}
END_TEST

START_TEST(a_port_without_a_stream_and_one_at_a_bad_address)
{
    Device *d = DEVICE(object_new(&isa_serial_type));
    g_autoptr(GError) err = NULL;
    uint64_t v;

    ck_assert(property_set_uint(&d->parent_obj, "iobase", 0x2f8, NULL));
    ck_assert(device_realize(d, bus, NULL));
    ck_assert(aspace_write(platform.pio, 0x2f8, 'x', 1));
    ck_assert(aspace_read(platform.pio, 0x2f8, 1, &v));
    device_unrealize(d);
    ck_assert(!aspace_read(platform.pio, 0x2f8, 1, &v));
    object_unref(d);

    d = DEVICE(object_new(&isa_serial_type));
    ck_assert(!property_set_uint(&d->parent_obj, "iobase", 0xfff9, &err));
    object_unref(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serial");
    TCase *tc = tcase_create("16550A");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, a_byte_written_is_out_at_once_and_the_transmitter_is_always_empty);
    tcase_add_test(tc, enabling_the_transmit_interrupt_raises_it_every_time);
    tcase_add_test(tc, a_burst_of_bytes_is_one_interrupt);
    tcase_add_test(tc, received_bytes_are_read_in_order_and_no_more_is_taken_than_fits);
    tcase_add_test(tc, without_fifos_there_is_room_for_one_byte);
    tcase_add_test(tc, the_trigger_level_tells_data_from_a_timeout);
    tcase_add_test(tc, a_break_is_a_line_status_interrupt_above_all_others);
    tcase_add_test(tc, an_error_anywhere_in_the_fifo_shows_in_bit_7_until_it_was_seen);
    tcase_add_test(tc, bit_7_is_0_without_fifos);
    tcase_add_test(tc, clearing_the_receive_fifo_drops_what_is_in_it_and_takes_more);
    tcase_add_test(tc, loopback_turns_bytes_and_lines_around);
    tcase_add_test(tc, loopback_overruns_its_fifo_and_says_so_once);
    tcase_add_test(tc, a_change_of_the_modem_lines_interrupts_until_it_is_read);
    tcase_add_test(tc, a_driver_detects_a_16550a);
    tcase_add_test(tc, the_divisor_hides_behind_dlab);
    tcase_add_test(tc, reset_puts_registers_fifo_and_wire_back);
    tcase_add_test(tc, any_access_of_any_size_is_harmless);
    tcase_add_test(tc, a_port_without_a_stream_and_one_at_a_bad_address);
    return suite_run(suite);
}
