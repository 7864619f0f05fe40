import { parseArgs } from "node:util";
import { asTable, makeReport, type Result } from "./report.ts";

/** What a bench may be asked for; each takes what it knows. */
export interface Options {
  readonly tier?: string | undefined;
  readonly peers?: string | undefined;
}

/** `npm run bench -- <name> [--json]`: each bench is a file of this folder whose `measure` returns its results. */
const benches: {
  readonly [name: string]: () => Promise<{ measure(options: Options): Promise<readonly Result[]> }>;
} = {
  boot: () => import("./boot.ts"),
  cpu: () => import("./cpu.ts"),
  net: () => import("./net.ts"),
  store: () => import("./store.ts"),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: true,
  options: { json: { type: "boolean" }, tier: { type: "string" }, peers: { type: "string" } },
});
const [name = ""] = positionals;
const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (!load) {
  console.error(`Which bench? ${Object.keys(benches).join(", ")}`);
  process.exit(2);
}
const report = makeReport(name, await (await load()).measure(values));
console.log(values.json ? JSON.stringify(report) : asTable(report));
