/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for NVIDIA's management library, for tests: libnvidia-ml.so.1 without a driver.
 *
 * All that it says comes from the state file named by FAKE_NVML_STATE, which nvml.py writes with the
 * layout of the structures below. Energy and power follow in closed form from the board's waveform at the
 * time now: CLOCK_MONOTONIC since an epoch (live) or a virtual time that stands in the file. Return codes,
 * structures and the two-call habit for lists are those of nvml.h (driver 535 and later).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OK, UNINITIALIZED, INVALID, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10,
       LIBRARY_NOT_FOUND = 12, LOST = 15, UNKNOWN = 999 };
enum { MAX_BOARDS = 16, MAX_PARTS = 16, MAX_PROCESSES = 16, MAX_MIG = 7, MAX_CALLERS = 512,
       MAX_LIMITS = 64 };

/* ---- layout of the state file; nvml.py packs the same fields in the same order ---- */
typedef struct { double kind, shift_s, a, b, c, d; } part_t;
typedef struct { double from_s, to_s; uint64_t memory_bytes; uint32_t pid, sm_percent, graphics, mig; } process_t;
typedef struct { uint32_t pid, inits; uint64_t calls; } caller_t;
typedef struct {
    char magic[8];
    uint32_t header_bytes, board_bytes, boards, live;
    int64_t epoch_ns, virtual_ns;
    int32_t init_code;
    uint32_t init_us, cuda_version, reserved;
    char driver[80];
    caller_t callers[MAX_CALLERS];
} header_t;
typedef struct {
    char name[96], uuid[96], bus_id[32], mig_uuid[MAX_MIG][96];
    part_t parts[MAX_PARTS];
    process_t processes[MAX_PROCESSES];
    double start_j, gain, idle_w, peak_w;
    double counter_update_s, counter_phase_s, frozen_at_s, frozen_until_s, jump_at_s, jump_until_s, jump_j;
    double power_update_s, power_phase_s, power_window_s, instant_window_s;
    double lost_at_s, lost_until_s, reload_at_s, hang_at_s, hang_until_s;
    uint64_t memory_bytes, throttle_bits, limit_sets;
    uint32_t n_parts, n_processes, minor, pci_bus;
    int32_t energy_code, power_code, instant_code, processes_code, lost_code, stale_code, limit_code;
    uint32_t call_us, mig_mode, n_mig, temperature_c, sm_clock_mhz, memory_clock_mhz;
    uint32_t limit_mw, default_limit_mw, least_limit_mw, most_limit_mw;
    uint32_t architecture, capability_major, capability_minor, reserved;
    double natural_w;                        /* draw without a limit; 0: the limit changes nothing */
    int32_t limit_fails_after, limit_fail_code, limit_fails_late, range_code, clock_code;
    uint32_t n_limits, locked_clock_mhz, least_clock_mhz, most_clock_mhz, unused;
    uint64_t clock_sets;
    double limit_at_s[MAX_LIMITS], limit_ratio[MAX_LIMITS]; /* how the draw was scaled from when on */
} board_t;

static header_t *state;                      /* the mapped file, or NULL */
static int references, owner_pid;            /* of nvmlInit, per process: a fork starts again */
static int generation[MAX_BOARDS];           /* driver reloads that had happened at nvmlInit */
static volatile int era;                     /* raised by a reset, so that a hanging call ends */

/* ---- time and waveform ---- */
static double now_s(const header_t *h) {
    if (!h->live) return (double)__atomic_load_n(&h->virtual_ns, __ATOMIC_ACQUIRE) / 1e9;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - h->epoch_ns) / 1e9;
}

static void sleep_us(uint32_t us) {
    struct timespec ts = {us / 1000000, (long)(us % 1000000) * 1000};
    nanosleep(&ts, NULL);
}

static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* Energy of one part from 0 to t. Kinds: 0 constant (a), 1 pulses (period a, on b, low c, high d),
 * 2 ramp (from a to b, low c, high d). */
static double part_j(const part_t *p, double t) {
    t -= p->shift_s;
    if (p->kind == 0) return p->a * t;
    if (p->kind == 1) {
        double n = floor(t / p->a);
        return p->c * t + (p->d - p->c) * (n * p->b + clamp(t - n * p->a, 0, p->b));
    }
    double in = clamp(t, p->a, p->b) - p->a, after = t > p->b ? t - p->b : 0, length = p->b - p->a;
    return p->c * t + (p->d - p->c) * ((length > 0 ? in * in / (2 * length) : 0) + after);
}

