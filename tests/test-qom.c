/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types, classes, instances, the composition tree with its paths, and the error helpers.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "qom/property.h"
#include "tests/suite.h"

/* --- a small family: Animal (abstract) <- Dog <- Puppy; Dog is Loud, Puppy is also Shrill, a Loud
 * --- */

OBJECT_DECLARE_CLASS(Animal, AnimalClass, animal, ANIMAL)
OBJECT_DECLARE(Dog, dog, DOG)
OBJECT_DECLARE(Puppy, puppy, PUPPY)

typedef struct LoudClass {
    ObjectClass parent_class;
    const char *(*sound)(void);
    const char *(*echo)(void);
} LoudClass;

typedef struct ShrillClass {
    LoudClass parent_class;
    const char *(*squeak)(void);
} ShrillClass;

struct AnimalClass {
    ObjectClass parent_class;
    int legs;
    const char *kingdom;
};

struct Animal {
    Object parent;
    int weight;
};

struct Dog {
    Animal parent;
    Object *toy;
    Object *kennel;
};

struct Puppy {
    Dog parent;
    char padding[100];
};

static GString *story; /* what init and finalize functions did, in order */
static int dog_classes;

static void tell(const char *word)
{
    if (story != NULL) {
        g_string_append_printf(story, "%s ", word);
    }
}

static const char *silence(void)
{
    return "silence";
}

static const char *woof(void)
{
    return "woof";
}

static const char *yip(void)
{
    return "yip";
}

static void loud_class_init(ObjectClass *klass, const void *data)
{
    LoudClass *loud = (LoudClass *)klass;

    loud->sound = silence;
    loud->echo = silence;
}

static void shrill_class_init(ObjectClass *klass, const void *data)
{
    ((ShrillClass *)klass)->squeak = silence;
}

static const TypeInfo loud_type = {
    .name = "test-loud",
    .interface = true,
    .class_size = sizeof(LoudClass),
    .class_init = loud_class_init,
};

static const TypeInfo shrill_type = {
    .name = "test-shrill",
    .parent = &loud_type,
    .interface = true,
    .class_size = sizeof(ShrillClass),
    .class_init = shrill_class_init,
};

static void animal_init(Object *obj)
{
    tell("animal+");
    ANIMAL(obj)->weight = 10;
}

static void animal_finalize(Object *obj)
{
    tell("animal-");
}

static void animal_class_init(ObjectClass *klass, const void *data)
{
    ANIMAL_CLASS(klass)->legs = 4;
    ANIMAL_CLASS(klass)->kingdom = data;
}

const TypeInfo animal_type = {
    .name = "test-animal",
    .instance_size = sizeof(Animal),
    .class_size = sizeof(AnimalClass),
    .abstract = true,
    .instance_init = animal_init,
    .instance_finalize = animal_finalize,
    .class_init = animal_class_init,
    .class_data = "animalia",
};

static void dog_init(Object *obj)
{
    tell("dog+");
    ANIMAL(obj)->weight *= 2;
}

static void dog_finalize(Object *obj)
{
    tell("dog-");
}

static void dog_class_init(ObjectClass *klass, const void *data)
{
    LoudClass *loud = object_class_interface(klass, &loud_type);

    dog_classes++;
    loud->sound = woof;
}

static const Property dog_props[] = {
    PROP_LINK("toy", Dog, toy, Object, &object_type, "what it plays with"),
    PROP_LINK("kennel", Dog, kennel, Object, &container_type, "where it sleeps"),
    PROP_END,
};

const TypeInfo dog_type = {
    .name = "test-dog",
    .parent = &animal_type,
    .instance_size = sizeof(Dog),
    .instance_init = dog_init,
    .instance_finalize = dog_finalize,
    .class_init = dog_class_init,
    .props = dog_props,
    .interfaces = (const TypeInfo *const[]){&loud_type, NULL},
};

