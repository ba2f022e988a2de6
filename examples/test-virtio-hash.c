/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-hash, played by a driver without guest, through every transport and ring format. */
#include "tests/driver/fake-suite.h"

extern const TypeInfo *const virtio_hash_types[];

static void expect(FakeDriver *d, FakeBuf request, uint32_t hash, uint8_t status)
{
    uint32_t len;
    Gpa at[2];

    fake_driver_add_bufs(d, 0, (const FakeBuf[]){request, IN(5), END}, at);
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, &len) && fake_driver_interrupted(d, 0));
    ck_assert_uint_eq(len, 5);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at[1], 4), hash);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, GPA(at[1].v + 4), 1), status);
}

START_TEST(a_request_is_answered_unless_too_long)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-hash", (unsigned)_i, "max-len=6");

    ck_assert_uint_eq(d->t->config_read(d, 0, 4), 6);
    expect(d, OUT("foobar", 6), 0xbf9cf968, 0);
    expect(d, OUT("foobars", 7), 0, 1);
}
END_TEST

START_TEST(a_request_without_room_breaks_the_device_until_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-hash", (unsigned)_i);

    fake_driver_add(d, 0, OUT("a", 1), IN(4));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_broken(d));
    fake_driver_reset(d);
    fake_driver_up(d);
    expect(d, OUT("a", 1), 0xe40c292c, 0);
}
END_TEST

int main(void)
{
    return fake_suite_main("virtio-hash", virtio_hash_types, a_request_is_answered_unless_too_long,
                           a_request_without_room_breaks_the_device_until_reset);
}
