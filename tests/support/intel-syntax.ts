/** What GNU objdump and the disassembler write differently for the same instruction, and why each is no fault. */

interface Difference {
  readonly why: string;
  /** In objdump's words → in ours. */
  readonly from: RegExp;
  readonly to: string | ((match: string, ...groups: string[]) => string);
}

const conditions: Record<string, string> = { e: "z", ne: "nz", ae: "nb", a: "nbe", ge: "nl", g: "nle" };
const predicates =
  "eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us".split(
    " ",
  );
const quadwords: Record<string, string> = { lqlq: "0x0", hqlq: "0x1", lqhq: "0x10", hqhq: "0x11" };

/** A register's low word. */
const word = (register: string): string =>
  /^r\d/.test(register) ? `${/^r\d+/.exec(register)![0]}w` : register.replace(/^[er]/, "");

/** In this order. */
const differences: readonly Difference[] = [
  { why: "symbols and resolved addresses are comments", from: /\s+(?:#|<).*$/, to: "" },
  { why: "columns", from: /\s+/g, to: " " },
  {
    why: "the condition codes have synonyms (SDM 1 appendix B); the table uses one name each",
    from: /^(v?cmov|j|set)(e|ne|ae|a|ge|g)(?= )/,
    to: (_, stem, code) => stem + conditions[code]!,
  },
  {
    why: "a compare with its predicate as an immediate (SDM 2A CMPPS)",
    from: /^(v?)cmp([a-z]+(?:_[a-z]+)?)([ps][sd]) (.*)$/,
    to: (_, vex, predicate, form, rest) =>
      `${vex}cmp${form} ${rest},0x${predicates.indexOf(predicate).toString(16)}`,
  },
  {
    why: "the same for PCLMULQDQ",
    from: /^(v?)pclmul([lh]q[lh]q)dq (.*)$/,
    to: (_, vex, parts, rest) => `${vex}pclmulqdq ${rest},${quadwords[parts]}`,
  },
  {
    why: "REX.W says that PCMPESTRx reads 64-bit lengths; the row is one",
    from: /^(v?pcmpestr[im])q /,
    to: "$1 ",
  },
  { why: "AMD's word for 128 bits", from: /oword ptr/, to: "xmmword ptr" },
  { why: "MOV with a full address or 64-bit immediate is MOV", from: /^movabs /, to: "mov " },
  {
    why: "the operand size is the accumulator's",
    from: /(?<=^mov (?:.*,)?)(?:\w+ ptr )?([c-gs]s:0x)/,
    to: "SIZE $1",
  },
  {
    why: "an index of none, scaled",
    from: /\[([re])iz\*\d([+-])0x([0-9a-f]+)\]/,
    to: (_, width, sign, digits) => {
      const distance = BigInt(`0x${digits}`) * (sign === "-" ? -1n : 1n);
      return `ds:0x${BigInt.asUintN(width === "r" ? 64 : 32, distance).toString(16)}`;
    },
  },
  { why: "the same beside a base", from: /\+[re]iz\*\d/, to: "" },
  {
    why: "a displacement from RIP is signed",
    from: /\+0x([89a-f][0-9a-f]{15})\]/,
    to: (_, digits) => `-0x${(-BigInt.asIntN(64, BigInt(`0x${digits}`))).toString(16)}]`,
  },
  {
    why: "the implied XMM0 is no operand of the row",
    from: /^(pblendvb|blendvp[sd]|sha256rnds2) (.*),xmm0$/,
    to: "$1 $2",
  },
  {
    why: "the implied accumulator is no operand of the row",
    from: /^((?:rep |repnz |repz )?stos .*),[er]?a[lx]$/,
    to: "$1",
  },
  { why: "the same", from: /^((?:rep |repnz |repz )?(?:lods|scas)) [er]?a[lx],/, to: "$1 " },
  { why: "the same for XLAT", from: /^xlat .*/, to: "xlat" },
  { why: "a hint is NOP here", from: /^prefetch(?:nta|t[012]) byte /, to: "nop dword " },
  { why: "no processor with these is claimed", from: /^prefetch(?:w|wt1|) byte ptr /, to: "prefetchw " },
  { why: "the row says M, of no size", from: /^(v?lddqu ([xy])\w+),(?=[c-gs[])/, to: "$1,$2mmword ptr " },
  { why: "the row says Mdq", from: /^invpcid (\w+),(?=[c-gs[])/, to: "invpcid $1,xmmword ptr " },
  { why: "a target with a symbol has no 0x", from: /^(call|jmp|j\w+) ([0-9a-f]+)$/, to: "$1 0x$2" },
  {
    why: "a selector is 16 bits whatever the register is",
    from: /^((?:lar|lsl) \w+|mov [c-gs]s),(\w+)$/,
    to: (_, before, register) => `${before},${word(register)}`,
  },
  { why: "an exchange that changes nothing is NOP", from: /^xchg ax,ax$/, to: "nop" },
  { why: "a remark", from: /\((?:8087|287) only\)/, to: "" },
];

/** A prefix that changes nothing is named by objdump alone. */
const idle =
  /^(?:data16|data32|addr16|addr32|rex\S*|[c-gs]s|bnd|notrack|repz(?= ret)|rep[nz]*(?= (?:endbr|nop))) /;
/** AT&T's size letters after a name that has none in the manual, or another way of saying it there. */
const sized =
  /^(iret|push[fa]?|pop[fa]?|sysret|sysexit|retf?|leave|enter|call|[sl][gi]dt|fldenv|fn?stenv|frstor|fnsave)[wdq]?(?= |$)/;
const string = /^(?:rep[nz]* )?(?:movs|cmps|stos|lods|scas|ins|outs) [^x]/;

export function ofObjdump(text: string): string {
  let words = text.toLowerCase().replaceAll("\t", " ").trim();
  for (let before = ""; before !== words;) {
    before = words;
    words = words
      .replace(idle, "")
      .replace(/^(rep[nz]*) (?:data16|data32|addr16|addr32|rex\S*|[c-gs]s) /, "$1 ");
    if (!string.test(words)) words = words.replace(/^rep[nz]* (?!data|addr|rex|[c-gs]s )/, "");
  }
  for (const { from, to } of differences) words = words.replace(from, to as string);
  return words.replace(sized, "$1").trim();
}

/** Ours, brought to the same words where objdump says less. */
export function ofOurs(text: string): string {
  return text
    .replaceAll(", ", ",")
    .replace(/(?<=^mov (?:.*,)?)\w+ ptr ([c-gs]s:0x)/, "SIZE $1")
    .replace(sized, "$1");
}