static double part_w(const part_t *p, double t) {
    t -= p->shift_s;
    if (p->kind == 0) return p->a;
    if (p->kind == 1) return t - floor(t / p->a) * p->a < p->b ? p->d : p->c;
    if (t < p->a) return p->c;
    return t >= p->b ? p->d : p->c + (p->d - p->c) * (t - p->a) / (p->b - p->a);
}

static double free_j(const board_t *b, double from, double to) {
    double sum = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) sum += part_j(&b->parts[i], to) - part_j(&b->parts[i], from);
    return sum;
}

/* What was drawn: piece by piece between the limits that were set. */
static double energy_j(const board_t *b, double from, double to) {
    uint32_t n = __atomic_load_n(&b->n_limits, __ATOMIC_ACQUIRE);
    double sum = 0;
    if (b->natural_w <= 0 || n == 0) return free_j(b, from, to);
    for (uint32_t i = 0; i < n; i++) {
        double begin = fmax(from, b->limit_at_s[i]), end = i + 1 < n ? fmin(to, b->limit_at_s[i + 1]) : to;
        if (end > begin) sum += b->limit_ratio[i] * free_j(b, begin, end);
    }
    return sum;
}

static double ratio_at(const board_t *b, double t) {
    uint32_t n = __atomic_load_n(&b->n_limits, __ATOMIC_ACQUIRE);
    double ratio = 1;
    for (uint32_t i = 0; b->natural_w > 0 && i < n && b->limit_at_s[i] <= t; i++) ratio = b->limit_ratio[i];
    return ratio;
}

static double refreshed_s(double t, double period_s, double phase_s) {
    /* one part in 1e9 of slack: a time exactly on the grid must not fall to the step before */
    return period_s > 0 ? floor((t - phase_s) / period_s + 1e-9) * period_s + phase_s : t;
}

static double window_w(const board_t *b, double t, double window_s) {
    double u = refreshed_s(t, b->power_update_s, b->power_phase_s), sum = 0;
    if (window_s > 0) return energy_j(b, u - window_s, u) / window_s * b->gain;
    for (uint32_t i = 0; i < b->n_parts; i++) sum += part_w(&b->parts[i], u);
    return sum * ratio_at(b, u) * b->gain;
}

static uint64_t counter_mj(const board_t *b, double t) {
    int reloaded = t >= b->reload_at_s;
    if (t >= b->frozen_at_s && t < b->frozen_until_s) t = b->frozen_at_s;
    double u = refreshed_s(t, b->counter_update_s, b->counter_phase_s);
    double from = reloaded ? b->reload_at_s : 0;
    double total = (reloaded ? 0 : b->start_j) + (u > from ? energy_j(b, from, u) : 0) * b->gain;
    if (t >= b->jump_at_s && t < b->jump_until_s) total += b->jump_j;
    return total > 0 ? (uint64_t)floor(total * 1e3 + 1e-6) : 0;
}

static uint32_t busy_percent(const board_t *b, double t) {
    double span = b->peak_w - b->idle_w, w = window_w(b, t, b->power_update_s) / b->gain;
    return span > 0 ? (uint32_t)(clamp((w - b->idle_w) / span, 0, 1) * 100 + 0.5) : 0;
}

/* ---- the library itself ---- */
static void count(int inits) {
    uint32_t pid = (uint32_t)getpid();
    for (int i = 0; i < MAX_CALLERS; i++) {
        caller_t *c = &state->callers[i];
        uint32_t nobody = 0;
        if (c->pid == pid || __atomic_compare_exchange_n(&c->pid, &nobody, pid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
            || nobody == pid) {
            if (inits) __atomic_add_fetch(&c->inits, 1, __ATOMIC_SEQ_CST);
            else __atomic_add_fetch(&c->calls, 1, __ATOMIC_SEQ_CST);
            return;
        }
    }
}

static int ready(void) { return state != NULL && references > 0 && owner_pid == getpid(); }

/* Forget everything, so that the next nvmlInit maps the state file named then. */
void submeter_fake_reset(void) {
    references = 0;
    era++;
    state = NULL; /* the old mapping is left: a call of another thread may still look at it */
}

static int map_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    if (!path || !*path) return LIBRARY_NOT_FOUND;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return LIBRARY_NOT_FOUND;
    if (fstat(fd, &st) || st.st_size < (off_t)sizeof(header_t)) { close(fd); return UNKNOWN; }
    header_t *h = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (h == MAP_FAILED) return UNKNOWN;
    if (memcmp(h->magic, "SMFNVML1", 8) || h->header_bytes != sizeof(header_t) || h->board_bytes != sizeof(board_t)
        || h->boards > MAX_BOARDS || (size_t)st.st_size < sizeof(header_t) + h->boards * sizeof(board_t)) {
        munmap(h, (size_t)st.st_size);
        return UNKNOWN;
    }
    state = h;
    return OK;
}

