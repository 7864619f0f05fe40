import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "vite";
import { describe, expect, test } from "vitest";

/** What the compiler cannot say about this code. Add a rule here the first time a review asks for it twice. */
const rooms = ["client", "durable-objects", "emulator", "infra", "worker"];
const isCode = (file: string): boolean => /\.tsx?$/.test(file);
const read = (file: string): string => readFileSync(file, "utf8");
const under = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name))
    : [];
const code = rooms.flatMap(under).filter(isCode);
const tests = under("tests").filter(isCode);

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}
const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string";

const children = (node: Node): Node[] => Object.values(node).flat().filter(isNode);
function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  for (const child of children(node)) walk(child, visit);
}

const trees = new Map<string, Node>();
/** Tolerates the decorators of AssemblyScript: the tree is there all the same. */
function tree(file: string): Node {
  const known = trees.get(file) ?? (parseSync(file, read(file)).program as unknown as Node);
  trees.set(file, known);
  return known;
}

interface Edge {
  readonly to: string;
  readonly isType: boolean;
  readonly written: string;
}

/** Everything that a file imports from this house: imports, re-exports, `import()` and workers by URL. */
function edges(file: string): Edge[] {
  const found: Edge[] = [];
  const add = (written: unknown, isType: boolean) => {
    if (typeof written !== "string" || !/^[.#/]/.test(written)) return;
    const path = written.replace(/\?.*$/, "");
    const to = path.startsWith("#")
      ? path.replace(/^#/, "emulator/")
      : normalize(path.startsWith("/") ? join("client", path) : join(dirname(file), path));
    found.push({ to, isType, written: path });
  };
  walk(tree(file), (node) => {
    const source = (node["source"] as Node | null | undefined)?.["value"];
    const kind = node["importKind"] ?? node["exportKind"];
    if (/^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type)) add(source, kind === "type");
    if (node.type === "ImportExpression") add(source, false);
    if (node.type === "NewExpression" && nameOf(node["callee"]) === "URL") {
      const [first, second] = node["arguments"] as Node[];
      if (second?.type === "MemberExpression") add(first?.["value"], false);
    }
  });
  return found;
}

/** Who may import whom; `infra` and `tests` may import anything and are imported by nobody. First match wins. */
const directions: readonly (readonly [RegExp, RegExp])[] = [
  [/^emulator\/protocol\//, /^emulator\/protocol\//],
  [/^emulator\/cpu\//, /^(emulator\/(cpu|protocol)|build)\//],
  [/^emulator\/bus\//, /^emulator\/(bus|protocol)\//],
  [/^emulator\/devices\//, /^emulator\/(devices|bus|protocol)\//],
  [/^emulator\/machine\//, /^(emulator\/(machine|cpu|devices|bus|protocol)|build)\//],
  [/^emulator\/storage\//, /^emulator\/(storage|protocol)\//],
  // The page may host the stack itself (ADR 10), with the relays' clients (ADR 17).
  [/^emulator\/network\//, /^(emulator\/(network|protocol)|durable-objects\/(net|gateway))\//],
  [/^emulator\/[a-z-]+-worker\.ts$/, /^(emulator|build|durable-objects\/net)\//],
  [/^client\//, /^(client\/|emulator\/protocol\/|emulator\/[a-z-]+-worker\.ts$)/],
  // The Worker's entry re-exports the objects' classes; nothing else of it runs their code.
  [/^worker\/main\.ts$/, /^(worker|durable-objects)\//],
  [/^worker\//, /^((worker|emulator\/protocol|durable-objects\/(net|policy))\/|durable-objects\/doh\.ts$)/],
  [/^durable-objects\/net\//, /^durable-objects\/net\//],
  [/^durable-objects\/gateway\//, /^(durable-objects\/(gateway|net|policy)|emulator\/protocol)\//],
  // An object shows a relay the same token that the Worker mints for pages (ADR 23).
  [
    /^durable-objects\/udp-relay-way\.ts$/,
    /^(durable-objects\/|emulator\/protocol\/|worker\/relay-token\.ts$)/,
  ],
  [/^durable-objects\//, /^(durable-objects|emulator\/protocol)\//],
  [/^infra\//, /^(?!tests\/)/],
];
/** Edges that carry types only. */
const typeDirections: readonly (readonly [RegExp, RegExp])[] = [
  [/^client\//, /^worker\//],
  [/^emulator\/machine\//, /^emulator\/storage\/block-device\.ts$/],
  [/^worker\//, /^durable-objects\//],
];

describe("imports", () => {
  test("point downward", () => {
    const wrong: string[] = [];
    for (const file of code) {
      const allowed = directions.find(([from]) => from.test(file))?.[1];
      for (const { to, isType } of edges(file)) {
        const byType = isType && typeDirections.some(([from, target]) => from.test(file) && target.test(to));
        if (!allowed?.test(to) && !byType) wrong.push(`${file} → ${to}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("name files as Node finds them", () => {
    const wrong: string[] = [];
    // AssemblyScript resolves names by itself, and #protocol is mapped in package.json.
    for (const file of [...code, ...tests].filter((name) => !name.startsWith("emulator/cpu/assembly/")))
      for (const { written } of edges(file))
        if (written.startsWith(".") && !/\.(tsx?|css|wasm|json|sql|mjs|js)$/.test(written))
          wrong.push(`${file} → ${written}`);
    expect(wrong).toEqual([]);
  });
});

const pure = /^(emulator\/(protocol|cpu|bus|devices|machine)|durable-objects\/(net|policy|gateway))\//;
const impureCalls =
  /^(fetch|set(Timeout|Interval|Immediate)|queueMicrotask|requestAnimationFrame|Date\.now|performance\.now|Math\.random|crypto\.(getRandomValues|randomUUID))$/;
const impureObjects = /^(XMLHttpRequest|WebSocket|Worker|BroadcastChannel)$/;

const nameOf = (value: unknown): string =>
  isNode(value) && typeof value["name"] === "string" ? value["name"] : "";

/** `name` or `object.name` of what is called. */
const calleeName = (callee: Node): string =>
  callee.type === "MemberExpression"
    ? `${nameOf(callee["object"])}.${nameOf(callee["property"])}`
    : nameOf(callee);

test("pure code asks its caller for time, chance and the network", () => {
  const wrong: string[] = [];
  for (const file of code.filter((name) => pure.test(name)))
    walk(tree(file), (node) => {
      if (node.type !== "CallExpression" && node.type !== "NewExpression") return;
      const name = calleeName(node["callee"] as Node);
      const isNew = node.type === "NewExpression";
      const isToday = isNew && name === "Date" && (node["arguments"] as Node[]).length === 0;
      if (isToday || (isNew ? impureObjects : impureCalls).test(name)) wrong.push(`${file}: ${name}`);
    });
  expect(wrong).toEqual([]);
});

const LINES = 60;

/** A table in the form of a function: nothing but one switch, or one literal that it returns. */
function isTable(body: Node): boolean {
  const statements = (body["body"] as Node[] | undefined) ?? [body];
  if (!Array.isArray(statements) || statements.length !== 1) return false;
  const [only] = statements as [Node];
  const value = only.type === "ReturnStatement" ? (only["argument"] as Node | null) : only;
  return /^(SwitchStatement|ObjectExpression|ArrayExpression|TemplateLiteral)$/.test(value?.type ?? "");
}

/** The interpreter's and the decoder's switches are tables too, with a loop around them. */
function isDispatch(file: string, body: Node): boolean {
  let longest = 0;
  if (file.startsWith("emulator/cpu/assembly/"))
    walk(body, (node) => {
      if (node.type === "SwitchStatement") longest = Math.max(longest, (node["cases"] as Node[]).length);
    });
  return longest >= 8;
}

const isFunction = (node: Node): boolean =>
  /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);

/** Lines of a function that are its own: not those of a function or a JSX tree inside it. */
function ownLines(text: string, fn: Node): number {
  const lines = (node: Node): number => text.slice(node.start, node.end).split("\n").length;
  let own = lines(fn);
  const subtract = (node: Node): void => {
    const isPart = node !== fn && (isFunction(node) || node.type === "JSXElement");
    if (isPart) own -= lines(node) - 1;
    else for (const child of children(node)) subtract(child);
  };
  subtract(fn);
  return own;
}

test(`functions fit on a screen: ${LINES} lines`, () => {
  const long: string[] = [];
  for (const file of code) {
    const text = read(file);
    walk(tree(file), (node) => {
      const body = node["body"];
      if (!isFunction(node) || !isNode(body) || isTable(body) || isDispatch(file, body)) return;
      const lines = ownLines(text, node);
      if (lines > LINES)
        long.push(`${file}:${text.slice(0, node.start).split("\n").length} has ${lines} lines`);
    });
  }
  expect(long).toEqual([]);
});

test("every device has a test", () => {
  const tested = new Set(tests.flatMap((file) => edges(file).map(({ to }) => to)));
  const devices = code.filter((file) => file.startsWith("emulator/devices/"));
  // Parts of a device that is a folder are tested through the parts that import them.
  for (const file of devices.filter((name) => tested.has(name)))
    for (const { to } of edges(file))
      if (dirname(to) === dirname(file) && dirname(to) !== "emulator/devices") tested.add(to);
  expect(devices.filter((file) => !tested.has(file))).toEqual([]);
});

test("no file is imported by nobody", () => {
  const entries =
    /^(client\/(main\.tsx|service-worker\.ts|register-service-worker\.ts)|worker\/main\.ts|emulator\/[a-z-]+-worker\.ts|emulator\/cpu\/(generate\.ts|assembly\/.*)|infra\/.*)$|\.d\.ts$/;
  const imported = new Set<string>();
  for (const file of [...code, ...tests])
    for (const { to } of edges(file)) for (const name of [to, `${to}.ts`, `${to}.tsx`]) imported.add(name);
  expect(code.filter((file) => !entries.test(file) && !imported.has(file))).toEqual([]);
});

test("files are named in kebab-case, after what is in them", () => {
  const names = [...code, ...tests].map((file) => file.split("/").at(-1)!);
  expect(names.filter((name) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.tsx?$/.test(name))).toEqual([]);
  expect(names.filter((name) => /\b(utils?|helpers?|managers?|misc|common)\b/.test(name))).toEqual([]);
});

/** What git knows, or everything where there is no history. */
function tracked(): string[] {
  try {
    const list = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return list.split("\0").filter((file) => file && existsSync(file));
  } catch {
    return [...code, ...tests, "package.json", "package-lock.json", "wrangler.toml", "README.md"];
  }
}

describe("the repository", () => {
  const texts = tracked().filter((file) => /\.(tsx?|json|toml|md|html|css|sql|sh|env|ya?ml)$/.test(file));
  // Spelled in pieces, so that this file does not contain what it looks for.
  const machinePath = new RegExp(["/wor", "k/|/far", "m/|/hom", "e/[a-z]+/|/tmp/bas", "h_jobs"].join(""));
  const registry = new RegExp(
    ["registry\\.np", "mjs|npm", "mirror|deb\\.deb", "ian\\.org|artifac", "tory"].join(""),
  );

  test("names no path of one machine", () => {
    expect(texts.filter((file) => machinePath.test(read(file)))).toEqual([]);
  });

  test("names no package registry, in the lockfile least of all", () => {
    expect(texts.filter((file) => registry.test(read(file)))).toEqual([]);
    expect(read("package-lock.json")).not.toMatch(/"resolved":\s*"http/);
  });

  test("pins every dependency exactly, and an ADR names each that ships", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, range]) => !/^\d/.test(range),
    );
    expect(loose).toEqual([]);
    const records = under("infra/adr").map(read).join("\n");
    expect(Object.keys(dependencies!).filter((name) => !records.includes(name))).toEqual([]);
  });

  test("leaves no work for later in a comment", () => {
    const later = new RegExp(`\\b(${["TO", "DO|FIX", "ME|HA", "CK"].join("")})\\b`);
    expect([...code, ...tests].filter((file) => later.test(read(file)))).toEqual([]);
  });
});