static void puppy_class_init(ObjectClass *klass, const void *data)
{
    LoudClass *loud = object_class_interface(klass, &loud_type);
    ShrillClass *shrill = object_class_interface(klass, &shrill_type);

    ck_assert_ptr_eq(loud, shrill);
    ck_assert_ptr_eq(loud->sound, woof); /* inherited from the dog, not the interface's default */
    loud->echo = yip;
    shrill->squeak = yip;
    ANIMAL_CLASS(klass)->legs = 3;
}

const TypeInfo puppy_type = {
    .name = "test-puppy",
    .parent = &dog_type,
    .instance_size = sizeof(Puppy),
    .class_init = puppy_class_init,
    .interfaces = (const TypeInfo *const[]){&shrill_type, NULL},
};

static const TypeInfo mongrel_type = {
    .name = "test-mongrel",
    .parent = &dog_type,
};

static const TypeInfo *const all_types[] = {&puppy_type, &mongrel_type, &container_type, NULL};

static void setup(void)
{
    type_register_list(all_types);
    story = g_string_new(NULL);
}

static void teardown(void)
{
    g_string_free(story, TRUE);
    story = NULL;
}

static void assert_error(GError **err, int code, const char *text)
{
    ck_assert_ptr_nonnull(*err);
    ck_assert_str_eq((*err)->message, text);
    ck_assert_uint_eq((*err)->domain, AEROSTAT_ERROR);
    ck_assert_int_eq((*err)->code, code);
    g_clear_error(err);
}

static Object *add(Object *parent, const char *name, const TypeInfo *type)
{
    Object *obj = object_new(type);

    ck_assert(object_add_child(parent, name, obj, NULL));
    return obj;
}

/* --- types and classes --- */

START_TEST(registering_a_type_registers_its_parents_and_interfaces)
{
    ck_assert_ptr_eq(type_find("test-puppy"), &puppy_type);
    ck_assert_ptr_eq(type_find("test-animal"), &animal_type);
    ck_assert_ptr_eq(type_find("test-shrill"), &shrill_type);
    ck_assert_ptr_eq(type_find("test-loud"), &loud_type);
    ck_assert_ptr_eq(type_find("object"), &object_type);
    ck_assert_ptr_null(type_find("test-cat"));
    type_register(&puppy_type); /* again: harmless */
}
END_TEST

START_TEST(a_type_is_its_parents_and_their_interfaces)
{
    ck_assert(type_is_a(&puppy_type, &puppy_type));
    ck_assert(type_is_a(&puppy_type, &animal_type));
    ck_assert(type_is_a(&puppy_type, &object_type));
    ck_assert(type_is_a(&puppy_type, &loud_type));
    ck_assert(type_is_a(&shrill_type, &interface_type));
    ck_assert(!type_is_a(&dog_type, &puppy_type));
    ck_assert(!type_is_a(&dog_type, &shrill_type));
    ck_assert(!type_is_a(&animal_type, &loud_type));
    ck_assert(!type_is_a(&loud_type, &object_type));
}
END_TEST

START_TEST(a_class_is_made_once_after_its_parents_and_starts_as_their_copy)
{
    AnimalClass *dog = ANIMAL_CLASS(type_class(&dog_type));
    AnimalClass *puppy = ANIMAL_CLASS(type_class(&puppy_type));

    ck_assert_ptr_eq(type_class(&dog_type), dog);
    ck_assert_int_eq(dog_classes, 1);
    ck_assert_int_eq(dog->legs, 4);
    ck_assert_int_eq(puppy->legs, 3);
    ck_assert_str_eq(puppy->kingdom, "animalia");
    ck_assert_ptr_eq(puppy->parent_class.parent, dog);
    ck_assert_ptr_eq(puppy->parent_class.type, &puppy_type);
    ck_assert_ptr_null(type_class(&object_type)->parent);
}
END_TEST

