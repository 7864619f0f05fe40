/*
 * Runs short streams of user-mode code on the processor of this machine (Linux x86-64) and tells what they did.
 *
 * The code runs in a child under ptrace whose address space holds nothing but the windows of the vectors
 * (shared/corpora/native-vectors/README.md), one page of trampoline and an alternate stack; a seccomp filter turns every
 * system call into SIGSYS. The tracer sets the whole state, lets the child run until a signal stops it, and reads the state back.
 * For an exception the signal is then delivered, because only the frame on the alternate stack holds the vector and error code.
 *
 * Arguments: the LDT as selector=descriptor pairs in hex, fs64=base and gs64=base. Standard input: cases; standard output: one
 * result for each, and on standard error its processor time. Their layout is in native-host.ts. A case that runs longer than 5 ms is given up.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { ENDED, EXCEPTION, TIMEOUT, SYSTEM_CALL, DIED };
enum { XSTATE_BYTES = 16384, YMM_HIGH = 576, LIMIT_US = 5000, RUN_GAP = 4 };

typedef struct {
  uint32_t bits, kind;
  uint64_t rip, exit, gpr[16], flags;
  uint32_t mxcsr;
  uint16_t fcw, fsw;
  uint32_t ftw;
  uint16_t segment[6]; /* es cs ss ds fs gs */
  uint64_t fs_base, gs_base;
  uint32_t vector, error;
  uint64_t cr2;
  uint8_t st[8][16], xmm[16][32];
  uint32_t runs, padding;
} record;

typedef struct { uint32_t start, size, writable, code; } window;
static const window flat[] = {{0x100000, 0x2000, 1, 1}, {0x200000, 0x4000, 1, 0}, {0x205000, 0x1000, 0, 0}, {0x300000, 0x2000, 1, 0}};
static const window narrow[] = {{0x20000, 0x10000, 1, 1}, {0x30000, 0x50000, 1, 0}};
enum { FLAT = 4, NARROW = 2, SPACE = 0x400000 };

/* Window bytes live in one shared file at their own linear address. */
static uint8_t *memory, *before;
static int memory_file;
static const uint64_t TRAMPOLINE = 0x600000000000, ALTERNATE = 0x600000010000;
enum { ALTERNATE_BYTES = 0x10000 };
static uint8_t *alternate;
static int alternate_file;
static pid_t child;
static int child_bits;
static uint64_t fs64, gs64;
static struct user_desc ldt[64];
static int ldt_count;

static void fail(const char *what) { perror(what); exit(2); }

static int file_of(const char *name, size_t size) {
  int file = memfd_create(name, 0);
  if (file < 0 || ftruncate(file, (off_t)size) != 0) fail("memfd_create");
  return file;
}

static void read_argument(const char *text) {
  unsigned long long value = strtoull(strchr(text, '=') + 1, 0, 16);
  if (!strncmp(text, "fs64=", 5)) { fs64 = value; return; }
  if (!strncmp(text, "gs64=", 5)) { gs64 = value; return; }
  struct user_desc *d = &ldt[ldt_count++];
  unsigned access = value >> 40 & 0xff;
  d->entry_number = (unsigned)strtoul(text, 0, 16) >> 3;
  d->base_addr = (unsigned)(value >> 16 & 0xffffff) | (unsigned)(value >> 32 & 0xff000000);
  d->limit = (unsigned)(value & 0xffff) | (unsigned)(value >> 32 & 0xf0000);
  d->seg_32bit = value >> 54 & 1;
  d->limit_in_pages = value >> 55 & 1;
  d->useable = value >> 52 & 1;
  d->contents = access >> 2 & 3;
  d->read_exec_only = !(access >> 1 & 1);
  d->seg_not_present = !(access >> 7);
}

