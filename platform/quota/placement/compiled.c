/* The lines of a board, compiled: the same numbers as lines.py, one room after the other instead of many at once.

Rooms are rows of 64-bit integers: free CPUs (-1: out of service), free memory, the free thousandths of each device.
Each line knows how far in the log of changed rooms it has come; a room that changed several times since is looked at
once, at its last entry. */

#include "potential.h"

#define FULL ((int64_t)1 << 62)
#define LOG_MAX 16384

typedef struct {
    int64_t cpus, memory, milli, ranks; /* CPUs and memory of the whole gang, GPU of a rank */
    uint8_t *allowed;
    int64_t *added;  /* to the fragmentation of each room, FULL where it does not fit */
    int32_t *device; /* the one to share, or -1 */
    int64_t seen;    /* how far it has come in the log */
} Line;

typedef struct {
    PyObject_HEAD
    Py_buffer rooms_view;
    int64_t *rooms;
    Py_ssize_t count, width, potentials_count, lines_count;
    Potential *potentials;
    Line *lines;
    int64_t *potential_of; /* by room, as all down to `last` */
    int64_t *amount;       /* its fragmentation, where measured */
    uint8_t *measured;
    int64_t *last; /* its latest entry of the log */
    int64_t *log;
    int64_t dropped, logged; /* entries forgotten, entries ever */
    int64_t *after;          /* a room as it would be left */
} Lines;

static int64_t amount_of(Lines *self, Py_ssize_t slot)
{
    if (!self->measured[slot]) {
        const Potential *p = self->potentials + self->potential_of[slot];
        self->amount[slot] = measure(p, self->rooms + slot * self->width, self->width);
        self->measured[slot] = 1;
    }
    return self->amount[slot];
}

/* Takes the ranks' shares off the devices, the fullest first, of those as full the first. Whether all found room. */
static int take_shares(int64_t *devices, Py_ssize_t count, int64_t milli, int64_t ranks)
{
    int64_t held = 0;
    for (Py_ssize_t d = 0; d < count; d++)
        held += devices[d] / milli;
    if (held < ranks)
        return 0;
    int64_t before = -1; /* what the devices taken last had */
    while (ranks) {
        int64_t next = WHOLE + 1;
        for (Py_ssize_t d = 0; d < count; d++)
            if (devices[d] > before && devices[d] >= milli && devices[d] < next)
                next = devices[d];
        for (Py_ssize_t d = 0; d < count && ranks; d++)
            if (devices[d] == next) {
                int64_t taken = next / milli < ranks ? next / milli : ranks;
                devices[d] = -1 - (next - taken * milli); /* looked at */
                ranks -= taken;
            }
        before = next;
    }
    for (Py_ssize_t d = 0; d < count; d++)
        if (devices[d] < 0)
            devices[d] = -1 - devices[d];
    return 1;
}

static int take_whole(int64_t *devices, Py_ssize_t count, int64_t milli, int64_t ranks)
{
    int64_t empty = 0, each = milli / WHOLE;
    for (Py_ssize_t d = 0; d < count; d++)
        empty += devices[d] >= WHOLE;
    if (empty / each < ranks)
        return 0;
    int64_t wanted = each * ranks;
    for (Py_ssize_t d = 0; d < count && wanted; d++)
        if (devices[d] >= WHOLE) {
            devices[d] -= WHOLE;
            wanted--;
        }
    return 1;
}

/* One rank's share: the device where it adds least, of those with as much left only the first. */
static void look_for_share(Lines *self, Line *line, Py_ssize_t slot, int64_t *after)
{
    const Potential *p = self->potentials + self->potential_of[slot];
    for (Py_ssize_t d = 2; d < self->width; d++) {
        int64_t free = after[d];
        if (free < line->milli)
            continue;
        Py_ssize_t earlier = 2;
        while (after[earlier] != free)
            earlier++;
        if (earlier < d)
            continue;
        after[d] = free - line->milli;
        int64_t added = measure(p, after, self->width) - amount_of(self, slot);
        after[d] = free;
        if (added < line->added[slot]) {
            line->added[slot] = added;
            line->device[slot] = (int32_t)(d - 2);
        }
    }
}

static void look_at(Lines *self, Line *line, Py_ssize_t slot)
{
    const int64_t *room = self->rooms + slot * self->width;
    line->added[slot] = FULL;
    if (!line->allowed[slot] || room[0] < line->cpus || room[1] < line->memory)
        return;
    int64_t *after = self->after;
    memcpy(after, room, self->width * sizeof(int64_t));
    after[0] -= line->cpus;
    after[1] -= line->memory;
    if (line->milli && line->milli < WHOLE && line->ranks == 1) {
        look_for_share(self, line, slot, after);
        return;
    }
    if (line->milli >= WHOLE && !take_whole(after + 2, self->width - 2, line->milli, line->ranks))
        return;
    if (line->milli && line->milli < WHOLE && !take_shares(after + 2, self->width - 2, line->milli, line->ranks))
        return;
    int64_t then = measure(self->potentials + self->potential_of[slot], after, self->width);
    line->added[slot] = then - amount_of(self, slot);
    line->device[slot] = -1;
}