static board_t *board_at(uint32_t i) { return (board_t *)(state + 1) + i; }

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (owner_pid != getpid()) { references = 0; owner_pid = getpid(); }
    if (references == 0) {
        state = NULL;
        int code = map_state();
        if (code) return code;
        count(1);
        if (state->init_us) sleep_us(state->init_us);
        if (state->init_code) return state->init_code;
        for (uint32_t i = 0; i < state->boards; i++) generation[i] = now_s(state) >= board_at(i)->reload_at_s;
    } else {
        count(1);
    }
    references++;
    return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
    if (!ready()) return UNINITIALIZED;
    count(0);
    references--;
    return OK;
}

const char *nvmlErrorString(int code) {
    static const char *const words[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires restart",
        "The operating system has blocked the request", "RM has detected an NVML/RM version mismatch",
        "In use by another client", "Insufficient Memory", "No data"};
    return code >= 0 && code < (int)(sizeof words / sizeof *words) ? words[code] : "Unknown Error";
}

/* A handle holds board, generation and MIG instance: 1 | board << 4 | generation << 12 | (mig + 1) << 16. */
typedef struct { board_t *b; double t; int mig; uint32_t index; } target_t;

static void *handle_of(uint32_t index, int mig) {
    return (void *)(uintptr_t)(1u | index << 4 | (uint32_t)generation[index] << 12 | (uint32_t)(mig + 1) << 16);
}

/* Count the call, be slow, hang or fail as the script says, else fill in *x. */
static int enter(void *handle, target_t *x) {
    if (!ready()) return UNINITIALIZED;
    count(0);
    uintptr_t h = (uintptr_t)handle;
    x->index = (uint32_t)(h >> 4 & 0xff);
    x->mig = (int)(h >> 16 & 0xff) - 1;
    if ((h & 0xf) != 1 || x->index >= state->boards) return INVALID;
    x->b = board_at(x->index);
    if (x->b->call_us) sleep_us(x->b->call_us);
    header_t *mine = state;
    for (int born = era; era == born && state == mine; sleep_us(1000)) {
        x->t = now_s(mine);
        if (x->t < x->b->hang_at_s || x->t >= x->b->hang_until_s) {
            if (x->t >= x->b->lost_at_s && x->t < x->b->lost_until_s) return x->b->lost_code;
            return (int)(h >> 12 & 1) != (x->t >= x->b->reload_at_s) ? x->b->stale_code : OK;
        }
    }
    return TIMEOUT;
}

#define CALLED if (!ready()) return UNINITIALIZED; count(0)
#define ENTER target_t x; int code = enter(handle, &x); if (code) return code
#define PHYSICAL if (x.mig >= 0) return NOT_SUPPORTED
#define ANSWER(NAME, TYPE, EXPRESSION) \
    int NAME(void *handle, TYPE *out) { ENTER; if (!out) return INVALID; *out = (TYPE)(EXPRESSION); return OK; }
#define ANSWER_PHYSICAL(NAME, TYPE, REFUSAL, EXPRESSION) \
    int NAME(void *handle, TYPE *out) { ENTER; PHYSICAL; if (!out) return INVALID; \
        int refusal = (REFUSAL); if (refusal) { return refusal; } *out = (TYPE)(EXPRESSION); return OK; }

static int write_text(char *out, unsigned length, const char *text) {
    if (!out) return INVALID;
    if (length < strlen(text) + 1) return TOO_SMALL;
    strcpy(out, text);
    return OK;
}

int nvmlSystemGetDriverVersion(char *out, unsigned length) {
    CALLED;
    return write_text(out, length, state->driver);
}
int nvmlSystemGetNVMLVersion(char *out, unsigned length) {
    char text[96];
    CALLED;
    snprintf(text, sizeof text, "12.%.79s", state->driver);
    return write_text(out, length, text);
}
int nvmlSystemGetCudaDriverVersion(int *out) {
    CALLED;
    *out = (int)state->cuda_version;
    return OK;
}
int nvmlSystemGetCudaDriverVersion_v2(int *out) { return nvmlSystemGetCudaDriverVersion(out); }

