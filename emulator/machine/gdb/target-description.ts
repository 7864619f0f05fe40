/**
 * What GDB is told about the processor's registers ("Debugging with GDB", appendix G), and their order in a "g" packet. The
 * standard features of i386 and amd64 are named as there; the control registers are a feature of our own.
 */

export interface GdbRegister {
  /** GDB's name. */
  readonly name: string;
  /** Ours, in registers.ts. */
  readonly ours: string;
  readonly bytes: number;
  readonly type: string;
}

interface Feature {
  readonly name: string;
  readonly types: string;
  readonly registers: readonly GdbRegister[];
}

export interface TargetDescription {
  readonly registers: readonly GdbRegister[];
  /** target.xml. */
  readonly xml: string;
}

const register = (name: string, bytes: number, type: string, ours = name): GdbRegister => ({
  name,
  ours,
  bytes,
  type,
});
const numbered = (count: number, make: (i: number) => GdbRegister): GdbRegister[] =>
  Array.from({ length: count }, (_, i) => make(i));

const bits = (names: Record<string, number>): string =>
  Object.entries(names)
    .map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`)
    .join("");
const flags = { CF: 0, PF: 2, AF: 4, ZF: 6, SF: 7, TF: 8, IF: 9, DF: 10, OF: 11 };
const higherFlags = { NT: 14, RF: 16, VM: 17, AC: 18, VIF: 19, VIP: 20, ID: 21 };
const exceptions = { IE: 0, DE: 1, ZE: 2, OE: 3, UE: 4, PE: 5, DAZ: 6 };
const masks = { IM: 7, DM: 8, ZM: 9, OM: 10, UM: 11, PM: 12, FZ: 15 };

const coreTypes = `<flags id="i386_eflags" size="4">${bits(flags)}${bits(higherFlags)}</flags>`;
const vectors = [
  ["v4f", "ieee_single", 4],
  ["v2d", "ieee_double", 2],
  ["v16i8", "int8", 16],
  ["v8i16", "int16", 8],
  ["v4i32", "int32", 4],
  ["v2i64", "int64", 2],
] as const;
const union = [
  ["v4_float", "v4f"],
  ["v2_double", "v2d"],
  ["v16_int8", "v16i8"],
  ["v8_int16", "v8i16"],
  ["v4_int32", "v4i32"],
  ["v2_int64", "v2i64"],
  ["uint128", "uint128"],
] as const;
const sseTypes = [
  ...vectors.map(([id, type, count]) => `<vector id="${id}" type="${type}" count="${count}"/>`),
  `<union id="vec128">${union.map(([name, type]) => `<field name="${name}" type="${type}"/>`).join("")}</union>`,
  `<flags id="i386_mxcsr" size="4">${bits(exceptions)}${bits(masks)}</flags>`,
].join("");

const names64 = [
  "rax",
  "rbx",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "rbp",
  "rsp",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
];
const names32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
const pointers = new Set(["rbp", "rsp", "ebp", "esp"]);
const x87 = [
  ...numbered(8, (i) => register(`st${i}`, 10, "i387_ext")),
  ...["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].map((name) =>
    register(name, 4, "int"),
  ),
];

function core(long: boolean): Feature {
  const size = long ? 8 : 4;
  const general = (long ? names64 : names32).map((name) =>
    register(
      name,
      size,
      pointers.has(name) ? "data_ptr" : `int${8 * size}`,
      long ? name : `r${name.slice(1)}`,
    ),
  );
  return {
    name: "org.gnu.gdb.i386.core",
    types: coreTypes,
    registers: [
      ...general,
      register(long ? "rip" : "eip", size, "code_ptr", "rip"),
      register("eflags", 4, "i386_eflags"),
      ...["cs", "ss", "ds", "es", "fs", "gs"].map((name) => register(name, 4, "int32")),
      ...x87,
    ],
  };
}

function features(long: boolean): Feature[] {
  const vectorCount = long ? 16 : 8;
  return [
    core(long),
    {
      name: "org.gnu.gdb.i386.sse",
      types: sseTypes,
      registers: [
        ...numbered(vectorCount, (i) => register(`xmm${i}`, 16, "vec128")),
        register("mxcsr", 4, "i386_mxcsr"),
      ],
    },
    {
      name: "org.gnu.gdb.i386.segments",
      types: "",
      registers: long ? ["fs_base", "gs_base"].map((name) => register(name, 8, "int64")) : [],
    },
    {
      name: "org.gnu.gdb.i386.avx",
      types: "",
      registers: numbered(vectorCount, (i) => register(`ymm${i}h`, 16, "uint128")),
    },
    {
      name: "virga.system",
      types: "",
      registers: [
        ...["cr0", "cr2", "cr3", "cr4", "efer", "lstar", "k_gs_base"].map((name) =>
          register(name, 8, "int64"),
        ),
        ...(long
          ? []
          : ["cs_base", "ds_base", "es_base", "ss_base", "fs_base", "gs_base"].map((name) =>
              register(name, 8, "int64"),
            )),
      ],
    },
  ].filter(({ registers }) => registers.length > 0);
}

/** amd64 where the processor is in long mode, else i386. */
export function describeTarget(long: boolean): TargetDescription {
  const all = features(long);
  let number = 0;
  const xml = all.map(({ name, types, registers }) => {
    const rows = registers.map(
      (row) => `<reg name="${row.name}" bitsize="${8 * row.bytes}" type="${row.type}" regnum="${number++}"/>`,
    );
    return `<feature name="${name}">${types}${rows.join("")}</feature>`;
  });
  return {
    registers: all.flatMap(({ registers }) => registers),
    xml: [
      '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">',
      `<architecture>${long ? "i386:x86-64" : "i386"}</architecture>`,
      ...xml,
      "</target>",
    ].join(""),
  };
}