START_TEST(a_subclass_overrides_interface_methods_without_touching_its_parent)
{
    LoudClass *dog = object_class_interface(type_class(&dog_type), &loud_type);
    LoudClass *mongrel = object_class_interface(type_class(&mongrel_type), &loud_type);
    LoudClass *puppy = object_class_interface(type_class(&puppy_type), &loud_type);

    ck_assert_ptr_ne(dog, mongrel);
    ck_assert_ptr_ne(dog, puppy);
    ck_assert_str_eq(dog->sound(), "woof");
    ck_assert_str_eq(mongrel->sound(), "woof");
    ck_assert_str_eq(puppy->sound(), "woof");
    ck_assert_str_eq(dog->echo(), "silence");
    ck_assert_str_eq(puppy->echo(), "yip");
    ck_assert_ptr_null(object_class_interface(type_class(&animal_type), &loud_type));
    ck_assert_ptr_null(object_class_interface(type_class(&dog_type), &shrill_type));
}
END_TEST

START_TEST(type_list_is_sorted_and_leaves_out_what_cannot_be_made)
{
    g_autoptr(GPtrArray) concrete = type_list(&animal_type, false);
    g_autoptr(GPtrArray) all = type_list(&animal_type, true);
    g_autoptr(GPtrArray) loud = type_list(&loud_type, false);
    g_autoptr(GPtrArray) any = type_list(NULL, true);

    ck_assert_uint_eq(concrete->len, 3);
    ck_assert_ptr_eq(g_ptr_array_index(concrete, 0), &dog_type);
    ck_assert_ptr_eq(g_ptr_array_index(concrete, 1), &mongrel_type);
    ck_assert_ptr_eq(g_ptr_array_index(concrete, 2), &puppy_type);
    ck_assert_uint_eq(all->len, 4);
    ck_assert_ptr_eq(g_ptr_array_index(all, 0), &animal_type);
    ck_assert_uint_eq(loud->len, 3);
    ck_assert(g_ptr_array_find(any, &loud_type, NULL));
    ck_assert(g_ptr_array_find(any, &object_type, NULL));
}
END_TEST

/* --- instances --- */

START_TEST(init_runs_from_the_root_down_and_finalize_back_up)
{
    Object *obj = object_new(&puppy_type);

    ck_assert_int_eq(ANIMAL(obj)->weight, 20);
    ck_assert_str_eq(object_type_name(obj), "test-puppy");
    object_unref(obj);
    ck_assert_str_eq(story->str, "animal+ dog+ dog- animal- ");
}
END_TEST

START_TEST(an_object_lives_until_its_last_reference_goes)
{
    Object *obj = object_new(&dog_type);

    ck_assert_ptr_eq(object_ref(obj), obj);
    object_unref(obj);
    ck_assert_str_eq(story->str, "animal+ dog+ ");
    object_unref(obj);
    ck_assert_str_eq(story->str, "animal+ dog+ dog- animal- ");
    object_unref(NULL);
}
END_TEST

START_TEST(children_leave_before_their_parent_is_finalized)
{
    Object *root = object_new(&dog_type);
    Object *kept = object_ref(add(root, "kept", &container_type));

    add(root, "pup", &mongrel_type);
    g_string_truncate(story, 0);
    object_unref(root);
    ck_assert_str_eq(story->str, "dog- animal- dog- animal- ");
    ck_assert_ptr_null(kept->parent);
    ck_assert_ptr_null(kept->name);
    object_unref(kept);
}
END_TEST

START_TEST(casts_give_the_object_back_for_its_own_parent_and_interface_types)
{
    g_autoptr(Object) obj = object_new(&puppy_type);

    ck_assert_ptr_eq(DOG(obj), obj);
    ck_assert_ptr_eq(PUPPY(obj), obj);
    ck_assert_ptr_eq(ANIMAL(NULL), NULL);
    ck_assert_ptr_eq(object_cast_checked(obj, &loud_type, __FILE__, __LINE__), obj);
    ck_assert_ptr_eq(ANIMAL_GET_CLASS(obj), obj->klass);
    ck_assert(object_is_a(obj, &dog_type));
    ck_assert(object_is_a(obj, &shrill_type));
    ck_assert(!object_is_a(obj, &mongrel_type));
    ck_assert_ptr_nonnull(object_interface(obj, &shrill_type));
}
END_TEST