int nvmlDeviceGetCount_v2(unsigned *out) {
    CALLED;
    *out = state->boards;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    if (!ready()) return UNINITIALIZED;
    if (index >= state->boards) return INVALID;
    *out = handle_of(index, -1);
    return enter(*out, &(target_t){0}) == LOST ? LOST : OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **out) {
    CALLED;
    for (uint32_t i = 0; uuid && i < state->boards; i++) {
        board_t *b = board_at(i);
        for (int m = -1; m < (b->mig_mode ? (int)b->n_mig : 0); m++)
            if (!strcmp(m < 0 ? b->uuid : b->mig_uuid[m], uuid)) return *out = handle_of(i, m), OK;
    }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **out) {
    CALLED;
    for (uint32_t i = 0; bus_id && i < state->boards; i++)
        if (!strcasecmp(board_at(i)->bus_id, bus_id)) { *out = handle_of(i, -1); return OK; }
    return NOT_FOUND;
}

int nvmlDeviceGetName(void *handle, char *out, unsigned length) {
    char text[160];
    ENTER;
    snprintf(text, sizeof text, x.mig < 0 ? "%s" : "%s MIG 1g", x.b->name);
    return write_text(out, length, text);
}
int nvmlDeviceGetUUID(void *handle, char *out, unsigned length) {
    ENTER;
    return write_text(out, length, x.mig < 0 ? x.b->uuid : x.b->mig_uuid[x.mig]);
}
typedef struct { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; } pci_t;
int nvmlDeviceGetPciInfo_v3(void *handle, pci_t *out) {
    ENTER;
    memset(out, 0, sizeof *out);
    out->bus = x.b->pci_bus;
    out->device_id = 0x233510de;
    snprintf(out->legacy, sizeof out->legacy, "0000:%02X:00.0", x.b->pci_bus & 0xff);
    strcpy(out->bus_id, x.b->bus_id);
    return OK;
}
ANSWER(nvmlDeviceGetIndex, unsigned, x.mig < 0 ? x.index : (uint32_t)x.mig)
ANSWER(nvmlDeviceGetArchitecture, unsigned, x.b->architecture)
ANSWER(nvmlDeviceGetPerformanceState, unsigned, busy_percent(x.b, x.t) ? 0 : 8)
ANSWER_PHYSICAL(nvmlDeviceGetMinorNumber, unsigned, 0, x.b->minor)
ANSWER_PHYSICAL(nvmlDeviceGetPersistenceMode, unsigned, 0, 1)
ANSWER_PHYSICAL(nvmlDeviceGetPowerManagementMode, unsigned, 0, 1)
ANSWER_PHYSICAL(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, x.b->energy_code, counter_mj(x.b, x.t))
ANSWER_PHYSICAL(nvmlDeviceGetPowerUsage, unsigned, x.b->power_code, window_w(x.b, x.t, x.b->power_window_s) * 1e3 + 0.5)
ANSWER_PHYSICAL(nvmlDeviceGetEnforcedPowerLimit, unsigned, 0, x.b->limit_mw)
ANSWER_PHYSICAL(nvmlDeviceGetPowerManagementLimit, unsigned, x.b->range_code, x.b->limit_mw)
ANSWER_PHYSICAL(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, 0, x.b->default_limit_mw)
ANSWER_PHYSICAL(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, 0, x.b->throttle_bits)
ANSWER_PHYSICAL(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, 0, x.b->throttle_bits)
ANSWER_PHYSICAL(nvmlDeviceGetMaxMigDeviceCount, unsigned, 0, x.b->n_mig ? MAX_MIG : 0)
ANSWER(nvmlDeviceIsMigDeviceHandle, unsigned, x.mig >= 0)

