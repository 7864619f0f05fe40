/**
 * Where everything lives in the one linear memory that the CPU core, the compiler tier and the devices share.
 * The compiler tier addresses these places as constants, so a change here is a change of its code too.
 *
 * | from        | what                                                    |
 * |-------------|---------------------------------------------------------|
 * | 0x0000_1000 | CPU state (this file, below)                            |
 * | 0x0001_0000 | AssemblyScript static data (`--memoryBase`)             |
 * | 0x0009_0000 | software TLBs: two banks of read, write, execute arrays |
 * | 0x000b_0000 | per page of video memory: 1 where it was written         |
 * | 0x000c_0000 | jump cache                                              |
 * | 0x0010_0000 | block hash                                              |
 * | 0x0020_0000 | per RAM page: first block decoded from it               |
 * | 0x0080_0000 | per RAM page: 64-bit bitmap of 64-byte granules of code |
 * | 0x0100_0000 | uop pool                                                |
 * | 0x0500_0000 | guest RAM (guest-physical 0), then video memory         |
 */
export const STATE: usize = 0x1000;
export const TLB_BASE: usize = 0x90000;
export const VIDEO_DIRTY: usize = 0xb0000;
/** Where jumps went (blocks.ts): 16-byte entries, 64 to a page. */
export const JUMP_CACHE: usize = 0xc0000, JUMP_CACHE_BYTES: usize = 0x40000;
export const BLOCK_HASH: usize = 0x100000;
export const PAGE_BLOCKS: usize = 0x200000;
export const CODE_BITMAP: usize = 0x800000;
export const UOP_POOL: usize = 0x1000000;
export const UOP_POOL_END: usize = 0x5000000;
export const RAM_BASE: usize = 0x5000000;

// Integer registers: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes each, at STATE + 8 * number.
export const GPR: usize = STATE;
export const RAX: usize = STATE + 0, RCX: usize = STATE + 8, RDX: usize = STATE + 16, RBX: usize = STATE + 24;
export const RSP: usize = STATE + 32, RBP: usize = STATE + 40, RSI: usize = STATE + 48, RDI: usize = STATE + 56;
/** Always zero: the base or index "register" of an address that has none. */
export const ZERO: usize = STATE + 0x80;
/** Linear address computed by an ADDRESS uop for the uop that follows it. */
export const ADDRESS: usize = STATE + 0x88;
/** Linear address of the code page being executed; rip-relative operands use it as their base. */
export const PAGE_LINEAR: usize = STATE + 0x90;
/** Architectural RIP: true outside `run`, and while a fault is being delivered. */
export const RIP: usize = STATE + 0x98;
/** RFLAGS without CF PF AF ZF SF OF while these are lazy; see flags.ts. */
export const RFLAGS: usize = STATE + 0xa0;
/** u64: instructions retired since reset. */
export const RETIRED: usize = STATE + 0xa8;
/** u32, set by the board: an external interrupt waits (INTR pin), NMI waits, A20 enabled (1). */
export const INTR: usize = STATE + 0xb0, NMI: usize = STATE + 0xb4, A20: usize = STATE + 0xb8;
/** u32: 1 while halted by HLT or MWAIT; HALTED_OPEN when a masked interrupt ends the halt too (MWAIT with ECX = 1). */
export const HALTED: usize = STATE + 0xbc, HALTED_OPEN: u32 = 2;
/** u32: bytes of RAM; u32: current privilege level. */
export const RAM_SIZE: usize = STATE + 0xc0, CPL: usize = STATE + 0xc4;
/** u32: mode word, part of every block's key; bits in mode.ts. */
export const MODE: usize = STATE + 0xc8;
/** u32 each: where the display's memory answers and how many bytes do, 0 for none. Its bytes follow guest RAM. */
export const VIDEO_AT: usize = STATE + 0xd0, VIDEO_SIZE: usize = STATE + 0xd4;
/** u32 each: bytes from A0000h that are the display's and not RAM; where in its memory they lie, or all ones: the board answers. */
export const VIDEO_WINDOW: usize = STATE + 0xd8, VIDEO_BANK: usize = STATE + 0xdc;
/**
 * System-management mode, u32 each: an SMI waits (set by the board); 1 while in it; which accesses to A0000h-BFFFFh the chipset
 * sends to RAM (1: those in this mode, 3: all); SMBASE.
 */
export const SMI: usize = STATE + 0xe0, IN_SMM: usize = STATE + 0xe4, SMRAM: usize = STATE + 0xe8, SMBASE: usize = STATE + 0xec;

/**
 * Segment registers: ES CS SS DS FS GS, then LDTR and TR, 32 bytes each: u16 selector @0, u16 attributes @2
 * (access byte in bits 0-7, AVL L D/B G in bits 8-11; 0 in the present bit = unusable), u32 limit in bytes @4, u64 base @8.
 */
export const SEGMENTS: usize = STATE + 0x100;
export const ES: usize = SEGMENTS, CS: usize = SEGMENTS + 0x20, SS: usize = SEGMENTS + 0x40, DS: usize = SEGMENTS + 0x60;
export const FS: usize = SEGMENTS + 0x80, GS: usize = SEGMENTS + 0xa0, LDTR: usize = SEGMENTS + 0xc0, TR: usize = SEGMENTS + 0xe0;
export const SEG_SELECTOR: usize = 0, SEG_ATTRIBUTES: usize = 2, SEG_LIMIT: usize = 4, SEG_BASE: usize = 8;

