#!/usr/bin/env node
/** The command line of Virga: publish disks, run machines without a browser, look inside images. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { addInspect } from "./inspect.ts";
import { addPublish } from "./publish.ts";
import { addRelay } from "./relay.ts";
import { addRun } from "./run.ts";
import { addTunnels } from "./tunnels.ts";
import { say, wordsOf } from "./words.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
  version: string;
};

const program = new Command("virga")
  .description("A streaming x86-64 PC")
  .version(version)
  .showHelpAfterError();
addRun(program);
addPublish(program);
addInspect(program);
addRelay(program);
addTunnels(program);

try {
  await program.parseAsync();
} catch (error) {
  say(`virga: ${wordsOf(error)}`);
  if (process.env["VIRGA_DEBUG"] && error instanceof Error) say(error.stack ?? "");
  process.exitCode = 125;
}