int nvmlDeviceGetPowerManagementLimitConstraints(void *handle, unsigned *least, unsigned *most) {
    ENTER; PHYSICAL;
    if (x.b->range_code) return x.b->range_code;
    *least = x.b->least_limit_mw;
    *most = x.b->most_limit_mw;
    return OK;
}
int nvmlDeviceSetPowerManagementLimit(void *handle, unsigned limit_mw) {
    ENTER; PHYSICAL;
    if (x.b->limit_code) return x.b->limit_code;
    if (limit_mw < x.b->least_limit_mw || limit_mw > x.b->most_limit_mw) return INVALID;
    board_t *b = x.b;
    int fails = b->limit_fails_after >= 0 && b->limit_sets >= (uint64_t)b->limit_fails_after;
    __atomic_add_fetch(&b->limit_sets, 1, __ATOMIC_SEQ_CST);
    if (fails && !b->limit_fails_late) return b->limit_fail_code;
    b->limit_mw = limit_mw;
    uint32_t n = b->n_limits < MAX_LIMITS ? b->n_limits : MAX_LIMITS - 1;
    b->limit_at_s[n] = x.t;
    b->limit_ratio[n] = b->natural_w > 0 ? fmin(1, limit_mw / 1e3 / b->natural_w) : 1;
    __atomic_store_n(&b->n_limits, n + 1, __ATOMIC_RELEASE);
    return fails ? b->limit_fail_code : OK;
}
int nvmlDeviceSetGpuLockedClocks(void *handle, unsigned least_mhz, unsigned most_mhz) {
    ENTER; PHYSICAL;
    if (x.b->clock_code) return x.b->clock_code;
    if (least_mhz > most_mhz || most_mhz > x.b->most_clock_mhz) return INVALID;
    x.b->locked_clock_mhz = most_mhz;
    __atomic_add_fetch(&x.b->clock_sets, 1, __ATOMIC_SEQ_CST);
    return OK;
}
int nvmlDeviceResetGpuLockedClocks(void *handle) {
    ENTER; PHYSICAL;
    if (x.b->clock_code) return x.b->clock_code;
    x.b->locked_clock_mhz = 0;
    __atomic_add_fetch(&x.b->clock_sets, 1, __ATOMIC_SEQ_CST);
    return OK;
}
int nvmlDeviceGetSupportedMemoryClocks(void *handle, unsigned *n, unsigned *out) {
    ENTER; PHYSICAL;
    if (!out || *n < 1) return *n = 1, TOO_SMALL;
    *n = 1;
    out[0] = x.b->memory_clock_mhz;
    return OK;
}
int nvmlDeviceGetSupportedGraphicsClocks(void *handle, unsigned memory_mhz, unsigned *n, unsigned *out) {
    ENTER; PHYSICAL;
    if (memory_mhz != x.b->memory_clock_mhz) return INVALID;
    unsigned found = (x.b->most_clock_mhz - x.b->least_clock_mhz) / 15 + 1;
    if (!out || *n < found) return *n = found, TOO_SMALL;
    *n = found;
    for (unsigned i = 0; i < found; i++) out[i] = x.b->most_clock_mhz - 15 * i;
    return OK;
}

typedef struct {
    uint32_t field, scope; int64_t timestamp_us, latency_us; int type, code;
    union { double d; unsigned ui; unsigned long long ull; } value;
} field_t;
int nvmlDeviceGetFieldValues(void *handle, int n, field_t *fields) {
    ENTER; PHYSICAL;
    for (int i = 0; i < n; i++) {
        field_t *f = &fields[i];
        f->timestamp_us = (int64_t)(x.t * 1e6);
        f->latency_us = 1;
        f->value.ull = 0;
        f->type = f->field == 83 ? 3 : 1; /* unsigned long long, unsigned int */
        if (f->field == 83) {
            f->code = x.b->energy_code;
            if (!f->code) f->value.ull = counter_mj(x.b, x.t);
        } else if (f->field == 185 || f->field == 186) {
            f->code = f->field == 185 ? x.b->power_code : x.b->instant_code;
            double window_s = f->field == 185 ? x.b->power_window_s : x.b->instant_window_s;
            if (!f->code) f->value.ui = (unsigned)(window_w(x.b, x.t, window_s) * 1e3 + 0.5);
        } else {
            f->code = NOT_SUPPORTED;
        }
    }
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned out[2]) {
    ENTER; PHYSICAL;
    if (x.b->mig_mode) return NOT_SUPPORTED; /* nvml.h: not available while MIG is on */
    out[0] = busy_percent(x.b, x.t);
    out[1] = out[0] / 2;
    return OK;
}
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *out) {
    ENTER;
    if (sensor != 0) return INVALID;
    *out = x.b->temperature_c;
    return OK;
}
int nvmlDeviceGetTemperatureV(void *handle, unsigned io[3]) {
    unsigned celsius = 0;
    int answer = nvmlDeviceGetTemperature(handle, (int)io[1], &celsius);
    io[2] = celsius;
    return answer;
}
int nvmlDeviceGetClockInfo(void *handle, int type, unsigned *out) {
    ENTER;
    if (type < 0 || type > 3) return INVALID;
    *out = type == 2 ? x.b->memory_clock_mhz : x.b->sm_clock_mhz;
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    ENTER;
    *major = (int)x.b->capability_major;
    *minor = (int)x.b->capability_minor;
    return OK;
}