/* The child's own half: everything that it needs is in place when it stops itself for the tracer. */
static void child_main(void) {
  /* A signal's handler at 0, a system call at 2, WRFSBASE RDI, WRGSBASE RSI, PUSH RDX and POPF at 16. */
  static const uint8_t code[] = {0xcc, 0x90, 0x0f, 0x05, 0xcc, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
                                 0xf3, 0x48, 0x0f, 0xae, 0xd7, 0xf3, 0x48, 0x0f, 0xae, 0xde, 0x52, 0x9d, 0xcc};
  uint8_t *page = mmap((void *)TRAMPOLINE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (page == MAP_FAILED) fail("mmap trampoline");
  memcpy(page, code, sizeof code);
  mprotect(page, 4096, PROT_READ | PROT_EXEC);
  void *stack = mmap((void *)ALTERNATE, ALTERNATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, alternate_file, 0);
  if (stack == MAP_FAILED) fail("mmap stack");
  for (int i = 0; i < ldt_count; i++)
    if (syscall(SYS_modify_ldt, 0x11, &ldt[i], sizeof ldt[i])) fail("modify_ldt");
  stack_t alternate_stack = {.ss_sp = stack, .ss_size = ALTERNATE_BYTES};
  sigaltstack(&alternate_stack, 0);
  struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } action =
      {(void *)TRAMPOLINE, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000, (void *)TRAMPOLINE, 0};
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) syscall(SYS_rt_sigaction, signals[i], &action, 0, 8);
  /* The filter stands where the tracer's injected call finds it once the rest is gone. */
  static const struct sock_filter rules[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
  struct sock_fprog *program = (struct sock_fprog *)((uint8_t *)stack + 256);
  memcpy((uint8_t *)stack + 512, rules, sizeof rules);
  program->len = 1;
  program->filter = (struct sock_filter *)((uint8_t *)stack + 512);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  /* The C library's restartable sequence lives in memory that goes away. */
  uint8_t *rseq = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;
  syscall(SYS_rseq, rseq, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  _exit(3);
}

static int wait_for_child(int *status) {
  for (;;) {
    if (waitpid(child, status, __WALL) == child) return 1;
    if (errno != EINTR) fail("waitpid");
    kill(child, SIGSTOP);
  }
}

/* One system call made by the child on the tracer's behalf. */
static long inject(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
  struct user_regs_struct r;
  int status;
  ptrace(PTRACE_GETREGS, child, 0, &r);
  r.rax = number, r.rdi = a, r.rsi = b, r.rdx = c, r.r10 = d, r.r8 = e, r.r9 = f;
  r.rip = TRAMPOLINE + 2, r.orig_rax = -1;
  ptrace(PTRACE_SETREGS, child, 0, &r);
  ptrace(PTRACE_CONT, child, 0, 0);
  wait_for_child(&status);
  ptrace(PTRACE_GETREGS, child, 0, &r);
  if (!WIFSTOPPED(status) || r.rip != TRAMPOLINE + 5) { fprintf(stderr, "call %ld went astray: status %x at %llx\n", number, status, r.rip); exit(2); }
  return (long)r.rax;
}

static void map_windows(int bits) {
  const window *list = bits == 16 ? narrow : flat;
  int count = bits == 16 ? NARROW : FLAT, protection;
  for (int i = 0; i < count; i++) {
    protection = PROT_READ | (list[i].writable ? PROT_WRITE : 0) | (list[i].code ? PROT_EXEC : 0);
    long at = inject(SYS_mmap, list[i].start, list[i].size, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory_file, list[i].start);
    if (at != (long)list[i].start) { fprintf(stderr, "mmap %x: %ld\n", list[i].start, at); exit(2); }
  }
}

static void start_child(int bits) {
  int status;
  if (child) { kill(child, SIGKILL); waitpid(child, &status, __WALL); }
  child = fork();
  if (child < 0) fail("fork");
  if (child == 0) child_main();
  wait_for_child(&status);
  ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL);
  inject(SYS_munmap, 0x10000, TRAMPOLINE - 0x10000, 0, 0, 0, 0);
  inject(SYS_munmap, ALTERNATE + ALTERNATE_BYTES, 0x7ffffffff000 - ALTERNATE - ALTERNATE_BYTES, 0, 0, 0, 0);
  inject(SYS_munmap, TRAMPOLINE + 4096, ALTERNATE - TRAMPOLINE - 4096, 0, 0, 0, 0);
  map_windows(bits);
  if (inject(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ALTERNATE + 256, 0, 0, 0)) { fprintf(stderr, "no seccomp\n"); exit(2); }
  child_bits = bits;
}