static void follow(Lines *self, Line *line)
{
    if (line->seen < self->dropped) {
        for (Py_ssize_t slot = 0; slot < self->count; slot++)
            look_at(self, line, slot);
    } else {
        for (int64_t entry = line->seen; entry < self->logged; entry++) {
            int64_t slot = self->log[entry - self->dropped];
            if (self->last[slot] == entry)
                look_at(self, line, slot);
        }
    }
    line->seen = self->logged;
}

static Py_ssize_t least_of(const int64_t *added, Py_ssize_t count)
{
    int64_t least = FULL;
    Py_ssize_t at = -1;
    for (Py_ssize_t slot = 0; slot < count; slot++)
        if (added[slot] < least) {
            least = added[slot];
            at = slot;
        }
    return at;
}

static Line *line_of(Lines *self, PyObject *number)
{
    Py_ssize_t at = PyLong_AsSsize_t(number);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (at < 0 || at >= self->lines_count || !self->lines[at].added) {
        PyErr_Format(PyExc_IndexError, "line %zd was not opened", at);
        return NULL;
    }
    return self->lines + at;
}

static PyObject *lines_best(PyObject *object, PyObject *number)
{
    Lines *self = (Lines *)object;
    Line *line = line_of(self, number);
    if (!line)
        return NULL;
    follow(self, line);
    Py_ssize_t slot = least_of(line->added, self->count);
    if (slot < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(ni)", slot, (int)line->device[slot]);
}

static void forget_some(Lines *self)
{
    int64_t forgotten = LOG_MAX / 2, kept = self->logged - self->dropped - forgotten;
    memmove(self->log, self->log + forgotten, kept * sizeof(int64_t));
    self->dropped += forgotten;
}

static PyObject *lines_write(PyObject *object, PyObject *const *given, Py_ssize_t count)
{
    Lines *self = (Lines *)object;
    if (count != 4 || !PyList_Check(given[3])) {
        PyErr_SetString(PyExc_TypeError, "write takes a slot, CPUs, memory and a list of devices");
        return NULL;
    }
    Py_ssize_t slot = PyLong_AsSsize_t(given[0]);
    int64_t cpus = PyLong_AsLongLong(given[1]), memory = PyLong_AsLongLong(given[2]);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t devices = PyList_GET_SIZE(given[3]);
    if (slot < 0 || slot >= self->count || devices > self->width - 2) {
        PyErr_SetString(PyExc_IndexError, "no such room, or more devices than a room has");
        return NULL;
    }
    int64_t *room = self->rooms + slot * self->width;
    for (Py_ssize_t d = 0; d < self->width - 2; d++) {
        int64_t free = d < devices ? PyLong_AsLongLong(PyList_GET_ITEM(given[3], d)) : 0;
        if (free < 0 || free > WHOLE) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "a device has 0 to %d thousandths free", WHOLE);
            return NULL;
        }
        room[d + 2] = free;
    }
    room[0] = cpus;
    room[1] = memory;
    self->measured[slot] = 0;
    if (self->logged - self->dropped == LOG_MAX)
        forget_some(self);
    self->log[self->logged - self->dropped] = slot;
    self->last[slot] = self->logged++;
    Py_RETURN_NONE;
}

static int more_lines(Lines *self, Py_ssize_t count)
{
    Line *lines = realloc(self->lines, count * sizeof(Line));
    if (!lines)
        return 0;
    memset(lines + self->lines_count, 0, (count - self->lines_count) * sizeof(Line));
    self->lines = lines;
    self->lines_count = count;
    return 1;
}

static void drop_line(Line *line)
{
    free(line->allowed);
    free(line->added);
    free(line->device);
    memset(line, 0, sizeof(Line));
}

static int make_line(Line *line, Py_ssize_t rooms)
{
    line->allowed = malloc(rooms + 1);
    line->added = malloc((rooms + 1) * sizeof(int64_t));
    line->device = malloc((rooms + 1) * sizeof(int32_t));
    if (line->allowed && line->added && line->device)
        return 1;
    drop_line(line);
    return 0;
}