static int here(const process_t *p, const target_t *x) {
    return x->t >= p->from_s && x->t < p->to_s && (x->mig < 0 || p->mig == (uint32_t)x->mig);
}
static uint64_t used_bytes(const target_t *x) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < x->b->n_processes; i++)
        if (here(&x->b->processes[i], x)) sum += x->b->processes[i].memory_bytes;
    return sum;
}
int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long out[3]) {
    ENTER;
    out[0] = x.b->memory_bytes;
    out[2] = used_bytes(&x);
    out[1] = out[0] - out[2];
    return OK;
}
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2_t *out) {
    ENTER;
    out->total = x.b->memory_bytes;
    out->reserved = 0;
    out->used = used_bytes(&x);
    out->free = out->total - out->used;
    return OK;
}

typedef struct { unsigned pid; unsigned long long memory_bytes; unsigned gpu_instance, compute_instance; } running_t;
static int running(void *handle, unsigned *n, running_t *out, uint32_t graphics) {
    ENTER;
    unsigned found = 0, room = *n;
    if (x.b->processes_code) return x.b->processes_code;
    for (uint32_t i = 0; i < x.b->n_processes; i++) {
        const process_t *p = &x.b->processes[i];
        if (p->graphics != graphics || !here(p, &x)) continue;
        uint32_t instance = x.b->mig_mode ? p->mig : 0xffffffffu; /* outside MIG: "not available" */
        if (out && found < room) out[found] = (running_t){p->pid, p->memory_bytes, instance, x.b->mig_mode ? 0 : instance};
        found++;
    }
    *n = found;
    return found > room ? TOO_SMALL : OK;
}
#define RUNNING(NAME, GRAPHICS) int NAME(void *h, unsigned *n, running_t *out) { return running(h, n, out, GRAPHICS); }
RUNNING(nvmlDeviceGetComputeRunningProcesses_v3, 0)
RUNNING(nvmlDeviceGetComputeRunningProcesses_v2, 0)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v3, 1)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v2, 1)

typedef struct { unsigned pid; unsigned long long stamp_us; unsigned sm, memory, encoder, decoder; } sample_t;
int nvmlDeviceGetProcessUtilization(void *handle, sample_t *out, unsigned *n, unsigned long long seen_us) {
    ENTER; PHYSICAL;
    unsigned found = 0, room = *n;
    unsigned long long stamp_us = 1700000000000000ull + (unsigned long long)(x.t > 0 ? x.t * 1e6 : 0);
    if (x.b->mig_mode) return NOT_SUPPORTED; /* nvml.h: not supported on MIG-enabled GPUs */
    if (x.b->processes_code) return x.b->processes_code;
    for (uint32_t i = 0; i < x.b->n_processes && stamp_us > seen_us; i++) {
        const process_t *p = &x.b->processes[i];
        if (!here(p, &x) || !p->sm_percent) continue;
        if (out && found < room) out[found] = (sample_t){p->pid, stamp_us, p->sm_percent, p->sm_percent / 2, 0, 0};
        found++;
    }
    *n = found;
    return !found ? NOT_FOUND : found > room || !out ? TOO_SMALL : OK;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    ENTER; PHYSICAL;
    if (!x.b->n_mig) return NOT_SUPPORTED;
    *current = *pending = x.b->mig_mode;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **out) {
    ENTER; PHYSICAL;
    if (!x.b->mig_mode || index >= x.b->n_mig) return NOT_FOUND;
    *out = handle_of(x.index, (int)index);
    return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **out) {
    ENTER;
    if (x.mig < 0) return INVALID;
    *out = handle_of(x.index, -1);
    return OK;
}
static int instance(void *handle, unsigned *out, int compute) {
    ENTER;
    if (x.mig < 0) return NOT_SUPPORTED;
    *out = compute ? 0 : (unsigned)x.mig;
    return OK;
}
int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *out) { return instance(handle, out, 0); }
int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *out) { return instance(handle, out, 1); }