static uint64_t *gpr_of(struct user_regs_struct *r, int n) {
  switch (n) {
    case 0: return (uint64_t *)&r->rax;  case 1: return (uint64_t *)&r->rcx;  case 2: return (uint64_t *)&r->rdx;  case 3: return (uint64_t *)&r->rbx;
    case 4: return (uint64_t *)&r->rsp;  case 5: return (uint64_t *)&r->rbp;  case 6: return (uint64_t *)&r->rsi;  case 7: return (uint64_t *)&r->rdi;
    case 8: return (uint64_t *)&r->r8;   case 9: return (uint64_t *)&r->r9;   case 10: return (uint64_t *)&r->r10; case 11: return (uint64_t *)&r->r11;
    case 12: return (uint64_t *)&r->r12; case 13: return (uint64_t *)&r->r13; case 14: return (uint64_t *)&r->r14; default: return (uint64_t *)&r->r15;
  }
}

static uint8_t xstate[XSTATE_BYTES];
static size_t xstate_size;

static void get_xstate(void) {
  struct iovec area = {xstate, sizeof xstate};
  if (ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, &area)) fail("GETREGSET");
  xstate_size = area.iov_len;
}

/* Bases of the kernel's half, NT and ID are not ptrace's to set: the child loads them itself. */
static void set_bases(struct user_regs_struct *r, uint64_t fs, uint64_t gs, uint64_t flags) {
  int status;
  const uint64_t own_flags = 0x204000;
  if (r->fs_base == fs && r->gs_base == gs && !((r->eflags ^ flags) & own_flags)) return;
  const uint64_t poked[][2] = {{offsetof(struct user_regs_struct, cs), 0x33}, {offsetof(struct user_regs_struct, fs), 0},
      {offsetof(struct user_regs_struct, gs), 0}, {offsetof(struct user_regs_struct, rdi), fs}, {offsetof(struct user_regs_struct, rsi), gs},
      {offsetof(struct user_regs_struct, eflags), 0x202}, {offsetof(struct user_regs_struct, rdx), 0x202 | (flags & own_flags)},
      {offsetof(struct user_regs_struct, rsp), ALTERNATE + ALTERNATE_BYTES / 2}, {offsetof(struct user_regs_struct, ss), 0x2b},
      {offsetof(struct user_regs_struct, orig_rax), ~0ull}, {offsetof(struct user_regs_struct, rip), TRAMPOLINE + 16}};
  for (unsigned i = 0; i < sizeof poked / sizeof *poked; i++) ptrace(PTRACE_POKEUSER, child, poked[i][0], poked[i][1]);
  ptrace(PTRACE_CONT, child, 0, 0);
  wait_for_child(&status);
  ptrace(PTRACE_GETREGS, child, 0, r);
  if (r->rip != TRAMPOLINE + 29) { fprintf(stderr, "the bases cannot be set: status %x at %llx\n", status, r->rip); exit(2); }
}

static void set_state(const record *c) {
  struct user_regs_struct r, old;
  ptrace(PTRACE_GETREGS, child, 0, &r);
  set_bases(&r, c->fs_base, c->gs_base, c->flags);
  old = r;
  for (int i = 0; i < 16; i++) *gpr_of(&r, i) = c->gpr[i];
  r.rip = c->rip, r.eflags = c->flags, r.orig_rax = -1;
  r.es = c->segment[0], r.cs = c->segment[1], r.ss = c->segment[2], r.ds = c->segment[3], r.fs = c->segment[4], r.gs = c->segment[5];
  for (size_t word = 0; word < sizeof r / 8; word++)
    if (((uint64_t *)&r)[word] != ((uint64_t *)&old)[word] && ptrace(PTRACE_POKEUSER, child, word * 8, ((uint64_t *)&r)[word])) fail("POKEUSER");
  get_xstate();
  memcpy(xstate, &c->fcw, 2), memcpy(xstate + 2, &c->fsw, 2);
  memset(xstate + 4, 0, 20);
  xstate[4] = (uint8_t)c->ftw;
  memcpy(xstate + 24, &c->mxcsr, 4);
  memcpy(xstate + 32, c->st, 128);
  for (int i = 0; i < 16; i++) memcpy(xstate + 160 + 16 * i, c->xmm[i], 16), memcpy(xstate + YMM_HIGH + 16 * i, c->xmm[i] + 16, 16);
  uint64_t components = 7;
  memcpy(xstate + 512, &components, 8);
  struct iovec area = {xstate, xstate_size};
  if (ptrace(PTRACE_SETREGSET, child, NT_X86_XSTATE, &area)) fail("SETREGSET");
}

