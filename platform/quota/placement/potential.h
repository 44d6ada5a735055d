/* What a room's fragmentation is measured by, compiled: the same numbers as potential.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE 1000
#define RATE_BITS 20
#define MEBI_BITS 20

/* Of one distribution of kinds: what `Potential.packed` gives, and what follows from it. */
typedef struct {
    int64_t *packed;
    Py_ssize_t sizes, kinds, cpu_steps, memory_steps;
    int64_t total;
    const int64_t *size, *cpus, *memory, *through; /* `through`: by step of CPUs, step of memory and size */
    const int64_t *size_of, *per_cpu, *cpus_free, *per_mebi, *memory_free, *unused; /* by kind */
    int32_t *on_device; /* by what is free on a device: how many of each size, then what each leaves out */
    int32_t *sums;      /* two by size, while a room is measured */
    int64_t *usable;    /* by size */
} Potential;

static Py_ssize_t steps_up_to(const int64_t *steps, Py_ssize_t count, int64_t value)
{
    Py_ssize_t low = 0, high = count;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (steps[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The fragmentation of one room: `potential.Potential.of`. */
static int64_t measure(const Potential *p, const int64_t *room, Py_ssize_t width)
{
    Py_ssize_t sizes = p->sizes;
    int32_t *sums = p->sums;
    int64_t *usable = p->usable, total = 0, stranded = 0, unused = 0;
    memset(sums, 0, 2 * sizes * sizeof(int32_t));
    for (Py_ssize_t d = 2; d < width; d++) {
        if (!room[d])
            continue;
        const int32_t *row = p->on_device + room[d] * 2 * sizes;
        total += room[d];
        for (Py_ssize_t s = 0; s < 2 * sizes; s++)
            sums[s] += row[s];
    }
    Py_ssize_t cpus = steps_up_to(p->cpus, p->cpu_steps, room[0]);
    Py_ssize_t memory = steps_up_to(p->memory, p->memory_steps, room[1]);
    const int64_t *through = p->through + (cpus * (p->memory_steps + 1) + memory) * sizes;
    for (Py_ssize_t s = 0; s < sizes; s++) {
        int64_t copies = p->size[s] < 2 * WHOLE ? sums[s] : sums[s] / (p->size[s] / WHOLE);
        usable[s] = copies * p->size[s];
        if (copies)
            stranded += (total - sums[sizes + s]) * through[s];
    }
    int64_t mebis = room[1] >> MEBI_BITS;
    for (Py_ssize_t k = 0; k < p->kinds; k++) {
        int64_t least = usable[p->size_of[k]];
        int64_t by_cpu = (p->per_cpu[k] * room[0] >> RATE_BITS) + p->cpus_free[k];
        int64_t by_memory = (p->per_mebi[k] * mebis >> RATE_BITS) + p->memory_free[k];
        least = by_cpu < least ? by_cpu : least;
        least = by_memory < least ? by_memory : least;
        unused += p->unused[k] * least;
    }
    return total * p->total - stranded - unused;
}

/* Where each table stands in what was packed; 0 where the lengths do not add up. */
static int find_tables(Potential *p, Py_ssize_t count)
{
    const int64_t *at = p->packed + 5, *end = p->packed + count;
    if (count < 5)
        return 0;
    p->sizes = p->packed[0], p->kinds = p->packed[1], p->cpu_steps = p->packed[2], p->memory_steps = p->packed[3];
    p->total = p->packed[4];
    if (p->sizes < 0 || p->kinds < 0 || p->cpu_steps < 0 || p->memory_steps < 0)
        return 0;
    Py_ssize_t through = (p->cpu_steps + 1) * (p->memory_steps + 1) * p->sizes;
    if (p->sizes + p->cpu_steps + p->memory_steps + through + 6 * p->kinds != end - at)
        return 0;
    const int64_t **tables[] = {&p->size, &p->cpus, &p->memory, &p->through, &p->size_of,
                                &p->per_cpu, &p->cpus_free, &p->per_mebi, &p->memory_free, &p->unused};
    const Py_ssize_t lengths[] = {p->sizes, p->cpu_steps, p->memory_steps, through, p->kinds,
                                  p->kinds, p->kinds, p->kinds, p->kinds, p->kinds};
    for (int table = 0; table < 10; table++) {
        *tables[table] = at;
        at += lengths[table];
    }
    for (Py_ssize_t s = 0; s < p->sizes; s++)
        if (p->size[s] < 1)
            return 0;
    for (Py_ssize_t k = 0; k < p->kinds; k++)
        if (p->size_of[k] < 0 || p->size_of[k] >= p->sizes)
            return 0;
    return 1;
}

static int look_up_devices(Potential *p)
{
    Py_ssize_t sizes = p->sizes;
    p->on_device = malloc((WHOLE + 1) * (2 * sizes + 1) * sizeof(int32_t));
    p->sums = malloc((2 * sizes + 1) * sizeof(int32_t));
    p->usable = malloc((sizes + 1) * sizeof(int64_t));
    if (!p->on_device || !p->sums || !p->usable)
        return 0;
    for (int32_t free = 0; free <= WHOLE; free++)
        for (Py_ssize_t s = 0; s < sizes; s++) {
            int32_t each = p->size[s] < WHOLE ? (int32_t)p->size[s] : WHOLE;
            p->on_device[free * 2 * sizes + s] = free / each;
            p->on_device[free * 2 * sizes + sizes + s] = free < each ? free : 0;
        }
    return 1;
}

static int read_potential(Potential *p, PyObject *packed)
{
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(packed, &bytes, &size) < 0)
        return 0;
    p->packed = malloc(size + 1);
    if (!p->packed) {
        PyErr_NoMemory();
        return 0;
    }
    memcpy(p->packed, bytes, size);
    if (!find_tables(p, size / (Py_ssize_t)sizeof(int64_t))) {
        PyErr_SetString(PyExc_ValueError, "the tables of a potential do not fit together");
        return 0;
    }
    if (!look_up_devices(p)) {
        PyErr_NoMemory();
        return 0;
    }
    return 1;
}

static void drop_potential(Potential *p)
{
    free(p->packed);
    free(p->on_device);
    free(p->sums);
    free(p->usable);
}
