/** `virga tunnels`: for operators. Who is connected, and the kill switch for a session, an account, an address, or all. */
import { type Command, InvalidArgumentError } from "commander";
import * as z from "zod/mini";
import { HangUpList, HangUpReach, OpenTunnels } from "../../emulator/protocol/operator.ts";
import { LOCAL_URL, operatorToken } from "./server.ts";
import { say } from "./words.ts";

interface ServerOptions {
  readonly url: string;
  readonly token?: string;
}
interface HangUpOptions extends ServerOptions {
  readonly say?: string;
  readonly minutes?: number;
}

async function ask<T>(
  { url, token }: ServerOptions,
  method: string,
  path: string,
  schema: z.ZodMiniType<T>,
  body?: object,
): Promise<T> {
  const response = await fetch(new URL(`/api/operator${path}`, url), {
    method,
    headers: {
      authorization: `Bearer ${operatorToken(url, token)}`,
      ...(body && { "content-type": "application/json" }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 300)}`);
  return schema.parse(text === "" ? undefined : JSON.parse(text));
}

const minutesArgument = (value: string): number => {
  const minutes = Number(value);
  if (!Number.isInteger(minutes) || minutes < 1) throw new InvalidArgumentError("A whole number of minutes.");
  return minutes;
};

export function addTunnels(program: Command): void {
  const tunnels = program
    .command("tunnels")
    .description("for operators: who is connected, and the kill switch");
  const command = (name: string, words: string): Command =>
    tunnels
      .command(name)
      .description(words)
      .option("--url <url>", "the Virga server", LOCAL_URL)
      .option("--token <token>", "the operator's token (or VIRGA_OPERATOR_TOKEN)");
  const who = "all, session:<id>, account:<id> or address:<address>";
  command("list", "open tunnels and rooms, and who is hung up")
    .argument("[subject]", who, "all")
    .action((subject: string, options: ServerOptions) => list(subject, options));
  command("hang-up", "end every connection of somebody, and let nobody of that name in again")
    .argument("<subject>", who)
    .option("--say <sentence>", "what they are told")
    .option("--minutes <minutes>", "for so long; without it, until `allow`", minutesArgument)
    .action((subject: string, options: HangUpOptions) => hangUp(subject, options));
  command("allow", "let somebody in again")
    .argument("<subject>", who)
    .action(async (subject: string, options: ServerOptions) => {
      await ask(options, "DELETE", `/hang-ups/${encodeURIComponent(subject)}`, z.undefined());
      say(`${subject} is let in again`);
    });
}

async function list(subject: string, options: ServerOptions): Promise<void> {
  const { tunnels } = await ask(
    options,
    "GET",
    `/tunnels?subject=${encodeURIComponent(subject)}`,
    OpenTunnels,
  );
  for (const { kind, subjects, connections, sockets, seenAt } of tunnels)
    process.stdout.write(
      `${kind}\t${sockets} sockets\t${connections} connections\t${seenAt}\t${subjects.join(" ")}\n`,
    );
  if (tunnels.length === 0) say(subject === "all" ? "Nobody is connected." : `${subject} is not connected.`);
  const { hangUps } = await ask(options, "GET", "/hang-ups", HangUpList);
  for (const { subject: name, sentence, until } of hangUps)
    process.stdout.write(`hung up\t${name}\t${until ?? "until allowed"}\t${sentence}\n`);
}

async function hangUp(subject: string, options: HangUpOptions): Promise<void> {
  const wish = {
    subject,
    ...(options.say !== undefined && { sentence: options.say }),
    ...(options.minutes !== undefined && { minutes: options.minutes }),
  };
  let all = 0;
  for (;;) {
    const { reached, left } = await ask(options, "POST", "/hang-ups", HangUpReach, wish);
    all += reached;
    if (left === 0 || reached === 0) break;
  }
  say(`${subject}: ${all} tunnels hung up`);
}