/* State components that are in their initial configuration are not in the image (SDM 1 section 13.6). */
static void get_state(record *c) {
  struct user_regs_struct r;
  uint64_t components;
  ptrace(PTRACE_GETREGS, child, 0, &r);
  for (int i = 0; i < 16; i++) c->gpr[i] = *gpr_of(&r, i);
  c->rip = r.rip, c->flags = r.eflags;
  c->segment[0] = r.es, c->segment[1] = r.cs, c->segment[2] = r.ss, c->segment[3] = r.ds, c->segment[4] = r.fs, c->segment[5] = r.gs;
  c->fs_base = r.fs_base, c->gs_base = r.gs_base;
  get_xstate();
  memcpy(&components, xstate + 512, 8);
  memset(c->st, 0, sizeof c->st), memset(c->xmm, 0, sizeof c->xmm);
  c->fcw = 0x37f, c->fsw = 0, c->ftw = 0;
  if (components & 1) {
    memcpy(&c->fcw, xstate, 2), memcpy(&c->fsw, xstate + 2, 2);
    c->ftw = xstate[4];
    for (int i = 0; i < 8; i++) memcpy(c->st[i], xstate + 32 + 16 * i, 10);
  }
  memcpy(&c->mxcsr, xstate + 24, 4);
  for (int i = 0; i < 16; i++) {
    if (components & 2) memcpy(c->xmm[i], xstate + 160 + 16 * i, 16);
    if (components & 4) memcpy(c->xmm[i] + 16, xstate + YMM_HIGH + 16 * i, 16);
  }
}

/* Delivers the pending signal, so that the frame tells the vector, the error code and CR2. */
static int read_frame(int sig, record *c) {
  struct user_regs_struct r;
  int status;
  if (ptrace(PTRACE_CONT, child, 0, (void *)(long)sig)) return 0;
  wait_for_child(&status);
  if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) return 0;
  ptrace(PTRACE_GETREGS, child, 0, &r);
  if (r.rip != TRAMPOLINE + 1 || r.rdx < ALTERNATE || r.rdx > ALTERNATE + ALTERNATE_BYTES - sizeof(ucontext_t)) return 0;
  ucontext_t *context = (ucontext_t *)(alternate + (r.rdx - ALTERNATE));
  c->vector = (uint32_t)context->uc_mcontext.gregs[REG_TRAPNO];
  c->error = (uint32_t)context->uc_mcontext.gregs[REG_ERR];
  c->cr2 = (uint64_t)context->uc_mcontext.gregs[REG_CR2];
  return 1;
}

static void run(record *c) {
  int status;
  siginfo_t info;
  const struct itimerval limit = {{0, LIMIT_US}, {0, LIMIT_US}}, off = {{0, 0}, {0, 0}};
  const uint64_t exit_at = c->exit;
  uint8_t *end = exit_at < SPACE ? memory + exit_at + (c->bits == 16 ? 0x20000 : 0) : 0, kept = 0;
  if (end) kept = *end, *end = 0xf4;
  set_state(c);
  setitimer(ITIMER_REAL, &limit, 0);
  ptrace(PTRACE_CONT, child, 0, 0);
  wait_for_child(&status);
  setitimer(ITIMER_REAL, &off, 0);
  c->kind = DIED;
  if (WIFSTOPPED(status)) {
    int sig = WSTOPSIG(status);
    get_state(c);
    ptrace(PTRACE_GETSIGINFO, child, 0, &info);
    if (sig == SIGSTOP) c->kind = TIMEOUT;
    else if (sig == SIGSYS) c->kind = SYSTEM_CALL;
    else {
      /* INTO as the last instruction leaves the same RIP as the HLT that ends the stream: only the frame tells them apart. */
      int at_end = sig == SIGSEGV && c->rip == exit_at && info.si_code == SI_KERNEL && end && *end == 0xf4;
      int told = (!at_end || end[-1] == 0xce) && read_frame(sig, c);
      c->kind = at_end && (!told || c->vector == 13) ? ENDED : told ? EXCEPTION : DIED;
    }
  }
  if (end && *end == 0xf4) *end = kept;
}