/** GDTR and IDTR: u64 base @0, u16 limit @8. */
export const GDTR: usize = STATE + 0x200, IDTR: usize = STATE + 0x210;
/** CR0, CR2, CR3, CR4, CR8 (TPR is in the local APIC; this is its mirror), XCR0: u64 each. */
export const CR0: usize = STATE + 0x220, CR2: usize = STATE + 0x228, CR3: usize = STATE + 0x230, CR4: usize = STATE + 0x238, CR8: usize = STATE + 0x240, XCR0: usize = STATE + 0x248;
/** DR0-DR7: u64 each. */
export const DR: usize = STATE + 0x250;
/** MSRs held by the core, u64 each. */
export const EFER: usize = STATE + 0x290, STAR: usize = STATE + 0x298, LSTAR: usize = STATE + 0x2a0, CSTAR: usize = STATE + 0x2a8, FMASK: usize = STATE + 0x2b0;
export const KERNEL_GS_BASE: usize = STATE + 0x2b8, SYSENTER_CS: usize = STATE + 0x2c0, SYSENTER_ESP: usize = STATE + 0x2c8, SYSENTER_EIP: usize = STATE + 0x2d0;
export const TSC_OFFSET: usize = STATE + 0x2d8, TSC_AUX: usize = STATE + 0x2e0, APIC_BASE: usize = STATE + 0x2e8, PAT: usize = STATE + 0x2f0, MISC_ENABLE: usize = STATE + 0x2f8;
/** MTRRs: default type, 11 fixed, 8 base/mask pairs: u64 each (0x300 .. 0x3e0). */
export const MTRR: usize = STATE + 0x300;
/** IA32_TSC_DEADLINE as the guest wrote it; 0 when disarmed. */
export const TSC_DEADLINE: usize = STATE + 0x3e0;
/** IA32_DEBUGCTL: bit 0 LBR, bit 1 BTF. */
export const DEBUGCTL: usize = STATE + 0x3e8;

/** XMM0-15, 32 bytes apart so that the upper YMM halves have their place. */
export const XMM: usize = STATE + 0x400;
/** x87 physical registers R0-R7, 16 bytes apart: u64 significand @0, u16 sign and exponent @8. MMi is the significand of Ri. */
export const X87: usize = STATE + 0x600;
/** u16 FCW, u16 FSW (TOP kept in its bits 11-13), u8 abridged tag (1 = not empty, bit i = physical Ri), u32 MXCSR. */
export const FCW: usize = STATE + 0x680, FSW: usize = STATE + 0x682, FTW: usize = STATE + 0x684, MXCSR: usize = STATE + 0x688;
/** Last x87 opcode (u16), instruction and data pointers (u64). */
export const FOP: usize = STATE + 0x686, FIP: usize = STATE + 0x690, FDP: usize = STATE + 0x698;

/** What vex.ts works on: a uop, a result of 32 bytes and 16 more, a source of 32 bytes. */
export const LANE_UOP: usize = STATE + 0x700, LANE_RESULT: usize = STATE + 0x720, LANE_SOURCE: usize = STATE + 0x750;

/**
 * The processor's model, which ../models.ts writes and reset leaves alone: a byte for each feature number, then u32 words.
 * MODEL_FEATURE_WORDS are the registers of CPUID in the order of ../features.ts `featureWords`.
 */
export const MODEL: usize = STATE + 0x1000;
export const MODEL_SIGNATURE: usize = MODEL + 128, MODEL_LEAVES: usize = MODEL + 132, MODEL_EXTENDED_LEAVES: usize = MODEL + 136;
export const MODEL_FEATURE_WORDS: usize = MODEL + 140;
/** The bits that exist of CR0, CR4, EFER and, of those above bit 17, EFLAGS. */
export const MODEL_CR0: usize = MODEL + 172, MODEL_CR4: usize = MODEL + 176, MODEL_EFER: usize = MODEL + 180, MODEL_FLAGS: usize = MODEL + 184;
export const MODEL_BRAND: usize = MODEL + 192;

/** Bytes of a page-crossing or MMIO access while it is assembled: 64 bytes each, for one read and one write at a time. */
export const READ_SCRATCH: usize = STATE + 0x800;
export const WRITE_SCRATCH: usize = STATE + 0x840;
/** Working space for handlers (FXSAVE image, descriptor under test...): 1 KiB. */
export const WORK: usize = STATE + 0x900;
/** The uop used to execute one instruction that crosses a page, and an ADDRESS uop before it, and an end uop after it. */
export const CROSSING_UOPS: usize = STATE + 0xd00;

/** Entries of one TLB array; 16 bytes each: u64 tag (linear page, or all ones) @0, u32 addend (host = u32(linear) + addend) @8. */
export const TLB_ENTRIES: u32 = 1024;
export const TLB_BYTES: usize = 1024 * 16;
/** Bank 0 serves CPL 0-2, bank 1 CPL 3. In a bank: read, write, execute. */
export const TLB_BANK_BYTES: usize = 3 * TLB_BYTES;