static const struct {
    const char *name, *error;
} bad_type_names[] = {
    {"test-pupy", "unknown type 'test-pupy'; did you mean 'test-puppy'?"},
    {"zeppelin", "unknown type 'zeppelin'"},
    {"test-animal", "type 'test-animal' is abstract and has no objects of its own"},
    {"test-loud", "type 'test-loud' is an interface and has no objects of its own"},
    {"", "unknown type ''"},
};

START_TEST(a_name_that_gives_no_object_gets_one_line_that_says_why)
{
    GError *err = NULL;

    ck_assert_ptr_null(object_new_by_name(bad_type_names[_i].name, &err));
    assert_error(&err, AEROSTAT_ERROR_GENERIC, bad_type_names[_i].error);
    ck_assert_ptr_null(object_new_by_name(bad_type_names[_i].name, NULL));
}
END_TEST

START_TEST(an_object_is_made_by_the_name_of_its_type)
{
    g_autoptr(Object) obj = object_new_by_name("test-dog", NULL);

    ck_assert_ptr_eq(obj->klass->type, &dog_type);
}
END_TEST

static gpointer count_class(gpointer start)
{
    while (!g_atomic_int_get((gint *)start)) {
    }
    for (int i = 0; i < 1000; i++) {
        Object *obj = object_new(&mongrel_type);

        object_unref(object_ref(obj));
        object_unref(obj);
    }
    return type_class(&mongrel_type);
}

START_TEST(threads_agree_on_one_class)
{
    GThread *threads[4];
    gint start = 0;

    g_string_free(story, TRUE);
    story = NULL; /* not for several threads */
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("class", count_class, &start);
    }
    g_atomic_int_set(&start, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        ck_assert_ptr_eq(g_thread_join(threads[i]), type_class(&mongrel_type));
    }
    story = g_string_new(NULL);
}
END_TEST

/* --- the tree --- */

START_TEST(a_child_is_found_by_name_and_its_name_is_unique)
{
    g_autoptr(Object) root = object_new(&container_type);
    g_autoptr(Object) second = object_new(&dog_type);
    Object *rex = add(root, "rex", &dog_type);
    GError *err = NULL;

    ck_assert_ptr_eq(object_child(root, "rex"), rex);
    ck_assert_ptr_null(object_child(root, "re"));
    ck_assert_ptr_null(object_child(rex, "rex"));
    ck_assert(!object_add_child(root, "rex", second, &err));
    assert_error(&err, AEROSTAT_ERROR_GENERIC, "duplicate id 'rex'");
    ck_assert(!object_add_child(root, "a/b", second, &err));
    assert_error(&err, AEROSTAT_ERROR_GENERIC, "id 'a/b' must not be empty or contain '/'");
    ck_assert(!object_add_child(root, "", second, &err));
    assert_error(&err, AEROSTAT_ERROR_GENERIC, "id '' must not be empty or contain '/'");
    ck_assert_int_eq(second->ref, 1);
}
END_TEST

START_TEST(unparenting_drops_the_reference_and_frees_the_name)
{
    g_autoptr(Object) root = object_new(&container_type);
    g_autoptr(Object) rex = object_ref(add(root, "rex", &dog_type));
    g_autoptr(Object) again = object_new(&dog_type);

    ck_assert_int_eq(rex->ref, 2);
    object_unparent(rex);
    object_unparent(rex); /* nothing to do */
    ck_assert_int_eq(rex->ref, 1);
    ck_assert(object_add_child(root, "rex", object_ref(again), NULL));
}
END_TEST

START_TEST(a_path_names_an_object_from_its_root_container)
{
    g_autoptr(Object) root = object_new(&container_type);
    g_autoptr(Object) stray = object_new(&dog_type);
    Object *machine = object_container(root, "machine");
    Object *peripheral = object_container(machine, "peripheral");
    Object *rex = add(peripheral, "balloon0", &dog_type);
    g_autofree char *path = object_path(rex);
    g_autofree char *root_path = object_path(root);

    ck_assert_ptr_eq(object_container(root, "machine"), machine);
    ck_assert_str_eq(path, "/machine/peripheral/balloon0");
    ck_assert_str_eq(root_path, "/");
    ck_assert_ptr_null(object_path(stray));
}
END_TEST

