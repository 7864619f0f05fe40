/**
 * Numbers shared by the decoder and the interpreter's switch: uop kinds, and the handler families that have inlined
 * forms. Only forms measured as hot are inlined (80 % of executed instructions are a dozen of these).
 */
const sizes = ["8", "32", "64"];
const arithmetic = ["ADD", "OR", "AND", "SUB", "XOR", "CMP", "TEST"];
/** Operand forms: register-register, register-immediate, register-memory, memory-register, memory-immediate. */
const forms = ["RR", "RI", "RM", "MR", "MI"];
const conditions = ["O", "B", "Z", "BE", "S", "P", "L", "LE"].flatMap((name) => [name, `N${name}`]);

export const kindNames: readonly string[] = [
  // What is not an inlined instruction.
  "K_STALE", "K_END", "K_CROSS", "K_STEPPED", "K_CALL", "K_CALL_END", "K_REPEAT", "K_NOTHING",
  "K_ADDRESS32", "K_ADDRESS_WIDE", "K_ADDRESS_SEGMENT", "K_RING0", "K_FPU", "K_SSE", "K_MMX",
  // Arithmetic: K_ADD_RR8 + (operation * 5 + form) * 3 + size.
  ...arithmetic.flatMap((operation) => forms.flatMap((form) => sizes.map((size) => `K_${operation}_${form}${size}`))),
  // MOV: the same forms.
  ...forms.flatMap((form) => sizes.map((size) => `K_MOV_${form}${size}`)), "K_MOV_RI64_WIDE",
  "K_ZERO32",
  "K_MOVZX_BYTE_R32", "K_MOVZX_BYTE_M32", "K_MOVZX_WORD_R32", "K_MOVZX_WORD_M32",
  "K_MOVSX_BYTE_R32", "K_MOVSX_BYTE_M32", "K_MOVSX_BYTE_R64", "K_MOVSX_BYTE_M64",
  "K_MOVSX_WORD_R32", "K_MOVSX_WORD_M32", "K_MOVSX_WORD_R64", "K_MOVSX_WORD_M64", "K_MOVSXD_R64", "K_MOVSXD_M64",
  "K_LEA32", "K_LEA64",
  "K_INC_R32", "K_INC_R64", "K_DEC_R32", "K_DEC_R64", "K_INC_M32", "K_INC_M64", "K_DEC_M32", "K_DEC_M64",
  "K_NOT_R32", "K_NOT_R64", "K_NEG_R32", "K_NEG_R64",
  "K_SHL_RI32", "K_SHL_RI64", "K_SHR_RI32", "K_SHR_RI64", "K_SAR_RI32", "K_SAR_RI64",
  "K_IMUL_RR32", "K_IMUL_RR64",
  "K_PUSH_R64", "K_PUSH_I64", "K_POP_R64", "K_PUSH_R32", "K_POP_R32", "K_LEAVE64",
  "K_JMP", "K_CALL_NEAR64", "K_RET64", "K_JMP_R64", "K_JMP_M64", "K_CALL_R64", "K_CALL_M64",
  ...conditions.map((name) => `K_J${name}`), ...conditions.map((name) => `K_SET${name}`), "K_CMOV32", "K_CMOV64",
];

/** Handlers with inlined forms; a row's family is its place here plus one. Arithmetic comes in threes: store, load, immediate. */
export const families = [
  "add", "addLoad", "addImmediate", "or", "orLoad", "orImmediate", "and", "andLoad", "andImmediate",
  "sub", "subLoad", "subImmediate", "xor", "xorLoad", "xorImmediate", "cmp", "cmpLoad", "cmpImmediate",
  "test", "testLoad", "testImmediate", "mov", "movLoad", "movImmediate",
  "movzxByte", "movzxWord", "movsxByte", "movsxWord", "movsxd", "lea", "inc", "dec", "not", "neg",
  "shlImmediate", "shrImmediate", "sarImmediate", "imulLoad", "push", "pushImmediate", "pop", "leave",
  "jumpRelative", "callRelative", "ret", "jumpIndirect", "callIndirect", "jumpIf", "setIf", "moveIf", "nothing",
  "xchgAccumulator",
] as const;