static void put(const void *bytes, size_t size) {
  if (size && fwrite(bytes, 1, size, stdout) != size) fail("write");
}
static void get(void *bytes, size_t size) {
  if (size && fread(bytes, 1, size, stdin) != size) { fprintf(stderr, "the input ends early\n"); exit(2); }
}

static uint8_t changes[SPACE * 2];

/* Bytes that changed, as runs of address, length, bytes; gaps of up to three unchanged bytes belong to a run. */
static uint32_t find_changes(int bits, size_t *bytes) {
  const window *list = bits == 16 ? narrow : flat;
  uint32_t runs = 0;
  size_t at = 0;
  for (int w = 0; w < (bits == 16 ? NARROW : FLAT); w++)
    for (uint32_t page = list[w].start; page < list[w].start + list[w].size; page += 4096) {
      if (!memcmp(memory + page, before + page, 4096)) continue;
      for (uint32_t i = 0; i < 4096; i++) {
        if (memory[page + i] == before[page + i]) continue;
        uint32_t last = i;
        for (uint32_t k = i; k < 4096 && k < last + RUN_GAP; k++) if (memory[page + k] != before[page + k]) last = k;
        uint32_t start = page + i, length = last - i + 1;
        memcpy(changes + at, &start, 4), memcpy(changes + at + 4, &length, 4), memcpy(changes + at + 8, memory + start, length);
        at += 8 + length, runs++, i = last;
      }
    }
  *bytes = at;
  return runs;
}

static void on_alarm(int sig) { (void)sig; }

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) if (strchr(argv[i], '=') && ldt_count < 64) read_argument(argv[i]);
  memory_file = file_of("memory", SPACE), alternate_file = file_of("stack", ALTERNATE_BYTES);
  memory = mmap(0, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
  alternate = mmap(0, ALTERNATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, alternate_file, 0);
  before = malloc(SPACE);
  if (memory == MAP_FAILED || alternate == MAP_FAILED || !before) fail("memory");
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, 0);
  static record c;
  uint32_t count;
  get(&count, 4);
  while (count-- > 0) {
    get(&c, sizeof c);
    const int bits = (int)c.bits, windows = bits == 16 ? NARROW : FLAT;
    const window *list = bits == 16 ? narrow : flat;
    for (int w = 0; w < windows; w++) memset(memory + list[w].start, 0, list[w].size);
    for (uint32_t i = 0; i < c.runs; i++) {
      uint32_t run_of[2];
      get(run_of, 8);
      if (run_of[0] > SPACE || run_of[1] > SPACE - run_of[0]) { fprintf(stderr, "a run is outside\n"); return 2; }
      get(memory + run_of[0], run_of[1]);
    }
    for (int w = 0; w < windows; w++) memcpy(before + list[w].start, memory + list[w].start, list[w].size);
    if (bits == 64) c.fs_base = fs64, c.gs_base = gs64;
    if (!child || (child_bits == 16) != (bits == 16)) start_child(bits);
    run(&c);
    size_t bytes;
    c.runs = find_changes(bits, &bytes);
    put(&c, sizeof c), put(changes, bytes);
    if (c.kind == DIED || c.kind == SYSTEM_CALL) start_child(bits);
  }
  fflush(stdout);
  /* Processor time of both halves, in microseconds, for the log. */
  struct rusage own, other;
  int status;
  if (child) kill(child, SIGKILL), waitpid(child, &status, __WALL);
  getrusage(RUSAGE_SELF, &own), getrusage(RUSAGE_CHILDREN, &other);
  fprintf(stderr, "%lld\n", (own.ru_utime.tv_sec + own.ru_stime.tv_sec + other.ru_utime.tv_sec + other.ru_stime.tv_sec) * 1000000ll +
          own.ru_utime.tv_usec + own.ru_stime.tv_usec + other.ru_utime.tv_usec + other.ru_stime.tv_usec);
  return 0;
}