/* /kennel/{rex,puppy}  /yard/rex/bone  /yard/ball  /yard/rex.toy -> ball */
static Object *make_yard(void)
{
    Object *root = object_new(&container_type);
    Object *yard, *rex, *ball;

    add(object_container(root, "kennel"), "rex", &dog_type);
    add(object_container(root, "kennel"), "puppy", &puppy_type);
    yard = object_container(root, "yard");
    rex = add(yard, "rex", &dog_type);
    add(rex, "bone", &container_type);
    ball = add(yard, "ball", &container_type);
    add(ball, "whistle", &container_type);
    ck_assert(property_set_link(rex, "toy", ball, NULL));
    return root;
}

static const struct {
    const char *path, *full;
} good_paths[] = {
    {"/", "/"},
    {"/yard/rex/bone", "/yard/rex/bone"},
    {"/yard/rex/toy", "/yard/ball"},
    {"/yard/rex/toy/whistle", "/yard/ball/whistle"},
    {"puppy", "/kennel/puppy"},
    {"bone", "/yard/rex/bone"},
    {"rex/bone", "/yard/rex/bone"},
    {"kennel/rex", "/kennel/rex"},
    {"yard", "/yard"},
};

START_TEST(a_path_resolves_to_its_object)
{
    g_autoptr(Object) root = make_yard();
    Object *obj = object_resolve_path(root, good_paths[_i].path, NULL);
    g_autofree char *full = NULL;

    ck_assert_ptr_nonnull(obj);
    full = object_path(obj);
    ck_assert_str_eq(full, good_paths[_i].full);
}
END_TEST

static const struct {
    const char *path;
    int code;
    const char *error;
} bad_paths[] = {
    {"rex", AEROSTAT_ERROR_GENERIC, "'rex' is ambiguous: it could be /kennel/rex or /yard/rex"},
    {"pupy", AEROSTAT_ERROR_NOT_FOUND, "object 'pupy' not found; did you mean 'puppy'?"},
    {"elephant", AEROSTAT_ERROR_NOT_FOUND, "object 'elephant' not found"},
    {"", AEROSTAT_ERROR_NOT_FOUND, "object '' not found"},
    {"rex/toy", AEROSTAT_ERROR_NOT_FOUND, "object 'rex/toy' not found"},
    {"/rex", AEROSTAT_ERROR_NOT_FOUND, "object '/rex' not found"},
    {"/yrad/rex", AEROSTAT_ERROR_NOT_FOUND, "object '/yrad/rex' not found; did you mean 'yard'?"},
    {"/yard/rex/kennel", AEROSTAT_ERROR_NOT_FOUND, "object '/yard/rex/kennel' not found"},
};

START_TEST(a_path_that_fits_none_or_several_gets_one_line)
{
    g_autoptr(Object) root = make_yard();
    GError *err = NULL;

    ck_assert_ptr_null(object_resolve_path(root, bad_paths[_i].path, &err));
    assert_error(&err, bad_paths[_i].code, bad_paths[_i].error);
    ck_assert_ptr_null(object_resolve_path(root, bad_paths[_i].path, NULL));
}
END_TEST

static bool count_until_bone(Object *obj, void *opaque)
{
    ++*(int *)opaque;
    return obj->name == NULL || strcmp(obj->name, "bone") != 0;
}

static bool count_all(Object *obj, void *opaque)
{
    ++*(int *)opaque;
    return true;
}

START_TEST(foreach_visits_parents_first_until_told_to_stop)
{
    g_autoptr(Object) root = make_yard();
    int visited = 0;

    ck_assert(object_foreach(root, count_all, &visited));
    ck_assert_int_eq(visited, 9);
    visited = 0;
    ck_assert(!object_foreach(root, count_until_bone, &visited));
    ck_assert_int_eq(visited, 7);
}
END_TEST