static PyObject *lines_open(PyObject *object, PyObject *given)
{
    Lines *self = (Lines *)object;
    Py_ssize_t number, rooms;
    const char *allowed;
    long long cpus, memory, milli, ranks;
    if (!PyArg_ParseTuple(given, "nLLLLy#", &number, &cpus, &memory, &milli, &ranks, &allowed, &rooms))
        return NULL;
    if (rooms != self->count || number < 0 || cpus < 0 || memory < 0 || milli < 0 || ranks < 1) {
        PyErr_SetString(PyExc_ValueError, "a line has a number, amounts from 0 on, ranks, and a byte for each room");
        return NULL;
    }
    if (number >= self->lines_count && !more_lines(self, number + 16))
        return PyErr_NoMemory();
    Line *line = self->lines + number;
    if (!line->added && !make_line(line, rooms))
        return PyErr_NoMemory();
    memcpy(line->allowed, allowed, rooms);
    line->cpus = cpus, line->memory = memory, line->milli = milli, line->ranks = ranks;
    line->seen = -1;
    Py_RETURN_NONE;
}

static int read_potentials(Lines *self, PyObject *given)
{
    Py_ssize_t count = PyList_GET_SIZE(given);
    self->potentials = calloc(count + 1, sizeof(Potential));
    if (!self->potentials) {
        PyErr_NoMemory();
        return 0;
    }
    self->potentials_count = count;
    for (Py_ssize_t at = 0; at < count; at++)
        if (!read_potential(self->potentials + at, PyList_GET_ITEM(given, at)))
            return 0;
    return 1;
}

static int make_rooms(Lines *self, const char *potential_of, Py_ssize_t size)
{
    Py_ssize_t rooms = self->count + 1;
    if (size != self->count * (Py_ssize_t)sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "each room has one potential");
        return 0;
    }
    self->potential_of = malloc(rooms * sizeof(int64_t));
    self->amount = malloc(rooms * sizeof(int64_t));
    self->measured = calloc(rooms, 1);
    self->last = malloc(rooms * sizeof(int64_t));
    self->log = malloc(LOG_MAX * sizeof(int64_t));
    self->after = malloc(self->width * sizeof(int64_t));
    if (!self->potential_of || !self->amount || !self->measured || !self->last || !self->log || !self->after) {
        PyErr_NoMemory();
        return 0;
    }
    memcpy(self->potential_of, potential_of, size);
    for (Py_ssize_t slot = 0; slot < self->count; slot++)
        if (self->potential_of[slot] < 0 || self->potential_of[slot] >= self->potentials_count) {
            PyErr_SetString(PyExc_IndexError, "a room names a potential that is not there");
            return 0;
        }
    return 1;
}

static int read_rooms(Lines *self, PyObject *rooms)
{
    if (PyObject_GetBuffer(rooms, &self->rooms_view, PyBUF_WRITABLE | PyBUF_ND | PyBUF_C_CONTIGUOUS) < 0)
        return 0;
    Py_buffer *view = &self->rooms_view;
    if (view->ndim != 2 || view->itemsize != sizeof(int64_t) || view->shape[1] < 2) {
        PyErr_SetString(PyExc_ValueError, "rooms are rows of 64-bit integers: CPUs, memory, devices");
        return 0;
    }
    self->rooms = view->buf, self->count = view->shape[0], self->width = view->shape[1];
    return 1;
}

static PyObject *lines_new(PyTypeObject *type, PyObject *given, PyObject *named)
{
    PyObject *rooms, *potentials;
    const char *potential_of;
    Py_ssize_t size;
    (void)named;
    if (!PyArg_ParseTuple(given, "Oy#O!", &rooms, &potential_of, &size, &PyList_Type, &potentials))
        return NULL;
    Lines *self = (Lines *)type->tp_alloc(type, 0); /* zeroed, so that what was not made is not freed */
    if (!self)
        return NULL;
    if (!read_rooms(self, rooms) || !read_potentials(self, potentials) || !make_rooms(self, potential_of, size)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void lines_dealloc(PyObject *object)
{
    Lines *self = (Lines *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (Py_ssize_t number = 0; number < self->lines_count; number++)
        drop_line(self->lines + number);
    for (Py_ssize_t at = 0; at < self->potentials_count; at++)
        drop_potential(self->potentials + at);
    void *mine[] = {self->lines, self->potentials, self->potential_of, self->amount, self->measured,
                    self->last, self->log, self->after};
    for (size_t at = 0; at < sizeof(mine) / sizeof(*mine); at++)
        free(mine[at]);
    PyBuffer_Release(&self->rooms_view);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"write", (PyCFunction)(void (*)(void))lines_write, METH_FASTCALL, "Takes down what a room has now."},
    {"open", lines_open, METH_VARARGS, "A new line at this number."},
    {"best", lines_best, METH_O, "The room where the line adds least, and the device to share; None where none fits."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, lines_new}, {Py_tp_dealloc, lines_dealloc}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {"headwater.quota.placement.compiled.Lines", sizeof(Lines), 0, Py_TPFLAGS_DEFAULT, slots};

static int add_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int failed = !type || PyModule_AddObjectRef(module, "Lines", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, add_type}, {0, NULL}};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "compiled", .m_slots = module_slots};

PyMODINIT_FUNC PyInit_compiled(void)
{
    return PyModuleDef_Init(&module);
}