/* --- errors --- */

START_TEST(an_error_is_one_printable_line)
{
    GError *err = NULL;

    ck_assert(!error_set(&err, "bad id '%s'", "a\nb\xff\x1b"));
    ck_assert_ptr_null(strpbrk(err->message, "\n\x1b\xff"));
    ck_assert(g_str_has_prefix(err->message, "bad id 'a?b"));
    g_clear_error(&err);
    ck_assert(!error_set_errno(&err, ENOENT, "cannot open '%s'", "x"));
    assert_error(&err, AEROSTAT_ERROR_GENERIC, "cannot open 'x': No such file or directory");
    ck_assert(!error_set(NULL, "nobody listens"));
    ck_assert(!error_set_errno(NULL, ENOENT, "nobody listens"));
}
END_TEST

static const char *const candidates[] = {
    "deflate-on-oom", "free-page-reporting", "iothread", "id", "addr", "size", "", NULL};

static const struct {
    const char *word, *nearest;
} near_misses[] = {
    {"deflate-on-om", "deflate-on-oom"},
    {"deflate_on_oom", "deflate-on-oom"},
    {"DEFLATE-ON-OOM", "deflate-on-oom"},
    {"iothraed", "iothread"}, /* a transposition counts once */
    {"adr", "addr"},
    {"siez", "size"},
    {"di", "id"},
    {"x", NULL},
    {"", NULL},
    {"frobnicate", NULL},
    {"a-word-that-is-much-longer-than-any-name-that-anybody-would-type-by-hand", NULL},
};

START_TEST(a_near_miss_is_found_and_a_far_one_is_not)
{
    const char *nearest = error_near_miss(near_misses[_i].word, candidates);

    ck_assert_pstr_eq(nearest, near_misses[_i].nearest);
}
END_TEST

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("qom");
    TCase *tc = make_case(suite, "types");

    tcase_add_test(tc, registering_a_type_registers_its_parents_and_interfaces);
    tcase_add_test(tc, a_type_is_its_parents_and_their_interfaces);
    tcase_add_test(tc, a_class_is_made_once_after_its_parents_and_starts_as_their_copy);
    tcase_add_test(tc, a_subclass_overrides_interface_methods_without_touching_its_parent);
    tcase_add_test(tc, type_list_is_sorted_and_leaves_out_what_cannot_be_made);

    tc = make_case(suite, "instances");
    tcase_add_test(tc, init_runs_from_the_root_down_and_finalize_back_up);
    tcase_add_test(tc, an_object_lives_until_its_last_reference_goes);
    tcase_add_test(tc, children_leave_before_their_parent_is_finalized);
    tcase_add_test(tc, casts_give_the_object_back_for_its_own_parent_and_interface_types);
    tcase_add_loop_test(tc, a_name_that_gives_no_object_gets_one_line_that_says_why, 0,
                        G_N_ELEMENTS(bad_type_names));
    tcase_add_test(tc, an_object_is_made_by_the_name_of_its_type);
    tcase_add_test(tc, threads_agree_on_one_class);

    tc = make_case(suite, "tree");
    tcase_add_test(tc, a_child_is_found_by_name_and_its_name_is_unique);
    tcase_add_test(tc, unparenting_drops_the_reference_and_frees_the_name);
    tcase_add_test(tc, a_path_names_an_object_from_its_root_container);
    tcase_add_loop_test(tc, a_path_resolves_to_its_object, 0, G_N_ELEMENTS(good_paths));
    tcase_add_loop_test(tc, a_path_that_fits_none_or_several_gets_one_line, 0,
                        G_N_ELEMENTS(bad_paths));
    tcase_add_test(tc, foreach_visits_parents_first_until_told_to_stop);

    tc = make_case(suite, "errors");
    tcase_add_test(tc, an_error_is_one_printable_line);
    tcase_add_loop_test(tc, a_near_miss_is_found_and_a_far_one_is_not, 0,
                        G_N_ELEMENTS(near_misses));

    return suite_run(suite);
}
